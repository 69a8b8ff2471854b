#!/usr/bin/env bats
# Sampling from the command line: what a model may be, what comes out, and that image i depends on
# the seed and i alone.

setup_file() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    (enter_folder "$BATS_FILE_TMPDIR" && train --set train.sample_every=0 >/dev/null)
}

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    cd "$BATS_TEST_TMPDIR" || return 1
    ln -s "$BATS_FILE_TMPDIR/runs" runs
    ln -s "$BATS_FILE_TMPDIR/tiny.json" tiny.json
}

sample() { # OPTION...
    "$DDPM" sample --quiet "$@"
}

image=$((8 * 8 * 3))

@test "images by the newest run; where they are is printed, and which model, steps and seed" {
    [ "$("$DDPM" sample -n 4 -o grid.png 2>said)" = grid.png ]
    [ "$(head -n 1 said)" = \
        "runs/tiny/checkpoints/step-00000040: 4 images by ddpm, 20 steps, seed 0" ]
    [ "$(sample -n 4 -o again.png 2>&1)" = again.png ]
    cmp grid.png again.png
    "$DDPM" sample -n 2 -o x.npy --sampler ddim --steps 7 --eta 0.5 --seed 9 2>said
    [[ "$(head -n 1 said)" == *": 2 images by ddim, 7 steps, eta 0.5, seed 9" ]]
    sample -n 2 -o y.npy --sampler ddim --steps 7 --eta 0.5 --seed 10
    run cmp -s x.npy y.npy
    [ "$status" -eq 1 ]
}

@test "-n 4 gives the first four of -n 16, however the batches are split" {
    sample -n 16 -o all.npy --batch 16
    sample -n 4 -o four.npy
    sample -n 16 -o split.npy --batch 3
    sample -n 16 -o threads.npy --batch 16 --threads 1
    bytes_of all.npy $((4 * image)) >all.4
    bytes_of four.npy >four.4
    [ "$(wc -c <four.4)" -eq $((4 * image)) ]
    within_one all.4 four.4
    within_one all.npy split.npy
    cmp all.npy threads.npy
    # the images are not all the same: the fifth is no copy of the first
    bytes_of all.npy | tail -c +$((4 * image + 1)) | head -c "$image" >fifth
    head -c "$image" all.4 >first
    run within_one first fifth
    [ "$status" -ne 0 ]
}

@test "ddim, dpm++ and heun too: the first of many" {
    local sampler
    for sampler in "ddim --steps 5 --eta 1" "dpm++ --steps 5" "dpm++ --steps 5 --eta 1" \
        "heun --steps 5"; do
        # shellcheck disable=SC2086 # words
        sample -n 9 -o many.npy --batch 4 --sampler $sampler
        # shellcheck disable=SC2086
        sample -n 2 -o few.npy --sampler $sampler
        bytes_of many.npy $((2 * image)) >many
        bytes_of few.npy >few
        within_one many few
    done
}

@test "outputs: grid, folder, .npy, .npz, --float" {
    sample -n 5 -o grid.png
    sample -n 5 -o folder
    sample -n 5 -o bytes.npy
    sample -n 5 -o bytes.npz
    sample -n 5 -o floats.npy --float
    head -c 8 grid.png | od -An -tx1 | grep -q '89 50 4e 47 0d 0a 1a 0a'
    [ "$(cd folder && echo *)" = "000000.png 000001.png 000002.png 000003.png 000004.png" ]
    head -c 128 bytes.npy | grep -aqF "'|u1', 'fortran_order': False, 'shape': (5, 8, 8, 3)"
    head -c 128 floats.npy | grep -aqF "'<f4', 'fortran_order': False, 'shape': (5, 3, 8, 8)"
    [ "$(wc -c <bytes.npy)" -eq $((128 + 5 * image)) ]
    [ "$(wc -c <floats.npy)" -eq $((128 + 4 * 5 * image)) ]
    grep -q 'arr_0.npy' bytes.npz
    # round((x + 1) 127.5) of the floats, in the other order, are the bytes
    bytes_of floats.npy | od -An -v -t f4 -w4 | awk '
        { i = int((NR - 1) / 192); c = int((NR - 1) / 64) % 3; p = (NR - 1) % 64
          v = int(($1 + 1) * 127.5 + 0.5); at = i * 192 + p * 3 + c
          byte[at] = v < 0 ? 0 : v > 255 ? 255 : v }
        END { for (k = 0; k < NR; k++) print byte[k] }' >from.floats
    bytes_of bytes.npy | od -An -v -t u1 -w1 | awk '{ print $1 + 0 }' | cmp - from.floats
    # the members of the .npz are stored: the .npy is in it as it stands
    tail -c +$((1 + $(header_of bytes.npz))) bytes.npz | head -c "$(wc -c <bytes.npy)" |
        cmp - bytes.npy
}

# Bytes before the first member of a ZIP.
header_of() { # FILE
    local name extra
    name=$(od -An -t u2 -j 26 -N 2 "$1")
    extra=$(od -An -t u2 -j 28 -N 2 "$1")
    echo $((30 + name + extra))
}

@test "what sample writes, train reads: a folder, .npy, .npz" {
    local path
    sample -n 6 -o images
    sample -n 6 -o images.npy
    sample -n 6 -o images.npz
    for path in images images.npy images.npz; do
        format=npy
        [ -d $path ] && format=folder
        train --out "run-$path" --set data.format=$format --set data.path=$path --set train.steps=3
    done
    same_weights run-images.npy run-images.npz
    same_weights run-images run-images.npy
}

# The array arr_1 of a .npz, in which it comes after arr_0; both are stored.
labels_of() { # FILE COUNT
    local name
    name=$(grep -abo arr_1.npy "$1" | head -n 1 | cut -d : -f 1)
    tail -c +$((name - 30 + 1)) "$1" >member
    tail -c +$(($(header_of member) + 128 + 1)) member | head -c $((8 * $2)) |
        od -An -v -t d8 -w8 | xargs
}

@test "a model with classes: image i of class i modulo their number, the labels in the .npz" {
    local classes=(--set data.labels=true --set model.num_classes=9)
    train "${classes[@]}" --out classes --set train.steps=3
    sample --model classes -n 2 --first 7 -o late.npz --sampler ddim --steps 2
    [ "$(labels_of late.npz 2)" = "7 0" ]
    sample --model classes -n 10 -o labelled.npz --batch 4 --sampler ddim --steps 2
    [ "$(labels_of labelled.npz 10)" = "0 1 2 3 4 5 6 7 0 1" ]
    "$DDPM" sample --help | grep -q "class i modulo"
    options=(--set data.format=npy --set data.path=labelled.npz)
    train "${options[@]}" "${classes[@]}" --dry-run
    # no classes, no labels
    sample -n 2 -o plain.npz --sampler ddim --steps 2
    run grep -q arr_1 plain.npz
    [ "$status" -eq 1 ]
    refuses 3 "plain.npz" "arr_1" -- train --config tiny.json "${classes[@]}" \
        --set data.format=npy --set data.path=plain.npz --dry-run
}

@test "--noise: x_T from a file" {
    sample -n 3 -o noise.npy --float --seed 5
    sample --noise noise.npy -o one.npy --float --sampler ddim --steps 4
    sample --noise noise.npy -o two.npy --float --sampler ddim --steps 4 --seed 7 --batch 2
    [ "$(wc -c <one.npy)" -eq "$(wc -c <noise.npy)" ]
    floats_within 1e-5 one.npy two.npy
    sample --noise noise.npy -n 1 -o three.npy --float --sampler ddim --steps 4
    head -c $((128 + 4 * image)) one.npy >first.npy
    floats_within 1e-5 three.npy first.npy
    sample -n 3 -o drawn.npy --float --sampler ddim --steps 4
    run cmp -s drawn.npy one.npy
    [ "$status" -eq 1 ]
}

@test "--first: the images from there on, and their part of --noise" {
    sample -n 7 -o all.npy --sampler ddim --steps 5
    sample --first 4 -n 3 -o last.npy --sampler ddim --steps 5
    bytes_of all.npy | tail -c +$((4 * image + 1)) >all.last
    bytes_of last.npy >last
    within_one all.last last
    sample -n 7 -o noise.npy --float --seed 5
    sample --noise noise.npy -o decoded.npy --sampler ddim --steps 4
    sample --noise noise.npy --first 5 -o rest.npy --sampler ddim --steps 4
    bytes_of decoded.npy | tail -c +$((5 * image + 1)) >decoded.rest
    bytes_of rest.npy >rest
    within_one decoded.rest rest
    sample --first 3 -n 2 -o grid.png
    "$DDPM" info grid.png | grep -q '^First index  *3$'
    refuses 2 "--first 7" "0 .. 6" -- sample --noise noise.npy --first 7 -o x.png
    refuses 2 "--first 5 --count 3" "0 .. 6" -- sample --noise noise.npy --first 5 -n 3 -o x.png
    refuses 2 "--first 4294967295" "2 images" -- sample --first 4294967295 -n 2 -o x.png
    sample --first 4294967295 -n 1 -o x.png --sampler ddim --steps 1
    refuses 2 "--first -1" -- sample --first -1 -n 2 -o y.png
}

@test "--noise that does not fit is refused" {
    sample -n 2 -o bytes.npy
    refuses 3 "--noise bytes.npy" "float32 of shape [N, 3, 8, 8]" -- \
        sample --noise bytes.npy -o x.png
    refuses 3 "none.npy" -- sample --noise none.npy -o x.png
    sample -n 2 -o floats.npy --float
    refuses 2 "--count 3" "floats.npy holds 2" -- sample --noise floats.npy -n 3 -o x.png
    # the last number of the second image becomes NaN, then minus infinity
    for bits in '\000\000\300\177' '\000\000\200\377'; do
        # shellcheck disable=SC2059 # escapes
        printf "$bits" |
            dd of=floats.npy bs=1 seek=$((124 + 8 * image)) conv=notrunc status=none
        refuses 3 "--noise floats.npy" "image 1 " "not finite" -- \
            sample --noise floats.npy -o x.png
    done
    [ ! -e x.png ]
}

@test "--spacing: which steps; repeats are dropped, and the real count printed" {
    local spacing
    for spacing in linspace leading trailing quadratic; do
        sample -n 2 -o $spacing.npy --sampler ddim --steps 6 --spacing $spacing
    done
    for spacing in leading trailing quadratic; do
        run cmp -s linspace.npy $spacing.npy
        [ "$status" -eq 1 ]
    done
    run "$DDPM" sample -n 1 -o x.png --sampler ddim --steps 18 --spacing quadratic
    [ "$status" -eq 0 ]
    [[ "${lines[0]}" =~ ", "1[0-7]" steps, eta 0" ]]
    refuses 2 "21" "20" -- sample -n 1 -o x.png --steps 21
}

@test "--eta and --columns are refused where they say nothing, be it 0" {
    local sampler out
    for sampler in ddpm heun; do
        refuses 2 "eta = 0" "$sampler" -- sample --sampler $sampler --eta 0 -o x.png
    done
    for out in x.npy x.npz folder; do
        refuses 2 "--columns 2" "$out" -- sample --columns 2 -o $out
        [ ! -e $out ]
    done
    sample -n 1 --sampler ddim --steps 2 -o default.npy
    sample -n 1 --sampler ddim --steps 2 --eta 0 --seed 0 -o zero.npy
    cmp default.npy zero.npy
}

@test "--clip: where the config does not" {
    train --set sample.clip=false --set train.sample_every=0 --out unclipped
    sample -n 2 -o clipped.npy --float
    sample --model unclipped -n 2 -o clip.npy --float --clip
    cmp clipped.npy clip.npy
    sample --model unclipped -n 2 -o unclipped.npy --float
    run cmp -s clipped.npy unclipped.npy
    [ "$status" -eq 1 ]
}

@test "--eta, --variance, --no-clip, --raw: each changes the images" {
    sample -n 1 -o ddim.npy --float --sampler ddim
    sample -n 1 -o ddpm.npy --float
    sample -n 1 -o small.npy --float --variance fixed_small
    sample -n 1 -o unclipped.npy --float --no-clip
    sample -n 1 -o raw.npy --float --raw
    [ "$(for file in *.npy; do cksum <"$file"; done | sort -u | wc -l)" -eq 5 ]
    # over all T steps, ddim with eta 1 is ddpm with the posterior's variance (Song et al. 2021)
    sample -n 1 -o eta.npy --float --sampler ddim --eta 1
    floats_within 1e-4 eta.npy small.npy
    refuses 2 "--variance" "ddim" -- sample -n 1 -o x.png --sampler ddim --variance fixed_small
}

@test "--variance: a model that learned its own may be given a fixed one, not the other way" {
    local variance
    train --out learned --set diffusion.variance=learned_range --set diffusion.loss=hybrid
    sample --model learned -n 2 -o own.npy
    sample --model learned -n 2 -o learned_range.npy --variance learned_range
    cmp own.npy learned_range.npy
    for variance in fixed_small fixed_large; do
        sample --model learned -n 2 -o $variance.npy --variance $variance
        run cmp -s own.npy $variance.npy
        [ "$status" -eq 1 ]
    done
    run cmp -s fixed_small.npy fixed_large.npy
    [ "$status" -eq 1 ]
    for sampler in ddim dpm++ heun; do
        sample --model learned -n 2 -o x.npy --sampler $sampler --steps 5
    done
    refuses 2 "variance = learned_range" "has not learned" "fixed_small" -- \
        sample -n 1 -o x.png --variance learned_range
}

@test "a U-Net and a scheduler that disagree on a learned variance are refused" {
    train --out fixed --set train.steps=1
    mkdir model
    cp -r fixed/checkpoints/latest/{model_index.json,unet,scheduler} model
    sed -i 's/"fixed_large"/"learned_range"/' model/scheduler/scheduler_config.json
    refuses 3 "model" "puts out 3 channels" "must put out 6" -- sample --model model -n 1 -o x.png
}

@test "heun calls the network twice a step, but for the last" {
    "$DDPM" sample -n 2 -o x.npy --sampler heun --steps 5 2>said
    [[ "$(head -n 1 said)" == *": 2 images by heun, 5 steps, seed 0" ]]
    grep -q 'sample: 9/9 calls' said
    "$DDPM" sample -n 2 -o x.npy --sampler ddim --steps 5 2>said
    grep -q 'sample: 5/5 calls' said
    refuses 2 "eta" "heun" "ddim" -- sample -n 1 -o x.png --sampler heun --eta 0.5
    refuses 2 "--variance" "heun" -- sample -n 1 -o x.png --sampler heun --variance fixed_small
}

@test "heun, dpm++ and ddim lead to the same images where the steps are many" {
    local sampler
    for sampler in heun ddim dpm++; do
        sample -n 2 -o $sampler.npy --float --no-clip --sampler $sampler --steps 20
    done
    floats_within 0.3 ddim.npy heun.npy
    floats_within 0.1 dpm++.npy heun.npy
    sample -n 2 -o few.npy --float --no-clip --sampler ddim --steps 4
    run floats_within 0.3 few.npy heun.npy
    [ "$status" -ne 0 ]
}

@test "dpm++ --eta: noise; what is between 0 and 1 too, and none is the default" {
    local eta
    for eta in 0 0.5 1; do
        "$DDPM" sample -n 2 -o eta-$eta.npy --float --sampler dpm++ --steps 8 --eta $eta 2>said
        [[ "$(head -n 1 said)" == *"by dpm++, 8 steps, eta $eta, seed 0" ]]
    done
    sample -n 2 -o default.npy --float --sampler dpm++ --steps 8
    cmp default.npy eta-0.npy
    [ "$(for file in eta-*.npy; do cksum <"$file"; done | sort -u | wc -l)" -eq 3 ]
    refuses 2 "eta" "ddpm" -- sample -n 1 -o x.png --eta 0.5
}

@test "a model is a run, a checkpoint, a pipeline, a U-Net with its weights: the same images" {
    local model checkpoint=runs/tiny/checkpoints/step-00000040
    mkdir pipeline flat
    cp -r $checkpoint/{model_index.json,unet,scheduler} pipeline
    cp $checkpoint/unet/* flat
    for model in runs/tiny runs/tiny/ $checkpoint $checkpoint/ runs/tiny/checkpoints/latest \
        pipeline; do
        sample --model "$model" -n 2 -o "$(echo "$model" | tr / -).npy" --sampler ddim --steps 5
    done
    for model in ./*.npy; do cmp ./pipeline.npy "$model"; done
    sample --model $checkpoint/unet -n 2 -o unet.npy --sampler ddim --steps 5
    (cd $checkpoint/unet && sample --model . -n 2 -o "$OLDPWD/here.npy" --sampler ddim --steps 5)
    cmp pipeline.npy unet.npy
    cmp pipeline.npy here.npy
    # a U-Net alone does not say what chain it was trained for
    sample --model flat -n 1 -o flat.png --sampler ddim --steps 5 2>said
    [ "$(wc -l <said)" -eq 1 ]
    grep -q '^ddpm sample: flat: no scheduler_config.json .* is the chain linear, T = 1000,' said
    run "$DDPM" info pipeline
    [ "$status" -eq 0 ]
    [[ "$output" == "pipeline: a diffusers folder"* ]]
    run "$DDPM" info flat
    [ "$status" -eq 0 ]
    refuses 2 "--raw" "pipeline" -- sample --model pipeline -n 1 -o x.png --raw
    refuses 3 "nowhere" -- sample --model nowhere -n 1 -o x.png
    mkdir empty
    refuses 3 "empty" "model_index.json" -- sample --model empty -n 1 -o x.png
}

@test "interrupted: 130, and no output" {
    "$DDPM" sample -n 100000 --batch 4 -o x.npy 2>err 3>&- &
    pid=$!
    until_done grep -q '1/' err
    kill -INT $pid
    status=0
    wait $pid || status=$?
    [ $status -eq 130 ]
    [ ! -e x.npy ]
}
