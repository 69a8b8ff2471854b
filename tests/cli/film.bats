#!/usr/bin/env bats
# What is seen of a reverse chain: strips of some steps, frames of all.

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
    "$DDPM" sample --quiet "$@"
}

# A PNG from its pixels on: without its texts.
pixels_of() { # FILE
    tail -c "+$(grep -abo IDAT "$1" | head -n 1 | cut -d : -f 1)" "$1"
}

@test "--show-steps: two rows for each image, a column for each moment" {
    sample -n 3 -o strips.png --show-steps 5
    [ "$("$DDPM" info strips.png | head -n 1)" = "strips.png: an image of 62 x 52 pixels" ]
    [ "$(text_of strips.png Timesteps)" = 20,15,10,6,1 ]
    [ "$(text_of strips.png Count)" = 3 ]
    sample -n 3 -o again.png --show-steps 5
    cmp strips.png again.png
    sample -n 3 -o one.png --show-steps 1 --sampler ddim --steps 4
    [ "$(text_of one.png Timesteps)" = 1 ]
    sample -n 1 -o every.png --show-steps 4 --sampler dpm++ --steps 4
    [ "$(text_of every.png Timesteps)" = 20,14,7,1 ]
}

@test "--trajectory: a frame for each step, then the images; the output is as it was" {
    sample -n 5 -o plain.png --sampler ddim --steps 4 --columns 3
    sample -n 5 -o grid.png --sampler ddim --steps 4 --columns 3 --trajectory new/frames
    cmp plain.png grid.png
    [ "$(cd new/frames && echo *)" = "000000.png 000001.png 000002.png 000003.png 000004.png" ]
    cmp <(pixels_of grid.png) <(pixels_of new/frames/000004.png)
    for frame in new/frames/*; do pixels_of "$frame" | cksum; done | sort -u | wc -l | grep -qx 5
    [ "$(text_of new/frames/000000.png Timestep)" = 20 ]
    [ "$(text_of new/frames/000003.png Timestep)" = 1 ]
    [ "$(text_of new/frames/000004.png Timestep)" = 0 ]
    # more than a batch usually is; an array; strips as well
    sample -n 40 -o many.npy --sampler ddim --steps 2 --trajectory many
    [ "$(text_of many/000002.png Count)" = 40 ]
    sample -n 2 -o both.png --sampler ddim --steps 2 --trajectory both --show-steps 2
    [ "$(cd both && echo *)" = "000000.png 000001.png 000002.png" ]
    [ "$(text_of both.png Timesteps)" = 20,1 ]
}

@test "--show-steps that cannot be is refused, with the reason" {
    refuses 2 "--show-steps 3" "folder" ".png" -- sample -n 2 -o folder --show-steps 3
    refuses 2 "--show-steps 3" "x.npy" ".png" -- sample -n 2 -o x.npy --show-steps 3
    refuses 2 "--columns 2" "--show-steps 3" -- sample -o x.png --columns 2 --show-steps 3
    refuses 2 "--show-steps 5" "4 steps" -- \
        sample -o x.png --show-steps 5 --sampler ddim --steps 4
    refuses 2 "--show-steps 0" -- sample -o x.png --show-steps 0
    refuses 2 "--show-steps 20" "a grid of" "2^30" -- sample -o x.png -n 1000000 --show-steps 20
    [ ! -e folder ]
}

@test "--trajectory that cannot be is refused, with the reason" {
    sample -n 2 -o x.png --sampler ddim --steps 2 --trajectory frames
    refuses 2 "--trajectory frames" "000000.png" "another" -- \
        sample -n 2 -o x.png --sampler ddim --steps 2 --trajectory frames
    refuses 2 "--trajectory new" "--output folder" -- sample -n 2 -o folder --trajectory new
    refuses 2 "--trajectory new" "all 4 images" "--batch 3" -- \
        sample -n 4 -o x.png --batch 3 --trajectory new
    echo text >file
    refuses 2 "--trajectory file is a file" -- sample -n 2 -o x.png --trajectory file
    refuses 1 "nowhere" -- sample -n 2 -o x.png --trajectory /proc/nowhere
    [ ! -e new ]
    [ ! -e folder ]
}

@test "walks that go up again are not shown" {
    sample -n 1 -o image
    sample -n 2 --init image/000000.png --strength 0.5 -o like.png --show-steps 3
    [ "$(text_of like.png Timesteps)" = 10,5,1 ]
    refuses 2 "--trajectory" "goes down once" "--encode" -- \
        sample --encode image/000000.png -o x.npy --sampler ddim --trajectory frames
    refuses 2 "--show-steps" "goes down once" "--inpaint" -- sample --inpaint image/000000.png \
        --mask image/000000.png -o x.png --show-steps 3
}
