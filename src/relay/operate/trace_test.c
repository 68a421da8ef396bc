/* trace_test.c - the steps of a trace, whose end is what the relay makes of the series. */
#include "lib/test.h"

#include "lib/label_text.h"
#include "model/labels.h"
#include "relay/feed/selection.h"

#define must(call) assert_int_equal((call), OK)

/* Notes steps as a text: "select 2; relabel 1; relabel 2 ends; ". */
static void
note_step(void *context, const struct trace_step *step)
{
    buf_printf(context, "%s %u%s; ", step->key, step->number,
               step->labels.size == 0 ? " ends" : "");
    assert_int_equal(step->rule != NULL, strcmp(step->key, "relabel") == 0);
    assert_int_equal(step->selector != NULL, strcmp(step->key, "select") == 0 && step->number > 0);
}

static void
check(const struct destination_settings *settings, const char *tenant, const char *series,
      const char *expected)
{
    struct arena arena;
    struct buf steps;
    struct selection *selection;
    struct bytes traced, selected;
    struct why why = {""};
    arena_init(&arena, NULL, 0, 0);
    buf_init(&steps, NULL, 1 << 16);
    struct bytes labels = labels_of_text(series, &arena);
    must(trace_destination(settings, bytes_of_text(tenant), labels, &arena, note_step, &steps,
                           &traced, &why));
    must(selection_new(settings, &selection, &why));
    must(selection_apply(selection, bytes_of_text(tenant), labels, &arena, &selected));
    buf_put_u8(&steps, '\0');
    assert_string_equal((const char *)steps.at, expected);
    assert_true(bytes_equal(traced, selected));
    selection_free(selection);
    buf_fini(&steps);
    arena_fini(&arena);
}

UNIT_TEST(test_a_trace_has_each_step_and_ends_like_the_selection)
{
    const char *tenants[] = {"a", "b"}, *selectors[] = {"up", "{job=\"x\"}"};
    struct named_text external[] = {{"site", "one"}};
    const struct bytes job[] = {bytes_of_text("job")};
    const struct relabel_spec rules[] = {
        {.action = RELABEL_REPLACE,
         .source_labels = job,
         .source_label_count = 1,
         .target_label = bytes_of_text("was")},
        {.action = RELABEL_DROP,
         .source_labels = job,
         .source_label_count = 1,
         .regex = bytes_of_text("bad")},
        {.action = RELABEL_LABELDROP, .regex = bytes_of_text("job")},
    };
    const struct destination_settings settings = {
        .name = "x",
        .tenants = {tenants, 2},
        .select = {selectors, 2},
        .external_labels = {external, 1},
        .relabel = rules,
        .relabel_count = 3,
        .tenant_label = "tenant",
    };
    check(&settings, "c", "__name__=up job=x", "tenants 0 ends; ");
    check(&settings, "a", "__name__=down job=y", "tenants 0; select 0 ends; ");
    check(&settings, "a", "__name__=up job=bad",
          "tenants 0; select 1; external_labels 0; relabel 1; relabel 2 ends; ");
    check(&settings, "b", "__name__=down job=x",
          "tenants 0; select 2; external_labels 0; relabel 1; relabel 2; relabel 3; "
          "tenant_label 0; ");
}

UNIT_TEST(test_a_destination_without_settings_has_no_steps)
{
    const struct destination_settings settings = {.name = "x"};
    check(&settings, "a", "__name__=up", "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_trace_has_each_step_and_ends_like_the_selection),
        cmocka_unit_test(test_a_destination_without_settings_has_no_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
