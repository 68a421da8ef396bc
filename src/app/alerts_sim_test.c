/*
 * alerts_sim_test.c - lives of a whole server from seeds: rules of two tenants, the store, and one
 * to three Alertmanagers that are told. Members die, forget, answer late, never, or that they are
 * busy; power fails, the clock is set, queries are slow, the store refuses, memory is short, rules
 * change, the sender is away. Whatever happens:
 *
 *   a. an alert that fires is known at a member two intervals of resending after the member is back
 *      and the server is up;
 *   b. an alert that fires goes on until an evaluation does not find it in the data, and
 *      keep_firing_for is over, and none fires that the data has not had for as long as `for`;
 *   c. no evaluation is made twice at its time, nothing recorded twice, no sample written with two
 *      values;
 *   d. a member that could be reached all the time sees no alert end that fires, and is sent
 *      nothing but the newest state;
 *   e. a resolution reaches each member that is back within the 15 minutes in which it is told;
 *   f. what members count as sent and failed is what they were asked, and what was told, is not
 *      queued, and did not arrive, is counted as dropped.
 *
 * SEEDS says how many lives, SEED which one is the first; a failure prints its seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "notify/notify_rig_testing.h"
/* After what it has macros for. */
#include "app/rules_sim_testing.h"

#define RESEND_NS (60 * NS_PER_S)
#define VALID_NS  (4 * RESEND_NS)      /* what fires is told to do so, no interval is longer */
#define KEPT_NS   (15 * 60 * NS_PER_S) /* a resolution is told for so long */
#define BOUND_NS  (2 * RESEND_NS + 5 * NS_PER_S)

enum { TENANTS = 2, RULES = 4, OF_RULE = 3, KNOWN = TENANTS * RULES * OF_RULE, HOSTS_MAX = 3 };
enum { WAITS, LASTS, LONG, MANY };

static const char *const names[] = {"Waits", "Lasts", "Long", "Many"};

/* What the rules are at a time. */
struct text {
    int waits_over, lasts_over;
    int64_t waits_for_s, lasts_keep_s, interval_s;
    bool has_many;
    unsigned name; /* of the first group */
};

/* What is known of one alert. */
struct known {
    enum alert_state state; /* at the last evaluation of its group */
    bool is_unknown;        /* it may be any at the next one */
    bool is_unsure;         /* an evaluation may have been without effect since it began */
    bool is_vague;          /* since when it fires may be found otherwise */
    bool is_stored;         /* that it began to fire, as far as a restart can tell */
    bool is_endless;        /* its samples may not say that it was over before */
    bool is_changed;        /* its expression or the clock was, since it began to fire */
    int64_t found_since_ns, found_ns, lost_ns; /* by evaluations, Unix; 0: not */
    int64_t firing_ns;                         /* Unix: of the last evaluation at which it fired */
    int64_t fires_since_ns, over_since_ns;     /* monotonic; 0: it does not, it was not */
    /* As Alertmanagers were told last by this server; number 0: not yet. */
    uint32_t number, gone; /* `gone`: the last one before the rule was removed */
    bool told_firing;
    int64_t fires_told_ns; /* Unix: of the evaluation that told last that it fires */
    int64_t starts_ms, ends_ms;
};

enum mood { WELL, SLOW, SILENT, FAILING, UNREACHABLE, BUSY, MOODS };

/* An Alertmanager. Alerts that it is not told of again end at their endsAt. */
struct host {
    char url[64], address[16];
    enum mood mood;
    int64_t well_since_ns,
        bad_ns;            /* monotonic: since when it takes all, and when it last did not */
    uint64_t sent, errors; /* since the server started */
    struct {
        bool is_known, is_firing;
        int64_t starts_ms, ends_ms, told_ns;
        uint32_t number; /* that it acknowledged */
    } alerts[KNOWN];
};

struct world {
    struct rules_sim s;
    struct rig rig;
    struct text text;
    char yaml[4096];
    struct known known[KNOWN];
    struct host hosts[HOSTS_MAX];
    unsigned host_count;
    uint32_t told; /* states */
    /* Monotonic. */
    int64_t started_ns, down_ns, set_ns, slow_ns, refused_ns, looked_ns[TENANTS][2];
    int64_t offset_ns; /* between the clocks */
    int64_t broken_ns; /* Unix: when something last was not as usual: for what is read again */
    /* Unix: the last live evaluation of each group, of both names of the first, and the latest. */
    int64_t live_ns[TENANTS][2][2], latest_ns[TENANTS][2];
    int64_t *made[TENANTS][2]; /* times of evaluations that recorded */
    uint32_t made_count[TENANTS][2], made_capacity[TENANTS][2];
    uint64_t rejected;
};

static struct world w;
/* Of all lives, to see that there was something to see. */
static struct {
    uint64_t fired, resolved_at_member, timed_out, made_up, errors, restarts;
} seen;

static int64_t
now_ns(void)
{
    return env_monotonic_ns(w.s.m.env);
}

static int64_t
clock_ns(void)
{
    return env_realtime_ms(w.s.m.env) * NS_PER_MS;
}

static uint64_t
below(uint64_t n)
{
    return sim_env_random(w.s.m.sim) % n;
}

static int64_t
latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* --- rules ------------------------------------------------------------------------------------ */

static void
put_rules(void)
{
    const struct text *x = &w.text;
    struct buf to;
    buf_init(&to, NULL, sizeof w.yaml);
    buf_printf(
        &to,
        "groups:\n"
        "- name: alerts%u\n"
        "  interval: %llds\n"
        "  rules:\n"
        "  - {alert: Waits, expr: \"load > %d\", for: %llds}\n"
        "  - {record: \"load:sum\", expr: \"sum(load)\"}\n"
        "  - {alert: Lasts, expr: \"load > %d\", keep_firing_for: %llds, annotations: {v: \"{{ "
        "$value }}\"}}\n"
        "  - {alert: Long, expr: \"requests_total > 0\", for: 15m}\n"
        "- name: other\n"
        "  interval: 1m\n"
        "  rules:\n"
        "  - {record: \"load:high\", expr: \"count(load > 30)\"}\n",
        x->name, (long long)x->interval_s, x->waits_over, (long long)x->waits_for_s, x->lasts_over,
        (long long)x->lasts_keep_s);
    if (x->has_many) {
        buf_put_text(&to, "  - {alert: Many, expr: \"count(load > 30) by (job) > 0\"}\n");
    }
    buf_put_u8(&to, '\0');
    must(buf_error(&to));
    memcpy(w.yaml, to.at, to.size);
    buf_fini(&to);
}

static unsigned
rule_of(unsigned k)
{
    return k / OF_RULE % RULES;
}

static unsigned
tenant_of(unsigned k)
{
    return k / OF_RULE / RULES;
}

static unsigned
group_of(unsigned k)
{
    return rule_of(k) == MANY;
}

/* The number of an alert, from two of its labels: those of Many are told apart by `job` only. */
static unsigned
number_of(struct bytes alertname, struct bytes job, struct bytes n)
{
    static const unsigned of_job[] = {3, 1, 5};
    unsigned rule = 0, tenant = job.at[0] == 'k', series;
    while (!bytes_equal_text(alertname, names[rule])) {
        rule++;
    }
    if (rule == MANY)
        series = of_job[job.at[1] - '0'];
    else
        series = (unsigned)strtoul((const char *)n.at, NULL, 10) % SIM_SERIES;
    return (tenant * RULES + rule) * OF_RULE + series / 2;
}

static unsigned
number_of_labels(struct bytes labels)
{
    char n[8] = "";
    struct bytes value = labels_get(labels, text("n"));
    if (value.size > 0) snprintf(n, sizeof n, "%.*s", (int)value.size, (const char *)value.at);
    return number_of(labels_get(labels, text("alertname")), labels_get(labels, text("job")),
                     text(n));
}

static double
bound_of(unsigned rule)
{
    switch (rule) {
    case WAITS:
        return w.text.waits_over;
    case LASTS:
        return w.text.lasts_over;
    default:
        return rule == MANY ? 30 : 0;
    }
}

static int64_t
for_ns(unsigned rule)
{
    return rule == WAITS ? w.text.waits_for_s * NS_PER_S : rule == LONG ? 900 * NS_PER_S : 0;
}

static int64_t
keep_ns(unsigned rule)
{
    return rule == LASTS ? w.text.lasts_keep_s * NS_PER_S : 0;
}

/* What the expression of an alert's rule gives for it, from what was measured and sent. */
static bool
is_found(unsigned k, int64_t at_ns)
{
    unsigned series = tenant_of(k) * SIM_SERIES + k % OF_RULE * 2 + (rule_of(k) != LONG);
    int64_t at_ms = at_ns / NS_PER_MS;
    int64_t t = (at_ms - series) / 1000 < w.s.sent_s ? (at_ms - series) / 1000 : w.s.sent_s;
    for (t -= t % SIM_SCRAPE_S; t * 1000 + series > at_ms - w.s.terms.lookback_ms;
         t -= SIM_SCRAPE_S) {
        if (t <= SIM_BEGIN / 1000) return false;
        if (sim_is_there(&w.s, series, t)) {
            return sim_value(&w.s, series, t) > bound_of(rule_of(k));
        }
        if (sim_is_there(&w.s, series, t - SIM_SCRAPE_S)) return false;
    }
    return false;
}

/* --- Alertmanagers ---------------------------------------------------------------------------- */

static bool
is_well(const struct host *h)
{
    return h->mood == WELL || h->mood == SLOW;
}

static struct bytes
member_text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return text(value == NULL ? "" : value);
}

/* It was sent one alert. `takes`: it gets it; `acknowledges`: we hear of that, too. */
static void
hear(struct host *h, const json_t *alert, bool takes, bool acknowledges)
{
    const json_t *labels = json_object_get(alert, "labels");
    unsigned k = number_of(member_text(labels, "alertname"), member_text(labels, "job"),
                           member_text(labels, "n"));
    const struct known *known = &w.known[k];
    int64_t starts_ms = time_of(alert, "startsAt"), ends_ms = time_of(alert, "endsAt");
    if (starts_ms != known->starts_ms || ends_ms != known->ends_ms) {
        fail_msg("d: %s %u is sent in an older state", names[rule_of(k)], k);
    }
    if (!takes) return;
    h->alerts[k].is_known = true;
    h->alerts[k].starts_ms = starts_ms;
    /* Of two ends in the future the later one counts. */
    bool is_longer = h->alerts[k].is_firing && ends_ms > clock_ns() / NS_PER_MS;
    if (!is_longer || ends_ms > h->alerts[k].ends_ms) h->alerts[k].ends_ms = ends_ms;
    seen.resolved_at_member += h->alerts[k].is_firing && !known->told_firing;
    h->alerts[k].is_firing = ends_ms > clock_ns() / NS_PER_MS;
    h->alerts[k].told_ns = now_ns();
    if (acknowledges) h->alerts[k].number = known->number;
}

static void
serve(void *context, struct fake_call *call)
{
    struct host *h = NULL;
    (void)context;
    for (unsigned i = 0; i < w.host_count; i++) {
        if (strcmp(w.hosts[i].url, call->url) == 0) h = &w.hosts[i];
    }
    assert_non_null(h);
    bool takes = is_well(h);
    call->after_ms = (int64_t)below(20);
    if (h->mood == SLOW) call->after_ms = 500 + (int64_t)below(9000);
    if (h->mood == SILENT) { /* the answer is lost, or the request */
        takes = below(2) == 0;
        call->after_ms = 10000;
        call->failure = HTTP_CALL_TIMEOUT;
    }
    if (h->mood == FAILING) call->status = 500;
    if (h->mood == UNREACHABLE) call->failure = HTTP_CALL_CONNECT;
    if (h->mood == BUSY) {
        call->status = 429;
        call->retry_after_ms = (1 + (int64_t)below(40)) * 1000;
    }
    json_t *list = json_loads(call->body, 0, NULL);
    size_t count = json_array_size(list);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        hear(h, json_array_get(list, i), takes, is_well(h));
    }
    *(is_well(h) ? &h->sent : &h->errors) += count;
    seen.errors += is_well(h) ? 0 : count;
    if (!is_well(h)) h->bad_ns = now_ns();
    if (h->mood == BUSY) h->bad_ns += call->retry_after_ms * NS_PER_MS; /* it wants it so */
    json_decref(list);
}

static void
set_mood(struct host *h, enum mood mood)
{
    bool was_well = is_well(h);
    if (!was_well) h->bad_ns = latest(h->bad_ns, now_ns());
    h->mood = mood;
    if (is_well(h) && !was_well) h->well_since_ns = h->bad_ns;
    if (is_well(h)) return;
    h->bad_ns = latest(h->bad_ns, now_ns());
    /* A process that is gone has forgotten its alerts. */
    for (unsigned k = 0; k < KNOWN && mood == UNREACHABLE && h->address[1] != '0'; k++) {
        h->alerts[k].is_known = h->alerts[k].is_firing = false;
        h->alerts[k].ends_ms = 0;
    }
}

/* --- the server ------------------------------------------------------------------------------- */

static void
configure(void)
{
    w.rig.limits = (struct notifier_limits){.queue_capacity = 10000,
                                            .batch_size = 6 + (uint32_t)(w.s.reality % 20),
                                            .pause_max_ms = RESEND_NS / NS_PER_MS};
    rig_begin_settings(&w.rig);
    rig_add(&w.rig, NULL)->static_count = 1;
    for (unsigned i = 0; i < w.host_count; i++) {
        rig_target(&w.rig, w.hosts[i].address);
    }
    rig_start(&w.rig);
}

static void
started(struct rules_sim *s)
{
    fake_init(&w.rig.fake, s->m.sim, serve, NULL, NULL);
    must(rig_new(&w.rig));
    configure();
    w.started_ns = now_ns();
    seen.restarts++;
}

static void
crashes(struct rules_sim *s)
{
    (void)s;
    rig_end(&w.rig);
    w.down_ns = now_ns();
    for (unsigned i = 0; i < w.host_count; i++) {
        w.hosts[i].sent = w.hosts[i].errors = 0;
    }
    for (unsigned k = 0; k < KNOWN; k++) {
        w.known[k].number = w.known[k].gone = 0;
        w.known[k].fires_told_ns = 0;
        w.known[k].is_unsure = true;
        /* Since when it is kept firing is found by what is there now. */
        w.known[k].lost_ns = 0;
        if (w.known[k].found_ns < w.broken_ns) w.known[k].found_ns = 0;
        for (unsigned i = 0; i < w.host_count; i++) {
            w.hosts[i].alerts[k].number = 0;
        }
    }
    w.broken_ns = clock_ns();
}

/* Of what began long ago, a restart finds that from `for`, and a clock that is set moves it. */
static bool
is_vague(unsigned k)
{
    const struct known *known = &w.known[k];
    int64_t since_ns = known->fires_since_ns;
    return known->is_vague || since_ns - for_ns(rule_of(k)) - 2 * RESEND_NS <= w.set_ns ||
           now_ns() - since_ns > w.s.limits.outage_tolerance_ns / 2;
}

static void
tell(struct rules_sim *s, const struct alert_notice *notices, uint32_t count)
{
    (void)s;
    for (uint32_t i = 0; i < count; i++) {
        unsigned k = number_of_labels(notices[i].labels);
        struct known *known = &w.known[k];
        bool goes_on = known->state == ALERT_FIRING && !known->is_unknown && known->starts_ms != 0;
        if (goes_on && notices[i].starts_ns / NS_PER_MS != known->starts_ms && !is_vague(k)) {
            fail_msg("d: %s %u fires since %lld, and is told to do so since %lld",
                     names[rule_of(k)], k, (long long)known->starts_ms,
                     (long long)(notices[i].starts_ns / NS_PER_MS));
        }
        known->number = ++w.told;
        known->starts_ms = notices[i].starts_ns / NS_PER_MS;
        known->ends_ms = notices[i].ends_ns / NS_PER_MS;
        known->told_firing = notices[i].ends_ns > clock_ns();
        if (known->told_firing) known->fires_told_ns = notices[i].ends_ns - VALID_NS;
    }
    notifier_send(w.rig.notifier, notices, count);
}

/* --- members are looked at -------------------------------------------------------------------- */

/* Since when the server and a member are as they should be. */
static int64_t
steady_since_ns(const struct host *h)
{
    return latest(latest(w.started_ns, w.set_ns), h->well_since_ns);
}

/* A group whose queries are slow is not evaluated as often as it should be. */
static int64_t
bound_ns(void)
{
    return BOUND_NS + (now_ns() - w.slow_ns < 3 * BOUND_NS ? RESEND_NS : 0);
}

static void
look_at(struct host *h, unsigned k)
{
    const struct known *known = &w.known[k];
    bool was_firing = h->alerts[k].is_firing;
    bool is_firing = h->alerts[k].is_known && h->alerts[k].ends_ms > clock_ns() / NS_PER_MS;
    int64_t steady_ns = steady_since_ns(h), told_ns = h->alerts[k].told_ns;
    h->alerts[k].is_firing = is_firing;
    seen.timed_out += was_firing && !is_firing;
    if (known->is_unknown) return;
    bool was_there = is_well(h) && h->bad_ns <= told_ns && w.rig.notifier != NULL &&
                     w.down_ns <= told_ns && w.set_ns < told_ns;
    if (was_firing && !is_firing && known->state == ALERT_FIRING && was_there) {
        fail_msg("d: %s %u ended at a member, and fires", names[rule_of(k)], k);
    }
    if (!is_well(h) || w.rig.notifier == NULL) return;
    if (known->state == ALERT_FIRING && !is_firing &&
        now_ns() - latest(steady_ns, known->fires_since_ns) > bound_ns()) {
        fail_msg("a: %s %u fires and is not known at a member", names[rule_of(k)], k);
    }
    if (known->state != ALERT_INACTIVE || known->over_since_ns == 0) return;
    int64_t over_ns = latest(steady_ns, known->over_since_ns);
    /* What fired last before the clock was set forward may be too old for a restart to find. */
    bool is_told = over_ns - known->over_since_ns < KEPT_NS - 2 * bound_ns() &&
                   w.set_ns < known->over_since_ns - 2 * RESEND_NS;
    if (!is_told || now_ns() - over_ns <= bound_ns()) return;
    if (is_firing || !h->alerts[k].is_known || known->told_firing) {
        fail_msg("e: %s %u is over and a member does not know", names[rule_of(k)], k);
    }
}

static void
count(const struct member *m, const struct host *h)
{
    uint32_t lost = 0;
    if (m->is_sending) return;
    if (m->sent != h->sent) fail_msg("f: sent is counted wrongly");
    if (m->errors != h->errors) fail_msg("f: errors are counted wrongly");
    if (m->queue.waiting.count > 0) return;
    for (unsigned k = 0; k < KNOWN; k++) {
        lost += w.known[k].number != 0 && h->alerts[k].number != w.known[k].number;
    }
    if (lost > m->dropped)
        fail_msg("f: %u alerts are lost, %u dropped", lost, (unsigned)m->dropped);
}

static void
look_at_members(void)
{
    for (unsigned i = 0; i < w.host_count; i++) {
        for (unsigned k = 0; k < KNOWN; k++) {
            look_at(&w.hosts[i], k);
        }
    }
    if (w.rig.notifier == NULL) return;
    const struct members *members = &w.rig.notifier->plan->items[0]->members;
    assert_int_equal(members->count, w.host_count);
    for (uint32_t i = 0; i < members->count; i++) {
        unsigned of = 0;
        while (strcmp(w.hosts[of].url, members->items[i]->url) != 0) {
            of++;
        }
        count(members->items[i], &w.hosts[of]);
    }
}

/* What is known of an alert no more, but for what it was told. */
static void
forget(struct known *known)
{
    known->is_unknown = known->is_unsure = known->is_endless = true;
    known->found_since_ns = known->found_ns = known->lost_ns = 0;
    known->gone = known->number;
}

/* The clock was set. */
static void
note_clock(void)
{
    int64_t offset_ns = clock_ns() - now_ns(), by_ns = offset_ns - w.offset_ns;
    w.offset_ns = offset_ns;
    if (by_ns > -NS_PER_S && by_ns < NS_PER_S) return;
    w.set_ns = now_ns();
    w.broken_ns = clock_ns();
    for (unsigned k = 0; k < KNOWN && by_ns < 0; k++) {
        w.known[k].is_changed = true;
    }
    /* What is read at the start is that of a time long before. */
    for (unsigned k = 0; k < KNOWN && by_ns < 0; k++) {
        bool has_begun = w.looked_ns[tenant_of(k)][group_of(k)] >= w.started_ns;
        if (!has_begun) forget(&w.known[k]);
    }
    for (unsigned i = 0; i < 4 * TENANTS; i++) {
        int64_t *live_ns = &w.live_ns[i / 4][i / 2 % 2][i % 2];
        if (*live_ns > clock_ns() - 2 * NS_PER_S * 60 && by_ns < 0)
            *live_ns = clock_ns() - 2 * NS_PER_S * 60;
    }
}

static void
wait_for(struct rules_sim *s, int64_t ns)
{
    int64_t until_ns = now_ns() + ns;
    note_clock();
    if (s->slow_ms > 0) w.slow_ns = now_ns();
    if (s->mute || s->memory_fails || s->slow_ms > 0) w.broken_ns = clock_ns();
    if (s->write_fails || s->settle_fails) w.refused_ns = now_ns();
    if (s->m.db == NULL || w.rig.notifier == NULL) {
        sim_env_advance_ns(s->m.sim, ns);
    } else {
        uint64_t left = rig_hold_failures(&w.rig);
        for (int64_t left_ns; (left_ns = until_ns - now_ns()) >= NS_PER_MS;) {
            notifier_step(w.rig.notifier, (int)(left_ns / NS_PER_MS));
        }
        mem_fail_nth(left, false);
    }
    for (unsigned i = 0; i < w.host_count; i++) {
        struct host *h = &w.hosts[i];
        if (below(is_well(h) ? 400 : 200) == 0) set_mood(h, (enum mood)below(MOODS));
    }
    look_at_members();
}

/* --- evaluations are looked at ---------------------------------------------------------------- */

static enum alert_state now_is[KNOWN];

static void
note_alert(void *context, const struct alert *alert)
{
    (void)context;
    now_is[number_of_labels(alert->labels)] = alert->state;
}

static _Noreturn void
fail_state(unsigned k, const char *what)
{
    static const char *const words[] = {"inactive", "pending", "firing"};
    fail_msg("%s %u: %s; it was %s, and is %s", names[rule_of(k)], k, what, words[w.known[k].state],
             words[now_is[k]]);
    abort();
}

/* Nothing says that it is over, or it is so since `lost_ns`. */
static void
check_firing(unsigned k, const struct known *was, bool found, bool holds, bool is_sure,
             int64_t at_ns)
{
    int64_t keep = keep_ns(rule_of(k));
    if (now_is[k] != ALERT_FIRING) {
        if (now_is[k] == ALERT_PENDING) fail_state(k, "b: it fell back");
        if (found) fail_state(k, "b: it is over, and the data has it");
        if (holds) fail_state(k, "b: it is over, and its input is not there");
        if (at_ns - was->found_ns < keep) fail_state(k, "b: it is over too early");
    } else if (is_sure && !found && !holds && was->lost_ns != 0 && at_ns - was->lost_ns >= keep) {
        fail_state(k, "b: it goes on, and the data does not have it");
    }
}

static void
check_state(unsigned k, const struct known *was, bool found, bool holds, bool is_sure,
            int64_t at_ns)
{
    if (was->state == ALERT_FIRING) {
        check_firing(k, was, found, holds, is_sure, at_ns);
        return;
    }
    if (!is_sure) return;
    bool is_kept = holds && was->state == ALERT_PENDING;
    if (now_is[k] != ALERT_INACTIVE && !found && !is_kept) {
        fail_state(k, "b: the data does not have it");
    }
    if (now_is[k] == ALERT_INACTIVE && found) fail_state(k, "b: the data has it");
    if (now_is[k] == ALERT_FIRING && at_ns - was->found_since_ns < for_ns(rule_of(k))) {
        fail_state(k, "b: it fires too early");
    }
    if (now_is[k] == ALERT_PENDING && !was->is_unsure && (found || !is_kept) &&
        at_ns - was->found_since_ns >= for_ns(rule_of(k))) {
        fail_state(k, "b: it does not fire");
    }
}

/* What the error of a rule says of its alerts: whether they were evaluated is not known of all. */
static bool
was_evaluated(struct bytes error)
{
    return error.size == 0 || bytes_equal_text(error, "the test says no") ||
           memmem(error.at, error.size, "conflict", 8) != NULL;
}

static void
step_known(unsigned k, bool is_sure, bool holds, bool is_relived, int64_t at_ns)
{
    struct known *known = &w.known[k];
    bool found = is_found(k, at_ns);
    int64_t *times[] = {&known->found_since_ns, &known->found_ns, &known->lost_ns};
    for (unsigned i = 0; i < 3; i++) { /* as the clock was set back */
        if (*times[i] > at_ns) *times[i] = at_ns;
    }
    if (known->is_unknown && now_is[k] != ALERT_INACTIVE) {
        known->found_since_ns = 1; /* who knows */
        known->is_unsure = true;
    }
    if (is_sure && found) {
        if (known->found_since_ns == 0) known->found_since_ns = at_ns;
        if (!w.s.mute)
            known->found_ns = at_ns; /* else it may be found otherwise when it is read again */
        known->lost_ns = 0;
    }
    if (!is_sure) {
        known->is_unsure = true;
        if (found && known->found_since_ns == 0) known->found_since_ns = at_ns;
        if (found) known->lost_ns = 0;
    }
    if (!known->is_unknown) check_state(k, known, found, holds, is_sure, at_ns);
    if (is_sure && !found) {
        if (now_is[k] == ALERT_INACTIVE) known->found_since_ns = 0;
        if (known->lost_ns == 0 && !holds) known->lost_ns = at_ns;
    }
    if (is_sure && now_is[k] == ALERT_INACTIVE) known->is_unsure = false;
    if (now_is[k] != known->state || known->is_unknown) {
        bool is_over = known->state == ALERT_FIRING && !known->is_unknown;
        /* What was not stored is not told again after a restart. */
        bool is_stored = now_ns() - w.refused_ns > 2 * RESEND_NS && !is_relived;
        known->fires_since_ns = now_is[k] == ALERT_FIRING ? now_ns() : 0;
        known->is_vague = known->is_unsure || known->is_endless || !is_stored;
        known->over_since_ns = is_over && is_stored && known->is_stored ? now_ns() : 0;
        known->is_stored = is_stored;
        seen.fired += now_is[k] == ALERT_FIRING;
        known->is_changed &= now_is[k] != ALERT_FIRING || known->is_unknown;
    }
    known->state = now_is[k];
    known->is_unknown = false;
    if (now_is[k] == ALERT_FIRING) known->firing_ns = at_ns;
    if (known->number != known->gone && known->state != ALERT_PENDING &&
        known->told_firing != (known->state == ALERT_FIRING)) {
        fail_state(k, "it was told otherwise");
    }
    /* A group that comes back in time goes on: what it told a moment ago is not due yet. */
    if (known->number == known->gone && known->state == ALERT_FIRING &&
        at_ns - known->fires_told_ns > RESEND_NS) {
        fail_state(k, "a: it was not told");
    }
}

static void
note_made(unsigned tenant, unsigned group, int64_t at_ns)
{
    uint32_t n = w.made_count[tenant][group];
    for (uint32_t i = 0; i < n; i++) {
        if (w.made[tenant][group][i] == at_ns) fail_msg("c: recorded twice");
    }
    if (n == w.made_capacity[tenant][group]) {
        w.made_capacity[tenant][group] = 2 * n + 1000;
        w.made[tenant][group] = realloc(w.made[tenant][group], (2 * n + 1000) * sizeof(int64_t));
    }
    w.made[tenant][group][w.made_count[tenant][group]++] = at_ns;
}

/* Alerts that began anew, as nothing of them was young enough at the start. */
static void
forget_old(unsigned k, int64_t since_ns, int64_t at_ns)
{
    struct known *known = &w.known[k];
    if (at_ns - since_ns < w.s.limits.outage_tolerance_ns && at_ns >= since_ns) return;
    known->is_unknown = known->is_unsure = true;
    known->found_since_ns = known->found_ns = known->lost_ns = 0;
}

/*
 * "What was firing and is not found any more is not told as resolved if [...] the expression did
 * not find it either when it became active, when it began to fire and when it fired last, as it is
 * [...] of an expression that has changed since, or after the clock was set back" (docs/rules.md):
 * it was kept firing, or over already.
 */
static void
doubt_changed(unsigned k, int64_t at_ns)
{
    struct known *known = &w.known[k];
    int64_t began_ns = known->starts_ms * NS_PER_MS;
    /* A restart does not look further back. */
    bool is_young = at_ns - began_ns < w.s.limits.outage_tolerance_ns;
    if (!known->is_changed || is_found(k, known->firing_ns)) return;
    if (is_young && is_found(k, began_ns)) return;
    known->is_stored = false;
    known->over_since_ns = 0;
}

static void
look_at_evaluation(struct rules_sim *s, const struct agenda_job *job)
{
    if (job->work != AGENDA_LIVE && job->work != AGENDA_MAKE_UP) return;
    struct group *g = agenda_entry_group(job->entry);
    unsigned tenant = bytes_equal_text(group_tenant(g), sim_tenants[1]);
    unsigned group = strcmp(group_text(g)->name, "other") == 0;
    int64_t at_ns = job->how.at_ns;
    if (job->outcome.stored && job->error == OK && job->how.part != GROUP_ALERTING)
        note_made(tenant, group, at_ns);
    seen.made_up += job->work == AGENDA_MAKE_UP;
    if (s->rejected > w.rejected && at_ns > w.latest_ns[tenant][group] &&
        job->work == AGENDA_LIVE) {
        fail_msg("c: a sample was written twice");
    }
    w.rejected = s->rejected;
    if (job->work != AGENDA_LIVE) return;
    int64_t *live_ns = w.live_ns[tenant][group], before_ns = latest(live_ns[0], live_ns[1]);
    unsigned name = strcmp(group_text(g)->name, "alerts1") == 0;
    if (at_ns <= live_ns[name]) fail_msg("c: evaluated twice");
    live_ns[name] = at_ns;
    bool is_relived = at_ns <= w.latest_ns[tenant][group];
    w.latest_ns[tenant][group] = latest(w.latest_ns[tenant][group], at_ns);
    bool is_first = w.looked_ns[tenant][group] < w.started_ns;
    w.looked_ns[tenant][group] = now_ns();
    if (!group_alarms(g)) return;
    for (unsigned k = 0; k < KNOWN; k++) {
        now_is[k] = tenant_of(k) == tenant && group_of(k) == group ? ALERT_INACTIVE : now_is[k];
    }
    for (uint32_t r = 0; r < group_text(g)->rule_count; r++) {
        group_each_alert(g, r, note_alert, NULL);
    }
    for (unsigned k = 0; k < KNOWN; k++) {
        uint32_t r = 0;
        if (tenant_of(k) != tenant || group_of(k) != group) continue;
        while (strcmp(group_text(g)->rules[r].name, names[rule_of(k)]) != 0) {
            r++;
        }
        if (is_first && before_ns != 0) forget_old(k, before_ns, at_ns);
        if (is_first) doubt_changed(k, at_ns);
        step_known(k, !s->memory_fails && was_evaluated(group_rule_error(g, r)), job->how.holds,
                   is_relived, at_ns);
    }
}

/* --- lives ------------------------------------------------------------------------------------ */

static void
choose_rules(void)
{
    struct text was = w.text;
    switch (below(5)) {
    case 0:
        w.text.waits_over = 20 + (int)below(60);
        break;
    case 1:
        w.text.lasts_over = 20 + (int)below(60);
        break;
    case 2:
        w.text.waits_for_s = 60 * (int64_t)below(4);
        w.text.lasts_keep_s = 60 * (int64_t)below(5);
        break;
    case 3:
        w.text.has_many = !was.has_many;
        w.text.interval_s = 20 + 10 * (int64_t)below(5);
        break;
    default:
        w.text.name = !was.name;
        break;
    }
    put_rules();
    for (unsigned k = 0; k < KNOWN; k++) {
        struct known *known = &w.known[k];
        known->is_vague = true;
        known->is_changed |= (rule_of(k) == WAITS && was.waits_over != w.text.waits_over) ||
                             (rule_of(k) == LASTS && was.lasts_over != w.text.lasts_over);
        known->is_unsure = true; /* as of a group of another name it is restored */
        known->lost_ns = 0;
        bool comes_or_goes = rule_of(k) == MANY && was.has_many != w.text.has_many;
        /* What is kept firing since before is known to the group of that name only. */
        bool is_left = was.name != w.text.name && group_of(k) == 0 && known->found_ns < w.broken_ns;
        if (comes_or_goes || is_left) forget(known);
    }
    w.broken_ns = clock_ns();
}

/* Queries take so long at most; the limit of queries is 20 s. */
static void
be_slow(int64_t slow_ms, int64_t seconds)
{
    int64_t until_ns = now_ns() + seconds * NS_PER_S;
    w.s.slow_ms = slow_ms;
    while (now_ns() < until_ns) {
        sim_pass(&w.s, 1);
    }
    w.s.slow_ms = 0;
}

static void
something_happens(void)
{
    struct rules_sim *s = &w.s;
    switch (below(5)) {
    case 0:
        choose_rules();
        sim_load(s, w.yaml);
        configure();
        break;
    case 1:
        if (below(4) == 0)
            be_slow(30000, (int64_t)below(30));
        else
            be_slow(2000, (int64_t)below(240));
        break;
    default:
        sim_trouble(s, w.yaml);
        break;
    }
}

static void
live(uint64_t seed)
{
    memset(&w, 0, sizeof w);
    w.text = (struct text){40, 60, 120, 180, 30, true, 0};
    put_rules();
    sim_init(&w.s, seed, "");
    w.s.tenant_count = TENANTS;
    w.s.terms.timeout_ns = 20 * NS_PER_S;
    w.s.look = look_at_evaluation;
    w.s.tell = tell;
    w.s.wait = wait_for;
    w.s.started = started;
    w.s.crashes = crashes;
    w.rig.sim = w.s.m.sim;
    budget_init(&w.rig.memory, "notify", 0, NULL);
    w.host_count = 1 + (unsigned)below(HOSTS_MAX);
    for (unsigned i = 0; i < w.host_count; i++) {
        snprintf(w.hosts[i].address, sizeof w.hosts[i].address, "h%u:9093", i);
        snprintf(w.hosts[i].url, sizeof w.hosts[i].url, "http://h%u:9093/api/v2/alerts", i);
    }
    w.offset_ns = clock_ns() - now_ns();
    started(&w.s);
    sim_load(&w.s, w.yaml);
    for (int i = 0; i < 20; i++) {
        sim_pass(&w.s, (int64_t)below(600));
        something_happens();
    }
    for (unsigned i = 0; i < w.host_count; i++) {
        set_mood(&w.hosts[i], WELL);
    }
    sim_pass(&w.s, 600);
    crashes(&w.s);
    sim_fini(&w.s);
    for (unsigned i = 0; i < TENANTS * 2; i++) {
        free(w.made[i / 2][i % 2]);
    }
    alerting_free(&w.rig.alerting);
}

static void
test_alerts_are_told_as_they_are_whatever_happens_to_server_and_members(void **state)
{
    (void)state;
    const char *one = getenv("SEED"), *count = getenv("SEEDS");
    uint64_t seeds = count != NULL ? strtoull(count, NULL, 10) : one != NULL ? 1 : 20;
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    for (uint64_t i = 0; i < seeds; i++) {
        live(first + i);
    }
    if (seeds < 20) return;
    /* Else there was little to see. */
    assert_true(seen.fired > seeds);
    assert_true(seen.resolved_at_member > seeds);
    assert_true(seen.timed_out > seeds);
    assert_true(seen.made_up > seeds);
    assert_true(seen.errors > seeds);
    assert_true(seen.restarts > 2 * seeds);
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            test_alerts_are_told_as_they_are_whatever_happens_to_server_and_members, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
