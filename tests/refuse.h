/*
 * What a system may refuse, refused by a seccomp filter of this process, for good: in a child of
 * the test's.
 */
#ifndef DDPM_TESTS_REFUSE_H
#define DDPM_TESTS_REFUSE_H

#include <stdbool.h>
#include <stddef.h>

/* From now on `call` fails with errno `reason`; if first >= 0, only with that first argument.
 * Whether it could be had; without Linux not. */
bool test_refuse_call(int call, int first, int reason);

/* A filter that refuses nothing, as containers have one that refuses little. */
bool test_have_filter(void);

/* As a system without seccomp; or as one that ends who asks for it. */
bool test_refuse_seccomp(void);
bool test_forbid_seccomp(void);

/* From now on this process may have `more` bytes than it has; whether it could be had. Not under a
 * sanitizer, which has more than any limit. */
bool test_limit_memory(size_t more);

/* Skip a test of the walls around a child, which has none under ThreadSanitizer. */
void test_need_walls(void);

/* What it returns in a child of its own. */
bool test_in_child(bool (*holds)(void));

#endif
