# scripts/fetch_cifar10.sh, on a small archive of the same layout.

setup() {
    script=$PWD/scripts/fetch_cifar10.sh
    work=$(mktemp -d)
    cd "$work" || return 1
    mkdir -p source/cifar-10-batches-bin
    head -c 6146 /dev/zero >source/cifar-10-batches-bin/data_batch_1.bin
    head -c 3073 /dev/zero >source/cifar-10-batches-bin/test_batch.bin
    pack
    unset CIFAR10_URL DDPM_DATA
}

teardown() {
    cd / && rm -rf "$work"
}

pack() {
    tar -czf archive.tar.gz -C source cifar-10-batches-bin
    CIFAR10_MD5=$(md5sum archive.tar.gz | cut -d ' ' -f 1)
    export CIFAR10_MD5
}

# Nothing at all in the folder, hidden or not.
assert_empty() {
    [ -z "$(ls -A "$1")" ]
}

@test "unpacks the archive into data" {
    run "$script" "file://$work/archive.tar.gz"
    [ "$status" -eq 0 ]
    cmp source/cifar-10-batches-bin/data_batch_1.bin data/cifar-10-batches-bin/data_batch_1.bin
    cmp source/cifar-10-batches-bin/test_batch.bin data/cifar-10-batches-bin/test_batch.bin
    [ "$(ls -A data)" = cifar-10-batches-bin ]
}

@test "does nothing the second time" {
    "$script" "file://$work/archive.tar.gz"
    rm archive.tar.gz
    run "$script" "file://$work/archive.tar.gz"
    [ "$status" -eq 0 ]
    [[ "$output" == *"there already"* ]]
}

@test "takes the address and the folder from the environment" {
    CIFAR10_URL=file://$work/archive.tar.gz DDPM_DATA=$work/other run "$script"
    [ "$status" -eq 0 ]
    [ -f other/cifar-10-batches-bin/data_batch_1.bin ]
    [ ! -e data ]
}

@test "without curl, wget's way reads a file:// address too" {
    mkdir bin
    for tool in sh cp md5sum cut tar gzip mktemp mkdir mv rm; do
        ln -s "$(command -v "$tool")" "bin/$tool"
    done
    printf '#!/bin/sh\nexit 1\n' >bin/wget
    chmod +x bin/wget
    PATH=$work/bin run "$script" "file://$work/archive.tar.gz"
    [ "$status" -eq 0 ]
    [ -f data/cifar-10-batches-bin/test_batch.bin ]
}

@test "a wrong checksum leaves nothing behind" {
    CIFAR10_MD5=00000000000000000000000000000000 run "$script" "file://$work/archive.tar.gz"
    [ "$status" -eq 1 ]
    [[ "$output" == *"not 00000000000000000000000000000000"* ]]
    assert_empty data
}

@test "a missing archive leaves nothing behind, and is named" {
    run "$script" "file://$work/absent.tar.gz"
    [ "$status" -eq 1 ]
    [[ "$output" == *"cannot download file://$work/absent.tar.gz"* ]]
    assert_empty data
}

@test "an archive of something else leaves nothing behind" {
    rm source/cifar-10-batches-bin/test_batch.bin
    pack
    run "$script" "file://$work/archive.tar.gz"
    [ "$status" -eq 1 ]
    [[ "$output" == *"holds no cifar-10-batches-bin/test_batch.bin"* ]]
    assert_empty data
}
