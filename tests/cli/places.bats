#!/usr/bin/env bats
# Places that cannot be written to, for every command that writes: a file system that is full, one
# that is read-only, a folder that is gone. One line that names the file and the reason, exit code
# 1, and nothing half-written. And what was written under a clock that has gone back since.

setup_file() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_FILE_TMPDIR"
    train --out model --set train.steps=10
    "$DDPM" sample -m model -n 1 -o one -q
    "$DDPM" sample -m model -n 5 -o five.npz -q
}

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    cd "$BATS_TEST_TMPDIR" || return
    cp -r "$BATS_FILE_TMPDIR"/{tiny.json,model,one,five.npz} .
    mkdir place
}

teardown() {
    umount "$BATS_TEST_TMPDIR/place" 2>/dev/null || true
}

commands=(
    "train --config tiny.json --out place/run -q"
    "train --config tiny.json --init model --out place/other -q"
    "sample -m model -n 4 -o place/x.png -q"
    "sample -m model -n 4 -o place/x.npy -q"
    "sample -m model -n 4 -o place/x.npz -q"
    "sample -m model -n 4 -o place/folder -q"
    "sample -m model -n 4 --show-steps 3 -o place/x.png -q"
    "sample -m model -n 4 --trajectory place/frames -o last.png -q"
    "sample -m model --encode one/000000.png -o place/x.npy -q"
    "sample --oracle --config tiny.json -n 2 -o place/x.png -q"
    "eval -m model --images 4 --budget 3 --nll --csv place/x.csv -q"
    "eval -m model --samples five.npz --memorised --pairs place/x.png -q"
    "eval -m place/model --train-features -q"
    "schedule --config tiny.json -o place/x.png"
    "schedule --config tiny.json --image one/000000.png -o place/x.png"
)

files() {
    find place -type f | sort
}

# Each command fails with these words, and leaves no file that was not there.
all_fail() { # WORDS
    local command name status before
    before=$(files)
    for command in "${commands[@]}"; do
        name=${command%% *} status=0
        # shellcheck disable=SC2086 # words
        "$DDPM" $command >out 2>err || status=$?
        echo "ddpm $command: $status, $(cat err)"
        [ "$status" -eq 1 ]
        [ "$(wc -l <err)" -eq 1 ]
        [[ "$(cat err)" == "ddpm $name: "*place*": $1" ]]
        [ "$(files)" = "$before" ]
    done
}

needs_mount() {
    mount -t tmpfs "$@" ddpm-test place 2>/dev/null || skip "no file system can be mounted here"
}

@test "a full file system" {
    needs_mount -o size=2m
    cp -r model place
    dd if=/dev/zero of=place/full bs=4k count=1000 2>/dev/null || true
    all_fail "No space left on device"
}

@test "a read-only file system" {
    needs_mount
    cp -r model place
    mount -o remount,ro place
    all_fail "Read-only file system"
}

@test "a folder that is gone while it is the current one" {
    mkdir gone
    cd gone || return
    rmdir ../gone
    model=$BATS_TEST_TMPDIR/model
    for command in "train --config ../tiny.json -q" "sample -m $model -o x.png -q"; do
        status=0
        # shellcheck disable=SC2086 # words
        "$DDPM" $command >../out 2>../err || status=$?
        cat ../err
        [ "$status" -ne 0 ] && [ "$status" -le 3 ]
        [ "$(wc -l <../err)" -eq 1 ]
    done
}

# Durations are of a clock that never goes back; times of files say only which run is the newest.
@test "files of the future, of a clock that has gone back" {
    train --out runs/first --set train.steps=20
    train --out runs/second --set train.steps=20
    cp -r runs/first straight
    find runs/first -exec touch -h -d '+3 years' {} +
    train --resume --out runs/first --set train.steps=40
    train --resume --out straight --set train.steps=40
    same_weights runs/first straight
    cmp <(cut -d , -f 1 runs/first/metrics.jsonl) <(cut -d , -f 1 straight/metrics.jsonl)
    run grep -E '"[a-z_]*(second|time)[a-z_]*":-' runs/first/metrics.jsonl
    [ "$status" -eq 1 ]
    # the last that was trained is the newest, whatever the first was before
    train --resume --out runs/second --set train.steps=30
    "$DDPM" sample -n 1 -o x.png 2>err
    cat err
    grep -q runs/second err
}
