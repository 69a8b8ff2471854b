#include "nn/product.h"

#include "base/parallel.h"
#include "support.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

/* Operands, each at the end of its own pages, beyond which nothing can be read or written. */
typedef struct {
    float *at;
    void *pages;
    size_t bytes;
} Guarded;

static Guarded guarded(size_t floats, uint32_t seed)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = floats * sizeof(float);
    Guarded g = {.bytes = (size + page - 1) / page * page + page};
    g.pages = mmap(NULL, g.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.pages != MAP_FAILED);
    char *end = (char *)g.pages + g.bytes - page;
    assert_int_equal(mprotect(end, page, PROT_NONE), 0);
    g.at = (float *)(void *)(end - size);
    float *values = seed ? test_normals(floats, seed) : test_floats(floats);
    memcpy(g.at, values, size);
    free(values);
    return g;
}

static void release(Guarded *g)
{
    munmap(g->pages, g->bytes);
}

static size_t stored(int rows, int columns, int ld)
{
    return (size_t)(rows - 1) * (size_t)ld + (size_t)columns;
}

/* Between a row's end and the next row's start C keeps what it held: NaN. */
static void check_c(const float *c, const float *before, const float *a, const float *b,
                    const float *start, Gemm g)
{
    for (int i = 0; i < g.m; i++) {
        for (int j = 0; j < g.n; j++) {
            double sum = 0, size = 0;
            for (int k = 0; k < g.k; k++) {
                double term = (double)a[g.trans_a ? k * g.lda + i : i * g.lda + k] *
                              (double)b[g.trans_b ? j * g.ldb + k : k * g.ldb + j];
                sum += term, size += fabs(term);
            }
            sum *= (double)g.alpha;
            if (start) sum += (double)start[j];
            if (g.beta != 0.0f) sum += (double)before[i * g.ldc + j];
            assert_close((double)c[i * g.ldc + j], sum, 1e-6 * (size + 1));
        }
        for (int j = g.n; j < g.ldc && i < g.m - 1; j++) assert_true(isnan(c[i * g.ldc + j]));
    }
}

typedef struct {
    int pad; /* floats between the rows */
    bool starts, parallel;
} How;

static void check(Gemm g, How how)
{
    g.lda += how.pad, g.ldb += how.pad, g.ldc += how.pad;
    Guarded a = guarded(stored(g.trans_a ? g.k : g.m, g.trans_a ? g.m : g.k, g.lda), 1);
    Guarded b = guarded(stored(g.trans_b ? g.n : g.k, g.trans_b ? g.k : g.n, g.ldb), 2);
    Guarded start = guarded((size_t)g.n, 3);
    size_t size = stored(g.m, g.n, g.ldc);
    Guarded c = guarded(size, 0), before = guarded(size, 4);
    if (g.beta != 0.0f)
        for (int i = 0; i < g.m; i++)
            memcpy(c.at + i * g.ldc, before.at + i * g.ldc, (size_t)g.n * sizeof(float));
    const float *first = how.starts ? start.at : NULL;
    if (how.parallel)
        product_parallel(c.at, a.at, b.at, first, g);
    else
        product(c.at, a.at, b.at, first, g);
    check_c(c.at, before.at, a.at, b.at, first, g);
    release(&a), release(&b), release(&start), release(&c), release(&before);
}

/* All transpositions, c overwritten and added to, with and without a start. */
static void check_all(int m, int n, int k, float alpha)
{
    for (int way = 0; way < 32; way++) {
        Gemm g = gemm_dims(m, n, k, way & 1, way & 2, way & 4 ? 1.0f : 0.0f);
        g.alpha = alpha;
        check(g, (How){.pad = way & 8 ? 5 : 0, .starts = way & 16, .parallel = way & 8});
        check(g, (How){.pad = way & 8 ? 0 : 3, .starts = way & 16});
    }
}

static void products_equal_a_plain_loop(void **state)
{
    (void)state;
    static const int sizes[][3] = {{1, 1, 1},     {3, 5, 7},      {1, 40, 9},    {2, 32, 300},
                                   {13, 64, 33},  {25, 16, 5},    {70, 130, 33}, {49, 33, 513},
                                   {50, 31, 2},   {257, 65, 129}, {600, 9, 3},   {5, 4, 1100},
                                   {16, 320, 257}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_all(sizes[i][0], sizes[i][1], sizes[i][2], 1.0f);
}

/* Every number of rows and of columns that the micro-kernel tells apart. */
static void every_remainder(void **state)
{
    (void)state;
    for (int m = 1; m <= 26; m++) check(gemm_dims(m, 32, 11, false, false, 0), (How){0});
    for (int m = 1; m <= 26; m++) check(gemm_dims(m, 7, 11, true, false, 1), (How){0});
    for (int n = 1; n <= 70; n++) check(gemm_dims(27, n, 6, false, true, 0), (How){.starts = true});
}

static void scaled(void **state)
{
    (void)state;
    check_all(30, 37, 41, 0.125f);
    check_all(5, 64, 20, -3.0f);
}

/* The gradient of a weight: the sum is cut into parts. */
static void long_sums(void **state)
{
    (void)state;
    check(gemm_dims(9, 33, 5003, true, false, 1), (How){.parallel = true});
    check(gemm_dims(70, 65, 4100, true, false, 0), (How){.parallel = true, .pad = 2});
    check(gemm_dims(20, 20, 4096, false, true, 1), (How){.parallel = true, .starts = true});
}

static void check_threads(Gemm g)
{
    size_t size = (size_t)g.m * (size_t)g.n;
    float *a = test_normals((size_t)g.m * (size_t)g.k, 1);
    float *b = test_normals((size_t)g.k * (size_t)g.n, 2);
    float *first = test_floats(size), *other = test_floats(size);
    parallel_setup(1);
    product_parallel(first, a, b, NULL, g);
    for (int threads = 2; threads <= 4; threads++) {
        parallel_setup(threads);
        product_parallel(other, a, b, NULL, g);
        assert_memory_equal(first, other, size * sizeof *first);
    }
    free(a), free(b), free(first), free(other);
}

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    check_threads(gemm_dims(1301, 203, 77, false, false, 0));
    check_threads(gemm_dims(65, 40, 5000, true, false, 0));
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_a_plain_loop),
        cmocka_unit_test(every_remainder),
        cmocka_unit_test(scaled),
        cmocka_unit_test(long_sums),
        cmocka_unit_test(threads_do_not_change_the_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
