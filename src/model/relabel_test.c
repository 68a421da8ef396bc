/* relabel_test.c - relabelling rules: their actions, limits and errors. */
#include "lib/test.h"

#include <stdio.h>

#include "base/buf.h"
#include "lib/label_text.h"
#include "model/labels.h"
#include "model/relabel.h"

static void
print(struct bytes labels, char *to, size_t size)
{
    struct cursor c = cursor_of(labels);
    struct label l;
    size_t used = 0;
    to[0] = '\0';
    while (labels_next(&c, &l)) {
        used += (size_t)snprintf(to + used, size - used, "%s%.*s=%.*s", used > 0 ? " " : "",
                                 (int)l.name.size, (const char *)l.name.at, (int)l.value.size,
                                 (const char *)l.value.at);
    }
}

/* A rule for tests: at most three sources, separated by commas. */
struct rule_text {
    enum relabel_action action;
    const char *sources, *separator, *regex, *target, *replacement;
    uint64_t modulus;
};

static struct bytes
optional(const char *text)
{
    return text == NULL ? bytes_of(NULL, 0) : bytes_of_text(text);
}

static enum err
compile(const struct rule_text *rules, uint32_t count, struct relabel **ret, struct why *why)
{
    struct relabel_spec specs[8];
    struct bytes sources[8][3];
    for (uint32_t i = 0; i < count; i++) {
        const struct rule_text *r = &rules[i];
        specs[i] = (struct relabel_spec){.action = r->action,
                                         .source_labels = sources[i],
                                         .separator = optional(r->separator),
                                         .regex = optional(r->regex),
                                         .target_label = optional(r->target),
                                         .replacement = optional(r->replacement),
                                         .modulus = r->modulus};
        for (const char *p = r->sources; p != NULL && *p != '\0';) {
            size_t size = strcspn(p, ",");
            sources[i][specs[i].source_label_count++] = bytes_of(p, size);
            p += size + (p[size] == ',');
        }
    }
    return relabel_new(specs, count, ret, why);
}

/* Applies the rules; `want` is "" if the series is dropped. */
static void
expect(const char *from, const struct rule_text *rules, uint32_t count, const char *want)
{
    struct arena arena;
    struct relabel *relabel;
    struct why why = {""};
    struct bytes got;
    char text[1000];
    arena_init(&arena, NULL, 0, 0);
    if (compile(rules, count, &relabel, &why) != OK) fail_msg("%s", why.text);
    struct bytes labels = labels_of_text(from, &arena);
    assert_int_equal(relabel_apply(relabel, labels, &arena, &got), OK);
    assert_true(got.size == 0 || labels_valid(got));
    print(got, text, sizeof text);
    assert_string_equal(text, want);
    relabel_free(relabel);
    arena_fini(&arena);
}

#define EXPECT(from, want, ...)                                  \
    do {                                                         \
        const struct rule_text rules[] = {__VA_ARGS__};          \
        expect(from, rules, sizeof rules / sizeof *rules, want); \
    } while (0)

UNIT_TEST(test_replace_sets_what_the_template_makes_of_the_groups)
{
    EXPECT("a=foo b=bar", "a=foo b=bar d=foo", {.sources = "a", .target = "d"});
    EXPECT("a=foo b=bar c=baz", "a=foo b=bar c=baz d=ch-foo-ch-bar",
           {.sources = "a,b",
            .regex = "f(.*);(.*)r",
            .target = "d",
            .replacement = "ch-f${1}-ch-${2}r"});
    EXPECT("a=x b=y", "a=x b=y c=x|y", {.sources = "a,b", .separator = "|", .target = "c"});
    EXPECT(
        "a=some-name-value", "a=some-name-value name=value",
        {.sources = "a", .regex = "some-([^-]+)-([^,]+)", .target = "${1}", .replacement = "$2"});
    EXPECT("a=1", "a=1 b=$1", {.sources = "a", .target = "b", .replacement = "$$1"});
    EXPECT("a=1", "a=1 b=$", {.sources = "a", .target = "b", .replacement = "$"});
    EXPECT("a=1", "a=1 b=${1", {.sources = "a", .target = "b", .replacement = "${1"});
    EXPECT("a=1", "a=1 b=1!", {.sources = "a", .target = "b", .replacement = "$1!"});
    EXPECT("a=1", "a=1 b=!", {.sources = "a", .target = "b", .replacement = "$1x!"});
    EXPECT("a=1", "a=1 b=1x", {.sources = "a", .target = "b", .replacement = "${1}x"});
    EXPECT("a=17", "a=17 b=7",
           {.sources = "a", .regex = "1(?P<rest>.*)", .target = "b", .replacement = "$rest"});
    EXPECT("a=1", "a=1 b=<>", {.sources = "a", .target = "b", .replacement = "<$2$01>"});
    EXPECT("a=1", "a=1 b=1", {.sources = "a", .target = "b", .replacement = "$0"});
}

/* The alternations become sets; their groups capture the same as before. */
UNIT_TEST(test_alternations_of_literals_act_as_other_regexes)
{
    static const char *const forms[] = {"foo|bar",       "(foo|bar)",      "^(?:foo|bar)$",
                                        "(foo)|bar",     "(?:foo|bar){1}", "(foo|bar){1}",
                                        "(?P<x>foo|bar)"};
    for (unsigned i = 0; i < sizeof forms / sizeof *forms; i++) {
        bool captures = strchr(forms[i], '(') != NULL && strstr(forms[i], "(?:") == NULL;
        bool is_named = strstr(forms[i], "<x>") != NULL;
        char want[100];
        snprintf(want, sizeof want, "a=foo b=foo;%s;%s;", captures ? "foo" : "",
                 is_named ? "foo" : "");
        EXPECT("a=foo", want,
               {.sources = "a", .regex = forms[i], .target = "b", .replacement = "$0;$1;$x;$2"});
        EXPECT("a=foobar", "a=foobar",
               {.sources = "a", .regex = forms[i], .target = "b", .replacement = "x"});
        EXPECT("a=bar", "a=bar", {RELABEL_KEEP, .sources = "a", .regex = forms[i]});
        EXPECT("a=bar", "", {RELABEL_DROP, .sources = "a", .regex = forms[i]});
        EXPECT("a=b", "", {RELABEL_KEEP, .sources = "a", .regex = forms[i]});
        EXPECT("bar=1 foo=2 x=3", "x=3", {RELABEL_LABELDROP, .regex = forms[i]});
        EXPECT("bar=1 x=3", captures && i != 3 ? "bar=1 bar_y=1 x=3" : "_y=1 bar=1 x=3",
               {RELABEL_LABELMAP, .regex = forms[i], .replacement = "${1}_y"});
    }
}

UNIT_TEST(test_a_rule_may_name_twenty_thousand_values)
{
    struct buf regex;
    buf_init(&regex, NULL, 1 << 20);
    for (unsigned i = 0; i < 20000; i++)
        buf_printf(&regex, "%shost-%u.example:9100", i == 0 ? "(" : "|", i);
    buf_put(&regex, ")", 2);
    const char *text = (const char *)regex.at;
    EXPECT("a=host-19999.example:9100", "a=host-19999.example:9100 b=host-19999.example:9100",
           {.sources = "a", .regex = text, .target = "b", .replacement = "$1"});
    EXPECT("a=host-20000.example:9100", "", {RELABEL_KEEP, .sources = "a", .regex = text});
    buf_fini(&regex);
}

UNIT_TEST(test_an_empty_replacement_removes_and_no_match_changes_nothing)
{
    EXPECT("a=1 b=2", "b=2", {.sources = "a", .target = "a", .replacement = ""});
    EXPECT("a=1 b=2", "a=1 b=2", {.sources = "a", .regex = "2", .target = "a", .replacement = "x"});
    EXPECT("a=1", "a=1", {.sources = "missing", .target = "b"});
    EXPECT("a=1", "", {.sources = "a", .target = "a", .replacement = ""}); /* no label is left */
    /* regexes are anchored */
    EXPECT("a=one", "a=one", {.sources = "a", .regex = "n", .target = "b"});
    /* a dot matches any byte */
    EXPECT("a=1\n2", "a=1\n2 b=1\n2", {.sources = "a", .target = "b"});
    /* the target is not a label name */
    EXPECT("a=1", "a=1", {.sources = "a", .target = "$2", .replacement = "x"});
}

UNIT_TEST(test_keep_and_drop_decide_over_the_series)
{
    EXPECT("a=1 b=2", "a=1 b=2", {.action = RELABEL_KEEP, .sources = "a,b", .regex = "1;2"});
    EXPECT("a=1 b=2", "", {.action = RELABEL_KEEP, .sources = "a,b", .regex = "1"});
    EXPECT("a=1", "", {.action = RELABEL_DROP, .sources = "a", .regex = "1|2"});
    EXPECT("a=1", "a=1", {.action = RELABEL_DROP, .sources = "missing", .regex = ".+"});
    EXPECT("a=1", "", {.action = RELABEL_DROP, .sources = "missing"});
    EXPECT("a=1 b=1", "a=1 b=1", {.action = RELABEL_KEEPEQUAL, .sources = "a", .target = "b"});
    EXPECT("a=1 b=2", "", {.action = RELABEL_KEEPEQUAL, .sources = "a", .target = "b"});
    EXPECT("a=1 b=1", "", {.action = RELABEL_DROPEQUAL, .sources = "a", .target = "b"});
    EXPECT("a=1 b=2", "a=1 b=2", {.action = RELABEL_DROPEQUAL, .sources = "a", .target = "b"});
    EXPECT("a=1", "", {.action = RELABEL_DROP, .sources = "a", .regex = "1"},
           {.sources = "a", .target = "b"});
}

UNIT_TEST(test_hashmod_takes_the_last_eight_bytes_of_md5)
{
    /* Another program computed the hashes, of "foo;bar", "", and "foo\nbar". */
    EXPECT("a=foo b=bar", "a=foo b=bar d=750",
           {.action = RELABEL_HASHMOD, .sources = "a,b", .target = "d", .modulus = 1000});
    EXPECT("a=foo b=bar", "a=foo b=bar d=958",
           {.action = RELABEL_HASHMOD, .sources = "c", .target = "d", .modulus = 1000});
    EXPECT("a=foo\nbar", "a=foo\nbar d=734",
           {.action = RELABEL_HASHMOD, .sources = "a", .target = "d", .modulus = 1000});
}

UNIT_TEST(test_labels_are_mapped_dropped_and_kept_by_their_names)
{
    EXPECT("a=1 b1=2 b2=3", "a=1 b1=2 b2=3 my1=2 my2=3",
           {.action = RELABEL_LABELMAP, .regex = "b(.*)", .replacement = "my$1"});
    EXPECT("__meta_x=9 a=1", "__meta_x=9 a=9",
           {.action = RELABEL_LABELMAP, .regex = "__meta_x", .replacement = "a"});
    EXPECT("a=1 b1=2 b2=3", "a=1", {.action = RELABEL_LABELDROP, .regex = "b."});
    EXPECT("a=1 b1=2 b2=3", "b1=2 b2=3", {.action = RELABEL_LABELKEEP, .regex = "b."});
    EXPECT("a=1", "", {.action = RELABEL_LABELKEEP, .regex = "b."});
    EXPECT("a=1 b=2", "b=1 c=2", {.action = RELABEL_LABELMAP, .regex = "b", .replacement = "c"},
           {.sources = "a", .target = "b"}, {.action = RELABEL_LABELDROP, .regex = "a"});
}

UNIT_TEST(test_letters_change_case_beyond_ascii)
{
    EXPECT("a=FoO-\xc3\x84\xd0\x96\xe1\xba\x9e",
           "a=FoO-\xc3\x84\xd0\x96\xe1\xba\x9e b=foo-\xc3\xa4\xd0\xb6\xc3\x9f",
           {.action = RELABEL_LOWERCASE, .sources = "a", .target = "b"});
    EXPECT("a=x\xc3\xa4y", "a=x\xc3\xa4y b=X\xc3\x84Y",
           {.action = RELABEL_UPPERCASE, .sources = "a", .target = "b"});
}

UNIT_TEST(test_rules_that_cannot_be_are_refused_and_named)
{
    static const struct {
        struct rule_text rule;
        const char *says;
    } bad[] = {
        {{.sources = "a"}, "action replace requires target_label"},
        {{.action = RELABEL_HASHMOD, .sources = "a", .target = "b"}, "requires a modulus"},
        {{.action = RELABEL_LOWERCASE, .sources = "a"}, "requires target_label"},
        {{.action = RELABEL_KEEPEQUAL, .sources = "a", .target = "b", .regex = "x"}, "allows only"},
        {{.action = RELABEL_DROPEQUAL, .sources = "a"}, "requires target_label"},
        {{.action = RELABEL_LABELDROP, .sources = "a", .regex = "x"}, "allows only regex"},
        {{.action = RELABEL_LABELKEEP, .regex = "x", .replacement = "y"}, "allows only regex"},
        {{.action = RELABEL_LABELMAP, .regex = "x", .replacement = ""}, "not empty"},
        {{.action = RELABEL_KEEP, .sources = "a", .regex = "("}, "invalid regex"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rule_text two[] = {{.sources = "a", .target = "b"}, bad[i].rule};
        struct relabel *relabel;
        struct why why;
        assert_int_equal(compile(two, 2, &relabel, &why), ERR_INPUT);
        assert_non_null(strstr(why.text, "relabel rule 2: "));
        assert_non_null(strstr(why.text, bad[i].says));
    }
    assert_int_equal(relabel_action_of(bytes_of_text("LabelMap")), RELABEL_LABELMAP);
    assert_int_equal(relabel_action_of(bytes_of_text("labels")), RELABEL_ACTION_COUNT);
}

UNIT_TEST(test_refused_memory_is_an_error_and_leaks_nothing)
{
    const struct rule_text rules[] = {
        {.sources = "a,b", .target = "c"},
        {.action = RELABEL_HASHMOD, .sources = "a", .target = "d", .modulus = 7},
        {.action = RELABEL_UPPERCASE, .sources = "a", .target = "e"},
        {.action = RELABEL_LABELMAP, .regex = "(.)", .replacement = "x$1"},
    };
    struct arena given;
    arena_init(&given, NULL, 0, 0);
    struct bytes labels = labels_of_text("a=1 b=2", &given);
    bool done = false;
    for (uint32_t n = 1; !done; n++) {
        struct relabel *relabel;
        struct arena arena;
        struct bytes got;
        arena_init(&arena, NULL, 0, 0);
        mem_fail_nth(n, false);
        enum err e = compile(rules, 4, &relabel, NULL);
        bool made = e == OK;
        if (made) e = relabel_apply(relabel, labels, &arena, &got);
        done = e == OK;
        mem_fail_nth(0, false);
        assert_true(e == OK || e == ERR_NOMEM);
        if (made) relabel_free(relabel);
        arena_fini(&arena);
    }
    arena_fini(&given);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace_sets_what_the_template_makes_of_the_groups),
        cmocka_unit_test(test_alternations_of_literals_act_as_other_regexes),
        cmocka_unit_test(test_a_rule_may_name_twenty_thousand_values),
        cmocka_unit_test(test_an_empty_replacement_removes_and_no_match_changes_nothing),
        cmocka_unit_test(test_keep_and_drop_decide_over_the_series),
        cmocka_unit_test(test_hashmod_takes_the_last_eight_bytes_of_md5),
        cmocka_unit_test(test_labels_are_mapped_dropped_and_kept_by_their_names),
        cmocka_unit_test(test_letters_change_case_beyond_ascii),
        cmocka_unit_test(test_rules_that_cannot_be_are_refused_and_named),
        cmocka_unit_test(test_refused_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
