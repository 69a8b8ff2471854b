#!/usr/bin/env bash
# Prints how much of src the tests have run, by gcov, and what of it they have not:
#
#     scripts/coverage.sh BUILD [LAYER...]
#
# BUILD is a build with --coverage in which the tests have run. Of each LAYER (base and model if
# none is given) every line is printed that was not run, and every one that makes an error and never
# did. Exit code 1 if less than 90 % of all lines was run.
set -eu
export LC_ALL=C
build=${1:?usage: coverage.sh BUILD [LAYER...]}
shift
[ $# -gt 0 ] || set -- base model
least=90

[ -n "$(find "$build" -name '*.gcda' -print -quit)" ] || {
    echo "coverage: $build has no counts; run the tests in it" >&2
    exit 2
}

# A header's inline functions are in many files: a line was run if it was in one of them. A line of
# several blocks is one that can go several ways, such as "if (...) return err_set(...);".
find "$build" -name '*.gcno' -not -path '*/tests/*' | sort | xargs gcov -a --stdout 2>/dev/null |
    awk -v layers=" $* " -v least=$least '
    /^ *-: *0:Source:/ { name = $0; sub(/.*Source:/, "", name) }
    name !~ /^(src|include)\// { next }
    /^ *(%%%%%|[$][$][$][$][$]): *[0-9]+-block/ { if (at in run) half[at] = 1 }
    /^ *(#####|=====|[0-9]+\*?): *[1-9][0-9]*:/ {
        split($0, part, ":")
        at = name ":" part[2] + 0
        if (!(at in text)) {
            order[++lines] = at
            text[at] = $0
            sub(/^[^:]*:[^:]*:/, "", text[at])
        }
        if (part[1] !~ /[#=]/) run[at] = 1
    }
    function is_error(line) {
        return line ~ /(err_set|err_prefix|refused?|failed|damaged|wrong_[a-z]+)\(/
    }
    END {
        for (i = 1; i <= lines; i++) {
            at = order[i]
            split(at, part, "[/:]")
            all[part[2]]++
            done[part[2]] += at in run
            total += at in run
            if (!index(layers, " " part[2] " ")) continue
            if (!(at in run) || (at in half && is_error(text[at]))) print at ":" text[at]
        }
        for (layer in all)
            printf "%-12s %5d of %5d lines  %5.1f %%\n", layer, done[layer], all[layer],
                100 * done[layer] / all[layer] | "sort"
        close("sort")
        share = lines ? 100 * total / lines : 0
        printf "coverage: %d of %d lines, %.1f %%; at least %d %%\n", total, lines, share, least
        exit share < least
    }'
