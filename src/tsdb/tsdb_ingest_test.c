/* tsdb_ingest_test.c - verdicts and counts of samples that are sent, and the identity of series. */
#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"

/* --- refusals --------------------------------------------------------------------------------- */

static void
put_long(struct rq *rq, size_t name_size, size_t value_size)
{
    char *labels = calloc(1, name_size + value_size + 2);
    assert_non_null(labels);
    memset(labels, 'n', name_size);
    labels[name_size] = '=';
    memset(labels + name_size + 1, 'v', value_size);
    rq_series(rq, labels);
    free(labels);
}

static void
put_reference(struct rq *rq)
{
    rq_series(rq, "");
    buf_clear(&rq->item);
    buf_clear(&rq->packed);
    buf_put_varint(&rq->packed, 1);
    buf_put_varint(&rq->packed, 999);
    rq_field(&rq->item, 1, buf_bytes(&rq->packed));
}

/* Adds a series and a sample that must be refused for this reason. */
static void
put_refused(struct rq *rq, enum reject reason)
{
    static const char many[] =
        "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1,l=1,m=1,n=1,o=1,p=1,q=1";
    int64_t t = T0;
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = 7};
    if (reason == REJECT_EMPTY_LABELS) rq_series(rq, "");
    if (reason == REJECT_DUPLICATE_LABEL) rq_series(rq, "a=1,b=2,a=1");
    if (reason == REJECT_BAD_UTF8) rq_series(rq, "a=\xff");
    if (reason == REJECT_LABEL_LIMIT) rq_series(rq, many);
    if (reason == REJECT_NAME_TOO_LONG) put_long(rq, 101, 1);
    if (reason == REJECT_VALUE_TOO_LONG) put_long(rq, 1, 201);
    if (reason == REJECT_BAD_REFERENCE) put_reference(rq);
    if (reason == REJECT_MISSING_NAME) rq_series(rq, "job=bad");
    if (reason >= REJECT_BAD_HISTOGRAM && reason < REJECT_SERIES_LIMIT)
        rq_series(rq, "__name__=bad");
    if (reason == REJECT_TOO_OLD) t = SIM_BEGIN - 366 * DAY_MS;
    if (reason == REJECT_TOO_FAR_IN_FUTURE) t = SIM_BEGIN + 11 * MINUTE_MS;
    if (reason == REJECT_CONFLICT) {
        rq_series(rq, "__name__=good");
        rq_float(rq, T0, double_bits(2), 0);
    } else if (reason == REJECT_SERIES_LIMIT) {
        rq_series(rq, "__name__=one,more=1");
        rq_float(rq, T0, double_bits(2), 0);
    } else if (reason == REJECT_BAD_HISTOGRAM) {
        rq_histogram(rq, t, &h, 0);
    } else {
        rq_float(rq, t, double_bits(2), 0);
    }
}

UNIT_TEST(test_each_reason_refuses_one_sample_and_says_so)
{
    must(send_float("anonymous", "__name__=now", SIM_BEGIN, 1)); /* retention counts from here */
    machine_commit(&machine);
    for (unsigned reason = 1; reason < REJECT_COUNT; reason++) {
        struct rq rq;
        char tenant[20], counted[60];
        snprintf(tenant, sizeof tenant, "t%u", reason);
        machine.options.tenants_max = 100;
        machine.limits.tenant_series_max = reason == REJECT_SERIES_LIMIT ? 1 : 0;
        machine.limits.require_name = reason == REJECT_MISSING_NAME ? NAME_ALWAYS : NAME_AUTO;
        machine_restart(&machine);
        rq_init(&rq, reason == REJECT_BAD_REFERENCE ? RW_V2 : RW_V1);
        rq_series(&rq, "__name__=good");
        rq_float(&rq, T0, double_bits(1), 0);
        put_refused(&rq, (enum reject)reason);
        must(machine_send(&machine, tenant, &rq));
        rq_fini(&rq);
        expect_result(1, 1);
        unsigned kind = reason == REJECT_BAD_HISTOGRAM ? LEDGER_HISTOGRAM : LEDGER_FLOAT;
        assert_int_equal(machine.result.rejected[kind], 1);
        snprintf(counted, sizeof counted, "refused: 1 %s", reject_word((enum reject)reason));
        if (strstr(machine.result.text, counted) == NULL)
            fail_msg("%s: %s", counted, machine.result.text);
        machine_commit(&machine);
        struct ledger l = machine_ledger(&machine, tenant);
        assert_int_equal(l.count[kind][LEDGER_REJECTED + reason], 1);
        assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_ACCEPTED], 1);
        char lines[100];
        snprintf(lines, sizeof lines, "{__name__=\"good\"} %lld 1\n", (long long)T0);
        expect_all(&machine, tenant, lines);
    }
    machine_verified_restart(&machine);
}

/* Sends a float, a histogram and an exemplar of a series without a name, next to one
 * with a name. */
static void
send_nameless(enum rw_version version, bool refused)
{
    static int64_t later_ms;
    struct rq rq;
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT};
    later_ms += 10;
    rq_init(&rq, version);
    rq_series(&rq, "__name__=good");
    rq_float(&rq, T0 + later_ms, double_bits(1), 0);
    rq_series(&rq, "job=nameless,__name__=");
    rq_float(&rq, T0 + later_ms, double_bits(1), 0);
    rq_histogram(&rq, T0 + later_ms + 1, &h, 0);
    rq_exemplar(&rq, T0 + later_ms, double_bits(1), "trace_id=abc");
    must(machine_send(&machine, "a", &rq));
    rq_fini(&rq);
    expect_result(refused ? 1 : 4, refused ? 3 : 0);
    assert_int_equal(strstr(machine.result.text, "refused: 3 missing_name;") != NULL, refused);
    machine_commit(&machine);
}

UNIT_TEST(test_a_required_name_is_required_of_known_series_too)
{
    static const struct {
        enum name_rule rule;
        bool refused_1, refused_2;
    } cases[] = {{NAME_AUTO, false, true}, {NAME_ALWAYS, true, true}, {NAME_NEVER, false, false}};
    for (unsigned i = 0; i < 2 * sizeof cases / sizeof *cases; i++) { /* new, then known */
        const unsigned at = i % (sizeof cases / sizeof *cases);
        machine.limits.require_name = cases[at].rule;
        tsdb_set_limits(machine.db, &machine.limits);
        send_nameless(RW_V2, cases[at].refused_2);
        send_nameless(RW_V1, cases[at].refused_1);
        send_nameless(RW_V2, cases[at].refused_2);
        if (i == 3) machine_flush(&machine);
    }
    struct ledger l = machine_ledger(&machine, "a");
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        assert_int_equal(l.count[k][LEDGER_REJECTED + REJECT_MISSING_NAME], 10);
    machine_verified_restart(&machine);
}

/* Returns the version that a program needs to read MANIFEST. */
static unsigned
manifest_min_reader(void)
{
    uint8_t at[16];
    struct file file;
    must(file_open(machine.env, STORE_DIR "/MANIFEST", FILE_READ, &file, NULL));
    must(file_read_at(&file, at, sizeof at, 0, NULL));
    must(file_close(&file));
    return load_le16(at + 10);
}

static enum err
note_version(void *context, const struct wal_record *record, struct why *why)
{
    (void)why;
    unsigned *newest = context;
    if (record->version > *newest) *newest = record->version;
    return OK;
}

static unsigned
log_newest_version(void)
{
    unsigned newest = 0;
    struct wal_damage damage;
    must(wal_verify(machine.env, STORE_DIR "/wal", 0, false, note_version, &newest, &damage, NULL));
    return newest;
}

UNIT_TEST(test_a_directory_becomes_newer_only_when_a_new_reason_was_counted)
{
    for (unsigned reason = 1; reason <= REJECT_MISSING_NAME; reason++) {
        struct rq rq;
        bool newer = reason == REJECT_MISSING_NAME;
        machine.limits.require_name = newer ? NAME_ALWAYS : NAME_AUTO;
        machine.limits.tenant_series_max = reason == REJECT_SERIES_LIMIT ? 1 : 0;
        machine.options.tenants_max = 100;
        machine_restart(&machine);
        char tenant[20];
        snprintf(tenant, sizeof tenant, "t%u", reason);
        rq_init(&rq, reason == REJECT_BAD_REFERENCE ? RW_V2 : RW_V1);
        rq_series(&rq, "__name__=good");
        rq_float(&rq, T0, double_bits(1), 0);
        put_refused(&rq, (enum reject)reason);
        must(machine_send(&machine, tenant, &rq));
        rq_fini(&rq);
        machine_commit(&machine);
        assert_int_equal(log_newest_version(), newer ? 2 : 1);
        /* the log keeps older programs from reading it */
        assert_int_equal(manifest_min_reader(), 2);
        machine_flush(&machine);
        assert_int_equal(manifest_min_reader(), newer ? 4 : 2);
        must(tsdb_maintain(machine.db, &machine.why)); /* ends the log */
    }
    machine_verified_restart(&machine);
}

static void
expect_series(const char *labels, bool taken)
{
    static int64_t later_ms;
    must(send_float("a", labels, T0 + ++later_ms, 1));
    if (taken) {
        expect_result(1, 0);
    } else {
        expect_result(0, 1);
        assert_non_null(strstr(machine.result.text, "1 series_limit"));
        char limit[80];
        bool tenant = strstr(machine.result.text, "the tenant has") != NULL;
        snprintf(limit, sizeof limit,
                 tenant ? "the tenant has reached write.max-series (%u)"
                        : "the metric has reached write.max-series-per-metric (%u)",
                 tenant ? machine.limits.tenant_series_max : machine.limits.metric_series_max);
        assert_non_null(strstr(machine.result.text, limit));
    }
    machine_commit(&machine);
}

UNIT_TEST(test_limits_of_series_refuse_new_ones_and_never_known_ones)
{
    machine.limits.tenant_series_max = 4;
    machine.limits.metric_series_max = 2;
    machine_restart(&machine);
    expect_series("__name__=m,i=1", true);
    expect_series("__name__=m,i=2", true);
    expect_series("__name__=m,i=3", false); /* the third of its metric */
    expect_series("__name__=n,i=1", true);
    expect_series("unnamed=1", true);
    expect_series("__name__=o", false); /* the fifth of all */
    expect_series("__name__=m,i=2", true);
    must(send_float("b", "__name__=o", T0, 1)); /* the limit of tenant "b" is its own */
    expect_result(1, 0);
    machine_flush(&machine);
    expect_series("__name__=n,i=1", true);
    expect_series("__name__=o", false);
    machine.limits.tenant_series_max = 5;
    tsdb_set_limits(machine.db, &machine.limits);
    expect_series("__name__=o", true);
    expect_series("__name__=p", false);
    machine_verified_restart(&machine);
    expect_series("__name__=m,i=1", true); /* the log has the known series */
    expect_series("__name__=p", false);
}

UNIT_TEST(test_dead_series_leave_room_under_a_limit_and_living_ones_keep_theirs)
{
    machine.limits.tenant_series_max = 3;
    machine_restart(&machine);
    expect_series("__name__=dies", true);
    expect_series("__name__=lives", true);
    expect_series("__name__=too", true);
    machine_flush(&machine);
    expect_series("__name__=lives", true);
    expect_series("__name__=too", true);
    expect_series("__name__=new", false);
    assert_false(tsdb_flush_due(machine.db));
    sim_env_advance_ns(machine.sim, 6 * MINUTE_MS * NS_PER_MS);
    /* one of the three is unused: the next cut removes it */
    assert_true(tsdb_flush_due(machine.db));
    tsdb_want_cut(machine.db);
    machine_commit(&machine);
    assert_true(tsdb_has_frozen(machine.db));
    expect_series("__name__=lives", true);
    must(tsdb_flush(machine.db, &machine.why));
    expect_series("__name__=new", true);
    /* it takes the slot of `too`, which is still to arrive */
    expect_series("__name__=newer", false);
    expect_series("__name__=too", true);
    machine_verified_restart(&machine);
}

UNIT_TEST(test_each_of_many_tenants_keeps_its_own)
{
    enum { TENANTS = 300 };
    char name[20], lines[100];
    machine.options.tenants_max = TENANTS;
    machine_restart(&machine);
    for (int i = 0; i < TENANTS; i++) {
        snprintf(name, sizeof name, "t%d", i);
        must(send_float(name, "__name__=own", T0, i));
    }
    machine_commit(&machine);
    assert_int_equal(send_float("one_too_many", "__name__=own", T0, 1), ERR_INPUT);
    machine_verified_restart(&machine);
    for (int i = 0; i < TENANTS; i++) {
        snprintf(name, sizeof name, "t%d", i);
        snprintf(lines, sizeof lines, "{__name__=\"own\"} %lld %d\n", (long long)T0, i);
        expect_all(&machine, name, lines);
    }
}

static void
find_flush_peak(void *context, const struct budget *budget)
{
    if (strcmp(budget->name, "flush") == 0) *(uint64_t *)context = budget->peak_bytes;
}

/* Arrays as long as the generation are allocated once, not for each tenant. */
UNIT_TEST(test_flush_of_many_tenants_takes_no_more_memory_than_of_one)
{
    enum { TENANTS = 200, SERIES = 10000 };
    char text[40];
    struct rq rq;
    uint64_t peak = 0;
    machine.options.tenants_max = TENANTS + 1;
    machine_restart(&machine);
    rq_init(&rq, RW_V1);
    for (int i = 0; i < SERIES; i++) {
        snprintf(text, sizeof text, "__name__=large,x=%d", i);
        rq_series(&rq, text);
        rq_float(&rq, T0, double_bits(i), 0);
        rq_exemplar(&rq, T0, double_bits(i), "");
    }
    must(machine_send(&machine, "large", &rq));
    rq_fini(&rq);
    for (int i = 0; i < TENANTS; i++) {
        snprintf(text, sizeof text, "t%d", i);
        must(send_float(text, "__name__=small", T0, i));
    }
    machine_commit(&machine);
    machine_flush(&machine);
    tsdb_budgets(machine.db, find_flush_peak, &peak);
    assert_in_range(peak, 1, 4 * 1024 * 1024);
    machine_verified_restart(&machine);
}

UNIT_TEST(test_first_offenders_are_named_and_all_are_counted)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (int i = 0; i < 1000; i++) {
        char labels[60];
        snprintf(labels, sizeof labels, "__name__=bad%d,x=%s", i, i % 2 == 0 ? "\xff" : "ok");
        rq_series(&rq, labels);
        rq_float(&rq, i % 2 == 0 ? T0 : SIM_BEGIN + DAY_MS, 0, 0);
    }
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    expect_result(0, 1000);
    assert_int_equal(machine.result.wait_epoch, 0);
    assert_non_null(strstr(machine.result.text, "__name__=\"bad0\""));
    assert_non_null(strstr(machine.result.text, "__name__=\"bad2\""));
    assert_null(strstr(machine.result.text, "__name__=\"bad3\""));
    assert_ptr_equal(
        strstr(machine.result.text, "refused: 500 bad_utf8, 500 too_far_in_future; bad_utf8 at "),
        machine.result.text);
    machine_commit(&machine); /* refused samples are in the durable ledger */
    machine_verified_restart(&machine);
    assert_int_equal(ledger_rejected(&(struct ledger){0}, LEDGER_FLOAT), 0);
    struct ledger l = machine_ledger(&machine, "anonymous");
    assert_int_equal(ledger_rejected(&l, LEDGER_FLOAT), 1000);
}

UNIT_TEST(test_refused_exemplars_leave_the_text_to_refused_samples)
{
    static const char *const names[] = {"__name__=bad0", "__name__=bad1", "__name__=bad2"};
    struct rq rq;
    for (int i = 0; i < 3; i++)
        must_send_float("a", names[i], T0, 1);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=good");
    rq_float(&rq, T0, 0, 0);
    for (int i = 0; i < 5; i++)
        rq_exemplar(&rq, T0 + i, 0, "trace=\xff");
    for (int i = 0; i < 3; i++) {
        rq_series(&rq, names[i]);
        rq_float(&rq, T0, double_bits(2), 0);
    }
    must(machine_send(&machine, "a", &rq));
    rq_fini(&rq);
    expect_result(1, 8);
    assert_int_equal(machine.result.rejected[LEDGER_EXEMPLAR], 5);
    static const char *const in_order[] = {
        "refused: ",           "5 bad_utf8",
        "; bad_utf8 at ",      "{__name__=\"good\"}: exemplar; conflict at ",
        "{__name__=\"bad0\"}", "{__name__=\"bad1\"}",
        "{__name__=\"bad2\"}"};
    const char *at = machine.result.text;
    for (unsigned i = 0; i < sizeof in_order / sizeof *in_order; i++) {
        at = strstr(at, in_order[i]);
        if (at == NULL) fail_msg("%s: %s", in_order[i], machine.result.text);
    }
    machine_commit(&machine);
}

UNIT_TEST(test_series_of_which_nothing_is_stored_costs_nothing)
{
    struct tsdb_stats stats;
    struct rq rq;
    must(send_float("anonymous", "__name__=now", SIM_BEGIN, 1));
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=empty");
    rq_series(&rq, "__name__=old");
    rq_float(&rq, SIM_BEGIN - 366 * DAY_MS, 0, 0);
    rq_exemplar(&rq, SIM_BEGIN - 366 * DAY_MS, 0, "trace=1");
    rq_series(&rq, "__name__=new");
    rq_float(&rq, SIM_BEGIN + DAY_MS, 0, 0);
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    expect_result(0, 3);
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.head_series, 1);
    machine_commit(&machine);
    machine_verified_restart(&machine);
}

UNIT_TEST(test_the_reason_of_a_refusal_is_one_clean_line)
{
    struct rq rq;
    rq_init(&rq, RW_V2);
    for (int i = 0; i < 3; i++) {
        rq_series(&rq, "__name__=a\n\x1b[31m\"\\\xc3\xa4\xff,b=cut"
                       "0123456789012345678901234567890123456789012345678901234567890\xc3\xa4");
        rq_float(&rq, T0, 0, 0);
    }
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    expect_result(0, 3);
    const char *text = machine.result.text;
    assert_non_null(strstr(text, "{__name__=\"a\\n\\x1b[31m\\\"\\\\\xc3\xa4\\xff\", b=\"cut"));
    assert_true(strlen(text) < sizeof machine.result.text);
    for (const char *p = text; *p != '\0'; p++)
        assert_true((uint8_t)*p >= 0x20);
}

/* --- the same again --------------------------------------------------------------------------- */

static void
expect_first_stays(void)
{
    must(send_float("anonymous", "__name__=up,job=a", T0, 1));
    expect_result(1, 0);
    must(send_float("anonymous", "job=a,__name__=up", T0, 2));
    expect_result(0, 1);
}

UNIT_TEST(test_first_arrival_stays_pending_durable_and_frozen)
{
    char lines[100];
    snprintf(lines, sizeof lines, "{__name__=\"up\", job=\"a\"} %lld 1\n", (long long)T0);
    must(send_float("anonymous", "__name__=up,job=a", T0, 1));
    uint64_t epoch = machine.result.wait_epoch;
    assert_true(epoch > wal_durable_epoch(tsdb_wal(machine.db)));
    expect_first_stays(); /* pending: these answers wait for that commit as well */
    assert_int_equal(machine.result.wait_epoch, epoch);
    machine_commit(&machine);
    expect_first_stays();
    assert_int_equal(machine.result.wait_epoch, 0);
    tsdb_want_cut(machine.db);
    machine_commit(&machine);
    assert_true(tsdb_has_frozen(machine.db));
    expect_first_stays();
    assert_int_equal(machine.result.wait_epoch, 0);
    machine_commit(&machine);
    struct ledger l = machine_ledger(&machine, "anonymous");
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_RECEIVED], 7);
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_ACCEPTED], 1);
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_DUPLICATE], 3);
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_REJECTED + REJECT_CONFLICT], 3);
    must(tsdb_flush(machine.db, &machine.why));
    expect_at_every_stage("anonymous", lines);
}

UNIT_TEST(test_first_arrival_in_a_part_is_read)
{
    char lines[100];
    snprintf(lines, sizeof lines, "{__name__=\"up\"} %lld 1\n", (long long)T0);
    for (int i = 0; i < 3; i++) {
        must(send_float("anonymous", "__name__=up", T0, i == 1 ? 2 : 1));
        expect_result(1, 0);
        machine_commit(&machine);
        expect_all(&machine, "anonymous", lines);
        machine_flush(&machine);
        expect_at_every_stage("anonymous", lines);
    }
}

UNIT_TEST(test_repetitions_in_one_request_are_judged_in_order)
{
    struct rq rq;
    char lines[200];
    rq_init(&rq, RW_V2);
    rq_series(&rq, "__name__=up");
    rq_float(&rq, T0, double_bits(1), 0);
    rq_float(&rq, T0, double_bits(2), 0);
    rq_float(&rq, T0, double_bits(1), 0);
    rq_float(&rq, T0 + 5, double_bits(3), 0);
    rq_series(&rq, "__name__=up,empty=");
    rq_float(&rq, T0 + 5, double_bits(3), 0);
    rq_float(&rq, T0 + 2, double_bits(4), 0);
    rq_float(&rq, T0 + 2, double_bits(5), 0);
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    expect_result(5, 2);
    machine_commit(&machine);
    snprintf(lines, sizeof lines,
             "{__name__=\"up\"} %lld 1\n{__name__=\"up\"} %lld 4\n{__name__=\"up\"} %lld 3\n",
             (long long)T0, (long long)T0 + 2, (long long)T0 + 5);
    expect_at_every_stage("anonymous", lines);
}

UNIT_TEST(test_float_and_histogram_conflict_at_one_time)
{
    struct rq rq;
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .sum_bits = double_bits(7)};
    struct histogram other = {.kind = SAMPLE_HISTOGRAM_FLOAT, .sum_bits = double_bits(7)};
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=x");
    rq_float(&rq, T0, double_bits(1), 0);
    rq_histogram(&rq, T0, &h, 0);
    rq_histogram(&rq, T0 + 1, &h, 0);
    rq_histogram(&rq, T0 + 1, &h, 0);
    rq_histogram(&rq, T0 + 1, &other, 0);
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    expect_result(3, 2);
    assert_int_equal(machine.result.rejected[LEDGER_HISTOGRAM], 2);
    machine_commit(&machine);
    char lines[100];
    snprintf(lines, sizeof lines, "{__name__=\"x\"} %lld 1\n{__name__=\"x\"} %lld h7\n",
             (long long)T0, (long long)T0 + 1);
    expect_at_every_stage("anonymous", lines);
}

/* --- identity of series ----------------------------------------------------------------------- */

UNIT_TEST(test_labels_in_any_order_and_with_empty_values_are_one_series)
{
    static const char *const forms[] = {"__name__=m,a=1,b=2", "b=2,a=1,__name__=m",
                                        "a=1,empty=,b=2,__name__=m"};
    char lines[600] = "";
    for (int i = 0; i < 6; i++) {
        struct rq rq;
        rq_init(&rq, i < 3 ? RW_V1 : RW_V2);
        rq_series(&rq, forms[i % 3]);
        rq_float(&rq, T0 + i, double_bits(i), 0);
        must(machine_send(&machine, "anonymous", &rq));
        rq_fini(&rq);
        size_t used = strlen(lines);
        snprintf(lines + used, sizeof lines - used, "{__name__=\"m\", a=\"1\", b=\"2\"} %lld %d\n",
                 (long long)T0 + i, i);
    }
    machine_commit(&machine);
    struct tsdb_stats stats;
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.head_series, 1);
    expect_at_every_stage("anonymous", lines);
}

UNIT_TEST(test_tenants_never_see_each_other)
{
    char lines[3][100];
    static const char *const names[] = {"b", "anonymous", "a"};
    for (int stage = 0; stage < 2; stage++) {
        for (int i = 0; i < 3; i++) {
            must(send_float(names[i], "__name__=up,job=x", T0, i + 1));
            expect_result(1, 0);
            snprintf(lines[i], sizeof lines[i], "{__name__=\"up\", job=\"x\"} %lld %d\n",
                     (long long)T0, i + 1);
        }
        machine_commit(&machine);
        for (int i = 0; i < 3; i++)
            expect_at_every_stage(names[i], lines[i]);
        expect_all(&machine, "nobody", "");
    }
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 2);
}

UNIT_TEST(test_too_many_tenants_are_refused)
{
    char name[10];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "t%d", i);
        must(send_float(name, "__name__=up", T0, 1));
    }
    assert_int_equal(send_float("t4", "__name__=up", T0, 1), ERR_INPUT);
    assert_non_null(strstr(machine.why.text, "too many tenants"));
    struct rq rq;
    rq_init(&rq, RW_V1); /* an empty request makes no tenant */
    must(machine_send(&machine, "t5", &rq));
    rq_fini(&rq);
    must(send_float("t3", "__name__=up", T0 + 1, 1));
    machine_commit(&machine);
    machine_verified_restart(&machine);
    assert_int_equal(send_float("t4", "__name__=up", T0, 1), ERR_INPUT);
}

UNIT_TEST(test_start_times_are_kept)
{
    struct rq rq;
    rq_init(&rq, RW_V2);
    rq_series(&rq, "__name__=c_total");
    rq_float(&rq, T0 + 10, double_bits(1), T0);
    rq_float(&rq, T0 + 20, double_bits(2), 0);
    rq_float(&rq, T0 + 15, double_bits(3), T0 + 12);
    rq_float(&rq, T0 + 10, double_bits(1), T0 + 1); /* a repeat: start times do not matter */
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    expect_result(4, 0);
    machine_commit(&machine);
    char lines[300];
    snprintf(lines, sizeof lines,
             "{__name__=\"c_total\"} %lld 1 since %lld\n{__name__=\"c_total\"} %lld 3 since %lld\n"
             "{__name__=\"c_total\"} %lld 2\n",
             (long long)T0 + 10, (long long)T0, (long long)T0 + 15, (long long)T0 + 12,
             (long long)T0 + 20);
    expect_at_every_stage("anonymous", lines);
}

struct expected_order {
    uint32_t count;
    int64_t next;
};

static void
next_minute(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    struct expected_order *x = context;
    (void)labels;
    assert_int_equal(b->times_ms[i], x->next);
    assert_int_equal(b->value_bits[i], double_bits((double)x->next));
    x->next += 1000;
    x->count++;
}

static void
expect_order(uint32_t count)
{
    struct question q;
    struct expected_order x = {0, T0 - 5000000};
    question_init(&q, "anonymous", every_series, 1, 0, INT64_MAX);
    must(machine_select(&machine, &q, next_minute, &x));
    assert_int_equal(x.count, count);
    question_fini(&q);
}

UNIT_TEST(test_large_requests_in_any_order_are_taken_whole)
{
    enum { COUNT = 20000 };
    struct rq rq;
    struct rng rng = {7};
    rq_init(&rq, RW_V1);
    static uint32_t order[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t j = (uint32_t)rng_below(&rng, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        int64_t t = T0 - 5000000 + order[i] * 1000LL;
        if (i % 1500 == 0) rq_series(&rq, "__name__=shuffled");
        if (t > SIM_BEGIN) continue;
        rq_float(&rq, t, double_bits((double)t), 0);
    }
    must(machine_send(&machine, "anonymous", &rq));
    uint32_t count = (uint32_t)machine.result.written[LEDGER_FLOAT];
    expect_result(count, 0);
    assert_true(count > 2 * 4096);
    machine_commit(&machine);
    expect_order(count);
    must(machine_send(&machine, "anonymous", &rq)); /* all of it again */
    expect_result(count, 0);
    assert_int_equal(machine.result.wait_epoch, 0);
    rq_fini(&rq);
    machine_verified_restart(&machine);
    expect_order(count);
    machine_flush(&machine);
    machine_verified_restart(&machine);
    expect_order(count);
}

UNIT_TEST(test_many_series_in_one_request)
{
    struct rq rq;
    rq_init(&rq, RW_V2);
    for (int i = 0; i < 3000; i++) {
        char labels[50];
        snprintf(labels, sizeof labels, "__name__=m,i=%d", i % 2000);
        rq_series(&rq, labels);
        rq_float(&rq, T0 + i / 2000, double_bits(i), 0);
    }
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    expect_result(3000, 0);
    machine_commit(&machine);
    struct tsdb_stats stats;
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.head_series, 2000);
    assert_int_equal(stats.head_samples, 3000);
    machine_flush(&machine);
    machine_verified_restart(&machine);
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.part_series, 2000);
    assert_int_equal(stats.part_samples, 3000);
}

/* --- not looked at before --------------------------------------------------------------------- */

/* Does the same as machine_send(), but ends at the first verdict. */
static enum err
ingest_unchecked(struct rq *rq)
{
    rq_close(rq);
    machine.request.keys = tsdb_fingerprint_keys(machine.db);
    must(rw_decode_unchecked(&machine.request, rq->version, buf_bytes(&rq->out),
                             tsdb_hash_seed(machine.db), &machine.why));
    return tsdb_ingest(machine.db, text("a"), &machine.request, &machine.result, &machine.why);
}

/* Adds a series that ends like one with one float, and has `before` where labels are expected. */
static void
put_look_alike(struct rq *rq, struct bytes before, int64_t t_ms)
{
    rq_close(rq);
    struct buf item;
    buf_init(&item, NULL, 4096);
    buf_put_bytes(&item, before);
    uint8_t tail[2 + 9 + 1] = {0x12, 16, 0x09};
    tail[11] = 0x10;
    buf_put(&item, tail, sizeof tail);
    buf_put_varint(&item, (uint64_t)t_ms);
    rq_field(&rq->out, 1, buf_bytes(&item));
    buf_fini(&item);
}

UNIT_TEST(test_a_request_with_a_malformed_series_stores_nothing)
{
    static const uint8_t cut[] = {0x0a, 6, 0x0a, 1, 'a', 0x12, 9, 'b'};
    const int64_t t = T0;
    for (uint32_t before = 0; before <= 5000; before += 2500) {
        struct rq rq;
        rq_init(&rq, RW_V1);
        for (uint32_t i = 0; i < before; i++) {
            char labels[64];
            snprintf(labels, sizeof labels, "__name__=x;i=%u", i);
            rq_series(&rq, labels);
            rq_float(&rq, t, double_bits(1), 0);
        }
        put_look_alike(&rq, bytes_of(cut, sizeof cut), t);
        assert_int_equal(ingest_unchecked(&rq), ERR_INPUT);
        rq_fini(&rq);
        expect_all(&machine, "a", "");
    }
}

UNIT_TEST(test_a_series_mistaken_for_one_float_is_stored_whole)
{
    /* Labels, then a float with a value, and one of zero before the last. */
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=x");
    rq_float(&rq, T0, double_bits(2), 0);
    rq_float(&rq, T0 + 1, 0, 0);
    rq_float(&rq, T0 + 2, double_bits(3), 0);
    assert_int_equal(ingest_unchecked(&rq), ERR_INPUT);
    expect_all(&machine, "a", "");
    rq_fini(&rq);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=x");
    rq_float(&rq, T0, double_bits(2), 0);
    rq_float(&rq, T0 + 1, 0, 0);
    rq_float(&rq, T0 + 2, double_bits(3), 0);
    assert_int_equal(machine_send(&machine, "a", &rq), OK);
    rq_fini(&rq);
    expect_result(3, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_each_reason_refuses_one_sample_and_says_so),
        claim(test_a_required_name_is_required_of_known_series_too),
        claim(test_a_directory_becomes_newer_only_when_a_new_reason_was_counted),
        claim(test_limits_of_series_refuse_new_ones_and_never_known_ones),
        claim(test_dead_series_leave_room_under_a_limit_and_living_ones_keep_theirs),
        claim(test_each_of_many_tenants_keeps_its_own),
        claim(test_flush_of_many_tenants_takes_no_more_memory_than_of_one),
        claim(test_first_offenders_are_named_and_all_are_counted),
        claim(test_refused_exemplars_leave_the_text_to_refused_samples),
        claim(test_series_of_which_nothing_is_stored_costs_nothing),
        claim(test_the_reason_of_a_refusal_is_one_clean_line),
        claim(test_first_arrival_stays_pending_durable_and_frozen),
        claim(test_first_arrival_in_a_part_is_read),
        claim(test_repetitions_in_one_request_are_judged_in_order),
        claim(test_float_and_histogram_conflict_at_one_time),
        claim(test_labels_in_any_order_and_with_empty_values_are_one_series),
        claim(test_tenants_never_see_each_other),
        claim(test_too_many_tenants_are_refused),
        claim(test_start_times_are_kept),
        claim(test_large_requests_in_any_order_are_taken_whole),
        claim(test_many_series_in_one_request),
        claim(test_a_request_with_a_malformed_series_stores_nothing),
        claim(test_a_series_mistaken_for_one_float_is_stored_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
