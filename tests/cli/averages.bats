#!/usr/bin/env bats
# Averages of the weights at several rates: trained, resumed, sampled; told while they are early.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
}

@test "averages of several rates: each is sampled by its rate, none changes another" {
    draw() { # OUT OPTION...
        local out=$1
        shift
        "$DDPM" sample -n 2 -o "$out" --sampler ddim --steps 2 -q "$@"
    }
    train --out run --set 'train.ema_decay=[0.9,0.99,0]' --set train.ema_warmup=false
    train --out one --set train.ema_decay=0.99 --set train.ema_warmup=false
    draw first.npy --model run
    draw 0.9.npy --model run --ema 0.9
    draw 0.99.npy --model run --ema 0.99
    draw 0.npy --model run --ema 0
    draw raw.npy --model run --raw
    draw one.npy --model one
    draw first.png --model run
    draw raw.png --model run --raw
    "$DDPM" info first.png | grep -q '^Weights  *EMA 0.9$'
    "$DDPM" info raw.png | grep -q '^Weights  *raw$'
    cmp first.npy 0.9.npy
    cmp one.npy 0.99.npy
    cmp raw.npy 0.npy
    run cmp -s 0.9.npy 0.99.npy
    [ "$status" -eq 1 ]
    refuses 2 "--ema 0.999: run/checkpoints/step-00000040 has 0.9, 0.99, 0" -- \
        sample --model run -n 2 -o x.png --ema 0.999
    refuses 2 "--raw" "--ema" -- sample --model run -n 2 -o x.png --ema 0.9 --raw
    cp -r run/checkpoints/latest/. pipeline
    rm pipeline/{ddpm.json,training.safetensors,checksums.json}
    refuses 2 "--ema" "pipeline is not a checkpoint" -- \
        sample --model pipeline -n 2 -o x.png --ema 0.9
    [ ! -e x.png ]
    "$DDPM" info run | grep -qx 'averages of the weights: 0.9 (unet/), 0.99, 0'
    refuses 2 "train.ema_decay[1] = 0.9 is there already" -- \
        train --config tiny.json --set 'train.ema_decay=[0.9,0.9]'
}

@test "averages of several rates go on bit for bit, and with those rates alone" {
    options=(--set 'train.ema_decay=[0.9,0.99]')
    train --out straight "${options[@]}"
    train --out run "${options[@]}" --set train.steps=20
    for rates in 0.9 '[0.99,0.9]' '[0.9,0.99,0.999]'; do
        refuses 2 "train.ema_decay is not what run was trained with" "cannot be made" \
            "--init run" -- train --resume --out run --set "train.ema_decay=$rates"
    done
    "$DDPM" train --resume --out run --quiet --set train.steps=40
    same_weights straight run
    train --out other "${options[@]}" --init run --set train.steps=1
}

@test "an average that is still that of the first updates is told, where it is used" {
    early="the EMA 0.999 still carries 96 % of the first tenth of its 40 updates"
    train --out run --set 'train.ema_decay=[0.5,0.999]' --set train.ema_warmup=false
    "$DDPM" train --config tiny.json --out other --set train.ema_warmup=false \
        --set train.ema_decay=0.999 2>said
    grep -q "^$early; from 5114 on it is below 1 %$" said
    grep -q "of its 20 updates" said
    "$DDPM" info run | grep -q "^$early"
    "$DDPM" sample --model run -n 1 -o x.png -q --sampler ddim --steps 2 --ema 0.999 2>said
    grep -q "^ddpm sample: $early" said
    "$DDPM" sample --model run -n 1 -o x.png -q --sampler ddim --steps 2 2>said
    [ ! -s said ]
    "$DDPM" sample --model run -n 1 -o x.png -q --sampler ddim --steps 2 --raw 2>said
    [ ! -s said ]
    tail -n 1 run/metrics.jsonl | grep -q '"ema_early_share":\[1.4551915228366[0-9]*e-11,0.9646'
}
