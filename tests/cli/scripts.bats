#!/usr/bin/env bats
# The scripts that set up, run the tests and run the demo, around programs put in their places.

setup() {
    root=$PWD
    cd "$BATS_TEST_TMPDIR" || return 1
}

# A program that prints these lines and ends with this status.
program() { # NAME STATUS LINE...
    { echo '#!/bin/sh'; printf 'echo "%s"\n' "${@:3}"; echo "exit $2"; } >"$1"
    chmod +x "$1"
}

# A folder as the only PATH, with what the scripts use and without what they look for.
bare_path() {
    mkdir bin
    local tool
    for tool in bash sh awk cat cut env grep id mktemp paste rm tr; do
        ln -s "$(command -v $tool)" bin/
    done
}

@test "tests/run.sh adds up what passed and failed" {
    program good 0 1..2 'ok 1 - a' 'ok 2 - b'
    program bad 1 1..3 'ok 1 - a' 'not ok 2 - b' '# why' 'not ok 3 # SKIP c'
    run "$root/tests/run.sh" ./good
    [ "$status" -eq 0 ]
    [ "${lines[-1]}" = "2 passed, 0 failed" ]
    run "$root/tests/run.sh" ./good ./bad
    [ "$status" -eq 1 ]
    [ "${lines[-1]}" = "3 passed, 1 failed" ]
    [[ "$output" = *"# why"* ]]
    [[ "$output" = *"1 skipped"* ]]
}

@test "tests/run.sh counts a program that crashes, hangs, ends early or tests nothing as failed" {
    program early 0 1..2 'ok 1 - a'
    program exits 3 1..1 'ok 1 - a'
    program empty 0
    program hangs 0 1..1 'ok 1 - a'
    sed -i 's/^exit/sleep 60; exit/' hangs
    program crashes 0 1..2 'ok 1 - a'
    # shellcheck disable=SC2016 # the program's own id
    sed -i 's/^exit/kill -SEGV $$; exit/' crashes
    for name in early exits crashes hangs; do
        TEST_TIMEOUT=1 run "$root/tests/run.sh" ./$name
        [ "$status" -eq 1 ]
        [ "${lines[-1]}" = "1 passed, 1 failed" ]
    done
    run "$root/tests/run.sh" ./empty
    [ "${lines[-1]}" = "0 passed, 1 failed" ]
    run "$root/tests/run.sh" ./absent
    [ "${lines[-1]}" = "0 passed, 1 failed" ]
    run "$root/tests/run.sh"
    [ "$status" -eq 1 ]
    [ "${lines[-1]}" = "0 passed, 1 failed" ]
}

@test "setup.sh says what is missing where it cannot install, and stops" {
    bare_path
    PATH=$PWD/bin run "$root/scripts/setup.sh" build
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" = *"missing: "*"openblas"* ]]
    [[ "$output" = *"libopenblas-dev"* ]]
    [[ "$output" != *"bats"* ]]
}

@test "setup.sh gives the package manager what is missing, once, and looks again" {
    bare_path
    program bin/apt-cache 0
    # shellcheck disable=SC2016 # the program's own arguments
    program bin/apt-get 0 'apt-get $*'
    program bin/id 0 0
    PATH=$PWD/bin run "$root/scripts/setup.sh" test
    echo "$output"
    [ "$status" -eq 1 ]
    [ "$(grep -c '^apt-get install.* libcmocka-dev bats' <<<"$output")" -eq 1 ]
    [[ "$output" = *"missing: cmocka bats"* ]]
}

@test "setup.sh takes no step where nothing is missing, and refuses a group it does not know" {
    bare_path
    program bin/bats 0
    program bin/curl 0
    program bin/gnuplot 0
    program bin/strace 0
    program bin/pkg-config 0
    program bin/apt-get 9 'apt-get was called'
    PATH=$PWD/bin run "$root/scripts/setup.sh" test
    [ "$status" -eq 0 ]
    [ -z "$output" ]
    run "$root/scripts/setup.sh" tset
    [ "$status" -eq 2 ]
}

@test "demo.sh trains, samples, and prints the path of the grid last" {
    # shellcheck disable=SC2016 # the program's own arguments
    program ddpm 0 '$*'
    mkdir -p mine/fashion-mnist runs/demo
    touch mine/fashion-mnist/train-images-idx3-ubyte.gz
    DDPM=$PWD/ddpm DDPM_DATA=mine run "$root/scripts/demo.sh" --threads 1
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "${lines[0]}" = "train --config "*"/configs/demo.json --out runs/demo-2 "*" --threads 1" ]]
    [[ "${lines[0]}" = *" --set data.path=mine/fashion-mnist "* ]]
    [[ "${lines[1]}" = "sample --model runs/demo-2 "*" -o runs/demo-2/grid.png" ]]
    [ ${#lines[@]} -eq 2 ]
}

@test "demo.sh stops where training fails" {
    program ddpm 4 failed
    DDPM=$PWD/ddpm run "$root/scripts/demo.sh"
    [ "$status" -eq 4 ]
    [[ "$output" != *grid.png* ]]
}

@test "tests/bench/samplers.sh: a table whose last columns are nearer to the reference" {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    export DDPM
    enter_folder "$PWD"
    train --out run --set train.steps=5
    "$root/tests/bench/samplers.sh" run -n 2 --calls "3 19" -- --no-clip >table
    cat table
    sed -n 1p table | grep -qE '^Distance to heun with 39 .* mean square is [0-9.]+; 2 images\.$'
    [ "$(sed -n 3p table)" = "| sampler | 3 calls | 19 calls |" ]
    [ "$(grep -c '^| ddim\|^| dpm++\|^| heun' table)" -eq 3 ]
    awk -F '|' '/^\| [dh]/ && !($3 > 2 * $4 && $4 > 0) { bad = 1 } END { exit bad }' table
    run "$root/tests/bench/samplers.sh" run --steps 3
    [ "$status" -eq 2 ]
    [[ "$output" == *"--steps is no option"* ]]
    run "$root/tests/bench/samplers.sh" nowhere
    [ "$status" -eq 1 ]
}
