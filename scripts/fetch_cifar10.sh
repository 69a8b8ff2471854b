#!/bin/sh
# Fetches CIFAR-10 (Krizhevsky 2009), the binary version, from its author's site into
# data/cifar-10-batches-bin, which configs/cifar.json names. Does nothing if it is there.
#
#     scripts/fetch_cifar10.sh [URL]
#
# URL, or $CIFAR10_URL: another place of the archive, file:// too; $CIFAR10_MD5 its checksum.
# $DDPM_DATA: the folder to unpack into, rather than `data` of the current folder.
set -eu

name=cifar-10-batches-bin
url=${1:-${CIFAR10_URL:-https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz}}
md5=${CIFAR10_MD5:-c32a1d4ab5d03f1284b67883e8d87530}
folder=${DDPM_DATA:-data}

say() {
    echo "fetch_cifar10: $*" >&2
}

fail() {
    say "$*"
    exit 1
}

download() { # FILE
    if command -v curl >/dev/null; then
        curl --fail --location --show-error --silent --retry 3 --output "$1" "$url"
    elif command -v wget >/dev/null; then
        case $url in
        file://*) cp "${url#file://}" "$1" ;;
        *) wget --quiet --tries=3 --output-document="$1" "$url" ;;
        esac
    else
        fail "needs curl or wget: install one of them"
    fi
}

checksum() { # FILE
    if command -v md5sum >/dev/null; then
        md5sum "$1" | cut -d ' ' -f 1
    else
        md5 -q "$1"
    fi
}

if [ -d "$folder/$name" ]; then
    say "$folder/$name is there already"
    exit 0
fi

mkdir -p "$folder"
temporary=$(mktemp -d "$folder/.fetch-XXXXXX")
trap 'rm -rf "$temporary"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "downloading $url"
download "$temporary/archive.tar.gz" || fail "cannot download $url"
found=$(checksum "$temporary/archive.tar.gz")
[ "$found" = "$md5" ] ||
    fail "$url has the MD5 checksum $found, not $md5: try again, or give the right CIFAR10_MD5"

tar -xozf "$temporary/archive.tar.gz" -C "$temporary" || fail "$url cannot be unpacked"
for file in data_batch_1.bin test_batch.bin; do
    [ -f "$temporary/$name/$file" ] || fail "$url holds no $name/$file"
done
mv "$temporary/$name" "$folder/$name"
say "$folder/$name is ready"
