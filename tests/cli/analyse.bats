#!/usr/bin/env bats
# scripts/analyse.sh around programs in the tools' places: what counts as a finding.

setup() {
    root=$PWD
    unset BUILD TOOLS # make check gives one
    cd "$BATS_TEST_TMPDIR" || return 1
    mkdir -p bin scripts src/base include/base
    cp "$root"/scripts/analyse.{sh,h} scripts
    touch src/base/err.c src/base/other.c scripts/analyse.txt
    tool clang 0
    tool cppcheck 0
    tool gcc 0
}

# A tool that says this of each source that it is given last, and ends with this status.
tool() { # NAME STATUS [LINE]
    {
        echo '#!/bin/sh'
        [ $# -lt 3 ] || echo "for source; do :; done; echo \"$3\" >&2"
        echo "exit $2"
    } >"bin/$1"
    chmod +x "bin/$1"
}

analyse() {
    PATH=$PWD/bin:$PATH run scripts/analyse.sh -Iinclude "-DDDPM_VERSION=\"0 0\""
    echo "$output"
}

@test "nothing said is nothing found" {
    analyse
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -eq 3 ]
    [ "${lines[0]}" = "analyse: clang: 0 findings" ]
}

@test "a finding in our sources is one, once; a header of the system's and a note are none" {
    # shellcheck disable=SC2016 # the tool's own variable
    tool gcc 0 '$source:7:1: warning: leak of x [-Wleak]'
    tool clang 0 '/usr/include/stb/stb_image.h:7:1: warning: leak of x [leak]'
    tool cppcheck 0 'src/base/other.c:7:1: note: that is here'
    analyse
    [ "$status" -eq 1 ]
    [ "${lines[0]}" = "analyse: clang: 0 findings" ]
    [ "${lines[1]}" = "analyse: cppcheck: 0 findings" ]
    [ "${lines[2]}" = "src/base/err.c:7:1: warning: leak of x [-Wleak]" ]
    [ "${lines[3]}" = "src/base/other.c:7:1: warning: leak of x [-Wleak]" ]
    [ "${lines[4]}" = "analyse: gcc: 2 findings" ]
}

@test "what scripts/analyse.txt knows is no finding; an entry that nothing needs is" {
    tool clang 0 'src/base/other.c:7:1: warning: leak of x [leak]'
    printf '%s\n' '# reasons' 'clang src/base/other.c leak' >scripts/analyse.txt
    analyse
    [ "$status" -eq 0 ]
    echo 'clang * overflow' >>scripts/analyse.txt
    echo 'gcc src/base/other.c leak' >>scripts/analyse.txt
    analyse
    [ "$status" -eq 1 ]
    [ "${lines[0]}" = "scripts/analyse.txt:3: no finding needs this" ]
    [ "${lines[3]}" = "scripts/analyse.txt:4: no finding needs this" ]
}

@test "a tool that fails, or that there is not, has not found nothing" {
    tool cppcheck 1
    tool clang 1
    analyse
    [ "$status" -eq 1 ]
    [ "$(grep -c ': error: exit code ' <<<"$output")" -eq 2 ]
    TOOLS=clamg analyse
    [ "$status" -eq 1 ]
    [[ "$output" = *"clamg"* ]]
}
