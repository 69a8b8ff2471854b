#include "eval/sliced_wasserstein.h"

#include "base/parallel.h"
#include "base/rng.h"
#include "eval/patches.h"
#include "support.h"

#include <math.h>

static Dataset new_images(int count, int side, int channels)
{
    Dataset set = {.count = count, .height = side, .width = side, .channels = channels};
    Err err;
    if (!dataset_allocate(&set, false, "test", &err)) fail_msg("%s", err.text);
    return set;
}

/* Normals of mean 128 and deviation 40, the same at `by` x `by` neighbouring pixels. */
static Dataset noise(int count, int side, int channels, int by, uint64_t seed)
{
    Dataset set = new_images(count, side, channels);
    size_t size = (size_t)(side * side * channels);
    float *x = test_floats(size);
    for (int i = 0; i < count; i++) {
        rng_normal(x, size, (RngKey){.seed = seed, .image = (uint32_t)i, .stream = RNG_NOISE});
        for (int k = 0; k < (int)size; k++) {
            int c = k % channels, column = k / channels % side, line = k / channels / side;
            float normal = x[(line / by * side + column / by) * channels + c];
            dataset_image(&set, i)[k] = (uint8_t)fminf(fmaxf(128 + 40 * normal, 0), 255);
        }
    }
    free(x);
    return set;
}

static SlicedWasserstein measure(const Dataset *a, const Dataset *b, uint64_t seed)
{
    SlicedWasserstein swd;
    Err err;
    memset(&swd, 0x55, sizeof swd);
    if (!sliced_wasserstein(&swd, a, b, seed, NULL, NULL, &err)) fail_msg("%s", err.text);
    assert_false(swd.partial);
    return swd;
}

/*
 * Images of one grey each, half of them black and half white, against those of each of 256 greys.
 * Normalised, the greys are -1 and 1, and (i - 127.5) / s with s^2 = (256^2 - 1) / 12. The patch of
 * the value v is projected to v sum(u), so the distance is that of the greys (sorted: one by one)
 * times the mean of |sum(u)| over directions: 7 |u_1| by symmetry, of mean 7 Gamma(49/2) /
 * (sqrt(pi) Gamma(25)) and mean square 1.
 */
static void greys_are_as_far_apart_as_the_formula_says(void **state)
{
    (void)state;
    enum { COUNT = 256, SIDE = 16 };
    Dataset two = new_images(COUNT, SIDE, 1), all = new_images(COUNT, SIDE, 1);
    double s = sqrt((256.0 * 256 - 1) / 12), greys = 0;
    double mean = 7 * exp(lgamma(24.5) - lgamma(25)) / sqrt(M_PI);
    for (int i = 0; i < COUNT; i++) {
        memset(dataset_image(&two, i), i % 2 ? 255 : 0, SIDE * SIDE);
        memset(dataset_image(&all, i), i, SIDE * SIDE);
        greys += fabs((i < COUNT / 2 ? -1 : 1) - (i - 127.5) / s) / COUNT;
    }
    SlicedWasserstein swd = measure(&two, &all, 7);
    assert_int_equal(swd.levels, 1);
    assert_int_equal(swd.images, COUNT);
    assert_int_equal(swd.patches, SWD_PATCHES);
    assert_int_equal(swd.level[0].height, SIDE);
    assert_int_equal(swd.level[0].directions, SWD_DIRECTIONS);
    assert_close(swd.distance, 1000 * greys * mean,
                 4 * 1000 * greys * sqrt((1 - mean * mean) / SWD_DIRECTIONS));
    assert_true(swd.distance == swd.level[0].distance);
    dataset_release(&two), dataset_release(&all);
}

/* Patches alone: each channel has mean 0 and variance 1, a constant one is 0, and they are drawn at
 * all places alike. */
static void patches_are_normalised_and_uniform(void **state)
{
    (void)state;
    enum { IMAGES = 50, PATCHES = 100, SIDE = 12, PLACES = 6 * 6, N = IMAGES * PATCHES };
    Dataset set = new_images(2 * IMAGES, SIDE, 3);
    for (int i = 0; i < set.count * SIDE * SIDE; i++) {
        set.pixels[3 * i] = (uint8_t)(i % (SIDE * SIDE)); /* says the place */
        set.pixels[3 * i + 1] = 77;
        set.pixels[3 * i + 2] = (uint8_t)(i / (SIDE * SIDE)); /* says the image */
    }
    float *x = test_floats((size_t)N * PATCH_PIXELS * 3);
    Patches plan = {.set = &set, .images = IMAGES, .patches = PATCHES, .seed = 5};
    assert_true(patches_cut(x, &plan, &(Err){0}));
    double sum[3] = {0}, squares[3] = {0};
    float first = x[2], last = x[((size_t)N * PATCH_PIXELS - 1) * 3 + 2];
    int places[SIDE * SIDE] = {0}, image_steps = 0;
    float low = 1e9f, high = -1e9f;
    for (int i = 0; i < N * PATCH_PIXELS; i++)
        for (int c = 0; c < 3; c++) {
            sum[c] += (double)x[3 * i + c];
            squares[c] += (double)(x[3 * i + c] * x[3 * i + c]);
            if (c == 0) low = fminf(low, x[3 * i]), high = fmaxf(high, x[3 * i]);
        }
    for (int c = 0; c < 3; c++) {
        assert_close(sum[c] / (N * PATCH_PIXELS), 0, 1e-5);
        assert_close(squares[c] / (N * PATCH_PIXELS), c == 1 ? 0 : 1, 1e-4);
    }
    for (int i = 0; i < N; i++) {
        float place = x[i * PATCH_PIXELS * 3];
        places[lrintf((place - low) / (high - low) * (SIDE * SIDE - 1))]++;
        image_steps += i > 0 && x[i * PATCH_PIXELS * 3 + 2] > x[(i - 1) * PATCH_PIXELS * 3 + 2];
    }
    int drawn = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {
        bool fits = i / SIDE < 6 && i % SIDE < 6;
        drawn += places[i];
        assert_close(places[i], fits ? N / PLACES : 0, fits ? 5 * sqrt(N / PLACES) : 0);
    }
    assert_int_equal(drawn, N);
    assert_int_equal(image_steps, IMAGES - 1);
    assert_close((double)(last - first), sqrt(12.0) * 49 / 50, 0.01); /* images 0 and 98 */
    free(x), dataset_release(&set);
}

/* The same pixels at twice the size are other patches of the same kind, so what is compared is
 * texture: noise against noise is the floor, against coarse noise above it, at each level. */
static void kinds_of_noise_are_told_apart(void **state)
{
    (void)state;
    Dataset a = noise(64, 32, 3, 1, 1), b = noise(64, 32, 3, 1, 2), coarse = noise(64, 32, 3, 4, 3);
    SlicedWasserstein floor = measure(&a, &b, 0), far = measure(&a, &coarse, 0);
    assert_int_equal(far.levels, 2);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(far.level[k].width, 32 >> k);
        assert_true(floor.level[k].distance > 0);
        assert_true(floor.level[k].error > 0);
        assert_true(far.level[k].distance > floor.level[k].distance + 2 * far.level[k].error);
    }
    assert_close(far.distance, (far.level[0].distance + far.level[1].distance) / 2, 1e-9);
    dataset_release(&a), dataset_release(&b), dataset_release(&coarse);
}

/* Patches are normalised, so brightness and contrast (here: exactly half) do not matter. */
static void brightness_and_contrast_do_not_matter(void **state)
{
    (void)state;
    Dataset a = noise(20, 16, 1, 1, 1), b = noise(20, 16, 1, 2, 2), dark = new_images(20, 16, 1);
    for (int i = 0; i < 20 * 256; i++) {
        a.pixels[i] &= 0xFE;
        dark.pixels[i] = (uint8_t)(a.pixels[i] / 2 + 20);
    }
    SlicedWasserstein bright = measure(&a, &b, 3), other = measure(&dark, &b, 3);
    assert_close(other.distance, bright.distance, 1e-3);
    dataset_release(&a), dataset_release(&b), dataset_release(&dark);
}

/* Against what other images give: the scatter of 30 distances, whose own error is 13 percent. The
 * jackknife's expectation is above (Efron & Stein 1981). */
static void the_error_is_that_of_other_images(void **state)
{
    (void)state;
    enum { TIMES = 30 };
    double sum = 0, squares = 0, errors = 0;
    for (uint64_t k = 0; k < TIMES; k++) {
        Dataset a = noise(8, 16, 1, 1, 100 + k), b = noise(8, 16, 1, 4, 200 + k);
        SlicedWasserstein swd = measure(&a, &b, 1);
        sum += swd.distance, squares += swd.distance * swd.distance, errors += swd.error / TIMES;
        dataset_release(&a), dataset_release(&b);
    }
    double scatter = sqrt((squares - sum * sum / TIMES) / (TIMES - 1));
    assert_close(errors / scatter, 1.4, 0.5);
}

typedef struct {
    long stop_at, told;
} Stop;

static bool stop_there(void *context, long done)
{
    Stop *stop = context;
    assert_int_equal(done, stop->told + 1);
    stop->told = done;
    return done != stop->stop_at;
}

static void sets_of_different_numbers_are_thinned(void **state)
{
    (void)state;
    Dataset many = noise(3000, 8, 1, 1, 1), few = noise(10, 8, 1, 1, 2);
    assert_int_equal(measure(&many, &few, 0).images, 10);
    assert_true(isnan(
        measure(
            &many,
            &(Dataset){.count = 1, .height = 8, .width = 8, .channels = 1, .pixels = few.pixels}, 0)
            .error));
    /* patches differ, images do not */
    SlicedWasserstein swd;
    assert_true(sliced_wasserstein(&swd, &many, &many, 0, stop_there, &(Stop){1, 0}, &(Err){0}));
    assert_int_equal(swd.images, 3000);
    assert_int_equal(swd.patches, SWD_DESCRIPTORS / 3000);
    assert_true(swd.distance > 0 && swd.distance < 20);
    dataset_release(&many), dataset_release(&few);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    Dataset a = noise(9, 32, 3, 1, 1), b = noise(9, 32, 3, 3, 2);
    parallel_setup(1);
    SlicedWasserstein one = measure(&a, &b, 4);
    parallel_setup(3);
    SlicedWasserstein three = measure(&a, &b, 4), other = measure(&a, &b, 5);
    for (int k = 0; k < one.levels; k++) {
        assert_true(one.level[k].distance == three.level[k].distance);
        assert_true(one.level[k].error == three.level[k].error);
    }
    assert_true(one.distance != other.distance);
    dataset_release(&a), dataset_release(&b);
}

/* Stopped in the first level, in the second, and after everything, which is no stop. */
static void it_stops_where_it_is_told_to(void **state)
{
    (void)state;
    Dataset a = noise(9, 32, 1, 1, 1), b = noise(9, 32, 1, 3, 2);
    SlicedWasserstein whole = measure(&a, &b, 4), part;
    long steps = sliced_wasserstein_steps(&a);
    assert_int_equal(steps, 2 * SWD_DIRECTIONS / 32);
    const long stops[] = {1, steps / 2, steps / 2 + 1, steps};
    for (int i = 0; i < 4; i++) {
        Stop stop = {stops[i], 0};
        assert_true(sliced_wasserstein(&part, &a, &b, 4, stop_there, &stop, &(Err){0}));
        assert_int_equal(stop.told, stops[i]);
        assert_int_equal(part.partial, stops[i] < steps);
        assert_int_equal(part.levels, i < 2 ? 1 : 2);
        assert_int_equal(part.level[part.levels - 1].directions, i % 2 ? SWD_DIRECTIONS : 32);
        assert_close(part.level[0].distance, whole.level[0].distance, i ? 0 : 0.3 * whole.distance);
        assert_true(isfinite(part.distance) && isfinite(part.error));
    }
    dataset_release(&a), dataset_release(&b);
}

static void images_smaller_than_patches_are_refused(void **state)
{
    (void)state;
    Dataset a = noise(2, 6, 1, 1, 1);
    SlicedWasserstein swd;
    Err err;
    assert_false(sliced_wasserstein(&swd, &a, &a, 0, NULL, NULL, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.text, "6 x 6"));
    dataset_release(&a);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greys_are_as_far_apart_as_the_formula_says),
        cmocka_unit_test(patches_are_normalised_and_uniform),
        cmocka_unit_test(kinds_of_noise_are_told_apart),
        cmocka_unit_test(brightness_and_contrast_do_not_matter),
        cmocka_unit_test(the_error_is_that_of_other_images),
        cmocka_unit_test(sets_of_different_numbers_are_thinned),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(it_stops_where_it_is_told_to),
        cmocka_unit_test(images_smaller_than_patches_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
