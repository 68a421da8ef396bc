/*
 * tsdb_soak_life_testing.h - who sends to the store of the soak test, and who asks: targets that
 * come and go, late and repeated samples, backfill, conflicts, questions. For tests only.
 */
#ifndef TSDB_TSDB_SOAK_LIFE_TESTING_H
#define TSDB_TSDB_SOAK_LIFE_TESTING_H

#include "tsdb/tsdb_soak_reading_testing.h"

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
    struct soak_request last[REMEMBERED]; /* requests sent, to be sent again */
    uint32_t last_next;
    char patterns[PATTERNS][80];
    struct matcher_text matchers[PATTERNS];
    int64_t next_look_ms; /* when all is flushed, and memory and disk are measured */
    uint32_t limited_for; /* steps */
    bool only_kills;      /* acknowledged when written: power would take it away */
    /* What happened, to be told at the end. */
    uint64_t queries, crashes, restarts, deletions, snapshots, merges, expired_parts, rests;
    uint64_t most_memory, most_disk;
};

static inline uint64_t
setting(const char *name, uint64_t otherwise)
{
    const char *given = getenv(name);
    return given == NULL ? otherwise : strtoull(given, NULL, 10);
}

static inline uint32_t
below(struct life *l, uint64_t limit)
{
    return (uint32_t)rng_below(&l->x.rng, limit);
}

static inline bool
one_in(struct life *l, uint32_t n)
{
    return below(l, n) == 0;
}

static inline int64_t
now_ms(struct life *l)
{
    return env_realtime_ms(l->x.m.env);
}

static inline void
wait_ms(struct life *l, int64_t ms)
{
    sim_env_advance_ns(l->x.m.sim, ms * NS_PER_MS);
}

/* --- targets ---------------------------------------------------------------------------------- */

/* Half of them come back with the labels they had. */
static inline void
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

/* One that has been there; alive or not. */
static inline struct target *
some_target(struct life *l)
{
    for (;;) {
        struct target *t = &l->targets[below(l, TARGETS)];
        if (t->incarnation > 0) return t;
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static inline struct soak_request *
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

/* Without memory the head is written out, and the sender tries again. */
static inline void
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

static inline uint8_t
code_of(const struct soak *x, const struct soak_request *r, uint32_t series)
{
    bool starts = r->version == RW_V2 && x->series[series].class == COUNTER;
    return starts ? CODE_START : CODE_PLAIN;
}

static inline void
add_target(struct life *l, struct soak_request *r, const struct target *t, int64_t t_ms, bool stale)
{
    for (uint32_t i = 0; i < SOAK_METRICS; i++) {
        uint32_t s = t->series[i];
        soak_add(r, s, SAMPLES, t_ms, stale ? CODE_STALE : code_of(&l->x, r, s));
        if (one_in(l, 150)) soak_add(r, s, EXEMPLARS, t_ms, CODE_PLAIN);
    }
}

static inline void
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

static inline void
step_churn(struct life *l)
{
    uint32_t number = 1 + below(l, TARGETS - 1), alive = 0;
    struct target *t = &l->targets[number];
    for (uint32_t i = 0; i < TARGETS; i++) {
        alive += l->targets[i].alive;
    }
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

static inline void
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

/* Whole hours of days and months ago; some are older than what is kept. */
static inline void
step_backfill(struct life *l)
{
    const struct target *t = some_target(l);
    struct soak_request *r = request_begin(l, t->tenant);
    int64_t hours_ago = 1 + below(l, one_in(l, 2) ? 48 : 24 * 70);
    int64_t begin = (now_ms(l) / HOUR_MS - hours_ago) * HOUR_MS;
    if (one_in(l, 3)) { /* where retention ends, now or soon */
        begin = now_ms(l) - l->x.m.limits.retention_ms + below(l, 4 * HOUR_MS) - HOUR_MS;
    }
    for (uint32_t i = 0; i < SOAK_METRICS; i++) {
        for (int64_t at = begin; at < begin + HOUR_MS; at += BACKFILL_STEP_MS) {
            soak_add(r, t->series[i], SAMPLES, at, CODE_PLAIN);
        }
    }
    request_send(l, r);
}

static inline void
step_repeat(struct life *l)
{
    const struct soak_request *r = &l->last[below(l, REMEMBERED)];
    request_send(l, r);
    if (one_in(l, 2)) request_send(l, r);
}

/* Other values for times that have one, of any age. */
static inline void
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

/* --- asking ----------------------------------------------------------------------------------- */

static inline void
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

static inline uint32_t
pick_matchers(struct life *l)
{
    uint32_t count = 1 + below(l, PATTERNS);
    for (uint32_t i = 0; i < count; i++) {
        pick_matcher(l, i);
    }
    return count;
}

static inline void
pick_range(struct life *l, int64_t *ret_min, int64_t *ret_max)
{
    int64_t now = now_ms(l);
    switch (below(l, 4)) {
    case 0: /* lately */
        *ret_min = now - below(l, 20 * MINUTE_MS);
        *ret_max = now + (one_in(l, 2) ? HOUR_MS : 0);
        break;
    case 1: /* today and yesterday */
        *ret_min = now - below(l, 2 * DAY_MS);
        *ret_max = *ret_min + below(l, DAY_MS);
        break;
    case 2: /* at any time */
        *ret_min = now - (int64_t)below(l, 80 * 24 * 60) * MINUTE_MS - 7;
        *ret_max = *ret_min + below(l, 3 * DAY_MS);
        break;
    default:
        *ret_min = SIM_BEGIN - 400 * DAY_MS;
        *ret_max = one_in(l, 2) ? now - below(l, DAY_MS) : now + HOUR_MS;
        break;
    }
}

static inline void
step_query(struct life *l)
{
    int64_t min_ms, max_ms;
    uint32_t count = pick_matchers(l);
    pick_range(l, &min_ms, &max_ms);
    enum what what = one_in(l, 10) ? EXEMPLARS : SAMPLES;
    soak_ask(&l->x, what, below(l, SOAK_TENANTS), l->matchers, count, min_ms, max_ms, false);
    l->queries++;
}

#endif
