#!/usr/bin/env bash
# Small runs of the program, watched by a tool. Prints a line for each and ends in one: N commands,
# N errors. Exit code 1 if there is an error.
#
#     tests/tools/commands.sh memcheck     under valgrind: reads of what was never written, accesses
#                                          outside of blocks, blocks that are lost
#     tests/tools/commands.sh race         built with ThreadSanitizer, by clang
#
# $DDPM: the program, built as the tool needs it (make memcheck, make race).
#
# What memory_new() gives is zero, and written to valgrind: that nothing reads an array before it is
# computed is seen by the unit tests, which fill them with NaN.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tool=${1:-}
DDPM=$(realpath "${DDPM:-$here/../../ddpm}")
BATS_TEST_DIRNAME=$here
# shellcheck source=tests/cli/support.sh
. "$here/../cli/support.sh"
export LC_ALL=C

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
enter_folder "$folder" || exit 1
commands=0 errors=0

# Each process, as the child that decodes an image, has a log of its own. What is still reachable at
# its end is no error: such a child ends with all that its parent has.
memcheck() { # ARGUMENT...
    OMP_NUM_THREADS=2 valgrind --error-exitcode=99 --leak-check=full --num-callers=30 \
        --errors-for-leak-kinds=definite,indirect,possible --suppressions="$here/libraries.supp" \
        --log-file=log.%p "$DDPM" "$@"
}

# The sanitizer does not see what waits for what in a library that was not built with it. libomp
# tells it through libarcher, which it loads by itself: without that every loop would be a race.
race() { # ARGUMENT...
    OMP_NUM_THREADS=4 TSAN_OPTIONS="ignore_noninstrumented_modules=1 exitcode=99 log_path=log" \
        "$DDPM" "$@"
}

# What the logs hold.
found() {
    cat log.* 2>/dev/null | awk '
        /WARNING: ThreadSanitizer/ { n++ }
        sub(/.*ERROR SUMMARY: /, "") { gsub(",", "", $1); n += $1 }
        END { print n + 0 }'
}

watch() { # ARGUMENT...
    local status=0 errors_here
    commands=$((commands + 1))
    rm -f log.*
    "$tool" "$@" >said 2>&1 || status=$?
    errors_here=$(found)
    [ "$status" -eq 0 ] || [ "$errors_here" -gt 0 ] || errors_here=1
    [ "$errors_here" -eq 0 ] || cat said log.*
    printf 'ddpm %s: exit code %d, %d errors\n' "$*" "$status" "$errors_here"
    errors=$((errors + errors_here))
}

# A tool that sees nothing finds nothing: the race that is here has to be found, and only that.
try_race() {
    "${CC:-clang}" -fopenmp -fsanitize=thread -g -o racy -x c - <<'END' || return 1
int main(int argc, char **argv)
{
    int sum = 0, safe[64] = {0};
#pragma omp parallel for
    for (int i = 0; i < 64; i++) safe[i] = argc;
#pragma omp parallel for
    for (int i = 0; i < 64; i++) {
        safe[i]++;
        if (argc > 1) sum += safe[i];
    }
    return argv[0] ? sum & 0 : 1;
}
END
    DDPM=./racy race && [ "$(found)" -eq 0 ] || return 1
    DDPM=./racy race wanted
    [ "$(found)" -gt 0 ]
}

case $tool in
memcheck) ;;
race)
    if ! try_race; then
        echo "commands: ThreadSanitizer or libarcher does not work here"
        exit 1
    fi
    ;;
*)
    echo "commands: there are memcheck and race; usage: commands.sh memcheck|race" >&2
    exit 2
    ;;
esac

small=(--quiet --set train.steps=4 --set train.checkpoint_every=2 --set train.sample_every=2
    --set sample.count=2 --set data.validation=test --set train.validate_every=2
    --set train.validate_images=4 --set train.evaluate_every=4 --set train.evaluate_images=4)
classes=(--quiet --set train.steps=2 --set data.labels=true --set model.num_classes=9
    --set model.dropout=0.2 --set diffusion.variance=learned_range --set diffusion.loss=hybrid
    --set train.micro_batch=3)

SECONDS=0
watch train --config tiny.json --out run "${small[@]}"
watch train --resume --out run --set train.steps=6
watch train --config tiny.json --out classes "${classes[@]}"
watch sample --model run -n 3 -o grid.png
watch sample --model run -n 2 --steps 3 --sampler ddim --eta 1 -o folder
watch sample --model run -n 2 --steps 3 --sampler dpm++ --raw -o two.npz
watch sample --model classes -n 2 --steps 3 --class 1 --guidance 2 -o class.npy
watch sample --model run -n 1 --steps 4 --init folder/000000.png --strength 0.5 -o like.png
watch eval --model run --nll --budget 2 --loss --images 4
watch eval --model run -n 4 --sampler ddim --steps 2 --memorised --json
watch info run
watch info grid.png
watch schedule --config tiny.json --csv
watch bench --config tiny.json --batch 2 --repeat 1
echo "$SECONDS s in all"
echo "$commands commands, $errors errors"
[ $errors -eq 0 ]
