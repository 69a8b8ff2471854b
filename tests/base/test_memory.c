#include "base/memory.h"

#include "support.h"

#include <sys/resource.h>

/* Zeroed though the allocator hands out again what was just freed. */
static void blocks_are_aligned_and_zero(void **state)
{
    (void)state;
    Err err;
    for (size_t count = 1; count < 3000; count += 7) {
        unsigned char *block = memory_new(count, 3, "block", &err);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % MEMORY_ALIGN, 0);
        for (size_t i = 0; i < 3 * count; i++) assert_int_equal(block[i], 0);
        memset(block, 0xff, 3 * count);
        free(block);
    }
    void *none = memory_new(0, 8, "nothing", &err), *empty = memory_new(8, 0, "nothing", &err);
    assert_true(none && empty);
    free(none), free(empty);
}

static void too_much_is_refused_by_name(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{SIZE_MAX, 1},
                                      {SIZE_MAX / 2, 3},
                                      {(size_t)1 << 32, (size_t)1 << 32},
                                      {(size_t)PTRDIFF_MAX, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        Err err;
        assert_null(memory_new(sizes[i][0], sizes[i][1], "the weights", &err));
        assert_int_equal(err.kind, ERR_FAILED);
        assert_int_equal(strncmp(err.text, "the weights: ", 13), 0);
    }
    Arena arena;
    Err err;
    assert_false(arena_init(&arena, SIZE_MAX, "the step", &err));
    assert_int_equal(strncmp(err.text, "the step: ", 10), 0);
    arena_release(&arena);
}

static void a_refusal_says_how_much_was_asked_for(void **state)
{
    (void)state;
    Err err;
    assert_false(memory_refused(640, "x.npy", &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_string_equal(err.text, "x.npy: no memory for 640 bytes; free some, or ask for less");
    assert_false(memory_refused(7 << 18, "x.npy", &err));
    assert_non_null(strstr(err.text, "x.npy: no memory for 1.8 MiB; "));
}

static void a_block_beyond_the_machine_is_refused(void **state)
{
    (void)state;
    Err err;
    assert_null(memory_new(memory_limit() + 1, 1, "the images", &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, "the images: needs "));
}

static void sizes_are_rounded_up_to_lines(void **state)
{
    (void)state;
    assert_int_equal(memory_round(0), 0);
    assert_int_equal(memory_round(1), 64);
    assert_int_equal(memory_round(64), 64);
    assert_int_equal(memory_round(65), 128);
}

static void an_arena_hands_out_all_it_has(void **state)
{
    (void)state;
    Err err;
    Arena arena;
    assert_true(arena_init(&arena, 64 + 128 + 1, "arena", &err));
    unsigned char *a = arena_take(&arena, 1), *b = arena_take(&arena, 128);
    unsigned char *c = arena_take(&arena, 1), *d = arena_take(&arena, 0);
    assert_true(b == a + 64 && c == b + 128 && d == c + 64);
    assert_int_equal((uintptr_t)a % MEMORY_ALIGN, 0);
    for (size_t i = 0; i < 193; i++) assert_int_equal(a[i], 0);
    arena_release(&arena);
    assert_null(arena.base);
    arena_release(&arena);
}

/* The shadow of a sanitizer is larger than any limit. */
static void a_limit_on_the_address_space_counts(void)
{
#if !SANITIZED
    struct rlimit before, space;
    size_t half = memory_limit() / 2;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    space = before;
    space.rlim_cur = half;
    assert_int_equal(setrlimit(RLIMIT_AS, &space), 0);
    size_t limit = memory_limit();
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(limit, half);
#endif
}

static void what_there_is_not_is_refused_before_it_is_taken(void **state)
{
    (void)state;
    Err err;
    size_t limit = memory_limit();
    assert_true(limit > 1 << 20);
    assert_true(memory_check(limit, "training", "less", &err));
    assert_false(memory_check(limit + 1, "training", "take less", &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, "training: needs "));
    assert_non_null(strstr(err.text, "take less"));
    a_limit_on_the_address_space_counts();
}

static void what_is_held_counts(void **state)
{
    (void)state;
#if !SANITIZED
    enum { BYTES = 80 << 20 };
    Err err;
    size_t before = memory_held(), limit = memory_limit();
    assert_true(before > 0 && before < limit / 2);
    char *block = memory_new(BYTES, 1, "block", &err);
    assert_non_null(block);
    assert_in_range(memory_held(), before + BYTES - (4 << 20), before + BYTES + (4 << 20));
    assert_true(memory_check(limit - BYTES / 2, "images", "less", &err));
    assert_false(memory_fits(limit - BYTES / 2, "images", &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_int_equal(strncmp(err.text, "images: needs ", 14), 0);
    assert_null(memory_new(limit - BYTES / 2, 1, "images", &err));
    assert_int_equal(strncmp(err.text, "images: needs ", 14), 0);
    assert_false(memory_fits(SIZE_MAX, "images", &err));
    assert_true(memory_fits(64, "images", &err));
    free(block);
    assert_in_range(memory_held(), 0, before + (4 << 20));
#endif
}

/* A made-up tree of groups: `limit` in the file of the folder, below `root`. */
static void put_limit(const char *root, const char *file, const char *limit)
{
    test_put(root, file, limit, strlen(limit));
}

static size_t group_limit(const char *root, const char *groups)
{
    char *path = test_path(root, "groups");
    test_put(root, "groups", groups, strlen(groups));
    size_t limit = memory_group_limit(root, path);
    free(path);
    return limit;
}

static void the_least_limit_of_the_groups_counts(void **state)
{
    (void)state;
    char *root = test_temp_folder();
    assert_int_equal(memory_group_limit(root, "no/such"), SIZE_MAX);
    assert_int_equal(group_limit(root, "0::/\n"), SIZE_MAX);
    put_limit(root, "user.slice/memory.max", "max\n");
    put_limit(root, "user.slice/job/memory.max", "5000\n");
    put_limit(root, "user.slice/job/step/memory.max", "7000\n");
    put_limit(root, "user.slice/other/memory.max", "3000\n");
    assert_int_equal(group_limit(root, "0::/user.slice\n"), SIZE_MAX);
    assert_int_equal(group_limit(root, "0::/user.slice/job\n"), 5000);
    assert_int_equal(group_limit(root, "0::/user.slice/job/step\n"), 5000);
    assert_int_equal(group_limit(root, "0::/user.slice/job/step"), 5000);
    assert_int_equal(group_limit(root, "0::/user.slice/job/gone/deeper\n"), 5000);
    assert_int_equal(group_limit(root, "1:name=systemd:/user.slice/job\n0::/\n"), SIZE_MAX);
    assert_int_equal(group_limit(root, "nonsense\n\n:\n0:\n0::/user.slice/other\n"), 3000);
    put_limit(root, "memory.max", "2000\n"); /* what a container sees */
    assert_int_equal(group_limit(root, "0::/system.slice/docker-1.scope\n"), 2000);
    assert_int_equal(memory_group_limit(root, "no/such"), 2000);
    test_remove_folder(root);
}

static void version_one_has_a_folder_for_memory(void **state)
{
    (void)state;
    char *root = test_temp_folder();
    put_limit(root, "memory/memory.limit_in_bytes", "9223372036854771712\n");
    put_limit(root, "memory/slurm/memory.limit_in_bytes", "8000\n");
    put_limit(root, "memory/slurm/job/memory.limit_in_bytes", "6000\n");
    put_limit(root, "memory/slurm/job/step/memory.limit_in_bytes", "9000\n");
    put_limit(root, "memory.limit_in_bytes", "1\n"); /* not of a group */
    static const char step[] = "3:cpuset:/\n4:memory:/slurm/job/step\n0::/\n";
    assert_int_equal(group_limit(root, step), 6000);
    assert_int_equal(group_limit(root, "4:cpu,memory:/slurm\n"), 8000);
    assert_int_equal(group_limit(root, "4:memory,cpu:/slurm\n"), 8000);
    assert_true(group_limit(root, "4:memory2,cpu:/slurm\n") > 9000);
    assert_true(group_limit(root, "4:cpu:/slurm/job\n0::/slurm\n") > 9000);
    put_limit(root, "memory/memory.limit_in_bytes", "4000\n");
    assert_int_equal(group_limit(root, step), 4000);
    assert_int_equal(memory_group_limit(root, "no/such"), 4000);
    test_remove_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_zero),
        cmocka_unit_test(too_much_is_refused_by_name),
        cmocka_unit_test(a_refusal_says_how_much_was_asked_for),
        cmocka_unit_test(a_block_beyond_the_machine_is_refused),
        cmocka_unit_test(sizes_are_rounded_up_to_lines),
        cmocka_unit_test(an_arena_hands_out_all_it_has),
        cmocka_unit_test(what_there_is_not_is_refused_before_it_is_taken),
        cmocka_unit_test(what_is_held_counts),
        cmocka_unit_test(the_least_limit_of_the_groups_counts),
        cmocka_unit_test(version_one_has_a_folder_for_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
