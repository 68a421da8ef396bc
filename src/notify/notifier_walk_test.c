/*
 * notifier_walk_test.c - a random life of a notifier, from a seed: alerts that fire, change and
 * resolve, members that fail, do not answer, refuse, request pauses, are added and removed,
 * reloads, a clock that jumps. At any time:
 *
 *   1. a member has at most one pending request;
 *   2. the states of an alert that it was sent never grow older;
 *   3. a queue is not longer than its capacity;
 *   4. members count exactly what they were sent;
 *   5. once all members are well again, each that has dropped nothing knows the newest state of
 *      each alert sent since it became a member; after alerts are sent again, all members do.
 *
 * SEED and STEPS choose another walk; a failure prints both.
 */
#include "lib/notify/notify_rig.h"
#include "lib/test.h"

enum { HOSTS = 6, ALERTS = 60, SEEDS = 40, STEPS = 400 };

/* The answers of a server; the first is a success. */
static const struct mood {
    unsigned after_ms, at_most_more_ms;
    enum http_call_failure failure;
    unsigned status, statuses;
    bool refuses; /* only requests with an invalid alert get the status */
    bool is_busy; /* Retry-After */
} moods[] = {
    {0, 20, HTTP_CALL_ANSWERED, 200, 1, false, false},
    {500, 9000, HTTP_CALL_ANSWERED, 200, 1, false, false},
    {10000, 1, HTTP_CALL_TIMEOUT, 0, 1, false, false}, /* the call's own limit */
    {0, 20, HTTP_CALL_ANSWERED, 500, 4, false, false},
    {0, 20, HTTP_CALL_CONNECT, 0, 1, false, false},
    {0, 20, HTTP_CALL_ANSWERED, 400, 1, true, false},
    {0, 20, HTTP_CALL_ANSWERED, 429, 1, false, true},
    {0, 20, HTTP_CALL_ANSWERED, 503, 1, false, true},
};
enum { MOODS = sizeof moods / sizeof *moods };

/* A server, which may be a member. */
struct host {
    char address[16];
    const struct mood *mood;
    bool is_member;
    struct {
        uint64_t sent, errors;
        int64_t known[ALERTS]; /* the newest accepted state; 0: none */
        int64_t due[ALERTS];   /* the newest state sent */
    } as_member;               /* since it became a member */
};

static struct notify_rig rig;
static struct host hosts[HOSTS];
static int64_t newest[ALERTS]; /* numbers of states */
static int64_t states;
static uint64_t seed;
static unsigned step_count;
static unsigned complete; /* members that had dropped nothing at the end */

static unsigned
below(unsigned n)
{
    return (unsigned)(sim_env_random(rig.sim) % n);
}

static void
expect(bool is_so, const char *claim)
{
    if (is_so) return;
    fail_msg("not so: %s: SEED=%llu STEPS=%u", claim, (unsigned long long)seed, step_count);
}

static struct host *
host_of(const char *url)
{
    return &hosts[url[strlen("http://h")] - '0'];
}

static const struct members *
members(void)
{
    return &rig.notifier->config->items[0]->members;
}

/* --- events ----------------------------------------------------------------------------------- */

static void
serve(struct notify_rig *r, struct fake_call *call)
{
    struct host *h = host_of(call->request.url);
    const struct mood *mood = h->mood;
    struct bytes body = call->request.body;
    json_t *list = json_loadb((const char *)body.at, body.size, 0, NULL);
    size_t count = json_array_size(list);
    bool has_invalid = false;
    expect(count > 0, "a request has alerts");
    for (unsigned i = 0; i < r->call_count; i++)
        expect(host_of(r->calls[i].request.url) != h, "a member has one request at a time");
    for (size_t i = 0; i < count; i++)
        has_invalid |= atoi(alert_name_of(json_array_get(list, i)) + 1) % 7 == 3;
    call->after_ms = mood->after_ms + below(mood->at_most_more_ms);
    call->answer.failure = mood->failure;
    if (!mood->refuses || has_invalid) call->answer.status = mood->status + below(mood->statuses);
    if (mood->is_busy) call->answer.retry_after_ns = (1000 + below(20000)) * NS_PER_MS;
    bool is_accepted = call->answer.status == 200;
    *(is_accepted ? &h->as_member.sent : &h->as_member.errors) += count;
    for (size_t i = 0; i < count && is_accepted; i++) {
        const json_t *alert = json_array_get(list, i);
        int64_t *known = &h->as_member.known[atoi(alert_name_of(alert) + 1)];
        expect(alert_time_of(alert, "startsAt") >= *known, "no older state follows a newer one");
        *known = alert_time_of(alert, "startsAt");
    }
    json_decref(list);
}

static void
send_alert(unsigned n)
{
    char name[16];
    sprintf(name, "n%u", n);
    newest[n] = ++states;
    for (unsigned i = 0; i < HOSTS; i++)
        if (hosts[i].is_member) hosts[i].as_member.due[n] = newest[n];
    notify_rig_fire(&rig, name, newest[n], 0);
}

/* Sends all alerts that last again, as the evaluation of rules does. */
static void
send_all_again(void)
{
    for (unsigned n = 0; n < ALERTS; n++)
        if (newest[n] != 0) send_alert(n);
}

/* Reloads another set of members, or the same with other settings. */
static void
reload(bool all)
{
    struct alertmanager_settings *a = notify_rig_add(&rig);
    a->static_count = 1;
    a->hash = 1000 + below(3); /* only the settings of its members are the same */
    for (unsigned i = 0; i < HOSTS; i++) {
        bool was_member = hosts[i].is_member;
        hosts[i].is_member = all || below(4) > 0;
        if (hosts[i].is_member) notify_rig_target(&rig, hosts[i].address);
        if (hosts[i].is_member) a->hash = a->hash * 31 + i;
        if (was_member && hosts[i].is_member) continue;
        memset(&hosts[i].as_member, 0, sizeof hosts[i].as_member);
    }
    notify_rig_start(&rig);
}

static void
one_step(void)
{
    unsigned dice = below(12);
    if (dice < 4) {
        for (unsigned i = below(5) + 1; i > 0; i--)
            send_alert(below(ALERTS));
    } else if (dice == 4) {
        send_all_again();
    } else if (dice < 7) {
        hosts[below(HOSTS)].mood = &moods[below(MOODS)];
    } else if (dice == 7) {
        if (below(4) == 0) reload(false);
    } else if (dice == 8 && below(8) == 0) { /* an hour forward or back */
        int64_t by_ms = (int64_t)below(7200 * 1000) - 3600 * 1000;
        sim_env_set_realtime_ms(rig.sim, env_realtime_ms(rig.env) + by_ms);
    } else if (dice > 8) {
        notify_rig_run(&rig, below(4000));
    }
    for (uint32_t i = 0; i < members()->count; i++) {
        const struct queue *q = &members()->items[i]->queue;
        expect(q->waiting.count <= rig.limits.queue_capacity, "a queue has a capacity");
        expect(q->taken.count <= rig.limits.batch_size, "a batch has a limit");
    }
}

/* --- in the end ------------------------------------------------------------------------------- */

/* Checks the members; `all`: also those that have dropped alerts, as all were sent again
 * and answered. */
static void
check_members(bool all)
{
    assert_int_equal(members()->count, HOSTS);
    for (uint32_t i = 0; i < HOSTS; i++) {
        const struct member *m = members()->items[i];
        const struct host *h = host_of(m->url);
        expect(!all || m->sent == h->as_member.sent, "what is sent is counted");
        expect(!all || m->errors == h->as_member.errors, "errors are counted");
        expect(!all || m->queue.waiting.count + m->queue.taken.count == 0, "nothing is queued");
        if (!all && m->dropped > 0) continue;
        complete += !all;
        for (unsigned n = 0; n < ALERTS; n++) {
            int64_t due = all ? newest[n] : h->as_member.due[n];
            expect(h->as_member.known[n] == due, "a member knows the newest state");
        }
    }
}

static void
walk(void)
{
    struct sim_env *sim;
    assert_int_equal(sim_env_new(seed, &sim), OK);
    notify_rig_init_on(&rig, sim, serve);
    rig.limits = (struct notifier_limits){20 + below(100), 1 + below(30), below(40) * 1000};
    memset(newest, 0, sizeof newest);
    states = 0;
    for (unsigned i = 0; i < HOSTS; i++) {
        hosts[i] = (struct host){.mood = moods};
        sprintf(hosts[i].address, "h%u:9093", i);
    }
    reload(true);
    for (unsigned i = 0; i < step_count; i++)
        one_step();
    /* All members are well, and alerts are sent again as usual. */
    for (unsigned i = 0; i < HOSTS; i++)
        hosts[i].mood = moods;
    rig.limits.queue_capacity = ALERTS;
    reload(true);
    notify_rig_run(&rig, 40 * 1000); /* the longest pause, and the slowest answers */
    check_members(false);
    send_all_again();
    notify_rig_run(&rig, 1000);
    check_members(true);
    notify_rig_fini(&rig);
    sim_env_free(sim);
}

UNIT_TEST(test_whatever_happens_members_know_the_newest_states_in_the_end)
{
    const char *one = getenv("SEED"), *steps = getenv("STEPS");
    bool is_long = getenv("LONG") != NULL && strcmp(getenv("LONG"), "1") == 0;
    unsigned count = one != NULL ? 1 : is_long ? 100 * SEEDS : SEEDS;
    step_count = steps != NULL ? (unsigned)atoi(steps) : STEPS;
    for (unsigned i = 0; i < count; i++) {
        seed = one != NULL ? strtoull(one, NULL, 10) : 20240229 + i;
        walk();
    }
    if (one == NULL) assert_true(complete > count); /* else the walk has proved little */
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
