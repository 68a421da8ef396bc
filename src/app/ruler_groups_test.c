#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "app/ruler_groups.h"

static struct rule_group of_files[] = {
    {.file = "b.yml", .name = "x"}, {.file = "b.yml", .name = "a"}, {.file = "a.yml", .name = "x"}};
static struct rule_group of_store[] = {{.file = "a.yml", .name = "y"},
                                       {.file = "b.yml", .name = "x"},
                                       {.file = "c", .name = "x"},
                                       {.file = "a.yml", .name = "x"}};

static struct rule_set
files_of(struct rule_set_tenant *tenants, uint32_t count)
{
    return (struct rule_set){.tenants = tenants, .tenant_count = count};
}

/* "TENANT/FILE:NAME " each, with a star for those of files. */
static void
check_chosen(const struct ruler_groups *groups, const char *expected)
{
    char text[500] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < groups->count; i++) {
        const struct scheduler_group *g = &groups->items[i];
        bool is_of_file = g->text >= of_files && g->text < of_files + 3;
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s/%s:%s%s ",
                                 (int)g->tenant.size, (const char *)g->tenant.at, g->text->file,
                                 g->text->name, is_of_file ? "*" : "");
    }
    assert_string_equal(text, expected);
}

static void
test_groups_of_files_go_before_stored_ones_of_their_names(void **state)
{
    (void)state;
    struct rule_set_tenant files = {"", of_files, 3}, store = {"anonymous", of_store, 4};
    struct rule_set set = files_of(&files, 1);
    struct stored_groups stored = {&store, 1};
    struct ruler_groups groups;
    assert_int_equal(ruler_groups_choose(&set, &stored, NULL, &groups), OK);
    check_chosen(&groups, "anonymous/a.yml:x* anonymous/a.yml:y anonymous/b.yml:a* "
                          "anonymous/b.yml:x* anonymous/c:x ");
    assert_int_equal(groups.hidden_count, 2);
    assert_ptr_equal(groups.hidden, &of_store[3]);
    ruler_groups_fini(&groups, NULL);
}

static void
test_tenants_do_not_hide_groups_of_others(void **state)
{
    (void)state;
    struct rule_set_tenant files[] = {{"t", of_files, 3}, {"s", of_files, 1}};
    struct rule_set_tenant store[] = {{"r", of_store, 4}, {"s", of_store, 2}};
    struct rule_set set = files_of(files, 2);
    struct stored_groups stored = {store, 2};
    struct ruler_groups groups;
    assert_int_equal(ruler_groups_choose(&set, &stored, NULL, &groups), OK);
    check_chosen(&groups, "r/a.yml:x r/a.yml:y r/b.yml:x r/c:x s/a.yml:y s/b.yml:x* "
                          "t/a.yml:x* t/b.yml:a* t/b.yml:x* ");
    assert_int_equal(groups.hidden_count, 1);
    ruler_groups_fini(&groups, NULL);
}

static void
test_there_may_be_none(void **state)
{
    (void)state;
    struct rule_set set = {NULL};
    struct stored_groups stored = {NULL, 0};
    struct ruler_groups groups;
    assert_int_equal(ruler_groups_choose(&set, &stored, NULL, &groups), OK);
    assert_int_equal(groups.count, 0);
    assert_null(groups.hidden);
    ruler_groups_fini(&groups, NULL);
}

static void
test_a_group_of_a_file_is_found_by_tenant_file_and_name(void **state)
{
    (void)state;
    struct rule_set_tenant files[] = {{"t", of_files, 3}, {"", of_files, 1}};
    struct rule_set set = files_of(files, 2);
    assert_true(ruler_groups_has(&set, bytes_of_text("t"), "a.yml", "x"));
    assert_true(ruler_groups_has(&set, bytes_of_text("anonymous"), "b.yml", "x"));
    assert_false(ruler_groups_has(&set, bytes_of_text("anonymous"), "a.yml", "x"));
    assert_false(ruler_groups_has(&set, bytes_of_text("t"), "a.yml", "a"));
    assert_false(ruler_groups_has(&set, bytes_of_text("s"), "a.yml", "x"));
}

static void
test_refused_allocations_are_reported(void **state)
{
    (void)state;
    struct rule_set_tenant files = {"", of_files, 3}, store = {"anonymous", of_store, 4};
    struct rule_set set = files_of(&files, 1);
    struct stored_groups stored = {&store, 1};
    struct budget memory;
    budget_init(&memory, "test", 0, NULL);
    for (unsigned nth = 1;; nth++) {
        struct ruler_groups groups = {NULL};
        mem_fail_nth(nth, false);
        enum err e = ruler_groups_choose(&set, &stored, &memory, &groups);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (e == OK) ruler_groups_fini(&groups, &memory);
        assert_int_equal(budget_used(&memory), 0);
        if (!fired) break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_of_files_go_before_stored_ones_of_their_names),
        cmocka_unit_test(test_tenants_do_not_hide_groups_of_others),
        cmocka_unit_test(test_there_may_be_none),
        cmocka_unit_test(test_a_group_of_a_file_is_found_by_tenant_file_and_name),
        cmocka_unit_test(test_refused_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
