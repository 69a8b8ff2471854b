#!/usr/bin/env bats
# How the program answers those who ask it how to be used, and those who use it wrongly.

setup() {
    DDPM=${DDPM:-$PWD/ddpm}
    FOLDER=$(mktemp -d)
}

teardown() {
    rm -rf "$FOLDER"
}

# What a command says when it is refused: one line, exit code 2.
refused() {
    run "$DDPM" "$@"
    [ "$status" -eq 2 ]
    [ "${#lines[@]}" -eq 1 ]
}

@test "without a command: usage on stderr, exit code 2" {
    run "$DDPM"
    [ "$status" -eq 2 ]
    [[ "$output" == *"Usage: ddpm COMMAND"* ]]
    [ -z "$("$DDPM" 2>/dev/null)" ]
}

@test "--help, -h and help: usage on stdout" {
    usage=$("$DDPM" --help)
    [[ "$usage" == *"Usage: ddpm COMMAND"* ]]
    [ "$("$DDPM" -h)" = "$usage" ]
    [ "$("$DDPM" help)" = "$usage" ]
}

@test "--version" {
    run "$DDPM" --version
    [ "$status" -eq 0 ]
    [[ "$output" =~ ^ddpm\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "every command has a --help, the same as ddpm help COMMAND" {
    commands=$("$DDPM" --help | awk '/^  [a-z]/ { print $1 }')
    [ -n "$commands" ]
    for command in $commands; do
        help=$("$DDPM" "$command" --help)
        [[ "$help" == *"Usage: ddpm $command"* ]]
        [ "$("$DDPM" help "$command")" = "$help" ]
    done
}

@test "help config lists every key that info prints" {
    "$DDPM" help config | awk '/^[a-z]/ { sub(/.*\./, "", $1); print $1 }' >"$FOLDER/listed"
    "$DDPM" info --resolved configs/shapes.json |
        sed -n 's/^    "\([a-z0-9_]*\)":.*/\1/p' >"$FOLDER/printed"
    [ -s "$FOLDER/listed" ]
    diff "$FOLDER/listed" "$FOLDER/printed"
}

@test "an unknown command: the nearest, exit code 2" {
    refused inof
    [[ "$output" == *"did you mean info?" ]]
    refused xyzzy
    [[ "$output" == *"--help"* ]]
    refused help inof
    [[ "$output" == *"did you mean info?" ]]
}

@test "an unknown option: the nearest, exit code 2" {
    refused info --hepl
    [[ "$output" == "ddpm info: there is no option --hepl; did you mean --help?" ]]
    refused info
    refused info a b
}

@test "a config is printed with its defaults, and that is a config again" {
    "$DDPM" info --resolved shapes.json >"$FOLDER/one.json"
    "$DDPM" info -r "$FOLDER/one.json" >"$FOLDER/two.json"
    cmp "$FOLDER/one.json" "$FOLDER/two.json"
}

@test "a config that is wrong: one line that names the file and the key, exit code 2" {
    echo '{"model": {"base_chanels": 64}}' >"$FOLDER/x.json"
    refused info "$FOLDER/x.json"
    [[ "$output" == *"x.json: model.base_chanels is not a known key; did you mean "* ]]
    [[ "$output" == *" model.base_channels?" ]]
    echo '{"train": {"steps": "many"}}' >"$FOLDER/x.json"
    refused info "$FOLDER/x.json"
    [[ "$output" == *'train.steps = "many" is a string; expected a whole number, at least 1' ]]
    echo '{"data": {"format": "idx"}}' >"$FOLDER/x.json"
    refused info "$FOLDER/x.json"
    [[ "$output" == *"data.path is needed"* ]]
    echo '{"train": {"steps": 1, "steps": 2}}' >"$FOLDER/x.json"
    refused info "$FOLDER/x.json"
    echo '{' >"$FOLDER/x.json"
    refused info "$FOLDER/x.json"
    refused info nosuch.json
    [[ "$output" == *"nosuch.json: there is no such config here, in configs/ or in /"* ]]
    [[ "$output" == *"info takes a config, a PNG, or the folder of a run, a checkpoint or a "* ]]
    refused info "$FOLDER/nosuch/x"
    [[ "$output" == *"$FOLDER/nosuch/x: there is no such file"*"the folder of a run"* ]]
}

@test "output that cannot be written is a failure" {
    [ -w /dev/full ] || skip "no /dev/full"
    run bash -c "'$DDPM' help config 2>&1 >/dev/full"
    [ "$status" -eq 1 ]
    [[ "$output" == *"standard output cannot be written: No space left on device" ]]
}
