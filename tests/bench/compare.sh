#!/usr/bin/env bash
# Compares ddpm with PyTorch on this machine: `ddpm bench` and tests/bench/peer.py in turn, since
# the speed of a machine drifts, then the medians of the ratios of neighbours.
#
#     tests/bench/compare.sh [--runs N] [--repeat K] [CONFIG:BATCH:THREADS]...
#
# Without a case, those that matter: cifar.json at batch 16 and 1, fashion.json at batch 64, with
# two threads and one; some 20 minutes on two cores. Nothing else should run meanwhile.
# $DDPM: the program (./ddpm). $PYTHON: a Python that has PyTorch (sought).
# Exit code 2 if something is missing: this installs nothing.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
DDPM=${DDPM:-./ddpm}
runs=3 repeat=3 cases=()

usage() {
    echo "compare: $1; usage: compare.sh [--runs N] [--repeat K] [CONFIG:BATCH:THREADS]..." >&2
    exit 2
}

number() { # NAME VALUE
    [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage "$1 ${2:-(nothing)} is not a number"
}

while [ $# -gt 0 ]; do
    case $1 in
    --runs) number "$1" "${2:-}" && runs=$2 && shift 2 ;;
    --repeat) number "$1" "${2:-}" && repeat=$2 && shift 2 ;;
    *:*:*) cases+=("$1") && shift ;;
    *) usage "$1 is no case" ;;
    esac
done
[ ${#cases[@]} -gt 0 ] ||
    cases=(cifar.json:16:2 fashion.json:64:2 cifar.json:1:2 cifar.json:16:1 fashion.json:64:1)

missing() { # WHAT
    echo "compare: $1" >&2
    exit 2
}

find_python() {
    local python
    for python in ${PYTHON:-python3 /usr/bin/python3}; do
        "$python" -c 'import torch' 2>/dev/null && echo "$python" && return
    done
    missing "no Python here has PyTorch: install it (in Debian: python3-torch) or set PYTHON"
}

[ -x "$DDPM" ] || missing "$DDPM is not there: make"
python=$(find_python)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

value() { # KEY FILE
    local text
    text=$(<"$2")
    [[ $text =~ \"$1\":\ *([^,$'\n']+) ]] || return 1
    echo "${BASH_REMATCH[1]}"
}

# For each of the two kinds a line: config, batch, threads, kind, then ddpm's figure and PyTorch's:
# images/s (best), images/s (median), MiB.
neighbours() { # CONFIG BATCH THREADS
    local options=(--config "configs/$1" --batch "$2" --threads "$3" --repeat "$repeat") kind figure
    "$DDPM" bench "${options[@]}" --json --quiet >"$folder/ddpm"
    OMP_NUM_THREADS=$3 "$python" "$here/peer.py" "${options[@]}" >"$folder/peer"
    [ "$(value parameters "$folder/ddpm")" = "$(value parameters "$folder/peer")" ] ||
        missing "$1: not the same network in both"
    for kind in train sample; do
        echo "$1 $2 $3 $kind"
        for figure in "${kind}_images_per_s" "${kind}_images_per_s_median" peak_memory_mib; do
            value "$figure" "$folder/ddpm"
            value "$figure" "$folder/peer"
        done
    done | paste -s -d '      \n' -
}

# All lines of neighbours on stdin; medians over the runs.
table() {
    awk '
    function median(values,  x, n, i, j, swap) {
        n = split(values, x, " ")
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && x[j] + 0 < x[j - 1] + 0; j--) {
                swap = x[j]; x[j] = x[j - 1]; x[j - 1] = swap
            }
        return (x[int((n + 1) / 2)] + x[int(n / 2) + 1]) / 2
    }
    function add(what, value) { of[key, what] = of[key, what] " " value }
    {
        key = sprintf("%-14s %5s %7s %-6s", $1, $2, $3, $4)
        if (!(key in seen)) { seen[key] = 1; keys[++count] = key }
        for (i = 5; i <= 10; i++) add(i, $i)
        add("best", $5 / $6); add("median", $7 / $8)
    }
    END {
        printf "%-14s %5s %7s %-6s | %10s %9s %6s | %9s %9s %6s | %8s %8s\n",
            "config", "batch", "threads", "step", "ddpm, best", "PyTorch", "ratio",
            "median", "PyTorch", "ratio", "MiB", "PyTorch"
        for (i = 1; i <= count; i++) {
            key = keys[i]
            printf "%s | %10.4g %9.4g %6.2f | %9.4g %9.4g %6.2f | %8.0f %8.0f\n", key,
                median(of[key, 5]), median(of[key, 6]), median(of[key, "best"]),
                median(of[key, 7]), median(of[key, 8]), median(of[key, "median"]),
                median(of[key, 9]), median(of[key, 10])
        }
    }'
}

echo "$("$DDPM" --version), PyTorch $("$python" -c 'import torch; print(torch.__version__)')," \
    "$runs runs of each in turn, $repeat steps in each; the machine should do nothing else" >&2
for case in "${cases[@]}"; do
    IFS=: read -r config batch threads <<<"$case"
    [ -e "configs/$config" ] || missing "configs/$config is not there"
    for ((i = 1; i <= runs; i++)); do
        neighbours "$config" "$batch" "$threads" >"$folder/now"
        awk -v run="$i" '{
            printf "%s, batch %d, %d threads, run %d: %s %.4g, PyTorch %.4g images/s\n", $1,
                $2, $3, run, $4, $5, $6 }' "$folder/now" >&2
        cat "$folder/now" >>"$folder/all"
    done
done
table <"$folder/all"
