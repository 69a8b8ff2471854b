#!/usr/bin/env bats
# ddpm eval: figures of samples, their floors, and whether they are copies.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
}

# The report without what depends on the time of day.
figures() { # OPTION...
    "$DDPM" eval -m runs/tiny --quiet --json "$@" | grep -v '"seconds"'
}

of_features() { # FILE REFERENCE
    "$DDPM" eval --quiet --json --features "$1" --reference-features "$2"
}

# The value of a figure in a report on stdin, or another field of it.
value_of() { # KEY [value|standard_error|images]
    awk -v key="\"$1\":" -v field="\"${2:-value}\":" '
        $1 == key && $2 != "{" { sub(/,$/, "", $2); print $2; exit }
        $1 == key { found = 1 }
        found && $1 == field { sub(/,$/, "", $2); print $2; exit }'
}

holds() { # CONDITION...
    awk "BEGIN { exit !($*) }" </dev/null
}

# A .npy file of float32 [COUNT,DIM]: normals of that mean, by the sum of twelve uniforms, times
# a scale.
make_features() { # FILE COUNT DIM MEAN SEED [SCALE]
    {
        printf '\x93NUMPY\x01\x00\x76\x00'
        printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': ($2, $3), }"
        # shellcheck disable=SC2059 # the bytes
        printf "$(awk -v n="$(($2 * $3))" -v mean="$4" -v seed="$5" \
            -v scale="${6:-1}" 'BEGIN {
            srand(seed)
            for (i = 0; i < n; i++) {
                x = mean - 6
                for (k = 0; k < 12; k++) x += rand()
                x *= scale
                # as a float32: sign, exponent, 23 bits
                s = x < 0; if (s) x = -x
                e = 127
                while (x >= 2) { x /= 2; e++ }
                while (x < 1 && e > 1) { x *= 2; e-- }
                m = int((x - 1) * 8388608)
                printf "\\%03o\\%03o\\%03o\\%03o", m % 256, int(m / 256) % 256,
                    int(m / 65536) + e % 2 * 128, int(e / 2) + s * 128
            }
        }')"
    } >"$1"
}

@test "samples drawn on the spot are those of ddpm sample, whatever the batch and the threads" {
    train
    "$DDPM" sample -m runs/tiny -n 12 --seed 3 -o samples.npy --quiet
    figures -n 12 --seed 3 --memorised --threads 1 >drawn
    figures -n 12 --seed 3 --memorised --threads 2 >again
    cmp drawn again
    figures --samples samples.npy --seed 3 --memorised >given
    diff <(grep -v -e '"from"' -e '"sampler"' -e '"steps"' drawn) <(grep -v '"from"' given)
    mkdir folder
    "$DDPM" sample -m runs/tiny -n 12 --seed 3 -o folder --quiet
    figures --samples folder --seed 3 --memorised >from_folder
    diff <(grep -v '"from"' given) <(grep -v '"from"' from_folder)
    [ "$(value_of sliced_wasserstein images <drawn)" -eq 12 ]
    figures -n 12 --seed 4 >other
    [ "$(value_of sliced_wasserstein <drawn)" != "$(value_of sliced_wasserstein <other)" ]
}

@test "an untrained network is far above the floor, and copies nothing" {
    train
    figures -n 40 --memorised >report
    holds "$(value_of sliced_wasserstein <report) - $(value_of sliced_wasserstein_floor <report)" \
        "> 2 * $(value_of sliced_wasserstein standard_error <report)"
    holds "$(value_of share_of_ratios_below_one_third <report) == 0"
    holds "$(value_of nearest_distance <report) >" \
        "2 * $(value_of nearest_distance_of_held_out <report)"
    holds "$(value_of threshold_1_in_100_held_out <report) < 1"
    [ "$(value_of threshold_1_in_100_held_out images <report)" -eq 1000 ]
    # none of 40 is a share that might have been another
    holds "$(value_of share_of_ratios_below_one_third standard_error <report) > 0.005"
}

# The reverse process with the exact denoiser ends in training images.
@test "--memorised finds the copies that the oracle draws, and shows them in --pairs" {
    train
    "$DDPM" sample --oracle --config tiny.json -n 16 -o copies.npy --quiet
    figures --samples copies.npy --memorised --pairs pairs.png >report
    holds "$(value_of share_of_ratios_below_one_third <report) > 0.9"
    holds "$(value_of share_of_held_out_below_one_third <report) < 0.05"
    holds "$(value_of nearest_distance <report) < 2"
    [ "$(text_of pairs.png Pairs)" = "a sample, and to its right the training image nearest to it" ]
    # 32 images of 8 x 8 in 16 columns, with 2 pixels around each
    "$DDPM" info pairs.png | grep -q '22 x 162'
}

@test "features of samples: Frechet and kernel distance, precision and recall, with floors" {
    make_features a.npy 300 4 0 1
    make_features b.npy 900 4 0 2
    make_features far.npy 300 4 3 3
    of_features a.npy b.npy >near
    of_features far.npy b.npy >far
    [ "$(value_of dimensions <near)" -eq 4 ]
    [ "$(value_of frechet_distance images <near)" -eq 300 ]
    # 4 (3 - 0)^2, and what finite numbers add
    holds "($(value_of frechet_distance <far) - 36)^2 < 9"
    holds "$(value_of frechet_distance <near) < 0.3"
    holds "$(value_of frechet_distance_floor <near) < 0.3"
    local error
    error=$(value_of kernel_distance standard_error <near)
    holds "$(value_of kernel_distance <near)^2 < 25 * $error^2"
    holds "$(value_of kernel_distance <far) > 100"
    holds "$(value_of precision <near) > 0.9 && $(value_of recall <near) > 0.9"
    holds "$(value_of precision <far) < 0.2 && $(value_of recall <far) < 0.2"
    holds "$(value_of precision_floor <far) > 0.9"
}

@test "features whose figures a double does not hold are said to be too large" {
    make_features a.npy 12 4 0 1 1e30
    make_features b.npy 24 4 0 2 1e30
    status=0
    of_features a.npy b.npy >out 2>err || status=$?
    [ "$status" -eq 3 ]
    grep -q "kernel distance of .* divide both sets" err
    holds "$(value_of frechet_distance <out) > 1e58"
}

@test "a classifier that is there gives the features" {
    train --set data.labels=true --set model.num_classes=8 --set train.label_dropout=0
    figures -n 50 >report
    grep -q '"features": "none: --train-features' report
    "$DDPM" eval -m runs/tiny --train-features --quiet >trained
    figures -n 50 --threads 1 >report
    figures -n 50 --threads 2 >again
    cmp report again
    [ "$(value_of frechet_distance images <report)" -eq 50 ]
    [ "$(value_of dimensions <report)" -gt 1 ]
    holds "$(value_of frechet_distance <report) > 2 * $(value_of frechet_distance_floor <report)"
    mv runs/tiny/classifier.safetensors elsewhere.safetensors
    figures -n 50 --classifier elsewhere.safetensors >other
    diff <(grep -v '"classifier"' report) <(grep -v '"classifier"' other)
    refuses 3 missing.safetensors -- eval -m runs/tiny -n 4 --quiet --classifier missing.safetensors
}

# A .npy has no test part: there is a distance then, but nothing to set the copies beside.
@test "data without a test part, and features without a model" {
    "$DDPM" train --config tiny.json --out runs/first --quiet
    "$DDPM" sample -m runs/first -n 40 -o data.npy --quiet
    train --set data.format=npy --set data.path=data.npy
    figures -n 8 --memorised >report
    grep -q '"part": "none"' report
    [ "$(value_of sliced_wasserstein_floor images <report)" -eq 8 ]
    [ "$(grep -c held_out report)" -eq 0 ]
    refuses 3 data.npy "holds no labels" --features -- eval -m runs/tiny --train-features
    # of 10 held-out images none is the lowest in a hundred
    train --out runs/held --set data.format=npy --set data.path=data.npy --set data.validation=0.25
    "$DDPM" eval -m runs/held -n 8 --memorised --quiet --json >report
    [ "$(value_of share_of_held_out_below_one_third images <report)" -eq 10 ]
    [ "$(grep -c threshold report)" -eq 0 ]
    figures -n 30 >report
    [ "$(value_of sliced_wasserstein images <report)" -eq 20 ]
    make_features a.npy 10 2 0 1
    mkdir elsewhere
    mv a.npy elsewhere
    cd elsewhere
    "$DDPM" eval --features a.npy --reference-features a.npy --quiet >out
    grep -q '^ *frechet distance .*(5 images)' out
    [ "$(grep -c '^model' out)" -eq 0 ]
}

@test "options of samples that do not go together are refused, with the reason" {
    refuses 2 --samples --count -- eval --samples a.npy -n 4
    refuses 2 --sampler --count -- eval --nll --sampler ddim
    refuses 2 --steps --count -- eval --samples a.npy --steps 5
    refuses 2 --guidance --count -- eval --samples a.npy --guidance 2
    refuses 2 --memorised --samples -- eval --memorised
    refuses 2 --pairs --memorised -- eval --samples a.npy --pairs p.png
    refuses 2 --features --reference-features -- eval --features a.npy
    refuses 2 --reference-features --features -- eval --reference-features a.npy
}

@test "options without an effect are refused" {
    local option
    for option in "--model runs/tiny" "--ema 0.9" --raw "--data d" "--part test" "--batch 8"; do
        # shellcheck disable=SC2086 # an option and its argument
        refuses 2 "${option%% *} " --features -- \
            eval --features a.npy --reference-features b.npy $option
    done
    refuses 2 --images --nll -- eval --features a.npy --reference-features b.npy --images 9
    refuses 2 --images --nll -- eval --samples a.npy --images 9
    refuses 2 --batch --nll -- eval --samples a.npy --batch 9
}

@test "what cannot be judged is refused, with the remedy" {
    train
    "$DDPM" sample -m runs/tiny -n 4 -o grid.png --quiet
    refuses 2 grid.png "ddpm sample -o" -- eval -m runs/tiny --samples grid.png
    refuses 3 missing.npy -- eval -m runs/tiny --samples missing.npy
    "$DDPM" train --config tiny.json --set model.image_size=16 \
        --set 'model.attention_resolutions=[]' --out runs/large --quiet
    "$DDPM" sample -m runs/large -n 4 -o large.npy --quiet
    refuses 3 "16 x 16" "8 x 8" -- eval -m runs/tiny --samples large.npy
    "$DDPM" sample -m runs/tiny -n 3 -o few.npy --quiet
    refuses 3 "3 images" "4 at least" -- eval -m runs/tiny --samples few.npy
    mkdir empty
    refuses 3 empty "no image" -- eval -m runs/tiny --samples empty
    make_features a.npy 9 4 0 1
    make_features b.npy 20 3 0 1
    refuses 3 "rows of 4" "of 3" -- eval --features a.npy --reference-features b.npy
    refuses 2 --guidance classes -- eval -m runs/tiny -n 4 --guidance 2
    refuses 2 --count 4 -- eval -m runs/tiny -n 3
}

@test "what cannot be read or written is refused before the work, and what fails later loses none" {
    train
    refuses 1 "--csv no/x.csv" "no folder no" -- eval -m runs/tiny --nll --csv no/x.csv
    refuses 2 "--csv runs" "is a folder" -- eval -m runs/tiny --nll --csv runs
    refuses 1 "--pairs no/p.png" -- eval -m runs/tiny -n 4 --memorised --pairs no/p.png
    refuses 3 "--samples none.npy" -- eval -m runs/tiny --nll --samples none.npy
    refuses 3 "--features none.npy" -- eval --features none.npy --reference-features none.npy
    echo damaged >c.safetensors
    status=0
    "$DDPM" eval -m runs/tiny --nll --budget 2 --images 4 --json --quiet -n 4 \
        --classifier c.safetensors >out 2>err || status=$?
    [ "$status" -eq 3 ]
    grep -q "^ddpm eval: c.safetensors" err
    [ "$(value_of bits_per_dimension images <out)" -eq 4 ]
    [ "$(value_of sliced_wasserstein images <out)" -eq 4 ]
    [ "$(grep -c '"partial": true' out)" -eq 1 ]
}

@test "SIGINT while drawing: what there is so far, and 130" {
    train
    "$DDPM" eval -m runs/tiny -n 100000 --batch 4 --json >out 2>err 3>&- &
    pid=$!
    until_done grep -q calls err
    kill -INT $pid
    status=0
    wait $pid || status=$?
    [ $status -eq 130 ]
    # of the whole, and of the section that was cut
    [ "$(grep -c '"partial": true' out)" -eq 2 ]
}
