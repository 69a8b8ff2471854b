#!/usr/bin/env bats
# The program is built so that an error in memory ends it: what the linker and the compiler left in
# the file. `make` gives these flags without being asked; a sanitizer's build has them but for
# FORTIFY_SOURCE.

setup() {
    DDPM=${DDPM:-$PWD/ddpm}
    command -v readelf >/dev/null || skip "readelf is not installed"
    readelf -h "$DDPM" >"$BATS_TEST_TMPDIR/header" 2>&1 || skip "no ELF file"
    symbols=$(readelf -W --dyn-syms "$DDPM")
}

is_sanitized() {
    grep -qE '__(asan|tsan|ubsan)_' <<<"$symbols"
}

@test "the program can be anywhere (PIE), and is linked at its start, then read-only" {
    grep -E 'Type: +DYN' "$BATS_TEST_TMPDIR/header"
    readelf -d "$DDPM" | grep -E 'FLAGS.*PIE'
    readelf -d "$DDPM" | grep -E 'FLAGS.*NOW'
    readelf -lW "$DDPM" | grep GNU_RELRO
}

@test "nothing that can be written to can be run, the stack neither" {
    readelf -lW "$DDPM" | awk '
        $1 == "GNU_STACK" { stack = $0 }
        /^  [A-Z_]+ +0x/ && / RWE / { bad = $0 }
        END { print stack; print bad; exit !(stack ~ / RW +0x/) || bad != "" }'
}

@test "a buffer on the stack that overflows is noticed" {
    grep -F __stack_chk_fail <<<"$symbols"
}

@test "what is written into a buffer of known size is checked, but in a sanitizer's build" {
    # Elsewhere than in glibc these are not functions.
    readelf -d "$DDPM" | grep -qF '[libc.so.6]' || skip "not glibc"
    if is_sanitized; then
        run grep -E '__(vsn|sn|f)?printf_chk|__memcpy_chk' <<<"$symbols"
        [ "$status" -eq 1 ]
    else
        grep -E '__v?snprintf_chk' <<<"$symbols"
        grep -F '__memcpy_chk' <<<"$symbols"
    fi
}
