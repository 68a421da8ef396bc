/* stack_test.c - the layers that view_stack_open() and view_stack_merge() put above each other. */
#include "lib/test.h"

#include <stdlib.h>

#include "model/permitted.h"
#include "views/stack.h"

/* A store whose views have no series, and sets without warnings. */
struct store {
    struct answerer answerer; /* first */
    unsigned views, sets;     /* open ones */
};

struct store_view {
    struct view view; /* first */
    struct series_set set;
    struct store *of;
};

static struct store_view *
view_of(struct series_set *set)
{
    return (struct store_view *)(void *)((char *)set - offsetof(struct store_view, set));
}

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    (void)set, (void)why;
    *ret_labels = bytes_of(NULL, 0);
    return OK;
}

static const char *
set_warning(struct series_set *set, uint32_t index)
{
    (void)set;
    (void)index;
    return NULL;
}

static void
set_free(struct series_set *set)
{
    view_of(set)->of->sets--;
}

static enum err
store_select(struct view *view, const struct query_request *request, struct series_set **ret_set,
             struct why *why)
{
    static const struct series_set_ops ops = {
        .next = set_next, .warning = set_warning, .free = set_free};
    struct store_view *v = (struct store_view *)view;
    (void)request, (void)why;
    v->set.ops = &ops;
    v->of->sets++;
    *ret_set = &v->set;
    return OK;
}

static void
store_view_free(struct view *view)
{
    ((struct store_view *)view)->of->views--;
    free(view);
}

static enum err
store_open(struct answerer *answerer, struct query_control *control, struct view **ret_view,
           struct why *why)
{
    static const struct view_ops ops = {.select = store_select, .free = store_view_free};
    struct store_view *v = calloc(1, sizeof *v);
    (void)control, (void)why;
    assert_non_null(v);
    v->view.ops = &ops;
    v->of = (struct store *)answerer;
    v->of->views++;
    *ret_view = &v->view;
    return OK;
}

static const struct answerer_ops store_ops = {.open = store_open};

static void
ask(struct view *view)
{
    struct query_request request = {.min_ms = 1, .max_ms = 2};
    struct series_set *set;
    struct bytes labels;
    assert_int_equal(view_select(view, &request, &set, NULL), OK);
    assert_int_equal(series_set_next(set, &labels, NULL), OK);
    assert_null(labels.at);
    series_set_free(set);
}

UNIT_TEST(test_a_refused_allocation_leaves_no_view_open)
{
    const struct bytes replica = bytes_of_text("replica");
    enum err e = ERR_NOMEM;
    for (uint64_t nth = 1; e; nth++) {
        struct store store = {.answerer = {.ops = &store_ops}};
        struct view_stack stack = {&store.answerer, &replica, 1};
        struct query_control control = {.env = NULL};
        struct view *view;
        mem_fail_nth(nth, false);
        e = view_stack_open(&stack, &control, &view, NULL);
        mem_fail_nth(0, false);
        assert_int_equal(store.views, e == OK);
        if (e == OK) view_free(view);
        assert_int_equal(store.views, 0);
        assert_true(e == OK || e == ERR_NOMEM);
    }
}

UNIT_TEST(test_a_merge_of_nothing_says_why)
{
    struct view *view;
    struct why why;
    assert_int_equal(view_stack_merge(NULL, NULL, 0, NULL, &view, &why), ERR_UNSUPPORTED);
    assert_string_equal(why.text,
                        "nothing is stored with storage.mode=none, and there are no sources");
}

UNIT_TEST(test_a_store_alone_is_not_wrapped)
{
    struct store store = {.answerer = {.ops = &store_ops}};
    struct view *view, *merged;
    assert_int_equal(view_open(&store.answerer, NULL, &view, NULL), OK);
    assert_int_equal(view_stack_merge(view, NULL, 0, NULL, &merged, NULL), OK);
    assert_ptr_equal(view, merged);
    view_free(merged);
    assert_int_equal(store.views, 0);
}

UNIT_TEST(test_a_merge_restricts_the_store_to_what_is_permitted)
{
    struct matcher *matcher;
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("a"), bytes_of_text("b"), NULL, &matcher, NULL), OK);
    struct matcher_set set = {&matcher, 1};
    struct permitted permitted = {{{&set, 1}}, 1};
    struct query_control control = {.permitted = &permitted};
    enum err e = ERR_NOMEM;
    for (uint64_t nth = 1; e; nth++) {
        struct store store = {.answerer = {.ops = &store_ops}};
        struct view *view, *merged;
        assert_int_equal(view_open(&store.answerer, &control, &view, NULL), OK);
        mem_fail_nth(nth, false);
        e = view_stack_merge(view, NULL, 0, &control, &merged, NULL);
        mem_fail_nth(0, false);
        assert_int_equal(store.views, e == OK);
        if (e) continue;
        assert_ptr_not_equal(view, merged);
        ask(merged);
        view_free(merged);
        assert_int_equal(store.views, 0);
    }
    matcher_free(matcher);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_allocation_leaves_no_view_open),
        cmocka_unit_test(test_a_merge_of_nothing_says_why),
        cmocka_unit_test(test_a_store_alone_is_not_wrapped),
        cmocka_unit_test(test_a_merge_restricts_the_store_to_what_is_permitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
