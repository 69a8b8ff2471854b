#!/usr/bin/env bats
# Every loss, prediction and variance from the command line: what works trains and draws, what
# cannot work is refused with the reason.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
}

# Train and sample with these values of `diffusion`.
draws() { # KEY=VALUE...
    local options=() value
    for value in "$@"; do options+=(--set "diffusion.$value"); done
    train --out run --overwrite --set train.steps=4 --set train.sample_every=2 "${options[@]}"
    [ -s run/samples/step-00000004.png ]
    "$DDPM" sample --model run -n 3 --quiet -o "$BATS_TEST_TMPDIR/x.png"
    grep -q '"loss":[0-9]' run/metrics.jsonl
}

# `ddpm train` refuses these values of `diffusion`, in these words.
refuses_values() { # WORDS... -- KEY=VALUE...
    local words=() options=() value
    while [ "$1" != -- ]; do words+=("$1"); shift; done
    shift
    for value in "$@"; do options+=(--set "diffusion.$value"); done
    refuses 2 "${words[@]}" -- train --config tiny.json "${options[@]}"
}

@test "every loss trains and its model draws" {
    for loss in simple vlb min_snr p2; do
        draws loss=$loss prediction=v
    done
    for loss in vlb hybrid; do
        draws loss=$loss variance=learned_range
    done
    draws loss=vlb prediction=mean variance=learned_range
}

@test "learned_range: the same bytes after a kill, and diffusers' names for it" {
    options=(--set diffusion.variance=learned_range --set diffusion.loss=hybrid)
    train --out straight "${options[@]}" --set train.checkpoint_every=0
    train --out halves "${options[@]}" --set train.steps=20
    "$DDPM" train --resume --out halves --quiet --set train.steps=40
    same_weights straight halves
    grep -q '"variance_type": *"learned_range"' \
        straight/checkpoints/latest/scheduler/scheduler_config.json
    grep -q '"out_channels": *6' straight/checkpoints/latest/unet/config.json
    "$DDPM" sample --model straight --variance fixed_small -n 2 --quiet -o fixed.png
}

@test "losses that cannot work are refused, with the reason" {
    refuses_values "diffusion.loss = simple" "never trains" -- variance=learned_range
    refuses_values "diffusion.loss = p2" "hybrid or vlb" -- variance=learned_range loss=p2
    refuses_values "diffusion.loss = hybrid" "fixed_large is fixed" -- loss=hybrid
    refuses_values "diffusion.loss = min_snr" "vlb" -- loss=min_snr prediction=mean
    refuses_values "alpha-bar ends at 0" -- loss=p2 prediction=v schedule=jsd
    refuses_values "diffusion.min_snr_gamma = 0" -- min_snr_gamma=0
    refuses_values "diffusion.p2_k = 0" -- p2_k=0
    refuses_values "diffusion.p2_gamma = -1" -- p2_gamma=-1
    [ ! -e runs ]
}

@test "how t is drawn: each trains, and goes on bit for bit" {
    for sampler in uniform stratified importance; do
        options=(--set "diffusion.timestep_sampler=$sampler" --set train.batch_size=16)
        train --out $sampler "${options[@]}" --set train.checkpoint_every=0
        train --out halves "${options[@]}" --overwrite --set train.steps=31
        "$DDPM" train --resume --out halves --quiet --set train.steps=40
        same_weights $sampler halves
    done
    history=checkpoints/latest/loss_history.safetensors
    cmp "importance/$history" "halves/$history"
    [ ! -e stratified/$history ]
    for sampler in stratified importance; do
        run same_weights uniform $sampler
        [ "$status" -ne 0 ]
    done
    head -c 300 halves/$history >damaged
    mv damaged halves/$history
    refuses 3 "loss_history.safetensors" -- train --resume --out halves --set train.steps=50
}
