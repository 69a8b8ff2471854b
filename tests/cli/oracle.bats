#!/usr/bin/env bats
# ddpm sample --oracle: the exact denoiser of a few images ends in these images.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
    # twelve images of 8 x 8 x 3 that are like no other
    train --out run --set train.steps=1
    "$DDPM" sample --model run --raw -n 12 -o data.npy -q
    oracle=(sample --oracle --config tiny.json --set data.format=npy --set data.path=data.npy \
        --set data.flip=false -q)
}

# An image a line, as its bytes.
images_of() { # FILE
    bytes_of "$1" | od -An -v -tu1 -w192 | sed 's/^ *//; s/  */ /g'
}

mirrored() {
    awk '{ for (y = 0; y < 8; y++) for (x = 7; x >= 0; x--) for (c = 1; c <= 3; c++)
               printf "%s%s", $(24 * y + 3 * x + c), y * x + c == 3 && y == 7 ? "\n" : " " }'
}

# Every image of FILE is one of those on stdin, and they are not all the same one.
are_among() { # FILE
    sort -u >wanted
    images_of "$1" | sort -u >drawn
    [ "$(wc -l <drawn)" -gt 2 ]
    comm -23 drawn wanted >others
    [ ! -s others ]
}

@test "every sampler ends in training images, byte for byte" {
    for sampler in "ddpm" "ddpm --variance fixed_small" "ddpm --no-clip" "ddim" "ddim --eta 1" \
        "dpm++" "dpm++ --eta 1 --steps 10" "heun" "ddim --steps 5 --spacing trailing"; do
        echo "$sampler"
        # shellcheck disable=SC2086 # options
        "$DDPM" "${oracle[@]}" -n 16 -o out.npy --sampler $sampler
        images_of data.npy | are_among out.npy
    done
}

@test "whatever the config predicts, and whatever its chain" {
    for keys in prediction=v schedule=cosine "variance=learned_range loss=vlb" \
        "prediction=x0 zero_terminal_snr=true"; do
        echo "$keys"
        set=()
        for key in $keys; do set+=(--set "diffusion.$key"); done
        "$DDPM" "${oracle[@]}" -n 16 -o out.npy "${set[@]}"
        images_of data.npy | are_among out.npy
    done
}

@test "with data.flip the mirror images are of the set, without it they are not" {
    mirror=(--set data.flip=true)
    "$DDPM" "${oracle[@]}" "${mirror[@]}" -n 1 -o grid.png
    [ "$(text_of grid.png Denoiser)" = "exact, of 12 images and their mirror images" ]
    "$DDPM" "${oracle[@]}" "${mirror[@]}" -n 32 -o out.npy
    { images_of data.npy; images_of data.npy | mirrored; } | are_among out.npy
    run comm -12 drawn <(images_of data.npy | sort -u)
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -gt 2 ]
    [ "${#lines[@]}" -lt "$(wc -l <drawn)" ]
}

@test "the same bits with any number of threads; the same images in any batches" {
    "$DDPM" "${oracle[@]}" -n 9 -o many.npy --float
    "$DDPM" "${oracle[@]}" -n 9 -o one.npy --float --threads 1
    cmp many.npy one.npy
    "$DDPM" "${oracle[@]}" -n 9 -o batches.npy --float --batch 2
    floats_within 0.01 many.npy batches.npy
    "$DDPM" "${oracle[@]}" -n 9 --seed 1 -o other.npy --float
    run cmp -s many.npy other.npy
    [ "$status" -eq 1 ]
}

@test "what is said of it; what is held out is not in the set" {
    "$DDPM" "${oracle[@]}" -n 2 -o grid.png
    [ "$(text_of grid.png Denoiser)" = "exact, of 12 images" ]
    [ -n "$(text_of grid.png "Data CRC-32")" ]
    [ -z "$(text_of grid.png "Weights CRC-32")" ]
    "$DDPM" sample --oracle --config tiny.json --set data.format=npy --set data.path=data.npy \
        --set data.flip=false --set data.validation=0.5 -n 2 -o half.png 2>said
    grep -q '^denoiser: exact, of 6 images$' said
    grep -q '^tiny.json: 2 images by ddpm, 20 steps, seed 0$' said
    [ "$(text_of half.png "Data CRC-32")" != "$(text_of grid.png "Data CRC-32")" ]
    # classes make no difference: it is of all images
    "$DDPM" sample --oracle --config tiny.json --set data.labels=true --set model.num_classes=9 \
        -n 2 -o shapes.npz -q
}

@test "what else is made of a walk: films, images that are begun at" {
    "$DDPM" "${oracle[@]}" -n 2 -o strips.png --show-steps 5
    "$DDPM" "${oracle[@]}" -n 2 -o grid.png --trajectory frames
    [ "$(find frames -name '*.png' | wc -l)" -eq 21 ]
    cmp <("$DDPM" info frames/000020.png | grep -v -e Timestep -e frames) \
        <("$DDPM" info grid.png | grep -v grid.png)
    "$DDPM" "${oracle[@]}" -n 1 -o start.png
    "$DDPM" "${oracle[@]}" -n 4 --init grid.png --fit resize --strength 0.3 -o again.npy
    "$DDPM" "${oracle[@]}" -n 6 -o folder
    [ "$(find folder -name '*.png' | wc -l)" -eq 6 ]
    "$DDPM" "${oracle[@]}" -n 6 -o folder
    "$DDPM" sample --model run --raw -n 12 --seed 1 -o data.npy -q
    refuses 2 "Data CRC-32" -- "${oracle[@]}" -n 6 -o folder
}

@test "options that make no sense with it are refused, with the reason" {
    refuses 2 "--oracle needs --config FILE" -- sample --oracle -o x.png
    refuses 2 "--config tiny.json is for --oracle" -- sample --config tiny.json -o x.png
    refuses 2 "--set a=b is for the config of --oracle" -- sample --set a=b -o x.png
    refuses 2 "--model" "takes the model's place" -- "${oracle[@]}" --model run -o x.png
    refuses 2 "--raw" "no weights" -- "${oracle[@]}" --raw -o x.png
    refuses 2 "--ema" "no weights" -- "${oracle[@]}" --ema 0.9999 -o x.png
    refuses 2 "--class" "whatever their class" -- "${oracle[@]}" --class 1 -o x.png
    refuses 2 "--guidance" "whatever their class" -- "${oracle[@]}" --guidance 2 -o x.png
    refuses 2 "--guidance-interval" -- "${oracle[@]}" --guidance-interval 1:3 -o x.png
    refuses 2 "learned_range" "no variance is learned" -- "${oracle[@]}" \
        --set diffusion.variance=learned_range --set diffusion.loss=vlb --variance learned_range \
        -o x.png
    refuses 3 "none.npy" -- "${oracle[@]}" --set data.path=none.npy -o x.png
    refuses 2 "divides by alpha-bar" -- "${oracle[@]}" --set diffusion.zero_terminal_snr=true \
        --set diffusion.prediction=v --sampler heun -o x.png
    [ ! -e x.png ]
}
