#!/usr/bin/env bash
# Installs what is missing through the system's package manager:
#
#     scripts/setup.sh [build|test|lint|fuzz|analyse|race|memcheck|demo]...
#
# (build and test if none is given.)
#
# What is there is looked for itself, not asked of the package manager: where nothing is missing
# this takes no time, no network and no rights. Exit code 1 if something is missing that cannot be
# installed here, after saying what. `demo` is only its data set, which a demo can do without, so
# that is never an error. Tried on Debian 12; the names for dnf, pacman and brew are untried.
set -eu

# What is needed for what, and each system's package of it ("-": it has none).
# group  what          apt                     dnf                  pacman     brew
needs="
build    compiler      gcc,libc6-dev           gcc                  gcc        libomp
build    make          make                    make                 make       make
build    pkg-config    pkg-config              pkgconf-pkg-config   pkgconf    pkg-config
build    openblas      libopenblas-dev         openblas-devel       openblas   openblas
build    libcjson      libcjson-dev            cjson-devel          cjson      cjson
build    zlib          zlib1g-dev              zlib-devel           zlib       zlib
build    stb           libstb-dev              stb-devel            stb        -
test     cmocka        libcmocka-dev           libcmocka-devel      cmocka     cmocka
test     bats          bats                    bats                 bats       bats-core
test     curl          curl                    curl                 curl       curl
test     strace        strace                  strace               strace     -
test     gnuplot       gnuplot-nox             gnuplot              gnuplot    gnuplot
lint     clang-format  clang-format            clang-tools-extra    clang      clang-format
lint     shellcheck    shellcheck              ShellCheck           shellcheck shellcheck
lint     objdump       binutils                binutils             binutils   binutils
fuzz     clang         clang                   clang                clang      -
fuzz     libfuzzer     libclang-rt-dev         compiler-rt          compiler-rt -
fuzz     libomp        libomp-dev              libomp-devel         openmp     -
analyse  clang         clang                   clang                clang      llvm
analyse  cppcheck      cppcheck                cppcheck             cppcheck   cppcheck
analyse  libomp        libomp-dev              libomp-devel         openmp     libomp
race     clang         clang                   clang                clang      -
race     libtsan       libclang-rt-dev         compiler-rt          compiler-rt -
race     libomp        libomp-dev              libomp-devel         openmp     -
memcheck valgrind      valgrind                valgrind-devel       valgrind   -
demo     fashion-mnist dataset-fashion-mnist   -                    -          -
"

have() { # WHAT
    case $1 in
    compiler) printf '#include <stdio.h>\n' | "${CC:-cc}" -E - >/dev/null 2>&1 ;;
    openblas) pkg-config --exists openblas 2>/dev/null || [ -d /opt/homebrew/opt/openblas ] ||
        [ -d /usr/local/opt/openblas ] ;;
    libcjson | zlib | cmocka) pkg-config --exists "$1" 2>/dev/null ;;
    stb) pkg-config --exists stb 2>/dev/null || [ -e /usr/include/stb/stb_image.h ] ||
        [ -e /opt/homebrew/include/stb/stb_image.h ] || [ -e /usr/local/include/stb/stb_image.h ] ;;
    libfuzzer) echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
        clang -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null ;;
    libtsan) echo 'int main(void) { return 0; }' |
        clang -fsanitize=thread -x c - -o /dev/null 2>/dev/null ;;
    libomp) printf '#include <omp.h>\nint main(void) { return 0; }\n' |
        clang -fopenmp -x c - -o /dev/null 2>/dev/null ;;
    fashion-mnist) [ -e "${DDPM_DATA:-data}/fashion-mnist/train-images-idx3-ubyte.gz" ] ||
        [ -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# What is missing, one a line, as "what apt dnf pacman brew".
missing() { # GROUP...
    local group what packages
    while read -r group what packages; do
        case " $* " in
        *" ${group:-none} "*) have "$what" || echo "$what $packages" ;;
        esac
    done <<<"$needs"
}

manager() {
    local name
    for name in apt-get dnf pacman brew; do
        if command -v "$name" >/dev/null; then
            echo "$name"
            return
        fi
    done
}

# The packages of $manager for the lines of missing() on stdin.
packages() {
    awk -v manager="$manager" '
        BEGIN { column["apt-get"] = 2; column["dnf"] = 3; column["pacman"] = 4; column["brew"] = 5 }
        $column[manager] != "-" { gsub(",", " ", $column[manager]); print $column[manager] }' |
        paste -s -d ' ' -
}

# Run as root. sudo may ask for a password only where somebody can type it.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
    else
        echo "setup: neither root nor sudo: cannot run $*" >&2
        return 1
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@"
}

install() { # PACKAGE...
    case $manager in
    apt-get)
        # An old or empty package list is the usual reason to fail: fetch it and try once more.
        if apt-cache show "$@" >/dev/null 2>&1 && apt_install "$@"; then return; fi
        as_root apt-get update -q && apt_install "$@"
        ;;
    dnf) as_root dnf install -y -q "$@" ;;
    pacman) as_root pacman -S --needed --noconfirm "$@" ;;
    brew) brew install "$@" ;;
    esac
}

# Install what is missing, and say what is missing still.
provide() { # GROUP...
    local lines list
    lines=$(missing "$@")
    [ -n "$lines" ] || return 0
    list=$(packages <<<"$lines")
    if [ -n "$manager" ] && [ -n "$list" ]; then
        echo "setup: installing $list" >&2
        # shellcheck disable=SC2086 # a list of names
        install $list >&2 || echo "setup: $manager failed" >&2
        lines=$(missing "$@")
    fi
    [ -n "$lines" ] || return 0
    echo "setup: missing: $(cut -d ' ' -f 1 <<<"$lines" | tr '\n' ' ')" >&2
    [ "$*" = demo ] && return 0
    list=$(manager=apt-get packages <<<"$lines")
    echo "setup: install them (in Debian: $list) and try again" >&2
    return 1
}

[ $# -gt 0 ] || set -- build test
manager=$(manager)
required=() demo=""
for group in "$@"; do
    case $group in
    demo) demo=yes ;;
    build | test | lint | fuzz | analyse | race | memcheck) required+=("$group") ;;
    *)
        echo "setup: no group is named $group; there are build, test, lint, fuzz, analyse, race," \
            "memcheck and demo" >&2
        exit 2
        ;;
    esac
done
[ ${#required[@]} -eq 0 ] || provide "${required[@]}"
[ -z "$demo" ] || provide demo
