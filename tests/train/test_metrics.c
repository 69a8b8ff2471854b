#include "support.h"
#include "train/metrics.h"

#include <math.h>
#include <stdio.h>

static StepReport report(uint64_t step, double loss)
{
    return (StepReport){.step = step,
                        .loss = loss,
                        .quarter_loss = {loss, NAN, 2 * loss, NAN},
                        .grad_norm = 3 * loss,
                        .learning_rate = 0.5,
                        .applied = true};
}

static char *text_of(const char *folder)
{
    char *path = test_path(folder, "metrics.jsonl");
    unsigned char *text;
    size_t size;
    Err err;
    if (!file_read(&text, &size, path, 1 << 20, &err)) fail_msg("%s", err.text);
    free(path);
    return (char *)text;
}

static void assert_text(const char *folder, const char *expected)
{
    char *text = text_of(folder);
    assert_string_equal(text, expected);
    free(text);
}

/* Open for a run that is at `step`, add `line` unless NULL, close. `words` are said of damage,
 * NULL: nothing is. */
static void reopen_damaged(const char *folder, uint64_t step, const char *line, const char *words)
{
    Metrics m;
    Err err;
    memset(&m, 0x5a, sizeof m);
    if (!metrics_open(&m, folder, step, 0, &err)) fail_msg("%s", err.text);
    if (line) assert_true(file_log_line(&m.log, line, &err));
    metrics_close(&m);
    if (words ? !strstr(m.damage.text, words) || !strstr(m.damage.text, folder) : m.damage.text[0])
        fail_msg("said of %s: %s", words ? words : "nothing", m.damage.text);
}

static void reopen(const char *folder, uint64_t step, const char *line)
{
    reopen_damaged(folder, step, line, NULL);
}

static void a_line_has_the_means(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    Metrics m;
    Err err;
    assert_true(metrics_open(&m, folder, 0, 100, &err));
    TrainState at = {.step = 3, .images = 24, .updates = 2};
    TrainConfig config = {.batch_size = 8, .emas = 2, .ema_decay = {0.5, 0.25}};
    StepReport one = report(0, 1), two = report(1, 2), bad = {.step = 2, .loss = NAN, .bad = "x"};
    two.quarter_loss[1] = 7;
    metrics_add(&m, &one);
    metrics_add(&m, &two);
    metrics_add(&m, &bad);
    assert_true(metrics_write(&m, &two, &at, &config, 104, &err));
    assert_text(folder, "{\"step\":3,\"images\":24,\"loss\":1.5,\"loss_by_quarter_of_t\":"
                        "[1.5,7,3,null],\"grad_norm\":4.5,\"learning_rate\":0.5,"
                        "\"ema_early_share\":[0.25,0.0625],\"bad_steps\":1,"
                        "\"images_per_s\":6}\n");
    /* the next line starts anew; without a step there is none */
    assert_true(metrics_write(&m, &two, &at, &config, 105, &err));
    at.step = 4, at.images = 32;
    metrics_add(&m, &bad);
    assert_true(metrics_write(&m, &bad, &at, &config, 106, &err));
    metrics_close(&m);
    char *text = text_of(folder);
    assert_non_null(strstr(text, "}\n{\"step\":4,\"images\":32,\"loss\":null,"));
    assert_non_null(strstr(text, "\"bad_steps\":1,\"images_per_s\":4}\n"));
    free(text);
    test_remove_folder(folder);
}

static void a_validation_is_a_line_of_its_own(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    Metrics m;
    Err err;
    TrainState at = {.step = 3, .images = 24};
    TrainConfig config = {.emas = 2, .ema_decay = {0.5, 0.25}};
    Validation v = {.images = 9,
                    .loss = {1, 0.5, {1, 2, 3, NAN}, {4, 5, 6, NAN}},
                    .noise = {7, NAN, {8, 9, 10, 11}, {12, 13, 14, 15}}};
    assert_true(metrics_open(&m, folder, 0, 100, &err));
    assert_true(metrics_write_validation(&m, &v, &at, &config, &err));
    metrics_close(&m);
    assert_text(folder, "{\"step\":3,\"images\":24,\"validation_loss\":1,"
                        "\"validation_loss_standard_error\":0.5,"
                        "\"validation_loss_by_quarter_of_t\":[1,2,3,null],"
                        "\"validation_loss_standard_error_by_quarter_of_t\":[4,5,6,null],"
                        "\"validation_noise_mse\":7,"
                        "\"validation_noise_mse_standard_error\":null,"
                        "\"validation_noise_mse_by_quarter_of_t\":[8,9,10,11],"
                        "\"validation_noise_mse_standard_error_by_quarter_of_t\":[12,13,14,15],"
                        "\"validation_images\":9,\"ema_decay\":0.5}\n");
    test_remove_folder(folder);
}

static void a_line_for_each_evaluation(void **state)
{
    (void)state;
    Err err;
    Metrics m;
    char *folder = test_temp_folder();
    TrainState at = {.step = 3, .images = 24};
    TrainConfig config = {.emas = 2, .ema_decay = {0.5, 0.25}};
    EvaluationResult r = {.images = 9,
                          .wasserstein = {.levels = 2,
                                          .level = {{.distance = 5}, {.distance = 7}},
                                          .distance = 6,
                                          .error = 0.75},
                          .floor = NAN,
                          .floor_error = NAN,
                          .bits = {.count = 2, .mean = 3.5, .squares = 0.5},
                          .prior = {.count = 1, .mean = 0.25},
                          .seconds = 8};
    assert_true(metrics_open(&m, folder, 0, 100, &err));
    assert_true(metrics_write_evaluation(&m, &r, &at, &config, &err));
    metrics_close(&m);
    assert_text(folder, "{\"step\":3,\"images\":24,\"evaluation_bits_per_dim\":3.5,"
                        "\"evaluation_bits_per_dim_standard_error\":0.5,"
                        "\"evaluation_prior_bits_per_dim\":0.25,"
                        "\"evaluation_prior_bits_per_dim_standard_error\":null,"
                        "\"evaluation_decoder_bits_per_dim\":null,"
                        "\"evaluation_decoder_bits_per_dim_standard_error\":null,"
                        "\"evaluation_sliced_wasserstein\":6,"
                        "\"evaluation_sliced_wasserstein_standard_error\":0.75,"
                        "\"evaluation_sliced_wasserstein_by_level\":[5,7],"
                        "\"evaluation_sliced_wasserstein_floor\":null,"
                        "\"evaluation_sliced_wasserstein_floor_standard_error\":null,"
                        "\"evaluation_images\":9,\"evaluation_seconds\":8,\"ema_decay\":0.5}\n");
    test_remove_folder(folder);
}

static void a_resumed_run_drops_what_comes_after_it(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    const char *lines = "{\"step\":10}\n{\"step\":20}\n{\"step\":30}\n";
    test_put(folder, "metrics.jsonl", lines, strlen(lines));
    reopen(folder, 30, NULL);
    assert_text(folder, lines);
    reopen(folder, 25, "{\"step\":26}");
    assert_text(folder, "{\"step\":10}\n{\"step\":20}\n{\"step\":26}\n");
    reopen(folder, 20, NULL);
    assert_text(folder, "{\"step\":10}\n{\"step\":20}\n");
    reopen(folder, 0, NULL);
    assert_text(folder, "");
    test_remove_folder(folder);
}

static void a_torn_line_is_dropped(void **state)
{
    (void)state;
    const char *const tails[] = {"{\"step\":11", "{\"step\":11}", "x", ""};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        char *folder = test_temp_folder(), text[128];
        snprintf(text, sizeof text, "{\"step\":10}\n%s", tails[i]);
        test_put(folder, "metrics.jsonl", text, strlen(text));
        reopen(folder, 50, "{\"step\":12}");
        assert_text(folder, "{\"step\":10}\n{\"step\":12}\n");
        test_remove_folder(folder);
    }
}

/* What is damaged costs no other line, and is told of. */
static void a_damaged_line_stays_and_the_others_with_it(void **state)
{
    (void)state;
    const char *const lines[] = {"{\"step\":11\x7f",
                                 "{}",
                                 "[11]",
                                 "",
                                 "garbage",
                                 "{\"step\":-1}",
                                 "{\"step\":\"11\"}",
                                 "{\"step\":1.5}",
                                 "{\"step\":11}{\"step\":12}"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char *folder = test_temp_folder(), text[128], kept[128];
        snprintf(text, sizeof text, "{\"step\":10}\n%s\n{\"step\":20}\n{\"step\":30}\n{\"st",
                 lines[i]);
        snprintf(kept, sizeof kept, "{\"step\":10}\n%s\n{\"step\":20}\n{\"step\":21}\n", lines[i]);
        test_put(folder, "metrics.jsonl", text, strlen(text));
        reopen_damaged(folder, 20, "{\"step\":21}",
                       "/metrics.jsonl: damaged; line 2 (no object with a step) left as it is");
        assert_text(folder, kept);
        /* at the end too, where it was whole once */
        snprintf(text, sizeof text, "{\"step\":10}\n%s\n%s\n", lines[i], lines[i]);
        test_put(folder, "metrics.jsonl", text, strlen(text));
        reopen_damaged(folder, 20, NULL, "; line 2 and 1 more (no object");
        assert_text(folder, text);
        test_remove_folder(folder);
    }
}

/* A digit that became another: one line at most is not where it belongs. */
static void a_damaged_step_costs_its_own_line_alone(void **state)
{
    (void)state;
    char *folder = test_temp_folder();
    const char *later = "{\"step\":10}\nx\n{\"step\":90}\n{\"step\":20}\n{\"step\":30}\n";
    test_put(folder, "metrics.jsonl", later, strlen(later));
    reopen_damaged(folder, 20, NULL, "line 3 (of a later step than lines behind it) dropped");
    assert_text(folder, "{\"step\":10}\nx\n{\"step\":20}\n");
    const char *earlier = "{\"step\":10}\n{\"step\":20}\n{\"step\":30}\n{\"step\":14}\n";
    test_put(folder, "metrics.jsonl", earlier, strlen(earlier));
    reopen_damaged(folder, 20, NULL, "line 3 (of");
    assert_text(folder, "{\"step\":10}\n{\"step\":20}\n{\"step\":14}\n");
    test_remove_folder(folder);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *none = test_path(folder, "none");
    Metrics m;
    Err err;
    assert_false(metrics_open(&m, none, 0, 0, &err));
    assert_non_null(strstr(err.text, "none/metrics.jsonl"));
    metrics_close(&m); /* harmless */
    free(none);
    test_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_means),
        cmocka_unit_test(a_validation_is_a_line_of_its_own),
        cmocka_unit_test(a_line_for_each_evaluation),
        cmocka_unit_test(a_resumed_run_drops_what_comes_after_it),
        cmocka_unit_test(a_torn_line_is_dropped),
        cmocka_unit_test(a_damaged_line_stays_and_the_others_with_it),
        cmocka_unit_test(a_damaged_step_costs_its_own_line_alone),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
