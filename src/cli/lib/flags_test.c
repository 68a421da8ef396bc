/* flags_test.c - flags and words of command lines. */
#include "lib/test.h"
#include <stdio.h>

#include "cli/lib/flags.h"

static struct given {
    bool dry;
    const char *path;
    struct flag_texts match;
    uint64_t count;
    int64_t wait_ns;
    struct flag_time begin;
    int form;
} given;
static const char *const forms[] = {"text", "json", "csv", NULL};

static const struct flag flags[] = {
    {"dry-run", 0, FLAG_SWITCH, offsetof(struct given, dry), NULL, "does nothing"},
    {"output", 'o', FLAG_TEXT, offsetof(struct given, path), "FILE", "where to"},
    {"match", 0, FLAG_TEXTS, offsetof(struct given, match), "SELECTOR", "which"},
    {"bad-lines", 0, FLAG_COUNT, offsetof(struct given, count), "N", "how many"},
    {"retry", 0, FLAG_DURATION, offsetof(struct given, wait_ns), "TIME", "how long"},
    {"start", 0, FLAG_TIME, offsetof(struct given, begin), "TIME", "from when"},
    REMOVED_FLAG("outer", "--output does it"),
    {"format", 0, FLAG_CHOICE, offsetof(struct given, form), "FORM", "how", forms},
    {0},
};

static enum err
parse(int n, char **words, int *ret_count, struct why *why)
{
    given = (struct given){.begin = given.begin, .form = given.form};
    why->text[0] = '\0';
    return flags_parse(flags, &given, n, words, ret_count, why);
}

UNIT_TEST(test_flags_and_words_are_distinguished)
{
    const char *const line[] = {
        "a",           "--dry-run", "--output=x",    "-",  "--match", "up", "--match=down", "-oy",
        "--bad-lines", "7",         "--retry=1m30s", "--", "--output"};
    char *words[sizeof line / sizeof *line];
    memcpy(words, line, sizeof line);
    int n;
    struct why why;
    assert_int_equal(parse(13, words, &n, &why), OK);
    assert_int_equal(n, 3);
    assert_string_equal(words[0], "a");
    assert_string_equal(words[1], "-");
    assert_string_equal(words[2], "--output");
    assert_true(given.dry);
    assert_string_equal(given.path, "y");
    assert_int_equal(given.match.count, 2);
    assert_string_equal(given.match.at[1], "down");
    assert_int_equal(given.count, 7);
    assert_int_equal(given.wait_ns, 90000000000);
}

static void
refuse(const char *word, const char *part)
{
    char *words[] = {(char *)(uintptr_t)word};
    int n;
    struct why why;
    assert_int_equal(parse(1, words, &n, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, part));
}

UNIT_TEST(test_wrong_flags_are_refused_with_a_reason)
{
    refuse("--ouput=x", "did you mean '--output'?");
    refuse("--xyzzy", "unknown flag '--xyzzy'");
    refuse("--outer", "--outer was removed: --output does it");
    refuse("--outer=x", "--outer was removed: --output does it");
    refuse("-z", "unknown");
    refuse("--output", "requires a value");
    refuse("-o", "requires a value");
    refuse("--dry-run=1", "takes no value");
    refuse("--bad-lines=-1", "invalid number");
    refuse("--retry=5", "invalid duration");
    refuse("--retry=999999999y", "invalid duration");
}

UNIT_TEST(test_valid_times_and_choices_are_accepted_and_others_refused)
{
    static const struct {
        const char *word, *why; /* NULL: valid */
    } cases[] = {
        {"--start=2026-01-01T00:00:01Z", NULL},
        {"--format=csv", NULL},
        {"--start=yesterday", "--start: "},
        {"--format=yaml", "--format: expected text, json or csv"},
        {"--format=", "--format: expected text, json or csv"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char word[64];
        char *words[] = {word};
        int n;
        struct why why;
        snprintf(word, sizeof word, "%s", cases[i].word);
        bool right = cases[i].why == NULL;
        assert_int_equal(parse(1, words, &n, &why), right ? OK : ERR_INPUT);
        if (!right) assert_memory_equal(why.text, cases[i].why, strlen(cases[i].why));
    }
    assert_int_equal(given.begin.ms, 1767225601000);
    assert_int_equal(given.form, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_times_and_choices_are_accepted_and_others_refused),
        cmocka_unit_test(test_flags_and_words_are_distinguished),
        cmocka_unit_test(test_wrong_flags_are_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
