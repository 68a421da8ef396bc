/*
 * stored_rules_test.c - edits of stored rules on a simulated machine: committed edits survive a
 * power loss, failed ones change nothing, and damage affects only its tenant.
 *
 * Commands of scripts:
 *     set TENANT NAMESPACE NAME EXPRESSION, text TENANT NAMESPACE YAML, del TENANT NAMESPACE
 * [NAME]: print an error; groups: print TENANT/NAMESPACE:NAME=EXPRESSION of all that is evaluated;
 *     show TENANT [NAMESPACE [NAME]], metric PREFIX, errors (lines in the log since the last time),
 *     file PATH (missing, or whether it is another one than the last);
 *     reopen, power (is lost), mkdir|rmtree|damage PATH, tenancy on|off, most GROUPS BYTES,
 *     memory BYTES, disk full|free.
 * "+" in a word is a blank, LONG a name of one byte too many, FF a byte that is not UTF-8, NONE no
 * bytes.
 */
#include "app/rules/ruler.h"
#include "base/fields.h"
#include "base/log.h"
#include "lib/failing_memory.h"
#include "lib/script.h"
#include "lib/test.h"
#include "rules/stored/stored_file.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

/* --- a machine -------------------------------------------------------------------------------- */

static struct {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct budget memory;
    uint64_t memory_bytes;
    bool tenancy;
    struct stored_limits limits;
    struct stored_rules *stored; /* NULL: closed */
    struct why why;              /* reason of the last error */
    uint64_t errors;             /* log lines read so far */
    uint64_t file_number;        /* number of the last file shown */
} rig;

static void
rig_init(uint64_t seed)
{
    memset(&rig, 0, sizeof rig);
    rig.tenancy = true;
    rig.limits = (struct stored_limits){.groups_max = 100, .bytes_max = 1 << 20};
    rig.errors = log_count(LOG_ERROR);
    rig.file_number = 1;
    metric_reset_all(); /* removes those of a failed test */
    must(sim_env_new(seed, &rig.sim));
    must(fault_env_new(sim_env_env(rig.sim), &rig.fe));
    rig.env = fault_env_env(rig.fe);
    budget_init(&rig.memory, "test", 0, NULL);
    must(env_mkdir(rig.env, "store", NULL));
    must(env_syncdir(rig.env, ".", NULL));
}

static enum err
try_open(void)
{
    struct stored_rules_options options = {.env = rig.env,
                                           .storage_path = "store",
                                           .memory = &rig.memory,
                                           .memory_bytes = rig.memory_bytes,
                                           .tenancy = rig.tenancy};
    rig.why.text[0] = '\0';
    enum err e = stored_rules_open(&options, &rig.stored, &rig.why);
    if (e) rig.stored = NULL;
    return e;
}

static void
rig_close(void)
{
    stored_rules_free(rig.stored);
    rig.stored = NULL;
    assert_int_equal(budget_used(&rig.memory), 0);
}

static void
reopen(bool power_is_lost)
{
    rig_close();
    if (power_is_lost) sim_env_power_loss(rig.sim);
    must(try_open());
    assert_string_equal(rig.why.text, "");
}

static void
rig_fini(void)
{
    rig_close();
    fault_env_free(rig.fe);
    sim_env_free(rig.sim);
}

/* Applies an edit as the server does, without changing the evaluated groups. */
static enum err
apply(const struct rules_edit *edit)
{
    struct stored_change *change = NULL;
    struct buf reasons;
    rig.why.text[0] = '\0';
    buf_init(&reasons, NULL, 4096);
    enum err e = stored_rules_prepare(rig.stored, edit, &rig.limits, &reasons, &change, &rig.why);
    if (e == OK) e = stored_rules_write(change, &rig.why);
    if (e)
        stored_rules_abandon(change);
    else
        stored_rules_commit(change);
    if (reasons.size > 0) {
        assert_int_equal(e, ERR_INPUT);
        assert_int_equal(edit->verb, RULES_SET);
        snprintf(rig.why.text, sizeof rig.why.text, "%.*s", (int)reasons.size, (char *)reasons.at);
    }
    buf_fini(&reasons);
    assert_true((e == OK) == (rig.why.text[0] == '\0') || edit->verb != RULES_SET);
    return e;
}

/* --- commands --------------------------------------------------------------------------------- */

/* Returns the next word as a name; NULL at the end. */
static const char *
name_of(char **rest)
{
    static char long_name[STORED_NAME_BYTES_MAX + 2];
    char *at = script_word(rest);
    memset(long_name, 'x', sizeof long_name - 1);
    for (char *c = at; (c = strchr(c, '+')) != NULL; *c = ' ') {
    }
    if (strcmp(at, "LONG") == 0) return long_name;
    if (strcmp(at, "FF") == 0) return "\xff";
    return strcmp(at, "NONE") == 0 ? "" : at[0] == '\0' ? NULL : at;
}

/* Runs set, text or del. */
static enum err
edit(const char *command)
{
    char text[2000], group[1000];
    snprintf(text, sizeof text, "%s", command);
    char *rest = text, *verb = script_word(&rest);
    bool is_set = script_is(verb, "set"), is_text = script_is(verb, "text");
    if (!is_set && !is_text && !script_is(verb, "del")) fail_msg("unknown command %s", verb);
    struct rules_edit made = {RULES_SET, bytes_of_text(name_of(&rest)), NULL, NULL, {NULL, 0}};
    made.namespace = name_of(&rest);
    if (is_set) {
        const char *name = name_of(&rest);
        snprintf(group, sizeof group, "{name: '%s', rules: [{record: r, expr: '%s'}]}", name, rest);
        made.text = bytes_of_text(group);
    } else if (is_text) {
        made.text = bytes_of_text(rest);
    } else {
        made.group = name_of(&rest);
        made.verb = made.group == NULL ? RULES_DELETE_NAMESPACE : RULES_DELETE;
    }
    return apply(&made);
}

/* Prints all evaluated rules as "TENANT/NAMESPACE:NAME=EXPRESSION", with blanks between. */
static const char *
evaluated(struct stored_groups groups)
{
    static char text[4096];
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < groups.tenant_count; i++) {
        const struct rule_set_tenant *t = &groups.tenants[i];
        for (uint32_t k = 0; k < t->group_count; k++) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s/%s:%s=%s",
                                     used > 0 ? " " : "", t->tenant, t->groups[k].file,
                                     t->groups[k].name, t->groups[k].rules[0].expression);
            assert_true(used < sizeof text);
        }
    }
    return text;
}

static void
check_evaluated(const char *want)
{
    assert_string_equal(evaluated(stored_rules_groups(rig.stored)), want);
}

static void
print_failure(enum err e)
{
    char text[600];
    snprintf(text, sizeof text, "%s: %s", err_word(e), rig.why.text);
    if (e) script_print(text);
}

static void
show(char *rest)
{
    struct rules_wanted wanted = {.tenant = bytes_of_text(script_word(&rest))};
    struct buf text;
    wanted.namespace = name_of(&rest);
    wanted.group = name_of(&rest);
    buf_init(&text, NULL, 1 << 20);
    enum err e = stored_rules_print(rig.stored, &wanted, &text, &rig.why);
    buf_put_u8(&text, 0);
    if (e == OK) script_print((const char *)text.at);
    print_failure(e);
    buf_fini(&text);
}

static void
look_at_file(const char *path)
{
    struct file_facts facts = {.number = 0};
    enum err e = env_facts(rig.env, path, &facts, NULL);
    script_print(e ? err_word(e) : facts.number == rig.file_number ? "same" : "other");
    rig.file_number = facts.number;
}

void
script_command(const char *name, char *rest)
{
    uint64_t errors = rig.errors, free_bytes = 1 << 24;
    if (script_is(name, "groups")) script_print(evaluated(stored_rules_groups(rig.stored)));
    if (script_is(name, "show")) show(rest);
    if (script_is(name, "metric")) script_print_metrics("firekeep_stored_rules_", rest);
    if (script_is(name, "errors"))
        script_print_number((rig.errors = log_count(LOG_ERROR)) - errors);
    if (script_is(name, "file")) look_at_file(rest);
    if (script_is(name, "reopen")) reopen(false);
    if (script_is(name, "power")) reopen(true);
    if (script_is(name, "mkdir")) must(env_mkdir(rig.env, rest, NULL));
    if (script_is(name, "rmtree")) must(env_remove_tree(rig.env, rest, NULL));
    if (script_is(name, "damage")) must(sim_env_damage(rig.sim, rest, 40));
    if (script_is(name, "tenancy")) rig.tenancy = script_is(rest, "on");
    if (script_is(name, "most"))
        sscanf(rest, "%u %lu", &rig.limits.groups_max, &rig.limits.bytes_max);
    if (script_is(name, "memory")) rig.memory_bytes = strtoull(rest, NULL, 10);
    if (script_is(name, "disk")) {
        sim_env_set_capacity(rig.sim,
                             script_is(rest, "full") ? sim_env_used_bytes(rig.sim) : free_bytes);
    }
    if (script.is_known) return;
    char command[2000];
    snprintf(command, sizeof command, "%s %s", name, rest);
    print_failure(edit(command));
}

static int
mute(void **state)
{
    (void)state;
    log_to_fd(-1);
    return 0;
}

int
script_setup(void **state)
{
    (void)state;
    rig_init(1);
    must(try_open());
    return 0;
}

int
script_teardown(void **state)
{
    (void)state;
    mem_fail_nth(0, false);
    script_forget();
    rig_fini();
    return 0;
}

/* --- edits ------------------------------------------------------------------------------------ */

UNIT_TEST(test_memory_is_limited)
{
    unsigned count = 0;
    enum err e = OK;
    script_play("memory 262144 | reopen");
    for (; e == OK; count += e == OK) {
        char text[64];
        snprintf(text, sizeof text, "set %s n g%u 1", count % 2 == 0 ? "s" : "t", count);
        e = edit(text);
        assert_true(count < 400);
    }
    assert_int_equal(e, ERR_NOMEM);
    assert_true(count > 20);
    script_playf("metric groups => groups %u", count);
    script_play("memory 1024 | reopen"); /* stored rules fit, and can be deleted */
    script_playf("metric groups => groups %u", count);
    assert_int_equal(edit("set s n more 1"), ERR_NOMEM);
    script_play("del s n g0 | del t n");
}

UNIT_TEST(test_a_change_shows_only_when_it_is_committed)
{
    struct buf reasons;
    struct stored_change *change;
    struct rules_edit made = {RULES_SET, bytes_of_text("t"), "n", NULL,
                              bytes_of_text("{name: b, rules: [{record: r, expr: '2'}]}")};
    buf_init(&reasons, NULL, 4096);
    script_play("set t n a 1");
    for (unsigned round = 0; round < 2; round++) {
        must(stored_rules_prepare(rig.stored, &made, &rig.limits, &reasons, &change, &rig.why));
        assert_string_equal(stored_change_name(change), "b");
        assert_string_equal(evaluated(stored_change_groups(change)), "t/n:a=1 t/n:b=2");
        script_play("groups | show t n b => t/n:a=1; missing: group does not exist");
        if (round == 0)
            stored_rules_abandon(change);
        else
            must(stored_rules_write(change, &rig.why));
        check_evaluated("t/n:a=1");
    }
    stored_rules_commit(change);
    check_evaluated("t/n:a=1 t/n:b=2");
    buf_fini(&reasons);
}

/* --- files ------------------------------------------------------------------------------------ */

/* Writes a file of the tenant t with a group n/a of this text, in which "~" is a line
 * feed, and o/b. */
static void
put_file(uint32_t version, const char *shown)
{
    static const uint8_t magic[8] = {'F', 'K', 'R', 'U', 'L', 'E', 'S', 0};
    char text[100];
    struct buf file;
    strcpy(text, shown);
    for (char *c = text; (c = strchr(c, '~')) != NULL; *c = '\n') {
    }
    const struct stored_text group = {bytes_of_text("n"), bytes_of_text("a"), bytes_of_text(text)};
    const struct stored_text good = {bytes_of_text("o"), bytes_of_text("b"),
                                     bytes_of_text("name: b\nrules: [{record: r, expr: '9'}]\n")};
    buf_init(&file, NULL, 1 << 20);
    stored_begin(bytes_of_text("t"), 2, &file);
    stored_add(&group, &file);
    stored_add(&good, &file);
    stored_end(&file);
    must(buf_error(&file));
    if (version != 1) framed_end(&file, magic, version);
    must(env_mkdir(rig.env, "store/rules", NULL));
    must(stored_write(rig.env, "store/rules", "t", buf_bytes(&file), NULL));
    buf_fini(&file);
}

UNIT_TEST(test_a_file_of_a_newer_version_is_not_replaced)
{
    put_file(2, "");
    script_play("reopen | groups | metric unreadable_tenants => unreadable_tenants 1");
    script_play(
        "text t n {name: a, rules: [{record: b, expr: c}]} => unsupported: cannot read the stored "
        "rules of tenant t: version 2 of the file is newer than version 1, which this program "
        "reads; use a newer Firekeep");
}

UNIT_TEST(test_a_group_that_is_not_accepted_is_kept_and_shown)
{
    static const char *const texts[] = {
        "name: a~rules: [{record: b, expr: 'sum('}]~",
        "name: c~rules: [{record: b, expr: d}]~",
        "",
        "\xff",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_file(1, texts[i]);
        script_play("reopen | groups => t/o:b=9");
        script_play("metric groups | metric invalid | metric unreadable"
                    " => groups 2; invalid_groups 1; unreadable_tenants 0");
        script_playf("show t n a => %s", texts[i]);
        script_playf("set t o c 1 | reopen | show t n a => %s",
                     texts[i]); /* another edit keeps it */
        script_play("set t n a 2 | groups => t/n:a=2 t/o:b=9 t/o:c=1");
        script_play("metric invalid | del t n a => invalid_groups 0");
    }
}

UNIT_TEST(test_files_that_cannot_be_read_do_not_hinder_the_start)
{
    bool fired = true;
    script_play("set s n a 1 | set t n a 2");
    for (uint64_t nth = 1; fired; nth++) {
        rig_close();
        fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, false});
        enum err e = try_open();
        fired = fault_env_fired(rig.fe);
        fault_env_disarm(rig.fe);
        if (e == OK) {
            unsigned unreadable = 9, groups = 9;
            script_do("metric unreadable | metric groups");
            sscanf(script.printed, "unreadable_tenants %u; groups %u", &unreadable, &groups);
            assert_int_equal(unreadable + groups, 2);
        } else { /* the directory */
            assert_int_equal(e, ERR_IO);
            assert_string_not_equal(rig.why.text, "");
        }
        assert_true(nth < 100);
    }
}

/* --- failures --------------------------------------------------------------------------------- */

/* The edits of a story, and the groups evaluated after each. */
enum { EDITS = 6 };
static const char *const edits[EDITS] = {"set t n a 1", "set t n b 2", "set s m c 3",
                                         "set t n a 4", "del t n",     "del s m c"};
static const char *const after[EDITS + 1] = {
    "",        "t/n:a=1", "t/n:a=1 t/n:b=2", "s/m:c=3 t/n:a=1 t/n:b=2", "s/m:c=3 t/n:a=4 t/n:b=2",
    "s/m:c=3", "",
};

/* Edits with a fault: a failed edit changes nothing, and can be repeated. Returns false if the
 * fault did not fire. */
static bool
live_with_fault(struct fault fault)
{
    bool failed = false;
    rig_init(fault.nth);
    must(try_open());
    fault_env_arm(rig.fe, fault);
    for (unsigned n = 0; n < EDITS; n++) {
        while (edit(edits[n]) != OK) {
            failed = true;
            check_evaluated(after[n]);
            fault_env_disarm(rig.fe);
        }
        check_evaluated(after[n + 1]);
    }
    bool fired = fault_env_fired(rig.fe);
    assert_true(fired || !failed);
    rig_fini();
    return fired;
}

UNIT_TEST(test_an_edit_that_fails_changes_nothing)
{
    for (unsigned kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (kind == FAULT_THREAD) continue;
        for (unsigned forever = 0; forever < 2; forever++) {
            unsigned nth = 1;
            while (live_with_fault((struct fault){(enum fault_kind)kind, nth, forever != 0}))
                assert_true(nth++ < 500);
        }
    }
}

/* Acknowledged edits survive a power loss; of a failed one, nothing or all does. */
UNIT_TEST(test_an_acknowledged_edit_survives_a_power_loss)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        unsigned n = 0;
        rig_init(nth * 7);
        must(try_open());
        /* the process seems to end there */
        fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, true});
        while (n < EDITS && edit(edits[n]) == OK)
            n++;
        fired = fault_env_fired(rig.fe);
        fault_env_disarm(rig.fe);
        reopen(true);
        const char *now = evaluated(stored_rules_groups(rig.stored));
        if (strcmp(now, after[n]) != 0 && (n == EDITS || strcmp(now, after[n + 1]) != 0))
            fail_msg("call %u: after %u edits: %s", (unsigned)nth, n, now);
        for (; n < EDITS; n++) { /* goes on; a deletion may have happened */
            enum err e = edit(edits[n]);
            assert_true(e == OK || e == ERR_MISSING);
            check_evaluated(after[n + 1]);
        }
        rig_fini();
        assert_true(nth < 500);
    }
}

static enum err
make_edit(void)
{
    static unsigned n;
    enum err e = edit(edits[n % EDITS]);
    bool is_made = e == OK;
    check_evaluated(after[n % EDITS + is_made]);
    n += is_made;
    return e;
}

UNIT_TEST(test_refused_allocations_change_nothing)
{
    for (unsigned n = 0; n < EDITS; n++)
        fail_each_allocation(make_edit);
}

static enum err
close_and_open(void)
{
    rig_close();
    enum err e = try_open();
    if (e == ERR_NOMEM) assert_string_equal(rig.why.text, "not enough memory for rules");
    return e;
}

UNIT_TEST(test_refused_allocations_at_the_start_are_reported)
{
    script_play("set t n a 1 | set t n b 2 | set s m c 3");
    fail_each_allocation(close_and_open);
}

#define A1   "    - name: a~      rules:~          - record: r~            expr: '1'~"
#define B2   "    - name: b~      rules:~          - record: r~            expr: '2'~"
#define A3   "    - name: a~      rules:~          - record: r~            expr: '3'~"
#define LONG "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'"
#define DAMAGED                                                                                  \
    "corrupt: cannot read the stored rules of tenant t: the file is damaged: its header or its " \
    "checksum is wrong"

static const struct CMUnitTest tests[] = {
    SCRIPT("groups are set, replaced and deleted",
           "groups | set t n b 1 | set t n a 2 | set t m/x+y c 3 | set s n a 4\n"
           "groups | metric groups => s/n:a=4 t/m/x y:c=3 t/n:a=2 t/n:b=1; groups 4\n"
           "set t n a 5 | groups => s/n:a=4 t/m/x y:c=3 t/n:a=5 t/n:b=1\n"
           "reopen | groups => s/n:a=4 t/m/x y:c=3 t/n:a=5 t/n:b=1\n"
           "del t n b | groups => s/n:a=4 t/m/x y:c=3 t/n:a=5\n"
           "set t n z 6 | del t n | groups => s/n:a=4 t/m/x y:c=3\n"
           "del t m/x+y c | del s n | groups | metric groups => groups 0\n"
           "file store/rules/t.groups => missing\n" /* the tenant has no groups */
           "reopen | groups"),
    SCRIPT("a group that does not exist cannot be deleted",
           "del t n b => missing: group does not exist\n"
           "del t m => missing: group namespace does not exist\n"
           "set t n a 1 | set s m b 1 | del t n b => missing: group does not exist\n"
           "del t m => missing: group namespace does not exist\n"
           "groups => s/m:b=1 t/n:a=1"),
    SCRIPT("groups are shown as YAML",
           "show t | show t ns => {}~; {}~\n"
           "show t ns a => missing: group does not exist\n"
           "set t ns a 1 | set t ns b 2 | set t m a 3\n"
           "show t ns a => name: a~rules:~    - record: r~      expr: '1'~\n"
           "show t ns c => missing: group does not exist\n"
           "show s ns a => missing: group does not exist\n"
           "show t ns => ns:~" A1 B2 "\n"
           "show t => m:~" A3 "ns:~" A1 B2 "\n"
           "show t o | show s => {}~; {}~"),
    SCRIPT(
        "an invalid group is refused with all reasons",
        "text t n {name: a, rules: [{record: b}, {expr: c}]}"
        " => input: body:1:19: group 'a', rule 1 'b': 'expr' is required~"
        "body:1:32: group 'a', rule 2: 'record' or 'alert' is required~\n"
        "text t n  => input: body:1:1: expected the keys of a group, got nothing~\n"
        "set t n LONG 1 => input: expected a group name of 1 to 512 bytes of UTF-8, got " LONG "\n"
        "set t LONG a 1 => input: expected a namespace of 1 to 512 bytes of UTF-8, got " LONG "\n"
        "set t FF a 1 => input: expected a namespace of 1 to 512 bytes of UTF-8, got '\\xff'\n"
        "set t NONE a 1 => input: expected a namespace of 1 to 512 bytes of UTF-8, got ''\n"
        "groups"),
    SCRIPT("number and size are limited",
           "most 2 45 | set t n a 1 | set t m a 1 | set t n b c"
           " => input: at most 2 groups of a tenant can be stored (rules.api_max_groups)\n"
           "set t n a 2 | set s n b 1\n" /* one replaces another, one is of another tenant */
           "set t n a 100000 => limit: a group of rules must have at most 45 bytes "
           "(rules.api_max_bytes)\n"
           "groups => s/n:b=1 t/m:a=1 t/n:a=2"),
    SCRIPT("without tenancy only the one tenant is read",
           "set t n a 1 | set anonymous n a 2 | tenancy off | reopen | groups => anonymous/n:a=2\n"
           "set anonymous n a 3 | tenancy on | reopen | groups => anonymous/n:a=3 t/n:a=1"),
    SCRIPT("damage stays with its tenant, and is logged and shown",
           "set s n a 1 | set t n a 2 | set u n a 3 | file store/rules/t.groups => other\n"
           "damage store/rules/t.groups | errors | reopen | errors => 0; 1\n"
           "groups | metric unreadable => s/n:a=1 u/n:a=3; unreadable_tenants 1\n"
           "show t => " DAMAGED "\n"
           "show t n a => " DAMAGED "\n"
           "del t n a => " DAMAGED "\n"
           "set s n b 4\n" /* other tenants are served, and the file stays */
           "set t n b ( => input: body:1:39: group 'b', rule 1 'r': invalid expression: 1:2: parse "
           "error: unclosed left parenthesis~\n"
           "file store/rules/t.groups => same\n"
           "set t n b 5 | groups => s/n:a=1 s/n:b=4 t/n:b=5 u/n:a=3\n"
           "metric unreadable | file store/rules/t.groups.damaged => unreadable_tenants 0; same\n"
           "power | groups | file store/rules/t.groups.damaged"
           " => s/n:a=1 s/n:b=4 t/n:b=5 u/n:a=3; same"),
    SCRIPT("a directory in place of a file is logged and shown",
           "set s n a 1 | mkdir store/rules/t.groups | errors | reopen | errors => 0; 1\n"
           "metric unreadable => unreadable_tenants 1\n"
           "show t => io: cannot read the stored rules of tenant t: cannot open "
           "store/rules/t.groups: Is a directory\n"
           "groups | set t n b 5 => s/n:a=1\n"
           "power | groups => s/n:a=1 t/n:b=5"),
    SCRIPT("a directory that is removed meanwhile is made again",
           "set s n a 1 | set t n a 2 | rmtree store/rules | set t n b 3\n"
           "rmtree store/rules | del s n a | set t n c 4\n"
           "power | groups => t/n:a=2 t/n:b=3 t/n:c=4\n"
           /* The error is not "missing", which would blame the client. */
           "rmtree store | set t n b 5 => io: cannot create directory store/rules: No such file or "
           "directory\n"
           "groups => t/n:a=2 t/n:b=3 t/n:c=4"),
    SCRIPT("a full disk changes nothing",
           "set t n a 1 | disk full | set t n a 2 => out_of_space: cannot write "
           "store/rules/t.groups.tmp: No space left on device\n"
           "set s n a 2 => out_of_space: cannot write store/rules/s.groups.tmp: No space left on "
           "device\n"
           "groups => t/n:a=1\n"
           "power | groups => t/n:a=1\n"
           "disk free | set t n a 2 | groups => t/n:a=2"),
    TEST(test_memory_is_limited),
    TEST(test_a_change_shows_only_when_it_is_committed),
    TEST(test_a_file_of_a_newer_version_is_not_replaced),
    TEST(test_a_group_that_is_not_accepted_is_kept_and_shown),
    TEST(test_files_that_cannot_be_read_do_not_hinder_the_start),
    TEST(test_refused_allocations_change_nothing),
    TEST(test_refused_allocations_at_the_start_are_reported),
    cmocka_unit_test(test_an_edit_that_fails_changes_nothing),
    cmocka_unit_test(test_an_acknowledged_edit_survives_a_power_loss),
};

int
main(void)
{
    return cmocka_run_group_tests(tests, mute, NULL);
}
