#!/usr/bin/env bats
# What PNGs say of how they were made, and that `ddpm info` reads it.

setup_file() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    (enter_folder "$BATS_FILE_TMPDIR" && train --set train.sample_every=40 >/dev/null)
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

# The CRC-32 of standard input, from the end of what gzip makes of it.
crc32() {
    gzip -c | tail -c 8 | od -An -t x1 -N 4 | awk '{ print $4 $3 $2 $1 }'
}

@test "a grid: checkpoint, sampler, seed and which images; the same command, the same bytes" {
    sample -n 4 -o grid.png --sampler ddim --steps 7 --eta 0.25 --seed 9 --spacing leading
    sample -n 4 -o again.png --sampler ddim --steps 7 --eta 0.25 --seed 9 --spacing leading
    cmp grid.png again.png
    [ "$("$DDPM" info grid.png | head -n 1)" = "grid.png: an image of 22 x 22 pixels" ]
    [ "$(text_of grid.png Software)" = "$("$DDPM" --version)" ]
    [ "$(text_of grid.png "Checkpoint step")" = 40 ]
    [ "$(text_of grid.png Seed)" = 9 ]
    [ "$(text_of grid.png Sampler)" = ddim ]
    [ "$(text_of grid.png Steps)" = 7 ]
    [ "$(text_of grid.png Spacing)" = leading ]
    [ "$(text_of grid.png Eta)" = 0.25 ]
    [ "$(text_of grid.png Clip)" = yes ]
    [ "$(text_of grid.png "First index")" = 0 ]
    [ "$(text_of grid.png Count)" = 4 ]
    [ -z "$(text_of grid.png Variance)" ]
    [ -z "$(text_of grid.png Index)" ]
}

@test "the config's hash is the CRC-32 of the config that info prints" {
    sample -n 1 -o grid.png
    local hash
    hash=$("$DDPM" info --resolved runs/tiny | crc32)
    [ "$(text_of grid.png "Config CRC-32")" = "$hash" ]
    [ "$(crc32 <runs/tiny/config.json)" = "$hash" ]
}

@test "each image of a folder: its index; its sampler's variance, and not ddim's eta" {
    sample -n 3 -o folder --variance fixed_small --no-clip
    local i
    for i in 0 1 2; do
        [ "$(text_of folder/00000$i.png Index)" = "$i" ]
        [ "$(text_of folder/00000$i.png Variance)" = fixed_small ]
        [ "$(text_of folder/00000$i.png Clip)" = no ]
        [ "$(text_of folder/00000$i.png Steps)" = 20 ]
        [ -z "$(text_of folder/00000$i.png Eta)" ]
        [ -z "$(text_of folder/00000$i.png Count)" ]
    done
}

@test "training's grids say the same; the weights are those that sample draws from" {
    sample -n 4 -o ours.png
    local grid=runs/tiny/samples/step-00000040.png
    "$DDPM" info $grid | tail -n +2 >trained
    "$DDPM" info ours.png | tail -n +2 | diff trained -
    sample -n 4 -o raw.png --raw
    [ "$(text_of raw.png "Weights CRC-32")" != "$(text_of ours.png "Weights CRC-32")" ]
    sample -n 4 --model runs/tiny/checkpoints/step-00000020 -o early.png
    [ "$(text_of early.png "Checkpoint step")" = 20 ]
    [ "$(text_of early.png "Weights CRC-32")" != "$(text_of ours.png "Weights CRC-32")" ]
}

@test "--noise is told by its checksum" {
    sample -n 2 -o noise.npy --float
    sample --noise noise.npy -o grid.png
    [ "$(text_of grid.png "Noise CRC-32")" = "$(tail -c +129 noise.npy | crc32)" ]
    sample -n 2 -o drawn.png
    [ -z "$(text_of drawn.png "Noise CRC-32")" ]
}

@test "a PNG of others, a damaged one, one that is none" {
    # one grey pixel
    printf '%b' '\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55' \
        '\0\0\0\nIDAT\x78\x9c\x63\x60\0\0\0\x02\0\x01\x48\xaf\xa4\x71\0\0\0\0IEND\xae\x42\x60\x82' \
        >grey.png
    run "$DDPM" info grey.png
    [ "$status" -eq 0 ]
    [ "$output" = "grey.png: an image of 1 x 1 pixels, which does not say how it was made" ]
    head -c 60 grey.png >cut.png
    refuses 3 "cut.png: damaged" -- info cut.png
    echo text >text.png
    refuses 3 "text.png: is not a PNG" -- info text.png
    refuses 2 "grey.png: --resolved is for" -- info --resolved grey.png
    refuses 2 "none.png: there is no such" -- info none.png
}
