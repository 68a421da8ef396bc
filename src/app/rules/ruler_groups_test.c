/* ruler_groups_test.c - the groups that are evaluated, from files and from the store. */
#include "app/rules/ruler.h"
#include "lib/failing_memory.h"
#include "lib/test.h"

#include <stdio.h>

static struct rule_group of_files[] = {
    {.file = "b.yml", .name = "x"}, {.file = "b.yml", .name = "a"}, {.file = "a.yml", .name = "x"}};
static struct rule_group of_store[] = {{.file = "a.yml", .name = "y"},
                                       {.file = "b.yml", .name = "x"},
                                       {.file = "c", .name = "x"},
                                       {.file = "a.yml", .name = "x"}};

/* Chooses among groups of files and of the store. `want`: "TENANT/FILE:NAME" with blanks between,
 * and a star for groups of files. */
static void
check_chosen(struct rule_set set, struct stored_groups stored, const char *want, uint32_t hidden)
{
    char text[500] = "";
    struct ruler_groups groups;
    assert_int_equal(ruler_groups_choose(&set, &stored, NULL, &groups), OK);
    for (uint32_t i = 0; i < groups.count; i++) {
        const struct scheduler_group *g = &groups.items[i];
        bool is_of_file = g->text >= of_files && g->text < of_files + 3;
        sprintf(text + strlen(text), "%s%.*s/%s:%s%s", i > 0 ? " " : "", (int)g->tenant.size,
                (const char *)g->tenant.at, g->text->file, g->text->name, is_of_file ? "*" : "");
    }
    assert_string_equal(text, want);
    assert_int_equal(groups.hidden_count, hidden);
    if (hidden == 2) assert_ptr_equal(groups.hidden, &of_store[3]);
    if (hidden == 0) assert_null(groups.hidden);
    ruler_groups_fini(&groups, NULL);
}

static struct rule_set_tenant files = {"", of_files, 3}, store = {"anonymous", of_store, 4};
static struct rule_set_tenant files_of_two[] = {{"t", of_files, 3}, {"s", of_files, 1}};
static struct rule_set_tenant store_of_two[] = {{"r", of_store, 4}, {"s", of_store, 2}};

UNIT_TEST(test_groups_of_files_go_before_stored_ones_of_their_names_and_tenant)
{
    check_chosen((struct rule_set){.tenants = &files, .tenant_count = 1},
                 (struct stored_groups){&store, 1},
                 "anonymous/a.yml:x* anonymous/a.yml:y anonymous/b.yml:a* anonymous/b.yml:x* "
                 "anonymous/c:x",
                 2);
    check_chosen((struct rule_set){.tenants = files_of_two, .tenant_count = 2},
                 (struct stored_groups){store_of_two, 2},
                 "r/a.yml:x r/a.yml:y r/b.yml:x r/c:x s/a.yml:y s/b.yml:x* "
                 "t/a.yml:x* t/b.yml:a* t/b.yml:x*",
                 1);
    check_chosen((struct rule_set){NULL}, (struct stored_groups){NULL, 0}, "", 0);
}

UNIT_TEST(test_a_group_of_a_file_is_found_by_tenant_file_and_name)
{
    static const struct {
        const char *tenant, *file, *name;
        bool is_found;
    } cases[] = {{"t", "a.yml", "x", true},
                 {"anonymous", "b.yml", "x", true},
                 {"anonymous", "a.yml", "x", false},
                 {"t", "a.yml", "a", false},
                 {"s", "a.yml", "x", false}};
    struct rule_set_tenant tenants[] = {{"t", of_files, 3}, {"", of_files, 1}};
    const struct rule_set set = {.tenants = tenants, .tenant_count = 2};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(
            ruler_groups_has(&set, bytes_of_text(cases[i].tenant), cases[i].file, cases[i].name),
            cases[i].is_found);
    }
}

static enum err
choose(void)
{
    const struct rule_set set = {.tenants = &files, .tenant_count = 1};
    struct stored_groups stored = {&store, 1};
    struct ruler_groups groups = {NULL};
    struct budget memory;
    budget_init(&memory, "test", 0, NULL);
    enum err e = ruler_groups_choose(&set, &stored, &memory, &groups);
    if (e == OK) ruler_groups_fini(&groups, &memory);
    assert_int_equal(budget_used(&memory), 0);
    return e;
}

UNIT_TEST(test_refused_allocations_are_reported)
{
    fail_each_allocation(choose);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_of_files_go_before_stored_ones_of_their_names_and_tenant),
        cmocka_unit_test(test_a_group_of_a_file_is_found_by_tenant_file_and_name),
        cmocka_unit_test(test_refused_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
