#!/usr/bin/env bats
# What README shows is what the program does: its commands run, shortened by their own options, its
# config parses, and its list of keys is the program's.

setup() {
    DDPM=${DDPM:-$PWD/ddpm}
    ROOT=$PWD
    FOLDER=$(mktemp -d)
    mkdir "$FOLDER/bin" "$FOLDER/work"
    cp -r configs "$FOLDER/work"
    mkdir "$FOLDER/work/data"
    cp data/lower-half.png "$FOLDER/work/data"
    export DDPM ROOT
}

teardown() {
    rm -rf "$FOLDER"
}

# The fenced blocks of README in one language.
blocks() {
    awk -v fence="\`\`\`$1" '/^```/ { inside = ($0 == fence); next } inside' README.md
}

# `ddpm` on a small network and the built-in data, for two steps.
write_short_ddpm() {
    cat >"$FOLDER/bin/ddpm" <<'END'
#!/usr/bin/env bash
set -eu
case $1 in
train)
    # as many rows as the built-in data has classes, and one
    case $* in *fashion-classes*) set -- "$@" --set model.num_classes=9 ;; esac
    exec "$DDPM" "$@" --set train.steps=2 --set data.format=shapes --set model.image_size=16 \
        --set model.base_channels=16 --set 'model.channel_mult=[1,2]' --set model.norm_groups=8 \
        --set 'model.attention_resolutions=[8]' --set train.batch_size=2 --set sample.count=2 \
        --set train.warmup_steps=1 --set train.validate_images=2
    ;;
sample)
    case $* in *--oracle*) set -- "$@" --set data.format=shapes --set model.image_size=16 \
        --set 'model.attention_resolutions=[8]' ;; esac
    case $* in *--show-steps*) exec "$DDPM" "$@" --steps 8 ;; esac
    exec "$DDPM" "$@" --steps 2
    ;;
bench) exec "$DDPM" "$@" --batch 1 --repeat 1 ;;
*) exec "$DDPM" "$@" ;;
esac
END
    chmod +x "$FOLDER/bin/ddpm"
}

@test "README's commands run, in their order" {
    write_short_ddpm
    blocks sh | sed 's/ *#.*//' >"$FOLDER/commands"
    grep -q '^ddpm train --config cifar.json$' "$FOLDER/commands"
    grep -q '^ddpm sample -n 64 -o grid.png$' "$FOLDER/commands"
    while read -r command; do
        echo "$command"
        if [[ $command == make* ]]; then
            make -n -C "$ROOT" "${command#make }" >/dev/null
        else
            (cd "$FOLDER/work" && PATH=$FOLDER/bin:$PATH bash -c "$command" </dev/null)
        fi
    done <"$FOLDER/commands"
    [ -s "$FOLDER/work/grid.png" ]
    [ -s "$FOLDER/work/clothes.npz" ]
}

@test "README's config is one" {
    blocks json >"$FOLDER/photos.json"
    "$DDPM" info "$FOLDER/photos.json"
}

@test "README lists the keys that the program knows" {
    "$DDPM" help config >"$FOLDER/keys"
    blocks text | diff - "$FOLDER/keys"
}

@test "the functions and files that README names exist" {
    grep -oE '(schedule|sampler|predict)_[a-z0-9]+|trainer_step|ema_update|timestep_embedding' \
        README.md | sort -u >"$FOLDER/names"
    while read -r name; do
        echo "$name"
        grep -rqw "$name" include
    done <"$FOLDER/names"
    grep -qw diffuse include/diffusion/predict.h
    for path in scripts/setup.sh scripts/fetch_cifar10.sh src/model/topology.c; do
        grep -q "${path#src/}" README.md
        [ -e "$path" ]
    done
}

@test "README names every key that a report of ddpm eval has" {
    cd "$FOLDER/work"
    "$DDPM" train --config "$ROOT/configs/shapes.json" --quiet --out run --set train.steps=2 \
        --set model.base_channels=16 --set train.sample_every=0 --set data.labels=true \
        --set model.num_classes=9
    "$DDPM" eval -m run --train-features --json --quiet >classifier.json 3>&- &
    trained=$!
    "$DDPM" eval -m run --images 4 --budget 3 --nll --loss --oracle --json --quiet >model.json
    kill -INT $trained 2>/dev/null || true
    wait $trained || [ $? -eq 130 ]
    "$DDPM" eval -m run -n 12 --steps 2 --memorised --pairs pairs.png --json --quiet >samples.json
    grep -ohE '"[a-zA-Z_0-9]+":' ./*.json | tr -d '":' | sort -u >keys
    [ "$(wc -l <keys)" -gt 30 ]
    while read -r key; do
        echo "$key"
        grep -qE "[\`\"]${key%_floor}[\`\"]" "$ROOT/README.md"
    done <keys
}
