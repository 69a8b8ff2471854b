#!/usr/bin/env bats
# train.evaluate_every: figures of quality while training.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
    options=(--set data.validation=test --set train.evaluate_every=15 --set train.evaluate_images=8
        --set train.validate_every=0 --set sample.sampler=ddim --set sample.steps=2)
}

# A run's lines of figures, without their time.
figures_of() { # RUN
    grep evaluation "$1/metrics.jsonl" | sed 's/"evaluation_seconds":[^,]*,//'
}

@test "figures are seen, logged, and change no bit of training, whatever the threads" {
    train --out without
    "$DDPM" train --config tiny.json --out with "${options[@]}" 2>said
    cat said
    same_weights without with
    run grep evaluation without/metrics.jsonl
    [ "$status" -eq 1 ]
    grep -q "^evaluation each 15 steps: 8 images of data.validation, and 8 samples by ddim in 2 \
steps$" said
    run grep '^validation' said
    [ "$status" -eq 1 ]
    number='[0-9.e+]+'
    grep -qE "^evaluation after 15 steps, EMA 0.9999, 8 images: $number \+- $number bits/dim; \
sliced Wasserstein of as many samples $number \+- $number \($number \+- $number of as many of the \
data\)$" said
    # and at the end, once
    [ "$(figures_of with | sed -E 's/^\{"step":([0-9]+),.*/\1/' | paste -s -d ' ')" = "15 30 40" ]
    for name in bits_per_dim prior_bits_per_dim decoder_bits_per_dim sliced_wasserstein \
        sliced_wasserstein_floor; do
        [ "$(figures_of with | grep -cE "\"evaluation_$name\":$number,\
\"evaluation_${name}_standard_error\":$number,")" -eq 3 ]
    done
    [ "$(figures_of with | grep -cE '"evaluation_sliced_wasserstein_by_level":\[[0-9.]+\]')" -eq 3 ]
    train --out one "${options[@]}" --threads 1
    cmp <(figures_of with) <(figures_of one)
}

@test "a run that is resumed has the same figures" {
    train --out straight "${options[@]}" --set data.validation=0.01
    cp -r straight half
    ln -sfn step-00000020 half/checkpoints/latest
    "$DDPM" train --resume --out half --quiet
    same_weights straight half
    cmp <(figures_of straight) <(figures_of half)
    # the figures, not the model, may change on the way
    "$DDPM" train --resume --out half --quiet --set train.steps=45 --set train.evaluate_every=0
    [ "$(figures_of half | wc -l)" -eq 3 ]
}

@test "with classes" {
    train --out run "${options[@]}" --set train.steps=1 --set data.labels=true \
        --set model.num_classes=9
    train --out all "${options[@]}" --set train.steps=1 --set data.labels=true \
        --set model.num_classes=8 --set train.label_dropout=0
    [ "$(cat run/metrics.jsonl all/metrics.jsonl | grep -c evaluation_bits)" -eq 2 ]
}

@test "what it needs is said where it lacks" {
    refuses 2 "train.evaluate_every = 5 needs images" "data.validation" -- \
        train --config tiny.json --set train.evaluate_every=5
    refuses 2 "[4, 4]" "7 pixels" -- train --config tiny.json "${options[@]}" \
        --set model.image_size=4 --set 'model.attention_resolutions=[2]'
    refuses 2 "train.evaluate_images = 1 is out of range" -- \
        train --config tiny.json "${options[@]}" --set train.evaluate_images=1
    [ ! -e runs ]
}
