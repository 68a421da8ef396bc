/*
 * stored_rules_test.c - edits of stored rules on a simulated machine: what is committed is there
 * after a loss of power, what failed changed nothing, and damage stays with its tenant.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "app/stored_rules.h"
#include "base/framed.h"
#include "base/log.h"
#include "rules/stored_file.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

/* --- a machine -------------------------------------------------------------------------------- */

struct rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct budget memory;
    uint64_t memory_bytes;
    bool tenancy;
    struct stored_limits limits;
    struct stored_rules *stored; /* NULL: closed */
};

static void
rig_init(struct rig *rig, uint64_t seed)
{
    *rig = (struct rig){.tenancy = true, .limits = {.groups_max = 100, .bytes_max = 1 << 20}};
    metric_reset_all(); /* of a test that failed */
    must(sim_env_new(seed, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    rig->env = fault_env_env(rig->fe);
    budget_init(&rig->memory, "test", 0, NULL);
    must(env_mkdir(rig->env, "store", NULL));
    must(env_syncdir(rig->env, ".", NULL));
}

static enum err
try_open(struct rig *rig, struct why *why)
{
    struct stored_rules_options options = {.env = rig->env,
                                           .storage_path = "store",
                                           .memory = &rig->memory,
                                           .memory_bytes = rig->memory_bytes,
                                           .tenancy = rig->tenancy};
    enum err e = stored_rules_open(&options, &rig->stored, why);
    if (e) rig->stored = NULL;
    return e;
}

static void
rig_open(struct rig *rig)
{
    struct why why = {""};
    enum err e = try_open(rig, &why);
    assert_string_equal(why.text, "");
    must(e);
}

static void
rig_close(struct rig *rig)
{
    stored_rules_free(rig->stored);
    rig->stored = NULL;
    assert_int_equal(budget_used(&rig->memory), 0);
}

static void
rig_fini(struct rig *rig)
{
    rig_close(rig);
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
}

/* What the server does, but for the groups that are evaluated. */
static enum err
apply(struct rig *rig, const struct rules_edit *edit, struct buf *reasons, struct why *why)
{
    struct stored_change *change = NULL;
    enum err e = stored_rules_prepare(rig->stored, edit, &rig->limits, reasons, &change, why);
    if (e == OK) e = stored_rules_write(change, why);
    if (e)
        stored_rules_abandon(change);
    else
        stored_rules_commit(change);
    return e;
}

static enum err
set_group(struct rig *rig, const char *tenant, const char *namespace, const char *text,
          struct why *why)
{
    struct rules_edit edit = {RULES_SET, bytes_of_text(tenant), namespace, NULL,
                              bytes_of_text(text)};
    struct buf reasons;
    buf_init(&reasons, NULL, 4096);
    enum err e = apply(rig, &edit, &reasons, why);
    if (e == ERR_INPUT && reasons.size > 0) {
        snprintf(why->text, sizeof why->text, "%.*s", (int)reasons.size, (char *)reasons.at);
    }
    buf_fini(&reasons);
    return e;
}

/* A group of one rule. */
static enum err
set_named(struct rig *rig, const char *tenant, const char *namespace, const char *name,
          const char *expression)
{
    struct why why = {""};
    char text[300];
    snprintf(text, sizeof text, "{name: '%s', rules: [{record: r, expr: '%s'}]}", name, expression);
    enum err e = set_group(rig, tenant, namespace, text, &why);
    assert_int_equal(e == OK, why.text[0] == '\0');
    return e;
}

/* `name` NULL: the namespace. */
static enum err
delete_group(struct rig *rig, const char *tenant, const char *namespace, const char *name,
             struct why *why)
{
    struct rules_edit edit = {name == NULL ? RULES_DELETE_NAMESPACE : RULES_DELETE,
                              bytes_of_text(tenant),
                              namespace,
                              name,
                              {NULL, 0}};
    struct buf reasons;
    buf_init(&reasons, NULL, 4096);
    enum err e = apply(rig, &edit, &reasons, why);
    assert_int_equal(reasons.size, 0);
    buf_fini(&reasons);
    return e;
}

/* Of all that is evaluated: "TENANT/FILE:NAME=EXPRESSION " each. */
static const char *
evaluated(struct stored_groups groups)
{
    static char text[4096];
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < groups.tenant_count; i++) {
        const struct rule_set_tenant *t = &groups.tenants[i];
        for (uint32_t k = 0; k < t->group_count; k++) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s/%s:%s=%s ", t->tenant,
                                     t->groups[k].file, t->groups[k].name,
                                     t->groups[k].rules[0].expression);
            assert_true(used < sizeof text);
        }
    }
    return text;
}

static void
check_evaluated(const struct rig *rig, const char *expected)
{
    assert_string_equal(evaluated(stored_rules_groups(rig->stored)), expected);
}

static enum err
print(const struct rig *rig, const char *tenant, const char *namespace, const char *group, char *to,
      size_t size)
{
    struct rules_wanted wanted = {bytes_of_text(tenant), namespace, group};
    struct why why = {""};
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    enum err e = stored_rules_print(rig->stored, &wanted, &text, &why);
    snprintf(to, size, "%.*s", e == OK ? (int)text.size : (int)sizeof why.text,
             e == OK ? (const char *)text.at : why.text);
    buf_fini(&text);
    return e;
}

static void
check_printed(const struct rig *rig, const char *tenant, const char *namespace, const char *group,
              enum err expected_err, const char *expected)
{
    char text[4096];
    enum err e = print(rig, tenant, namespace, group, text, sizeof text);
    assert_string_equal(text, expected);
    assert_int_equal(e, expected_err);
}

static uint64_t
metric(const char *name)
{
    struct buf text;
    char line[100];
    buf_init(&text, NULL, 1 << 20);
    metric_collect(&text);
    buf_put_u8(&text, '\0');
    must(buf_error(&text));
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr((const char *)text.at, line);
    if (at == NULL) fail_msg("no metric %s", name);
    uint64_t value = strtoull(at + strlen(line), NULL, 10);
    buf_fini(&text);
    return value;
}

static int
mute(void **state)
{
    (void)state;
    log_to_fd(-1);
    return 0;
}

static int
stop_failing(void **state)
{
    (void)state;
    mem_fail_nth(0, false);
    return 0;
}

/* --- edits ------------------------------------------------------------------------------------ */

static void
test_groups_are_set_replaced_and_deleted(void **state)
{
    (void)state;
    struct rig rig;
    struct why why = {""};
    rig_init(&rig, 1);
    rig_open(&rig);
    check_evaluated(&rig, "");
    must(set_named(&rig, "t", "n", "b", "1"));
    must(set_named(&rig, "t", "n", "a", "2"));
    must(set_named(&rig, "t", "m/x y", "c", "3"));
    must(set_named(&rig, "s", "n", "a", "4"));
    check_evaluated(&rig, "s/n:a=4 t/m/x y:c=3 t/n:a=2 t/n:b=1 ");
    assert_int_equal(metric("firekeep_stored_rules_groups"), 4);
    must(set_named(&rig, "t", "n", "a", "5"));
    check_evaluated(&rig, "s/n:a=4 t/m/x y:c=3 t/n:a=5 t/n:b=1 ");
    rig_close(&rig);
    rig_open(&rig);
    check_evaluated(&rig, "s/n:a=4 t/m/x y:c=3 t/n:a=5 t/n:b=1 ");
    must(delete_group(&rig, "t", "n", "b", &why));
    check_evaluated(&rig, "s/n:a=4 t/m/x y:c=3 t/n:a=5 ");
    must(set_named(&rig, "t", "n", "z", "6"));
    must(delete_group(&rig, "t", "n", NULL, &why));
    check_evaluated(&rig, "s/n:a=4 t/m/x y:c=3 ");
    must(delete_group(&rig, "t", "m/x y", "c", &why));
    must(delete_group(&rig, "s", "n", NULL, &why));
    check_evaluated(&rig, "");
    assert_int_equal(metric("firekeep_stored_rules_groups"), 0);
    struct file_facts facts; /* of those who have none there is no file */
    assert_int_equal(env_facts(rig.env, "store/rules/t.groups", &facts, NULL), ERR_MISSING);
    rig_close(&rig);
    rig_open(&rig);
    check_evaluated(&rig, "");
    rig_fini(&rig);
}

static void
test_what_is_not_there_cannot_be_deleted(void **state)
{
    (void)state;
    struct rig rig;
    struct why why = {""};
    rig_init(&rig, 1);
    rig_open(&rig);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(delete_group(&rig, "t", "n", "b", &why), ERR_MISSING);
        assert_string_equal(why.text, "group does not exist");
        assert_int_equal(delete_group(&rig, "t", "m", NULL, &why), ERR_MISSING);
        assert_string_equal(why.text, "group namespace does not exist");
        must(set_named(&rig, "t", "n", "a", "1"));
        must(set_named(&rig, "s", "m", "b", "1"));
    }
    check_evaluated(&rig, "s/m:b=1 t/n:a=1 ");
    rig_fini(&rig);
}

static void
test_groups_are_shown_as_yaml(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    check_printed(&rig, "t", NULL, NULL, OK, "{}\n");
    check_printed(&rig, "t", "ns", NULL, OK, "{}\n");
    check_printed(&rig, "t", "ns", "a", ERR_MISSING, "group does not exist");
    must(set_named(&rig, "t", "ns", "a", "1"));
    must(set_named(&rig, "t", "ns", "b", "2"));
    must(set_named(&rig, "t", "m", "a", "3"));
    check_printed(&rig, "t", "ns", "a", OK,
                  "name: a\nrules:\n    - record: r\n      expr: \"1\"\n");
    check_printed(&rig, "t", "ns", "c", ERR_MISSING, "group does not exist");
    check_printed(&rig, "s", "ns", "a", ERR_MISSING, "group does not exist");
    check_printed(&rig, "t", "ns", NULL, OK,
                  "ns:\n"
                  "    - name: a\n      rules:\n          - record: r\n            expr: \"1\"\n"
                  "    - name: b\n      rules:\n          - record: r\n            expr: \"2\"\n");
    check_printed(&rig, "t", NULL, NULL, OK,
                  "m:\n"
                  "    - name: a\n      rules:\n          - record: r\n            expr: \"3\"\n"
                  "ns:\n"
                  "    - name: a\n      rules:\n          - record: r\n            expr: \"1\"\n"
                  "    - name: b\n      rules:\n          - record: r\n            expr: \"2\"\n");
    check_printed(&rig, "t", "o", NULL, OK, "{}\n");
    check_printed(&rig, "s", NULL, NULL, OK, "{}\n");
    rig_fini(&rig);
}

static void
test_what_is_wrong_is_refused_with_all_reasons(void **state)
{
    (void)state;
    static char long_name[STORED_NAME_BYTES_MAX + 2];
    char text[1000];
    memset(long_name, 'x', sizeof long_name - 1);
    struct rig rig;
    struct why why = {""};
    rig_init(&rig, 1);
    rig_open(&rig);
    assert_int_equal(set_group(&rig, "t", "n", "{name: a, rules: [{record: b}, {expr: c}]}", &why),
                     ERR_INPUT);
    assert_string_equal(why.text,
                        "body:1:19: group 'a', rule 1 'b': 'expr' is required\n"
                        "body:1:32: group 'a', rule 2: 'record' or 'alert' is required\n");
    assert_int_equal(set_group(&rig, "t", "n", "", &why), ERR_INPUT);
    assert_string_equal(why.text, "body:1:1: expected the keys of a group, got nothing\n");
    snprintf(text, sizeof text, "{name: %s, rules: [{record: b, expr: c}]}", long_name);
    assert_int_equal(set_group(&rig, "t", "n", text, &why), ERR_INPUT);
    assert_int_equal(strncmp(why.text, "expected a group name of 1 to 512 bytes of UTF-8", 48), 0);
    assert_int_equal(set_named(&rig, "t", long_name, "a", "1"), ERR_INPUT);
    assert_int_equal(set_named(&rig, "t", "\xff", "a", "1"), ERR_INPUT);
    assert_int_equal(set_named(&rig, "t", "", "a", "1"), ERR_INPUT);
    check_evaluated(&rig, "");
    rig_fini(&rig);
}

static void
test_number_and_size_are_limited(void **state)
{
    (void)state;
    struct rig rig;
    struct why why = {""};
    rig_init(&rig, 1);
    rig.limits = (struct stored_limits){.groups_max = 2, .bytes_max = 45};
    rig_open(&rig);
    must(set_named(&rig, "t", "n", "a", "1"));
    must(set_named(&rig, "t", "m", "a", "1"));
    assert_int_equal(set_group(&rig, "t", "n", "{name: b, rules: [{record: b, expr: c}]}", &why),
                     ERR_INPUT);
    assert_string_equal(why.text,
                        "at most 2 groups of a tenant can be stored (rules.api_max_groups)");
    must(set_named(&rig, "t", "n", "a", "2")); /* in the place of one */
    must(set_named(&rig, "s", "n", "b", "1"));
    assert_int_equal(set_named(&rig, "t", "n", "a", "100000"), ERR_LIMIT);
    check_evaluated(&rig, "s/n:b=1 t/m:a=1 t/n:a=2 ");
    rig_fini(&rig);
}

static void
test_memory_is_limited(void **state)
{
    (void)state;
    struct rig rig;
    unsigned count = 0;
    rig_init(&rig, 1);
    rig.memory_bytes = 256 * 1024;
    rig_open(&rig);
    enum err e = OK;
    while (e == OK) {
        char name[16];
        snprintf(name, sizeof name, "g%u", count);
        e = set_named(&rig, count % 2 == 0 ? "s" : "t", "n", name, "1");
        count += e == OK;
        assert_true(count < 400);
    }
    assert_int_equal(e, ERR_NOMEM);
    assert_true(count > 20);
    assert_int_equal(metric("firekeep_stored_rules_groups"), count);
    rig_close(&rig);
    rig.memory_bytes = 1024;
    rig_open(&rig); /* what was stored has room, and can be deleted */
    assert_int_equal(metric("firekeep_stored_rules_groups"), count);
    assert_int_equal(set_named(&rig, "s", "n", "more", "1"), ERR_NOMEM);
    struct why why = {""};
    must(delete_group(&rig, "s", "n", "g0", &why));
    must(delete_group(&rig, "t", "n", NULL, &why));
    rig_fini(&rig);
}

static void
test_a_change_shows_only_when_it_is_committed(void **state)
{
    (void)state;
    struct rig rig;
    struct why why = {""};
    struct buf reasons;
    struct stored_change *change;
    struct rules_edit edit = {RULES_SET, bytes_of_text("t"), "n", NULL,
                              bytes_of_text("{name: b, rules: [{record: r, expr: '2'}]}")};
    rig_init(&rig, 1);
    rig_open(&rig);
    buf_init(&reasons, NULL, 4096);
    must(set_named(&rig, "t", "n", "a", "1"));
    for (unsigned round = 0; round < 2; round++) {
        must(stored_rules_prepare(rig.stored, &edit, &rig.limits, &reasons, &change, &why));
        assert_string_equal(stored_change_name(change), "b");
        assert_string_equal(evaluated(stored_change_groups(change)), "t/n:a=1 t/n:b=2 ");
        check_evaluated(&rig, "t/n:a=1 ");
        check_printed(&rig, "t", "n", "b", ERR_MISSING, "group does not exist");
        if (round == 0)
            stored_rules_abandon(change);
        else
            must(stored_rules_write(change, &why));
        check_evaluated(&rig, "t/n:a=1 ");
    }
    stored_rules_commit(change);
    check_evaluated(&rig, "t/n:a=1 t/n:b=2 ");
    buf_fini(&reasons);
    rig_fini(&rig);
}

static void
test_without_tenancy_only_the_one_tenant_is_read(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    must(set_named(&rig, "t", "n", "a", "1"));
    must(set_named(&rig, "anonymous", "n", "a", "2"));
    rig_close(&rig);
    rig.tenancy = false;
    rig_open(&rig);
    check_evaluated(&rig, "anonymous/n:a=2 ");
    must(set_named(&rig, "anonymous", "n", "a", "3"));
    rig_close(&rig);
    rig.tenancy = true;
    rig_open(&rig);
    check_evaluated(&rig, "anonymous/n:a=3 t/n:a=1 ");
    rig_fini(&rig);
}

/* --- damage ----------------------------------------------------------------------------------- */

static void
test_damage_stays_with_its_tenant_and_is_told(void **state)
{
    (void)state;
    static const char sentence[] =
        "cannot read the stored rules of tenant t: the file is damaged: its header or its checksum "
        "is wrong";
    struct rig rig;
    struct why why = {""};
    rig_init(&rig, 1);
    rig_open(&rig);
    must(set_named(&rig, "s", "n", "a", "1"));
    must(set_named(&rig, "t", "n", "a", "2"));
    must(set_named(&rig, "u", "n", "a", "3"));
    rig_close(&rig);
    must(sim_env_damage(rig.sim, "store/rules/t.groups", 40));
    uint64_t errors = log_count(LOG_ERROR);
    rig_open(&rig);
    assert_int_equal(log_count(LOG_ERROR), errors + 1);
    check_evaluated(&rig, "s/n:a=1 u/n:a=3 ");
    assert_int_equal(metric("firekeep_stored_rules_unreadable_tenants"), 1);
    check_printed(&rig, "t", NULL, NULL, ERR_CORRUPT, sentence);
    check_printed(&rig, "t", "n", "a", ERR_CORRUPT, sentence);
    assert_int_equal(delete_group(&rig, "t", "n", "a", &why), ERR_CORRUPT);
    assert_string_equal(why.text, sentence);
    must(set_named(&rig, "s", "n", "b", "4")); /* others are served, and the file stays */
    struct file_facts before, after;
    must(env_facts(rig.env, "store/rules/t.groups", &before, NULL));
    assert_int_equal(set_named(&rig, "t", "n", "b", "("), ERR_INPUT);
    must(env_facts(rig.env, "store/rules/t.groups", &after, NULL));
    assert_int_equal(before.number, after.number);
    must(set_named(&rig, "t", "n", "b", "5"));
    check_evaluated(&rig, "s/n:a=1 s/n:b=4 t/n:b=5 u/n:a=3 ");
    assert_int_equal(metric("firekeep_stored_rules_unreadable_tenants"), 0);
    must(env_facts(rig.env, "store/rules/t.groups.damaged", &after, NULL));
    assert_int_equal(before.number, after.number);
    rig_close(&rig);
    sim_env_power_loss(rig.sim);
    rig_open(&rig);
    check_evaluated(&rig, "s/n:a=1 s/n:b=4 t/n:b=5 u/n:a=3 ");
    must(env_facts(rig.env, "store/rules/t.groups.damaged", &after, NULL));
    rig_fini(&rig);
}

/* What is no file is not taken for no groups. */
static void
test_a_directory_in_the_place_of_a_file_is_told(void **state)
{
    (void)state;
    static const char sentence[] = "cannot read the stored rules of tenant t: cannot open "
                                   "store/rules/t.groups: Is a directory";
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    must(set_named(&rig, "s", "n", "a", "1"));
    rig_close(&rig);
    must(env_mkdir(rig.env, "store/rules/t.groups", NULL));
    uint64_t errors = log_count(LOG_ERROR);
    rig_open(&rig);
    assert_int_equal(log_count(LOG_ERROR), errors + 1);
    assert_int_equal(metric("firekeep_stored_rules_unreadable_tenants"), 1);
    check_printed(&rig, "t", NULL, NULL, ERR_IO, sentence);
    check_evaluated(&rig, "s/n:a=1 ");
    must(set_named(&rig, "t", "n", "b", "5"));
    rig_close(&rig);
    sim_env_power_loss(rig.sim);
    rig_open(&rig);
    check_evaluated(&rig, "s/n:a=1 t/n:b=5 ");
    rig_fini(&rig);
}

static void
put_file(struct rig *rig, const char *tenant, uint32_t version, const char *name, const char *text)
{
    struct stored_text group = {bytes_of_text("n"), bytes_of_text(name), bytes_of_text(text)};
    struct stored_text good = {bytes_of_text("o"), bytes_of_text("b"),
                               bytes_of_text("name: b\nrules: [{record: r, expr: '9'}]\n")};
    struct buf file;
    buf_init(&file, NULL, 1 << 20);
    stored_begin(bytes_of_text(tenant), 2, &file);
    stored_add(&group, &file);
    stored_add(&good, &file);
    stored_end(&file);
    must(buf_error(&file));
    if (version != 1) {
        static const uint8_t magic[8] = {'F', 'K', 'R', 'U', 'L', 'E', 'S', 0};
        framed_end(&file, magic, version);
    }
    must(env_mkdir(rig->env, "store/rules", NULL));
    must(stored_write(rig->env, "store/rules", tenant, buf_bytes(&file), NULL));
    buf_fini(&file);
}

static void
test_a_file_of_a_newer_version_is_not_replaced(void **state)
{
    (void)state;
    struct rig rig;
    struct why why = {""};
    rig_init(&rig, 1);
    put_file(&rig, "t", 2, "a", "");
    rig_open(&rig);
    check_evaluated(&rig, "");
    assert_int_equal(metric("firekeep_stored_rules_unreadable_tenants"), 1);
    assert_int_equal(set_group(&rig, "t", "n", "{name: a, rules: [{record: b, expr: c}]}", &why),
                     ERR_UNSUPPORTED);
    assert_string_equal(why.text,
                        "cannot read the stored rules of tenant t: version 2 of the file is newer "
                        "than version 1, which this program reads; use a newer Firekeep");
    rig_fini(&rig);
}

static void
test_a_group_that_is_not_accepted_is_kept_and_shown(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"a", "name: a\nrules: [{record: b, expr: 'sum('}]\n"},
        {"a", "name: c\nrules: [{record: b, expr: d}]\n"},
        {"a", ""},
        {"a", "\xff"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        struct why why = {""};
        rig_init(&rig, 1);
        put_file(&rig, "t", 1, cases[i].name, cases[i].text);
        rig_open(&rig);
        check_evaluated(&rig, "t/o:b=9 ");
        assert_int_equal(metric("firekeep_stored_rules_groups"), 2);
        assert_int_equal(metric("firekeep_stored_rules_invalid_groups"), 1);
        assert_int_equal(metric("firekeep_stored_rules_unreadable_tenants"), 0);
        check_printed(&rig, "t", "n", "a", OK, cases[i].text);
        must(set_named(&rig, "t", "o", "c", "1")); /* which does not lose it */
        rig_close(&rig);
        rig_open(&rig);
        check_printed(&rig, "t", "n", "a", OK, cases[i].text);
        must(set_named(&rig, "t", "n", "a", "2"));
        check_evaluated(&rig, "t/n:a=2 t/o:b=9 t/o:c=1 ");
        assert_int_equal(metric("firekeep_stored_rules_invalid_groups"), 0);
        must(delete_group(&rig, "t", "n", "a", &why));
        rig_fini(&rig);
    }
}

static void
test_files_that_cannot_be_read_do_not_hinder_the_start(void **state)
{
    (void)state;
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct rig rig;
        struct why why = {""};
        rig_init(&rig, nth);
        rig_open(&rig);
        must(set_named(&rig, "s", "n", "a", "1"));
        must(set_named(&rig, "t", "n", "a", "2"));
        rig_close(&rig);
        fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, false});
        enum err e = try_open(&rig, &why);
        fired = fault_env_fired(rig.fe);
        fault_env_disarm(rig.fe);
        if (e == OK) {
            uint64_t unreadable = metric("firekeep_stored_rules_unreadable_tenants");
            assert_int_equal(unreadable + metric("firekeep_stored_rules_groups"), 2);
        } else { /* the directory */
            assert_int_equal(e, ERR_IO);
            assert_string_not_equal(why.text, "");
        }
        rig_fini(&rig);
        assert_true(nth < 100);
    }
}

/* --- failures --------------------------------------------------------------------------------- */

enum { EDITS = 6 };

/* The n-th edit of a story, and what is evaluated after it. */
static enum err
edit_number(struct rig *rig, unsigned n)
{
    struct why why = {""};
    enum err e = OK;
    switch (n) {
    case 0:
        e = set_named(rig, "t", "n", "a", "1");
        break;
    case 1:
        e = set_named(rig, "t", "n", "b", "2");
        break;
    case 2:
        e = set_named(rig, "s", "m", "c", "3");
        break;
    case 3:
        e = set_named(rig, "t", "n", "a", "4");
        break;
    case 4:
        e = delete_group(rig, "t", "n", NULL, &why);
        break;
    default:
        e = delete_group(rig, "s", "m", "c", &why);
        break;
    }
    return e;
}

static const char *const after[EDITS + 1] = {
    "",
    "t/n:a=1 ",
    "t/n:a=1 t/n:b=2 ",
    "s/m:c=3 t/n:a=1 t/n:b=2 ",
    "s/m:c=3 t/n:a=4 t/n:b=2 ",
    "s/m:c=3 ",
    "",
};

/* An edit that fails changes nothing, and can be made again. False: the fault did not fire. */
static bool
live_with_fault(struct fault fault)
{
    struct rig rig;
    bool failed = false;
    rig_init(&rig, fault.nth);
    rig_open(&rig);
    fault_env_arm(rig.fe, fault);
    for (unsigned n = 0; n < EDITS; n++) {
        while (edit_number(&rig, n) != OK) {
            failed = true;
            check_evaluated(&rig, after[n]);
            fault_env_disarm(rig.fe);
        }
        check_evaluated(&rig, after[n + 1]);
    }
    bool fired = fault_env_fired(rig.fe);
    assert_true(fired || !failed);
    rig_fini(&rig);
    return fired;
}

static void
test_an_edit_that_fails_changes_nothing(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (kind == FAULT_THREAD) continue;
        for (unsigned forever = 0; forever < 2; forever++) {
            unsigned nth = 1;
            while (live_with_fault((struct fault){(enum fault_kind)kind, nth, forever != 0})) {
                assert_true(nth++ < 500);
            }
        }
    }
}

/* What was acknowledged is there after a loss of power; of the edit that failed, nothing or all. */
static void
test_what_is_acknowledged_outlives_a_loss_of_power(void **state)
{
    (void)state;
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct rig rig;
        unsigned n = 0;
        rig_init(&rig, nth * 7);
        rig_open(&rig);
        fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, true}); /* as if it ended there */
        while (n < EDITS && edit_number(&rig, n) == OK) {
            n++;
        }
        fired = fault_env_fired(rig.fe);
        fault_env_disarm(rig.fe);
        rig_close(&rig);
        sim_env_power_loss(rig.sim);
        rig_open(&rig);
        const char *is = evaluated(stored_rules_groups(rig.stored));
        if (strcmp(is, after[n]) != 0 && (n == EDITS || strcmp(is, after[n + 1]) != 0)) {
            fail_msg("call %u: after %u edits: %s", (unsigned)nth, n, is);
        }
        for (; n < EDITS; n++) { /* and goes on; a deletion may have happened */
            enum err e = edit_number(&rig, n);
            assert_true(e == OK || e == ERR_MISSING);
            check_evaluated(&rig, after[n + 1]);
        }
        rig_fini(&rig);
        assert_true(nth < 500);
    }
}

/* Somebody takes the directory away while the server runs. */
static void
test_the_directory_is_made_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    must(set_named(&rig, "s", "n", "a", "1"));
    must(set_named(&rig, "t", "n", "a", "2"));
    must(env_remove_tree(rig.env, "store/rules", NULL));
    must(set_named(&rig, "t", "n", "b", "3"));
    must(env_remove_tree(rig.env, "store/rules", NULL));
    must(delete_group(&rig, "s", "n", "a", NULL));
    must(set_named(&rig, "t", "n", "c", "4"));
    rig_close(&rig);
    sim_env_power_loss(rig.sim);
    rig_open(&rig);
    check_evaluated(&rig, "t/n:a=2 t/n:b=3 t/n:c=4 ");
    must(env_remove_tree(rig.env, "store", NULL));
    /* Not ERR_MISSING, which blames the client. */
    assert_int_equal(set_named(&rig, "t", "n", "b", "5"), ERR_IO);
    check_evaluated(&rig, "t/n:a=2 t/n:b=3 t/n:c=4 ");
    rig_fini(&rig);
}

static void
test_a_full_disk_changes_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    must(set_named(&rig, "t", "n", "a", "1"));
    sim_env_set_capacity(rig.sim, sim_env_used_bytes(rig.sim));
    assert_int_equal(set_named(&rig, "t", "n", "a", "2"), ERR_FULL);
    assert_int_equal(set_named(&rig, "s", "n", "a", "2"), ERR_FULL);
    check_evaluated(&rig, "t/n:a=1 ");
    rig_close(&rig);
    sim_env_power_loss(rig.sim);
    rig_open(&rig);
    check_evaluated(&rig, "t/n:a=1 ");
    sim_env_set_capacity(rig.sim, 1 << 24);
    must(set_named(&rig, "t", "n", "a", "2"));
    check_evaluated(&rig, "t/n:a=2 ");
    rig_fini(&rig);
}

static void
test_refused_allocations_change_nothing(void **state)
{
    (void)state;
    for (unsigned n = 0; n < EDITS; n++) {
        bool fired = true;
        for (unsigned nth = 1; fired; nth++) {
            struct rig rig;
            rig_init(&rig, 1);
            rig_open(&rig);
            for (unsigned i = 0; i < n; i++) {
                must(edit_number(&rig, i));
            }
            mem_fail_nth(nth, false);
            enum err e = edit_number(&rig, n);
            fired = mem_fail_fired();
            mem_fail_nth(0, false);
            assert_int_equal(e, fired ? ERR_NOMEM : OK);
            check_evaluated(&rig, after[fired ? n : n + 1]);
            rig_fini(&rig);
            assert_true(nth < 1000);
        }
    }
}

static void
test_refused_allocations_at_the_start_are_reported(void **state)
{
    (void)state;
    struct rig rig;
    bool fired = true;
    rig_init(&rig, 1);
    rig_open(&rig);
    for (unsigned n = 0; n < 3; n++) {
        must(edit_number(&rig, n));
    }
    rig_close(&rig);
    for (unsigned nth = 1; fired; nth++) {
        struct why why = {""};
        mem_fail_nth(nth, false);
        enum err e = try_open(&rig, &why);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (fired) assert_string_equal(why.text, "not enough memory for rules");
        rig_close(&rig);
        assert_true(nth < 1000);
    }
    rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_are_set_replaced_and_deleted),
        cmocka_unit_test(test_what_is_not_there_cannot_be_deleted),
        cmocka_unit_test(test_groups_are_shown_as_yaml),
        cmocka_unit_test(test_what_is_wrong_is_refused_with_all_reasons),
        cmocka_unit_test(test_number_and_size_are_limited),
        cmocka_unit_test(test_memory_is_limited),
        cmocka_unit_test(test_a_change_shows_only_when_it_is_committed),
        cmocka_unit_test(test_without_tenancy_only_the_one_tenant_is_read),
        cmocka_unit_test(test_damage_stays_with_its_tenant_and_is_told),
        cmocka_unit_test(test_a_directory_in_the_place_of_a_file_is_told),
        cmocka_unit_test(test_a_file_of_a_newer_version_is_not_replaced),
        cmocka_unit_test(test_a_group_that_is_not_accepted_is_kept_and_shown),
        cmocka_unit_test(test_files_that_cannot_be_read_do_not_hinder_the_start),
        cmocka_unit_test(test_an_edit_that_fails_changes_nothing),
        cmocka_unit_test(test_what_is_acknowledged_outlives_a_loss_of_power),
        cmocka_unit_test(test_the_directory_is_made_again),
        cmocka_unit_test(test_a_full_disk_changes_nothing),
        cmocka_unit_test_teardown(test_refused_allocations_change_nothing, stop_failing),
        cmocka_unit_test_teardown(test_refused_allocations_at_the_start_are_reported, stop_failing),
    };
    return cmocka_run_group_tests(tests, mute, NULL);
}
