/* verify_rules_test.c - verification of stored rules and checkpoints. */
#include "lib/test.h"

#include <stdio.h>

#include "base/fields.h"
#include "cli/inspect/inspect.h"
#include "rules/schedule/checkpoint.h"
#include "rules/stored/stored_file.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

struct rig {
    struct sim_env *sim;
    struct env *env;
    char said[2000]; /* one line each */
    struct verify_rules_report report;
};

static void
rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    must(sim_env_new(1, &rig->sim));
    rig->env = sim_env_env(rig->sim);
    must(env_mkdir(rig->env, "d", NULL));
}

static void
say(void *context, const char *line)
{
    struct rig *rig = context;
    size_t used = strlen(rig->said);
    snprintf(rig->said + used, sizeof rig->said - used, "%s\n", line);
}

static enum err
verify(struct rig *rig, struct why *why)
{
    struct verify_rules_options options = {.env = rig->env, .dir = "d", .say = say, .context = rig};
    rig->said[0] = '\0';
    return verify_rules(&options, &rig->report, why);
}

static void
put_group(struct rig *rig, const char *tenant, const char *name, const char *text)
{
    struct stored_text group = {bytes_of_text("n"), bytes_of_text(name), bytes_of_text(text)};
    struct buf file;
    buf_init(&file, NULL, 1 << 20);
    stored_begin(bytes_of_text(tenant), 1, &file);
    stored_add(&group, &file);
    stored_end(&file);
    must(buf_error(&file));
    must(env_mkdir(rig->env, "d/rules", NULL));
    must(stored_write(rig->env, "d/rules", tenant, buf_bytes(&file), NULL));
    buf_fini(&file);
}

UNIT_TEST(test_groups_that_are_well_are_counted)
{
    struct rig rig;
    struct why why = {""};
    rig_init(&rig);
    must(verify(&rig, &why)); /* nothing has been stored */
    assert_int_equal(rig.report.tenants, 0);
    put_group(&rig, "s", "a", "name: a\nrules: [{record: b, expr: c}]\n");
    put_group(&rig, "t", "a", "name: a\nrules: [{record: b, expr: c}]\n");
    must(verify(&rig, &why));
    assert_string_equal(rig.said, "");
    assert_int_equal(rig.report.tenants, 2);
    assert_int_equal(rig.report.groups, 2);
    assert_int_equal(rig.report.wrong, 0);
    sim_env_free(rig.sim);
}

UNIT_TEST(test_a_rule_that_is_wrong_is_named)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"name: a\nrules: [{record: b, expr: '('}]\n",
         "stored rules of tenant t: namespace 'n', group 'a': group:2:27: group 'a', rule 1 'b': "
         "invalid expression: 1:2: parse error: unclosed left parenthesis\n"},
        {"name: x\nrules: [{record: b, expr: c}]\n",
         "stored rules of tenant t: namespace 'n', group 'a': its text is that of 'x'\n"},
    };
    struct rig rig;
    struct why why = {""};
    rig_init(&rig);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_group(&rig, "t", "a", cases[i].text);
        must(verify(&rig, &why));
        assert_string_equal(rig.said, cases[i].said);
        assert_int_equal(rig.report.wrong, 1);
    }
    must(sim_env_damage(rig.sim, "d/rules/t.groups", 30));
    must(verify(&rig, &why));
    assert_string_equal(rig.said, "stored rules of tenant t: d/rules/t.groups: the file is "
                                  "damaged: its header or its checksum is wrong\n");
    assert_int_equal(rig.report.wrong, 1);
    sim_env_free(rig.sim);
}

static void
put_state(struct rig *rig, uint32_t version)
{
    static const uint8_t magic[8] = {'F', 'K', 'R', 'S', 'T', 'A', 'T', 'E'};
    const struct checkpoint_head head = {.written_ns = 1};
    const struct checkpoint_record tenant = {CHECKPOINT_TENANT, .tenant.name = bytes_of_text("t")};
    struct checkpoint_writer writer;
    struct buf file;
    buf_init(&file, NULL, CHECKPOINT_BYTES_MAX);
    checkpoint_begin(&writer, &head, &file);
    checkpoint_put(&writer, &tenant);
    must(checkpoint_end(&writer, NULL));
    framed_end(&file, magic, version);
    must(checkpoint_replace(rig->env, "d", buf_bytes(&file), NULL));
    buf_fini(&file);
}

UNIT_TEST(test_a_state_that_cannot_be_read_is_named)
{
    struct rig rig;
    struct why why = {""};
    rig_init(&rig);
    put_state(&rig, 1);
    must(verify(&rig, &why));
    assert_string_equal(rig.said, "");
    assert_int_equal(rig.report.wrong, 0);
    assert_int_equal(rig.report.tenants, 0); /* tenants with stored rules */
    must(sim_env_damage(rig.sim, "d/rules/state", 30));
    must(verify(&rig, &why));
    assert_string_equal(rig.said, "state of rules: d/rules/state: the file is damaged: its header "
                                  "or its checksum is wrong\n");
    assert_int_equal(rig.report.wrong, 1);
    put_state(&rig, 3);
    must(verify(&rig, &why));
    assert_string_equal(rig.said,
                        "state of rules: d/rules/state: version 3 of the file is newer than "
                        "version 2, which this program reads; use a newer Firekeep\n");
    assert_int_equal(rig.report.wrong, 1);
    sim_env_free(rig.sim);
}

UNIT_TEST(test_refused_allocations_are_reported)
{
    struct rig rig;
    rig_init(&rig);
    put_group(&rig, "t", "a", "name: a\nrules: [{record: b, expr: c}]\n");
    put_state(&rig, 1);
    bool fired = true;
    for (unsigned nth = 1; fired; nth++) {
        struct why why = {""};
        mem_fail_nth(nth, false);
        enum err e = verify(&rig, &why);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        assert_string_equal(rig.said, "");
        assert_true(nth < 1000);
    }
    sim_env_free(rig.sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_that_are_well_are_counted),
        cmocka_unit_test(test_a_rule_that_is_wrong_is_named),
        cmocka_unit_test(test_a_state_that_cannot_be_read_is_named),
        cmocka_unit_test(test_refused_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
