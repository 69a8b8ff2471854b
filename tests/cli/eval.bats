#!/usr/bin/env bats
# ddpm eval: figures of a model, with their errors, whatever the batch and the threads.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
    train --out runs/tiny
}

# The report without what depends on the time of day.
figures() { # OPTION...
    "$DDPM" eval -m runs/tiny --quiet --json "$@" | grep -v seconds
}

# The value of a figure in a report on stdin, or of its standard error.
value_of() { # KEY [value|standard_error|images]
    awk -v key="\"$1\":" -v field="\"${2:-value}\":" '
        $1 == key { found = 1 }
        found && $1 == field { sub(/,$/, "", $2); print $2; exit }'
}

@test "without an option: bits per dimension and the loss, as tables" {
    run "$DDPM" eval --images 20 --quiet
    echo "$output"
    [ "$status" -eq 0 ]
    grep -qE '^ +bits per dimension +[0-9.]+ \+- [0-9.]+  \(20 images\)$' <<<"$output"
    grep -q '^loss$' <<<"$output"
    grep -qE '^partial +no$' <<<"$output"
}

@test "the same figures for any batch and number of threads, and others for another seed" {
    figures --nll --budget 5 --images 25 --batch 32 --threads 1 >a
    figures --nll --budget 5 --images 25 --batch 32 --threads 2 >b
    cmp a b
    figures --nll --budget 5 --images 25 --batch 7 >c
    [ "$(value_of L_T <a)" = "$(value_of L_T <c)" ]
    awk -v a="$(value_of bits_per_dimension <a)" -v c="$(value_of bits_per_dimension <c)" \
        'BEGIN { exit !((a - c) ^ 2 < 1e-8 * a * a) }'
    figures --nll --budget 5 --images 25 --seed 1 >d
    [ "$(value_of bits_per_dimension <a)" != "$(value_of bits_per_dimension <d)" ]
}

@test "--full and --budget agree within their errors; --csv has each t" {
    figures --nll --full --images 60 --csv full.csv >full
    figures --nll --budget 6 --images 60 >budget
    awk -v a="$(value_of bits_per_dimension <full)" \
        -v ea="$(value_of bits_per_dimension standard_error <full)" \
        -v b="$(value_of bits_per_dimension <budget)" \
        -v eb="$(value_of bits_per_dimension standard_error <budget)" \
        'BEGIN { exit !((a - b) ^ 2 < 16 * (ea ^ 2 + eb ^ 2) && a > 0) }'
    [ "$(head -n 1 full.csv)" = t,bits_per_dimension,standard_error,images ]
    [ "$(wc -l <full.csv)" -eq 21 ]
    # the terms and L_T add up to the bound
    awk -F , -v bound="$(value_of bits_per_dimension <full)" -v prior="$(value_of L_T <full)" \
        'NR > 1 { sum += $2 } END { exit !((sum + prior - bound) ^ 2 < 1e-10 * bound * bound) }' \
        full.csv
}

@test "which images: --part, --images, --data" {
    figures --nll --budget 3 --images 8 --part train >train.json
    figures --nll --budget 3 --images 8 >test.json
    grep -q '"part": "train"' train.json
    grep -q '"part": "test"' test.json
    [ "$(value_of L_0 <train.json)" != "$(value_of L_0 <test.json)" ]
    refuses 2 --data shapes -- eval -m runs/tiny --data nowhere --nll
}

# What was held out is in no figure of the training images, whichever part is looked at.
@test "a held-out fraction stays out of the training images" {
    "$DDPM" sample -m runs/tiny -n 40 -o data.npy --quiet
    npy=(--set data.format=npy --set data.path=data.npy)
    train --out runs/fraction "${npy[@]}" --set data.validation=0.25
    for part in held-out:10 train:30; do
        "$DDPM" eval -m runs/fraction --quiet --json --nll --budget 2 --samples data.npy \
            --memorised --part ${part%:*} >report
        [ "$(value_of bits_per_dimension images <report)" -eq ${part#*:} ]
        grep -q '"training_images": 30,' report
        # the samples are all 40, and 10 of them no training images
        awk -v share="$(value_of share_of_ratios_below_one_third <report)" \
            'BEGIN { exit !(share >= 0.75 && share < 0.95) }'
    done
    refuses 2 "no test part" "--part held-out" -- eval -m runs/fraction --nll --part test
    train --out runs/whole "${npy[@]}"
    refuses 2 "no test part" "--part train" "data.validation = 0.05" -- eval -m runs/whole --nll
    "$DDPM" eval -m runs/whole --nll --budget 2 --part train --quiet
    "$DDPM" train --config tiny.json --set model.image_size=16 --out runs/large --quiet \
        --set 'model.attention_resolutions=[]' --set train.steps=1
    "$DDPM" sample -m runs/large -n 4 -o large.npy --quiet
    refuses 3 "--data large.npy" "not of 8 x 8" -- eval -m runs/whole --part train --data large.npy

    train --out runs/shapes --set data.validation=0.25
    "$DDPM" eval -m runs/shapes --quiet --json --nll --budget 2 --images 2000 --samples data.npy \
        --memorised --part test >report
    grep -q '"part": "test"' report
    grep -q '"training_images": 7500,' report
    [ "$(value_of bits_per_dimension images <report)" -eq 1000 ]
    [ "$(value_of share_of_held_out_below_one_third images <report)" -eq 1000 ]
}

@test "a batch that is larger than what the figures take at once" {
    figures --nll --budget 2 --loss --oracle --images 4 --batch 1025 >large
    figures --nll --budget 2 --loss --oracle --images 4 >small
    [ "$(value_of L_T <large)" = "$(value_of L_T <small)" ]
    [ "$(value_of bits_per_dimension images <large)" -eq 4 ]
}

@test "SIGINT: what there is so far, marked as partial, and 130" {
    "$DDPM" eval -m runs/tiny --nll --full --images 1000 --batch 1 --json >out 2>err 3>&- &
    pid=$!
    until_done grep -q calls err
    kill -INT $pid
    status=0
    wait $pid || status=$?
    [ $status -eq 130 ]
    grep -q '"partial": true' out
}

@test "options that do not go together are refused, with the reason" {
    refuses 2 --full --budget -- eval --nll --full --budget 5
    refuses 2 --budget --nll -- eval --loss --budget 5
    refuses 2 --csv --nll -- eval --loss --csv x.csv
    refuses 2 --oracle --loss -- eval --nll --oracle
    refuses 2 --ema --raw -- eval --ema 0.9 --raw
}
