/*
 * A notifier's life at random, from a seed: alerts that fire, change and resolve, members that
 * fail, do not answer, refuse or ask to be left alone, come and go, reloads, a clock that jumps.
 * Whatever happens:
 *
 *   1. a member has one request under way at most;
 *   2. the states of an alert that it was sent never grow older;
 *   3. a queue is not longer than its capacity;
 *   4. what members count is what they were sent;
 *   5. once all members are well again, each that has dropped nothing knows the newest state of
 * each alert that was sent since it is a member; and when alerts are sent again, all know all.
 *
 * SEED and STEPS choose another walk; a failure prints both.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "notify/notify_rig_testing.h"

enum { HOSTS = 6, ALERTS = 60, SEEDS = 40, STEPS = 400 };

enum mood { WELL, SLOW, SILENT, FAILING, UNREACHABLE, REFUSING, BUSY, MOODS };

/* A server, which may be a member or not. */
struct host {
    char url[64], address[16];
    enum mood mood;
    bool is_member;
    bool has_request; /* under way */
    uint64_t sent, errors;
    int64_t known[ALERTS]; /* the newest state that it accepted; 0: none */
    int64_t due[ALERTS];   /* the newest that was sent since it is a member */
};

static struct rig rig;
static struct host hosts[HOSTS];
static int64_t newest[ALERTS]; /* states are numbered */
static int64_t states;
static uint64_t seed;
static unsigned step_count;

static unsigned
below(unsigned n)
{
    return (unsigned)(sim_env_random(rig.sim) % n);
}

static _Noreturn void
fail_at(const char *what)
{
    fail_msg("%s: SEED=%llu STEPS=%u", what, (unsigned long long)seed, step_count);
    abort();
}

/* An alert whose name has this in it is refused by those who refuse. */
static bool
is_invalid(unsigned alert)
{
    return alert % 7 == 3;
}

/* --- servers ---------------------------------------------------------------------------------- */

static struct host *
host_of(const char *url)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        if (strcmp(hosts[i].url, url) == 0) return &hosts[i];
    }
    fail_at("a request to nobody");
}

/* The answer, from the server's mood. */
static void
decide(const struct host *h, bool has_invalid, struct fake_call *call)
{
    call->after_ms = below(20);
    switch (h->mood) {
    case SLOW:
        call->after_ms = 500 + below(9000);
        break;
    case SILENT: /* until the call's own limit */
        call->after_ms = 10000;
        call->answer.failure = HTTP_CALL_TIMEOUT;
        break;
    case FAILING:
        call->answer.status = 500 + below(4);
        break;
    case UNREACHABLE:
        call->answer.failure = HTTP_CALL_CONNECT;
        break;
    case REFUSING:
        if (has_invalid) call->answer.status = 400;
        break;
    case BUSY:
        call->answer.status = below(2) == 0 ? 429 : 503;
        call->answer.retry_after_ns = (1000 + below(20000)) * NS_PER_MS;
        break;
    default:
        break;
    }
}

static void
serve(struct rig *r, struct fake_call *call)
{
    struct host *h = host_of(call->request.url);
    json_t *list =
        json_loadb((const char *)call->request.body.at, call->request.body.size, 0, NULL);
    bool has_invalid = false;
    size_t count = json_array_size(list);
    if (count == 0) fail_at("a request without alerts");
    for (unsigned i = 0; i < r->call_count; i++) {
        if (strcmp(r->calls[i].request.url, h->url) == 0) fail_at("two requests to one member");
    }
    for (int taking = 0; taking < 2; taking++) {
        for (size_t i = 0; i < count; i++) {
            const json_t *alert = json_array_get(list, i);
            unsigned n = (unsigned)atoi(name_of(alert) + 1);
            int64_t state = time_of(alert, "startsAt");
            has_invalid |= is_invalid(n);
            if (taking == 0) continue;
            if (state < h->known[n]) fail_at("an older state after a newer one");
            h->known[n] = state;
        }
        if (taking == 0) decide(h, has_invalid, call);
        bool is_taken = call->answer.failure == HTTP_CALL_ANSWERED && call->answer.status == 200;
        if (taking == 0 && is_taken) h->sent += count;
        if (taking == 0 && !is_taken) h->errors += count;
        if (!is_taken) break;
    }
    json_decref(list);
}

/* --- what happens ----------------------------------------------------------------------------- */

static void
send_alert(unsigned n)
{
    char name[16];
    snprintf(name, sizeof name, "n%u", n);
    newest[n] = ++states;
    for (unsigned i = 0; i < HOSTS; i++) {
        if (hosts[i].is_member) hosts[i].due[n] = newest[n];
    }
    rig_fire(&rig, name, newest[n], 0);
}

/* All that lasts is sent again, as who evaluates rules does. */
static void
send_all_again(void)
{
    for (unsigned n = 0; n < ALERTS; n++) {
        if (newest[n] != 0) send_alert(n);
    }
}

/* Another set of members, or the same with other settings. A host that is no member forgets, as
 * nobody keeps it up to date. */
static void
reload(bool all)
{
    struct alertmanager_settings *a = rig_add(&rig);
    a->static_count = 1;
    a->hash = 1000 + below(3); /* of other settings than its members */
    for (unsigned i = 0; i < HOSTS; i++) {
        bool was_member = hosts[i].is_member;
        hosts[i].is_member = all || below(4) > 0;
        if (hosts[i].is_member) {
            rig_target(&rig, hosts[i].address);
            a->hash = a->hash * 31 + i;
        }
        if (was_member && hosts[i].is_member) continue;
        memset(hosts[i].known, 0, sizeof hosts[i].known);
        memset(hosts[i].due, 0, sizeof hosts[i].due);
        hosts[i].sent = hosts[i].errors = 0;
    }
    rig_start(&rig);
}

static void
check_queues(void)
{
    const struct members *members = &rig.notifier->plan->items[0]->members;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *m = members->items[i];
        if (m->queue.waiting.count > rig.limits.queue_capacity) fail_at("a queue is too long");
        if (m->queue.taken.count > rig.limits.batch_size) fail_at("a batch is too long");
    }
}

static void
one_step(void)
{
    switch (below(12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        for (unsigned i = below(5) + 1; i > 0; i--) {
            send_alert(below(ALERTS));
        }
        break;
    case 4:
        send_all_again();
        break;
    case 5:
    case 6:
        hosts[below(HOSTS)].mood = (enum mood)below(MOODS);
        break;
    case 7:
        if (below(4) == 0) reload(false);
        break;
    case 8:
        if (below(8) == 0) { /* an hour back or forth */
            int64_t by_ms = (int64_t)below(7200 * 1000) - 3600 * 1000;
            sim_env_set_realtime_ms(rig.sim, env_realtime_ms(rig.env) + by_ms);
        }
        break;
    default:
        rig_run(&rig, below(4000));
        break;
    }
    check_queues();
}

/* --- in the end ------------------------------------------------------------------------------- */

/* Answers under way when a host stopped being a member are counted by nobody. */
static void
check_counts(void)
{
    const struct members *members = &rig.notifier->plan->items[0]->members;
    assert_int_equal(members->count, HOSTS);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *m = members->items[i];
        const struct host *h = host_of(m->url);
        if (m->sent != h->sent) fail_at("sent is counted wrongly");
        if (m->errors != h->errors) fail_at("errors are counted wrongly");
        if (m->queue.waiting.count + m->queue.taken.count > 0) fail_at("something is still queued");
    }
}

static unsigned complete; /* members that had dropped nothing */

static void
check_knowledge(bool all)
{
    const struct members *members = &rig.notifier->plan->items[0]->members;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct host *h = host_of(members->items[i]->url);
        if (!all && members->items[i]->dropped > 0) continue;
        complete += !all;
        for (unsigned n = 0; n < ALERTS; n++) {
            int64_t due = all ? newest[n] : h->due[n];
            if (h->known[n] != due) fail_at("a member does not know the newest state");
        }
    }
}

static void
walk(unsigned steps)
{
    struct sim_env *sim;
    assert_int_equal(sim_env_new(seed, &sim), OK);
    rig_init_on(&rig, sim, serve);
    rig.limits = (struct notifier_limits){20 + below(100), 1 + below(30), below(40) * 1000};
    step_count = steps;
    memset(newest, 0, sizeof newest);
    memset(hosts, 0, sizeof hosts);
    states = 0;
    for (unsigned i = 0; i < HOSTS; i++) {
        snprintf(hosts[i].address, sizeof hosts[i].address, "h%u:9093", i);
        snprintf(hosts[i].url, sizeof hosts[i].url, "http://h%u:9093/api/v2/alerts", i);
    }
    reload(true);
    for (unsigned i = 0; i < steps; i++) {
        one_step();
    }
    /* All are well, and alerts are sent again as they always are. */
    for (unsigned i = 0; i < HOSTS; i++) {
        hosts[i].mood = WELL;
    }
    rig.limits.queue_capacity = ALERTS;
    reload(true);
    rig_run(&rig, 40 * 1000); /* the longest pause, and what was slow */
    check_knowledge(false);
    send_all_again();
    rig_run(&rig, 1000);
    check_counts();
    check_knowledge(true);
    rig_fini(&rig);
    sim_env_free(sim);
}

static void
test_whatever_happens_members_know_the_newest_states_in_the_end(void **state)
{
    (void)state;
    const char *one = getenv("SEED"), *steps = getenv("STEPS");
    bool is_long = getenv("LONG") != NULL && strcmp(getenv("LONG"), "1") == 0;
    unsigned count = one != NULL ? 1 : is_long ? 100 * SEEDS : SEEDS;
    for (unsigned i = 0; i < count; i++) {
        seed = one != NULL ? strtoull(one, NULL, 10) : 20240229 + i;
        walk(steps != NULL ? (unsigned)atoi(steps) : STEPS);
    }
    if (one == NULL) assert_true(complete > count); /* else little was looked at */
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_happens_members_know_the_newest_states_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
