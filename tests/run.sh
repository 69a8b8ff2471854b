#!/usr/bin/env bash
# Runs test programs (cmocka) and test scripts (bats), and ends in one line: N passed, N failed.
#
#     tests/run.sh PROGRAM... SCRIPT.bats...
#
# Each runs by itself, as the programs use all cores. What passes is one line; what fails is shown
# in full. A program that crashes, hangs, ends early or has no tests at all has failed.
# $TEST_TIMEOUT: seconds that one program or script may take (300).
# $DDPM: the program that the scripts test (./ddpm).
set -u
export LC_ALL=C CMOCKA_MESSAGE_OUTPUT=TAP
export DDPM="${DDPM:-$PWD/ddpm}"
# Threads that wait sleep: on a busy machine, spinning makes the short parallel loops of tests many
# times slower (test_unet with 4 busy processes on 2 cores: 75 s, and 10 s so).
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
limit=${TEST_TIMEOUT:-300}
passed=0 failed=0 skipped=0

output=$(mktemp) || exit 1
trap 'rm -f "$output"' EXIT

# The command that limits another's time, where there is one.
stopwatch=()
for command in timeout gtimeout; do
    if command -v "$command" >/dev/null; then
        stopwatch=("$command" -k 10 "$limit")
        break
    fi
done

# TAP on stdin to "passed failed skipped planned". A test that cmocka skips is "not ok 3 # SKIP".
count() {
    awk '/^(not )?ok [0-9].*# [Ss][Kk][Ii][Pp]/ { skip++; next }
         /^ok [0-9]/ { ok++ }
         /^not ok [0-9]/ { bad++ }
         /^1\.\.[0-9]+/ { plan += substr($1, 4) }
         END { print ok + 0, bad + 0, skip + 0, plan + 0 }'
}

# What is wrong beyond the tests that say so themselves; nothing if nothing is.
complaint() { # STATUS BAD RAN PLANNED
    if [ "$1" -eq 124 ]; then
        echo "stopped after $limit s"
    elif [ "$1" -eq 137 ]; then
        echo "killed: out of memory, or would not stop after $limit s"
    elif [ "$1" -gt 128 ]; then
        echo "killed by signal $(($1 - 128)) after $3 of $4 tests"
    elif [ "$3" -lt "$4" ]; then
        echo "ended after $3 of $4 tests"
    elif [ "$3" -eq 0 ]; then
        echo "no tests in it"
    elif [ "$1" -ne 0 ] && [ "$2" -eq 0 ]; then
        echo "exit code $1 although every test passed"
    fi
}

run() { # NAME COMMAND...
    local name=$1 verdict=ok seconds status ok bad skip skip_note plan wrong
    shift
    local TIMEFORMAT=%1R
    seconds=$({ time ${stopwatch[@]+"${stopwatch[@]}"} "$@" >"$output" 2>&1 </dev/null; } 2>&1)
    status=$?
    seconds=${seconds##*$'\n'}
    read -r ok bad skip plan < <(count <"$output")
    wrong=$(complaint "$status" "$bad" $((ok + bad + skip)) "$plan")
    [ -n "$wrong" ] && bad=$((bad + 1))
    if [ "$bad" -gt 0 ]; then
        verdict=FAILED
        echo "---- $name"
        cat "$output"
        echo "---- $name: ${wrong:-failed}"
    fi
    [ "$skip" -gt 0 ] && skip_note=", $skip skipped" || skip_note=""
    printf '%-6s %-32s %4d passed, %d failed%s  (%s s)\n' "$verdict" "$name" "$ok" "$bad" \
        "$skip_note" "$seconds"
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
}

SECONDS=0
for test in "$@"; do
    case $test in
    *.bats) run "${test#tests/}" bats --formatter tap "$test" ;;
    *) run "${test##*tests/}" "$test" ;;
    esac
done
if [ $((passed + failed)) -eq 0 ]; then
    echo "no test was run"
    failed=1
fi
[ "$skipped" -gt 0 ] && echo "$skipped skipped"
echo "$SECONDS s in all"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
