#!/usr/bin/env bats
# A folder of samples: it goes on where it was interrupted, many may fill it, and it never holds
# images of two kinds.

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
}

sample() { # OPTION...
    "$DDPM" sample --quiet --sampler ddim --steps 3 "$@"
}

@test "images are named by their index, from --first on" {
    sample -n 3 -o folder
    [ "$(cd folder && echo *)" = "000000.png 000001.png 000002.png" ]
    sample --first 999999 -n 2 -o late/and/deep
    [ "$(cd late/and/deep && echo *)" = "1000000.png 999999.png" ]
}

@test "machines that share a job fill one folder with the images of one" {
    sample -n 10 -o whole --batch 5
    sample --first 5 -n 5 -o shared
    sample --first 0 -n 5 -o shared/
    diff -r whole shared
}

@test "what is missing is drawn, with the bytes that it would have had; what is there stays" {
    sample -n 10 -o whole --batch 4
    cp -r whole folder
    rm folder/000003.png folder/00000[6-9].png
    echo mine >folder/notes.txt
    echo mine >folder/1.png
    touch -d '2001-01-01' folder/000000.png
    "$DDPM" sample --sampler ddim --steps 3 -n 10 -o folder --batch 4 >said.out 2>said.err
    grep -q '^folder holds 5 of them already$' said.err
    [ "$(cat said.out)" = folder ]
    [ "$(date -r folder/000000.png +%Y)" = 2001 ]
    [ "$(cat folder/notes.txt folder/1.png)" = "$(printf 'mine\nmine')" ]
    rm folder/notes.txt folder/1.png
    diff -r whole folder
    # nothing is left to do
    touch -d '2001-01-01' folder/*.png
    sample -n 10 -o folder
    [ -z "$(find folder -newermt '2002-01-01' -name '*.png')" ]
}

@test "interrupted: 130, what was drawn is there, how to go on is said, and it goes on" {
    local options=(-n 400 --batch 2 --sampler ddpm)
    "$DDPM" sample "${options[@]}" -o folder >out 2>err 3>&- &
    pid=$!
    until_done test -e folder/000003.png
    kill -INT $pid
    status=0
    wait $pid || status=$?
    cat err
    [ $status -eq 130 ]
    [ ! -s out ]
    there=$(find folder -name '*.png' | wc -l)
    [ "$there" -ge 4 ]
    [ "$there" -lt 400 ]
    [ "$(tail -n 1 err)" = \
        "folder holds $there of the 400 images; the same command draws the others" ]
    [ -z "$(find folder -name '*.tmp')" ]
    sample -n $((there + 2)) --batch 2 --sampler ddpm --steps 20 -o folder
    sample -n $((there + 2)) --batch 2 --sampler ddpm --steps 20 -o whole
    diff -r whole folder
}

@test "images of another kind are refused, and the difference is named" {
    sample -n 2 -o folder
    cp -r folder before
    refuses 2 "--output folder: folder/000000.png" "its Seed is 0, and here it would be 1" \
        "another folder" "remove" -- sample --sampler ddim --steps 3 -n 2 -o folder --seed 1
    refuses 2 "Steps is 3, and here it would be 4" -- sample -n 2 -o folder --sampler ddim --steps 4
    refuses 2 "Sampler is ddim" "dpm++" -- sample -n 2 -o folder --sampler dpm++ --steps 3
    refuses 2 "Eta is 0," "0.5" -- sample -n 2 -o folder --sampler ddim --steps 3 --eta 0.5
    refuses 2 "Checkpoint step is 40, and here it would be 20" -- sample -n 2 -o folder \
        --sampler ddim --steps 3 --model runs/tiny/checkpoints/step-00000020
    refuses 2 "Weights CRC-32" -- sample -n 2 -o folder --sampler ddim --steps 3 --raw
    # those that are not asked for count too
    refuses 2 "000000.png" "Seed" -- \
        sample --first 2 -n 2 -o folder --sampler ddim --steps 3 --seed 1
    diff -r folder before
    # with other noise, and back
    sample -n 2 -o noise.npy --float
    refuses 2 "Noise CRC-32 is none, and" -- \
        sample --noise noise.npy -o folder --sampler ddim --steps 3
    sample --noise noise.npy -o noisy
    refuses 2 "Noise CRC-32 is " "would be none" -- \
        sample -n 2 -o noisy --sampler ddim --steps 3
}

@test "an image that was moved, is damaged, or is none of ours" {
    sample -n 2 -o folder
    mv folder/000001.png folder/000002.png
    refuses 2 "folder/000002.png" "Index is 1, and here it would be 2" -- \
        sample -n 2 -o folder --sampler ddim --steps 3
    rm folder/000002.png
    local image=folder/000000.png
    head -c 100 $image >cut.png
    mv cut.png $image
    refuses 3 "$image: damaged" "remove" -- sample -n 2 -o folder --sampler ddim --steps 3
    echo text >$image
    refuses 3 "$image: is not a PNG" -- sample -n 2 -o folder --sampler ddim --steps 3
}
