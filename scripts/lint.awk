# The rules of scripts/lint.sh that read sources line by line: awk -f scripts/lint.awk FILE...
# Prints one finding a line, and at the end "# " and a summary of the lengths of functions.
# For any awk (Debian's is mawk): no word boundaries, no sorting, no multibyte characters.

BEGIN {
    MAX_LINE = 100; MAX_FUNCTION = 70; MAX_FILE = 500
    # What each layer may include, besides itself.
    uses["base"] = " "
    uses["nn"] = " base "
    uses["diffusion"] = " base "
    uses["data"] = " base "
    uses["model"] = " nn base "
    uses["eval"] = " model nn diffusion data base "
    uses["train"] = " eval model nn diffusion data base "
    uses["cmd"] = " train eval model nn diffusion data base "
    uses["main"] = " cmd train eval model nn diffusion data base "
    # Where each third-party header is included; one that is not here may be in any one .c file.
    home["cblas.h"] = "src/base/gemm.c"
    home["cJSON.h"] = "src/base/json.c"
    home["omp.h"] = "src/base/parallel.c"
    home["zlib.h"] = "src/base/"
    home["stb_image.h"] = "src/data/stb_decode.c"
    home["stb_image_write.h"] = "src/data/image.c"
    home["stb_image_resize.h"] = home["stb_image_resize2.h"] = "src/data/image.c"
    home["cmocka.h"] = "tests/support.h"
    SYSTEM = " assert complex ctype errno fenv float inttypes limits locale math setjmp signal " \
        "stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath " \
        "time wchar wctype dirent dlfcn fcntl fnmatch getopt glob libgen poll pthread sched strings " \
        "termios unistd immintrin "
    # Calls that a pure function has no use for.
    NOT_PURE = "(malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|alloca" \
        "|strdup|memory_new|arena_init|fopen|fclose|fread|fwrite|fprintf|printf|vprintf|vfprintf" \
        "|puts|fputs|putchar|fputc|perror|fflush|open|read|write|getenv|system|exit|abort" \
        "|rand|srand|time|clock)"
}

FNR == 1 { finish_file(); start_file() }
{ check_line() }
FILENAME ~ /\.[ch]$/ { check_c() }
END { finish_file(); check_third_party(); check_cycles(); summary() }

function report(file, line, what) { print file ":" line ": " what }

function start_file() {
    file = FILENAME
    in_comment = 0
    function_line = 0
    layer = ""
    if (file ~ /^(src|include)\/[a-z]+\//) {
        layer = file
        sub(/^[a-z]+\//, "", layer)
        sub(/\/.*/, "", layer)
    } else if (file == "src/main.c") layer = "main"
}

function finish_file() {
    if (file != "" && lines > MAX_FILE)
        report(file, lines, lines " lines; a file has at most " MAX_FILE)
    lines = 0
}

function check_line(  line) {
    lines = FNR
    line = $0
    gsub(/[\200-\277]/, "", line) # the later bytes of UTF-8 characters
    if (length(line) > MAX_LINE)
        report(file, FNR, length(line) " characters; a line has at most " MAX_LINE)
}

function check_c(  text) {
    if (!in_comment && $0 ~ /^[ \t]*#[ \t]*include/) check_include()
    text = strip($0)
    if ((layer == "nn" || layer == "diffusion") && text !~ /^[ \t]*#/) check_pure(text)
    measure(text)
}

# The line without comments and without what is inside quotes.
function strip(line,  out, rest, i, two, quote) {
    out = ""
    while (line != "") {
        if (in_comment) {
            i = index(line, "*/")
            if (i == 0) return out
            in_comment = 0
            line = substr(line, i + 2)
        } else if (match(line, /["']|\/\*|\/\//)) {
            out = out substr(line, 1, RSTART - 1)
            two = substr(line, RSTART, 2)
            rest = substr(line, RSTART + 2)
            if (two == "//") return out
            if (two == "/*") {
                in_comment = 1
                line = rest
                continue
            }
            quote = substr(two, 1, 1)
            line = substr(line, RSTART + 1)
            if (match(line, quote == "\"" ? "^([^\"\\\\]|\\\\.)*\"" : "^([^'\\\\]|\\\\.)*'"))
                line = substr(line, RLENGTH + 1)
            out = out quote quote
        } else return out line
    }
    return out
}

function check_include(  name, base, to) {
    name = $0
    sub(/^[^<"]*[<"]/, "", name)
    sub(/[>"].*/, "", name)
    base = name
    sub(/.*\//, "", base)
    if ($0 ~ /</) {
        if (name ~ /^(sys|linux)\// || index(SYSTEM, " " substr(name, 1, length(name) - 2) " ")) return
        includers[base] = includers[base] file ":" FNR " "
        return
    }
    if (layer == "") return
    to = name
    if (!sub(/\/.*/, "", to) || !(to in uses)) {
        report(file, FNR, "\"" name "\" names no layer: \"layer/module.h\"")
        return
    }
    if (to != layer && !index(uses[layer], " " to " "))
        report(file, FNR, "layer " layer " may not include " to " (\"" name "\")")
    if (file ~ /^include\//) {
        edges[substr(file, 9)] = edges[substr(file, 9)] name " "
        where[substr(file, 9), name] = FNR
    }
}

function check_pure(text,  name) {
    if (!match(text, "(^|[^A-Za-z0-9_])" NOT_PURE " *\\(")) return
    name = substr(text, RSTART, RLENGTH)
    gsub(/[^A-Za-z0-9_]/, "", name)
    report(file, FNR, "layer " layer " calls " name "; it takes memory and numbers, and no more")
}

# clang-format puts the braces of functions, and no others, alone in the first column.
function measure(text,  length_) {
    if (text == "{") {
        function_line = signature ? signature : FNR
    } else if (text == "}" && function_line) {
        length_ = FNR - function_line + 1
        if (length_ > MAX_FUNCTION)
            report(file, function_line, "function of " length_ " lines; at most " MAX_FUNCTION)
        if (file ~ /^src\//) {
            functions++
            of_length[length_]++
            if (length_ > longest) longest = length_
        }
        function_line = signature = 0
    } else if (text ~ /^[A-Za-z_]/) {
        signature = FNR
    }
}

function check_third_party(  header, n, i, at, part, file_) {
    for (header in includers) {
        n = split(includers[header], at, " ")
        for (i = 1; i <= n; i++) {
            split(at[i], part, ":")
            file_ = part[1]
            if (header in home) {
                if (index(file_, home[header]) != 1)
                    report(file_, part[2], "<" header "> belongs in " home[header] " alone")
                else if (i > 1 && home[header] ~ /\/$/)
                    report(file_, part[2], "<" header "> is also included at " at[1])
            } else if (file_ !~ /\.c$/ || i > 1)
                report(file_, part[2], "<" header "> belongs in one .c file alone")
        }
    }
}

function check_cycles(  header) {
    for (header in edges) if (!state[header]) visit(header, header)
}

function visit(header, path,  n, i, next_) {
    state[header] = 1
    n = split(edges[header], next_, " ")
    for (i = 1; i <= n; i++) {
        if (state[next_[i]] == 1)
            report("include/" header, where[header, next_[i]], \
                   "headers include each other: " path " > " next_[i])
        else if (!state[next_[i]]) visit(next_[i], path " > " next_[i])
    }
    state[header] = 2
}

function summary(  i, seen) {
    for (i = 1; i <= longest; i++) {
        seen += of_length[i]
        if (2 * seen >= functions) break
    }
    print "# " functions + 0 " functions: median " i + 0 " lines, longest " longest + 0
}
