/* partial_test.c - warnings about missing data are kept, from every set; otherwise
 * nothing changes. */
#include "lib/test.h"

#include <stdio.h>

#include "views/partial.h"

/* A view whose sets have one series, and warnings of their own. */
struct damaged {
    struct view view; /* first */
    struct series_set set;
    unsigned sets, given; /* counts of series */
    char sentence[64];
    bool was_partial;
};

static struct damaged *
damaged_of(struct series_set *set)
{
    return (struct damaged *)(void *)((char *)set - offsetof(struct damaged, set));
}

static enum err
give_series(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    (void)why;
    *ret_labels = damaged_of(set)->given++ == 0 ? bytes_of_text("labels") : bytes_of(NULL, 0);
    return OK;
}

static enum err
give_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    (void)set;
    *ret_batch = (struct sample_batch){.count = 7};
    return why_set(why, OK, "unused");
}

static const char *
give_warning(struct series_set *set, uint32_t index)
{
    struct damaged *d = damaged_of(set);
    snprintf(d->sentence, sizeof d->sentence, "page %u of set %u", index, d->sets);
    return index < 2 ? d->sentence : NULL;
}

static struct series_cost
give_cost(const struct series_set *set)
{
    (void)set;
    return (struct series_cost){.series = 3, .samples = 4};
}

static void
end_set(struct series_set *set)
{
    damaged_of(set)->given = 0;
}

static enum err
give_set(struct view *view, const struct query_request *request, struct series_set **ret_set,
         struct why *why)
{
    static const struct series_set_ops ops = {give_series, give_batch, give_warning,
                                              give_cost,   NULL,       end_set};
    struct damaged *d = (struct damaged *)view;
    d->set.ops = &ops;
    d->was_partial = request->partial;
    d->sets++;
    *ret_set = &d->set;
    return why_set(why, d->sets > 100 ? ERR_LIMIT : OK, "as told");
}

static const struct view_ops damaged_ops = {.select = give_set};

static void
ask(struct partial_view *v)
{
    struct query_request request = {.min_ms = 1};
    struct series_set *set;
    struct bytes labels;
    struct sample_batch batch;
    assert_int_equal(view_select(&v->view, &request, &set, NULL), OK);
    assert_int_equal(series_set_cost(set).samples, 4);
    assert_int_equal(series_set_next(set, &labels, NULL), OK);
    assert_true(bytes_equal_text(labels, "labels"));
    assert_int_equal(series_set_batch(set, &batch, NULL), OK);
    assert_int_equal(batch.count, 7);
    assert_int_equal(series_set_next(set, &labels, NULL), OK);
    assert_null(labels.at);
    series_set_free(set);
}

UNIT_TEST(test_warnings_of_all_sets_are_kept)
{
    struct damaged d = {.view = {&damaged_ops}};
    struct partial_view v;
    partial_view_init(&v, &d.view, true, NULL);
    assert_null(partial_view_warning(&v, 0));
    ask(&v);
    assert_true(d.was_partial);
    ask(&v);
    assert_int_equal(partial_view_check(&v, NULL), OK);
    assert_string_equal(partial_view_warning(&v, 0), "page 0 of set 1");
    assert_string_equal(partial_view_warning(&v, 3), "page 1 of set 2");
    assert_null(partial_view_warning(&v, 4));
    for (unsigned i = 0; i < 50; i++) {
        ask(&v);
    }
    uint32_t count = 0;
    while (partial_view_warning(&v, count) != NULL) {
        count++;
    }
    assert_int_equal(count, WARNINGS_MAX + 1); /* bounded, and the last one says so */
    partial_view_fini(&v);
}

static struct view_mark
give_mark(const struct view *view)
{
    (void)view;
    return (struct view_mark){.epoch = 7, .edits = 8};
}

static int64_t
give_same_before(const struct view *view, struct bytes tenant, const struct view_mark *before)
{
    (void)view, (void)tenant;
    return (int64_t)before->epoch;
}

/* A result without all data must not be cached, as the next reader would not get the warning. */
UNIT_TEST(test_a_view_from_which_data_is_missing_says_so)
{
    for (unsigned partial = 0; partial < 2; partial++) {
        struct damaged d = {.view = {&damaged_ops}};
        struct partial_view v;
        partial_view_init(&v, &d.view, partial, NULL);
        assert_false(view_lacks(&v.view));
        ask(&v);
        assert_true(view_lacks(&v.view));
        partial_view_fini(&v);
    }
}

UNIT_TEST(test_only_a_view_of_whole_data_has_the_mark_of_the_one_below)
{
    static const struct view_ops marked = {
        .select = give_set, .mark = give_mark, .same_before = give_same_before};
    struct damaged d = {.view = {&marked}}, unmarked = {.view = {&damaged_ops}};
    struct partial_view v;
    struct view_mark mark = {.epoch = 5};
    partial_view_init(&v, &d.view, false, NULL);
    assert_int_equal(view_same_before(&v.view, bytes_of_text("a"), &mark), 5);
    assert_true(view_has_mark(&v.view, &mark));
    assert_int_equal(mark.epoch, 7);
    assert_int_equal(mark.edits, 8);
    partial_view_fini(&v);
    partial_view_init(&v, &d.view, true, NULL);
    assert_false(view_has_mark(&v.view, &mark));
    partial_view_fini(&v);
    partial_view_init(&v, &unmarked.view, false, NULL);
    assert_false(view_has_mark(&v.view, &mark));
    partial_view_fini(&v);
}

UNIT_TEST(test_errors_and_failed_allocations_are_returned)
{
    struct query_request request = {.min_ms = 1};
    struct series_set *set;
    struct why why;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct damaged d = {.view = {&damaged_ops}};
        struct partial_view v;
        partial_view_init(&v, &d.view, true, NULL);
        mem_fail_nth(nth, false);
        enum err e = view_select(&v.view, &request, &set, &why);
        assert_int_equal(e, nth == 1 ? ERR_NOMEM : OK);
        if (e == OK) series_set_free(set);
        mem_fail_nth(0, false);
        assert_int_equal(partial_view_check(&v, &why), nth == 1 ? OK : ERR_NOMEM);
        partial_view_fini(&v);
    }
    struct damaged d = {.view = {&damaged_ops}, .sets = 100};
    struct partial_view v;
    partial_view_init(&v, &d.view, true, NULL);
    assert_int_equal(view_select(&v.view, &request, &set, &why), ERR_LIMIT);
    assert_string_equal(why.text, "as told");
    partial_view_fini(&v);
}

static void
keep_sentence(void *context, const char *sentence)
{
    struct buf *to = context;
    buf_put_text(to, sentence);
    buf_put_text(to, "\n");
}

static bool was_freed;

static void
note_end(struct view *view)
{
    (void)view;
    was_freed = true;
}

UNIT_TEST(test_who_asks_without_looking_hears_what_was_missing_at_the_end)
{
    static const struct view_ops ops = {.select = give_set, .free = note_end};
    struct damaged d = {.view = {&ops}};
    struct view *v;
    struct buf told;
    buf_init(&told, NULL, 1000);
    assert_int_equal(warned_view_new(&d.view, NULL, keep_sentence, &told, &v, NULL), OK);
    assert_false(view_lacks(v));
    ask((struct partial_view *)v);
    assert_false(d.was_partial); /* the request is passed on unchanged */
    assert_true(view_lacks(v));
    assert_int_equal(told.size, 0);
    view_free(v);
    assert_true(was_freed);
    buf_put_u8(&told, 0);
    assert_string_equal((const char *)told.at, "page 0 of set 1\npage 1 of set 1\n");
    buf_fini(&told);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warnings_of_all_sets_are_kept),
        cmocka_unit_test(test_a_view_from_which_data_is_missing_says_so),
        cmocka_unit_test(test_only_a_view_of_whole_data_has_the_mark_of_the_one_below),
        cmocka_unit_test(test_errors_and_failed_allocations_are_returned),
        cmocka_unit_test(test_who_asks_without_looking_hears_what_was_missing_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
