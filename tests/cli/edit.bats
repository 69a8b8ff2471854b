#!/usr/bin/env bats
# Sampling that begins at images.

setup_file() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    (
        enter_folder "$BATS_FILE_TMPDIR"
        train --seed 0 >/dev/null
        "$DDPM" sample --quiet -n 2 --seed 3 -o given
        "$DDPM" sample --quiet -n 2 --seed 3 -o given.npy
    )
}

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    cd "$BATS_TEST_TMPDIR" || return 1
    for file in runs tiny.json given given.npy; do ln -s "$BATS_FILE_TMPDIR/$file" .; done
    a=given/000000.png
}

sample() { # OPTION...
    "$DDPM" sample --quiet "$@"
}

image=$((8 * 8 * 3))

# Image I of a uint8 .npy, COUNT times.
image_of() { # FILE I [COUNT]
    for _ in $(seq "${3:-1}"); do
        tail -c +$((129 + $2 * image)) "$1" | head -c $image
    done
}

# How near a uint8 .npy of one image is to image I of another, in dB; 99 where it is the same.
psnr_of() { # FILE FILE [I]
    bytes_of "$1" >one
    image_of "$2" "${3:-0}" >other
    awk -v square="$(difference one other)" 'BEGIN {
        print square ? 10 * log(255 * 255 / square) / log(10) : 99 }'
}

# The mean squared difference of two files of bytes, in grey levels.
difference() { # FILE FILE
    [ "$(wc -c <"$1")" -eq "$(wc -c <"$2")" ]
    paste <(od -An -v -t u1 -w1 "$1") <(od -An -v -t u1 -w1 "$2") |
        awk '{ sum += ($1 - $2) ^ 2 } END { print sum / NR }'
}

less() { # NUMBER NUMBER
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'
}

# A BMP of WIDTH x HEIGHT; COLOUR, in awk, is the grey level at row y, column x from the top left.
bitmap() { # FILE WIDTH HEIGHT COLOUR
    awk -v w="$2" -v h="$3" '
        function bytes(value, n) {
            for (; n > 0; n--) { printf "\\%03o", value % 256; value = int(value / 256) }
        }
        BEGIN {
            row = int((3 * w + 3) / 4) * 4
            printf "BM"; bytes(54 + h * row, 4); bytes(0, 4); bytes(54, 4)
            bytes(40, 4); bytes(w, 4); bytes(h, 4); bytes(1, 2); bytes(24, 2); bytes(0, 24)
            for (y = h - 1; y >= 0; y--) {
                for (x = 0; x < w; x++) { level = ('"$4"'); bytes(level, 1); bytes(level, 1)
                                          bytes(level, 1) }
                bytes(0, row - 3 * w)
            }
        }' >escapes
    # shellcheck disable=SC2059 # they are
    printf "$(cat escapes)" >"$1"
}

@test "--init: the weaker, the nearer to the image; one step leaves it nearly as it is" {
    local strength before=0 now
    image_of given.npy 0 8 >eight
    for strength in 0.01 0.3 0.6 1; do
        sample --init "$a" --strength $strength -n 8 -o out.npy
        bytes_of out.npy >out
        now=$(difference out eight)
        echo "strength $strength: $now"
        less "$before" "$now"
        before=$now
        [ $strength != 0.01 ] || less "$now" 300
    done
}

@test "--init: as many steps as the strength says, by every sampler" {
    local sampler
    "$DDPM" sample --init "$a" -o x.png 2>said
    [[ "$(head -n 1 said)" == *": 1 images by ddpm, 10 steps, seed 0" ]]
    "$DDPM" sample --init "$a" --strength 0.26 --sampler ddim --steps 12 -o x.png 2>said
    [[ "$(head -n 1 said)" == *": 1 images by ddim, 3 steps, eta 0, seed 0" ]]
    image_of given.npy 0 1 >one
    for sampler in ddpm ddim dpm++ heun; do
        sample --init "$a" --strength 0.01 --sampler $sampler -o $sampler.npy
        bytes_of $sampler.npy >out
        less "$(difference out one)" 300
    done
}

@test "--init: image i depends on the seed and i alone" {
    sample --init "$a" -n 7 -o all.npy
    sample --init "$a" -n 3 -o three.npy
    sample --init "$a" -n 7 -o split.npy --batch 2 --threads 1
    bytes_of all.npy $((3 * image)) >all.3
    bytes_of three.npy >three.3
    within_one all.3 three.3
    within_one all.npy split.npy
    sample --init "$a" -n 7 -o again.npy
    cmp all.npy again.npy
    sample --init "$a" -n 7 -o seed.npy --seed 1
    run cmp -s all.npy seed.npy
    [ "$status" -eq 1 ]
    image_of all.npy 0 >first
    image_of all.npy 1 >second
    run cmp -s first second
    [ "$status" -eq 1 ]
}

@test "--init: the PNG says what it was made from" {
    sample --init "$a" --strength 0.25 -o one.png
    "$DDPM" info one.png >said
    grep -q "^Steps  *5$" said
    grep -q "^Strength  *0.25$" said
    sample --init given/000001.png --strength 0.25 -o other.png
    "$DDPM" info other.png >other
    [ "$(grep "Init CRC-32" said)" != "$(grep "Init CRC-32" other)" ]
}

@test "--init: grey becomes colour; another size is fitted where that is asked for" {
    bitmap grey.bmp 8 8 "16 * (x + y)"
    bitmap wide.bmp 24 16 "x < 4 || x >= 20 ? 255 : 8 * (x + y)"
    bitmap small.bmp 4 4 255
    sample --init grey.bmp --strength 0.01 -o out.npy
    sample --init wide.bmp --fit resize --strength 0.01 -o wide.npy
    sample --init small.bmp --fit pad --strength 0.01 -o small.npy
    refuses 3 "--init wide.bmp" "16 x 24" "8 x 8" "--fit resize" "--fit pad" -- \
        sample --init wide.bmp -o x.png
    refuses 3 "--init wide.bmp" "only makes images larger" -- \
        sample --init wide.bmp --fit pad -o x.png
    bitmap black.bmp 8 8 0
    sample --init black.bmp --strength 0.01 -o black.npy
    # white in the middle: rows 2 .. 5 of 8
    image_of small.npy 0 | tail -c +$((3 * 8 * 3 + 3 * 3 + 1)) | head -c 6 >middle
    image_of black.npy 0 | tail -c +$((3 * 8 * 3 + 3 * 3 + 1)) | head -c 6 >none
    less 30000 "$(difference middle none)"
    image_of small.npy 0 | head -c 24 >edge
    image_of black.npy 0 | head -c 24 >none
    less "$(difference edge none)" 300
    # the white bars at the sides of the wide one are cropped away
    image_of wide.npy 0 | head -c 3 >corner
    image_of black.npy 0 | head -c 3 >none
    less "$(difference corner none)" 10000
}

@test "--init: what cannot work is refused, with the reason" {
    refuses 2 "--strength 0 " "no step" -- sample --init "$a" --strength 0 -o x.png
    refuses 2 "--strength 1.5" "from 0 to 1" -- sample --init "$a" --strength 1.5 -o x.png
    refuses 2 "--strength" "--init IMAGE" -- sample --strength 0.5 -o x.png
    refuses 2 "--fit" "--init" -- sample --fit pad -o x.png
    refuses 2 "--init" "--noise n.npy" -- sample --init "$a" --noise n.npy -o x.png
    refuses 3 "--init" "none.png" -- sample --init none.png -o x.png
    echo text >text.png
    refuses 3 "--init" "text.png" "PNG" -- sample --init text.png -o x.png
    refuses 2 "--fit" "pad, resize" -- sample --init "$a" --fit crop -o x.png
    [ ! -e x.png ]
}

# The bytes of a uint8 .npy of 8 x 8 x 3 images in which the mask of awk's condition on x, y is not
# (or, with KIND white, is) white.
under_mask() { # FILE CONDITION [white]
    tail -c +129 "$1" | od -An -v -t u1 -w1 | awk -v white="${3:+1}" '{
        k = int((NR - 1) / 3) % 64; x = k % 8; y = int(k / 8)
        if (('"$2"') == (white + 0)) print }'
}

@test "--inpaint: known pixels are the image's, byte for byte; the others are drawn" {
    local where="x + y >= 8" sampler
    bitmap mask.bmp 8 8 "$where ? 255 : 0"
    image_of given.npy 0 5 >five
    { head -c 128 given.npy; cat five; } >five.npy
    for sampler in ddpm "ddim --steps 7" "ddim --steps 7 --eta 1 --no-clip"; do
        # shellcheck disable=SC2086 # words
        sample --inpaint "$a" --mask mask.bmp -n 5 --batch 3 -o out.npy --sampler $sampler
        under_mask five.npy "$where" >known
        under_mask out.npy "$where" | cmp - known
        [ "$(wc -l <known)" -eq $((5 * 3 * 36)) ]
        under_mask five.npy "$where" white >there
        run cmp -s <(under_mask out.npy "$where" white) there
        [ "$status" -eq 1 ]
        # each image is filled in in its own way
        image_of out.npy 0 >first
        image_of out.npy 1 >second
        run cmp -s first second
        [ "$status" -eq 1 ]
    done
    # in PNGs too: read back, with next to nothing done to them
    sample --inpaint "$a" --mask mask.bmp -n 1 -o pngs
    sample --inpaint pngs/000000.png --mask mask.bmp -n 1 -o again.npy
    { head -c 128 given.npy; image_of given.npy 0; } >one.npy
    under_mask one.npy "$where" >known
    under_mask again.npy "$where" | cmp - known
}

@test "--inpaint: a mask that is all white is sampling, for resample 1" {
    bitmap white.bmp 8 8 255
    sample --inpaint "$a" --mask white.bmp --resample 1 -n 3 -o out.npy
    sample -n 3 -o plain.npy
    cmp out.npy plain.npy
}

@test "--inpaint: image i depends on the seed and i alone, and on how often it is resampled" {
    bitmap mask.bmp 8 8 "y >= 4 ? 255 : 0"
    sample --inpaint "$a" --mask mask.bmp -n 5 -o all.npy
    sample --inpaint "$a" --mask mask.bmp -n 5 -o split.npy --batch 2 --threads 1
    within_one all.npy split.npy
    sample --inpaint "$a" --mask mask.bmp -n 2 -o two.npy
    bytes_of all.npy $((2 * image)) >all.2
    bytes_of two.npy >two.2
    within_one all.2 two.2
    for options in "--seed 1" "--resample 2" "--jump-length 3"; do
        # shellcheck disable=SC2086 # words
        sample --inpaint "$a" --mask mask.bmp -n 2 -o other.npy $options
        run cmp -s other.npy two.npy
        [ "$status" -eq 1 ]
    done
    # 10 is more than a chain of 5 has room for: 4
    sample --inpaint "$a" --mask mask.bmp --sampler ddim --steps 5 -o ten.npy
    sample --inpaint "$a" --mask mask.bmp --sampler ddim --steps 5 --jump-length 4 -o four.npy
    cmp ten.npy four.npy
    sample --inpaint "$a" --mask mask.bmp --sampler ddim --steps 5 -n 1 -o ten.png
    "$DDPM" info ten.png | grep -q "^Jump length  *4$"
}

@test "--inpaint: as many calls as it takes, with --noise, and told by the PNG" {
    bitmap mask.bmp 8 8 "y >= 4 ? 255 : 0"
    "$DDPM" sample --inpaint "$a" --mask mask.bmp -o x.png --batch 1 2>said
    # one turn, at level 1: 20 steps and 9 times 10
    grep -q "/110 " said
    "$DDPM" info x.png >told
    grep -q "^Jump length  *10$" told
    grep -q "^Resample  *10$" told
    sample -n 3 -o noise.npy --float
    sample --inpaint "$a" --mask mask.bmp --noise noise.npy -o x.npy
    [ "$(wc -c <x.npy)" -eq $((128 + 3 * image)) ]
}

@test "--inpaint: what cannot work is refused, with the reason" {
    bitmap mask.bmp 8 8 255
    bitmap black.bmp 8 8 127
    bitmap wide.bmp 9 8 255
    refuses 2 "--inpaint $a" "--mask IMAGE" "white" -- sample --inpaint "$a" -o x.png
    refuses 2 "--mask" "--inpaint" -- sample --mask mask.bmp -o x.png
    refuses 2 "--jump-length" "--inpaint" -- sample --jump-length 3 -o x.png
    refuses 2 "--resample" "--inpaint" -- sample --resample 3 -o x.png
    refuses 2 "dpm++" "ddpm or ddim" -- \
        sample --inpaint "$a" --mask mask.bmp --sampler dpm++ -o x.png
    refuses 2 "--init and --inpaint" "choose one" -- \
        sample --inpaint "$a" --mask mask.bmp --init "$a" -o x.png
    refuses 2 "--strength" "--init" -- \
        sample --inpaint "$a" --mask mask.bmp --strength 0.3 -o x.png
    refuses 3 "--mask black.bmp" "no pixel is white" -- \
        sample --inpaint "$a" --mask black.bmp -o x.png
    refuses 3 "--mask wide.bmp" "8 x 9" "--fit" -- \
        sample --inpaint "$a" --mask wide.bmp -o x.png
    refuses 2 "--jump-length 0" -- sample --inpaint "$a" --mask mask.bmp --jump-length 0 -o x.png
    [ ! -e x.png ]
}

@test "--encode: ddim leads from the x_T that it writes back to the image" {
    local steps refine before now
    for steps in 10 20; do
        before=0
        for refine in 1 2 4; do
            sample --encode "$a" --steps $steps --refine $refine -o x_T.npy
            sample --noise x_T.npy --sampler ddim --steps $steps -o back.npy
            now=$(psnr_of back.npy given.npy)
            echo "steps $steps refine $refine: $now dB"
            less "$before" "$now"
            before=$now
        done
        # 1 x 3 x 8 x 8 floats after the header
        [ "$(wc -c <x_T.npy)" -eq $((128 + 4 * image)) ]
        less 45 "$before"
    done
    # 4 is the default, and the image is another's no more than it should be
    sample --encode "$a" --steps 20 -o default.npy
    cmp default.npy x_T.npy
    less "$(psnr_of back.npy given.npy 1)" 30
    # without clipping, too
    sample --encode "$a" --steps 20 --no-clip -o x_T.npy
    sample --noise x_T.npy --sampler ddim --steps 20 --no-clip -o back.npy
    less 45 "$(psnr_of back.npy given.npy)"
}

@test "--encode: whatever the sampler of the config; the calls it takes are told" {
    "$DDPM" sample --encode "$a" --refine 3 --steps 7 -o x_T.npy 2>said
    [[ "$(head -n 1 said)" == *": 1 images by ddim, 7 steps, eta 0, seed 0" ]]
    grep -q "/21 " said
    sample --encode "$a" --refine 3 --steps 7 --float --threads 1 -o again.npy
    cmp x_T.npy again.npy
}

@test "--encode: what cannot work is refused, with the reason" {
    refuses 2 "--encode" "-o x_T.npy" "x.png" -- sample --encode "$a" -o x.png
    refuses 2 "--encode" "ddpm" -- sample --encode "$a" --sampler ddpm -o x.npy
    refuses 2 "--encode" "--eta" -- sample --encode "$a" --eta 0.5 -o x.npy
    refuses 2 "--encode" "--count is 2" -- sample --encode "$a" -n 2 -o x.npy
    refuses 2 "--encode" "--first" -- sample --encode "$a" --first 2 -o x.npy
    refuses 2 "--encode" "--seed" -- sample --encode "$a" --seed 0 -o x.npy
    refuses 2 "--columns 2" "x.npy" -- sample --encode "$a" --columns 2 -o x.npy
    refuses 2 "--encode" "--noise" -- sample --encode "$a" --noise n.npy -o x.npy
    refuses 2 "--strength" -- sample --encode "$a" --strength 0.5 -o x.npy
    refuses 2 "--encode and --interpolate" -- sample --encode "$a" --interpolate "$a" "$a" -o x.npy
    refuses 2 "--refine" "--encode" -- sample --refine 3 -o x.npy
    refuses 3 "--encode" "none.png" -- sample --encode none.png -o x.npy
    train --set diffusion.schedule=jsd --set diffusion.prediction=v --set train.steps=4 --out jsd
    refuses 2 "--encode" "jsd" "alpha-bar 0" -- sample --model jsd --encode "$a" -o x.npy
    train --set diffusion.zero_terminal_snr=true --set diffusion.prediction=v \
        --set train.steps=4 --out zx
    refuses 2 "--encode" "schedule = linear with diffusion.zero_terminal_snr" "alpha-bar 0" -- \
        sample --model zx --encode "$a" -o x.npy
    [ ! -e x.npy ]
    # steps that leave the last t out begin below it
    sample --model zx --encode "$a" --spacing leading --steps 10 -o x.npy
}

@test "--interpolate by inversion: the ends are the images, what is between is neither" {
    local i
    for batch in 5 1; do
        sample --interpolate "$a" given/000001.png --by inversion -n 5 --batch $batch -o out.npy
        image_of out.npy 0 >out.0
        image_of out.npy 2 >out.2
        image_of out.npy 4 >out.4
        for i in 0 1; do
            image_of given.npy $i >given.$i
            less "$(difference out.$((4 * i)) given.$i)" 1
            less 20 "$(difference out.2 given.$i)"
        done
        mv out.npy out.$batch
    done
    within_one out.5 out.1
    # as far as the strength says: little noise, another way
    sample --interpolate "$a" given/000001.png --by inversion --strength 0.3 -n 3 -o out.npy
    image_of out.npy 0 >out.0
    less "$(difference out.0 given.0)" 1
    # from an image to itself it stays where it is
    sample --interpolate "$a" "$a" --by inversion -n 3 -o out.npy
    image_of out.npy 1 >out.1
    less "$(difference out.1 given.0)" 1
}

@test "--interpolate by inversion: not up to alpha-bar 0, be it by rounding" {
    train --set diffusion.zero_terminal_snr=true --set diffusion.prediction=v \
        --set train.steps=4 --out zx
    local strength ways=(sample --model zx --interpolate "$a" "$a" --by inversion)
    for strength in 1 0.98 0.976; do
        refuses 2 "--by inversion" "diffusion.zero_terminal_snr ends at alpha-bar 0" \
            "lower --strength" -- "${ways[@]}" --strength $strength -o x.png
    done
    # with fewer steps the same strength is more of them: round(0.9 * 5) = 5
    refuses 2 "alpha-bar 0" -- "${ways[@]}" --strength 0.9 --steps 5 -o x.png
    [ ! -e x.png ]
    "$DDPM" "${ways[@]}" --strength 0.97 -o x.png 2>said
    grep -q ", 19 steps" said
}

@test "--interpolate by noise: the same noise for all, by every sampler" {
    local sampler
    for sampler in ddpm ddim dpm++ heun; do
        sample --interpolate "$a" given/000001.png --strength 0.4 --sampler $sampler -o out.npy
        [ "$(wc -c <out.npy)" -eq $((128 + 8 * image)) ]
        # the first is what --init makes of the image with the noise of image 0
        sample --init "$a" --strength 0.4 --sampler $sampler -o init.npy
        bytes_of init.npy >init
        image_of out.npy 0 >out.0
        within_one out.0 init
        image_of out.npy 7 >out.7
        image_of given.npy 1 >given.1
        less "$(difference out.7 given.1)" "$(difference out.0 given.1)"
    done
    sample --interpolate "$a" "$a" -n 4 --batch 3 -o out.npy
    for i in 1 2 3; do
        image_of out.npy 0 >out.0
        image_of out.npy $i >out.i
        within_one out.0 out.i
    done
}

@test "--interpolate: folders go on, and PNGs say between what" {
    sample --interpolate "$a" given/000001.png -n 4 --batch 2 --by inversion --steps 5 -o folder
    cp -r folder whole
    rm folder/000003.png
    sample --interpolate "$a" given/000001.png -n 4 --batch 2 --by inversion --steps 5 -o folder
    diff -r folder whole
    "$DDPM" info folder/000001.png >told
    grep -q "^Interpolated by  *inversion$" told
    grep -q "^Interpolated in  *4$" told
    # of five it would be another image
    refuses 2 "Interpolated in" -- sample --interpolate "$a" given/000001.png -n 5 --batch 2 \
        --by inversion --steps 5 -o folder
}

@test "--interpolate: what cannot work is refused, with the reason" {
    local b=given/000001.png
    refuses 2 "--interpolate" "two names" -- sample --interpolate "$a" -o x.png
    refuses 2 "--interpolate" "at least 2" -- sample --interpolate "$a" "$b" -n 1 -o x.png
    refuses 2 "--interpolate" "--first" -- sample --interpolate "$a" "$b" --first 3 -o x.png
    refuses 2 "--init and --interpolate" -- sample --interpolate "$a" "$b" --init "$a" -o x.png
    refuses 2 "--interpolate" "--noise" -- sample --interpolate "$a" "$b" --noise n.npy -o x.png
    refuses 2 "--by" "--interpolate" -- sample --by noise -o x.png
    refuses 2 "--by inversion" "dpm++" -- \
        sample --interpolate "$a" "$b" --by inversion --sampler dpm++ -o x.png
    refuses 2 "--by inversion" "--eta" -- \
        sample --interpolate "$a" "$b" --by inversion --sampler ddim --eta 1 -o x.png
    refuses 2 "--refine" "--by inversion" -- sample --interpolate "$a" "$b" --refine 2 -o x.png
    refuses 3 "--interpolate" "none.png" -- sample --interpolate "$a" none.png -o x.png
    [ ! -e x.png ]
}

@test "a model with classes: --encode and --interpolate are told which" {
    train --set data.labels=true --set model.num_classes=9 --set train.steps=20 --out classes
    local model=(--model classes --steps 20)
    for action in "--encode $a -o x.npy" "--interpolate $a given/000001.png -o x.npy"; do
        # shellcheck disable=SC2086 # words
        refuses 2 "--class K" "8 classes" -- sample "${model[@]}" $action
        # shellcheck disable=SC2086 # words
        refuses 2 "--class K" -- sample "${model[@]}" $action --class 1,2
        # shellcheck disable=SC2086 # words
        refuses 2 "--class K" -- sample "${model[@]}" $action --class all
    done
    # guided as well, and of no class
    for options in "--class 3" "--class 3 --guidance 2" "--guidance 0"; do
        # shellcheck disable=SC2086 # words
        sample "${model[@]}" --encode "$a" $options --refine 6 -o x_T.npy
        # shellcheck disable=SC2086 # words
        sample "${model[@]}" --noise x_T.npy --sampler ddim $options -o back.npy
        less 45 "$(psnr_of back.npy given.npy)"
    done
    sample "${model[@]}" --interpolate "$a" given/000001.png --class 3 --by inversion -n 3 -o x.npy
    image_of x.npy 2 >last
    image_of given.npy 1 >given.1
    less "$(difference last given.1)" 1
    # what is made of one image in many ways is of many classes, as other samples are
    sample "${model[@]}" --init "$a" -n 2 -o x.npy
}

@test "a model that learned its variance: all of it works" {
    bitmap mask.bmp 8 8 "y >= 4 ? 255 : 0"
    train --set diffusion.variance=learned_range --set diffusion.loss=hybrid --set train.steps=3 \
        --out learned
    sample --model learned --encode "$a" -o x_T.npy
    sample --model learned --noise x_T.npy --sampler ddim --steps 20 -o back.npy
    less 40 "$(psnr_of back.npy given.npy)"
    sample --model learned --inpaint "$a" --mask mask.bmp --resample 2 -o x.npy
    sample --model learned --init "$a" -o x.npy
    sample --model learned --interpolate "$a" given/000001.png -o x.npy
}
