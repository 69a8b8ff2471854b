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

#endif
