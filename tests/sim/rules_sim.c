/* rules_sim.c - see rules_sim.h. */
#include "sim/rules_sim.h"

/* Each tenant has its own SIM_SERIES series. */
static const char *const sim_tenants[] = {"t", "u"};

/* --- the host --------------------------------------------------------------------------------- */

/* Gives the store all memory while a job has none, as other tests cover the store. mem_fail_nth()
 * with the result ends this. */
static uint64_t
sim_hold_failures(void)
{
    uint64_t left = mem_fail_left();
    mem_fail_nth(0, false);
    return left;
}

/* Counts a step of the host. Returns true if the power failed before it. */
static bool
sim_is_dead(struct rules_sim *s)
{
    if (s->dies_in > 0 && --s->dies_in == 0) s->is_dead = true;
    return s->is_dead;
}

static enum err
sim_write(void *context, struct bytes tenant, struct bytes message, struct rules_written *ret,
          struct why *why)
{
    struct rules_sim *s = context;
    struct ingest_result result;
    if (s->write_fails || sim_is_dead(s)) return why_set(why, ERR_AGAIN, "the test says no");
    s->m.request.keys = tsdb_fingerprint_keys(s->m.db);
    uint64_t left = sim_hold_failures();
    enum err e = rw_decode(&s->m.request, RW_V1, message, tsdb_hash_seed(s->m.db), why);
    if (e == OK) e = tsdb_ingest_own(s->m.db, tenant, &s->m.request, &result, why);
    mem_fail_nth(left, false);
    if (e) return e;
    s->rejected += result.rejected_total;
    *ret = (struct rules_written){
        .ticket = result.wait_epoch,
        .rejected = result.rejected_total,
        .conflicts = result.rejected_for[REJECT_CONFLICT],
    };
    snprintf(ret->text, sizeof ret->text, "%.200s", result.text);
    return OK;
}

/* Fails the disk; writes since the last commit are undone. */
static void
sim_fail_commit(struct rules_sim *s)
{
    fault_env_arm(s->m.fe, (struct fault){FAULT_SYNC, 1, true});
    assert_int_not_equal(tsdb_commit(s->m.db, &s->m.why), OK);
    fault_env_disarm(s->m.fe);
    must(tsdb_reopen(s->m.db, &s->m.why));
}

static enum err
sim_settle(void *context, uint64_t ticket, struct why *why)
{
    struct rules_sim *s = context;
    if (sim_is_dead(s)) return why_set(why, ERR_AGAIN, "the test says no");
    if (s->settle_hangs) return why_set(why, ERR_CANCELED, "the test says not yet");
    uint64_t left = sim_hold_failures();
    bool fails = s->settle_fails && tsdb_commit_due(s->m.db);
    if (fails)
        sim_fail_commit(s);
    else if (tsdb_commit_due(s->m.db))
        must(tsdb_commit(s->m.db, why));
    mem_fail_nth(left, false);
    assert_int_equal(tsdb_epoch(s->m.db, ticket), fails ? TSDB_EPOCH_VOID : TSDB_EPOCH_DURABLE);
    return fails ? why_set(why, ERR_AGAIN, "the test says no") : OK;
}

static void
sim_note_sent(struct rules_sim *s, const struct alert_notice *notices, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sim_sent *t = &s->sent[s->sent_count++];
        struct buf to;
        assert_true(s->sent_count < SIM_SENT_MAX);
        buf_init(&to, NULL, sizeof t->labels - 1);
        labels_print(&to, notices[i].labels);
        snprintf(t->labels, sizeof t->labels, "%.*s", (int)to.size, (const char *)to.at);
        buf_fini(&to);
        t->at_ns = env_realtime_ms(s->m.env) * NS_PER_MS;
        t->starts_ns = notices[i].starts_ns;
        t->ends_ns = notices[i].ends_ns;
    }
}

static void
sim_notify(void *context, const struct alert_notice *notices, uint32_t count)
{
    struct rules_sim *s = context;
    if (sim_is_dead(s)) return;
    uint64_t left = sim_hold_failures();
    if (s->notify != NULL)
        s->notify(s, notices, count);
    else
        sim_note_sent(s, notices, count);
    mem_fail_nth(left, false);
}

static void
sim_wait(struct rules_sim *s, int64_t ns)
{
    if (s->wait != NULL)
        s->wait(s, ns);
    else
        sim_env_advance_ns(s->m.sim, ns);
}

enum err
sim_refuse_to_open(void *context, struct query_control *control, struct view **ret_view,
                   struct why *why)
{
    (void)context, (void)control, (void)ret_view;
    return why_set(why, ERR_NOMEM, "the test says no");
}

enum err
sim_open(void *context, struct query_control *control, struct view **ret_view, struct why *why)
{
    struct rules_sim *s = context;
    if (s->slow_ms > 0)
        sim_wait(s, (int64_t)(sim_env_random(s->m.sim) % (uint64_t)s->slow_ms) * NS_PER_MS);
    return view_open(tsdb_answerer(s->m.db), control, ret_view, why);
}

/* --- life ------------------------------------------------------------------------------------- */

static int64_t
sim_now_s(const struct rules_sim *s)
{
    return env_realtime_ms(s->m.env) / 1000;
}

void
sim_load(struct rules_sim *s, const char *yaml)
{
    static const char *const names[SIM_FILES_MAX] = {"rules.yml", "more.yml"};
    struct rule_file_options options = {.report = NULL};
    struct group_defaults defaults = {60000, 0};
    struct scheduler_change *change;
    struct why why = {""};
    uint32_t count = 0;
    arena_fini(&s->arena);
    arena_init(&s->arena, NULL, 16 << 20, 0);
    for (unsigned f = 0; f < SIM_FILES_MAX && yaml != NULL; f++) {
        const char *end = strstr(yaml, "---\n");
        struct bytes one = end == NULL ? text(yaml) : bytes_of(yaml, (size_t)(end - yaml));
        struct rule_groups *file = &s->files[f];
        if (rule_file_parse(names[f], one, &options, &s->arena, file, &why))
            fail_msg("%s", why.text);
        for (unsigned t = s->first_tenant; t < s->tenant_count; t++) {
            for (uint32_t i = 0; i < file->count; i++) {
                assert_true(count < SIM_GROUPS_MAX);
                s->list[count++] = (struct scheduler_group){text(sim_tenants[t]), &file->items[i]};
            }
        }
        yaml = end == NULL ? NULL : end + 4;
    }
    if (scheduler_prepare(s->scheduler, s->list, count, &defaults, &change, &why))
        fail_msg("%s", why.text);
    scheduler_commit(change, &s->limits, env_realtime_ms(s->m.env) * NS_PER_MS);
    s->quiet_until_ns = 0;
}

static enum err
sim_save(void *context, struct bytes file, struct why *why)
{
    struct rules_sim *s = context;
    uint64_t left = sim_hold_failures();
    enum err e = OK;
    bool fails = s->save_fails || sim_is_dead(s);
    if (!fails) must(tsdb_sync(s->m.db, why));
    fails |= sim_is_dead(s);
    e = fails ? why_set(why, ERR_IO, "the test says no")
              : checkpoint_replace(s->m.env, STORE_DIR, file, why);
    mem_fail_nth(left, false);
    return e;
}

static const char *
sim_refuses(void *context)
{
    struct rules_sim *s = context;
    return s->write_fails ? "the test says no" : NULL;
}

static void
sim_arrivals(void *context, struct bytes tenant, struct rules_arrivals *ret)
{
    struct rules_sim *s = context;
    struct tsdb_arrivals a = tsdb_arrivals(s->m.db, tenant);
    *ret = (struct rules_arrivals){a.recent_ns, a.late_ns, a.sent_ms};
}

static void
sim_watch(void *context, struct time_range late)
{
    struct rules_sim *s = context;
    tsdb_watch_arrivals(s->m.db, late);
}

static void
sim_begin_scheduler(struct rules_sim *s)
{
    struct checkpoint_reader checkpoint;
    enum err e = checkpoint_read(s->m.env, STORE_DIR, NULL, &checkpoint, &s->m.why);
    assert_true(e == OK || e == ERR_MISSING);
    must(scheduler_new(&s->host, e == OK ? &checkpoint : NULL,
                       s->lost_from_ns > 0 ? s->lost_from_ns : INT64_MAX, &s->scheduler));
    checkpoint_fini(&checkpoint);
}

void
sim_start(struct rules_sim *s, const char *yaml)
{
    machine_must_open(&s->m);
    sim_begin_scheduler(s);
    sim_load(s, yaml);
}

void
sim_init(struct rules_sim *s, uint64_t seed, const char *yaml)
{
    memset(s, 0, sizeof *s);
    machine_init(&s->m, seed);
    s->reality = seed;
    s->tenant_count = 1;
    budget_init(&s->memory, "rules", 0, NULL);
    s->host = (struct rules_host){
        .env = s->m.env,
        .memory = &s->memory,
        .seed = 1,
        .write = sim_write,
        .settle = sim_settle,
        .send = sim_notify,
        .save = sim_save,
        .refuses = sim_refuses,
        .arrivals = sim_arrivals,
        .watch = sim_watch,
        .fills_max = 4,
        .context = s,
    };
    s->terms = (struct rules_terms){
        .open = sim_open,
        .open_context = s,
        .resend_ns = 60 * NS_PER_S,
        .external_url = bytes_of("http://f", 8),
        .lookback_ms = 5 * MINUTE_MS,
    };
    s->limits = (struct scheduler_limits){
        .catch_up_ns = 24 * 3600 * NS_PER_S,
        .kept_ns = INT64_MAX,
        .catch_up_wait_ns = 600 * NS_PER_S,
        .outage_tolerance_ns = 3600 * NS_PER_S,
        .grace_ns = 600 * NS_PER_S,
    };
    arena_init(&s->arena, NULL, 16 << 20, 0);
    s->sent_s = SIM_BEGIN / 1000;
    sim_start(s, yaml);
}

void
sim_crash(struct rules_sim *s)
{
    scheduler_free(s->scheduler);
    s->scheduler = NULL;
    s->is_dead = false;
    s->dies_in = 0;
    sim_env_power_loss(s->m.sim);
    tsdb_free(s->m.db);
    s->m.db = NULL;
}

void
sim_stop(struct rules_sim *s)
{
    must(scheduler_save(s->scheduler, &s->m.why));
    scheduler_free(s->scheduler);
    s->scheduler = NULL;
    machine_close(&s->m);
}

void
sim_fini(struct rules_sim *s)
{
    scheduler_free(s->scheduler);
    assert_int_equal(budget_used(&s->memory), 0);
    arena_fini(&s->arena);
    machine_fini(&s->m);
}

/* --- the sender ------------------------------------------------------------------------------- */

uint64_t
sim_mix(uint64_t a, uint64_t b)
{
    return hash_mix(hash_mix(1, a), b);
}

/* Says whether a series exists: series come and go, for minutes at a time. */
static bool
sim_is_there(const struct rules_sim *s, unsigned series, int64_t t_s)
{
    if (series % SIM_SERIES < 2) return true;
    return sim_mix(s->reality + series, (uint64_t)(t_s / 420)) % 4 != 0;
}

static double
sim_value(const struct rules_sim *s, unsigned series, int64_t t_s)
{
    if (series % 2 == 0)
        return (double)(t_s - SIM_BEGIN / 1000 + 100000) * (series + 1); /* a counter */
    return (double)(sim_mix(s->reality ^ series, (uint64_t)(t_s / 180)) % 100);
}

/* Sends a scrape as Prometheus does: a series that has disappeared gets a staleness marker. */
static void
sim_put_scrape(struct rules_sim *s, struct rq *rq, unsigned series, int64_t t_s)
{
    char labels[80];
    bool there = sim_is_there(s, series, t_s);
    if (!there && !sim_is_there(s, series, t_s - SIM_SCRAPE_S)) return;
    snprintf(labels, sizeof labels, "__name__=%s,job=%c%u,n=%u",
             series % 2 == 0 ? "requests_total" : "load", 'j' + (int)(series / SIM_SERIES),
             series % 3, series);
    rq_series(rq, labels);
    uint64_t bits = STALE_NAN_BITS;
    double value = sim_value(s, series, t_s);
    if (there) memcpy(&bits, &value, sizeof bits);
    rq_float(rq, t_s * 1000 + series, bits, 0);
}

/* Sends the samples of a tenant's series in [from_s, to_s]. */
static void
sim_send_to(struct rules_sim *s, unsigned tenant, int64_t from_s, int64_t to_s)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (int64_t t = from_s; t <= to_s; t++)
        for (unsigned i = 0; i < SIM_SERIES && t % SIM_SCRAPE_S == 0; i++)
            sim_put_scrape(s, &rq, tenant * SIM_SERIES + i, t);
    rq_close(&rq);
    if (rq.out.size > 0) must(machine_send(&s->m, sim_tenants[tenant], &rq));
    rq_fini(&rq);
}

/* Sends all samples up to now. */
static void
sim_send(struct rules_sim *s)
{
    int64_t from_s = s->sent_s + 1, to_s = sim_now_s(s) - s->ahead_s;
    if (s->mute || to_s < from_s) return;
    if (s->per_second > 0 && to_s - s->sent_s > s->per_second) to_s = s->sent_s + s->per_second;
    s->sent_s = to_s;
    for (unsigned i = 0; i < s->tenant_count; i++)
        sim_send_to(s, i, from_s, to_s);
    if (tsdb_commit_due(s->m.db)) must(tsdb_commit(s->m.db, &s->m.why));
}

/* --- time ------------------------------------------------------------------------------------- */

/* Runs all jobs that are due; while queries are slow, a job is always due. */
static void
sim_evaluate(struct rules_sim *s)
{
    struct scheduler_job job;
    for (int i = 0; i < 5000; i++) {
        int64_t now_ns = env_realtime_ms(s->m.env) * NS_PER_MS;
        if (!scheduler_take(s->scheduler, now_ns, env_monotonic_ns(s->m.env), &job,
                            &s->quiet_until_ns)) {
            if (s->quiet_until_ns <= now_ns) fail_msg("no job is due, but one was announced");
            return;
        }
        if (now_ns < s->quiet_until_ns)
            fail_msg("job %d is due %lld ms before the time that scheduler_take() gave", job.work,
                     (long long)((s->quiet_until_ns - now_ns) / NS_PER_MS));
        s->quiet_until_ns = 0;
        scheduler_validate(s->scheduler);
        uint64_t chance = s->memory_fails ? sim_env_random(s->m.sim) : 0;
        if (s->memory_fails) mem_fail_nth(1 + chance % 200, chance >> 32 & 1);
        scheduler_run(s->scheduler, &job, &s->terms);
        mem_fail_nth(0, false);
        if (s->look != NULL && job.entry != NULL) s->look(s, &job);
        scheduler_done(s->scheduler, &job, env_monotonic_ns(s->m.env));
        scheduler_validate(s->scheduler);
        if (s->slow_ms > 0 || s->is_dead) return;
    }
    fail_msg("jobs are due without end");
}

void
sim_pass(struct rules_sim *s, int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i++) {
        sim_wait(s, NS_PER_S);
        if (s->m.db == NULL) continue;
        sim_send(s);
        sim_evaluate(s);
    }
}

void
sim_shift_clock(struct rules_sim *s, int64_t seconds)
{
    sim_env_set_realtime_ms(s->m.sim, env_realtime_ms(s->m.env) + seconds * 1000);
    if (s->has_own_clock) s->ahead_s += seconds;
    s->quiet_until_ns = 0;
}

/* --- stored samples --------------------------------------------------------------------------- */

/* Calls `each` for all samples of the series of a name, series by series. */
static void
sim_each_sample(struct rules_sim *s, const char *name_regex, int64_t min_ms, int64_t max_ms,
                void (*each)(void *context, struct bytes labels, int64_t t_ms, uint64_t bits),
                void *context)
{
    struct matcher *matcher;
    struct view *view;
    struct series_set *set;
    struct bytes labels;
    struct why why = {""};
    must(matcher_new(MATCH_REGEX, text("__name__"), text(name_regex), NULL, &matcher, &why));
    struct matcher_set sets = {&matcher, 1};
    struct query_request request = {
        .tenant = text("t"), .sets = &sets, .set_count = 1, .min_ms = min_ms, .max_ms = max_ms};
    must(view_open(tsdb_answerer(s->m.db), NULL, &view, &why));
    must(view_select(view, &request, &set, &why));
    for (;;) {
        struct sample_batch batch;
        must(series_set_next(set, &labels, &why));
        if (labels.at == NULL) break;
        for (;;) {
            must(series_set_batch(set, &batch, &why));
            if (batch.count == 0) break;
            for (uint32_t i = 0; i < batch.count; i++)
                each(context, labels, batch.times_ms[i], batch.value_bits[i]);
        }
    }
    series_set_free(set);
    view_free(view);
    matcher_free(matcher);
}

static void
sim_dump_sample(void *context, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    struct buf *to = context;
    double value;
    labels_print(to, labels);
    memcpy(&value, &bits, sizeof value);
    buf_printf(to, " %lld ", (long long)(t_ms - SIM_BEGIN));
    if (bits == STALE_NAN_BITS)
        buf_put_text(to, "stale\n");
    else
        buf_printf(to, "%.17g\n", value);
}

/* Appends a line for each sample. */
static void
sim_dump(struct rules_sim *s, const char *name_regex, int64_t min_ms, int64_t max_ms,
         struct buf *to)
{
    sim_each_sample(s, name_regex, min_ms, max_ms, sim_dump_sample, to);
    must(buf_error(to));
}

void
sim_begin(struct rules_sim *s, enum scheduler_work work, struct scheduler_job *job)
{
    int64_t until_ns;
    for (;;) {
        if (!scheduler_take(s->scheduler, env_realtime_ms(s->m.env) * NS_PER_MS,
                            env_monotonic_ns(s->m.env), job, &until_ns)) {
            sim_env_advance_ns(s->m.sim, NS_PER_S);
        } else if (job->work == work) {
            return;
        } else {
            scheduler_run(s->scheduler, job, &s->terms);
            scheduler_done(s->scheduler, job, env_monotonic_ns(s->m.env));
        }
    }
}

void
sim_end(struct rules_sim *s, struct scheduler_job *job)
{
    scheduler_run(s->scheduler, job, &s->terms);
    if (s->look != NULL) s->look(s, job);
    scheduler_done(s->scheduler, job, env_monotonic_ns(s->m.env));
}

static void
sim_find_sample(void *context, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    struct sim_found *f = context;
    (void)labels;
    f->samples++;
    if (bits == STALE_NAN_BITS) {
        f->stale++;
        f->stale_ms = t_ms;
    } else {
        if (f->samples == f->stale + 1) f->first_bits = bits;
        f->changes += bits != f->first_bits;
    }
}

struct sim_found
sim_find(struct rules_sim *s, const char *name_regex, int64_t min_ms)
{
    struct sim_found found = {0};
    sim_each_sample(s, name_regex, min_ms, INT64_MAX, sim_find_sample, &found);
    return found;
}

uint64_t
sim_seed_count(uint64_t usual)
{
    const char *given = getenv("SEEDS");
    return given == NULL ? usual : strtoull(given, NULL, 10);
}

void
sim_assert_same(struct rules_sim *whole, struct rules_sim *other, const char *name_regex,
                int64_t to_ms)
{
    struct buf dumps[2];
    for (int i = 0; i < 2; i++) {
        buf_init(&dumps[i], NULL, 256 << 20);
        sim_dump(i == 0 ? whole : other, name_regex, 0, to_ms, &dumps[i]);
        buf_put_u8(&dumps[i], '\0');
    }
    const char *x = (const char *)dumps[0].at, *y = (const char *)dumps[1].at;
    size_t i = 0, line = 0;
    assert_true(dumps[0].size > 10000);
    for (; x[i] == y[i] && x[i] != '\0'; i++)
        if (x[i] == '\n') line = i + 1;
    if (x[i] != y[i]) fail_msg("expected: %.200s\nthere is: %.200s", x + line, y + line);
    buf_fini(&dumps[0]);
    buf_fini(&dumps[1]);
}
