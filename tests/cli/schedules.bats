#!/usr/bin/env bats
# Chains of one's own: betas given outright, and alpha-bars that are rescaled to end at 0.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
    zero=(--set diffusion.zero_terminal_snr=true --set diffusion.prediction=v)
}

@test "betas given outright train and draw as the schedule that they are" {
    betas=[$(seq 0 19 | awk '{ printf "%s%.17g", (NR > 1 ? "," : ""), 0.02 + 0.01 * $1 }')]
    train --out named --set diffusion.beta_start=0.02 --set diffusion.beta_end=0.21
    train --out given --set "diffusion.betas=$betas"
    grep -q '"betas": *\[0.02,' given/config.json
    grep -q '"trained_betas": *\[0.02,' given/checkpoints/latest/scheduler/scheduler_config.json
    for run in named given; do
        "$DDPM" sample --model $run -n 4 --quiet -o $run.npy
        bytes_of $run.npy >$run.bytes
    done
    within_one named.bytes given.bytes
}

@test "zero_terminal_snr trains, draws, and is diffusers' rescale_betas_zero_snr" {
    train --out run "${zero[@]}" --set train.sample_every=20
    grep -q '"rescale_betas_zero_snr": *true' \
        run/checkpoints/latest/scheduler/scheduler_config.json
    "$DDPM" sample --model run -n 4 --quiet -o ours.npy
    cp -r run/checkpoints/latest/. pipeline
    rm pipeline/{ddpm.json,training.safetensors,checksums.json}
    "$DDPM" sample --model pipeline --variance fixed_large --steps 20 -n 4 --quiet -o theirs.npy
    cmp ours.npy theirs.npy
    refuses 2 "dpm++" "zero_terminal_snr" -- \
        sample --model run --sampler dpm++ -n 1 -o "$BATS_TEST_TMPDIR/x.png"
}

@test "chains that cannot work are refused, with the reason" {
    refuses 2 "diffusion.betas has 2 numbers" "diffusion.timesteps is 20" -- \
        train --config tiny.json --set 'diffusion.betas=[0.1, 0.2]'
    refuses 2 "diffusion.betas[1] = 2" -- train --config tiny.json --set 'diffusion.betas=[0.1, 2]'
    refuses 2 "diffusion.betas[1] = 1; lower that one" -- train --config tiny.json \
        --set 'diffusion.betas=[0.1,1,0.5]' --set diffusion.timesteps=3 \
        --set diffusion.prediction=v
    refuses 2 "zero_terminal_snr ends at alpha-bar 0" "epsilon" -- \
        train --config tiny.json --set diffusion.zero_terminal_snr=true
    refuses 2 "signal-to-noise ratio" "not be trained" -- \
        train --config tiny.json "${zero[@]}" --set diffusion.loss=min_snr
    refuses 2 "divides by alpha-bar" -- \
        train --config tiny.json "${zero[@]}" --set sample.sampler=heun
    [ ! -e runs ]
}
