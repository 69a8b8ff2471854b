#!/usr/bin/env bash
# Reads src without running it: clang's analyser, cppcheck and gcc -fanalyzer.
#
#     [TOOLS="clang cppcheck gcc"] scripts/analyse.sh FLAG...     (the preprocessor's)
#
# Each finding is a line "file:line:column: what"; exit code 1 if there is one. What a tool says in
# full, the way to a finding too, is in $BUILD/analyse/<tool>. What the tools cannot see of
# themselves is in scripts/analyse.h, what is known to be false in scripts/analyse.txt. Findings in
# the headers of libraries (stb's) are not ours, and left out.
#
# Without -fopenmp on purpose: a loop is then a loop, which the tools follow. In a parallel one
# clang sees nothing, and gcc the structs that it has put the variables in.
set -eu
cd "$(dirname "$0")/.."
out=${BUILD:-build}/analyse
export LC_ALL=C

# All checkers of clang 14 outside of alpha (where it says itself that many findings are false), but
# - DeprecatedOrUnsafeBufferHandling, which wants memcpy_s and its like: glibc has none of them;
# - Padding, which wants fields ordered by size: ours are by meaning, in tables of a few entries.
export checkers=core,unix,security,nullability,deadcode,valist,optin.portability
export without=security.insecureAPI.DeprecatedOrUnsafeBufferHandling

analyse() { # TOOL FLAG... SOURCE
    local tool=$1 model=scripts/analyse.h
    shift
    case ${!#} in
    src/base/err.c | src/base/memory.c) model=include/base/err.h ;;
    esac
    if [ "$tool" = clang ]; then
        clang --analyze -std=c11 -include $model --analyzer-output text -o /dev/null -Xclang \
            -analyzer-checker="$checkers" -Xclang -analyzer-disable-checker="$without" "$@"
    else
        gcc -std=c11 -include $model -O1 -fanalyzer -c -o /dev/null "$@"
    fi
}
export -f analyse

# Without the libraries' headers: cppcheck knows of itself what the C library does.
run_cppcheck() { # FLAG...
    local flags=() flag
    for flag in "$@"; do
        case $flag in
        -D* | -Iinclude) flags+=("$flag") ;;
        esac
    done
    cppcheck -q --std=c11 --enable=warning,performance,portability --template=gcc \
        "${flags[@]}" src
}

run() { # TOOL FLAG...
    case $1 in
    cppcheck) run_cppcheck "${@:2}" ;;
    clang | gcc)
        find src -name '*.c' -print0 | sort -z |
            xargs -0 -P "$(getconf _NPROCESSORS_ONLN)" -I {} bash -c 'analyse "$@"' . "$@" {}
        ;;
    *) echo "there is no tool $1" >&2 && return 2 ;;
    esac
}

# The findings among what a tool said, without those known to be false.
findings() { # TOOL
    awk -v tool="$1" '
        FILENAME == ARGV[1] {
            if ($1 == tool) { n++; source[n] = $2; checker[n] = "[" $3 "]"; line[n] = FNR }
            next
        }
        !/^[^ ].*: (fatal )?[a-z]+: / || /: (note|information): / || /^\/usr\// { next }
        seen[$0]++ { next }
        {
            ours = 1
            for (i = 1; i <= n; i++)
                if ((source[i] == "*" || index($0, source[i] ":") == 1) && index($0, checker[i])) {
                    ours = 0
                    used[i] = 1
                }
            if (ours) print
        }
        END {
            for (i = 1; i <= n; i++)
                if (!used[i]) print "scripts/analyse.txt:" line[i] ": no finding needs this"
        }' scripts/analyse.txt "$out/$1" | sort -t : -k 1,1 -k 2,2n
}

# A tool that fails has found nothing: that is a finding, too.
count=0
mkdir -p "$out"
for tool in ${TOOLS:-clang cppcheck gcc}; do
    run "$tool" "$@" >"$out/$tool" 2>&1 || echo "$tool: error: exit code $?" >>"$out/$tool"
    found=$(findings "$tool")
    [ -z "$found" ] || echo "$found"
    found=$(grep -c . <<<"$found") || true
    echo "analyse: $tool: $found findings"
    count=$((count + found))
done
[ $count -eq 0 ]
