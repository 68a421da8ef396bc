/* selection_test.c - the series that a destination selects, and their labels there. */
#include "lib/test.h"

#include "base/buf.h"
#include "lib/label_text.h"
#include "model/labels.h"
#include "relay/feed/selection.h"

#define must(call) assert_int_equal((call), OK)

/* Checks the labels after the selection; "" if the series is not selected. */
static void
check(const struct destination_settings *settings, const char *tenant, const char *labels,
      const char *expected)
{
    struct selection *s;
    struct arena arena;
    struct bytes got;
    struct why why = {""};
    arena_init(&arena, NULL, 0, 0);
    enum err e = selection_new(settings, &s, &why);
    if (e) fail_msg("%s", why.text);
    must(selection_apply(s, bytes_of_text(tenant), labels_of_text(labels, &arena), &arena, &got));
    struct bytes wanted = labels_of_text(expected, &arena);
    if (!bytes_equal(got, wanted)) {
        struct buf text;
        buf_init(&text, NULL, 1 << 20);
        labels_print(&text, got);
        fail_msg("%s: got %.*s, expected %s", labels, (int)text.size, (const char *)text.at,
                 expected);
    }
    assert_true(labels_valid(got));
    selection_free(s);
    arena_fini(&arena);
}

UNIT_TEST(test_without_settings_every_series_goes_on_as_it_is)
{
    struct destination_settings settings = {.name = "x"};
    check(&settings, "anonymous", "__name__=up job=a", "__name__=up job=a");
    check(&settings, "other", "job=a", "job=a");
}

UNIT_TEST(test_a_series_goes_on_if_one_selector_takes_it)
{
    const char *selectors[] = {"up{job=\"a\"}", "{__name__=~\"node_.*\",mode!=\"idle\"}"};
    struct destination_settings settings = {.select = {selectors, 2}};
    check(&settings, "t", "__name__=up job=a", "__name__=up job=a");
    check(&settings, "t", "__name__=up job=b", "");
    check(&settings, "t", "__name__=node_cpu mode=user", "__name__=node_cpu mode=user");
    check(&settings, "t", "__name__=node_cpu mode=idle", "");
    check(&settings, "t", "__name__=node_load", "__name__=node_load");
}

UNIT_TEST(test_external_labels_replace_no_label)
{
    struct named_text labels[] = {{"region", "eu"}, {"a", "first"}, {"empty", ""}, {"zz", "last"}};
    struct destination_settings settings = {.external_labels = {labels, 4}};
    check(&settings, "t", "__name__=up job=a", "__name__=up a=first job=a region=eu zz=last");
    check(&settings, "t", "__name__=up region=us", "__name__=up a=first region=us zz=last");
}

UNIT_TEST(test_rules_see_external_labels_and_may_drop)
{
    struct named_text labels[] = {{"region", "eu"}};
    struct bytes region = bytes_of_text("region"), job = bytes_of_text("job");
    struct relabel_spec rules[] = {
        {.action = RELABEL_REPLACE,
         .source_labels = &region,
         .source_label_count = 1,
         .target_label = bytes_of_text("where")},
        {.action = RELABEL_DROP,
         .source_labels = &job,
         .source_label_count = 1,
         .regex = bytes_of_text("secret")},
    };
    struct destination_settings settings = {
        .external_labels = {labels, 1}, .relabel = rules, .relabel_count = 2};
    check(&settings, "t", "__name__=up job=a", "__name__=up job=a region=eu where=eu");
    check(&settings, "t", "__name__=up job=secret", "");
}

UNIT_TEST(test_the_tenant_is_seen_and_hides_nothing)
{
    struct destination_settings settings = {.tenant_label = "tenant"};
    check(&settings, "team", "__name__=up zone=1", "__name__=up tenant=team zone=1");
    check(&settings, "team", "__name__=up tenant=mine",
          "__name__=up exported_tenant=mine tenant=team");
    check(&settings, "team", "exported_tenant=other tenant=mine",
          "exported_exported_tenant=mine exported_tenant=other tenant=team");
}

UNIT_TEST(test_only_series_of_the_tenants_named_go_on)
{
    const char *two[] = {"a", "b"}, *all[] = {"all"};
    struct destination_settings settings = {.tenants = {two, 2}};
    check(&settings, "a", "__name__=up", "__name__=up");
    check(&settings, "c", "__name__=up", "");
    settings.tenants = (struct text_list){all, 1};
    check(&settings, "c", "__name__=up", "__name__=up");
}

UNIT_TEST(test_families_are_judged_by_their_name_alone)
{
    const char *selectors[] = {"{__name__=~\"node_.*\",job=\"a\"}"}, *tenants[] = {"a"};
    struct destination_settings settings = {.select = {selectors, 1}, .tenants = {tenants, 1}};
    struct selection *s;
    must(selection_new(&settings, &s, NULL));
    struct bytes a = bytes_of_text("a"), b = bytes_of_text("b");
    assert_true(selection_takes_family(s, a, bytes_of_text("node_cpu")));
    assert_false(selection_takes_family(s, a, bytes_of_text("up")));
    assert_false(selection_takes_family(s, b, bytes_of_text("node_cpu")));
    selection_free(s);
}

UNIT_TEST(test_an_invalid_selector_is_refused)
{
    const char *selectors[] = {"up", "{"};
    struct destination_settings settings = {.select = {selectors, 2}};
    struct selection *s;
    struct why why = {""};
    assert_int_equal(selection_new(&settings, &s, &why), ERR_INPUT);
    assert_true(why.text[0] != 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_settings_every_series_goes_on_as_it_is),
        cmocka_unit_test(test_a_series_goes_on_if_one_selector_takes_it),
        cmocka_unit_test(test_external_labels_replace_no_label),
        cmocka_unit_test(test_rules_see_external_labels_and_may_drop),
        cmocka_unit_test(test_the_tenant_is_seen_and_hides_nothing),
        cmocka_unit_test(test_only_series_of_the_tenants_named_go_on),
        cmocka_unit_test(test_families_are_judged_by_their_name_alone),
        cmocka_unit_test(test_an_invalid_selector_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
