# `make help` lists the targets. Variables are given as in `make ARCH=x86-64-v2 PREFIX=/opt/ddpm`;
# what depends on a flag that has changed is rebuilt. V=1 shows the commands.

CC      = gcc
ARCH    = native
BUILD   = build
PREFIX  = /usr/local
DESTDIR =
PROGRAM = ddpm
VERSION = 0.1.0
Q       = $(if $(V),,@)

PKGCONFIG = pkg-config
PACKAGES  = openblas libcjson zlib
WARNINGS  = -Wall -Wextra -Wshadow -Wconversion -Wdouble-promotion -Wmissing-prototypes \
            -Wstrict-prototypes -Wwrite-strings -Wpointer-arith -Wvla -Wundef
OPTIMISE  = -O3 -march=$(ARCH)
OPENMP    = -fopenmp
OPENMP_LD = -fopenmp
SANITIZE  =
# What makes an error in memory an end instead of a way in, at no cost that can be measured
# (tests/bench/SPEED.md). Not FORTIFY_SOURCE with a sanitizer, which would not see those calls.
HARDEN    = -fPIE -fstack-protector-strong $(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
HARDEN_LD =
ifeq ($(shell uname -s),Linux)
HARDEN   += -fstack-clash-protection $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
HARDEN_LD = -pie -Wl,-z,relro,-z,now,-z,noexecstack
endif
CPPFLAGS  = -Iinclude -D_GNU_SOURCE -DDDPM_VERSION='"$(VERSION)"' \
            $(patsubst -I%,-isystem %,$(shell $(PKGCONFIG) --cflags-only-I $(PACKAGES)) $(STB))
CFLAGS    = -std=c11 -g $(OPTIMISE) $(WARNINGS) $(OPENMP) -ffp-contract=fast \
            $(HARDEN) $(SANITIZE)
LDFLAGS   = $(OPENMP_LD) $(HARDEN_LD) $(SANITIZE)
LDLIBS    = $(shell $(PKGCONFIG) --libs $(PACKAGES)) -lm
# Headers only; not every system has a .pc file for them.
STB       = $(or $(shell $(PKGCONFIG) --cflags-only-I stb 2>/dev/null),-I/usr/include/stb)

# macOS, untested: Apple's clang needs to be shown brew's libomp, pkg-config brew's OpenBLAS.
ifeq ($(shell uname -s),Darwin)
BREW     := $(shell brew --prefix)
CC        = cc
OPENMP    = -Xpreprocessor -fopenmp -I$(BREW)/opt/libomp/include
OPENMP_LD = -L$(BREW)/opt/libomp/lib -lomp
STB       = -I$(BREW)/include/stb
PKGCONFIG = PKG_CONFIG_PATH=$(BREW)/opt/openblas/lib/pkgconfig:$$PKG_CONFIG_PATH pkg-config
endif

# Flags of single layers and files. Level 3 of FORTIFY_SOURCE makes a call of each copy of a few
# vectors to a place that is computed, as kernels have many: 6 % of training's time. base/rng and
# data/shapes draw the same bits on every machine: no fused multiply-add there (include/base/rng.h).
# The optimiser's square roots are vectors only if none has to set errno, which nothing reads. Where
# the share folder is matters to the few files that look there. Where a PNG's first piece of pixels
# is empty, as it may be, stb adds 0 to a null pointer and copies 0 bytes to it: no harm is done.
CFLAGS_nn              = $(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
CFLAGS_base/rng        = -ffp-contract=off
CFLAGS_data/shapes     = -ffp-contract=off
CFLAGS_data/stb_decode = $(if $(SANITIZE),$(NULL_OK))
CFLAGS_train/optimiser = -fno-math-errno
NULL_OK                = -fno-sanitize=pointer-overflow -fno-sanitize=nonnull-attribute
SHARE                  = -DDDPM_SHARE='"$(PREFIX)/share/ddpm"'

SOURCES   = $(sort $(wildcard src/*/*.c))
OBJECTS   = $(SOURCES:src/%.c=$(BUILD)/%.o)
LIBRARY   = $(BUILD)/libddpm.a
SUPPORT   = $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(filter-out $(wildcard tests/*/test_*.c),\
              $(filter-out tests/torture/% tests/fuzz/%,$(wildcard tests/*.c tests/*/*.c))))
ALLOCATOR = $(BUILD)/tests/torture/allocator.so
DAMAGE    = $(BUILD)/tests/train/test_damage
FAULTS    = DDPM=$(abspath $(PROGRAM)) ALLOCATOR=$(abspath $(ALLOCATOR)) DAMAGE=$(abspath $(DAMAGE))
HARNESSES = $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
REPLAYS   = $(HARNESSES:%=$(BUILD)/tests/fuzz/%)
FUZZERS   = $(HARNESSES:%=$(BUILD)/fuzzers/%)
TESTS     = $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/*/test_*.c))) $(REPLAYS)
SCRIPTS   = $(sort $(wildcard tests/*/*.bats))
IN_SHARE  = $(patsubst src/%.c,$(BUILD)/%.o,$(shell grep -ls DDPM_SHARE src/main.c $(SOURCES)))

all: $(PROGRAM) ## build ./ddpm (the default)

$(PROGRAM): $(BUILD)/main.o $(LIBRARY)
	@echo link $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $(BUILD)/main.o $(LIBRARY) $(LDLIBS)

$(LIBRARY): $(OBJECTS) $(BUILD)/.objects
	@echo archive $@
	@rm -f $@
	$(Q)$(AR) rcs $@ $(OBJECTS)

$(BUILD)/%.o: src/%.c $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo compile $<
	$(Q)$(CC) $(CPPFLAGS) $(SHARE) $(CFLAGS) $(CFLAGS_$(*D)) $(CFLAGS_$*) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%.o: tests/%.c $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo compile $<
	$(Q)$(CC) $(CPPFLAGS) $(SHARE) -Itests $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(SUPPORT) $(LIBRARY)
	@echo link $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

# The harnesses of tests/fuzz, with the inputs that are kept and, of clang, with libFuzzer.
$(REPLAYS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/fuzz.o \
            $(BUILD)/tests/fuzz/replay.o $(LIBRARY)
	@echo link $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(FUZZERS): $(BUILD)/fuzzers/%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/fuzz.o $(LIBRARY)
	@mkdir -p $(@D)
	@echo link $@
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

# Preloaded by tests/torture: nothing of the program is in it.
$(ALLOCATOR): tests/torture/allocator.c $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo link $@
	$(Q)$(CC) -D_GNU_SOURCE -std=c11 -O1 $(WARNINGS) -fPIC -shared -o $@ $< -ldl

# Stamps that hold what the last build was made with; touched only when that changes.
record = mkdir -p $(@D) && { echo $(1) | cmp -s - $@ || echo $(1) >$@; }
$(BUILD)/.flags: FORCE
	@$(call record,$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(LDLIBS))
$(BUILD)/.share: FORCE
	@$(call record,$(SHARE))
$(BUILD)/.objects: FORCE
	@$(call record,$(OBJECTS))
$(IN_SHARE): $(BUILD)/.share

# What needs the set-up first is made by a second make, which finds the libraries; on all cores.
JOBS   = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell getconf _NPROCESSORS_ONLN))
REMAKE = $(MAKE) --no-print-directory $(JOBS)

setup: ## install what building, testing and linting need, if it is missing
	@scripts/setup.sh build test lint

demo: ## train a small model for some minutes and sample a grid from it
	@scripts/setup.sh build demo
	@$(REMAKE) all
	@scripts/demo.sh

test: ## build and run every test; ends in one line: N passed, N failed
	@scripts/setup.sh build test
	@$(REMAKE) run-tests

# Seconds for a test program or script that is built to look, not to be fast.
PATIENCE = 1200
# A preloaded allocator and strace do not go with sanitizers: tests/torture is left out there.
CHECKED = ALLOCATOR= BUILD=$(BUILD)/asan PROGRAM=$(BUILD)/asan/ddpm OPTIMISE='-O1 -march=$(ARCH)' \
          SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'
check: ## every test under AddressSanitizer and UBSan
	@scripts/setup.sh build test
	@UBSAN_OPTIONS=print_stacktrace=1 TEST_TIMEOUT=$${TEST_TIMEOUT:-$(PATIENCE)} \
	    $(REMAKE) run-tests $(CHECKED)

# libomp tells ThreadSanitizer what waits for what, libgomp does not: hence clang. OpenBLAS is not
# built with it, and so neither its reads nor its writes are seen: it has but one thread here, and
# the kernels give each call a block of its own. Warnings are those of gcc.
RACED = ALLOCATOR= SCRIPTS= CC=clang WARNINGS=-Wno-pass-failed BUILD=$(BUILD)/race \
        PROGRAM=$(BUILD)/race/ddpm OPTIMISE='-O1 -march=$(ARCH)' \
        SANITIZE='-fsanitize=thread -fno-omit-frame-pointer'
race: ## every unit test, and small runs of the program, under ThreadSanitizer
	@scripts/setup.sh build test race
	@OMP_NUM_THREADS=4 TSAN_OPTIONS=ignore_noninstrumented_modules=1 \
	    TEST_TIMEOUT=$${TEST_TIMEOUT:-$(PATIENCE)} $(REMAKE) run-race $(RACED)

run-race: run-tests
	@DDPM=$(abspath $(PROGRAM)) tests/tools/commands.sh race

# valgrind 3.19 knows no AVX-512.
MEMCHECKED = BUILD=$(BUILD)/memcheck PROGRAM=$(BUILD)/memcheck/ddpm \
             OPTIMISE='-O1 $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v3)'
memcheck: ## small runs of the program under valgrind
	@scripts/setup.sh build memcheck
	@$(REMAKE) run-memcheck $(MEMCHECKED)

run-memcheck: $(PROGRAM)
	@DDPM=$(abspath $(PROGRAM)) tests/tools/commands.sh memcheck

# With -O1 a line is still a line, and the tests take minutes. Their children tell what they ran
# (tests/refuse.c), for which the function has to be there.
COVERED = BUILD=$(BUILD)/coverage PROGRAM=$(BUILD)/coverage/ddpm \
          OPTIMISE='-O1 -march=$(ARCH) --coverage' \
          OPENMP_LD='$(OPENMP_LD) --coverage -Wl,-u,__gcov_dump'
coverage: ## which lines of src the tests run, by gcov
	@scripts/setup.sh build test
	@find $(BUILD)/coverage -name '*.gcda' -delete 2>/dev/null || true
	@status=0; \
	TEST_TIMEOUT=$${TEST_TIMEOUT:-$(PATIENCE)} $(REMAKE) run-tests $(COVERED) || status=1; \
	scripts/coverage.sh $(BUILD)/coverage && exit $$status

run-tests: $(PROGRAM) $(TESTS) $(ALLOCATOR)
	@$(FAULTS) tests/run.sh $(TESTS) $(SCRIPTS)

# FUZZ="idx npy": these alone. SECONDS: how long for each. Warnings are those of gcc.
FUZZ    = $(HARNESSES)
SECONDS = 600
FUZZED  = CC=clang WARNINGS=-Wno-pass-failed BUILD=$(BUILD)/fuzz OPTIMISE='-O1 -march=$(ARCH)' \
          SANITIZE='-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all \
          -fno-omit-frame-pointer'
fuzz: ## inputs made up by libFuzzer for what reads files, ten minutes for each
	@scripts/setup.sh build fuzz
	@$(REMAKE) run-fuzz $(FUZZED)

run-fuzz: $(FUZZ:%=$(BUILD)/fuzzers/%)
	@BUILD=$(BUILD) tests/fuzz/fuzz.sh $(SECONDS) $(FUZZ)

torture: ## faults by the thousand, some hours; when interrupted, goes on where it was
	@scripts/setup.sh build test
	@$(REMAKE) run-torture

run-torture: $(PROGRAM) $(ALLOCATOR) $(DAMAGE)
	@$(FAULTS) tests/torture/torture.sh $(PARTS)

bench: $(PROGRAM) ## time training and sampling on this machine
	./$(PROGRAM) bench --config cifar.json --batch 16
	./$(PROGRAM) bench --config fashion.json --batch 64

tests: $(TESTS) ## build the test programs

run: $(BUILD)/tests/$(T) ## one test program: make run T=base/test_rng
	$<

lint: ## format, layers, lengths, shell scripts
	@scripts/setup.sh build lint
	@$(REMAKE) run-lint

run-lint: $(OBJECTS)
	@BUILD=$(BUILD) scripts/lint.sh

analyse: ## clang's analyser, cppcheck and gcc -fanalyzer on every source
	@scripts/setup.sh build analyse
	@$(REMAKE) run-analyse

run-analyse:
	@BUILD=$(BUILD) scripts/analyse.sh $(CPPFLAGS) $(SHARE)

format: ## clang-format every source
	clang-format -i $(SOURCES) $(wildcard src/*.c include/*/*.h tests/*.[ch] tests/*/*.c)

BINDIR = $(DESTDIR)$(PREFIX)/bin
DATA   = $(DESTDIR)$(PREFIX)/share/ddpm
DOC    = $(DESTDIR)$(PREFIX)/share/doc/ddpm
install: all ## copy the program and its configs to $(DESTDIR)$(PREFIX)
	install -d $(BINDIR) $(DATA)/configs $(DATA)/scripts $(DOC)
	install -m 755 $(PROGRAM) $(BINDIR)/ddpm
	install -m 644 configs/*.json $(DATA)/configs
	install -m 755 scripts/fetch_cifar10.sh $(DATA)/scripts
	install -m 644 $(wildcard *.md) LICENSE $(DOC)

uninstall: ## remove what install copied
	rm -f $(BINDIR)/ddpm
	rm -rf $(DATA) $(DOC)

clean: ## remove what was built
	rm -rf $(BUILD) $(PROGRAM)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

FORCE:
.PHONY: all setup demo test check race run-race memcheck run-memcheck coverage fuzz run-fuzz \
        torture run-torture run-tests tests run lint run-lint analyse run-analyse format \
        install uninstall clean bench help FORCE
.SECONDARY:
-include $(OBJECTS:.o=.d) $(BUILD)/main.d $(SUPPORT:.o=.d) $(TESTS:=.d) \
         $(patsubst tests/%.c,$(BUILD)/tests/%.d,$(wildcard tests/fuzz/*.c))
