/*
 * tsdb_soak_test.c - days in the life of a store: scrapes, targets that come and go, late samples,
 * backfill, repetitions, deletions, retention, merges, snapshots, memory that runs out, crashes.
 * Every answer at any time consists of what was sent.
 *
 * SEED=n runs the random steps from another seed; STEPS=n runs that many; LONG=1 runs very many,
 * from several seeds; TELL=1 prints the use of memory and disk whenever everything is flushed and
 * merged.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_soak.h"
#include "tsdb/part/part.h"

/* --- the machine and the time ----------------------------------------------------------------- */

enum {
    TARGETS = 24,
    PATTERNS = 3,
    REMEMBERED = 16,
    BACKFILL_STEP_MS = 60000,
};

struct target {
    bool alive;
    uint32_t tenant;
    uint32_t incarnation;
    uint32_t series[SOAK_METRICS];
};

struct life {
    struct soak x;
    struct target targets[TARGETS];
    struct soak_request last[REMEMBERED]; /* sent requests, to be repeated */
    uint32_t last_next;
    char patterns[PATTERNS][80];
    struct matcher_text matchers[PATTERNS];
    int64_t next_look_ms; /* time to flush everything and measure memory and disk */
    uint32_t limited_for; /* steps */
    bool only_kills;      /* acknowledged when written: a power loss would lose it */
    /* Counts of events, printed at the end. */
    uint64_t queries, crashes, restarts, deletions, snapshots, merges, expired_parts, rests;
    uint64_t most_memory, most_disk;
};

static uint64_t
setting(const char *name, uint64_t otherwise)
{
    const char *given = getenv(name);
    return given == NULL ? otherwise : strtoull(given, NULL, 10);
}

static uint32_t
below(struct life *l, uint64_t limit)
{
    return (uint32_t)rng_below(&l->x.rng, limit);
}

static bool
one_in(struct life *l, uint32_t n)
{
    return below(l, n) == 0;
}

static int64_t
now_ms(struct life *l)
{
    return env_realtime_ms(l->x.m.env);
}

static void
wait_ms(struct life *l, int64_t ms)
{
    sim_env_advance_ns(l->x.m.sim, ms * NS_PER_MS);
}

/* --- targets ---------------------------------------------------------------------------------- */

/* Starts a target; half of them return with their old labels. */
static void
target_rise(struct life *l, uint32_t number)
{
    static const char *const jobs[] = {"node", "api", "db"};
    struct target *t = &l->targets[number];
    char labels[200], pod[40] = "";
    t->alive = true;
    t->incarnation++;
    t->tenant = number == 0 ? 0 : 1 + number % 2;
    if (number % 4 >= 2) snprintf(pod, sizeof pod, ",pod=p-%u-%u", number, t->incarnation);
    for (uint32_t i = 0; i < SOAK_METRICS; i++) {
        snprintf(labels, sizeof labels, "job=%s,instance=host-%u:9100,__name__=%s%s%s",
                 jobs[number % 3], number, soak_metrics[i].name, soak_metrics[i].more, pod);
        t->series[i] = soak_series_of(&l->x, t->tenant, labels, soak_metrics[i].class);
    }
}

/* Returns a target, alive or not. */
static struct target *
some_target(struct life *l)
{
    for (;;) {
        struct target *t = &l->targets[below(l, TARGETS)];
        if (t->incarnation > 0) return t;
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static struct soak_request *
request_begin(struct life *l, uint32_t tenant)
{
    struct soak_request *r = &l->last[l->last_next];
    l->last_next = (l->last_next + 1) % REMEMBERED;
    r->tenant = tenant;
    r->version = one_in(l, 3) ? RW_V2 : RW_V1;
    r->count = 0;
    r->help = one_in(l, 20) ? 1 + below(l, SOAK_HELPS) : 0;
    return r;
}

/* Sends a request; without memory, writes the head out and sends it again. */
static void
request_send(struct life *l, const struct soak_request *r)
{
    struct soak *x = &l->x;
    enum err e = soak_send(x, r);
    if (e == ERR_NOMEM) {
        soak_flush(x);
        e = soak_send(x, r);
    }
    soak_must(x, e, "ingest");
}

static uint8_t
code_of(const struct soak *x, const struct soak_request *r, uint32_t series)
{
    bool starts = r->version == RW_V2 && x->series[series].class == COUNTER;
    return starts ? CODE_START : CODE_PLAIN;
}

static void
add_target(struct life *l, struct soak_request *r, const struct target *t, int64_t t_ms, bool stale)
{
    for (uint32_t i = 0; i < SOAK_METRICS; i++) {
        uint32_t s = t->series[i];
        soak_add(r, s, SAMPLES, t_ms, stale ? CODE_STALE : code_of(&l->x, r, s));
        if (one_in(l, 150)) soak_add(r, s, EXEMPLARS, t_ms, CODE_PLAIN);
    }
}

static void
step_scrape(struct life *l)
{
    wait_ms(l, 15000);
    for (uint32_t tenant = 0; tenant < SOAK_TENANTS; tenant++) {
        struct soak_request *r = request_begin(l, tenant);
        for (uint32_t i = 0; i < TARGETS; i++) {
            struct target *t = &l->targets[i];
            if (!t->alive || t->tenant != tenant || one_in(l, 50)) continue;
            add_target(l, r, t, now_ms(l) + (one_in(l, 30) ? below(l, 20) : 0), false);
        }
        request_send(l, r);
    }
    if (!one_in(l, 8)) soak_commit(&l->x);
}

static void
step_churn(struct life *l)
{
    uint32_t number = 1 + below(l, TARGETS - 1), alive = 0;
    struct target *t = &l->targets[number];
    for (uint32_t i = 0; i < TARGETS; i++)
        alive += l->targets[i].alive;
    if (!t->alive) {
        if (alive < TARGETS / 2) target_rise(l, number);
        return;
    }
    if (alive < TARGETS / 6) return;
    struct soak_request *r = request_begin(l, t->tenant);
    if (!one_in(l, 4)) add_target(l, r, t, now_ms(l), true);
    request_send(l, r);
    t->alive = false;
}

static void
step_late(struct life *l)
{
    const struct target *t = some_target(l);
    struct soak_request *r = request_begin(l, t->tenant);
    int64_t at = now_ms(l) - below(l, one_in(l, 3) ? 8 * HOUR_MS : 5 * MINUTE_MS);
    uint32_t count = 1 + below(l, 12);
    for (uint32_t i = 0; i < SOAK_METRICS; i++) {
        if (!one_in(l, 3)) continue;
        for (uint32_t k = 0; k < count; k++) {
            soak_add(r, t->series[i], SAMPLES, at - (int64_t)below(l, 30) * 5000,
                     code_of(&l->x, r, t->series[i]));
        }
    }
    request_send(l, r);
}

/* Sends whole hours from days and months ago; some are older than the retention. */
static void
step_backfill(struct life *l)
{
    const struct target *t = some_target(l);
    struct soak_request *r = request_begin(l, t->tenant);
    int64_t hours_ago = 1 + below(l, one_in(l, 2) ? 48 : 24 * 70);
    int64_t begin = (now_ms(l) / HOUR_MS - hours_ago) * HOUR_MS;
    if (one_in(l, 3)) /* the end of retention, now or soon */
        begin = now_ms(l) - l->x.m.limits.retention_ms + below(l, 4 * HOUR_MS) - HOUR_MS;
    for (uint32_t i = 0; i < SOAK_METRICS; i++)
        for (int64_t at = begin; at < begin + HOUR_MS; at += BACKFILL_STEP_MS)
            soak_add(r, t->series[i], SAMPLES, at, CODE_PLAIN);
    request_send(l, r);
}

static void
step_repeat(struct life *l)
{
    const struct soak_request *r = &l->last[below(l, REMEMBERED)];
    request_send(l, r);
    if (one_in(l, 2)) request_send(l, r);
}

/* Sends other values at times that have one, of any age. */
static void
step_conflict(struct life *l)
{
    struct soak *x = &l->x;
    const struct target *t = some_target(l);
    struct soak_request *r = request_begin(l, t->tenant);
    for (uint32_t i = 0; i < SOAK_METRICS; i++) {
        const struct marks *m = &x->series[t->series[i]].marks[SAMPLES];
        if (m->count == 0 || !one_in(l, 3)) continue;
        uint32_t back = below(l, one_in(l, 2) ? m->count : m->count < 20 ? m->count : 20);
        const struct mark *k = &m->at[m->count - 1 - back];
        soak_add(r, t->series[i], SAMPLES, k->t_ms, (uint8_t)(1 + below(l, 3)));
    }
    request_send(l, r);
}

/* --- queries ---------------------------------------------------------------------------------- */

static void
pick_matcher(struct life *l, uint32_t at)
{
    static const char *const regexes[][2] = {
        {"__name__", "cpu_.*"},
        {"__name__", "up|limit|noise"},
        {"__name__", ".*_total"},
        {"job", "node|db"},
        {"job", "n.de"},
        {"instance", "host-1.*"},
        {"instance", "host-[357]:.+"},
        {"code", "2..|404"},
        {"pod", "p-.*-[12]"},
        {"pod", ""},
        {"mode", "user|"},
        {"queue", ".t."},
        {"nothing", ".*"},
        {"path", "/|/write"},
    };
    static const char *const names[] = {"up", "requests_total", "memory_bytes", "latency_seconds"};
    struct matcher_text *m = &l->matchers[at];
    bool negative = one_in(l, 4);
    m->pattern = l->patterns[at];
    if (one_in(l, 2)) {
        uint32_t which = below(l, sizeof regexes / sizeof regexes[0]);
        m->type = negative ? MATCH_NOT_REGEX : MATCH_REGEX;
        m->name = regexes[which][0];
        snprintf(l->patterns[at], sizeof l->patterns[at], "%s", regexes[which][1]);
        return;
    }
    m->type = negative ? MATCH_NOT_EQUAL : MATCH_EQUAL;
    m->name = one_in(l, 2) ? "__name__" : "instance";
    if (m->name[0] == '_')
        snprintf(l->patterns[at], sizeof l->patterns[at], "%s", names[below(l, 4)]);
    else
        snprintf(l->patterns[at], sizeof l->patterns[at], "host-%u:9100", below(l, TARGETS));
}

static uint32_t
pick_matchers(struct life *l)
{
    uint32_t count = 1 + below(l, PATTERNS);
    for (uint32_t i = 0; i < count; i++)
        pick_matcher(l, i);
    return count;
}

static void
pick_range(struct life *l, int64_t *ret_min, int64_t *ret_max)
{
    int64_t now = now_ms(l);
    switch (below(l, 4)) {
    case 0: /* a recent time */
        *ret_min = now - below(l, 20 * MINUTE_MS);
        *ret_max = now + (one_in(l, 2) ? HOUR_MS : 0);
        break;
    case 1: /* today and yesterday */
        *ret_min = now - below(l, 2 * DAY_MS);
        *ret_max = *ret_min + below(l, DAY_MS);
        break;
    case 2: /* any time */
        *ret_min = now - (int64_t)below(l, 80 * 24 * 60) * MINUTE_MS - 7;
        *ret_max = *ret_min + below(l, 3 * DAY_MS);
        break;
    default:
        *ret_min = SIM_BEGIN - 400 * DAY_MS;
        *ret_max = one_in(l, 2) ? now - below(l, DAY_MS) : now + HOUR_MS;
        break;
    }
}

static void
step_query(struct life *l)
{
    int64_t min_ms, max_ms;
    uint32_t count = pick_matchers(l);
    pick_range(l, &min_ms, &max_ms);
    enum what what = one_in(l, 10) ? EXEMPLARS : SAMPLES;
    soak_ask(&l->x, what, below(l, SOAK_TENANTS), l->matchers, count, min_ms, max_ms, false);
    l->queries++;
}

enum {
    PARTS_MAX = 4096,
    DISK_SLACK = 4 << 20,
    HEAD_AT_REST_MAX = 1 << 20, /* mostly columns for one slice */
};

/* --- parts: merging, retention, deletion ------------------------------------------------------ */

struct part_list {
    uint32_t count;
    struct part_info at[PARTS_MAX];
};

static void
list_parts(struct life *l, struct part_list *to)
{
    const struct version *v = l->x.m.db->live.version;
    to->count = 0;
    for (uint32_t i = 0; i < v->part_count && i < PARTS_MAX; i++)
        to->at[to->count++] = *part_info(v->parts[i]);
}

static bool
list_has(const struct part_list *list, uint64_t number)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->at[i].number == number) return true;
    return false;
}

/*
 * Says whether the size of all parts requires dropping this one: with it and the dropped parts that
 * are not older, they would be too large, and no remaining part is older.
 */
static bool
is_too_much(const struct part_list *before, const struct part_list *after,
            const struct part_info *part, uint64_t bytes_max)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < after->count; i++) {
        const struct part_info *p = &after->at[i];
        bytes += p->file_bytes;
        if (p->time.min_ms <= p->time.max_ms && p->time.max_ms < part->time.max_ms) return false;
    }
    for (uint32_t i = 0; i < before->count; i++) {
        const struct part_info *p = &before->at[i];
        if (p->time.max_ms >= part->time.max_ms && !list_has(after, p->number))
            bytes += p->file_bytes;
    }
    return bytes_max != 0 && bytes > bytes_max;
}

/* Notes dropped parts, and checks that retention requires each. */
static void
note_dropped(struct life *l, const struct part_list *before)
{
    static struct part_list after;
    struct soak *x = &l->x;
    list_parts(l, &after);
    for (uint32_t i = 0; i < before->count; i++) {
        const struct part_info *p = &before->at[i];
        if (list_has(&after, p->number)) continue;
        l->expired_parts++;
        if (p->time.min_ms > p->time.max_ms) continue; /* metadata only */
        if (p->time.max_ms >= x->expired_ms &&
            !is_too_much(before, &after, p, x->m.limits.retention_bytes))
            soak_fail(x, "a part was dropped that was to stay");
        soak_forget(x, p->time.min_ms, p->time.max_ms);
    }
}

static enum err
merge_until_done(struct life *l, enum tsdb_merge_mode mode)
{
    struct soak *x = &l->x;
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result result = {.input_count = 1};
    enum err e = OK;
    soak_may_expire(x);
    while (e == OK && result.input_count > 0) {
        e = step(&x->m, tsdb_merge(x->m.db, &options, &result, &x->m.why));
        l->merges += e == OK && result.input_count > 0;
    }
    if (e == ERR_CORRUPT) soak_must(x, e, "merge");
    return e;
}

static void
step_merge(struct life *l, enum tsdb_merge_mode mode)
{
    soak_must(&l->x, merge_until_done(l, mode), "merge");
}

static void
step_expire(struct life *l)
{
    static struct part_list before;
    struct tsdb_merge_result result;
    struct soak *x = &l->x;
    list_parts(l, &before);
    soak_may_expire(x);
    soak_must(x, tsdb_expire(x->m.db, &result, &x->m.why), "expire");
    note_dropped(l, &before);
    if (x->m.limits.retention_bytes != 0) {
        struct tsdb_stats s;
        tsdb_stats(x->m.db, &s);
        bool too_much = s.part_bytes > x->m.limits.retention_bytes;
        /* The part with the families' metadata waits for a newer one, which is not due before the
         * frozen generation is written; the newest is never dropped. */
        if (s.part_samples > 0 && too_much && result.bytes_too_many == 0 &&
            !tsdb_flush_due(x->m.db) && !tsdb_has_frozen(x->m.db))
            soak_fail(x, "%llu bytes of parts are kept", (unsigned long long)s.part_bytes);
    }
    if (tsdb_flush_due(x->m.db) && one_in(l, 2)) soak_flush(x);
}

/* Changes the settings that a reload can change. */
static void
step_reload(struct life *l)
{
    static const int64_t days[] = {45, 45, 45, 45, 60, 60, 20, 3};
    struct soak *x = &l->x;
    struct tsdb_stats s;
    tsdb_stats(x->m.db, &s);
    x->m.limits.retention_ms = days[below(l, 8)] * DAY_MS;
    x->m.limits.retention_bytes = one_in(l, 4) ? s.part_bytes / 20 * (11 + below(l, 9)) : 0;
    if (one_in(l, 3)) {
        x->m.limits.tenant_series_max = 20 + below(l, 150);
        x->m.limits.metric_series_max = below(l, 30);
        x->limited = true;
        l->limited_for = below(l, 50);
    }
    tsdb_set_limits(x->m.db, &x->m.limits);
}

static void
end_limits(struct life *l)
{
    struct soak *x = &l->x;
    if (!x->limited || l->limited_for-- > 0) return;
    x->limited = false;
    x->m.limits.tenant_series_max = x->m.limits.metric_series_max = 0;
    tsdb_set_limits(x->m.db, &x->m.limits);
}

struct deletion {
    uint32_t tenant;
    int64_t min_ms, max_ms;
    struct question q;
    struct selector selector;
};

static void
deletion_init(struct life *l, struct deletion *d)
{
    struct soak *x = &l->x;
    uint32_t count = pick_matchers(l);
    bool large = one_in(l, 4);
    if (!large || one_in(l, 2)) count = 1;
    uint32_t host = (uint32_t)(some_target(l) - l->targets);
    d->tenant = l->targets[host].tenant;
    if (large) {
        pick_range(l, &d->min_ms, &d->max_ms);
    } else {
        d->min_ms = now_ms(l) - below(l, DAY_MS);
        d->max_ms = d->min_ms + below(l, HOUR_MS);
        l->matchers[0] = (struct matcher_text){MATCH_EQUAL, "instance", l->patterns[0]};
        snprintf(l->patterns[0], sizeof l->patterns[0], "host-%u:9100", host);
    }
    question_init(&d->q, soak_tenants[d->tenant], l->matchers, count, d->min_ms, d->max_ms);
    d->selector.count = count;
    for (uint32_t i = 0; i < count; i++) {
        soak_must(x,
                  matcher_new(l->matchers[i].type, text(l->matchers[i].name),
                              text(l->matchers[i].pattern), NULL, &d->selector.matchers[i], NULL),
                  "matcher");
    }
}

/* The effect of a deletion on the model: counted; forgotten; or uncertain. */
enum hiding { HIDE_COUNT, HIDE_SURELY, HIDE_MAYBE };
static void
deletion_apply(struct life *l, const struct deletion *d, enum hiding how, uint64_t *ret_must,
               uint64_t *ret_may)
{
    struct soak *x = &l->x;
    *ret_must = *ret_may = 0;
    for (uint32_t i = 0; i < x->series_count; i++) {
        struct soak_series *s = &x->series[i];
        if (s->tenant != d->tenant) continue;
        if (!soak_selects(s, d->q.made, d->q.set.count)) continue;
        for (unsigned w = 0; w < WHAT_COUNT; w++) {
            struct marks *m = &s->marks[w];
            for (uint32_t k = marks_from(m, d->min_ms); k < m->count; k++) {
                struct mark *at = &m->at[k];
                if (at->t_ms > d->max_ms) break;
                if (w == SAMPLES) *(at->must ? ret_must : ret_may) += at->may != 0;
                if (how == HIDE_SURELY) *at = (struct mark){.t_ms = at->t_ms};
                if (how == HIDE_MAYBE) at->must = false;
            }
        }
    }
}

static void
step_delete(struct life *l)
{
    struct soak *x = &l->x;
    struct deletion d;
    struct tsdb_deletion deletion;
    uint64_t must_go, may_go;
    soak_flush(x);
    if (x->doubt) return; /* samples of a failed commit may appear again */
    deletion_init(l, &d);
    soak_must(x,
              tsdb_delete(x->m.db, text(soak_tenants[d.tenant]), &d.selector, 1, d.min_ms, d.max_ms,
                          &deletion, &x->m.why),
              "delete");
    deletion_apply(l, &d, HIDE_SURELY, &must_go, &may_go);
    if (deletion.samples < must_go || deletion.samples > must_go + may_go) {
        soak_fail(x, "%llu samples deleted, not %llu to %llu", (unsigned long long)deletion.samples,
                  (unsigned long long)must_go, (unsigned long long)(must_go + may_go));
    }
    question_fini(&d.q);
    l->deletions += deletion.samples;
    if (one_in(l, 2)) step_merge(l, TSDB_MERGE_CLEAN);
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* Makes a snapshot, and opens it as a store with the content of the parts. */
static void
step_snapshot(struct life *l)
{
    struct soak *x = &l->x;
    char name[SNAPSHOT_NAME_BYTES], dir[200];
    struct tsdb_report report;
    struct tsdb *second, *live = x->m.db;
    struct tsdb_opening opening;
    struct tsdb_options options = x->m.options;
    struct buf said;
    soak_flush(x);
    if (x->doubt) return;
    soak_must(x, tsdb_snapshot(live, NULL, false, NULL, NULL, name, &x->m.why), "snapshot");
    if (one_in(l, 2)) step_scrape(l); /* the store is used meanwhile */
    soak_flush(x);
    snprintf(dir, sizeof dir, STORE_DIR "/snapshots/%s", name);
    buf_init(&said, NULL, 1 << 20);
    soak_must(x, tsdb_verify(x->m.env, dir, say_line, &said, &report, &x->m.why), "its verify");
    buf_fini(&said);
    options.dir = dir;
    soak_must(x, tsdb_open(&options, &x->m.limits, &second, &opening, &x->m.why), "its opening");
    x->m.db = second;
    int64_t until = now_ms(l) - 15000; /* before the scrape */
    for (uint32_t t = 0; t < SOAK_TENANTS; t++)
        soak_ask(x, SAMPLES, t, every_series, 1, SIM_BEGIN - 400 * DAY_MS, until - 1, false);
    machine_ledger(&x->m, NULL);
    tsdb_free(second);
    x->m.db = live;
    soak_must(x, env_remove_tree(x->m.env, STORE_DIR "/snapshots", &x->m.why), "sweeping");
    l->snapshots++;
}

/* --- dying ------------------------------------------------------------------------------------ */

static void
come_back(struct life *l, bool verified)
{
    struct soak *x = &l->x;
    if (verified && machine_verify(&x->m, true)) soak_fail(x, "verify");
    machine_must_open(&x->m);
    if (x->m.opening.damage.places != 0) soak_fail(x, "damage in the log");
    if (x->m.opening.parts_set_aside != 0) soak_fail(x, "%s", x->m.opening.first_damage);
    x->durable = wal_durable_epoch(tsdb_wal(x->m.db));
}

static void
step_restart(struct life *l)
{
    struct soak *x = &l->x;
    machine_close(&x->m);
    soak_died(x);
    come_back(l, true);
    soak_look(x, true);
    l->restarts++;
}

static void
try_send(struct life *l)
{
    struct soak *x = &l->x;
    const struct target *t = some_target(l);
    struct soak_request *r = request_begin(l, t->tenant);
    add_target(l, r, t, now_ms(l) - below(l, MINUTE_MS), false);
    enum err e = soak_send(x, r);
    if (e == OK) e = soak_try_commit(x);
    err_ignore(e, "it may have come in or not");
}

static void
try_flush(struct life *l)
{
    struct soak *x = &l->x;
    tsdb_want_cut(x->m.db);
    enum err e = soak_try_commit(x);
    if (e == OK) e = step(&x->m, tsdb_flush(x->m.db, &x->m.why));
    if (e == OK && one_in(l, 2)) e = step(&x->m, tsdb_maintain(x->m.db, &x->m.why));
    x->frozen = tsdb_has_frozen(x->m.db);
    x->gen++; /* its result is seen later */
    err_ignore(e, "it is tried again");
}

static void
arm(struct life *l, uint32_t calls)
{
    static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_TORN, FAULT_SYNC, FAULT_ENOSPC};
    enum fault_kind kind = kinds[below(l, 4)];
    fault_env_arm(l->x.m.fe, (struct fault){kind, 1 + below(l, calls), true});
}

static void
disarm(struct life *l)
{
    fault_env_disarm(l->x.m.fe);
    memory_arm(&l->x.m, 0, false);
}

/* Lets some calls or allocations fail while the process lives. */
static void
step_failing(struct life *l)
{
    struct soak *x = &l->x;
    arm(l, 12);
    if (one_in(l, 3)) {
        fault_env_disarm(x->m.fe);
        uint64_t nth = 1 + below(l, 60);
        memory_arm(&x->m, nth, one_in(l, 2));
    }
    for (uint32_t i = 1 + below(l, 3); i > 0; i--)
        if (one_in(l, 3))
            try_flush(l);
        else
            try_send(l);
    disarm(l);
    if (tsdb_is_down(x->m.db)) soak_must(x, tsdb_reopen(x->m.db, &x->m.why), "reopen");
    soak_must(x, tsdb_maintain(x->m.db, &x->m.why), "maintain");
}

static void
try_delete(struct life *l, struct deletion *d)
{
    struct soak *x = &l->x;
    struct tsdb_deletion deletion;
    enum err e = step(&x->m, tsdb_delete(x->m.db, text(soak_tenants[d->tenant]), &d->selector, 1,
                                         d->min_ms, d->max_ms, &deletion, &x->m.why));
    err_ignore(e, "it is found out");
}

static void
die(struct life *l)
{
    struct soak *x = &l->x;
    if (one_in(l, 2) && !l->only_kills)
        sim_env_power_loss(x->m.sim);
    else
        sim_env_kill(x->m.sim);
    disarm(l);
    machine_close(&x->m);
    soak_died(x);
}

/* Cuts the power during a deletion, which either has happened or has not. */
static void
step_crash_deleting(struct life *l)
{
    struct deletion d;
    uint64_t before, after, may;
    soak_flush(&l->x);
    if (l->x.doubt) return;
    deletion_init(l, &d);
    deletion_apply(l, &d, HIDE_COUNT, &before, &may);
    arm(l, 15);
    try_delete(l, &d);
    die(l);
    deletion_apply(l, &d, HIDE_COUNT, &before, &may); /* except expired samples */
    deletion_apply(l, &d, HIDE_MAYBE, &may, &may);
    come_back(l, one_in(l, 2));
    soak_look(&l->x, true);
    deletion_apply(l, &d, HIDE_COUNT, &after, &may);
    if (after != 0 && after < before) soak_fail(&l->x, "half of a deletion");
    question_fini(&d.q);
}

static void
step_crash(struct life *l)
{
    static struct part_list before;
    struct soak *x = &l->x;
    struct tsdb_merge_result result;
    char name[SNAPSHOT_NAME_BYTES];
    uint32_t what = below(l, 6);
    enum err e = OK;
    bool expired = what == 3;
    l->crashes++;
    if (what == 4) {
        step_crash_deleting(l);
        return;
    }
    soak_may_expire(x);
    list_parts(l, &before);
    arm(l, what == 2 ? 60 : 20);
    if (what == 0) try_send(l);
    if (what == 1) try_flush(l);
    if (what == 2) e = merge_until_done(l, (enum tsdb_merge_mode)below(l, 3));
    if (what == 3) e = step(&x->m, tsdb_expire(x->m.db, &result, &x->m.why));
    if (what == 5)
        e = step(&x->m, tsdb_snapshot(x->m.db, NULL, false, NULL, NULL, name, &x->m.why));
    err_ignore(e, "it is dying");
    die(l);
    come_back(l, one_in(l, 2));
    if (expired) note_dropped(l, &before);
    soak_look(x, true);
    e = env_remove_tree(x->m.env, STORE_DIR "/snapshots", NULL);
    soak_must(x, e, "sweeping");
}

/* --- at rest ---------------------------------------------------------------------------------- */

struct usage {
    uint64_t head, flush, merge, all;
};

static void
note_budget(void *context, const struct budget *b)
{
    struct usage *u = context;
    uint64_t used = budget_used(b);
    u->all += used;
    if (strcmp(b->name, "head") == 0) u->head = used;
    if (strcmp(b->name, "flush") == 0) u->flush = used;
    if (strcmp(b->name, "merge") == 0) u->merge = used;
}

/* Flushes and merges everything: memory use is as before, and the disk has little besides parts. */
static void
rest(struct life *l)
{
    struct soak *x = &l->x;
    struct usage u = {0};
    struct tsdb_stats s;
    soak_flush(x);
    soak_flush(x); /* labels in the head are freed with the last generation that uses them */
    step_merge(l, TSDB_MERGE_FULL);
    step_expire(l);
    soak_must(x, tsdb_maintain(x->m.db, &x->m.why), "maintain");
    soak_look(x, false);
    tsdb_budgets(x->m.db, note_budget, &u);
    tsdb_stats(x->m.db, &s);
    uint64_t disk = sim_env_used_bytes(x->m.sim);
    if (u.all > l->most_memory) l->most_memory = u.all;
    if (disk > l->most_disk) l->most_disk = disk;
    if (setting("TELL", 0) != 0) {
        print_message(
            "step %llu, day %.2f: head %llu, flush %llu, merge %llu, all %llu; disk %llu, "
            "log %llu, %llu parts of %llu bytes, %llu samples, %llu tombstones\n",
            (unsigned long long)x->step, (double)(now_ms(l) - SIM_BEGIN) / DAY_MS,
            (unsigned long long)u.head, (unsigned long long)u.flush, (unsigned long long)u.merge,
            (unsigned long long)u.all, (unsigned long long)disk,
            (unsigned long long)s.wal.segment_bytes, (unsigned long long)s.parts,
            (unsigned long long)s.part_bytes, (unsigned long long)s.part_samples,
            (unsigned long long)s.tombstones);
    }
    if (u.head > HEAD_AT_REST_MAX || u.flush > 64 << 10 || u.merge > 64 << 10) {
        soak_fail(x, "at rest the head keeps %llu bytes, flushing %llu, merging %llu",
                  (unsigned long long)u.head, (unsigned long long)u.flush,
                  (unsigned long long)u.merge);
    }
    if (disk > s.part_bytes + s.parts * 32768 + s.wal.segment_bytes + DISK_SLACK) {
        soak_fail(x, "%llu bytes of disk for %llu of parts", (unsigned long long)disk,
                  (unsigned long long)s.part_bytes);
    }
    l->rests++;
    l->next_look_ms = now_ms(l) + 6 * HOUR_MS;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void
step_jump(struct life *l)
{
    uint32_t dice = below(l, 20);
    wait_ms(l, dice == 0  ? (int64_t)(1 + below(l, 72)) * HOUR_MS
               : dice < 6 ? (int64_t)(1 + below(l, 120)) * MINUTE_MS
                          : (int64_t)below(l, 10 * MINUTE_MS));
}

static void
step_next(struct life *l)
{
    static const struct {
        uint32_t weight;
        void (*run)(struct life *l);
    } steps[] = {
        {440, step_scrape},  {200, step_query},  {60, step_churn},    {70, step_late},
        {15, step_backfill}, {40, step_repeat},  {40, step_conflict}, {6, step_expire},
        {6, step_reload},    {9, step_delete},   {2, step_snapshot},  {8, step_crash},
        {3, step_restart},   {14, step_failing}, {30, step_jump},
    };
    struct soak *x = &l->x;
    uint32_t total = 60, dice;
    for (uint32_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        total += steps[i].weight;
    dice = below(l, total);
    for (uint32_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (dice < steps[i].weight) {
            steps[i].run(l);
            return;
        }
        dice -= steps[i].weight;
    }
    if (dice < 10)
        soak_commit(x);
    else if (dice < 20)
        soak_must(x, tsdb_sync(x->m.db, &x->m.why), "sync");
    else if (dice < 40)
        soak_flush(x);
    else if (dice < 56)
        step_merge(l, TSDB_MERGE_DUE);
    else if (dice < 58)
        step_merge(l, TSDB_MERGE_FULL);
    else
        soak_look(x, false);
}

static void
live(struct life *l, uint64_t seed, uint64_t steps)
{
    struct soak *x = &l->x;
    soak_init(x, seed);
    x->m.options.head_bytes_max = 3 << 20;
    x->m.options.head_samples_max = 60000;
    x->m.options.cache_bytes = 1 << 20;
    x->m.limits.retention_ms = 45 * DAY_MS;
    x->m.limits.deletion_hold_ms = seed % 2 == 1 ? 30 * HOUR_MS : 0;
    l->only_kills = seed % 4 == 3;
    if (l->only_kills) x->m.options.wal_sync = WAL_SYNC_WRITTEN;
    machine_must_open(&x->m);
    x->durable = wal_durable_epoch(tsdb_wal(x->m.db));
    l->next_look_ms = now_ms(l) + 6 * HOUR_MS;
    for (uint32_t i = 0; i < TARGETS / 3; i++)
        target_rise(l, i);
    for (; x->step < steps; x->step++) {
        end_limits(l);
        step_next(l);
        if (tsdb_flush_due(x->m.db) && one_in(l, 4)) soak_flush(x);
        if (now_ms(l) >= l->next_look_ms) rest(l);
    }
    rest(l);
    step_restart(l);
}

static void
tell(const struct life *l)
{
    const struct soak *x = &l->x;
    print_message("day %.1f: %u series, %llu samples acknowledged, %llu refused, %llu read in %llu "
                  "questions, %llu uncertain and found\n",
                  (double)(env_realtime_ms(x->m.env) - SIM_BEGIN) / DAY_MS, x->series_count,
                  (unsigned long long)x->acked, (unsigned long long)x->refused,
                  (unsigned long long)x->read, (unsigned long long)l->queries,
                  (unsigned long long)x->narrowed);
    print_message("%llu crashes, %llu restarts, %llu times no memory, %llu merges, %llu parts "
                  "expired, %llu samples deleted, %llu snapshots\n",
                  (unsigned long long)l->crashes, (unsigned long long)l->restarts,
                  (unsigned long long)x->no_memory, (unsigned long long)l->merges,
                  (unsigned long long)l->expired_parts, (unsigned long long)l->deletions,
                  (unsigned long long)l->snapshots);
    print_message("%llu times at rest: at most %llu bytes of memory, %llu of disk\n",
                  (unsigned long long)l->rests, (unsigned long long)l->most_memory,
                  (unsigned long long)l->most_disk);
}

static struct life l;

UNIT_TEST(test_days_of_everything_agree_with_the_model)
{
    bool is_long = setting("LONG", 0) != 0;
    uint64_t seed = setting("SEED", 1), steps = setting("STEPS", is_long ? 40000 : 4000);
    for (uint64_t end = seed + (is_long ? 4 : 1); seed < end; seed++) {
        print_message("seed %llu, %llu steps\n", (unsigned long long)seed,
                      (unsigned long long)steps);
        memset(&l, 0, sizeof l);
        live(&l, seed, steps);
        tell(&l);
        for (uint32_t i = 0; i < REMEMBERED; i++)
            free(l.last[i].items);
        soak_fini(&l.x);
    }
}

static int
tell_step(void **state)
{
    if (machine_seed >= 0) print_error("failed in step %llu\n", (unsigned long long)l.x.step);
    return tell_seed(state);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_days_of_everything_agree_with_the_model, tell_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
