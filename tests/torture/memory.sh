# shellcheck shell=bash disable=SC2154 # counts and here are torture.sh's
# Every allocation of the program made to fail once (tests/torture/allocator.c), command by command:
# an error that says how much there was no memory for, no crash, nothing that is not given back; or
# a warning where training can do without.

grids="--set train.sample_every=2" once="--set train.checkpoint_every=0"
commands=(
    "train --config tiny.json --resume=auto --out new --quiet --set train.steps=2 $grids"
    "train --config tiny.json --resume --out resumed --quiet --set train.steps=6 $once"
    "train --config tiny.json --dry-run"
    "sample -m base -n 3 -o grid.png --quiet"
    "sample -m base -n 3 -o images --quiet"
    "sample -m base -n 3 -o images.npz --quiet"
    "sample -m base -n 3 -o images.npy --float --sampler dpm++ --steps 5 --quiet"
    "eval -m base --images 4 --budget 3 --nll --json --quiet"
    "eval -m base --images 4 --loss --oracle --json --quiet"
    "eval -m base --samples drawn.npz --memorised --pairs pairs.png --json --quiet"
    "info base"
    "info grid.png"
    "schedule --config tiny.json --json"
    "sample --oracle --config tiny.json -n 2 -o oracle.png --quiet"
    "bench --config tiny.json --repeat 1 --layers --json --quiet"
    "help config"
)

# Run command $1 with its k-th allocation failing. False once there is no k-th.
starve() { # COMMAND K
    local status=0 name=${1%% *}
    rm -rf new images resumed report
    [[ $1 != *resumed* ]] || cp -a base resumed
    # shellcheck disable=SC2086 # the command's words
    FAIL_AT=$2 FAIL_REPORT=$PWD/report LD_PRELOAD=$ALLOCATOR \
        "$DDPM" $1 >out 2>err || status=$?
    case $status in
    0) [ -s err ] || [ "$(asked)" -ge "$2" ] || return 1
        grep -q 'training goes on$' err || defect "$1, allocation $2: nobody noticed" ;;
    1) grep -Eq "^ddpm $name: .*no memory for [0-9.]+ (bytes|MiB)" err ||
        defect "$1, allocation $2: says $(cat err)" ;;
    *) defect "$1, allocation $2: exit code $status: $(cat err)" ;;
    esac
    grep -q 'not given back 0$' report || forgotten_by_stb ||
        defect "$1, allocation $2: $(cat report)"
    faults=$((faults + 1))
    [[ $1 != *resumed* ]] || [ "$(wc -l <resumed/metrics.jsonl)" -ge 5 ] ||
        defect "$1, allocation $2: lines of metrics.jsonl are lost"
    [[ $1 != *resumed* ]] || [ $(($2 % 100)) -ne 0 ] || lost "$1" "$2"
}

# stb_image_write forgets what is packed if there is no memory for the PNG around it.
forgotten_by_stb() {
    grep -q 'not given back 1$' report && grep -q 'a PNG: no memory for' err
}

asked() {
    sed -E 's/^asked ([0-9]+),.*/\1/' report
}

# What was there before is whole, and the run goes on.
lost() { # COMMAND K
    if ! train --resume --out resumed --set train.steps=7 >/dev/null 2>after ||
        ! is_as_if_nothing_happened resumed; then
        defect "$1, allocation $2: lost: $(cat after)"
    fi
}

run_memory() {
    local command i k from step=1
    [ "$counts" = full ] || step=997
    # one level: fewer tensors, each of which is a dozen allocations of the same few lines
    sed -i -e 's/"channel_mult": \[1, 2\]/"channel_mult": [1]/' \
        -e 's/"attention_resolutions": \[4\]/"attention_resolutions": [8]/' tiny.json
    [ -e base ] || train --out base --set train.steps=5 >/dev/null || return
    "$DDPM" sample -m base -n 3 -o grid.png --quiet >/dev/null &&
        "$DDPM" sample -m base -n 5 -o drawn.npz --quiet >/dev/null || return
    for i in "${!commands[@]}"; do
        command=${commands[$i]}
        from=$((1 + (step > 1) * 41 * i))
        [ ! -e "done.$i" ] || from=$(cat "done.$i")
        for ((k = from; ; k += step)); do
            starve "$command" "$k" || break
            echo "$k" >"done.$i"
        done
    done
}
