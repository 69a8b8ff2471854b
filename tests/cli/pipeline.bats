#!/usr/bin/env bats
# A diffusers folder that PyTorch wrote (tests/fixtures/pipeline), and ours read back as one.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    pipeline=$(dirname "$BATS_TEST_DIRNAME")/fixtures/pipeline
    enter_folder "$BATS_TEST_TMPDIR"
}

sample() { # OPTION...
    "$DDPM" sample --model "$pipeline" --sampler ddim --noise "$pipeline/x_T.npy" --float \
        --quiet "$@"
}

@test "PyTorch's network and chain, sampled: the same images to 1e-3" {
    sample --steps 10 -o ours.npy
    head -c 128 ours.npy | grep -aqF "'shape': (3, 3, 12, 20)"
    floats_within 1e-3 ours.npy "$pipeline/ddim.npy"
    sample --steps 10 -o split.npy --batch 2 --threads 1
    floats_within 1e-3 split.npy "$pipeline/ddim.npy"
}

@test "other steps, spacing, noise or no clipping: not the same images" {
    local options
    for options in "--steps 9" "--steps 10 --spacing leading" "--steps 10 --eta 0.3" \
        "--steps 10 --no-clip"; do
        # shellcheck disable=SC2086 # words
        sample $options -o other.npy
        run floats_within 1e-3 other.npy "$pipeline/ddim.npy"
        [ "$status" -ne 0 ]
    done
}

@test "info tells what it is" {
    run "$DDPM" info "$pipeline"
    [ "$status" -eq 0 ]
    [[ "${lines[0]}" == *": a diffusers folder" ]]
    [[ "$output" == *"down_blocks.1.attentions.0 "* ]]
}

@test "it can be trained on, and what that writes samples alike at first" {
    cat >config.json <<'END'
{ "data": { "format": "shapes" },
  "model": { "image_size": [12, 20], "base_channels": 8, "channel_mult": [1, 2, 3], "res_blocks": 1,
             "attention_resolutions": [6], "attention_head_dim": 8, "norm_groups": 4 },
  "train": { "steps": 1, "batch_size": 2, "learning_rate": 1e-9, "sample_every": 0 } }
END
    "$DDPM" train --config config.json --init "$pipeline" --out run --quiet
    pipeline_of_ours=run/checkpoints/latest
    "$DDPM" sample --model $pipeline_of_ours --sampler ddim --noise "$pipeline/x_T.npy" --float \
        --steps 10 -o ours.npy --quiet
    floats_within 1e-3 ours.npy "$pipeline/ddim.npy"
}
