#!/usr/bin/env bash
# How far the deterministic samplers still are from where the probability flow leads: a Markdown
# table of the root-mean-square distance, of an element in [-1, 1], to what heun draws in as many
# steps as the model has timesteps (999 for T = 1000, and the hop to x_0), by sampler and number of
# network calls. Every image starts from the x_T of its seed and index, the same for all. ddpm, and
# ddim and dpm++ with an eta, draw noise on the way: where they end says nothing about their error,
# so that they are left out.
#
#     tests/bench/samplers.sh MODEL [-n IMAGES] [--calls "5 10 20 50 100"] [--spacing NAME]...
#                             [-- OPTION OF ddpm sample...]
#
# --spacing again adds rows. A cell says how many calls were made where they are not the column's:
# heun makes two a step. $DDPM: the program (./ddpm).
set -eu
export LC_ALL=C
root=$(cd "$(dirname "$0")/../.." && pwd)
DDPM=${DDPM:-$root/ddpm}

usage() {
    echo "samplers: $1; usage: samplers.sh MODEL [-n IMAGES] [--calls LIST] [--spacing NAME]..." \
        "[-- OPTION...]" >&2
    exit 2
}

[ $# -gt 0 ] || usage "no model"
model=$1 images=16 calls="5 10 20 50 100" spacings=()
shift
while [ $# -gt 0 ]; do
    case $1 in
    -n) images=${2:-} && shift 2 ;;
    --calls) calls=${2:-} && shift 2 ;;
    --spacing) spacings+=("${2:-}") && shift 2 ;;
    --) shift && break ;;
    *) usage "$1 is no option" ;;
    esac
done
[[ $images =~ ^[1-9][0-9]*$ ]] || usage "-n $images is not a number of images"
[[ $calls =~ ^([1-9][0-9]*\ *)+$ ]] || usage "--calls $calls is not a list of numbers"
read -ra columns <<<"$calls"
[ ${#spacings[@]} -gt 0 ] || spacings=(linspace)
options=("$@")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Draw into NAME.npy; how many network calls that took for all the images, which are one batch.
draw() { # NAME SAMPLER STEPS SPACING
    "$DDPM" sample --model "$model" -n "$images" --batch "$images" -o "$folder/$1.npy" --float \
        --sampler "$2" --steps "$3" --spacing "$4" ${options[@]+"${options[@]}"} \
        >"$folder/out" 2>"$folder/err" || { cat "$folder/err" >&2 && exit 1; }
    sed -n 's|^sample: [0-9]*/\([0-9]*\) .*|\1|p' "$folder/err" | tail -n 1
}

# The elements of a .npy whose header has 128 bytes, one a line.
elements() { # NAME
    od -An -v -t f4 -w4 -j 128 "$folder/$1.npy"
}

# Root mean square of a, or of a - b. What is not finite is an error.
distance() { # A [B]
    paste <(elements "$1") <(elements "${2:-$1}") | awk -v one=$(($# == 1)) '
        $1 $2 ~ /nan|inf/ {
            print "samplers: element", NR, "is not finite" >"/dev/stderr"
            exit bad = 1
        }
        { d = one ? $1 : $1 - $2; sum += d * d }
        END { if (bad || !NR) exit 1; printf "%.3g\n", sqrt(sum / NR) }'
}

timesteps=$("$DDPM" info "$model" | sed -n 's/^ *"timesteps": \([0-9]*\),*/\1/p')
[ -n "$timesteps" ] || { echo "samplers: ddpm info $model tells no timesteps" >&2 && exit 1; }
made=$(draw reference heun "$timesteps" linspace)
echo "Distance to heun with $made network calls, whose root mean square is" \
    "$(distance reference); $images images."
echo

printf '| sampler |' && printf ' %s calls |' "${columns[@]}" && echo
printf '|---|' && printf '%.0s---|' "${columns[@]}" && echo
for spacing in "${spacings[@]}"; do
    for sampler in ddim dpm++ heun; do
        printf '| %s |' "$sampler$([ ${#spacings[@]} -eq 1 ] || echo ", $spacing")"
        for count in "${columns[@]}"; do
            steps=$count
            [ $sampler != heun ] || steps=$(((count + 1) / 2))
            [ "$steps" -le "$timesteps" ] || { printf ' - |' && continue; }
            made=$(draw sample $sampler "$steps" "$spacing")
            printf ' %s%s |' "$(distance sample reference)" \
                "$([ "$made" = "$count" ] || echo " ($made)")"
        done
        echo
    done
done
