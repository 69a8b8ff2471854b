# shellcheck shell=bash disable=SC2154 # counts and here are torture.sh's
# SIGINT, SIGTERM and SIGHUP as in crash.sh: a checkpoint, and the exit code of the signal.

# shellcheck source=tests/torture/crash.sh
source "$here/crash.sh"

run_signals() {
    if [ "$counts" = full ]; then
        run_hits 300 INT:130 TERM:143 HUP:129
    else
        run_hits 9 INT:130 TERM:143 HUP:129
    fi
}
