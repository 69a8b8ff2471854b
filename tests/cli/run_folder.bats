#!/usr/bin/env bats
# What a run's folder holds is not lost to another run, whatever state it was left in.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
    train --out old --set train.steps=20 --set train.checkpoint_every=10
    cp -a old run
}

# strace, where there is one that may look at processes; AddressSanitizer looks for leaks in the
# same way, and cannot.
needs_strace() {
    ! grep -q __asan_init "$DDPM" || skip "strace does not go with sanitizers"
    strace -o /dev/null true 2>/dev/null || skip "no strace, or not here"
}

@test "checkpoints that latest does not lead to are not started over" {
    rm run/checkpoints/latest
    refuses 3 "latest is missing" "ln -sfn step-00000020 run/checkpoints/latest" -- \
        train --config tiny.json --out run --resume=auto
    refuses 3 "run/checkpoints/latest is missing" -- train --config tiny.json --out run --resume
    diff -r run/checkpoints/step-00000010 old/checkpoints/step-00000010
    cmp run/metrics.jsonl old/metrics.jsonl
    ln -sfn step-00000020 run/checkpoints/latest
    train --out run --resume=auto --set train.steps=25
    [ "$(latest_step run)" -eq 25 ]
}

@test "a damaged newest checkpoint does not cost the one before" {
    rm run/checkpoints/step-00000020/ddpm.json
    refuses 3 "step-00000010 is one" -- train --config tiny.json --out run --resume=auto
    rm run/checkpoints/step-00000010/ddpm.json
    refuses 3 "holds step-00000020, which is no whole" -- \
        train --config tiny.json --out run --resume=auto
    [ -e run/checkpoints/step-00000010/training.safetensors ]
}

@test "a run without checkpoints that --resume=auto begins again, and fails: as it was" {
    rm -r run/checkpoints
    cp -a run before
    (ulimit -f 4; ! train --out run --resume=auto)
    diff -r run before
}

@test "two that find no run, one after the other: the second does not begin over the first" {
    needs_strace
    strace -f -o /dev/null -e trace=flock -e inject=flock:delay_enter=2000000 \
        "$DDPM" train --config tiny.json --quiet --out both --set train.steps=3 2>err 3>&- &
    pid=$!
    sleep 0.5
    train --out both --set train.steps=20
    status=0
    wait $pid || status=$?
    cat err
    [ $status -eq 2 ]
    grep -q "both holds a run already" err
    [ "$(latest_step both)" -eq 20 ]
}

@test "an --overwrite that was killed while it moved the old run: nothing of it is lost" {
    needs_strace
    for k in 1 2 3; do
        rm -rf run && cp -a old run
        ! strace -f -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when=$k \
            "$DDPM" train --config tiny.json --quiet --out run --overwrite
        (ulimit -f 4; ! train --out run --overwrite)
        diff -r run old
        rm -rf run && cp -a old run
        ! strace -f -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when=$k \
            "$DDPM" train --config tiny.json --quiet --out run --overwrite
        train --out run --resume --set train.steps=25
        [ "$(latest_step run)" -eq 25 ]
        [ "$(head -n 1 run/metrics.jsonl)" = "$(head -n 1 old/metrics.jsonl)" ]
    done
}

@test "what an earlier --overwrite left aside does not come back in the place of a newer run" {
    mkdir run/.replaced
    mv run/checkpoints run/metrics.jsonl run/.replaced
    train --out run --resume=auto --set train.steps=30
    [ ! -e run/.replaced ]
    cp -a old/. run/.replaced # as of a version that left it
    cp -a run before
    (ulimit -f 4; ! train --out run --overwrite)
    diff -r run/checkpoints before/checkpoints
    [ "$(latest_step run)" -eq 30 ]
}
