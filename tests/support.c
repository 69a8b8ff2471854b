#include "support.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>

void test_assert_close(double actual, double expected, double bound, const char *what,
                       const char *file, int line)
{
    if (fabs(actual - expected) <= bound) return;
    print_error("%s = %.9g, expected %.9g, off by %.3g > %.3g\n", what, actual, expected,
                fabs(actual - expected), bound);
    _fail(file, line);
}

void test_assert_arrays_close(const float *actual, const float *expected, size_t n, double bound,
                              double floor, const char *what, const char *file, int line)
{
    double largest = 0, worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)actual[i] - (double)expected[i]);
        if (isnan(error)) error = HUGE_VAL;
        if (error > worst) worst = error, at = i;
        largest = fmax(largest, fabs((double)expected[i]));
    }
    if (worst <= fmax(bound * largest, floor)) return;
    print_error("%s[%zu] = %.9g, expected %.9g; off by %.3g where the largest of %zu is %.3g\n",
                what, at, (double)actual[at], (double)expected[at], worst, n, largest);
    _fail(file, line);
}

static float *new_floats(size_t n)
{
    Err err;
    float *x = memory_new(n, sizeof *x, "test buffer", &err);
    if (!x) fail_msg("%s", err.text);
    return x;
}

float *test_floats(size_t n)
{
    float *x = new_floats(n);
    for (size_t i = 0; i < n; i++) x[i] = NAN;
    return x;
}

float *test_normals(size_t n, uint32_t seed)
{
    float *x = new_floats(n);
    rng_normal(x, n, (RngKey){.seed = seed, .stream = RNG_NOISE, .part = 1});
    return x;
}

double test_dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

Safetensors test_fixture(const char *name)
{
    char path[FILE_PATH];
    Err err;
    Safetensors file;
    if (!file_path(path, &err, "tests/fixtures/%s.safetensors", name) ||
        !safetensors_read(&file, path, &err))
        fail_msg("%s", err.text);
    return file;
}

static const Tensor *find(const Safetensors *file, const char *format, va_list args)
{
    char name[256];
    vsnprintf(name, sizeof name, format, args);
    const Tensor *tensor = safetensors_find(file, name);
    if (!tensor) print_message("no tensor \"%s\"\n", name);
    return tensor;
}

static void *new_elements(const Tensor *tensor, size_t size, size_t *count)
{
    Err err;
    void *x = memory_new(tensor->count, size, tensor->name, &err);
    if (!x) fail_msg("%s", err.text);
    if (count) *count = tensor->count;
    return x;
}

float *test_fixture_floats(const Safetensors *file, size_t *count, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const Tensor *tensor = find(file, format, args);
    va_end(args);
    if (!tensor || !tensor_is_real(tensor)) fail_msg("no real tensor \"%s\"", format);
    float *x = new_elements(tensor, sizeof *x, count);
    tensor_to_floats(x, tensor);
    return x;
}

double *test_fixture_doubles(const Safetensors *file, size_t *count, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const Tensor *tensor = find(file, format, args);
    va_end(args);
    if (!tensor || (tensor->type != TENSOR_F32 && tensor->type != TENSOR_F64))
        fail_msg("no F32 or F64 tensor \"%s\"", format);
    double *x = new_elements(tensor, sizeof *x, count);
    const float *narrow = tensor->data;
    for (size_t i = 0; i < tensor->count; i++)
        if (tensor->type == TENSOR_F32)
            x[i] = (double)narrow[i];
        else
            memcpy(&x[i], (const char *)tensor->data + i * sizeof *x, sizeof *x);
    return x;
}

int *test_fixture_whole(const Safetensors *file, size_t *count, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const Tensor *tensor = find(file, format, args);
    va_end(args);
    if (!tensor || (tensor->type != TENSOR_I32 && tensor->type != TENSOR_I64))
        fail_msg("no tensor of whole numbers \"%s\"", format);
    int *x = new_elements(tensor, sizeof *x, count);
    for (size_t i = 0; i < tensor->count; i++) {
        int64_t wide = 0;
        size_t size = tensor_type_size(tensor->type);
        memcpy(&wide, (const char *)tensor->data + i * size, size);
        x[i] = (int)wide;
    }
    return x;
}

bool test_fixture_has(const Safetensors *file, const char *format, ...)
{
    char name[256];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    return safetensors_find(file, name) != NULL;
}

/* out [n,b,a] = x [n,a,b] with the last two axes exchanged. */
static float *exchange(const float *x, int n, int a, int b)
{
    float *out = test_floats((size_t)n * (size_t)a * (size_t)b);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < a; j++)
            for (int k = 0; k < b; k++) out[(i * b + k) * a + j] = x[(i * a + j) * b + k];
    return out;
}

float *test_nchw_to_nhwc(const float *x, int n, int c, int h, int w)
{
    return exchange(x, n, c, h * w);
}

float *test_nhwc_to_nchw(const float *x, int n, int c, int h, int w)
{
    return exchange(x, n, h * w, c);
}

char *test_temp_folder(void)
{
    char path[FILE_PATH];
    const char *parent = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/ddpm-test-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!mkdtemp(path)) fail_msg("%s: cannot make the folder", path);
    return strdup(path);
}

void test_remove_folder(char *folder)
{
    Err err;
    if (!file_remove(folder, &err)) fail_msg("%s", err.text);
    free(folder);
}

char *test_path(const char *folder, const char *name)
{
    char path[FILE_PATH];
    Err err;
    if (!file_path(path, &err, "%s/%s", folder, name)) fail_msg("%s", err.text);
    return strdup(path);
}

void test_put(const char *folder, const char *name, const void *data, size_t size)
{
    char *path = test_path(folder, name), parent[FILE_PATH];
    Err err;
    file_parent(parent, path);
    if (!file_make_folder(parent, &err)) fail_msg("%s", err.text);
    FILE *stream = fopen(path, "wb");
    if (!stream || fwrite(data, 1, size, stream) != size) fail_msg("%s: cannot be written", path);
    fclose(stream);
    free(path);
}
