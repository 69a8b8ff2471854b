#!/usr/bin/env bats
# What a run survives: another that would write to its folder, signals that ask for something.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
}

teardown() {
    for process in ${first:-} ${pid:-}; do kill -9 "$process" 2>/dev/null || true; done
}

# A run that would take long, some steps past a checkpoint.
start_long() { # [OPTION]...
    "$DDPM" train --config tiny.json --out long --quiet --set train.steps=1000000 "$@" 3>&- &
    pid=$!
    until_done grep -q '"step":2[1-9]' long/metrics.jsonl
}

# Leaks cannot be looked for under it.
needs_strace() {
    export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
    strace -o /dev/null true 2>/dev/null || skip "no strace that may trace"
}

# Whether a process has a handler of a signal.
catches() { # PROCESS SIGNAL
    local mask
    mask=$(awk '$1 == "SigCgt:" { print $2 }' "/proc/$1/status")
    [ $((0x$mask >> ($(kill -l "$2") - 1) & 1)) -eq 1 ]
}

# With that run, for 100 steps: further than one that was stopped has come.
go_on() {
    train --resume --out long --set train.steps=$(($(latest_step long) + 100))
}

@test "two on one run: the second is refused, by the first's number; a crash lets the next go on" {
    start_long
    refuses 1 "another ddpm trains in long" "process $pid " "--out" -- \
        train --config tiny.json --resume --out long
    refuses 1 "another ddpm trains in long" -- train --config tiny.json --overwrite --out long
    kill -0 $pid
    kill -9 $pid
    wait $pid || [ $? -eq 137 ]
    [ -e long/.lock ]
    go_on
    [ ! -e long/.lock ]
}

@test "a run that could not begin leaves no folder" {
    refuses 3 nowhere -- train --config tiny.json --out new --set data.format=idx \
        --set data.path=nowhere
    [ ! -e new ]
}

@test "SIGUSR1: a checkpoint and a grid now, and training goes on" {
    start_long
    kill -USR1 $pid
    until_done eval 'ls long/samples/step-*.png 2>/dev/null'
    grid=$(ls long/samples/step-*.png)
    step=${grid##*step-} step=${step%.png}
    "$DDPM" info "$grid" >/dev/null
    until_done eval "[ \$(tail -n 1 long/metrics.jsonl | sed -E 's/.\"step\":([0-9]+),.*/\\1/') \
        -gt $((10#$step + 5)) ]"
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ $status -eq 143 ]
    # what was asked for in between changes no bit of the training
    train --out straight --set train.steps="$(latest_step long)" --set train.checkpoint_every=0
    cmp {long,straight}/checkpoints/latest/unet/diffusion_pytorch_model.safetensors
}

@test "a second SIGINT leaves at once, and harms nothing" {
    start_long
    kill -INT $pid
    kill -INT $pid 2>/dev/null || true
    status=0
    wait $pid || status=$?
    [ $status -eq 130 ]
    go_on
}

@test "more memory than there is: refused before it is taken, with how much, by --dry-run too" {
    for option in --quiet --dry-run; do
        refuses 1 "training: needs " "MiB of memory, and there are " "train.micro_batch" -- \
            train --config tiny.json --out new $option --set train.batch_size=1000000 \
            --set train.micro_batch=1000000 --set model.base_channels=1024
        [ ! -e new ]
    done
}

@test "a folder that vanishes while it is trained in: the checkpoint is written all the same" {
    start_long --set train.checkpoint_every=0
    mv long gone
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ $status -eq 143 ]
    train --out straight --set train.steps="$(latest_step long)" --set train.checkpoint_every=0
    same_weights long straight
    go_on
}

@test "a copy that has no links: latest is a folder, and training goes on in it" {
    train --out run
    cp -rL run copy
    [ ! -L copy/checkpoints/latest ]
    for name in run copy; do train --resume --out $name --set train.steps=80 2>err; done
    [ ! -s err ]
    [ "$(latest_step copy)" -eq 80 ]
    same_weights run copy
    [ "$(ls -A copy/checkpoints)" = "$(ls -A run/checkpoints)" ]
}

# Run train, in which the first call of this name fails that is about the path.
with_fault() { # CALL PATH OPTION...
    local call=$1 path=$2
    shift 2
    strace -f -o trace -P "$path" -e trace="$call" -e inject="$call":error=EACCES:when=1 \
        "$DDPM" train --config tiny.json --quiet "$@" 2>err
    sed -i '/^strace: /d' err
    cat err
    grep -q INJECTED trace
}

@test "a model that trains meanwhile, and removes what latest named: the next is taken" {
    needs_strace
    start_long --set train.checkpoint_every=1 --set train.keep_checkpoints=1
    slowly=(strace -f -o trace -e trace=readlink -e inject=readlink:delay_exit=200000)
    "${slowly[@]}" "$DDPM" sample -m long -n 1 -o x.png -q
    [ -s x.png ]
    "$DDPM" info x.png >/dev/null
    "${slowly[@]}" "$DDPM" train --config tiny.json --init long --out next -q
    for _ in 1 2 3 4 5 6 7 8; do
        "$DDPM" info long >/dev/null
        "$DDPM" sample -m long -n 1 -o x.png -q
        "$DDPM" eval -m long --images 4 --nll -q >/dev/null
    done
    kill -0 $pid
}

@test "an old checkpoint that cannot be removed: a warning, and the new one is kept" {
    needs_strace
    train --out run --set train.steps=10
    mkdir run/checkpoints/.step-left
    with_fault unlink,unlinkat,rmdir run/checkpoints/.step-left \
        --out run --resume --set train.steps=20
    [ "$(wc -l <err)" -eq 1 ]
    grep -q "^ddpm train: run/checkpoints/.step-left: .*; training goes on$" err
    [ "$(latest_step run)" -eq 20 ]
    train --resume --out run
    [ ! -e run/checkpoints/.step-left ]
    train --out straight
    same_weights run straight
}

# A trainer that goes on from step 20 and saves when it is asked to end.
start_first() {
    train --out long --set train.steps=20
    start_long --resume=auto --set train.checkpoint_every=0 2>first.err
    first=$pid
}

# The first ends by itself, or when asked to, with a word and without a checkpoint.
first_is_refused() {
    local status=0
    wait "$first" || status=$?
    cat first.err
    [ $status -eq 1 ]
    [ "$(wc -l <first.err)" -eq 1 ]
    grep -q "^ddpm train: another ddpm .* in long .*; what was trained since step 20 is not saved" \
        first.err
}

# The run is what it would be had the first never been, its history too.
second_is_whole() {
    "$DDPM" info long/checkpoints/latest >/dev/null
    train --out straight --set train.steps="$(latest_step long)" --set train.checkpoint_every=0
    same_weights long straight
    sed -E 's/.*"step":([0-9]+),.*/\1/' long/metrics.jsonl | sort -n -c -u
    [ "$(find long/checkpoints -name 'step-*' | wc -l)" -le 3 ]
}

@test "a lock that is removed while a run goes on: who comes then trains, and the first ends" {
    start_first
    rm long/.lock
    start_long --resume
    first_is_refused
    [ -e long/.lock ]
    kill -TERM $pid
    wait $pid || [ $? -eq 143 ]
    second_is_whole
}

@test "a lock that is removed: nothing is written over what another has trained meanwhile" {
    start_first
    kill -STOP $first
    rm long/.lock
    go_on
    cp -r long before
    kill -TERM $first
    kill -CONT $first
    first_is_refused
    diff -r before long
    second_is_whole
}

@test "a lock that is removed, and nobody comes: the run ends as it should" {
    start_first
    rm long/.lock
    kill -TERM $first
    wait $first || [ $? -eq 143 ]
    [ ! -s first.err ]
    [ ! -e long/.lock ]
    [ "$(latest_step long)" -gt 20 ]
    second_is_whole
}

@test "a folder that is moved away, and another run in its place: the first leaves that alone" {
    start_first
    mv long moved
    start_long
    first_is_refused
    [ -e long/.lock ]
    kill -TERM $pid
    wait $pid || [ $? -eq 143 ]
    second_is_whole
    [ "$(latest_step moved)" -eq 20 ]
    # and when that has ended
    rm -r long moved straight
    start_first
    kill -STOP $first
    mv long moved
    train --out long
    cp -r long before
    kill -TERM $first
    kill -CONT $first
    first_is_refused
    diff -r before long
}

@test "a link in the way of the lock, or of a checkpoint, is not followed" {
    train --out run --set train.steps=20
    echo mine >precious
    ln -s ../precious run/.lock
    refuses 1 "run/.lock" "cannot be made" -- train --resume --out run --set train.steps=30
    rm run/.lock
    mkdir elsewhere
    ln -s ../../elsewhere run/checkpoints/step-00000030
    train --resume --out run --set train.steps=30 || [ $? -eq 1 ]
    [ "$(cat precious)" = mine ]
    [ -z "$(ls -A elsewhere)" ]
    "$DDPM" info run >/dev/null
}

@test "a reader of the progress that leaves does not end the work" {
    "$DDPM" train --config tiny.json --out run --set train.steps=400 2>&1 >out | head -n 1 >said
    [ "$(wc -l <said)" -eq 1 ]
    [ "$(cat out)" = run ]
    [ "$(latest_step run)" -eq 400 ]
    # of the result, which nobody takes: no word
    { "$DDPM" sample -m run -n 1 -o x.png --quiet 2>err; echo $? >status; } | true
    [ ! -s err ]
    [ -s x.png ]
}

@test "standard streams that are closed: no file of the run takes their place" {
    # stdout cannot be written, which is an error; what is in the files is what it is otherwise
    train --out straight
    for closed in '>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
        status=0
        eval '"$DDPM" train --config tiny.json --overwrite --out run' "$closed" || status=$?
        [ $status -eq 1 ]
        same_weights run straight
        [ "$(grep -c '^{"step":.*}$' run/metrics.jsonl)" -eq 40 ]
        [ "$(wc -l <run/metrics.jsonl)" -eq 40 ]
        status=0
        eval '"$DDPM" train --resume --out run --set train.steps=45' "$closed" || status=$?
        [ $status -eq 1 ]
        [ "$(grep -c '^{"step":.*}$' run/metrics.jsonl)" -eq 45 ]
        [ "$(wc -l <run/metrics.jsonl)" -eq 45 ]
    done
    "$DDPM" sample -m straight -n 1 -o whole.png --quiet
    status=0
    "$DDPM" sample -m straight -n 1 -o x.png >&- 2>&- || status=$?
    [ $status -eq 1 ]
    cmp x.png whole.png
    # standard error alone: its messages are lost, and that is all
    [ "$("$DDPM" train --config tiny.json --overwrite --out run 2>&-)" = run ]
    [ "$(wc -l <run/metrics.jsonl)" -eq 40 ]
}

@test "no file may grow: an error from the first one on, not a death of SIGXFSZ" {
    said=$(ulimit -f 0; "$DDPM" train --config tiny.json --out new --quiet 2>&1) || status=$?
    [ "$status" -eq 1 ]
    [[ $said == "ddpm train: new/"*"File too large" ]]
    [ ! -e new ]
}

@test "SIGUSR1 while the data are loaded is answered after the first step" {
    # larger images, so that drawing the data takes a while; the folder is made afterwards
    "$DDPM" train --config tiny.json --out new --quiet --set train.steps=1000000 \
        --set model.image_size=64 --set model.attention_resolutions=[32] 3>&- &
    pid=$!
    until_done catches $pid USR1
    [ ! -e new ]
    kill -USR1 $pid
    until_done test -s new/samples/step-00000001.png
    [ "$(latest_step new)" -eq 1 ]
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ $status -eq 143 ]
}

@test "--max-seconds ends a grid, and a validation, that would take minutes; no bit is other" {
    # 256 images of 4000 steps
    slow=(--set diffusion.timesteps=4000 --set diffusion.beta_start=0.0001 --set sample.count=256
        --set diffusion.beta_end=0.02 --set train.micro_batch=64 --set sample.sampler=ddpm)
    status=0
    timeout 60 "$DDPM" train --config tiny.json --quiet --out grid "${slow[@]}" --max-seconds 2 \
        --set train.steps=100000 --set train.checkpoint_every=0 --set train.sample_every=5 ||
        status=$?
    [ $status -eq 75 ]
    [ "$(latest_step grid)" -eq 5 ]
    [ -z "$(ls -A grid/samples 2>/dev/null)" ]
    train --out straight "${slow[@]}" --set train.steps=5 --set train.checkpoint_every=0
    same_weights grid straight
    # 5000 images of a network that is large for that
    wide=(--set model.image_size=32 --set model.base_channels=128
        --set model.attention_resolutions=[16] --set data.validation=0.5)
    status=0
    timeout 60 "$DDPM" train --config tiny.json --quiet --out looks "${wide[@]}" --max-seconds 4 \
        --set train.steps=100000 --set train.checkpoint_every=0 --set train.validate_every=1 \
        --set train.validate_images=5000 || status=$?
    [ $status -eq 75 ]
    step=$(latest_step looks)
    [ "$step" -le 1 ]
    [ "$(grep -c validation looks/metrics.jsonl)" -eq 0 ]
}
