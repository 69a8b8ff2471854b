#!/usr/bin/env bats
# ddpm bench on a network that takes no time: that every figure is there, and that they agree with
# one another. What they are is the machine's.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
}

bench() { # OPTION...
    "$DDPM" bench --config tiny.json --repeat 3 --quiet "$@"
}

# The value of a key of the JSON object in the file.
value() { # KEY FILE
    local text
    text=$(<"$2")
    [[ $text =~ \"$1\":\ *([^,$'\n']+) ]]
    echo "${BASH_REMATCH[1]}"
}

positive() { # NUMBER...
    local number
    for number; do
        [[ $number =~ ^[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?$ ]]
        awk -v x="$number" 'BEGIN { exit !(x > 0) }'
    done
}

@test "for people: a line for training and one for sampling" {
    bench --batch 2 >out
    cat out
    grep -qE '^tiny.json: [0-9,]+ parameters in [0-9]+ tensors' out
    for kind in train sample; do
        grep -qE "^$kind +2 images a step  best [0-9.e+]+ images/s  median [0-9.e+]+ images/s  \
[0-9.e+]+ GFLOP/s  peak memory [0-9]+ MiB$" out
    done
    [ "$(wc -l <out)" -eq 4 ]
}

@test "--json: one object, every figure positive, the median no faster than the best" {
    bench --json >out
    cat out
    [ "$(head -c 1 out)" = "{" ]
    [ "$(tail -n 1 out)" = "}" ]
    for kind in train sample; do
        best=$(value "${kind}_images_per_s" out)
        median=$(value "${kind}_images_per_s_median" out)
        gflops=$(value "${kind}_gflops" out)
        positive "$best" "$median" "$gflops"
        awk -v best="$best" -v median="$median" 'BEGIN { exit !(median <= best) }'
        # GFLOP/s are images a second times the work of one, three times that in training
        work=$(value gflop_per_image out)
        [ "$kind" = sample ] || work=$(awk -v x="$work" 'BEGIN { printf "%.17g", 3 * x }')
        awk -v a="$gflops" -v b="$best" -v work="$work" \
            'BEGIN { r = a / (b * work); exit !(r > 0.999 && r < 1.001) }'
    done
    positive "$(value peak_memory_mib out)"
    [ "$(value config out)" = '"tiny.json"' ]
    [ "$(value batch out)" = 4 ]
    [ "$(value threads out)" -ge 1 ]
    value blas_core out
}

@test "--only, --threads, --set and micro-batches" {
    bench --json --only sample --threads 1 --batch 3 >out
    [ "$(value batch out)" = 3 ]
    [ "$(value threads out)" = 1 ]
    run grep train_ out
    [ "$status" -ne 0 ]
    bench --only train --set train.batch_size=6 --set train.micro_batch=2 >out
    grep -q '^train *6 images' out
    run grep ^sample out
    [ "$status" -ne 0 ]
    bench --set train.batch_size=6 --set train.micro_batch=2 >out
    grep -q '^sample *2 images' out
}

# The lines of the table of a kind, without its head and its last line, which is the whole step.
lines_of() { # KIND TABLE FILE
    awk -v head="^$1 +$2 " '$0 ~ head { on = 1; next } on && /^the whole step/ { exit } on' "$3"
}

@test "--layers: the lines of each table add up to the best step" {
    bench --layers --batch 2 >out
    cat out
    grep -qE '^peaks of this machine: SGEMM [0-9.e+]+ GFLOP/s, copy [0-9.e+]+ GB/s$' out
    for kind in train sample; do
        best=$(sed -nE "s/^$kind .* best ([0-9.e+]+) images.*/\1/p" out)
        for table in blocks kernels; do
            lines_of $kind $table out >lines
            [ "$(wc -l <lines)" -ge 5 ]
            # milliseconds are the two columns before the share
            awk -v best="$best" '{
                match($0, / +-?[0-9.]+ +-?[0-9.]+ +-?[0-9.]+%/)
                split(substr($0, RSTART, RLENGTH), x, " ")
                sum += x[1] + x[2]; share += x[3]
            }
            END {
                r = sum / (2000 / best)
                print sum, share, r
                exit !(r > 0.97 && r < 1.03 && share > 97 && share < 103)
            }' lines
        done
        # every block, and what is outside of them
        "$DDPM" info tiny.json | awk '/^block /,/^$/ { if (NF && $1 != "block") print $1 }' >blocks
        lines_of $kind blocks out | sed '$d' | awk '{ print $1 }' | diff blocks -
    done
    [ "$(lines_of train kernels out | grep -c '^3x3 convolution')" -eq 3 ]
    [ "$(lines_of sample kernels out | grep -c '^3x3 convolution')" -eq 1 ]
}

@test "--layers --json: the same as lists" {
    bench --layers --json --only sample >out
    for key in sgemm_gflops copy_gb_per_s forward_ms backward_ms gflops gb_per_s share_of_peak; do
        grep -q "\"$key\": *[0-9]" out
    done
    grep -q '"sample_blocks": *\[' out
    grep -q '"sample_kernels": *\[' out
    run grep train_ out
    [ "$status" -ne 0 ]
}

@test "no data is read, none has to be named, and nothing is written" {
    sed 's/"shapes"/"cifar10"/' tiny.json >cifar10.json
    "$DDPM" bench --config cifar10.json --repeat 1 --quiet
    "$DDPM" bench --config tiny.json --repeat 1 --quiet --set data.format=idx \
        --set data.path=nowhere --set data.labels=true --set model.num_classes=3
    [ "$(find . -type f | sort | paste -s -d ' ' -)" = "./cifar10.json ./tiny.json" ]
}

@test "what cannot be is refused" {
    refuses 2 "--config" -- bench
    refuses 2 "--batch 0" -- bench --config tiny.json --batch 0
    refuses 2 "--only" "train, sample" -- bench --config tiny.json --only both
    refuses 2 "model.norm_groups" -- bench --config tiny.json --set model.norm_groups=5
    refuses 2 "none.json" -- bench --config none.json
}

@test "tests/bench/compare.sh says what is missing, and which cases it does not know" {
    compare=$BATS_TEST_DIRNAME/../bench/compare.sh
    PYTHON=no-such-python run bash "$compare"
    [ "$status" -eq 2 ]
    [[ "$output" == *"python3-torch"* ]]
    DDPM=/nowhere/ddpm run bash "$compare"
    [ "$status" -eq 2 ]
    [[ "$output" == *"/nowhere/ddpm is not there"* ]]
    run bash "$compare" cifar.json
    [ "$status" -eq 2 ]
    [[ "$output" == *"cifar.json is no case"* ]]
}
