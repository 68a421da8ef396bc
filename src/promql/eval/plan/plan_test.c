/*
 * plan_test.c - plans as text: kind, steps where there is not one, what else was decided, and the
 * operands.
 */
#include "lib/test.h"

#include "promql/eval/plan/plan.h"

struct planned {
    struct promql_tree *tree;
    struct evaluation ev;
    struct plan_node *plan;
    struct buf text;
};

static const char *const words[] = {
    [PLAN_STRING] = "string",
    [PLAN_NUMBER] = "number",
    [PLAN_CONSTANT] = "constant",
    [PLAN_TIME] = "time",
    [PLAN_SIGN] = "sign",
    [PLAN_ARITHMETIC] = "arithmetic",
    [PLAN_LEAST] = "least",
    [PLAN_GREATEST] = "greatest",
    [PLAN_ONLY_VALUE] = "only value",
    [PLAN_RANGE_SELECTOR] = "range selector",
    [PLAN_SUBQUERY] = "subquery",
    [PLAN_SELECTOR] = "selector",
    [PLAN_RANGE_FUNCTION] = "range function",
    [PLAN_RANGE_SAMPLE] = "range sample",
    [PLAN_RANGE_ABSENT] = "range absent",
    [PLAN_ABSENT] = "absent",
    [PLAN_INFO] = "info",
    [PLAN_LABEL_JOIN] = "label join",
    [PLAN_LABEL_REPLACE] = "label replace",
    [PLAN_SORT] = "sort",
    [PLAN_SORT_BY_LABEL] = "sort by label",
    [PLAN_HISTOGRAM] = "histogram",
    [PLAN_MAP] = "map",
    [PLAN_SAME] = "same",
    [PLAN_AGGREGATION] = "aggregation",
    [PLAN_CHOICE] = "choice",
    [PLAN_BINARY] = "binary",
    [PLAN_SET] = "set",
    [PLAN_SCALAR_BINARY] = "scalar binary",
};

static void
put_plan(const struct plan_node *x, struct buf *to)
{
    buf_put_text(to, words[x->kind]);
    if (x->grid.count != 1) buf_printf(to, " %u", x->grid.count);
    if (x->once) buf_printf(to, " for %u", x->given.count);
    if (x->part == PART_PRESENCE) buf_put_text(to, " presence");
    if (x->part == PART_TIME) buf_put_text(to, " time");
    if (x->kind == PLAN_NUMBER) buf_printf(to, " %g", x->value);
    if (share_read_by(x) != NULL) buf_put_text(to, " reader");
    if (x->refused.at != NULL) buf_put_text(to, " refused");
    if (x->first == NULL) return;
    buf_put_text(to, " (");
    for (const struct plan_node *c = x->first; c != NULL; c = c->next) {
        put_plan(c, to);
        if (c->next != NULL) buf_put_text(to, ", ");
    }
    buf_put_text(to, ")");
}

/* Plans an expression for so many steps, a minute apart. */
static void
make_plan(struct planned *x, const char *text, uint32_t steps)
{
    *x = (struct planned){.tree = NULL};
    buf_init(&x->text, NULL, 1 << 20);
    enum err e = promql_parse(bytes_of_text(text), NULL, NULL, &x->tree, &x->text);
    assert_int_equal(e, OK);
    x->ev = (struct evaluation){.tree = x->tree,
                                .grid = {3600000, 60000, steps, true},
                                .end_ms = 3600000 + 60000 * (int64_t)(steps - 1),
                                .lookback_ms = 300000,
                                .subquery_step_ms = 60000};
    arena_init(&x->ev.arena, NULL, 0, 0);
    buf_init(&x->ev.error, NULL, 1 << 20);
    assert_int_equal(plan_make(&x->ev, &x->plan), OK);
    assert_int_equal(x->ev.error.size, 0);
}

static void
planned_fini(struct planned *x)
{
    shares_fini(&x->ev);
    buf_fini(&x->ev.error);
    arena_fini(&x->ev.arena);
    buf_fini(&x->text);
    promql_free(x->tree);
}

static void
expect(const char *text, uint32_t steps, const char *plan)
{
    struct planned x;
    make_plan(&x, text, steps);
    put_plan(x.plan, &x.text);
    buf_put_u8(&x.text, '\0');
    assert_string_equal((const char *)x.text.at, plan);
    planned_fini(&x);
}

UNIT_TEST(test_an_operand_has_the_steps_of_its_operator)
{
    expect("sum(rate(a[5m])) > 1", 10,
           "scalar binary 10 (aggregation 10 (range function 10), number 10 1)");
    expect("topk(scalar(a), b)", 10, "choice 10 (selector 10, only value 10 (selector 10))");
    expect("quantile_over_time(0.5, a[5m])", 3, "range function 3 (number 3 0.5)");
    expect("a or b", 1, "set (selector, selector)");
    expect("label_join(a, \"x\", \"-\", \"y\")", 1, "label join (selector)");
    expect("info(a, {job=\"x\"})", 1, "info (selector)");
    expect("a[5m]", 1, "range selector");
    expect("\"text\"", 1, "string");
}

UNIT_TEST(test_a_sign_of_a_number_is_part_of_it)
{
    expect("-(-(-3))", 1, "number -3");
    expect("+(-3)", 1, "number -3");
    expect("-time()", 1, "sign (time)");
    expect("-a + +b", 1, "binary (map (selector), same (selector))");
    expect("1 + min_of(2, -3) * max_of(pi(), time())", 1,
           "arithmetic (number 1, arithmetic (least (number 2, number -3), "
           "greatest (constant, time)))");
}

UNIT_TEST(test_a_constant_over_all_steps_is_evaluated_once)
{
    expect("sum(a @ 5) + b", 10, "binary 10 (aggregation for 10 (selector for 1), selector 10)");
    expect("rate(a[5m] @ 5)", 10, "range function for 10");
    expect("rate(a[5m] @ 5)", 1, "range function");
    expect("a @ 5", 10, "selector for 10");
    /* A selector has a time of its own. */
    expect("a @ 5", 1, "selector for 1");
    /* A scalar that reads no series costs nothing at the other steps. */
    expect("vector(pi())", 10, "map 10 (constant 10)");
}

UNIT_TEST(test_a_subquery_has_the_steps_in_its_ranges)
{
    expect("max_over_time(a[10m:1m])", 5, "range function 5 (subquery 14 (selector 14))");
    expect("max_over_time(a[10m:])", 1, "range function (subquery 10 (selector 10))");
    expect("max_over_time(a[10m:1m] @ 3600)", 5,
           "range function for 5 (subquery 10 (selector 10))");
    expect("a[10m:1m] offset 1m", 1, "subquery 10 (selector 10)");
    /* Without steps nothing is evaluated. */
    expect("max_over_time(a[1m:1d])", 1, "range function (subquery 0)");
}

UNIT_TEST(test_an_error_of_a_subquery_shows_where_it_is_evaluated)
{
    struct planned x;
    expect("a + sum_over_time(a[1000000h:1ms])", 1,
           "binary (selector, range function (subquery 0 refused))");
    make_plan(&x, "sum_over_time(a[1000000h:1ms])", 1);
    assert_int_equal(plan_refuse(&x.ev, x.plan->of), ERR_INPUT);
    assert_non_null(memmem(x.ev.error.at, x.ev.error.size, "a subquery has", 14));
    planned_fini(&x);
}

UNIT_TEST(test_the_first_of_equal_parts_is_evaluated_for_all)
{
    expect("sum(a) / sum(a)", 1, "binary (aggregation (selector), aggregation reader)");
    expect("sum(rate(a[5m])) / count(rate(a[5m]))", 1,
           "binary (aggregation (range function), aggregation (range function reader))");
    expect("sum(a) / sum(b)", 1, "binary (aggregation (selector), aggregation (selector))");
    /* The same text at other steps is another part. */
    expect("sum(a) + max_over_time(sum(a)[5m:1m])", 1,
           "binary (aggregation (selector), "
           "range function (subquery 5 (aggregation 5 (selector 5))))");
    expect("a @ 5 + b + a @ 5", 10,
           "binary 10 (binary 10 (selector for 10, selector 10), selector for 10 reader)");
}

UNIT_TEST(test_a_selector_of_which_another_part_is_used_is_not_shared)
{
    expect("count(a) + absent(a)", 1,
           "binary (aggregation (selector presence), absent (selector presence))");
    expect("timestamp(a) - timestamp(-a)", 1, "binary (map (selector time), map (map (selector)))");
}

UNIT_TEST(test_a_reader_that_evaluates_its_own_node_has_operands)
{
    struct planned x;
    struct plan_node *own;
    make_plan(&x, "sum(a @ 5) + b - sum(a @ 5)", 3);
    assert_null(x.plan->right->first);
    assert_int_equal(plan_make_alone(&x.ev, x.plan->right, &own), OK);
    put_plan(own, &x.text);
    buf_put_u8(&x.text, '\0');
    assert_string_equal((const char *)x.text.at, "aggregation for 3 (selector for 1)");
    assert_ptr_equal(own->node, x.plan->right->node);
    planned_fini(&x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_operand_has_the_steps_of_its_operator),
        cmocka_unit_test(test_a_sign_of_a_number_is_part_of_it),
        cmocka_unit_test(test_a_constant_over_all_steps_is_evaluated_once),
        cmocka_unit_test(test_a_subquery_has_the_steps_in_its_ranges),
        cmocka_unit_test(test_an_error_of_a_subquery_shows_where_it_is_evaluated),
        cmocka_unit_test(test_the_first_of_equal_parts_is_evaluated_for_all),
        cmocka_unit_test(test_a_selector_of_which_another_part_is_used_is_not_shared),
        cmocka_unit_test(test_a_reader_that_evaluates_its_own_node_has_operands),
    };
    return cmocka_run_group_tests_name("promql/eval/plan", tests, NULL, NULL);
}
