#!/usr/bin/env bats
# ddpm schedule: a chain as a table, as curves, and on an image.

setup() {
    # shellcheck source=tests/cli/support.sh
    source "$BATS_TEST_DIRNAME/support.sh"
    enter_folder "$BATS_TEST_TMPDIR"
    cifar=(schedule --config "$BATS_TEST_DIRNAME/../../configs/cifar.json")
}

# A column of a CSV by its name.
column() { # NAME FILE
    awk -F , -v name="$1" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i; next }
        { print $c }' "$2"
}

@test "the table: the first row and every twentieth, or all" {
    "$DDPM" "${cifar[@]}" >out
    cat out
    head -n 1 out | grep -q 'cifar.json: diffusion.schedule = linear, T = 1000$'
    [ "$(awk '$1 ~ /^[0-9]+$/ && NF == 7 { print $1 }' out | paste -s -d ' ')" = \
        "1 $(seq -s ' ' 50 50 1000)" ]
    grep -q '^21 of 1,000 rows; --all' out
    # Ho et al.: alpha-bar_1000 is 4.04e-5; at t = 1 the posterior is x_0
    grep -qE '^ +1 +0.0001 +0.9999 +9999 +0 +1 +0$' out
    grep -qE '^ +1000 +0.02 +4.0358e-05 ' out
    "$DDPM" "${cifar[@]}" --all >all
    [ "$(grep -cE '^ +[0-9]+ ' all)" -eq 1000 ]
    # few rows are all shown
    "$DDPM" schedule --config tiny.json >tiny
    [ "$(grep -cE '^ +[0-9]+ ' tiny)" -eq 20 ]
    run grep -e --all tiny
    [ "$status" -eq 1 ]
}

@test "--csv: every row, in full double precision, and the formulas hold" {
    "$DDPM" "${cifar[@]}" --csv >all.csv
    [ "$(head -n 1 all.csv)" = t,beta,alpha_bar,snr,posterior_variance,coef_x0,coef_xt ]
    [ "$(wc -l <all.csv)" -eq 1001 ]
    # awk's numbers are doubles too; Ho et al. eq. 4, 6 and 7
    awk -F , '
        function off(a, b) { d = a - b; if (d < 0) d = -d; return d > 1e-13 * (b > 1 ? b : 1) }
        NR == 1 { before = 1; next }
        {
            t = $1; beta = 1e-4 + (t - 1) / 999 * (0.02 - 1e-4); now = before * (1 - $2)
            if (off($2, beta) || off($3, now) || off($4 * (1 - $3), $3) ||
                off($5 * (1 - $3), $2 * (1 - before)) ||
                off($6 * (1 - $3), $2 * sqrt(before)) ||
                off($7 * (1 - $3), (1 - before) * sqrt(1 - $2))) { print "row", t; bad = 1 }
            before = $3
        }
        END { exit bad || NR != 1001 }' all.csv
    # what is printed is given as betas, and gives the same again: every bit
    betas=[$(column beta all.csv | paste -s -d ,)]
    "$DDPM" "${cifar[@]}" --set "diffusion.betas=$betas" --csv | cmp - all.csv
}

@test "--json: the same numbers" {
    "$DDPM" "${cifar[@]}" --json >all.json
    "$DDPM" "${cifar[@]}" --csv >all.csv
    grep -q '"schedule": *"linear"' all.json
    grep -q '"spacing": *null' all.json
    for name in t beta alpha_bar snr posterior_variance coef_x0 coef_xt; do
        sed -nE "s/^ *\"$name\": *\[(.*)\],?$/\1/p" all.json | tr -d ' ' | tr , '\n' >json.$name
        column $name all.csv | paste - json.$name |
            awk '$1 != $2 { print; bad = 1 } END { exit bad || NR != 1000 }'
    done
}

@test "--steps, --spacing: the chain that sampling walks" {
    "$DDPM" "${cifar[@]}" --csv >all.csv
    "$DDPM" "${cifar[@]}" --csv --steps 10 --spacing leading >ten.csv
    [ "$(column t ten.csv | paste -s -d ' ')" = "1 101 201 301 401 501 601 701 801 901" ]
    # the alpha-bars stay, and the betas lead from one to the next
    for t in 1 101 901; do
        [ "$(awk -F , -v t=$t '$1 == t { print $3 }' ten.csv)" = \
            "$(awk -F , -v t=$t '$1 == t { print $3 }' all.csv)" ]
    done
    awk -F , 'NR == 1 { before = 1; next } { d = before * (1 - $2) - $3; before = $3
        if (d > 1e-15 || d < -1e-15) exit 1 }' ten.csv
    "$DDPM" "${cifar[@]}" --steps 10 --spacing leading | grep -q ', 10 steps by leading$'
    "$DDPM" "${cifar[@]}" --json --steps 7 >seven
    grep -q '"spacing": *"linspace"' seven
    grep -q '"steps": *7' seven
}

@test "-o: the curves, by gnuplot" {
    command -v gnuplot >/dev/null || skip "gnuplot is not installed"
    "$DDPM" "${cifar[@]}" --csv >plain
    "$DDPM" "${cifar[@]}" --csv -o curves.png >table 2>said
    cmp plain table
    [ "$(cat said)" = "wrote curves.png" ]
    "$DDPM" info curves.png | grep -q '900 x 1200 pixels'
    [ "$(text_of curves.png Schedule)" = "diffusion.schedule = linear, T = 1000" ]
    # what cannot be on a logarithmic axis, and the longest chain
    "$DDPM" "${cifar[@]}" --set diffusion.zero_terminal_snr=true --set diffusion.prediction=v \
        --steps 2 -o two.png
    "$DDPM" "${cifar[@]}" --set diffusion.timesteps=1000000 --set diffusion.schedule=cosine \
        -o long.png >/dev/null
    # a name is a name
    mkdir "a\"b\`touch x\`"
    cp tiny.json "a\"b\`touch x\`/it's \$HOME.json"
    "$DDPM" schedule --config "a\"b\`touch x\`/it's \$HOME.json" -o "it's \"\`touch x\`.png"
    [ -s "it's \"\`touch x\`.png" ]
    [ ! -e x ]
    run "$DDPM" "${cifar[@]}" -o nowhere/curves.png
    [ "$status" -eq 1 ]
    [ -z "$(find . -name '*.tmp')" ]
}

@test "-o without gnuplot, or with one that fails: what to do, and nothing is written" {
    mkdir bin
    for tool in wc cat grep; do ln -s "$(command -v $tool)" bin/; done
    program=$(realpath "$DDPM")
    echo before >curves.png
    DDPM=$program PATH=$PWD/bin refuses 1 "gnuplot is not installed" "gnuplot-nox" "--csv" -- \
        "${cifar[@]}" -o curves.png
    printf '#!/bin/sh\ncat >/dev/null; echo "line 3: no such terminal" >&2; exit 1\n' >bin/gnuplot
    chmod +x bin/gnuplot
    PATH=$PWD/bin:$PATH refuses 1 "gnuplot failed: line 3: no such terminal" -- \
        "${cifar[@]}" -o curves.png
    printf '#!/bin/sh\necho no picture\n' >bin/gnuplot
    PATH=$PWD/bin:$PATH refuses 1 "gnuplot drew no PNG" -- "${cifar[@]}" -o curves.png
    [ "$(cat curves.png)" = before ]
    [ "$(find . -name '*.png*')" = ./curves.png ]
}

@test "--image: how an image drowns" {
    "$DDPM" sample --model "$(train --set train.steps=1)" -n 1 -o image.png -q
    strip=(schedule --config tiny.json --image image.png)
    "$DDPM" "${strip[@]}" -o strip.png >out 2>said
    grep -q 'T = 20$' out
    [ "$(cat said)" = \
        "wrote strip.png: x_0, and x_t at t = 2, 4, 6, 8, 10, 12, 14, 16, 18, 20" ]
    # eleven images of 8 and 2 pixels around each
    "$DDPM" info strip.png | grep -q '12 x 112 pixels'
    [ "$(text_of strip.png Seed)" = 0 ]
    "$DDPM" "${strip[@]}" -o again.png --seed 0 >out 2>&1
    cmp strip.png again.png
    "$DDPM" "${strip[@]}" -o other.png --seed 1 >out 2>&1
    run cmp strip.png other.png
    [ "$status" -eq 1 ]
    "$DDPM" "${strip[@]}" --show-steps 3 --steps 6 -o three.png 2>&1 >out |
        grep -q 'x_t at t = 5, 12, 20$'
    "$DDPM" "${strip[@]}" --set model.image_size=16 --fit pad \
        --set 'model.attention_resolutions=[8]' -o padded.png >out 2>&1
    "$DDPM" info padded.png | grep -q '20 x 200 pixels'
    refuses 2 "--show-steps 21" "20 steps" -- "${strip[@]}" --show-steps 21 -o x.png
    refuses 3 "none.png" -- schedule --config tiny.json --image none.png -o x.png
    refuses 3 "pad only makes images larger" -- \
        "${strip[@]}" --set model.image_size=4 --fit pad --set 'model.attention_resolutions=[]' \
        -o x.png
    [ ! -e x.png ]
}

@test "what cannot be is refused" {
    refuses 2 "--config FILE is needed" -- schedule
    refuses 2 "none.json" -- schedule --config none.json
    refuses 2 "--csv and --json" -- "${cifar[@]}" --csv --json
    refuses 2 "--steps 1001" "1000" -- "${cifar[@]}" --steps 1001
    refuses 2 "--spacing leading" "--steps" -- "${cifar[@]}" --spacing leading
    refuses 2 "curves.svg" ".png" -- "${cifar[@]}" -o curves.svg
    refuses 2 "one step has no curves" -- "${cifar[@]}" --steps 1 -o curves.png
    refuses 2 "-o strip.png" -- "${cifar[@]}" --image a.png
    refuses 2 "--show-steps" "--image" -- "${cifar[@]}" --show-steps 3 -o a.png
    refuses 2 "--seed" "--image" -- "${cifar[@]}" --seed 3 -o a.png
    refuses 2 "--fit" "--image" -- "${cifar[@]}" --fit pad -o a.png
    refuses 2 "zero_terminal_snr ends at alpha-bar 0" -- \
        "${cifar[@]}" --set diffusion.zero_terminal_snr=true
    [ -z "$(find . -name '*.png')" ]
}
