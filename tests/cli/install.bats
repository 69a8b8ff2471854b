#!/usr/bin/env bats
# make install and make uninstall, with DESTDIR and PREFIX, into a temporary folder; what the
# scripts around the program do, with a program put in its place.

setup() {
    root=$PWD
    to=$BATS_TEST_TMPDIR/to
    # A build folder of its own: the tests of the tree must not rebuild what others are running.
    # It starts from the objects of the tree, so that only what knows PREFIX is compiled.
    export MAKEFLAGS="BUILD=$BATS_FILE_TMPDIR/build PROGRAM=$BATS_FILE_TMPDIR/ddpm"
}

setup_file() {
    if [ -d build ]; then cp -a build "$BATS_FILE_TMPDIR/build"; fi
}

@test "make install puts the program, configs, scripts and documents in place" {
    make -s install PREFIX=/usr DESTDIR="$to"
    [ -x "$to/usr/bin/ddpm" ]
    cmp "$root/configs/fashion.json" "$to/usr/share/ddpm/configs/fashion.json"
    [ -x "$to/usr/share/ddpm/scripts/fetch_cifar10.sh" ]
    local configs=("$root"/configs/*.json) documents=("$root"/*.md "$root/LICENSE") document
    for document in "${documents[@]}"; do
        cmp "$document" "$to/usr/share/doc/ddpm/${document##*/}"
    done
    [ "$(find "$to" -type f | wc -l)" -eq $((${#configs[@]} + ${#documents[@]} + 2)) ]
}

@test "the installed program finds its configs from any folder" {
    make -s install PREFIX="$to"
    cd "$BATS_TEST_TMPDIR"
    "$to/bin/ddpm" info fashion.json
}

@test "another PREFIX after a build is compiled in" {
    make -s install PREFIX="$to/one"
    make -s install PREFIX="$to/two"
    rm -r "$to/one"
    cd "$BATS_TEST_TMPDIR"
    "$to/two/bin/ddpm" info fashion.json
}

@test "make uninstall leaves nothing of it" {
    make -s install PREFIX=/usr DESTDIR="$to"
    touch "$to/usr/bin/other"
    make -s uninstall PREFIX=/usr DESTDIR="$to"
    [ "$(find "$to" -type f)" = "$to/usr/bin/other" ]
}

@test "make help names every target that users need" {
    run make help
    for target in all setup demo test check lint install uninstall clean help; do
        grep -q "^make $target " <<<"$output"
    done
}
