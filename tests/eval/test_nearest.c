#include "eval/nearest.h"

#include "base/parallel.h"
#include "support.h"

/* Bytes of `levels` values spread over 0 .. 255: few of them make many ties. */
static Dataset random_images(int count, int height, int width, int channels, int levels,
                             uint32_t seed)
{
    Dataset set = {.count = count, .height = height, .width = width, .channels = channels};
    Err err;
    if (!dataset_allocate(&set, false, "test", &err)) fail_msg("%s", err.text);
    size_t size = (size_t)count * (size_t)height * (size_t)width * (size_t)channels;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        set.pixels[i] = (uint8_t)((int)(seed >> 16) % levels * 255 / (levels - 1));
    }
    return set;
}

static int64_t distance(const Dataset *a, int i, const Dataset *b, int j, bool mirror)
{
    int64_t sum = 0;
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++)
            for (int c = 0; c < a->channels; c++) {
                int other = mirror ? a->width - 1 - x : x;
                int64_t difference = dataset_image(a, i)[(y * a->width + x) * a->channels + c] -
                                     dataset_image(b, j)[(y * a->width + other) * a->channels + c];
                sum += difference * difference;
            }
    return sum;
}

/* The distance of query i to each image, and twice the smallest of what is left. */
static NearestImages brute_force(const Dataset *queries, int i, const Dataset *set, bool mirror)
{
    Neighbour best[2];
    for (int k = 0; k < 2; k++) {
        best[k] = (Neighbour){-1, false, INT64_MAX};
        for (int j = 0; j < set->count; j++)
            for (int flip = 0; flip <= mirror; flip++) {
                int64_t d = distance(queries, i, set, j, flip);
                if ((k == 0 || j != best[0].index) && d < best[k].distance)
                    best[k] = (Neighbour){j, flip, d};
            }
    }
    return (NearestImages){best[0], best[1]};
}

static void assert_same(const Neighbour *actual, const Neighbour *expected)
{
    assert_int_equal(actual->index, expected->index);
    assert_int_equal(actual->mirrored, expected->mirrored);
    assert_true(actual->distance == expected->distance);
}

static NearestImages *find(const Dataset *queries, const Dataset *set, bool mirror)
{
    NearestImages *out = malloc((size_t)queries->count * sizeof *out);
    int done = -1;
    Err err;
    assert_non_null(out);
    memset(out, 0x55, (size_t)queries->count * sizeof *out);
    if (!nearest_images(out, &done, queries, set, mirror, NULL, NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(done, queries->count);
    return out;
}

static void assert_brute_force(const Dataset *queries, const Dataset *set, bool mirror)
{
    NearestImages *out = find(queries, set, mirror);
    for (int i = 0; i < queries->count; i++) {
        NearestImages expected = brute_force(queries, i, set, mirror);
        assert_same(&out[i].nearest, &expected.nearest);
        assert_same(&out[i].next, &expected.next);
    }
    free(out);
}

/* More images than a block of them, more queries than a block of those, images longer than a piece
 * of the products; two grey levels make ties at most distances. */
static void neighbours_are_those_of_brute_force(void **state)
{
    (void)state;
    static const int cases[][6] = {/* queries, images, height, width, channels, levels */
                                   {5, 4100, 2, 3, 1, 2},  {1030, 40, 3, 2, 1, 3},
                                   {3, 9, 28, 28, 1, 256}, {4, 7, 20, 19, 3, 256},
                                   {3, 5, 20, 19, 3, 2},   {2, 1, 1, 1, 1, 256}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int mirror = 0; mirror < 2; mirror++) {
            const int *c = cases[k];
            Dataset queries = random_images(c[0], c[2], c[3], c[4], c[5], 1);
            Dataset set = random_images(c[1], c[2], c[3], c[4], c[5], 2);
            assert_brute_force(&queries, &set, mirror);
            dataset_release(&queries), dataset_release(&set);
        }
}

/* Black and white images are where the sums are largest: 2^24 in a piece. */
static void the_largest_distances_are_exact(void **state)
{
    (void)state;
    enum { SIDE = 32, SIZE = SIDE * SIDE * 3 };
    Dataset queries = random_images(2, SIDE, SIDE, 3, 256, 1), set = queries;
    assert_true(dataset_allocate(&set, false, "test", &(Err){0}));
    memset(dataset_image(&queries, 0), 0, SIZE);
    memset(dataset_image(&queries, 1), 255, SIZE);
    memset(dataset_image(&set, 0), 255, SIZE);
    memset(dataset_image(&set, 1), 255, SIZE);
    dataset_image(&set, 1)[SIZE - 1] = 254;
    NearestImages *out = find(&queries, &set, false);
    assert_true(out[0].nearest.distance == 65025 * (SIZE - 1) + 254 * 254);
    assert_int_equal(out[0].nearest.index, 1);
    assert_true(out[0].next.distance == 65025 * SIZE);
    assert_true(out[1].nearest.distance == 0);
    assert_true(out[1].next.distance == 1);
    free(out), dataset_release(&queries), dataset_release(&set);
}

/* A copy is at 0, and so is a second one; the first wins. A mirrored one is found if asked for. */
static void copies_are_found(void **state)
{
    (void)state;
    enum { COUNT = 50, SIZE = 28 * 28 };
    Dataset queries = random_images(1, 28, 28, 1, 256, 1);
    Dataset set = random_images(COUNT, 28, 28, 1, 256, 2);
    memcpy(dataset_image(&set, 41), queries.pixels, SIZE);
    memcpy(dataset_image(&set, 17), queries.pixels, SIZE);
    for (int i = 0; i < SIZE; i++)
        dataset_image(&set, 3)[i] = queries.pixels[i / 28 * 28 + 27 - i % 28];
    NearestImages *out = find(&queries, &set, false), *mirrored = find(&queries, &set, true);
    assert_same(&out->nearest, &(Neighbour){17, false, 0});
    assert_same(&out->next, &(Neighbour){41, false, 0});
    assert_same(&mirrored->nearest, &(Neighbour){3, true, 0});
    assert_same(&mirrored->next, &(Neighbour){17, false, 0});
    free(out), free(mirrored), dataset_release(&queries), dataset_release(&set);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    Dataset queries = random_images(20, 9, 9, 1, 4, 1), set = random_images(3000, 9, 9, 1, 4, 2);
    parallel_setup(1);
    NearestImages *one = find(&queries, &set, true);
    parallel_setup(3);
    NearestImages *three = find(&queries, &set, true);
    for (int i = 0; i < queries.count; i++) {
        assert_same(&three[i].nearest, &one[i].nearest);
        assert_same(&three[i].next, &one[i].next);
    }
    free(one), free(three), dataset_release(&queries), dataset_release(&set);
}

static bool stop_at_once(void *context, long done)
{
    *(long *)context = done;
    return false;
}

/* A stop leaves whole queries; an image that is not there has no index. */
static void it_stops_where_it_is_told_to(void **state)
{
    (void)state;
    Dataset queries = random_images(1300, 2, 2, 1, 256, 1);
    Dataset set = random_images(1, 2, 2, 1, 256, 2);
    NearestImages *out = calloc((size_t)queries.count, sizeof *out);
    int done = -1;
    long told = -1;
    Err err;
    assert_non_null(out);
    assert_true(nearest_images(out, &done, &queries, &set, true, stop_at_once, &told, &err));
    assert_in_range(done, 1, queries.count - 1);
    assert_int_equal(told, done);
    for (int i = 0; i < done; i++) {
        assert_int_equal(out[i].nearest.index, 0);
        assert_int_equal(out[i].next.index, -1);
    }
    free(out), dataset_release(&queries), dataset_release(&set);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_are_those_of_brute_force),
        cmocka_unit_test(the_largest_distances_are_exact),
        cmocka_unit_test(copies_are_found),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(it_stops_where_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
