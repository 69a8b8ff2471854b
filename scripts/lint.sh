#!/usr/bin/env bash
# Checks what a compiler does not: format, layers, lengths, purity, shell scripts.
#
#     scripts/lint.sh [FOLDER]       (of the repository; this one if none is given)
#
# Each finding is a line "file:line: what"; exit code 1 if there is one. $BUILD holds the object
# files, which tell whether a layer has state of its own (build).
set -eu
rules=$(cd "$(dirname "$0")" && pwd)/lint.awk
cd "${1:-$(dirname "$0")/..}"
build=${BUILD:-build}
export LC_ALL=C

report=$(mktemp)
trap 'rm -f "$report"' EXIT

c_files=() scripts=()
while IFS= read -r file; do c_files+=("$file"); done < <(
    find src include tests -name '*.[ch]' 2>/dev/null | sort
)
while IFS= read -r file; do scripts+=("$file"); done < <(
    find scripts tests .ci -name '*.sh' -o -name '*.bats' -o -path .ci/run 2>/dev/null | sort
)

# Whether a tool is there; if not, that is a finding, as nothing was checked.
tool() {
    command -v "$1" >/dev/null && return
    echo "scripts/lint.sh:1: $1 is not installed: scripts/setup.sh lint"
    return 1
}

# The first place of each file is enough: make format repairs them all.
check_format() {
    tool clang-format || return 0
    clang-format --dry-run -Werror --style=file "${c_files[@]}" 2>&1 |
        awk -F: '/: (error|warning): / && !seen[$1]++ {
            print $1 ":" $2 ": not as clang-format writes it: make format" }'
}

# Layers that are functions of their arguments have no variables that live on. Constant tables of
# pointers are in .data.rel.ro where programs are position-independent, and are no variables.
check_state() {
    local layer source object
    tool objdump || return 0
    for layer in nn diffusion; do
        for source in src/"$layer"/*.c; do
            [ -e "$source" ] || continue
            object=$build/${source#src/}
            object=${object%.c}.o
            if [ ! -e "$object" ]; then
                echo "$source:1: not built: $object is missing"
                continue
            fi
            variables "$object" | while read -r name; do
                echo "$source:$(line_of "$name" "$source"): variable $name outlives a call;" \
                    "layer $layer has no state"
            done
        done
    done
}

variables() { # OBJECT
    objdump -t "$1" | awk -F '\t' 'NF == 2 && substr($1, 18, 7) !~ /d/ {
        n = split($1, left, " "); split($2, right, " "); name = right[2]
        sub(/\.[0-9]+$/, "", name) # the number of a static inside a function
        if (left[n] ~ /^(\.t?data|\.t?bss|\*COM\*)/ && left[n] !~ /^\.data\.rel\.ro/) print name }'
}

line_of() { # NAME SOURCE
    grep -nw -m 1 -e "$1" "$2" | cut -d : -f 1 | grep . || echo 1
}

# The words are written apart so that this file is not found.
check_words() {
    grep -rnIwE -e 'TO''DO|FIX''ME|X''XX' .ci Makefile ./*.md configs include scripts src tests \
        2>/dev/null | sed -E 's/^(\.\/)?([^:]*:[0-9]+):.*/\2: unfinished: finish it or drop it/'
    {
        grep -nH -e '-ffast''-math' -e '-Of''ast' Makefile "${scripts[@]}"
        grep -rnE -e 'optimi[sz]e.*fast' include src
    } 2>/dev/null | sed -E 's/^([^:]*:[0-9]+):.*/\1: lets the compiler drop NaN and reorder sums/'
}

check_scripts() {
    tool shellcheck || return 0
    [ ${#scripts[@]} -eq 0 ] || shellcheck -f gcc "${scripts[@]}" || true
}

{
    if [ ${#c_files[@]} -gt 0 ]; then
        check_format
        [ ! -e Makefile ] || makefile=Makefile
        awk -f "$rules" "${c_files[@]}" ${scripts[@]+"${scripts[@]}"} ${makefile+"$makefile"}
    fi
    check_state
    check_words || true
    check_scripts
} >"$report"

grep -v '^# ' "$report" | sort -t : -k 1,1 -k 2,2n || true
sed -n 's/^# /lint: /p' "$report"
found=$(grep -vc '^# ' "$report") || true
echo "lint: ${#c_files[@]} C files, ${#scripts[@]} scripts, $found findings"
[ "$found" -eq 0 ]
