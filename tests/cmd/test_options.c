#include "cmd/bench_options.h"
#include "cmd/command.h"
#include "cmd/eval_options.h"
#include "cmd/options.h"
#include "cmd/sample_options.h"
#include "cmd/schedule_options.h"
#include "cmd/train_options.h"
#include "support.h"

#include <math.h>

typedef struct {
    bool flag;
    int store, whole, choice;
    int64_t seed;
    double number;
    const char *text, *path, *pair[2];
    OptionList list;
} Out;

static const char *const colours[] = {"red", "green", "blue", NULL};
static const Option options[] = {
    {.name = "flag", .letter = 'f', .type = OPTION_FLAG, .offset = offsetof(Out, flag)},
    {.name = "on", .letter = 'x', .type = OPTION_STORE, .offset = offsetof(Out, store), .value = 7},
    {.name = "text", .argument = "T", .type = OPTION_TEXT, .offset = offsetof(Out, text)},
    {.name = "pair", .argument = "A B", .type = OPTION_PAIR, .offset = offsetof(Out, pair)},
    {.name = "whole",
     .letter = 'w',
     .argument = "N",
     .type = OPTION_INT,
     .min = 1,
     .max = 9,
     .offset = offsetof(Out, whole)},
    {.name = "seed",
     .argument = "S",
     .type = OPTION_WHOLE,
     .min = 0,
     .max = 0x1p53,
     .offset = offsetof(Out, seed)},
    {.name = "number",
     .letter = 'n',
     .argument = "X",
     .type = OPTION_NUMBER,
     .min = 0,
     .max = INFINITY,
     .offset = offsetof(Out, number)},
    {.name = "colour",
     .argument = "[=NAME]",
     .type = OPTION_CHOICE,
     .names = colours,
     .value = 2,
     .offset = offsetof(Out, choice)},
    {.name = "shade",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .names = colours,
     .offset = offsetof(Out, choice)},
    {.name = "list",
     .letter = 'l',
     .argument = "L",
     .type = OPTION_LIST,
     .offset = offsetof(Out, list)},
};
static const OptionTable table = {.name = "test",
                                  .operand = "PATH",
                                  .operand_offset = offsetof(Out, path),
                                  .groups = {{options, sizeof options / sizeof *options, 0}}};

enum { MAX_WORDS = 200 };

/* Parse a line of words separated by single spaces; `line` is cut up and must stay. */
static int split(char *words[MAX_WORDS], char *line)
{
    static char name[] = "test";
    int count = 1;
    words[0] = name;
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) words[count++] = word;
    words[count] = NULL;
    return count;
}

static bool parse(Out *out, bool *help, const char *text, Err *err)
{
    static char line[1024];
    char *words[MAX_WORDS];
    strcpy(line, text);
    int count = split(words, line);
    *out = (Out){0};
    *err = (Err){0};
    return options_parse(out, help, &table, count, words, err);
}

static Out parsed(const char *text)
{
    Out out;
    bool help;
    Err err;
    if (!parse(&out, &help, text, &err)) fail_msg("%s: %s", text, err.text);
    assert_false(help);
    return out;
}

static void every_type_is_read(void **state)
{
    (void)state;
    Out out = parsed("--flag --on --text=a=b --whole 9 --seed=9007199254740992 --number 2.5e1 "
                     "--shade green --list a p --list=b");
    assert_true(out.flag);
    assert_int_equal(out.store, 7);
    assert_string_equal(out.text, "a=b");
    assert_int_equal(out.whole, 9);
    assert_true(out.seed == (int64_t)1 << 53);
    assert_close(out.number, 25, 0);
    assert_int_equal(out.choice, 1);
    assert_int_equal(out.list.count, 2);
    assert_string_equal(out.list.items[0], "a");
    assert_string_equal(out.list.items[1], "b");
    assert_string_equal(out.path, "p");
    out = parsed("--pair one two p");
    assert_string_equal(out.pair[0], "one");
    assert_string_equal(out.pair[1], "two");
    assert_string_equal(parsed("--pair=one two p").pair[1], "two");
}

static void short_forms(void **state)
{
    (void)state;
    Out out = parsed("-fxw3 -n 0.5 -la p");
    assert_true(out.flag);
    assert_int_equal(out.store, 7);
    assert_int_equal(out.whole, 3);
    assert_close(out.number, 0.5, 0);
    assert_string_equal(out.list.items[0], "a");
    assert_string_equal(parsed("-- -f").path, "-f");
    assert_false(parsed("-- -f").flag);
    assert_string_equal(parsed("-").path, "-");
    assert_int_equal(parsed("p -w 2 -w 4").whole, 4);
}

static void a_value_may_be_left_out_where_the_table_says_so(void **state)
{
    (void)state;
    assert_int_equal(parsed("--colour p").choice, 2);
    assert_string_equal(parsed("--colour p").path, "p");
    assert_int_equal(parsed("--colour=green p").choice, 1);
    assert_int_equal(parsed("p").choice, 0);
}

static void help_wins(void **state)
{
    (void)state;
    Out out;
    bool help = false;
    Err err;
    assert_true(parse(&out, &help, "--help --nonsense", &err));
    assert_true(help);
    assert_true(parse(&out, &help, "-h", &err));
    assert_true(help);
}

static void refused(const char *text, const char *message)
{
    Out out;
    bool help;
    Err err;
    assert_false(parse(&out, &help, text, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    if (!strstr(err.text, message)) fail_msg("%s: \"%s\" lacks \"%s\"", text, err.text, message);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    refused("p --shaed red", "no option --shaed; did you mean --shade?");
    refused("p --zzzzzz", "no option --zzzzzz; `ddpm test --help`");
    refused("p --nubmer=3", "did you mean --number?");
    refused("p --he", "no option --he");
    refused("p -z", "no option -z");
    refused("p --flag=3", "--flag takes no value, but has \"3\"");
    refused("p --whole", "--whole needs a value: --whole N");
    refused("p -w", "--whole needs a value");
    refused("p --pair", "--pair needs a value: --pair A B");
    refused("p --pair one", "--pair one: expected two names: --pair A B");
    refused("p --pair one --flag", "expected two names");
    refused("p --text=", "--text (nothing): expected a name");
    refused("p q", "\"q\" is one PATH too many");
    refused("--flag", "needs a PATH");
    refused("p --shade bleu", "expected one of red, green, blue; did you mean blue?");
    refused("p --colour=", "expected one of red, green, blue");
}

static void numbers_are_strict(void **state)
{
    (void)state;
    static const char *const wholes[] = {"0",  "10",  "3x", "x", "=", "1.5", "99999999999999999999",
                                         "-1", "0x3", "nan"};
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        char text[64];
        snprintf(text, sizeof text, "p --whole %s", wholes[i]);
        refused(text, "expected a whole number from 1 to 9");
    }
    static const char *const numbers[] = {"-1", "1e999", "nan", "inf", "1,5", "1.5s"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[64];
        snprintf(text, sizeof text, "p --number %s", numbers[i]);
        refused(text, "expected a number of at least 0");
    }
    refused("p --seed 9007199254740993", "expected a whole number from 0 to 9007199254740992");
    refused("p --whole=", "expected a whole number");
}

static void a_list_has_an_end(void **state)
{
    (void)state;
    char text[1024] = "p";
    for (int i = 0; i < OPTION_LIST_MAX; i++) strcat(text, " -l a");
    assert_int_equal(parsed(text).list.count, OPTION_LIST_MAX);
    strcat(text, " -l a");
    refused(text, "more than 64 times");
}

static bool parse_train(TrainOptions *out, const char *text, Err *err)
{
    static char line[1024];
    char *words[MAX_WORDS];
    bool help;
    strcpy(line, text);
    int count = split(words, line);
    return train_options_parse(out, &help, count, words, err);
}

static void train_options(void **state)
{
    (void)state;
    TrainOptions o;
    Err err;
    assert_true(parse_train(&o, "--config cifar.json", &err));
    assert_string_equal(o.config.name, "cifar.json");
    assert_null(o.out);
    assert_int_equal(o.resume, RESUME_NO);
    assert_true(o.seed == -1 && o.work.threads == 0 && !o.overwrite && !o.dry_run && !o.work.quiet);
    assert_true(parse_train(&o, "--resume --set train.steps=9 --max-seconds 1.5", &err));
    assert_int_equal(o.resume, RESUME_YES);
    assert_close(o.max_seconds, 1.5, 0);
    assert_string_equal(o.config.set.items[0], "train.steps=9");
    assert_true(parse_train(&o, "--resume=auto --config a --seed 4 --init b --overwrite", &err));
    assert_int_equal(o.resume, RESUME_AUTO);
    assert_true(o.seed == 4);
    assert_false(parse_train(&o, "", &err));
    assert_non_null(strstr(err.text, "--config FILE is needed"));
    assert_false(parse_train(&o, "--resume=auto", &err));
    assert_false(parse_train(&o, "--resume --overwrite", &err));
    assert_false(parse_train(&o, "--resume --init x", &err));
    assert_false(parse_train(&o, "--resume=maybe --config a", &err));
}

static bool parse_sample(SampleOptions *out, const char *text, Err *err)
{
    static char line[1024];
    char *words[MAX_WORDS];
    bool help;
    strcpy(line, text);
    int count = split(words, line);
    return sample_options_parse(out, &help, count, words, err);
}

static void sample_options(void **state)
{
    (void)state;
    SampleOptions o;
    Err err;
    assert_true(parse_sample(&o, "-n 64 -o grid.png", &err));
    assert_int_equal(o.count, 64);
    assert_string_equal(o.output, "grid.png");
    assert_true(o.seed == -1 && o.eta == -1.0 && o.sampler == -1 && o.variance == -1 &&
                o.spacing == 0);
    assert_true(o.clip == -1 && o.steps == 0 && o.batch == 0 && o.columns == 0 && !o.model.raw);
    assert_true(parse_sample(&o, "-o x --no-clip --sampler ddim --eta 0.5 --float --raw", &err));
    assert_int_equal(o.clip, 0);
    assert_int_equal(o.sampler, 1);
    assert_close(o.eta, 0.5, 0);
    assert_true(o.as_float && o.model.raw);
    assert_true(parse_sample(&o, "-o x --clip --spacing trailing --variance fixed_large", &err));
    assert_true(o.clip == 1 && o.spacing == 2 && o.variance == 1);
    assert_false(parse_sample(&o, "-n 4", &err));
    assert_non_null(strstr(err.text, "--output OUT is needed"));
    assert_false(parse_sample(&o, "-o x --sampler dim", &err));
    assert_non_null(strstr(err.text, "did you mean ddim?"));
}

/* Each option has help and stands in --help; none has the name or letter of another. */
static void has_all_options(const char *text, const OptionTable *t)
{
    const Option *option, *other;
    for (size_t i = 0; (option = options_at(t, i, NULL)); i++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", option->name);
        assert_non_null(strstr(text, name));
        assert_non_null(option->help);
        for (size_t j = 0; j < i; j++) {
            other = options_at(t, j, NULL);
            assert_string_not_equal(option->name, other->name);
            assert_true(option->letter == 0 || option->letter != other->letter);
        }
    }
}

/* No line is wider than a terminal or ends in a space. */
static void help_is_complete(void **state)
{
    (void)state;
    const OptionTable *tables[] = {&train_options_table,    &sample_options_table,
                                   &bench_options_table,    &info_options_table,
                                   &schedule_options_table, &eval_options_table};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char *text;
        size_t size;
        FILE *to = open_memstream(&text, &size);
        options_help(to, tables[i]);
        fclose(to);
        has_all_options(text, tables[i]);
        assert_null(strstr(text, " \n"));
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
            if (strlen(line) > 80) fail_msg("%s", line);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(short_forms),
        cmocka_unit_test(a_value_may_be_left_out_where_the_table_says_so),
        cmocka_unit_test(help_wins),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(a_list_has_an_end),
        cmocka_unit_test(train_options),
        cmocka_unit_test(sample_options),
        cmocka_unit_test(help_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
