#!/usr/bin/env bats
# The two lines that the program is for,
#
#     ddpm train --config cifar.json
#     ddpm sample -n 64 -o grid.png
#
# on files of CIFAR-10's format, from the repository's folder and, installed, from any other. The
# network is smaller and the steps are fewer: as they stand, they take months.

setup_file() {
    # Installs what is built, with its own PREFIX compiled in (see install.bats).
    if [ -d build ]; then cp -a build "$BATS_FILE_TMPDIR/build"; fi
    MAKEFLAGS='' make -s install PREFIX="$BATS_FILE_TMPDIR/usr" BUILD="$BATS_FILE_TMPDIR/build" \
        PROGRAM="$BATS_FILE_TMPDIR/ddpm"
}

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    repository=$(cd "$(dirname "$BATS_TEST_DIRNAME")/.." && pwd)
    share=$BATS_FILE_TMPDIR/usr/share/ddpm
    PATH=$BATS_FILE_TMPDIR/usr/bin:$PATH
    unset DDPM_DATA
    smaller=(--set train.steps=2 --set train.batch_size=2 --set train.sample_every=2
        --set model.base_channels=16 --set model.norm_groups=8 --set sample.steps=2
        --set sample.count=4)
    cd "$BATS_TEST_TMPDIR" || return 1
}

teardown() {
    rm -rf "$share/data"
}

two_lines() {
    [ "$("$@" train --config cifar.json "${smaller[@]}" 2>said)" = runs/cifar ]
    cat said
    grep -q '^40 images of 32x32x3' said
    [ "$("$@" sample -n 64 -o grid.png --steps 2)" = grid.png ]
    head -c 24 grid.png | od -An -v -tx1 -w24 | grep -q '^ 89 50 4e 47'
    [ "$(find runs -name '*.png')" = runs/cifar/samples/step-00000002.png ]
}

@test "from the folder of the repository" {
    ln -s "$repository/configs" configs
    make_cifar data/cifar-10-batches-bin
    two_lines "$DDPM"
}

@test "installed, from another folder, with the data in the share folder" {
    make_cifar "$share/data/cifar-10-batches-bin"
    two_lines ddpm
}

@test "installed, from another folder, with the data in DDPM_DATA" {
    make_cifar "$BATS_TEST_TMPDIR/mine/cifar-10-batches-bin"
    DDPM_DATA=$BATS_TEST_TMPDIR/mine two_lines ddpm
}

@test "without the data: all places that were looked at, and the script that fetches it" {
    DDPM=ddpm refuses 3 data/cifar-10-batches-bin "$share/data" fetch_cifar10.sh -- \
        train --config cifar.json "${smaller[@]}"
    [ ! -e runs ]
}

@test "the paper's network: 35,746,307 parameters" {
    ddpm info cifar.json | grep -q '^35,746,307 parameters'
}
