# shellcheck shell=bash disable=SC2154 # counts, here and root are torture.sh's
# Files that libFuzzer makes up, for each harness of tests/fuzz: make fuzz, which says what it found
# in build/fuzz/logs and build/fuzz/findings. A fault is an input. Where there is no clang and none
# can be installed, nothing is done.

fuzz_one() { # NAME SECONDS
    env -u MAKEFLAGS -u MAKELEVEL make -s -C "$root" fuzz FUZZ="$1" SECONDS="$2"
}

run_fuzz() {
    local harness name line seconds=600
    [ "$counts" = full ] || seconds=5
    if ! "$root/scripts/setup.sh" fuzz; then
        echo "torture: fuzz: left out"
        return
    fi
    for harness in "$here"/../fuzz/fuzz_*.c; do
        name=$(basename "$harness" .c)
        name=${name#fuzz_}
        [ ! -e "done.$name" ] || continue
        fuzz_one "$name" "$seconds" >out 2>&1 || defect "$(tail -n 3 out)"
        line=$(grep "^fuzz: $name: [0-9]* runs" out) || continue
        echo "torture: $line"
        line=${line#fuzz: "$name": }
        faults=$((faults + ${line%% *}))
        touch "done.$name"
    done
}
