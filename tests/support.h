/*
 * What the test programs share: cmocka, comparisons that NaN fails, random and poisoned buffers.
 */
#ifndef DDPM_TESTS_SUPPORT_H
#define DDPM_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/safetensors.h"

/* Whether a sanitizer has its own memory and its own C library; clang says so in its own way. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* |actual - expected| <= bound; NaN on either side fails, and the line is named. */
#define assert_close(actual, expected, bound)                                                      \
    test_assert_close((actual), (expected), (bound), #actual, __FILE__, __LINE__)
void test_assert_close(double actual, double expected, double bound, const char *what,
                       const char *file, int line);

/* max |actual - expected| <= bound * max(|expected|), or <= floor. NaN fails. */
#define assert_arrays_close(actual, expected, n, bound, floor)                                     \
    test_assert_arrays_close((actual), (expected), (n), (bound), (floor), #actual, __FILE__,       \
                             __LINE__)
void test_assert_arrays_close(const float *actual, const float *expected, size_t n, double bound,
                              double floor, const char *what, const char *file, int line);

/* 64-byte aligned buffers, to be given to free(). */
float *test_floats(size_t n);                 /* NaN everywhere: what is not written shows */
float *test_normals(size_t n, uint32_t seed); /* standard normals */
double test_dot(const float *a, const float *b, size_t n);

/* tests/fixtures/<name>.safetensors, or the test fails. */
Safetensors test_fixture(const char *name);

/* The tensor of that name (in the manner of printf) in a new buffer, in the file's order; `count`
 * may be NULL. If there is none, or it holds no real numbers (for _whole: no I32 or I64), the test
 * fails. */
float *test_fixture_floats(const Safetensors *file, size_t *count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
double *test_fixture_doubles(const Safetensors *file, size_t *count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int *test_fixture_whole(const Safetensors *file, size_t *count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool test_fixture_has(const Safetensors *file, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* New buffers in the other order of the axes; n, c, h, w name the sizes in both. */
float *test_nchw_to_nhwc(const float *x, int n, int c, int h, int w);
float *test_nhwc_to_nchw(const float *x, int n, int c, int h, int w);

/* A new empty folder in $TMPDIR or /tmp; test_remove_folder removes it with all that is in it, and
 * frees the name. */
char *test_temp_folder(void);
void test_remove_folder(char *folder);

/* "folder/name", to be given to free(). */
char *test_path(const char *folder, const char *name);

/* Write the file folder/name; the folders that `name` names are made. */
void test_put(const char *folder, const char *name, const void *data, size_t size);

#endif
