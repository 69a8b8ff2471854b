/*
 * A shape is a predicate on the plane, so that a new one is a line or two, and a pixel is the share
 * of its 4 x 4 points that lie inside. Only correctly rounded operations are used (this file is
 * compiled without fused multiply-add, and a turn is drawn as a rational point of the circle
 * rather than through sin and cos), so every machine draws the same bytes.
 */
#include "data/shapes.h"

#include "base/rng.h"

#include <math.h>

enum { GRID = 4, POINTS = GRID * GRID, DRAWS = 12 };

static const uint64_t SHAPES_SEED = 2020;

/* The predicates: x to the right, y upwards, the shape about as large as the unit circle. */

static bool in_circle(float x, float y)
{
    return x * x + y * y <= 0.9f;
}

static bool in_square(float x, float y)
{
    return fmaxf(fabsf(x), fabsf(y)) <= 0.78f;
}

static bool in_triangle(float x, float y)
{
    return y >= -0.55f && 1.7320508f * fabsf(x) + y <= 1.1f;
}

static bool in_cross(float x, float y)
{
    return fminf(fabsf(x), fabsf(y)) <= 0.3f && fmaxf(fabsf(x), fabsf(y)) <= 0.95f;
}

static bool in_ring(float x, float y)
{
    float square = x * x + y * y;
    return square <= 1.0f && square >= 0.36f;
}

/* The five lines that a pentagram is drawn with bound it: outside of one is a tip, of two
 * outside.*/
static bool in_star(float x, float y)
{
    static const float normals[5][2] = {{0.0f, 1.0f},
                                        {0.95105652f, 0.30901699f},
                                        {-0.95105652f, 0.30901699f},
                                        {0.58778525f, -0.80901699f},
                                        {-0.58778525f, -0.80901699f}};
    int outside = 0;
    for (int i = 0; i < 5; i++) outside += normals[i][0] * x + normals[i][1] * y > 0.34f;
    return outside <= 1;
}

static bool in_crescent(float x, float y)
{
    float from_bite = (x - 0.5f) * (x - 0.5f) + y * y;
    return x * x + y * y <= 1.0f && from_bite >= 0.6f;
}

static bool in_heart(float x, float y)
{
    float u = 1.2f * x, v = 1.2f * y + 0.15f, rest = u * u + v * v - 1.0f;
    return rest * rest * rest - u * u * v * v * v <= 0.0f;
}

static bool (*const predicates[SHAPES_CLASSES])(float, float) = {
    in_circle, in_square, in_triangle, in_cross, in_ring, in_star, in_crescent, in_heart};

typedef struct {
    float x, y, radius;  /* in pixels */
    float cosine, sine;  /* of its turn */
    int shape, channels; /* colours have `channels` values */
    uint8_t fore[3], back[3];
} Scene;

static float between(float low, float high, float u)
{
    return low + (high - low) * u;
}

/* Red, green and blue of a hue in [0, 6), a saturation and a lightness in [0, 1] (the double
 * hexagonal cone of Joblove and Greenberg 1978). */
static void colour(uint8_t rgb[3], float hue, float saturation, float lightness)
{
    float chroma = saturation * (1.0f - fabsf(2.0f * lightness - 1.0f));
    for (int c = 0; c < 3; c++) {
        float turned = hue + 6.0f - 2.0f * (float)c;
        float from_peak = fabsf(turned >= 9.0f   ? turned - 12.0f
                                : turned >= 3.0f ? turned - 6.0f
                                                 : turned);
        float share = fminf(fmaxf(2.0f - from_peak, 0.0f), 1.0f) - 0.5f;
        rgb[c] = (uint8_t)(255.0f * (lightness + chroma * share) + 0.5f);
    }
}

/* A vivid shape on a background that is nearly black or nearly white; in grey, the opposite. */
static void choose_colours(Scene *scene, const float u[6])
{
    bool dark = u[0] < 0.5f;
    float ground = dark ? between(0.08f, 0.22f, u[1]) : between(0.82f, 0.95f, u[1]);
    if (scene->channels == 3) {
        colour(scene->back, 6.0f * u[2], 0.45f, ground);
        colour(scene->fore, 6.0f * u[3], between(0.7f, 1.0f, u[4]), between(0.48f, 0.6f, u[5]));
    } else {
        float level = dark ? between(0.6f, 1.0f, u[3]) : between(0.0f, 0.4f, u[3]);
        scene->back[0] = (uint8_t)(255.0f * ground + 0.5f);
        scene->fore[0] = (uint8_t)(255.0f * level + 0.5f);
    }
}

static Scene compose(int index, DatasetPart part, int height, int width, int channels)
{
    float u[DRAWS];
    rng_uniform(u, DRAWS,
                (RngKey){.seed = SHAPES_SEED,
                         .image = (uint32_t)index,
                         .step = (uint32_t)part,
                         .stream = RNG_SHAPES});
    Scene scene = {.shape = index % SHAPES_CLASSES, .channels = channels};
    scene.radius = between(0.22f, 0.42f, u[0]) * (float)(height < width ? height : width);
    float margin = 1.12f * scene.radius;
    scene.x = between(margin, (float)width - margin, u[1]);
    scene.y = between(margin, (float)height - margin, u[2]);
    float half = 2.0f * u[3] - 1.0f, sign = u[4] < 0.5f ? -1.0f : 1.0f;
    scene.cosine = sign * (1.0f - half * half) / (1.0f + half * half);
    scene.sine = sign * 2.0f * half / (1.0f + half * half);
    choose_colours(&scene, u + 5);
    return scene;
}

/* How many of the points of the pixel lie in the shape. */
static int coverage(const Scene *scene, int row, int column)
{
    int inside = 0;
    for (int point = 0; point < POINTS; point++) {
        float across = (float)(2 * (point % GRID) + 1) / (2 * GRID);
        float down = (float)(2 * (point / GRID) + 1) / (2 * GRID);
        float x = ((float)column + across - scene->x) / scene->radius;
        float y = (scene->y - (float)row - down) / scene->radius;
        inside += predicates[scene->shape](scene->cosine * x + scene->sine * y,
                                           scene->cosine * y - scene->sine * x);
    }
    return inside;
}

/* No shape reaches farther than 1.15 of its radius. */
static bool is_near(const Scene *scene, int row, int column)
{
    float x = (float)column + 0.5f - scene->x, y = (float)row + 0.5f - scene->y;
    float reach = 1.15f * scene->radius + 1.0f;
    return x * x + y * y <= reach * reach;
}

static void draw(uint8_t *pixels, const Scene *scene, int height, int width)
{
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++) {
            int inside = is_near(scene, row, column) ? coverage(scene, row, column) : 0;
            for (int c = 0; c < scene->channels; c++) {
                int sum = scene->fore[c] * inside + scene->back[c] * (POINTS - inside);
                *pixels++ = (uint8_t)((sum + POINTS / 2) / POINTS);
            }
        }
}

bool shapes_draw(Dataset *set, DatasetPart part, int height, int width, int channels, Err *err)
{
    *set = (Dataset){.count = part == DATASET_TRAIN ? SHAPES_TRAIN : SHAPES_TEST,
                     .height = height,
                     .width = width,
                     .channels = channels,
                     .classes = SHAPES_CLASSES};
    if (channels != 1 && channels != 3)
        return err_set(err, ERR_USAGE, "model.channels = %d: shapes are grey (1) or in colour (3)",
                       channels);
    if (!dataset_allocate(set, true, "shapes", err)) return false;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < set->count; i++) {
        Scene scene = compose(i, part, height, width, channels);
        draw(dataset_image(set, i), &scene, height, width);
        set->labels[i] = scene.shape;
    }
    return true;
}
