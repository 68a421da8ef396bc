/* permitted_test.c - questions that are narrowed by what is permitted, and keys of clauses. */
#include "lib/test.h"

#include <stdio.h>

#include "model/labels.h"
#include "model/permitted.h"
#include "model/selector.h"

/* --- clauses as text -------------------------------------------------------------------------- */

enum { PARSED_MAX = 70 };

struct parsed {
    struct selector selectors[PARSED_MAX];
    struct matcher_set sets[PARSED_MAX];
    uint32_t count;
};

static void
parse(struct parsed *p, const char *text)
{
    struct why why;
    struct selector *s = &p->selectors[p->count];
    enum err e = selector_parse(bytes_of_text(text), s, &why);
    if (e) fail_msg("%s: %s", text, why.text);
    p->sets[p->count++] = (struct matcher_set){s->matchers, s->count};
}

static void
parsed_fini(struct parsed *p)
{
    while (p->count > 0)
        selector_fini(&p->selectors[--p->count]);
}

static bool
has(const struct permitted *p, const char *team, const char *env)
{
    struct buf labels;
    buf_init(&labels, NULL, 1024);
    labels_put(&labels, (struct label){bytes_of_text("env"), bytes_of_text(env)});
    labels_put(&labels, (struct label){bytes_of_text("team"), bytes_of_text(team)});
    bool visible = permitted_has(p, buf_bytes(&labels));
    buf_fini(&labels);
    return visible;
}

/* Writes a set like {env="prod",team="a"}. */
static void
print_set(const struct matcher_set *set, char *to, size_t size)
{
    static const char *const signs[] = {"=", "!=", "=~", "!~"};
    size_t at = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        struct bytes name = matcher_name(set->matchers[i]);
        struct bytes pattern = matcher_pattern(set->matchers[i]);
        at +=
            (size_t)snprintf(to + at, size - at, "%s%.*s%s%.*s", i == 0 ? "" : ",", (int)name.size,
                             (const char *)name.at, signs[matcher_type(set->matchers[i])],
                             (int)pattern.size, (const char *)pattern.at);
    }
}

static void
check_narrowed(const struct permitted *p, const struct parsed *own, const char *const *expected)
{
    struct query_request request = {.sets = own->sets, .set_count = own->count, .max_ms = 7}, r;
    struct arena arena;
    struct why why;
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(permitted_narrow(p, &request, &arena, &r, &why), OK);
    assert_int_equal(r.max_ms, 7);
    uint32_t count = 0;
    for (; expected[count] != NULL; count++) {
        char text[256] = "";
        assert_true(count < r.set_count);
        print_set(&r.sets[count], text, sizeof text);
        assert_string_equal(text, expected[count]);
    }
    assert_int_equal(r.set_count, count);
    arena_fini(&arena);
}

#define CHECK_NARROWED(p, own, ...) check_narrowed(p, own, (const char *const[]){__VA_ARGS__, NULL})

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_series_is_visible_if_a_set_of_each_clause_matches)
{
    struct parsed teams = {.count = 0}, envs = {.count = 0};
    parse(&teams, "{team=\"a\"}");
    parse(&teams, "{team=\"b\"}");
    parse(&envs, "{env=\"prod\"}");
    struct permitted p = {{{teams.sets, 2}, {envs.sets, 1}}, 2};
    assert_true(has(&p, "a", "prod"));
    assert_true(has(&p, "b", "prod"));
    assert_false(has(&p, "a", "dev"));
    assert_false(has(&p, "c", "prod"));
    assert_true(has(&(struct permitted){.count = 0}, "c", "dev"));
    parsed_fini(&teams);
    parsed_fini(&envs);
}

UNIT_TEST(test_a_narrowed_question_has_the_combinations_of_sets)
{
    struct parsed none = {.count = 0}, own = {.count = 0}, teams = {.count = 0},
                  envs = {.count = 0};
    parse(&own, "up");
    parse(&own, "{team=\"b\"}");
    parse(&teams, "{team=\"a\"}");
    parse(&teams, "{team=~\"b|c\"}");
    parse(&envs, "{env=\"prod\"}");
    struct permitted one = {{{envs.sets, 1}}, 1}, two = {{{teams.sets, 2}, {envs.sets, 1}}, 2};
    CHECK_NARROWED(&one, &none, "env=prod");
    CHECK_NARROWED(&two, &none, "team=a,env=prod", "team=~b|c,env=prod");
    CHECK_NARROWED(&two, &own, "__name__=up,team=a,env=prod", "__name__=up,team=~b|c,env=prod",
                   "team=b,team=~b|c,env=prod");
    parsed_fini(&own);
    parsed_fini(&teams);
    parsed_fini(&envs);
}

UNIT_TEST(test_a_question_about_hidden_series_only_selects_nothing)
{
    struct parsed own = {.count = 0}, teams = {.count = 0};
    parse(&own, "{team=\"c\"}");
    parse(&teams, "{team=\"a\"}");
    parse(&teams, "{team=\"b\"}");
    struct permitted p = {{{teams.sets, 2}}, 1};
    CHECK_NARROWED(&p, &own, "team=c,team=b");
    parsed_fini(&own);
    parsed_fini(&teams);
}

UNIT_TEST(test_too_many_combinations_are_refused)
{
    struct parsed a = {.count = 0}, b = {.count = 0};
    struct query_request request = {.set_count = 0}, r;
    struct arena arena;
    struct why why;
    while (a.count < 64) {
        parse(&a, "{x=\"1\"}");
        parse(&b, "{y=\"1\"}");
    }
    parse(&b, "{y=\"2\"}");
    struct permitted fits = {{{a.sets, 64}, {b.sets, 64}}, 2};
    struct permitted more = {{{a.sets, 64}, {b.sets, 65}}, 2};
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(permitted_narrow(&fits, &request, &arena, &r, &why), OK);
    assert_int_equal(r.set_count, PERMITTED_SETS_MAX);
    assert_int_equal(permitted_narrow(&more, &request, &arena, &r, &why), ERR_LIMIT);
    assert_string_equal(why.text, "the selectors of the request and those that restrict it have "
                                  "more than 4096 combinations: use fewer of them");
    arena_fini(&arena);
    parsed_fini(&a);
    parsed_fini(&b);
}

UNIT_TEST(test_each_refused_allocation_is_an_error)
{
    struct parsed own = {.count = 0}, teams = {.count = 0};
    enum err e = ERR_NOMEM;
    parse(&own, "up");
    parse(&teams, "{team=\"a\"}");
    struct permitted p = {{{teams.sets, 1}}, 1};
    struct query_request request = {.sets = own.sets, .set_count = 1}, r;
    for (uint64_t nth = 1; e; nth++) {
        struct arena arena;
        struct why why;
        arena_init(&arena, NULL, 0, 1); /* each allocation has a block of its own */
        mem_fail_nth(nth, false);
        e = permitted_narrow(&p, &request, &arena, &r, &why);
        mem_fail_nth(0, false);
        assert_true(e == OK || e == ERR_NOMEM);
        arena_fini(&arena);
    }
    parsed_fini(&own);
    parsed_fini(&teams);
}

static void
key_of(const struct permitted *p, struct buf *to)
{
    buf_init(to, NULL, 4096);
    permitted_put_key(p, to);
    assert_int_equal(buf_error(to), OK);
}

UNIT_TEST(test_keys_are_equal_for_equal_clauses_only)
{
    static const char *const texts[] = {"{a=\"b\"}",         "{a!=\"b\",c=\"d\"}", "{a=~\"b\"}",
                                        "{a=\"b\",c=\"d\"}", "{ab=\"c\"}",         "{a=\"bc\"}"};
    struct parsed all = {.count = 0}, again = {.count = 0};
    struct buf a, b;
    for (unsigned i = 0; i < 6; i++) {
        parse(&all, texts[i]);
        parse(&again, texts[i]);
    }
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned k = 0; k < 6; k++) {
            key_of(&(struct permitted){{{&all.sets[i], 1}}, 1}, &a);
            key_of(&(struct permitted){{{&again.sets[k], 1}}, 1}, &b);
            assert_int_equal(bytes_equal(buf_bytes(&a), buf_bytes(&b)), i == k);
            buf_fini(&a);
            buf_fini(&b);
        }
    }
    /* Two alternatives are not two clauses. */
    key_of(&(struct permitted){{{all.sets, 2}}, 1}, &a);
    key_of(&(struct permitted){{{all.sets, 1}, {all.sets + 1, 1}}, 2}, &b);
    assert_false(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    buf_fini(&a);
    buf_fini(&b);
    parsed_fini(&all);
    parsed_fini(&again);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_series_is_visible_if_a_set_of_each_clause_matches),
        cmocka_unit_test(test_a_narrowed_question_has_the_combinations_of_sets),
        cmocka_unit_test(test_a_question_about_hidden_series_only_selects_nothing),
        cmocka_unit_test(test_too_many_combinations_are_refused),
        cmocka_unit_test(test_each_refused_allocation_is_an_error),
        cmocka_unit_test(test_keys_are_equal_for_equal_clauses_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
