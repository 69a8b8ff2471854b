#!/usr/bin/env bats
# Validation: the loss on images that are not trained on.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
}

# The numbers of a run's validations: step, loss, images.
validations_of() { # RUN
    local loss='"validation_loss":([0-9.e-]+)' images='"validation_images":([0-9]+)'
    sed -nE "s/^\{\"step\":([0-9]+),.*$loss,.*$images,.*/\1 \2 \3/p" "$1/metrics.jsonl"
}

@test "validation on the test part: it is seen, logged, and changes no bit of training" {
    options=(--set data.validation=test --set train.validate_every=15)
    train --out without
    "$DDPM" train --config tiny.json --out with "${options[@]}" \
        --set train.validate_images=50 2>said
    same_weights without with
    grep -q '^validation each 15 steps on 50 of 1,000 images$' said
    number='0\.[0-9]+'
    grep -qE "^validation after 15 steps, EMA 0.9999, 50 images: loss $number \+- $number, by \
quarter of t $number, $number, $number, $number$" said
    # and at the end
    [ "$(validations_of with | cut -d ' ' -f 1,3)" = $'15 50\n30 50\n40 50' ]
    [ "$(grep -c validation_noise_mse_standard_error_by_quarter_of_t with/metrics.jsonl)" -eq 3 ]
    grep -v validation with/metrics.jsonl | cut -d , -f 1-8 >with.lines
    cut -d , -f 1-8 without/metrics.jsonl | cmp - with.lines
    # the same numbers with any number of threads
    train --out one "${options[@]}" --set train.validate_images=50 --threads 1
    cmp <(validations_of with) <(validations_of one)
    # 0: never; without data.validation there is nothing to look at
    train --out never "${options[@]}" --set train.validate_every=0
    run grep -l validation_loss never/metrics.jsonl without/metrics.jsonl
    [ "$status" -eq 1 ]
}

@test "validation on images held out: which are not trained on, whatever is resumed" {
    options=(--set data.validation=0.3 --set train.validate_every=10)
    "$DDPM" train --config tiny.json --out straight "${options[@]}" 2>said
    grep -q '^validation each 10 steps on 1,000 of 3,000 images, which are not trained on$' said
    grep -q '^7,000 images of 8x8x3' said
    cp -r straight half
    ln -sfn step-00000020 half/checkpoints/latest
    "$DDPM" train --resume --out half --quiet
    same_weights straight half
    cmp <(validations_of straight) <(validations_of half)
    [ "$(validations_of half | wc -l)" -eq 4 ]
    # what is held out is the same whether it is looked at or not, and other than nothing
    train --out unseen "${options[@]}" --set train.validate_every=0
    same_weights straight unseen
    train --out all
    run same_weights straight all
    [ "$status" -ne 0 ]
    for change in data.validation=0.2 data.validation=null train.seed=1; do
        refuses 2 "${change%=*} is not what half was trained with" -- \
            train --resume --out half --set train.steps=41 --set $change
    done
}

@test "validation: what cannot be is refused" {
    "$DDPM" sample --model "$(train --set train.steps=1)" -n 4 -o images.npy -q
    npy=(--set data.format=npy --set data.path=images.npy)
    refuses 2 "data.validation = test" "images.npy has no test part" "data.validation = 0.05" -- \
        train --config tiny.json "${npy[@]}" --set data.validation=test
    refuses 2 "data.validation = 1.5 is out of range" "test" -- \
        train --config tiny.json --set data.validation=1.5
    refuses 2 'data.validation = "tset"' "did you mean test?" -- \
        train --config tiny.json --set data.validation=tset
    train "${npy[@]}" --set data.validation=0.5 --out half --set train.steps=2
    "$DDPM" train --config tiny.json "${npy[@]}" --set data.validation=0.5 --dry-run |
        grep -q 'on 2 of 2 images, which are not trained on'
    # a run goes on with another test set, or none
    train --out run --set train.steps=10
    "$DDPM" train --resume --out run --quiet --set train.steps=12 --set data.validation=test
    [ "$(validations_of run | wc -l)" -eq 1 ]
}

@test "validation while t is drawn by importance: what that remembers is of training alone" {
    importance=(--set diffusion.timestep_sampler=importance --set diffusion.timesteps=3)
    train --out without "${importance[@]}" --set train.steps=60
    train --out with "${importance[@]}" --set train.steps=60 --set data.validation=test \
        --set train.validate_every=7
    same_weights without with
    # with so few t it has left the uniform beginning behind: other weights than without it
    train --out uniform --set diffusion.timesteps=3 --set train.steps=60
    run same_weights without uniform
    [ "$status" -ne 0 ]
}
