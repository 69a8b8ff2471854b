#!/usr/bin/env bash
# Lets libFuzzer make up inputs for harnesses, for so many seconds each:
#
#     tests/fuzz/fuzz.sh SECONDS NAME...
#
# Prints for each how many inputs were tried and what was found; exit code 1 if anything was. An
# input that is a finding lies in $BUILD/findings: build/tests/fuzz/NAME FILE runs it alone. What
# covers more of the program than what is in tests/fuzz/corpus/NAME is kept in $BUILD/corpus/NAME,
# where the next run goes on from. $BUILD (build/fuzz) has the fuzzers.
set -u
export LC_ALL=C OMP_NUM_THREADS=1
cd "$(dirname "$0")/../.." || exit 2
build=${BUILD:-build/fuzz}
if [ $# -lt 2 ] || ! [[ $1 =~ ^[0-9]+$ ]]; then
    echo "fuzz: usage: fuzz.sh SECONDS NAME..." >&2
    exit 2
fi
limit=$1
shift

# Inputs are files on their way: in memory, where there is such a place.
TMPDIR=$(mktemp -d /dev/shm/ddpm-fuzz-XXXXXX 2>/dev/null || mktemp -d) || exit 2
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
export UBSAN_OPTIONS=print_stacktrace=1

# More than a GiB at once, or two in all, is more than any input here can need. A minute is more
# than a decoder of images may take (include/data/decode.h).
fuzz() { # NAME
    local corpus=$build/corpus/$1
    mkdir -p "$corpus" "$build/findings" "$build/logs"
    "$build/fuzzers/$1" -max_total_time="$limit" -timeout=60 -malloc_limit_mb=1024 \
        -rss_limit_mb=2048 -print_final_stats=1 -dict="tests/fuzz/dictionaries/$1.dict" \
        -artifact_prefix="$build/findings/$1-" "$corpus" "tests/fuzz/corpus/$1" \
        >"$build/logs/$1" 2>&1
}

# "runs features" of a log.
figures() { # LOG
    awk '/^stat::number_of_executed_units:/ { runs = $2 }
         match($0, / ft: [0-9]+/) { features = substr($0, RSTART + 5, RLENGTH - 5) }
         END { print runs + 0, features + 0 }' "$1"
}

found=0
TIMEFORMAT='%0R %U %S'
for name in "$@"; do
    verdict="nothing found"
    times=$({ time fuzz "$name"; } 2>&1) || verdict="FOUND: see $build/logs/$name"
    read -r seconds user system <<<"$times"
    read -r runs features < <(figures "$build/logs/$name")
    busy=$(awk "BEGIN { printf \"%.0f\", $user + $system }")
    echo "fuzz: $name: $runs runs in $seconds s ($busy s of processor time), $features features," \
        "$verdict"
    [ "$verdict" = "nothing found" ] || found=$((found + 1))
done
[ $found -eq 0 ]
