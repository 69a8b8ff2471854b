#!/usr/bin/env bats
# Which classes are drawn, and how strongly they guide.

setup_file() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_FILE_TMPDIR"
    # eight classes, and a row for none
    train --out classes --set data.labels=true --set model.num_classes=9 --set train.steps=60 \
        --set train.sample_every=60 >/dev/null
    train --out sure --set data.labels=true --set model.num_classes=8 --set train.steps=2 \
        --set train.label_dropout=0 >/dev/null
    train --out plain --set train.steps=2 >/dev/null
}

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    cd "$BATS_TEST_TMPDIR" || return 1
    ln -s "$BATS_FILE_TMPDIR"/{classes,sure,plain} .
}

sample() { # OPTION...
    "$DDPM" sample --quiet --model classes --sampler ddim --steps 5 "$@"
}

image=$((8 * 8 * 3))

@test "--class K: that of each image, whatever its index; the default is all in turn" {
    sample -n 8 -o all.npy
    sample -n 8 -o same.npy --class all
    cmp all.npy same.npy
    sample -n 8 -o three.npy --class 3
    bytes_of all.npy | tail -c +$((3 * image + 1)) | head -c "$image" >all.3
    bytes_of three.npy | tail -c +$((3 * image + 1)) | head -c "$image" >three.3
    within_one all.3 three.3
    run cmp -s all.npy three.npy
    [ "$status" -eq 1 ]
}

@test "--class LIST: image i is of class list[i mod its length], from --first on too" {
    sample --class 0,2,5 -n 5 -o folder
    [ "$(text_of folder/000000.png Class)" = 0 ]
    [ "$(text_of folder/000001.png Class)" = 2 ]
    [ "$(text_of folder/000002.png Class)" = 5 ]
    [ "$(text_of folder/000003.png Class)" = 0 ]
    sample --class 0,2,5 --first 3 -n 2 -o late
    [ "$(text_of late/000003.png Class)" = 0 ]
    [ "$(text_of late/000004.png Class)" = 2 ]
    sample --class 0,2,5 -n 5 -o grid.png
    [ "$(text_of grid.png Classes)" = 0,2,5 ]
    sample -n 5 -o grid.png
    [ "$(text_of grid.png Classes)" = all ]
    [ "$(text_of classes/samples/step-00000060.png Classes)" = all ]
    # what is of another class does not go on
    refuses 2 "000001.png" "Class is 2, and here it would be 1" -- sample --model classes \
        --sampler ddim --steps 5 --class all -n 2 -o folder
}

@test "a list's labels in the .npz" {
    sample --class 6,1 --first 1 -n 3 -o labelled.npz
    # in the last member, whose header is of 128 bytes
    local at labels
    at=$(grep -abo 'NUMPY' labelled.npz | tail -n 1 | cut -d : -f 1)
    labels=$(tail -c +$((at + 128)) labelled.npz | head -c 24 | od -An -v -t d8 -w8 | xargs)
    [ "$labels" = "1 6 1" ]
}

@test "--guidance: 1 is the class, 0 none, above 1 more; each is told" {
    sample -n 4 -o class.npy --float --class 3
    sample -n 4 -o one.npy --float --class 3 --guidance 1
    cmp class.npy one.npy
    sample -n 4 -o zero.npy --float --class 3 --guidance 0
    sample -n 4 -o other.npy --float --class 5 --guidance 0
    cmp zero.npy other.npy
    sample -n 4 -o three.npy --float --class 3 --guidance 3
    for file in class zero three; do cksum <$file.npy; done | sort -u | wc -l | grep -qx 3
    "$DDPM" sample --model classes -n 4 -o three.png --class 3 --guidance 3 --steps 5 2>said
    head -n 1 said | grep -q ", 5 steps, guidance 3, seed 0$"
    [ "$(text_of three.png Guidance)" = 3 ]
    sample -n 4 -o zero.png --guidance 0
    [ "$(text_of zero.png Guidance)" = 0 ]
    [ -z "$(text_of zero.png Classes)" ]
    # images of no class have no labels
    sample -n 2 -o zero.npz --guidance 0
    run grep -q arr_1 zero.npz
    [ "$status" -eq 1 ]
}

@test "guided images are the same alone, together, and for every sampler" {
    local sampler
    for sampler in ddpm ddim dpm++; do
        sample -n 5 -o all.npy --guidance 2 --sampler $sampler
        sample -n 5 -o split.npy --guidance 2 --sampler $sampler --batch 2
        sample -n 2 --first 3 -o last.npy --guidance 2 --sampler $sampler
        within_one all.npy split.npy
        bytes_of all.npy | tail -c +$((3 * image + 1)) >all.last
        bytes_of last.npy >last
        within_one all.last last
    done
    sample -n 5 -o one.npy --guidance 2 --sampler dpm++ --threads 1
    cmp all.npy one.npy
}

@test "--guidance-interval: guidance at its timesteps alone" {
    sample -n 2 -o always.npy --float --guidance 3
    sample -n 2 -o same.npy --float --guidance 3 --guidance-interval 1:20
    sample -n 2 -o some.npy --float --guidance 3 --guidance-interval 5:12
    sample -n 2 -o class.npy --float
    # ddim's five steps of 20 are at t = 1, 6, 11, 15, 20
    sample -n 2 -o never.npy --float --guidance 3 --guidance-interval 2:5
    cmp always.npy same.npy
    cmp class.npy never.npy
    for file in always some class; do cksum <$file.npy; done | sort -u | wc -l | grep -qx 3
    sample -n 2 -o some.png --guidance 3 --guidance-interval 5:12
    [ "$(text_of some.png "Guidance interval")" = 5:12 ]
}

@test "what cannot be is refused, with the reason" {
    local text
    for text in 8 -1 1,,2 "1," ,1 x 1x 0,8 "1, 2" 99999999999999999999; do
        refuses 2 "--class $text" "from 0 to 7" -- sample --model classes -o x.png --class "$text"
    done
    refuses 2 "--class 0" "no classes" "data.labels" -- sample --model plain -o x.png --class 0
    refuses 2 "--guidance 2" "no classes" -- sample --model plain -o x.png --guidance 2
    refuses 2 "--guidance 2" "train.label_dropout = 0" -- \
        sample --model sure -o x.png --guidance 2
    refuses 2 "--guidance 0" "train.label_dropout = 0" -- \
        sample --model sure -o x.png --guidance 0
    refuses 2 "--guidance -1" -- sample --model classes -o x.png --guidance -1
    refuses 2 "--guidance-interval 1:5" "add --guidance W" -- \
        sample --model classes -o x.png --guidance-interval 1:5
    for text in 0:5 6:5 1:21 3 1:5x 1:; do
        refuses 2 "--guidance-interval $text" "1 <= A <= B <= 20" -- \
            sample --model classes -o x.png --guidance 2 --guidance-interval $text
    done
    sample --model sure -n 1 -o x.png --class 7 --guidance 1
}
