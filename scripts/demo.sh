#!/usr/bin/env bash
# Trains configs/demo.json on Fashion-MNIST and samples a grid, whose path is the last line. Where
# the images are not to be had, the built-in shapes take their place.
#
#     scripts/demo.sh [OPTION OF ddpm train]...
#
# $DDPM: the program (./ddpm). The run is runs/demo, or -2, -3, ... if there is one.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
ddpm=${DDPM:-$root/ddpm}

# The folder of Fashion-MNIST's files; nothing if there is none.
fashion() {
    local folder
    for folder in "${DDPM_DATA:-data}" "$root/data" /usr/share/datasets; do
        if [ -e "$folder/fashion-mnist/train-images-idx3-ubyte.gz" ]; then
            echo "$folder/fashion-mnist"
            return
        fi
    done
}

run=runs/demo
for ((i = 2; ; i++)); do
    [ -e "$run" ] || break
    run=runs/demo-$i
done

images=$(fashion)
if [ -n "$images" ]; then
    data=(--set data.format=idx --set "data.path=$images")
else
    echo "demo: no Fashion-MNIST here (Debian has it as dataset-fashion-mnist): training on the" \
        "built-in shapes instead" >&2
    data=(--set data.format=shapes --set model.num_classes=9)
fi
status=0
"$ddpm" train --config "$root/configs/demo.json" --out "$run" --max-seconds 360 "${data[@]}" "$@" ||
    status=$?
# On a slow machine the time is over before the steps are (75): what was saved then will do.
[ $status -eq 0 ] || [ $status -eq 75 ] || exit $status
# Ten to a row: of Fashion-MNIST's classes, one to a column.
"$ddpm" sample --model "$run" --sampler ddpm --steps 250 --guidance 3 -n 80 --columns 10 \
    -o "$run/grid.png" # prints the path
