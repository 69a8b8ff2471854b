#!/usr/bin/env bats
# ddpm eval --train-features: a classifier of a small labelled set is trained and kept.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
}

# A file of IDX: dimensions as bytes of 32 bits, then what stdin holds.
idx() { # MAGIC COUNT [SIDE]
    local number
    for number in "$1" "$2" ${3:+"$3" "$3"}; do
        # shellcheck disable=SC2059 # bytes
        printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $((number >> 24)) $((number >> 16 & 255)) \
            $((number >> 8 & 255)) $((number & 255)))"
    done
    cat
}

# Images of 8x8: stripes that lie (class 0) or stand (class 1), no two images alike. By awk, since
# bats looks at each step of a loop.
stripes() { # COUNT
    # shellcheck disable=SC2059 # bytes
    printf "$(awk -v n="$1" 'BEGIN {
        for (i = 0; i < n; i++)
            for (k = 0; k < 64; k++)
                printf "\\%03o", int((i % 2 ? k : int(k / 8)) / 2) % 2 ? 64 + i : 16
    }')"
}

labels() { # COUNT
    # shellcheck disable=SC2059 # bytes
    printf "$(awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "\\%03o", i % 2 }')"
}

make_set() { # FOLDER
    mkdir "$1"
    stripes 40 | idx 2051 40 8 >"$1/train-images-idx3-ubyte"
    labels 40 | idx 2049 40 >"$1/train-labels-idx1-ubyte"
    stripes 20 | idx 2051 20 8 >"$1/t10k-images-idx3-ubyte"
    labels 20 | idx 2049 20 >"$1/t10k-labels-idx1-ubyte"
}

# A run on that set, whose model knows no classes.
make_run() {
    make_set set
    train --out run --set data.format=idx --set data.path=set --set model.channels=1 \
        --set train.steps=1
}

features() { # OPTION...
    "$DDPM" eval --model run --train-features "$@"
}

@test "a classifier is trained, tested on other images, and kept in the run's folder" {
    make_run
    features >out 2>said
    cat out said
    grep -qE '^ *file +run/classifier.safetensors$' out
    grep -qE '^ *test accuracy +(1|0\.9).* +\(20 images\)$' out
    grep -qE '^ *training images +40$' out
    grep -qE '^classifier: 200/200 steps, loss 0\.[0-9]+' said
    head -c 2000 run/classifier.safetensors | grep -aq '"format": *"ddpm classifier"'
    # again, with any number of threads: the same bytes; another seed: others
    features --classifier one.safetensors --threads 1 --quiet >/dev/null 2>said
    [ ! -s said ]
    cmp run/classifier.safetensors one.safetensors
    features --classifier other.safetensors --seed 1 --quiet >/dev/null
    run cmp run/classifier.safetensors other.safetensors
    [ "$status" -eq 1 ]
}

@test "--json: the file, the accuracy with its error, and how it was trained" {
    make_run
    features --json --quiet >out
    cat out
    for key in file features classes training_images steps seconds test_accuracy standard_error; do
        grep -q "\"$key\":" out
    done
    grep -q '"file": "run/classifier.safetensors"' out
    grep -q '"images": 20' out
    grep -q '"partial": false' out
}

@test "SIGINT: what it can so far is said, and nothing is kept" {
    make_run
    "$DDPM" eval --model run --train-features --json >out 2>said &
    pid=$!
    until_done grep -q 'classifier: 1/200' said
    kill -INT $pid
    status=0
    wait $pid || status=$?
    cat out said
    [ "$status" -eq 130 ]
    grep -q '"partial": true' out
    grep -q '"file": null' out
    grep -q '"test_accuracy":' out
    [ ! -e run/classifier.safetensors ]
}

@test "what cannot be is refused" {
    make_run
    refuses 2 "nowhere/c.safetensors" "there is no folder nowhere" -- \
        eval --model run --train-features --classifier nowhere/c.safetensors
    refuses 2 "--classifier run" "is a folder" -- \
        eval --model run --train-features --classifier run
    refuses 2 "--classifier says more of --train-features" -- eval --model run --classifier c
    rm set/train-labels-idx1-ubyte
    refuses 3 "train-labels-idx1-ubyte" -- eval --model run --train-features
    [ ! -e run/classifier.safetensors ]
}

@test "data with no test part: a tenth is held out" {
    train --out classes --set data.labels=true --set model.num_classes=9 --set train.steps=1
    "$DDPM" sample --model classes -n 80 -o drawn.npz --quiet
    train --out run --set data.format=npy --set data.path=drawn.npz --set train.steps=1
    features --part train --json --quiet >out
    cat out
    grep -q '"classes": 8' out
    grep -q '"training_images": 72' out
    grep -q '"images": 8' out
}
