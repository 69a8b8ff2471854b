#!/usr/bin/env bats
# What users get wrong and what machines refuse: one line that names it, the exit code that the
# design gives it, nothing overwritten, nothing half-written.

setup_file() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    (enter_folder "$BATS_FILE_TMPDIR" && train --set train.sample_every=0 >/dev/null)
}

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
    cp -r "$BATS_FILE_TMPDIR/runs/tiny" model
    checkpoint=model/checkpoints/step-00000040
}

# Whatever was written under a temporary name is gone.
nothing_half_written() {
    [ -z "$(find . -name '*.tmp*' -o -path '*/checkpoints/.*')" ]
}

# A config of CIFAR-10 in the folder cifar.
cifar_options() {
    options=(--config tiny.json --set data.format=cifar10 --set data.path=cifar
        --set model.image_size=32 --set 'model.attention_resolutions=[16]')
}

@test "configs: an unknown key, a wrong type, out of range, one against another" {
    refuses 2 "model.base_chanels" "did you mean model.base_channels" -- \
        train --config tiny.json --set model.base_chanels=8
    refuses 2 'train.steps = "many" is a string' "a whole number" -- \
        train --config tiny.json --set train.steps=many
    refuses 2 "train.learning_rate = 7" -- train --config tiny.json --set train.learning_rate=7
    refuses 2 "model.norm_groups" "5" -- train --config tiny.json --set model.norm_groups=5
    refuses 2 "model.image_size" -- train --config tiny.json --set model.image_size=9
    refuses 2 "--set steps" -- train --config tiny.json --set steps
    echo '{"train": {"stepps": 3}}' >wrong.json
    refuses 2 "wrong.json: train.stepps" "train.steps" -- train --config wrong.json
    echo '{"train": ' >wrong.json
    refuses 2 "wrong.json" -- train --config wrong.json
    refuses 2 "none.json" "configs/" -- train --config none.json
    refuses 2 "--config" -- train
    refuses 2 "jsd" -- train --config tiny.json --set diffusion.schedule=jsd
    [ ! -e runs ]
}

@test "data that is not there: where it was looked for, and what fetches it" {
    cifar_options
    refuses 3 "cifar" 'DDPM_DATA' "fetch_cifar10.sh" -- train "${options[@]}"
    DDPM_DATA=elsewhere refuses 3 "elsewhere/cifar" -- train "${options[@]}"
    refuses 3 "nothing" -- \
        train --config tiny.json --set data.format=npy --set data.path=nothing.npy
    [ ! -e runs ]
}

@test "data that is damaged: the file is named" {
    cifar_options
    make_cifar cifar
    for size in 0 1 3072 3074 61459; do
        make_cifar cifar
        truncate -s $size cifar/data_batch_2.bin
        refuses 3 "cifar/data_batch_2.bin" -- train "${options[@]}"
    done
    make_cifar cifar
    printf '\n' | dd of=cifar/data_batch_1.bin conv=notrunc status=none
    refuses 3 "cifar/data_batch_1.bin" "label" "10" -- train "${options[@]}"
    [ ! -e runs ]
}

@test "images that are none: the file is named" {
    "$DDPM" sample --model model -n 3 -q -o images >out
    options=(--config tiny.json --set data.format=folder --set data.path=images)
    cp images/000001.png whole.png
    echo "not an image" >images/000001.png
    refuses 3 "images/000001.png" -- train "${options[@]}"
    for size in 0 7 8 30 60 $(($(wc -c <whole.png) / 2)); do
        head -c "$size" whole.png >images/000001.png
        refuses 3 "images/000001.png" -- train "${options[@]}"
    done
    mkdir empty
    refuses 3 "empty" -- train --config tiny.json --set data.format=folder --set data.path=empty
    head -c 100 /dev/zero >x.npy
    refuses 3 "x.npy" -- train --config tiny.json --set data.format=npy --set data.path=x.npy
    "$DDPM" sample --model model -n 3 -q -o x.npy >out
    refuses 3 "x.npy" "8 x 8" "16 x 16" -- train --config tiny.json --set data.format=npy \
        --set data.path=x.npy --set model.image_size=16 --set 'model.attention_resolutions=[8]'
    [ ! -e runs ]
}

@test "images of strangers, in a folder: what decoding them comes to names the file" {
    local fixtures="$BATS_TEST_DIRNAME/../fixtures/images"
    mkdir images
    cp "$fixtures"/*.{png,jpg,bmp} images
    options=(--config tiny.json --set data.format=folder --set data.path=images
        --set train.steps=2)
    "$DDPM" train "${options[@]}" --quiet --out all
    refuses_instead() { # FILE BYTES WORD...
        cp "images/$1" whole
        head -c "$2" whole >"images/$1"
        refuses 3 "images/$1" "${@:3}" -- train "${options[@]}"
        cp whole "images/$1"
    }
    refuses_instead progressive.jpg 100 "cannot be read as PNG, JPEG or BMP"
    refuses_instead baseline.jpg 330 "damaged image"
    refuses_instead 24.bmp 20 "cannot be read as PNG, JPEG or BMP"
    refuses_instead rgb16.png 300 "damaged image (cut short, or a checksum is wrong)"
    refuses 3 "--init" "images/none.jpg" -- \
        sample --model model -n 1 -o x.png --init images/none.jpg
    head -c 100 images/grey.jpg >cut.jpg
    refuses 3 "--init" "cut.jpg" -- sample --model model -n 1 -o x.png --init cut.jpg
    [ ! -e x.png ]
}

# A file of a model, cut at both ends and at some places between: refused, and the file is named.
assert_cuts_are_refused() { # PLACES FOLDER FILE COMMAND...
    local file=$3 size cut
    cp "$2/$file" whole
    size=$(wc -c <whole)
    for cut in 0 1 8 9 $(seq $((size / $1)) $((size / $1 + 1)) $((size - 2))) $((size - 2)); do
        head -c "$cut" whole >"$2/$file"
        refuses 3 "${file##*/}" -- "${@:4}"
    done
    cp whole "$2/$file"
}

@test "a checkpoint cut anywhere is not sampled, and not gone on with" {
    local file
    for file in ddpm.json unet/diffusion_pytorch_model.safetensors; do
        assert_cuts_are_refused 15 "$checkpoint" $file sample --model model -n 1 -o x.png
    done
    for file in ddpm.json unet/diffusion_pytorch_model.safetensors training.safetensors; do
        cp -r model before
        assert_cuts_are_refused 5 "$checkpoint" $file \
            train --resume --out model --set train.steps=50
        diff -r model before
        rm -r before
    done
    assert_cuts_are_refused 15 "$checkpoint" training.safetensors \
        sample --model model -n 1 -o x.png --raw
    [ ! -e x.png ]
}

@test "a pipeline cut anywhere is not sampled" {
    local file
    rm "$checkpoint"/{ddpm.json,training.safetensors,checksums.json}
    for file in model_index.json unet/config.json scheduler/scheduler_config.json \
        unet/diffusion_pytorch_model.safetensors; do
        assert_cuts_are_refused 15 "$checkpoint" $file sample --model "$checkpoint" -n 1 -o x.png
    done
    "$DDPM" sample --model "$checkpoint" -n 1 -o x.png -q
}

@test "bytes that are changed are refused, or make a model that can be sampled" {
    local i file="$checkpoint/unet/diffusion_pytorch_model.safetensors"
    cp "$file" whole
    # a weight that is another: only its checksum can tell
    printf '\252' | dd of="$file" bs=1 seek=$(($(wc -c <whole) - 4)) conv=notrunc status=none
    refuses 3 "$file: damaged" "CRC-32" "delete checksums.json" -- sample -m model -n 1 -o x.png
    rm "$checkpoint/checksums.json"
    "$DDPM" sample -m model -n 1 -q -o other.png
    for i in 0 1 2 5 7 8 10 20 30 60 100 500 1000 2000 5000; do
        cp whole "$file"
        printf '\377' | dd of="$file" bs=1 seek=$i conv=notrunc status=none
        refuses 3 "diffusion_pytorch_model.safetensors" -- sample --model model -n 1 -o x.png
    done
    # not a number among the weights
    cp whole "$file"
    printf '\377\377\377\377' |
        dd of="$file" bs=1 seek=$(($(wc -c <whole) - 4)) conv=notrunc status=none
    refuses 3 "not finite" -- sample --model model -n 1 -o x.png
    [ ! -e x.png ]
}

# The first of the model's weights becomes the greatest float there is.
@test "weights too large for the network: no image is made of what is no number" {
    local file="$checkpoint/unet/diffusion_pytorch_model.safetensors"
    local first=$((8 + $(od -An -t u8 -N 8 "$file"))) output
    printf '\377\377\177\177' | dd of="$file" bs=1 seek=$first conv=notrunc status=none
    rm "$checkpoint/checksums.json"
    for output in x.png x.npy images; do
        refuses 4 "at t = 20 of 20" "not finite" "older checkpoint" -- \
            sample --model model -n 2 -o $output --quiet
        [ ! -e x.png ]
        [ ! -e x.npy ]
        [ -z "$(ls images 2>/dev/null)" ]
    done
    refuses 4 "at t = 20 of 20" -- eval --model model -n 20 --quiet
    for part in --nll --loss; do
        run "$DDPM" eval --model model --part train --images 4 $part --quiet
        [ "$status" -eq 4 ]
        [[ "$output" == *"is not finite: the weights are damaged"* ]]
        [[ "$output" == *"partial  "*"yes"* ]]
    done
}

@test "figures of a network that is far off fit into their table" {
    local file="$checkpoint/unet/diffusion_pytorch_model.safetensors"
    printf '\377\377\177\177' | dd of="$file" bs=1 seek=$(($(wc -c <"$file") - 4)) conv=notrunc \
        status=none
    rm "$checkpoint/checksums.json"
    "$DDPM" eval --model model --part train --images 4 --loss --quiet >said
    cat said
    grep -qE '^  epsilon +[0-9.]+e\+[0-9]+ \+- [0-9.e+]+  \(4 images\)$' said
}

@test "a latest that names nothing" {
    rm -r model/checkpoints/step-00000040
    refuses 3 "model" -- sample --model model -n 1 -o x.png
    refuses 3 "model" -- train --resume --out model
    # nor is it forgotten that there are others
    cp -r model before
    refuses 3 "model/checkpoints/latest" "--overwrite" -- \
        train --config tiny.json --resume=auto --out model
    diff -r --no-dereference model before
    ln -sfn step-00000020 model/checkpoints/latest
    train --resume=auto --out model
    [ "$(latest_step model)" -eq 40 ]
}

@test "a file of a model in the place of its folder: the folder is named" {
    local file
    for file in unet/config.json unet/diffusion_pytorch_model.safetensors model_index.json \
        ddpm.json training.safetensors scheduler/scheduler_config.json; do
        refuses 2 "$checkpoint/$file" "part of a model" "folder, $checkpoint" -- \
            info "$checkpoint/$file"
        [ "$(awk '{ print $NF }' said.err)" = "$checkpoint" ]
        refuses 3 "$checkpoint/$file is a file" -- \
            sample --model "$checkpoint/$file" -n 1 -o x.png
        [ "$(awk '{ print $NF }' said.err)" = "$checkpoint" ]
    done
}

@test "a run without a checkpoint: not sampled, and info has its config" {
    rm model/checkpoints/latest/ddpm.json
    refuses 3 "model/checkpoints/latest: has no ddpm.json" -- info model
    rm -r model/checkpoints
    refuses 3 "model: the run has no checkpoint yet" -- sample --model model -n 1 -o x.png
    "$DDPM" info --resolved model/config.json >expected
    "$DDPM" info --resolved model >said
    cmp expected said
    "$DDPM" info model >said
    [ "$(head -n 1 said)" = "model: a run without a checkpoint" ]
    echo '{"train": ' >model/config.json
    refuses 3 "model/config.json" -- sample --model model -n 1 -o x.png
    refuses 2 "model/config.json" -- info model
}

@test "pipelines that are something else are refused by name" {
    rm "$checkpoint"/{ddpm.json,training.safetensors,checksums.json}
    pipeline="$checkpoint"
    refuses_instead() { # FILE SED WORD...
        cp "$pipeline/$1" whole
        sed "$2" whole >"$pipeline/$1"
        run cmp -s whole "$pipeline/$1"
        [ "$status" -eq 1 ]
        refuses 3 "$1" "${@:3}" -- sample --model "$pipeline" -n 1 -o x.png
        cp whole "$pipeline/$1"
    }
    refuses_instead unet/config.json 's/UNet2DModel/UNet2DConditionModel/' UNet2DModel
    refuses_instead unet/config.json 's/"act_fn": "silu"/"act_fn": "gelu"/' act_fn gelu
    refuses_instead unet/config.json 's/"AttnDownBlock2D"/"CrossAttnDownBlock2D"/' down_block_types
    refuses_instead scheduler/scheduler_config.json 's/DDPMScheduler/ScoreSdeVeScheduler/' \
        _class_name ScoreSdeVeScheduler
    refuses_instead scheduler/scheduler_config.json 's/"linear"/"exponential"/' \
        beta_schedule exponential
    refuses_instead scheduler/scheduler_config.json \
        's/"trained_betas": null/"trained_betas": [0.1]/' trained_betas
    refuses_instead scheduler/scheduler_config.json 's/"beta_schedule"/"beta_schedulf"/' \
        beta_schedulf
    refuses_instead model_index.json 's/"unet"/"vqvae"/' vqvae
    rm -r "$pipeline/scheduler"
    refuses 3 "$pipeline/scheduler/scheduler_config.json: missing" -- \
        sample --model "$pipeline" -n 1 -o x.png
}

@test "the program and a model of other sizes: the tensor and both shapes are named" {
    rm "$checkpoint"/{ddpm.json,training.safetensors,checksums.json}
    sed -i 's/"layers_per_block": 1/"layers_per_block": 2/' "$checkpoint/unet/config.json"
    refuses 3 "down_blocks.0.resnets.1" "missing" -- sample --model "$checkpoint" -n 1 -o x.png
}

# Run in a folder on a file system of this many kB, or with files of at most that many.
with_little_space() { # kB COMMAND...
    if [ "$(id -u)" -eq 0 ] && [ -z "$NO_MOUNT" ] &&
        mkdir -p little && mount -t tmpfs -o size="$1"k ddpm-test little 2>/dev/null; then
        true
    else
        mkdir -p little
        ulimit -f "$1"
    fi
    "${@:2}"
}

teardown() {
    umount "$BATS_TEST_TMPDIR/little" 2>/dev/null || true
}

training_without_space() {
    local status=0
    cp tiny.json little
    "$DDPM" train --config tiny.json --out little/run --quiet >out 2>err || status=$?
    cat err
    [ "$status" -eq 1 ]
    [ ! -s out ]
    [ "$(wc -l <err)" -eq 1 ]
    grep -E '^ddpm train: little/run/checkpoints/.*: cannot write: (No space left|File too l)' err
    [ -z "$(ls -A little/run/checkpoints)" ]
}

sampling_without_space() {
    local output status
    echo mine >little/x.npy
    for output in x.npy x.npz x.png folder; do
        status=0
        "$DDPM" sample --model model -n 1000 -o little/$output --quiet --sampler ddim \
            --steps 2 >out 2>err || status=$?
        cat err
        [ "$status" -eq 1 ]
        [ ! -s out ]
        [ "$(wc -l <err)" -eq 1 ]
        [[ "$(cat err)" == "ddpm sample: little/$output"*": cannot "*": "* ]]
    done
    [ "$(cat little/x.npy)" = mine ]
    [ "$(ls -A little)" = "$(printf 'folder\nx.npy')" ]
    # a folder keeps the images that found room, each whole
    [ -e little/folder/000000.png ]
    for output in little/folder/*; do "$DDPM" info "$output" >/dev/null; done
}

@test "no space on the disk for a checkpoint" {
    with_little_space 300 training_without_space
}

@test "no space on the disk for images" {
    with_little_space 40 sampling_without_space
}

@test "a limit on the size of files" {
    NO_MOUNT=1 with_little_space 300 training_without_space
}

@test "a full disk does not take the last checkpoint" {
    cp -r model before
    (ulimit -f 100 && "$DDPM" train --resume --out model --quiet --set train.steps=60 2>err) &&
        return 1
    cat err
    [ "$(wc -l <err)" -eq 1 ]
    diff -r model/checkpoints before/checkpoints
    "$DDPM" train --resume --out model --quiet --set train.steps=60
    [ "$(readlink model/checkpoints/latest)" = step-00000060 ]
}

# As somebody who may not write everywhere, which root may.
as_somebody() { # COMMAND...
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    else
        chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"
        mkdir -p counts && chmod 777 counts # of lines, where gcov counts them
        GCOV_PREFIX=$PWD/counts setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    fi
}

@test "a folder that may not be written in" {
    mkdir mine
    chmod 555 mine
    cp "$DDPM" ddpm
    as_somebody ./ddpm --version || skip "no other user can run the program here"
    for output in mine/x.png mine/x.npy mine/folder mine; do
        run as_somebody ./ddpm sample --model model -n 1 -o $output
        echo "$output"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ "$output" == *"mine"*"Permission denied" ]]
    done
    run as_somebody ./ddpm train --config tiny.json --out mine/run --quiet
    echo "$output"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"mine/run"*"Permission denied" ]]
    [ -z "$(ls -A mine)" ]
}

@test "outputs that cannot be: no folder, a folder, an unknown ending" {
    refuses 1 "none/x.png" "there is no folder none" -- sample --model model -n 1 -o none/x.png
    mkdir x.png
    refuses 2 "x.png is a folder" -- sample --model model -n 1 -o x.png
    refuses 2 "x.jpg" ".png" -- sample --model model -n 1 -o x.jpg
    refuses 2 "--output" -- sample --model model -n 1
    refuses 2 "--float" -- sample --model model -n 1 -o y.png --float
    refuses 2 "tiny.json is a file" -- train --config tiny.json --out tiny.json
    refuses 2 "--columns" "0" -- sample --model model -n 1 -o y.png --columns 0
}

@test "a standard output that is full" {
    [ -w /dev/full ] || skip "no /dev/full"
    local command status
    for command in "sample --model model -n 1 -o x.png -q" "info model" \
        "train --config tiny.json --dry-run -q" "train --config tiny.json --out run -q"; do
        status=0
        # shellcheck disable=SC2086 # words
        "$DDPM" $command >/dev/full 2>err || status=$?
        cat err
        [ $status -eq 1 ]
        [ "$(wc -l <err)" -eq 1 ]
        [[ "$(cat err)" == *"standard output cannot be written: No space left on device" ]]
    done
}

# What a terminal obeys is none of what is shown; what a script reads is as it is.
@test "names that steer a terminal: shown without, found all the same" {
    local name=$'a\e]0;pwned\a'
    mkdir runs && cp -r model "runs/$name"
    "$DDPM" sample -n 1 --steps 2 --sampler ddim -o x.npy 2>said
    grep -q '^runs/a?]0;pwned?/checkpoints/step-.*: 1 images by ddim' said
    [ "$("$DDPM" train --resume --quiet)" = "runs/$name" ]
    rm model/checkpoints/latest/checksums.json
    sed -i 's|"path": *"[^"]*"|"path":"\\u001b]0;pwned\\u0007"|' model/checkpoints/latest/ddpm.json
    "$DDPM" eval -m model --loss --images 2 -q >report
    grep -q '^data  *?]0;pwned?$' report
    [ "$(grep -c $'\e' said report | tr "\n" " ")" = "said:0 report:0 " ]
}
