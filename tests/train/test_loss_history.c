#include "model/safetensors.h"
#include "support.h"
#include "train/loss_history.h"

#include <math.h>
#include <stdio.h>

enum { T = 7 };

typedef struct {
    Arena arena;
    TimestepHistory history;
    char *folder, *path;
} Fixture;

static TimestepHistory new_history(Arena *arena)
{
    TimestepHistory history;
    Err err;
    if (!arena_init(arena, timestep_history_bytes(T), "test", &err)) fail_msg("%s", err.text);
    timestep_history_init(&history, arena, T);
    return history;
}

static Fixture fixture_new(void)
{
    Fixture f;
    f.history = new_history(&f.arena);
    for (int k = 0; k < 40; k++) timestep_history_add(&f.history, k * k % T, sqrt(k) / 3);
    f.folder = test_temp_folder();
    f.path = test_path(f.folder, "loss_history.safetensors");
    return f;
}

static void fixture_free(Fixture *f)
{
    free(f->path);
    test_remove_folder(f->folder);
    arena_release(&f->arena);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    Fixture f = fixture_new();
    Arena arena;
    Err err;
    TimestepHistory again = new_history(&arena);
    if (!loss_history_write(f.path, &f.history, &err)) fail_msg("%s", err.text);
    if (!loss_history_read(&again, f.path, &err)) fail_msg("%s", err.text);
    assert_memory_equal(again.losses, f.history.losses, sizeof(double) * T * TIMESTEP_HISTORY);
    assert_memory_equal(again.counts, f.history.counts, sizeof(int) * T);
    arena_release(&arena), fixture_free(&f);
}

static void assert_bad(Fixture *f, const char *word)
{
    Arena arena;
    Err err;
    TimestepHistory again = new_history(&arena);
    assert_false(loss_history_read(&again, f->path, &err));
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, f->path) || !strstr(err.text, word)) fail_msg("%s", err.text);
    arena_release(&arena);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    Fixture f = fixture_new();
    Err err;
    assert_bad(&f, "");
    f.history.counts[3] = 11;
    assert_true(loss_history_write(f.path, &f.history, &err));
    assert_bad(&f, "counts[3] = 11");
    f.history.counts[3] = 1, f.history.losses[5] = (double)NAN;
    assert_true(loss_history_write(f.path, &f.history, &err));
    assert_bad(&f, "losses holds");
    f.history.losses[5] = 0, f.history.T = T - 1;
    assert_true(loss_history_write(f.path, &f.history, &err));
    assert_bad(&f, "losses is missing, or is not 70 numbers of type F64");
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
