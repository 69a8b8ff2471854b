#!/usr/bin/env bash
# Faults by the hundred: runs that are killed, disks and memory that fail, signals at any instant.
# Each fault has to end in a clear error or in nothing at all, never in a result that is lost or
# wrong. Prints what was done and found, and exits with 1 if anything was.
#
#     tests/torture/torture.sh [--counts small|full] [--state DIR] [PART]...
#
# The parts are crash, disk, memory, signals, bytes and fuzz; all of them if none is named.
#
# `small` takes a sample that fits in a test suite, `full` (the default) everything. What is done is
# noted in DIR (build/torture): when interrupted, the same command goes on.
# $DDPM: the program (./ddpm). $ALLOCATOR: tests/torture/allocator.c as a shared object
# (build/tests/torture/allocator.so). $DAMAGE: a test program (build/tests/train/test_damage).
set -u
export LC_ALL=C OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
DDPM=$(realpath "${DDPM:-$root/ddpm}")
ALLOCATOR=$(realpath "${ALLOCATOR:-$root/build/tests/torture/allocator.so}")
DAMAGE=$(realpath "${DAMAGE:-$root/build/tests/train/test_damage}")
counts=full state=$root/build/torture parts=()

usage() {
    echo "torture: $1; usage: torture.sh [--counts small|full] [--state DIR] [PART]..." >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --counts) [[ ${2:-} =~ ^(small|full)$ ]] || usage "--counts ${2:-}: small or full"
        counts=$2 && shift 2 ;;
    --state) [ $# -gt 1 ] || usage "--state needs a folder" && state=$2 && shift 2 ;;
    crash | disk | memory | signals | bytes | fuzz) parts+=("$1") && shift ;;
    *) usage "there is no part $1" ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=(crash disk memory signals bytes fuzz)
mkdir -p "$state" && cd "$state" || exit 2
state=$PWD
faults=0 found=0
# shellcheck source=tests/cli/support.sh
source "$here/../cli/support.sh"

# A defect: what was done, and what came of it.
defect() { # WORD...
    echo "torture: DEFECT: $*"
    found=$((found + 1))
}

# What `run` is at its step is what a run is that nothing happened to.
is_as_if_nothing_happened() { # RUN
    local step
    step=$(latest_step "$1") || return 1
    [ -e "straight-$step" ] || train --out "straight-$step" --set train.steps="$step" \
        --set train.checkpoint_every=0 >/dev/null || return 1
    same_weights "$1" "straight-$step" >/dev/null
}

# Milliseconds from $1 to $2, the same for the same fault in every run of this script.
instant() { # FROM TO FAULT
    echo $(($1 + (1103515245 * $3 + 12345) / 65536 % ($2 - $1)))
}

pause() { # MILLISECONDS
    sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
}

for part in "${parts[@]}"; do
    # shellcheck source=/dev/null
    source "$here/$part.sh" || exit 2
    folder=$state/$part-$counts
    mkdir -p "$folder" && enter_folder "$folder" || exit 2
    sed -i -e 's/"steps": 40/"steps": 1000000/' \
        -e 's/"checkpoint_every": 20/"checkpoint_every": 1/' tiny.json
    before=$found
    faults=0
    "run_$part"
    echo "torture: $part: $faults faults, $((found - before)) defects"
    cd "$state" || exit 2
    [ "$found" -ne "$before" ] || rm -rf "$folder"
done
[ "$found" -eq 0 ]
