/* checkpoint_test.c - what was put comes back as it was, or not at all, whenever power is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/framed.h"
#include "rules/checkpoint_testing.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

#define VIEW(t)                           \
    {                                     \
        (const uint8_t *)t, sizeof(t) - 1 \
    }
#define TEXT(t)  ((struct bytes)VIEW(t))
#define AT(s)    (1767225600000000000 + (s)*NS_PER_S)
#define COUNT(a) (uint32_t)(sizeof(a) / sizeof *(a))
#define ALERT_A        \
    "\x0a\x0e\x0a\x09" \
    "alertname"        \
    "\x12\x01"         \
    "A"
#define CONTENT   "the file is damaged: its content is inconsistent"
#define CHECKSUM  "the file is damaged: its header or its checksum is wrong"
#define NO_MEMORY "not enough memory for the state of rules"

static const uint8_t magic[8] = {'F', 'K', 'R', 'S', 'T', 'A', 'T', 'E'};

/* --- content ---------------------------------------------------------------------------------- */

static const struct label annotations[] = {
    {VIEW("description"), VIEW("")},
    {VIEW("summary"), VIEW("\xff is no UTF-8")},
};
static const struct label rule_labels[] = {
    {VIEW("nothing"), VIEW("")},
    {VIEW("severity"), VIEW("{{ $value }}")},
};

static struct checkpoint_alert alerts[] = {
    {
        .found = {.labels = VIEW(ALERT_A),
                  .annotations = annotations,
                  .annotation_count = COUNT(annotations),
                  .value_bits = STALE_NAN_BITS},
        .state = ALERT_FIRING,
        .active_at_ns = AT(10),
        .fired_at_ns = AT(20),
        .keep_firing_since_ns = AT(30),
        .sent_at_ns = AT(40),
        .valid_until_ns = AT(240),
    },
    {
        .found = {.labels = VIEW(ALERT_A "\x0a\x06\x0a\x01"
                                         "b"
                                         "\x12\x01"
                                         "c")},
        .state = ALERT_PENDING,
        .active_at_ns = AT(50),
    },
    {
        .found = {.labels = VIEW(ALERT_A "\x0a\x06\x0a\x01"
                                         "b"
                                         "\x12\x01"
                                         "d")},
        .state = ALERT_INACTIVE,
        .active_at_ns = INT64_MIN,
        .fired_at_ns = INT64_MAX,
        .resolved_at_ns = -1,
    },
};

static struct checkpoint_rule rules[] = {
    {
        .name = VIEW("A"),
        .labels = rule_labels,
        .label_count = COUNT(rule_labels),
        .alerts = alerts,
        .alert_count = COUNT(alerts),
    },
    {.name = VIEW("A"), .nth = UINT32_MAX, .alerts = alerts, .alert_count = 1},
    {.name = VIEW(""), .alerts = alerts},
};

static struct checkpoint_group groups_of_a[] = {
    {
        .file = VIEW(""),
        .name = VIEW("g"),
        .interval_ns = 15 * NS_PER_S,
        .next_ns = AT(60),
        .evaluated_at_ns = AT(45),
    },
    {
        .file = VIEW("/etc/rules.yml"),
        .name = VIEW("g"),
        .interval_ns = INT64_MAX,
        .next_ns = AT(60),
        .evaluated_at_ns = AT(45),
        .rules = rules,
        .rule_count = COUNT(rules),
    },
    {
        .file = VIEW("/etc/rules.yml"),
        .name = VIEW("g "),
        .interval_ns = 1,
        .retired_ns = AT(3),
        .rules = rules,
        .rule_count = 1,
    },
};
static struct checkpoint_group groups_of_c[] = {{.name = VIEW(""), .interval_ns = 1}};

static struct checkpoint_tenant tenants[] = {
    {VIEW("a"), 1767225600123, groups_of_a, COUNT(groups_of_a)},
    {VIEW("b"), INT64_MIN, NULL, 0},
    {VIEW("c"), 0, groups_of_c, COUNT(groups_of_c)},
};

static struct checkpoint
content(uint32_t tenant_count)
{
    return (struct checkpoint){
        .head = {.log_id = "0123456789abcde", .written_ns = AT(61), .latest_ns = AT(45)},
        .tenants = tenants,
        .tenant_count = tenant_count,
    };
}

static void
encode(uint32_t tenant_count, struct buf *to)
{
    struct checkpoint c = content(tenant_count);
    buf_init(to, NULL, CHECKPOINT_BYTES_MAX);
    must(checkpoint_testing_encode(&c, to, NULL));
}

static void
check_refused(struct bytes file, enum err expected, const char *sentence)
{
    struct checkpoint found = {.tenant_count = 7};
    struct why why = {""};
    assert_int_equal(checkpoint_decode(file, NULL, &found, &why), expected);
    assert_string_equal(why.text, sentence);
    assert_int_equal(found.tenant_count, 7);
}

/* --- the format ------------------------------------------------------------------------------- */

static void
test_all_that_was_put_comes_back(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= COUNT(tenants); count++) {
        struct checkpoint c = content(count), found;
        struct buf file;
        encode(count, &file);
        must(checkpoint_decode(buf_bytes(&file), NULL, &found, NULL));
        assert_true(checkpoint_testing_same(&c, &found));
        assert_int_equal(found.group_count, count == 0 ? 0 : count == 3 ? 4 : 3);
        assert_int_equal(found.rule_count, count == 0 ? 0 : 4);
        assert_int_equal(found.alert_count, count == 0 ? 0 : 7);
        checkpoint_fini(&found);
        buf_fini(&file);
    }
}

/* The documented bytes, which earlier versions have written. */
static void
test_the_format_is_that_of_its_page(void **state)
{
    (void)state;
    static const char expected[] =
        "FKRSTATE\1\0\0\0\1\0\0\0\x7f\0\0\0...."
        "0123456789abcde\0\2\4"                                      /* log, written, latest */
        "\1\1t\5"                                                    /* tenant t, -3 */
        "\2\1f\1g\6\x80\1\0\3"                                       /* group, 3, 64, 0, -2 */
        "\3\1A\1\1k\1v\2"                                            /* rule, a label, nth */
        "\4\x10" ALERT_A "\1\1s\2ok\1\2\3\4\5\6\7\x8\2\2\4\0\0\6\x8" /* alert, firing */
        "\4\x10" ALERT_A "\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0"          /* alert, inactive */
        "\1\1u\xff\xff\xff\xff\xff\xff\xff\xff\xff\1";               /* tenant u, never */
    struct label label = {VIEW("k"), VIEW("v")}, annotation = {VIEW("s"), VIEW("ok")};
    struct checkpoint_alert two[] = {
        {.found = {TEXT(ALERT_A), &annotation, 1, 0x0807060504030201},
         .state = ALERT_FIRING,
         .active_at_ns = 1,
         .fired_at_ns = 2,
         .sent_at_ns = 3,
         .valid_until_ns = 4},
        {.found = {TEXT(ALERT_A), NULL, 0, 0}, .active_at_ns = 1},
    };
    struct checkpoint_rule rule = {TEXT("A"), &label, 1, 2, two, 2};
    struct checkpoint_group group = {TEXT("f"), TEXT("g"), 3, 64, 0, -2, &rule, 1};
    struct checkpoint_tenant list[] = {{TEXT("t"), -3, &group, 1}, {TEXT("u"), INT64_MIN, NULL, 0}};
    struct checkpoint c = {.head = {.log_id = "0123456789abcde", .written_ns = 1, .latest_ns = 2},
                           .tenants = list,
                           .tenant_count = 2};
    struct buf file;
    buf_init(&file, NULL, CHECKPOINT_BYTES_MAX);
    must(checkpoint_testing_encode(&c, &file, NULL));
    assert_int_equal(file.size, sizeof expected - 1);
    assert_memory_equal(file.at, expected, 20);
    assert_memory_equal(file.at + 24, expected + 24, file.size - 24);
    buf_fini(&file);
}

static void
test_any_damaged_byte_is_noticed(void **state)
{
    (void)state;
    struct buf file;
    encode(COUNT(tenants), &file);
    for (size_t i = 0; i < file.size; i++) {
        file.at[i] ^= 1;
        check_refused(buf_bytes(&file), ERR_CORRUPT, CHECKSUM);
        file.at[i] ^= 1;
        check_refused(bytes_of(file.at, i), ERR_CORRUPT, CHECKSUM);
    }
    buf_fini(&file);
}

#define HEAD   "0123456789abcde\0\0\0"
#define TENANT "\1\1t\0"
#define GROUP  "\2\1f\1g\2\0\0\0"
#define RULE   "\3\1A\0\0"
#define ALERT  "\4\x10" ALERT_A "\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0"
#define LONG150                                                                   \
    "123456789012345678901234567890123456789012345678901234567890123456789012345" \
    "123456789012345678901234567890123456789012345678901234567890123456789012345"

/* With the right header. */
static void
check_piece(struct bytes piece, bool is_right)
{
    struct checkpoint found;
    struct buf file;
    buf_init(&file, NULL, CHECKPOINT_BYTES_MAX);
    framed_begin(&file);
    buf_put_bytes(&file, piece);
    framed_end(&file, magic, 1);
    if (is_right) {
        must(checkpoint_decode(buf_bytes(&file), NULL, &found, NULL));
        checkpoint_fini(&found);
    } else {
        check_refused(buf_bytes(&file), ERR_CORRUPT, CONTENT);
    }
    buf_fini(&file);
}

static void
test_what_no_version_writes_is_refused(void **state)
{
    (void)state;
    static const struct bytes right[] = {
        VIEW(HEAD),
        VIEW(HEAD TENANT GROUP RULE ALERT ALERT),
        VIEW(HEAD TENANT GROUP "\2\1f\1h\2\0\0\0" RULE RULE ALERT "\1\1u\0" GROUP),
        VIEW(HEAD "\1\x96\1" LONG150 "\0"),
    };
    static const struct bytes wrong[] = {
        VIEW(""),
        VIEW("0123456789abcde\0\0"),
        VIEW(HEAD "\0"),
        VIEW(HEAD "\5"),
        VIEW(HEAD "\1"),
        /* a record without the one that it belongs to */
        VIEW(HEAD GROUP),
        VIEW(HEAD TENANT RULE),
        VIEW(HEAD TENANT GROUP ALERT),
        VIEW(HEAD TENANT GROUP RULE ALERT TENANT),
        VIEW(HEAD TENANT GROUP RULE ALERT "\1\1u\0" RULE),
        /* names that do not rise */
        VIEW(HEAD TENANT TENANT),
        VIEW(HEAD TENANT "\1\1s\0"),
        VIEW(HEAD TENANT GROUP GROUP),
        VIEW(HEAD TENANT GROUP "\2\1e\1h\2\0\0\0"),
        VIEW(HEAD TENANT GROUP RULE ALERT "\2\1f\1f\2\0\0\0"),
        /* values */
        VIEW(HEAD "\1\0\0"),
        VIEW(HEAD "\1\x97\1x" LONG150 "\0"),
        VIEW(HEAD TENANT "\2\1f\1g\0\0\0\0"), /* interval 0 */
        VIEW(HEAD TENANT "\2\1f\1g\1\0\0\0"), /* interval -1 */
        VIEW(HEAD TENANT GROUP RULE "\4\x10" ALERT_A "\0\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0"),
        VIEW(HEAD TENANT GROUP RULE "\4\3abc\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0"), /* no labels */
        /* labels and annotations */
        VIEW(HEAD TENANT GROUP "\3\1A\1\0\0\0"),               /* without a name */
        VIEW(HEAD TENANT GROUP "\3\1A\2\1b\0\1b\0\0"),         /* twice */
        VIEW(HEAD TENANT GROUP "\3\1A\2\1b\0\1a\0\0"),         /* not in their order */
        VIEW(HEAD TENANT GROUP "\3\1A\2\1b\0"),                /* fewer than announced */
        VIEW(HEAD TENANT GROUP "\3\1A\xff\xff\xff\xff\xf\0"),  /* more than there can be */
        VIEW(HEAD TENANT GROUP "\3\1A\0\xff\xff\xff\xff\x10"), /* more than 32 bits */
        VIEW(HEAD TENANT GROUP RULE "\4\x10" ALERT_A "\2\1b\0\1a\0"),
    };
    for (uint32_t i = 0; i < COUNT(right); i++) {
        check_piece(right[i], true);
    }
    for (uint32_t i = 0; i < COUNT(wrong); i++) {
        check_piece(wrong[i], false);
    }
}

static void
test_texts_and_numbers_of_labels_have_limits(void **state)
{
    (void)state;
    static const char head[] = HEAD TENANT "\2\0";
    struct buf piece;
    buf_init(&piece, NULL, CHECKPOINT_BYTES_MAX);
    for (size_t more = 0; more < 2; more++) {
        size_t size = (16 << 20) + more;
        buf_clear(&piece);
        buf_put(&piece, head, sizeof head - 1);
        buf_put_varint(&piece, size);
        assert_true(buf_reserve(&piece, size));
        memset(piece.at + piece.size, 'x', size);
        piece.size += size;
        buf_put(&piece, "\2\0\0\0", 4);
        must(buf_error(&piece));
        check_piece(buf_bytes(&piece), more == 0);
    }
    for (uint32_t more = 0; more < 2; more++) {
        buf_clear(&piece);
        buf_put(&piece, HEAD TENANT GROUP "\3\1A", sizeof(HEAD TENANT GROUP "\3\1A") - 1);
        buf_put_varint(&piece, 256 + more);
        for (uint32_t i = 0; i < 256 + more; i++) {
            const uint8_t label[] = {2, (uint8_t)(1 + i / 128), (uint8_t)(i % 128), 0};
            buf_put(&piece, label, sizeof label);
        }
        buf_put_u8(&piece, 0);
        check_piece(buf_bytes(&piece), more == 0);
    }
    buf_fini(&piece);
}

static void
test_a_file_of_a_newer_version_is_not_called_damaged(void **state)
{
    (void)state;
    struct buf file;
    encode(1, &file);
    framed_end(&file, magic, 2);
    check_refused(buf_bytes(&file), ERR_UNSUPPORTED,
                  "version 2 of the file is newer than version 1, which this program reads; use a "
                  "newer Firekeep");
    buf_fini(&file);
}

static void
test_what_is_too_large_or_has_no_memory_is_not_written(void **state)
{
    (void)state;
    struct checkpoint c = content(COUNT(tenants));
    struct buf file;
    encode(COUNT(tenants), &file);
    size_t size = file.size;
    buf_fini(&file);
    for (size_t limit = 1; limit < size; limit++) {
        struct why why = {""};
        char sentence[200];
        snprintf(sentence, sizeof sentence,
                 "the state of rules is too large: it has at most %zu bytes; reduce the number of "
                 "alerts",
                 limit);
        buf_init(&file, NULL, limit);
        assert_int_equal(checkpoint_testing_encode(&c, &file, &why), ERR_LIMIT);
        assert_string_equal(why.text, sentence);
        buf_fini(&file);
    }
    struct why why = {""};
    buf_init(&file, NULL, CHECKPOINT_BYTES_MAX);
    mem_fail_nth(1, false);
    assert_int_equal(checkpoint_testing_encode(&c, &file, &why), ERR_NOMEM);
    mem_fail_nth(0, false);
    assert_string_equal(why.text, NO_MEMORY);
    buf_fini(&file);
}

/* --- files ------------------------------------------------------------------------------------ */

struct rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
};

static void
rig_init(struct rig *rig, uint64_t seed)
{
    must(sim_env_new(seed, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    rig->env = fault_env_env(rig->fe);
    must(env_mkdir(rig->env, "d", NULL));
    must(env_syncdir(rig->env, ".", NULL));
}

static void
rig_fini(struct rig *rig)
{
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
}

static enum err
replace(struct rig *rig, uint32_t tenant_count, struct why *why)
{
    struct buf file;
    encode(tenant_count, &file);
    enum err e = checkpoint_replace(rig->env, "d", buf_bytes(&file), why);
    buf_fini(&file);
    return e;
}

/* The number of tenants in the file; UINT32_MAX: there is no file. */
static uint32_t
count_of(struct rig *rig)
{
    struct checkpoint found;
    enum err e = checkpoint_read(rig->env, "d", NULL, &found, NULL);
    if (e == ERR_MISSING) return UINT32_MAX;
    must(e);
    struct checkpoint c = content(found.tenant_count);
    assert_true(checkpoint_testing_same(&c, &found));
    checkpoint_fini(&found);
    return c.tenant_count;
}

static void
check_unreadable(struct rig *rig, enum err expected, const char *sentence)
{
    struct checkpoint found;
    struct why why = {""};
    assert_int_equal(checkpoint_read(rig->env, "d", NULL, &found, &why), expected);
    assert_string_equal(why.text, sentence);
}

/* False: the fault did not fire. */
static bool
replace_with_fault(struct fault fault, bool is_first, bool is_repeated)
{
    struct rig rig;
    struct why why = {""};
    rig_init(&rig, fault.nth);
    if (!is_first) must(replace(&rig, 1, NULL));
    fault_env_arm(rig.fe, fault);
    enum err e = replace(&rig, 2, &why);
    bool fired = fault_env_fired(rig.fe);
    fault_env_disarm(rig.fe);
    if (e) assert_string_not_equal(why.text, "");
    if (e && is_repeated) { /* the next one is durable nevertheless */
        must(replace(&rig, 2, NULL));
        e = OK;
    }
    sim_env_power_loss(rig.sim);
    uint32_t count = count_of(&rig);
    assert_true(count == 2 || (e != OK && count == (is_first ? UINT32_MAX : 1)));
    must(replace(&rig, 3, NULL));
    sim_env_power_loss(rig.sim);
    assert_int_equal(count_of(&rig), 3);
    rig_fini(&rig);
    return fired;
}

static void
test_a_file_is_the_old_or_the_new_one_whenever_a_call_fails_and_power_is_lost(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (kind == FAULT_THREAD) continue;
        for (unsigned way = 0; way < 8; way++) {
            struct fault fault = {(enum fault_kind)kind, 1, way % 2 == 0};
            while (replace_with_fault(fault, way < 4, way % 4 < 2)) {
                assert_true(fault.nth++ < 100);
            }
        }
    }
}

static void
test_a_full_disk_changes_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct why why = {""};
    rig_init(&rig, 1);
    must(replace(&rig, 1, NULL));
    sim_env_set_capacity(rig.sim, sim_env_used_bytes(rig.sim));
    assert_int_equal(replace(&rig, 2, &why), ERR_FULL);
    assert_int_equal(count_of(&rig), 1);
    sim_env_power_loss(rig.sim);
    assert_int_equal(count_of(&rig), 1);
    sim_env_set_capacity(rig.sim, 1 << 20);
    must(replace(&rig, 2, &why));
    assert_int_equal(count_of(&rig), 2);
    rig_fini(&rig);
}

static void
test_why_a_file_cannot_be_read_is_said_with_its_path(void **state)
{
    (void)state;
    struct rig rig;
    struct checkpoint found;
    struct why why = {""};
    struct buf file;
    rig_init(&rig, 1);
    assert_int_equal(checkpoint_read(rig.env, "d", NULL, &found, &why), ERR_MISSING);
    assert_non_null(strstr(why.text, "d/rules/state"));
    must(replace(&rig, 1, NULL));
    must(sim_env_damage(rig.sim, "d/rules/state", 30));
    check_unreadable(&rig, ERR_CORRUPT, "d/rules/state: " CHECKSUM);
    encode(1, &file);
    framed_end(&file, magic, 3);
    must(checkpoint_replace(rig.env, "d", buf_bytes(&file), NULL));
    buf_fini(&file);
    check_unreadable(&rig, ERR_UNSUPPORTED,
                     "d/rules/state: version 3 of the file is newer than version 1, which this "
                     "program reads; use a newer Firekeep");
    must(env_unlink(rig.env, "d/rules/state", NULL));
    must(env_mkdir(rig.env, "d/rules/state", NULL));
    assert_int_equal(checkpoint_read(rig.env, "d", NULL, &found, &why), ERR_IO);
    assert_int_equal(replace(&rig, 1, &why), ERR_IO);
    rig_fini(&rig);
}

/* Its content is not looked at: the header alone would not fit. */
static void
test_a_file_that_is_too_large_is_damaged(void **state)
{
    (void)state;
    struct rig rig;
    struct file file;
    rig_init(&rig, 1);
    must(replace(&rig, 1, NULL));
    must(file_open(rig.env, "d/rules/state", FILE_UPDATE, &file, NULL));
    must(file_truncate(&file, (uint64_t)CHECKPOINT_BYTES_MAX + 1, NULL));
    must(file_close(&file));
    check_unreadable(&rig, ERR_CORRUPT,
                     "d/rules/state: the file is damaged: it is larger than 1024 MiB");
    rig_fini(&rig);
}

static void
test_a_file_that_is_put_aside_is_kept(void **state)
{
    (void)state;
    struct rig rig;
    struct buf file;
    rig_init(&rig, 1);
    must(checkpoint_put_aside(rig.env, "d", NULL)); /* not even the directory is there */
    must(replace(&rig, 1, NULL));
    must(env_write_whole(rig.env, "d/rules", "state", TEXT("damaged"), NULL));
    must(checkpoint_put_aside(rig.env, "d", NULL));
    assert_int_equal(count_of(&rig), UINT32_MAX);
    must(checkpoint_put_aside(rig.env, "d", NULL));
    must(replace(&rig, 2, NULL));
    sim_env_power_loss(rig.sim);
    assert_int_equal(count_of(&rig), 2);
    buf_init(&file, NULL, 100);
    must(env_read_whole(rig.env, "d/rules/state.unreadable", &file, NULL));
    assert_true(bytes_equal_text(buf_bytes(&file), "damaged"));
    buf_fini(&file);
    rig_fini(&rig);
}

static void
test_refused_allocations_are_reported(void **state)
{
    (void)state;
    struct rig rig;
    struct budget memory;
    bool fired = true;
    rig_init(&rig, 1);
    must(replace(&rig, COUNT(tenants), NULL));
    budget_init(&memory, "test", 0, NULL);
    for (unsigned nth = 1; fired; nth++) {
        struct checkpoint found;
        struct why why = {""};
        mem_fail_nth(nth, false);
        enum err e = checkpoint_read(rig.env, "d", &memory, &found, &why);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (e == OK) checkpoint_fini(&found);
        if (e) assert_non_null(strstr(why.text, "d/rules/state"));
        assert_int_equal(budget_used(&memory), 0);
        assert_true(nth < 100);
    }
    rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_was_put_comes_back),
        cmocka_unit_test(test_the_format_is_that_of_its_page),
        cmocka_unit_test(test_any_damaged_byte_is_noticed),
        cmocka_unit_test(test_what_no_version_writes_is_refused),
        cmocka_unit_test(test_texts_and_numbers_of_labels_have_limits),
        cmocka_unit_test(test_a_file_of_a_newer_version_is_not_called_damaged),
        cmocka_unit_test(test_what_is_too_large_or_has_no_memory_is_not_written),
        cmocka_unit_test(
            test_a_file_is_the_old_or_the_new_one_whenever_a_call_fails_and_power_is_lost),
        cmocka_unit_test(test_a_full_disk_changes_nothing),
        cmocka_unit_test(test_why_a_file_cannot_be_read_is_said_with_its_path),
        cmocka_unit_test(test_a_file_that_is_too_large_is_damaged),
        cmocka_unit_test(test_a_file_that_is_put_aside_is_kept),
        cmocka_unit_test(test_refused_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
