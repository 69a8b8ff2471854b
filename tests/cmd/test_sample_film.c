/* Strips and frames, pixel by pixel, against what another watcher of the same walk saw. */
#include "cmd/sample_film.h"

#include "base/file.h"
#include "base/parallel.h"
#include "data/image.h"
#include "data/pixels.h"
#include "model/network.h"
#include "support.h"

#include <stdio.h>

enum { SIDE = 16, SIZE = SIDE * SIDE * 3, COUNT = 3, BATCH = 2, STEPS = 5, CELL = SIDE + 2 };

static const Conditioning NO_CLASSES = {.guidance = 1};

typedef struct {
    Unet *unet;
    float *weights;
    Generator generator;
} Model;

static Model open_model(int batch)
{
    DiffusionConfig diffusion = {.timesteps = 20,
                                 .schedule = SCHEDULE_LINEAR,
                                 .beta_start = 0.01,
                                 .beta_end = 0.3,
                                 .variance = VARIANCE_FIXED_LARGE};
    SamplerConfig sampler = {.kind = SAMPLER_DDIM, .steps = STEPS, .clip = true, .channels = 3};
    Model m = {.unet = network_new(network_rgb16(), batch, UNET_SAMPLE)};
    Err err;
    m.weights = network_random_weights(m.unet, 3);
    if (!generator_init(&m.generator, m.unet, m.weights, &diffusion, &sampler, &NO_CLASSES, batch,
                        &err))
        fail_msg("%s", err.text);
    return m;
}

static void close_model(Model *m)
{
    generator_release(&m->generator);
    unet_free(m->unet);
    free(m->weights);
}

/* All that there is to see. */
typedef struct {
    int at;
    int t[STEPS];
    float x_t[STEPS][COUNT][SIZE], x_0[STEPS][COUNT][SIZE], images[COUNT][SIZE];
} Seen;

static void see_all(void *context, const GeneratorView *view)
{
    Seen *seen = context;
    seen->t[view->step] = view->t;
    for (int i = 0; i < view->n; i++) {
        memcpy(seen->x_t[view->step][seen->at + i], view->x_t + i * SIZE, sizeof(float[SIZE]));
        memcpy(seen->x_0[view->step][seen->at + i], view->x_0 + i * SIZE, sizeof(float[SIZE]));
    }
}

static Seen *see_everything(int batch)
{
    Seen *seen = calloc(1, sizeof *seen);
    float *x_t = test_floats((size_t)batch * SIZE), *x_0 = test_floats((size_t)batch * SIZE);
    Model m = open_model(batch);
    m.generator.watch = (GeneratorWatch){see_all, seen, x_t, x_0};
    for (seen->at = 0; seen->at < COUNT; seen->at += batch) {
        int n = COUNT - seen->at < batch ? COUNT - seen->at : batch;
        assert_true(generator_batch(&m.generator, seen->images[seen->at], NULL, (uint32_t)seen->at,
                                    n, NULL, NULL));
    }
    close_model(&m);
    free(x_t), free(x_0);
    return seen;
}

static void assert_cell(const Image *grid, int row, int column, const float *image)
{
    uint8_t bytes[SIZE];
    pixels_to_bytes(bytes, image, SIZE);
    for (int y = 0; y < SIDE; y++) {
        size_t at =
            ((size_t)(2 + row * CELL + y) * (size_t)grid->width + 2 + (size_t)(column * CELL)) * 3;
        assert_memory_equal(grid->pixels + at, bytes + y * SIDE * 3, SIDE * 3);
    }
}

static void a_view_is_of_a_step(void **state)
{
    (void)state;
    Seen *seen = see_everything(BATCH);
    float x_T[COUNT][SIZE];
    sampler_draw_x_T(x_T[0], COUNT, SIZE, 0, 0);
    assert_memory_equal(seen->x_t[0], x_T, sizeof x_T);
    assert_int_equal(seen->t[0], 20);
    assert_int_equal(seen->t[STEPS - 1], 1);
    /* ddim ends in the x_0 that was predicted last */
    assert_arrays_close(seen->images[0], seen->x_0[STEPS - 1][0], COUNT * SIZE, 1e-6, 0);
    for (int s = 0; s < STEPS; s++)
        for (int k = 0; k < SIZE; k++)
            assert_true(seen->x_0[s][1][k] >= -1 && seen->x_0[s][1][k] <= 1);
    free(seen);
}

/* Of five steps, three moments are the first, the third and the last. */
static void strips_are_x_t_above_x_0(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *path = test_path(folder, "strips.png");
    SampleOptions options = {.show_steps = 3};
    Provenance how = {0};
    SampleOutput output = {path, OUTPUT_GRID, 0, COUNT, SIDE, SIDE, 3, &NO_CLASSES, 0, &how};
    Seen *seen = see_everything(BATCH);
    SampleFilm film;
    Image grid;
    PngInfo info;
    Err err;
    Model m = open_model(BATCH);
    float *images = test_floats(BATCH * SIZE);
    if (!sample_film_open(&film, &options, &output, &m.generator, &err)) fail_msg("%s", err.text);
    for (int at = 0; at < COUNT; at += BATCH) {
        sample_film_batch(&film, at);
        int n = COUNT - at < BATCH ? COUNT - at : BATCH;
        assert_true(generator_batch(&m.generator, images, NULL, (uint32_t)at, n, NULL, NULL));
    }
    assert_true(sample_film_end(&film, images, &err));
    if (!sample_film_write_strips(&film, &err)) fail_msg("%s", err.text);
    assert_true(image_read(&grid, path, 3, &err));
    assert_int_equal(grid.width, 3 * CELL + 2);
    assert_int_equal(grid.height, 2 * COUNT * CELL + 2);
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < 3; j++) {
            assert_cell(&grid, 2 * i, j, seen->x_t[2 * j][i]);
            assert_cell(&grid, 2 * i + 1, j, seen->x_0[2 * j][i]);
        }
    assert_true(png_info_read(&info, path, &err));
    assert_string_equal(png_info_text(&info, "Timesteps"), "20,11,1");
    png_info_release(&info);
    image_release(&grid);
    sample_film_release(&film);
    close_model(&m);
    free(images), free(seen), free(path);
    test_remove_folder(folder);
}

static void frames_are_x_t_and_then_the_images(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *frames = test_path(folder, "frames");
    SampleOptions options = {.trajectory = frames};
    Provenance how = {0};
    SampleOutput output = {"x.npy", OUTPUT_NPY, 0, COUNT, SIDE, SIDE, 3, &NO_CLASSES, 2, &how};
    Seen *seen = see_everything(COUNT);
    SampleFilm film;
    FileList list;
    Err err;
    Model m = open_model(COUNT);
    float *images = test_floats(COUNT * SIZE);
    if (!sample_film_open(&film, &options, &output, &m.generator, &err)) fail_msg("%s", err.text);
    assert_true(generator_batch(&m.generator, images, NULL, 0, COUNT, NULL, NULL));
    if (!sample_film_end(&film, images, &err)) fail_msg("%s", err.text);
    assert_true(file_list(&list, frames, &err));
    assert_int_equal(list.count, STEPS + 1);
    for (int s = 0; s <= STEPS; s++) {
        char name[32];
        Image grid;
        snprintf(name, sizeof name, "%06d.png", s);
        assert_string_equal(list.names[s], name);
        char *path = test_path(frames, name);
        assert_true(image_read(&grid, path, 3, &err));
        for (int i = 0; i < COUNT; i++)
            assert_cell(&grid, i / 2, i % 2, s < STEPS ? seen->x_t[s][i] : seen->images[i]);
        image_release(&grid);
        free(path);
    }
    file_list_release(&list);
    sample_film_release(&film);
    close_model(&m);
    free(images), free(seen), free(frames);
    test_remove_folder(folder);
}

int main(void)
{
    parallel_setup(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_is_of_a_step),
        cmocka_unit_test(strips_are_x_t_above_x_0),
        cmocka_unit_test(frames_are_x_t_and_then_the_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
