#include "cmd/progress.h"
#include "support.h"

#include <math.h>

static void durations_read_as_people_say_them(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {
        {0, "0.0 s"},
        {0.42, "0.4 s"},
        {9.94, "9.9 s"},
        {9.96, "10 s"},
        {45.4, "45 s"},
        {59.6, "1 min"},
        {60, "1 min"},
        {200, "3 min 20 s"},
        {599.7, "10 min"},
        {1080, "18 min"},
        {3569, "59 min"},
        {3571, "1 h"},
        {7500, "2 h 5 min"},
        {172799, "48 h"},
        {172800, "2 days"},
        {273600, "3 days 4 h"},
        {41 * 86400.0, "41 days"},
        {3.2 * 365.25 * 86400, "3.2 years"},
        {INFINITY, "an unknown time"},
        {NAN, "an unknown time"},
        {-1, "an unknown time"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        progress_duration(out, sizeof out, cases[i].seconds);
        assert_string_equal(out, cases[i].text);
    }
}

static const ProgressState half = {.verb = "train",
                                   .unit = "steps",
                                   .done = 500,
                                   .total = 1000,
                                   .seconds = 100,
                                   .text = "loss 0.051"};

static void lines(void **state)
{
    (void)state;
    char out[256];
    progress_format_line(out, sizeof out, &half);
    assert_string_equal(out, "train: 500/1000 steps, loss 0.051, 5.0 steps/s, 1 min 40 s left");
    ProgressState s = half;
    s.first = 400, s.text = "";
    progress_format_line(out, sizeof out, &s);
    assert_string_equal(out, "train: 500/1000 steps, 1.0 steps/s, 8 min 20 s left");
    s.first = 490;
    progress_format_line(out, sizeof out, &s);
    assert_string_equal(out, "train: 500/1000 steps, 10.0 s a step, 1 h 23 min left");
    s.first = 500;
    progress_format_line(out, sizeof out, &s);
    assert_string_equal(out, "train: 500/1000 steps");
    s.first = 0, s.done = 1000;
    progress_format_line(out, sizeof out, &s);
    assert_string_equal(out, "train: 1000/1000 steps, 10.0 steps/s, in 1 min 40 s");
}

static void bars_fill_and_fit(void **state)
{
    (void)state;
    char out[640];
    progress_format_bar(out, sizeof out, &half, 90, false);
    assert_string_equal(out, "train [===========>            ]  500/1000 steps  loss 0.051  "
                             "5.0 steps/s  1 min 40 s left");
    assert_int_equal(strlen(out), 90);
    for (int columns = 1; columns < 600; columns++) {
        memset(out, 'x', sizeof out);
        progress_format_bar(out, sizeof out, &half, columns, false);
        assert_true(strlen(out) <= (size_t)columns);
    }
    ProgressState s = half;
    s.done = 0, s.text = "", s.seconds = 0;
    progress_format_bar(out, sizeof out, &s, 40, false);
    assert_string_equal(out, "train [                ]    0/1000 steps");
    s.done = s.total;
    progress_format_bar(out, sizeof out, &s, 40, false);
    assert_string_equal(out, "train [================] 1000/1000 steps");
    progress_format_bar(out, 10, &half, 90, false);
    assert_int_equal(strlen(out), 9);
}

static void colour_takes_no_columns(void **state)
{
    (void)state;
    char plain[640], coloured[640];
    progress_format_bar(plain, sizeof plain, &half, 90, false);
    progress_format_bar(coloured, sizeof coloured, &half, 90, true);
    assert_non_null(strstr(coloured, "\033[36m===="));
    assert_null(strchr(plain, '\033'));
    assert_int_equal(strlen(coloured), strlen(plain) + strlen("\033[36m\033[0m"));
}

static void shown_when_due(void **state)
{
    (void)state;
    assert_true(progress_due(PROGRESS_LINES, false, false, 0));
    assert_false(progress_due(PROGRESS_LINES, true, false, 9.9));
    assert_true(progress_due(PROGRESS_LINES, true, false, 10));
    assert_true(progress_due(PROGRESS_LINES, true, true, 0));
    assert_false(progress_due(PROGRESS_BAR, true, false, 0.09));
    assert_true(progress_due(PROGRESS_BAR, true, false, 0.11));
    assert_true(progress_due(PROGRESS_BAR, true, false, INFINITY));
    assert_false(progress_due(PROGRESS_NONE, false, true, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_read_as_people_say_them),
        cmocka_unit_test(lines),
        cmocka_unit_test(bars_fill_and_fit),
        cmocka_unit_test(colour_takes_no_columns),
        cmocka_unit_test(shown_when_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
