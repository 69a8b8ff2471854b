#include "data/image.h"
#include "support.h"
#include "train/provenance.h"

#include <stdio.h>

static const float WEIGHTS[] = {0.5f, -1, 2};
static const uint64_t STEP = 40;

static Provenance make(const SamplerConfig *sampler, const Conditioning *classes)
{
    Config config = config_default();
    ProvenanceOf of = {&config, &STEP, WEIGHTS, 3, sampler, classes, 5};
    Provenance p;
    Err err;
    if (!provenance_init(&p, &of, &err)) fail_msg("%s", err.text);
    return p;
}

static const char *value_of(const Provenance *p, const char *key)
{
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->list[i].key, key) == 0) return p->list[i].value;
    return NULL;
}

static void all_that_draws_an_image_again_is_told(void **state)
{
    (void)state;
    SamplerConfig sampler = {.kind = SAMPLER_DDIM, .eta = 0.1, .seed = 1ull << 53};
    Conditioning classes = {.count = 10, .guidance = 2.5, .from = 3, .to = 9};
    Provenance p = make(&sampler, &classes);
    assert_string_equal(value_of(&p, "Checkpoint step"), "40");
    assert_string_equal(value_of(&p, "Seed"), "9007199254740992");
    assert_string_equal(value_of(&p, "Sampler"), "ddim");
    assert_string_equal(value_of(&p, "Steps"), "5");
    assert_string_equal(value_of(&p, "Eta"), "0.1");
    assert_string_equal(value_of(&p, "Guidance"), "2.5");
    assert_string_equal(value_of(&p, "Guidance interval"), "3:9");
    assert_null(value_of(&p, "Variance"));
    provenance_add_index(&p, &classes, 4294967295u);
    assert_string_equal(value_of(&p, "Index"), "4294967295");
    assert_string_equal(value_of(&p, "Class"), "5");
}

static void a_long_list_of_classes_is_cut(void **state)
{
    (void)state;
    int32_t list[200];
    SamplerConfig sampler = {.kind = SAMPLER_DDPM};
    Conditioning classes = {10, list, 200, 1, 0, 0};
    for (int i = 0; i < 200; i++) list[i] = i % 10;
    Provenance p = make(&sampler, &classes);
    provenance_add_range(&p, &classes, 7, 3);
    const char *value = value_of(&p, "Classes");
    assert_int_equal(strlen(value), PROVENANCE_VALUE - 1);
    assert_int_equal(strncmp(value, "0,1,2,3", 7), 0);
    assert_string_equal(value + PROVENANCE_VALUE - 4, "...");
    assert_string_equal(value_of(&p, "First index"), "7");
    assert_string_equal(value_of(&p, "Count"), "3");
    assert_null(value_of(&p, "Guidance"));
}

/* Each text may be what differs, and one more or fewer. */
static void an_image_is_known_by_all_its_texts(void **state)
{
    (void)state;
    char *folder = test_temp_folder(), *path = test_path(folder, "a.png");
    SamplerConfig sampler = {.kind = SAMPLER_DDPM};
    Conditioning none = {.guidance = 1};
    Provenance p = make(&sampler, &none), other;
    PngText texts[PROVENANCE_MAX];
    uint8_t pixels[12] = {0};
    Image image = {2, 2, 3, pixels};
    Err err;
    provenance_add_index(&p, &none, 3);
    assert_true(image_write(path, &image, texts, provenance_texts(texts, &p), &err));
    assert_true(provenance_check(&p, path, &err));
    for (int i = 0; i < p.count; i++) {
        other = p;
        strcat(other.list[i].value, "x");
        assert_false(provenance_check(&other, path, &err));
        assert_int_equal(err.kind, ERR_USAGE);
        assert_non_null(strstr(err.text, p.list[i].key));
    }
    other = p;
    other.count--;
    assert_false(provenance_check(&other, path, &err));
    assert_non_null(strstr(err.text, "its Index is 3, and here it would be none"));
    provenance_add(&p, "Guidance", "%d", 2);
    assert_false(provenance_check(&p, path, &err));
    assert_non_null(strstr(err.text, "its Guidance is none, and here it would be 2"));
    assert_false(provenance_check(&p, "/nonexistent/a.png", &err));
    assert_int_equal(err.kind, ERR_DATA);
    free(path);
    test_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_draws_an_image_again_is_told),
        cmocka_unit_test(a_long_list_of_classes_is_cut),
        cmocka_unit_test(an_image_is_known_by_all_its_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
