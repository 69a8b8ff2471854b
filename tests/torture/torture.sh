#!/usr/bin/env bash
# Faults by the hundred: runs that are killed, disks and memory that fail, signals at any instant.
# Each fault has to end in a clear error or in nothing at all, never in a result that is lost or
# wrong. Prints what was done and found, and exits with 1 if anything was.
#
#     tests/torture/torture.sh [--counts small|full] [--state DIR] [crash|disk|memory|signals]...
#
# `small` takes a sample that fits in a test suite, `full` (the default) everything. What is done is
# noted in DIR (build/torture): when interrupted, the same command goes on.
# $DDPM: the program (./ddpm). $ALLOCATOR: tests/torture/allocator.c as a shared object
# (build/tests/torture/allocator.so).
set -u
export LC_ALL=C OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
DDPM=$(realpath "${DDPM:-$root/ddpm}")
ALLOCATOR=$(realpath "${ALLOCATOR:-$root/build/tests/torture/allocator.so}")
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
    crash | disk | memory | signals) parts+=("$1") && shift ;;
    *) usage "there is no part $1" ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=(crash disk memory signals)
mkdir -p "$state" && cd "$state" || exit 2
state=$PWD
faults=0 found=0

# A defect: what was done, and what came of it.
defect() { # WORD...
    echo "torture: DEFECT: $*"
    found=$((found + 1))
}

config() {
    cat >tiny.json <<'END'
{
  "data": { "format": "shapes", "flip": true },
  "model": { "image_size": 8, "base_channels": 8, "channel_mult": [1, 2], "res_blocks": 1,
             "attention_resolutions": [4], "norm_groups": 4 },
  "diffusion": { "timesteps": 20, "beta_start": 0.01, "beta_end": 0.4 },
  "train": { "steps": 1000000, "batch_size": 4, "micro_batch": 4, "learning_rate": 0.001,
             "warmup_steps": 5, "log_every": 1, "sample_every": 0, "checkpoint_every": 1 },
  "sample": { "count": 4 }
}
END
}

train() { # OPTION...
    "$DDPM" train --config tiny.json --quiet "$@"
}

latest_step() { # RUN
    local name
    name=$(readlink "$1/checkpoints/latest") && echo $((10#${name#step-}))
}

# The weights, averages and moments of two runs' latest checkpoints are the same bytes.
same() { # RUN RUN
    local file
    for file in training.safetensors unet/diffusion_pytorch_model.safetensors; do
        cmp -s "$1/checkpoints/latest/$file" "$2/checkpoints/latest/$file" || return 1
    done
}

# What `run` is at its step is what a run is that nothing happened to.
is_as_if_nothing_happened() { # RUN
    local step
    step=$(latest_step "$1") || return 1
    [ -e "straight-$step" ] || train --out "straight-$step" --set train.steps="$step" \
        --set train.checkpoint_every=0 >/dev/null || return 1
    same "$1" "straight-$step"
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
    mkdir -p "$folder" && cd "$folder" || exit 2
    config
    before=$found
    faults=0
    "run_$part"
    echo "torture: $part: $faults faults, $((found - before)) defects"
    cd "$state" || exit 2
    [ "$found" -ne "$before" ] || rm -rf "$folder"
done
[ "$found" -eq 0 ]
