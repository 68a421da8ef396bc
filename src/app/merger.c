/*
 * merger.c - see keeper.h.
 *
 *      asleep --- woken by a flush, or a minute is over ---> expire, merge until nothing is due
 *        ^                                                                     |
 *        +---------------------------------------------------------------------+
 *
 * A failed merge is tried again, with growing pauses; the store no longer merges a part that is
 * damaged.
 *
 * Invariants of the thread:
 *  1. A merge hurries, and has another mode than TSDB_MERGE_DUE, only while a request waits for it.
 *  2. The pause is 0 unless the last merge failed, and at most MERGER_PAUSE_NS_MAX.
 */
#include "app/keeper.h"

#include <assert.h>

#include "app/worker.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/text/time_text.h"
#include "model/series_rules.h"

#define MERGER_LOOK_NS      (60 * NS_PER_S)
#define REST_NS_MAX         (200 * NS_PER_MS)
#define MERGER_PAUSE_NS_MAX (600 * NS_PER_S)

enum { TENANTS_BYTES_MAX = 256 };

#define TOO_SMALL_LOG_AGAIN_NS (3600 * NS_PER_S)

static struct metric_histogram merge_latency = {
    .name = "firekeep_merge_duration_seconds",
    .help = "Duration of merges of parts, pauses included, in seconds.",
    METRIC_LATENCY};

struct merger {
    struct env *env;
    struct tsdb *tsdb;
    struct worker worker; /* requests carry an enum tsdb_merge_mode */

    /* The thread owns these. */
    bool hurry; /* a request waits, so the merge does not rest */
    enum tsdb_merge_mode mode;
    int64_t worked_since_ns;
    int64_t pause_ns;    /* after failures */
    uint64_t left_alone; /* parts that were left alone before this merge */
};

/* Rests between slices of a merge. False: the merge is given up, because the server stops or a
 * request waits. */
static bool
go_on(void *context)
{
    struct merger *m = context;
    int64_t now = env_monotonic_ns(m->env), worked = now - m->worked_since_ns;
    if (m->hurry) worked = 0;
    int64_t until = now + (worked < REST_NS_MAX ? worked : REST_NS_MAX);
    bool more = worker_rest(&m->worker, until, REST_UNTIL_REQUEST);
    m->worked_since_ns = env_monotonic_ns(m->env);
    return more && (m->hurry || !worker_has_request(&m->worker));
}

static void
log_expiry(const struct merger *m, const struct tsdb_merge_result *r)
{
    static struct log_gate gate;
    uint64_t held_back;
    if (r->samples + r->exemplars > 0) {
        log_info("parts removed by retention", KV("parts", r->input_count),
                 KV("samples", r->samples), KV("exemplars", r->exemplars),
                 KV("bytes", r->input_bytes));
    } else if (r->input_count > 0) {
        log_debug("empty parts removed", KV("parts", r->input_count));
    }
    if (r->bytes_too_many == 0) return;
    if (!log_often(&gate, env_monotonic_ns(m->env), TOO_SMALL_LOG_AGAIN_NS, &held_back)) return;
    log_warn("newest part is larger than retention.size, keeping it",
             KV("bytes_too_many", r->bytes_too_many));
}

/* Says whether the error is a damaged part that the store now leaves alone, and logs it once. Other
 * parts are merged still. */
static bool
is_left_alone(struct merger *m, struct why *why)
{
    struct tsdb_stats stats;
    uint64_t before = m->left_alone;
    tsdb_stats(m->tsdb, &stats);
    m->left_alone = stats.parts_left_alone;
    if (m->left_alone <= before) return false;
    log_error("part is damaged, merging the others without it", KV("error", why));
    why->text[0] = '\0';
    return true;
}

static enum err
work(struct merger *m, struct why *why)
{
    struct tsdb_merge_options options = {.mode = m->mode, .go_on = go_on, .context = m};
    struct tsdb_merge_result r;
    struct tsdb_stats stats;
    assert(m->hurry || m->mode == TSDB_MERGE_DUE); /* invariant 1 */
    tsdb_stats(m->tsdb, &stats);
    m->left_alone = stats.parts_left_alone;
    /* Only parts that exist now: with those that flushes add meanwhile it might never end. */
    if (m->mode == TSDB_MERGE_FULL) options.up_to_pos = stats.store_pos;
    if (m->mode == TSDB_MERGE_CLEAN) options.held_from = stats.last_deletion + 1;
    enum err e = tsdb_expire(m->tsdb, &r, why);
    if (e == OK) log_expiry(m, &r);
    while (e == OK) {
        int64_t began = env_monotonic_ns(m->env);
        m->worked_since_ns = began;
        e = tsdb_merge(m->tsdb, &options, &r, why);
        if (e == ERR_CORRUPT && is_left_alone(m, why)) {
            e = OK;
            continue;
        }
        if (e || r.input_count == 0) break;
        int64_t took_ns = env_monotonic_ns(m->env) - began;
        metric_record(&merge_latency, (uint64_t)took_ns);
        log_info("parts merged", KV("inputs", r.input_count), KV("outputs", r.output_count),
                 KV("samples", r.samples), KV("exemplars", r.exemplars),
                 KV("bytes_before", r.input_bytes), KV("bytes_after", r.output_bytes),
                 KV("took_ms", took_ns / NS_PER_MS));
    }
    return e;
}

/* Runs for requests of merger_run(). */
static void
run_for_waiter(struct merger *m, enum tsdb_merge_mode mode)
{
    struct why why = {""};
    assert(!m->hurry && m->mode == TSDB_MERGE_DUE); /* invariant 1 */
    m->mode = mode;
    m->hurry = true;
    enum err e = work(m, &why);
    assert(m->hurry && m->mode == mode); /* invariant 1 */
    m->hurry = false;
    m->mode = TSDB_MERGE_DUE;
    worker_answer(&m->worker, e, &why);
}

static void
log_rule(void *context, const struct tsdb_rule *r)
{
    const struct tsdb_rules_state *state = context;
    char age[TIME_TEXT_BYTES], grace[TIME_TEXT_BYTES], resolution[TIME_TEXT_BYTES];
    struct buf buf;
    if (r->rule == NULL) return;
    buf_init(&buf, NULL, TENANTS_BYTES_MAX);
    /* The tenants of a rule, for people; ends in NUL. */
    buf_clear(&buf);
    series_rule_put_tenants(r->rule, &buf);
    if (r->rule->tenant_count == 0) buf_put_text(&buf, "all");
    buf_put_u8(&buf, '\0');
    const char *tenants = buf_error(&buf) ? "many" : (const char *)buf.at;
    time_print_duration(r->rule->age_ms, age);
    time_print_duration(r->resolution_ms, resolution);
    if (r->left.series > 0 && r->downsamples) {
        log_info("downsampling rule will replace samples", KV("match", r->rule->match),
                 KV("tenants", tenants), KV("resolution", resolution), KV("after", age),
                 KV("series", r->left.series), KV("samples", r->left.samples),
                 KV("bytes", r->left.bytes));
    } else if (r->left.series > 0) {
        log_info("retention rule will remove samples", KV("match", r->rule->match),
                 KV("tenants", tenants), KV("time", age), KV("series", r->left.series),
                 KV("samples", r->left.samples), KV("bytes", r->left.bytes),
                 KV("grace_left", time_print_duration(state->grace_left_ms, grace)));
    }
    if (r->excluded_parts > 0) {
        log_warn("downsampling rule is not applied to parts whose windows are neither multiples "
                 "nor fractions of its own",
                 KV("match", r->rule->match), KV("tenants", tenants), KV("resolution", resolution),
                 KV("parts", r->excluded_parts));
    }
    buf_fini(&buf);
}

static bool
is_ended(void *context)
{
    struct merger *m = context;
    return !worker_rest(&m->worker, env_monotonic_ns(m->env), REST_UNTIL_STOPPED);
}

/* Surveys the rules, and logs what new ones will remove and replace. Merges wait, also those that
 * are requested: after them nothing would be left to log. */
static void
look_at_rules(struct merger *m)
{
    struct why why = {""};
    struct query_control control = {.env = m->env, .is_gone = is_ended, .gone_context = m};
    struct tsdb_rules_state state;
    bool changed;
    enum err e = tsdb_rules_look(m->tsdb, &control, &changed, &why);
    if (e && e != ERR_CANCELED) log_error("cannot survey rules", KV("error", why_text(&why, e)));
    if (e || !changed) return;
    tsdb_rules(m->tsdb, &state, log_rule, &state);
}

static void
merge_loop(void *context)
{
    struct merger *m = context;
    int mode;
    for (;;) {
        int64_t until =
            env_monotonic_ns(m->env) + (m->pause_ns == 0 ? MERGER_LOOK_NS : m->pause_ns);
        enum worker_rest how = m->pause_ns == 0 ? REST_UNTIL_WOKEN : REST_UNTIL_REQUEST;
        if (!worker_rest(&m->worker, until, how)) return;
        look_at_rules(m);
        if (worker_take(&m->worker, &mode)) {
            run_for_waiter(m, (enum tsdb_merge_mode)mode);
            continue;
        }
        struct why why = {""};
        assert(!m->hurry && m->mode == TSDB_MERGE_DUE); /* invariant 1 */
        enum err e = work(m, &why);
        if (e == OK || e == ERR_CANCELED) {
            m->pause_ns = 0;
            continue;
        }
        m->pause_ns = worker_pause_ns(m->pause_ns, MERGER_PAUSE_NS_MAX);
        assert(m->pause_ns > 0 && m->pause_ns <= MERGER_PAUSE_NS_MAX); /* invariant 2 */
        log_error("merge failed, retrying", KV("error", why_text(&why, e)),
                  KV("wait_ms", m->pause_ns / NS_PER_MS));
    }
}

enum err
merger_run(struct merger *m, enum tsdb_merge_mode mode, struct why *why)
{
    return worker_ask(&m->worker, (int)mode, why);
}

enum err
merger_start(struct env *env, struct tsdb *tsdb, struct merger **ret_merger, struct why *why)
{
    struct merger *m = mem_new(NULL, sizeof *m);
    if (m == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    metric_register_histogram(&merge_latency);
    m->env = env;
    m->tsdb = tsdb;
    worker_init(&m->worker, env);
    worker_wake(&m->worker); /* an earlier run may have left work */
    enum err e = worker_start(&m->worker, "merge", merge_loop, m);
    if (e) {
        merger_free(m);
        return why_set(why, e, "cannot start the merge thread");
    }
    *ret_merger = m;
    return OK;
}

void
merger_wake(struct merger *m)
{
    worker_wake(&m->worker);
}

void
merger_stop(struct merger *m)
{
    if (m != NULL) worker_join(&m->worker);
}

void
merger_free(struct merger *m)
{
    if (m == NULL) return;
    merger_stop(m);
    worker_fini(&m->worker);
    mem_free(NULL, m, sizeof *m);
}
