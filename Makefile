# `make help` lists the targets.

CC      = gcc
ARCH    = native
BUILD   = build
PREFIX  = /usr/local
PROGRAM = ddpm
VERSION = 0.1.0

PACKAGES  = openblas libcjson zlib stb
WARNINGS  = -Wall -Wextra -Wshadow -Wconversion -Wdouble-promotion -Wmissing-prototypes \
            -Wstrict-prototypes -Wwrite-strings -Wpointer-arith -Wvla -Wundef
OPTIMISE  = -O3 -march=$(ARCH)
SANITIZE  =
CPPFLAGS  = -Iinclude -D_GNU_SOURCE -DDDPM_VERSION='"$(VERSION)"' \
            -DDDPM_SHARE='"$(PREFIX)/share/ddpm"' \
            $(patsubst -I%,-isystem %,$(shell pkg-config --cflags-only-I $(PACKAGES)))
CFLAGS    = -std=c11 -g $(OPTIMISE) $(WARNINGS) -fopenmp -ffp-contract=fast $(SANITIZE)
LDFLAGS   = -fopenmp $(SANITIZE)
LDLIBS    = $(shell pkg-config --libs openblas libcjson zlib) -lm

SOURCES   = $(sort $(wildcard src/*/*.c))
OBJECTS   = $(SOURCES:src/%.c=$(BUILD)/%.o)
LIBRARY   = $(BUILD)/libddpm.a
SUPPORT   = $(BUILD)/tests/support.o
TESTS     = $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/*/test_*.c)))

all: $(PROGRAM)

$(PROGRAM): $(BUILD)/main.o $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIBRARY): $(OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

# The same normals on every machine: no fused multiply-add here (include/base/rng.h).
$(BUILD)/base/rng.o: CFLAGS += -ffp-contract=off

$(BUILD)/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(SUPPORT) $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

tests: $(TESTS)

# One test program: make run T=base/test_rng
run: $(BUILD)/tests/$(T)
	$<

clean:
	rm -rf $(BUILD) $(PROGRAM)

.PHONY: all tests run clean
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
