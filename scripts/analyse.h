/*
 * Put before each source that scripts/analyse.sh looks at, but for err.c and memory.c. Analysers
 * read one source at a time: without this they follow every path on which an error is told of and
 * yet `true` is returned (include/base/err.h), and warn of what is not filled in there.
 */
#include "base/err.h"
#include "base/memory.h"

#define err_set(...) ((void)err_set(__VA_ARGS__), false)
#define err_as(...) ((void)err_as(__VA_ARGS__), false)
#define err_prefix(...) ((void)err_prefix(__VA_ARGS__), false)
#define memory_refused(...) ((void)memory_refused(__VA_ARGS__), false)
