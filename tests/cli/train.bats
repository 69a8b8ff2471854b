#!/usr/bin/env bats
# Training from the command line: runs and their folders, stopping, going on, and the same bytes
# whatever happens on the way.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
}

# Start a run that would take long, and wait until it has done some steps past a checkpoint.
start_long() {
    "$DDPM" train --config tiny.json --out long --quiet --set train.steps=1000000 3>&- &
    pid=$!
    until_done grep -q '"step":2[1-9]' long/metrics.jsonl
}

# Go on for 20 steps with a run that was stopped, and compare with one that was not.
assert_goes_on() {
    local steps=$(($(latest_step long) + 20))
    train --out straight --set train.steps=$steps --set train.checkpoint_every=0
    "$DDPM" train --resume --out long --quiet --set train.steps=$steps
    [ "$(latest_step long)" -eq "$steps" ]
    same_weights long straight
    steps_of long >long.steps
    seq 1 "$steps" | cmp - long.steps
}

steps_of() { # RUN
    sed -E 's/^\{"step":([0-9]+),.*\}$/\1/' "$1/metrics.jsonl"
}

@test "a run: its folder, what is in it, and what is said" {
    run "$DDPM" train --config tiny.json --set train.log_every=10 --set train.sample_every=40
    echo "$output"
    [ "$status" -eq 0 ]
    [ "${lines[-1]}" = runs/tiny ]
    grep -q '^tiny.json: [0-9,]* parameters in [0-9]* tensors, [0-9.]* GFLOP an image' <<<"$output"
    [ "$(grep -c '^wrote runs/tiny/' <<<"$output")" -eq 3 ]
    [ "$(steps_of runs/tiny | paste -sd ' ')" = "10 20 30 40" ]
    [ "$(readlink runs/tiny/checkpoints/latest)" = step-00000040 ]
    [ "$(find runs -type f | sort | paste -sd ' ')" = "$(printf 'runs/tiny/%s\n' \
        checkpoints/step-000000{20,40}/{checksums,ddpm,model_index}.json \
        checkpoints/step-000000{20,40}/training.safetensors \
        checkpoints/step-000000{20,40}/scheduler/scheduler_config.json \
        checkpoints/step-000000{20,40}/unet/{config.json,diffusion_pytorch_model.safetensors} \
        config.json metrics.jsonl samples/step-00000040.png | sort | paste -sd ' ')" ]
}

@test "--quiet says nothing but the run's folder" {
    train >out 2>err
    [ "$(cat out)" = runs/tiny ]
    [ ! -s err ]
}

@test "40 steps are 20, a kill -9, and a resume for the rest: the same bytes" {
    start_long
    kill -9 $pid
    wait $pid || [ $? -eq 137 ]
    assert_goes_on
}

@test "SIGTERM: a checkpoint, 143, and going on is bit for bit" {
    start_long
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ $status -eq 143 ]
    [ "$(latest_step long)" -gt 20 ]
    [ "$(steps_of long | tail -n 1)" -ge "$(latest_step long)" ]
    assert_goes_on
}

@test "SIGINT: a checkpoint, 130, and going on is bit for bit" {
    start_long
    kill -INT $pid
    status=0
    wait $pid || status=$?
    [ $status -eq 130 ]
    assert_goes_on
}

@test "nohup: a SIGHUP that was ignored stays ignored" {
    trap '' HUP
    start_long
    kill -HUP $pid
    before=$(steps_of long | tail -n 1)
    until_done eval "[ \$(steps_of long | tail -n 1) -gt $((before + 20)) ]"
    kill -TERM $pid
    wait $pid || [ $? -eq 143 ]
}

@test "--max-seconds: a checkpoint and 75" {
    status=0
    train --out long --set train.steps=1000000 --set train.checkpoint_every=0 --max-seconds 1 ||
        status=$?
    [ $status -eq 75 ]
    assert_goes_on
}

@test "one thread and two: the same bytes" {
    train --out one --threads 1
    train --out two --threads 2
    same_weights one two
}

@test "grids on the way change nothing" {
    train --out one
    train --out two --set train.sample_every=7 --set train.log_every=3
    same_weights one two
    [ "$(find two/samples -type f | wc -l)" -eq 6 ]
}

@test "a run's folder is never taken twice: -2, -3" {
    for folder in runs/tiny runs/tiny-2 runs/tiny-3; do
        [ "$(train --set train.steps=2)" = $folder ]
    done
    same_weights runs/tiny runs/tiny-3
}

@test "--out with a run in it is refused; --overwrite replaces the run and nothing else" {
    train --out here --set train.steps=2
    echo mine >here/notes.txt
    cp -r here before
    refuses 2 "--out here holds a run already" "--resume" "--overwrite" -- \
        train --config tiny.json --out here
    diff -r here before
    train --out here --overwrite --set train.steps=3
    [ "$(readlink here/checkpoints/latest)" = step-00000003 ]
    [ ! -e here/checkpoints/step-00000002 ]
    [ "$(steps_of here | paste -sd ' ')" = "1 2 3" ]
    [ "$(cat here/notes.txt)" = mine ]
}

@test "what is refused leaves an --overwrite's run as it was" {
    train --out here --set train.steps=2
    cp -r here before
    refuses 2 'model.norm_groups' -- \
        train --config tiny.json --out here --overwrite --set model.norm_groups=5
    refuses 3 'nothing/here' -- train --config tiny.json --out here --overwrite \
        --set data.format=folder --set data.path=nothing/here
    refuses 3 'nowhere' -- train --config tiny.json --out here --overwrite --init nowhere
    diff -r here before
}

@test "an --overwrite that fails before its first checkpoint puts the old run back" {
    train --out here --set train.steps=2
    cp -r here before
    refuses 2 "sample.sampler" "dpm++" -- train --config tiny.json --quiet --out here --overwrite \
        --set diffusion.schedule=jsd --set diffusion.prediction=v --set sample.sampler=dpm++
    refuses 2 "sample.sampler" "heun" -- train --config tiny.json --quiet --out here --overwrite \
        --set diffusion.schedule=jsd --set diffusion.prediction=v --set sample.sampler=heun
    refuses 2 "sample.count = 16777216" -- train --config tiny.json --quiet --out here \
        --overwrite --set sample.count=16777216 --set train.sample_every=9
    status=0
    (ulimit -f 10; train --out here --overwrite) || status=$?
    [ $status -eq 1 ]
    diff -r here before
    # killed before it had one, the old run waits for the next that has
    "$DDPM" train --config tiny.json --out here --overwrite --quiet \
        --set train.steps=1000000 --set train.checkpoint_every=0 3>&- &
    pid=$!
    until_done grep -q '"step":5' here/metrics.jsonl
    kill -9 $pid
    wait $pid || true
    diff -r here/.replaced/checkpoints before/checkpoints
    train --out here --overwrite --set train.steps=3
    [ ! -e here/.replaced ]
    [ "$(readlink here/checkpoints/latest)" = step-00000003 ]
}

@test "a new run that fails before its first checkpoint leaves nothing in the way" {
    status=0
    (ulimit -f 10; train --out here) || status=$?
    [ $status -eq 1 ]
    train --out here --set train.steps=2
}

@test "a config that cannot be sampled from is refused by --dry-run too" {
    refuses 2 "sample.sampler" -- train --config tiny.json --dry-run \
        --set diffusion.schedule=jsd --set diffusion.prediction=v --set sample.sampler=dpm++
}

@test "the same command line with --resume=auto works twice" {
    train --out here --resume=auto --set model.base_channels=16 --set train.steps=2
    train --out here --resume=auto --set model.base_channels=16 --set train.steps=2
    sed 's/0.001/0.5/' tiny.json >other.json
    "$DDPM" train --config other.json --quiet --resume --out here --set model.base_channels=16 \
        --set train.steps=3
    grep -q '"learning_rate": 0.5' here/config.json
}

@test "with --config and no --out, --resume looks only at the runs of that config" {
    train --set train.steps=2
    cp tiny.json other.json
    refuses 3 "runs/other" -- train --config other.json --resume
    "$DDPM" train --config other.json --quiet --resume=auto --set train.steps=2 >other
    [ "$(cat other)" = runs/other ]
    [ "$(train --resume --set train.steps=3)" = runs/tiny ]
}

@test "a run without a checkpoint: the remedies work" {
    train --out here --set train.steps=2
    rm -r here/checkpoints
    refuses 2 "--overwrite" -- train --config tiny.json --out here
    refuses 3 "--overwrite or --resume=auto" -- train --resume --out here
    train --out here --overwrite --set train.steps=2
}

@test "--init refuses weights that would mean something else" {
    train --out from --set train.steps=2
    for key in freq_shift=0 flip_sin_to_cos=true downsample_padding=1 attention_head_dim=4; do
        refuses 2 "--init from" "model.${key%=*}" -- \
            train --config tiny.json --out to --init from --set "model.$key"
    done
    train --out to --init from --set train.steps=2 --set diffusion.prediction=v 2>said
    grep -q "predicts epsilon, not v" said
}

@test "--resume without a run, or without a checkpoint" {
    refuses 3 "no run with a checkpoint under runs" -- train --resume
    refuses 3 "nowhere has no checkpoint" "--resume=auto" -- train --resume --out nowhere
    [ ! -e nowhere ]
}

@test "--resume takes the newest run" {
    train --set train.steps=2
    train --set train.steps=3
    train --out runs/tiny --overwrite --set train.steps=4
    [ "$("$DDPM" train --resume --quiet --set train.steps=6)" = runs/tiny ]
    [ "$(latest_step runs/tiny)" -eq 6 ]
}

@test "--resume=auto starts afresh where there is no checkpoint, and goes on where there is one" {
    train --out run --resume=auto --set train.steps=10
    train --out run --resume=auto --set train.steps=40
    train --out straight
    same_weights run straight
    # killed before its first checkpoint
    "$DDPM" train --config tiny.json --out early --quiet --set train.steps=1000000 \
        --set train.checkpoint_every=0 3>&- &
    pid=$!
    until_done grep -q '"step":5' early/metrics.jsonl
    kill -9 $pid
    wait $pid || true
    train --out early --resume=auto
    same_weights early straight
    [ "$(steps_of early | wc -l)" -eq 40 ]
}

@test "--resume: what may not change is refused, what may is recorded" {
    train --out run --set train.steps=10
    refuses 2 "model.base_channels" "--init run" -- \
        train --resume --out run --set model.base_channels=16
    refuses 2 "data.flip" -- train --resume --out run --set data.flip=false
    refuses 2 "diffusion.timesteps" -- train --resume --out run --set diffusion.timesteps=30
    refuses 2 "train.steps = 5" "step 10" -- train --resume --out run --set train.steps=5
    "$DDPM" train --resume --out run --quiet --set train.steps=12 --set train.learning_rate=0.002
    grep -q '"learning_rate": 0.002' run/config.json
    grep -q '"learning_rate": 0.002' run/checkpoints/latest/ddpm.json
    [ "$(latest_step run)" -eq 12 ]
}

@test "--resume of a run that is done says so and changes nothing" {
    train --out run
    cp -r run before
    run "$DDPM" train --resume --out run
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"train.steps"* ]]
    diff -r run before
}

@test "--init starts from the weights of a run, a checkpoint or a pipeline" {
    train --out first
    mkdir pipeline
    cp -r first/checkpoints/latest/{model_index.json,unet,scheduler} pipeline
    for model in first first/checkpoints/step-00000020 pipeline; do
        train --out "from-${model//\//-}" --init $model --set train.steps=1
        [ "$(latest_step "from-${model//\//-}")" -eq 1 ]
    done
    same_weights from-first from-pipeline
    run same_weights from-first from-first-checkpoints-step-00000020
    [ "$status" -ne 0 ]
    refuses 3 "linear_1.weight" "[32, 8]" "[64, 16]" -- \
        train --config tiny.json --out other --init first --set model.base_channels=16
    [ ! -e other ]
}

@test "--dry-run prints what it would take and writes nothing" {
    run "$DDPM" train --config tiny.json --dry-run
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *" parameters in "*" GFLOP an image"* ]]
    [[ "$output" == *" MiB of memory"* ]]
    [[ "$output" == *"one step: loss "* ]]
    [ "$(find . -type f -name '[!s]*' | paste -sd ' ')" = ./tiny.json ]
    [ ! -e runs ]
}

@test "checkpoints are pruned, but for the last and for those kept for good" {
    train --out run --set train.checkpoint_every=2 --set train.keep_checkpoints=3 \
        --set train.keep_every=10
    [ "$(cd run/checkpoints && echo *)" = "latest step-00000010 step-00000020 step-00000030 \
step-00000036 step-00000038 step-00000040" ]
}

@test "numbers that diverge: exit code 4, the step and the block; the checkpoint stays whole" {
    train --out run --set train.steps=20
    cp -r run/checkpoints before
    local file=run/checkpoints/latest/training.safetensors size header status=0
    size=$(wc -c <$file) header=$(od -An -t u8 -N 8 $file)
    put() { # BYTES PLACE
        printf '%b' "$1" | dd of=$file bs=1 conv=notrunc status=none seek="$2"
    }
    rm run/checkpoints/latest/checksums.json
    # a negative second moment, as no gradients make it: the next update would take its root
    put '\0\0\0200\0277' $((size - 4))
    refuses 3 "training.safetensors: tensor adam_v.conv_norm_out.bias holds numbers below 0" -- \
        train --resume --out run --quiet --set train.steps=60
    # of raw, adam_m and adam_v: a weight that is the greatest float there is
    cp before/latest/training.safetensors $file
    put '\0377\0377\0177\0177' $((size - 2 * ((size - 8 - header) / 3) - 4))
    "$DDPM" train --resume --out run --quiet --set train.steps=60 --set train.max_bad_steps=3 \
        >out 2>err || status=$?
    cat err
    [ $status -eq 4 ]
    [ ! -s out ]
    [ "$(grep -c 'was not applied: .* in conv_out$' err)" -eq 3 ]
    [[ "$(tail -n 1 err)" == "ddpm train: step 22: 3 steps in a row "*conv_out*learning_rate* ]]
    tail -n 1 err | grep -qF "not one was finite since it was started, so look first at "
    [ "$(cd run/checkpoints && echo *)" = "latest step-00000020" ]
    cmp run/checkpoints/latest/unet/diffusion_pytorch_model.safetensors \
        before/latest/unet/diffusion_pytorch_model.safetensors
}

# The first of the model's weights becomes the greatest float there is.
@test "numbers that diverge before the first checkpoint: none is spoken of; starting again works" {
    local file=big/checkpoints/latest/unet/diffusion_pytorch_model.safetensors
    diverges() { # WORDS OPTION...
        status=0
        "$DDPM" train --quiet --set train.max_bad_steps=3 "${@:2}" 2>err || status=$?
        tail -n 1 err
        [ $status -eq 4 ]
        tail -n 1 err | grep -qF "$1"
        tail -n 1 err | grep -qF "not one was finite since it was started, so look first at "
    }
    train --out big --set train.steps=1
    printf '\377\377\177\177' | dd of=$file bs=1 conv=notrunc status=none \
        seek=$((8 + $(od -An -t u8 -N 8 $file)))
    rm big/checkpoints/latest/checksums.json
    diverges "no checkpoint of it yet: start again (--overwrite) with a smaller" \
        --config tiny.json --init big --out run
    train --out run --overwrite --set train.steps=20
    diverges "no checkpoint of it yet, and the run that it was to replace is kept: start again" \
        --config tiny.json --init big --out run --overwrite
    [ "$(latest_step run)" -eq 20 ]
    train --out run --resume --set train.steps=21
}

@test "a byte of metrics.jsonl that flipped costs no line, and is told of" {
    train --out run --set train.steps=20
    printf '\177' | dd of=run/metrics.jsonl bs=1 conv=notrunc status=none \
        seek=$(($(head -n 6 run/metrics.jsonl | wc -c) - 2))
    cp run/metrics.jsonl before
    "$DDPM" train --resume --out run --quiet --set train.steps=25 2>err
    cat err
    grep -q '^ddpm train: run/metrics.jsonl: damaged; line 6 .* left as it is; training goes on' err
    head -n 20 run/metrics.jsonl | cmp - before
    [ "$(wc -l <run/metrics.jsonl)" -eq 25 ]
}

@test "what an update ruined is not saved: the one checkpoint stays, and goes on" {
    local file=run/checkpoints/latest/training.safetensors size header
    train --out run --set train.steps=20
    cp -r run/checkpoints before
    status=0
    size=$(wc -c <$file)
    header=$(od -An -t u8 -N 8 $file)
    # of raw, adam_m and adam_v: a mean of gradients that is the greatest float there is
    printf '\377\377\177\177' | dd of=$file bs=1 conv=notrunc status=none \
        seek=$((size - (size - 8 - header) / 3 - 4))
    rm run/checkpoints/latest/checksums.json
    "$DDPM" train --resume --out run --quiet --set train.steps=60 --set train.max_bad_steps=3 \
        --set train.learning_rate=1 --set train.checkpoint_every=1 --set train.keep_checkpoints=1 \
        >out 2>err || status=$?
    cat err
    [ $status -eq 4 ]
    grep -q '^ddpm train: step 21: .* what conv_out puts out is not finite, .* not written' err
    [ "$(cd run/checkpoints && echo *)" = "latest step-00000020" ]
    rm -r run/checkpoints
    mv before run/checkpoints
    "$DDPM" train --resume --out run --quiet --set train.steps=25 --set train.learning_rate=1e-4
    [ "$(latest_step run)" -eq 25 ]
}

@test "labels, grey images, sizes that are not square, fractions of a width" {
    train --out one --set data.labels=true --set model.num_classes=9
    train --out two --set model.channels=1 --set 'model.image_size=[12,8]' \
        --set 'model.attention_resolutions=[6]'
    "$DDPM" sample --model one -n 12 -o one.png -q
    "$DDPM" sample --model two -n 5 -o two.npy -q
    [ "$(wc -c <two.npy)" -eq $((128 + 5 * 12 * 8)) ]
}

@test "classes: a row for each, and one for no class, which is never drawn" {
    local labels=(--set data.labels=true)
    refuses 2 "model.num_classes = 0" "one more" "train.label_dropout" -- \
        train --config tiny.json "${labels[@]}"
    refuses 2 "model.num_classes = 1:" "one more" -- \
        train --config tiny.json "${labels[@]}" --set model.num_classes=1
    for rows in 3 8 10; do
        refuses 2 "model.num_classes = $rows" "8 classes + 1 row for no class = 9" -- \
            train --config tiny.json "${labels[@]}" --set model.num_classes=$rows
    done
    refuses 2 "model.num_classes = 9" "has to be 8" "train.label_dropout = 0" -- \
        train --config tiny.json "${labels[@]}" --set model.num_classes=9 \
        --set train.label_dropout=0
    refuses 2 "train.label_dropout = 1 is out of range" -- \
        train --config tiny.json "${labels[@]}" --set train.label_dropout=1
    train --out run "${labels[@]}" --set model.num_classes=9 --set train.steps=10
    # what the last row stands for may not change, how often it is trained may
    refuses 2 "train.label_dropout" "--init run" -- \
        train --resume --out run --set train.label_dropout=0
    train --out other --init run "${labels[@]}" --set model.num_classes=9 --set train.steps=1 2>said
    [ ! -s said ]
    # a set of nine classes, by a folder for each
    "$DDPM" sample --model run -n 9 -o images -q --sampler ddim --steps 2
    for i in {0..8}; do mkdir -p "nine/$i" && mv "images/00000$i.png" "nine/$i"; done
    train --out other --overwrite --init run "${labels[@]}" --set model.num_classes=9 \
        --set train.steps=1 --set train.label_dropout=0 --set data.format=folder \
        --set data.path=nine 2>said
    grep -q -- "--init is from a model of 8 classes, and this one has 9" said
    "$DDPM" train --resume --out run --quiet --set train.steps=20 --set train.label_dropout=0.5
    grep -q '"label_dropout": 0.5' run/config.json
}

@test "the learning rate falls to 0 at train.steps, whatever is resumed" {
    options=(--set train.learning_rate_decay=cosine --set train.weight_decay=0.1)
    train --out straight "${options[@]}"
    # half way between the end of the 5 steps of warming up and step 40
    grep -q '^{"step":40,.*"learning_rate":[0-9.]*e-06,' straight/metrics.jsonl
    grep '^{"step":6,' straight/metrics.jsonl | grep -q '"learning_rate":0.001,'
    train --out other
    run same_weights straight other
    [ "$status" -ne 0 ]
    # as if it had been stopped after 20 of its 40 steps
    cp -r straight half
    ln -sfn step-00000020 half/checkpoints/latest
    "$DDPM" train --resume --out half --quiet
    same_weights straight half
    cmp <(cut -d , -f 1-8 straight/metrics.jsonl) <(cut -d , -f 1-8 half/metrics.jsonl)
    refuses 2 "train.warmup_steps = 5 leaves none" -- \
        train --config tiny.json "${options[@]}" --set train.steps=5
}

@test "the configs of Fashion-MNIST fit its images and classes" {
    [ -d /usr/share/datasets/fashion-mnist ] || skip "no Fashion-MNIST here"
    for config in "$BATS_TEST_DIRNAME"/../../configs/{demo,fashion}*.json; do
        "$DDPM" train --config "$config" --dry-run --set train.batch_size=2 >said
        grep -q '^60,000 images of 28x28x1' said
    done
}
