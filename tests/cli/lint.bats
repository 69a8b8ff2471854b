#!/usr/bin/env bats
# scripts/lint.sh on small trees, each with one thing wrong: a linter that finds nothing is silent
# too. What the trees must not hold is written apart here, for the linter reads this file as well.

setup() {
    unset BUILD # make check gives one
    lint=$PWD/scripts/lint.sh
    format=$PWD/.clang-format
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$format" .
    mkdir -p include/{base,nn,model,train} src/{base,nn,diffusion,train} tests scripts build/nn
    put src/base/good.c '/* prose: malloc(1) */' '#include <stdio.h>' '' \
        'int good(void);' '' 'int good(void)' '{' '    return 1;' '}'
}

put() { # FILE LINE...
    printf '%s\n' "${@:2}" >"$1"
}

# A source of layer nn and its object file.
pure() { # LINE...
    put src/nn/pure.c "$@"
    cc -c -O1 -o build/nn/pure.o src/nn/pure.c
}

# What lint says holds this line.
finds() {
    run bash "$lint" .
    echo "expected: $1"
    echo "$output"
    [ "$status" -eq 1 ]
    grep -qF -- "$1" <<<"$output"
}

# No finding says this.
finds_no() {
    run bash "$lint" .
    echo "unexpected: $1"
    echo "$output"
    run grep -F -- "$1" <<<"$output"
    [ "$status" -eq 1 ]
}

# Nothing is found, but for tools that are not there.
finds_nothing() {
    run bash "$lint" .
    echo "$output"
    run grep -v -e 'is not installed' -e '^lint: ' <<<"$output"
    [ "$status" -eq 1 ]
}

needs() {
    command -v "$1" >/dev/null || skip "$1 is not installed"
}

@test "a good tree has no findings" {
    pure 'const char *const names[] = {"a", "b"};' 'static const float table[2] = {1, 2};' \
        'float at(int i);' '' 'float at(int i)' '{' '    return table[i] + names[i][0];' '}'
    finds_nothing
}

@test "format" {
    needs clang-format
    put src/base/bad.c 'int  x;'
    finds 'src/base/bad.c:1: not as clang-format'
}

@test "includes against the direction of the layers" {
    put include/nn/a.h '#include "model/a.h"'
    finds 'include/nn/a.h:1: layer nn may not include model'
    put include/nn/a.h '#include "base/a.h"'
    put src/diffusion/a.c '' '#include "nn/a.h"'
    finds 'src/diffusion/a.c:2: layer diffusion may not include nn'
    rm src/diffusion/a.c
    put src/train/a.c '#include "cmd/a.h"'
    finds 'src/train/a.c:1: layer train may not include cmd'
    put src/train/a.c '#include "a.h"'
    finds 'src/train/a.c:1: "a.h" names no layer'
    put src/train/a.c '/*' '#include "cmd/a.h"' '*/' '#include "base/a.h"' '#include "nn/a.h"'
    finds_nothing
}

@test "headers that include each other" {
    put include/base/a.h '#include "base/b.h"'
    put include/base/b.h '' '#include "base/c.h"'
    put include/base/c.h '#include "base/a.h"'
    finds 'headers include each other: base/'
    put include/base/c.h ''
    finds_nothing
}

@test "third-party headers in the wrong file, in two, or in a header" {
    put src/base/gemm.c '#include <cblas.h>'
    put src/base/a.c '#include <zlib.h>'
    put src/base/b.c '#include <other.h>'
    finds_nothing
    put src/train/a.c '#include <cblas.h>'
    finds 'src/train/a.c:1: <cblas.h> belongs in src/base/gemm.c alone'
    put src/train/a.c '#include <other.h>'
    finds ':1: <other.h> belongs in one .c file alone'
    put src/train/a.c ''
    put src/base/c.c '#include <zlib.h>'
    finds 'src/base/c.c:1: <zlib.h> is also included at src/base/a.c:1'
    put src/base/b.c ''
    put include/base/b.h '#include <other.h>'
    finds 'include/base/b.h:1: <other.h> belongs in one .c file alone'
}

@test "allocation and output in pure layers" {
    put src/diffusion/a.c '' '    x = mal''loc(3);' '    printf("free(x)");'
    finds 'src/diffusion/a.c:2: layer diffusion calls malloc'
    finds 'src/diffusion/a.c:3: layer diffusion calls printf'
    put src/diffusion/a.c 'int set_free(void);' '/* free(x)' ' * free(x) */' '// free(x)' \
        'char text[] = "free(x)";'
    finds_no 'calls'
}

@test "variables that live on in pure layers" {
    pure 'int next(void);' '' 'int next(void)' '{' '    static int count;' '    return count++;' '}'
    finds 'src/nn/pure.c:5: variable count outlives'
    pure 'int global = 3;'
    finds 'src/nn/pure.c:1: variable global outlives'
    pure '_Thread_local int own;'
    finds 'src/nn/pure.c:1: variable own outlives'
    pure 'const char *names[] = {"a"};'
    finds 'src/nn/pure.c:1: variable names outlives'
    rm build/nn/pure.o
    finds 'src/nn/pure.c:1: not built'
}

@test "long functions, files and lines" {
    local body
    mapfile -t body < <(yes '    f();' | head -n 67)
    put src/base/a.c '' 'int f(int a,' '      int b)' '{' "${body[@]}" '}'
    finds 'src/base/a.c:2: function of 71 lines'
    put src/base/a.c '' 'int f(int a, int b)' '{' "${body[@]}" '}'
    finds_no 'function of'
    mapfile -t body < <(yes '' | head -n 501)
    put tests/a.c "${body[@]}"
    finds 'tests/a.c:501: 501 lines'
    put scripts/a.sh '#!/bin/sh' "# $(printf '%099d' 0)"
    finds 'scripts/a.sh:2: 101 characters'
    put scripts/a.sh '#!/bin/sh' "# é$(printf '%097d' 0)"
    finds_no 'characters'
}

@test "words of what is unfinished, flags that change the numbers" {
    put src/base/a.c '/* TO''DO */'
    finds 'src/base/a.c:1: unfinished'
    put src/base/a.c '/* /tmp/name-XXXX''XX is none */'
    finds_nothing
    put README.md '' 'FIX''ME'
    finds 'README.md:2: unfinished'
    rm README.md
    put Makefile 'CFLAGS = -O3 -ffast''-math'
    finds 'Makefile:1: lets the compiler drop NaN'
    put Makefile 'CFLAGS = -O3'
    put src/base/a.c '/* as without -ffast''-math */'
    finds_nothing
    put src/base/a.c '#pragma GCC optimize("fast-math")'
    finds 'src/base/a.c:1: lets the compiler drop NaN'
}

@test "shell scripts" {
    needs shellcheck
    # shellcheck disable=SC2016 # it is the script that is wrong
    put scripts/a.sh '#!/bin/sh' 'echo $1'
    finds 'scripts/a.sh:2:6: '
}
