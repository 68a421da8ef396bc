/*
 * server_test.c - a whole server under load and on a failing machine: acknowledged samples stay,
 * requests that cannot be served are refused in a way that makes senders come back, and the server
 * recovers by itself. server_life_test.c tests start, stop and reload.
 */
#include "lib/test.h"
#include "sim/server_rig.h"

static struct crowd crowd; /* connections of the running test */

/* --- load ------------------------------------------------------------------------------------- */

UNIT_TEST(test_one_sync_serves_all_who_wait)
{
    struct site *s = site_new();
    site_start(s);
    fault_env_slow_sync(s->fe, 5 * NS_PER_MS);
    crowd_open(&crowd, s, 0, 64);
    crowd_until(&crowd, crowd.acknowledged >= 64); /* all connections are there */
    uint64_t commits = site_stats(s).wal.commits_total;
    uint64_t before = crowd.acknowledged;
    crowd_until(&crowd, crowd.acknowledged - before >= 64 * 50);
    commits = site_stats(s).wal.commits_total - commits;
    uint64_t answered = crowd.acknowledged - before;
    if (answered < 16 * commits) {
        fail_msg("%llu requests took %llu commits", (unsigned long long)answered,
                 (unsigned long long)commits);
    }
    crowd_finish(&crowd);
    assert_int_equal(crowd.refused, 0);
    site_check_contents(s);
    fault_env_slow_sync(s->fe, 0);
    site_check_restart(s);
    site_free(s);
}

/* Writes series of noise, so that their chunks are as large as the samples. */
static void
write_noise(struct site *s)
{
    struct rng r = {7};
    for (unsigned n = 0; n < 8; n++) {
        struct rq rq;
        char labels[64];
        rq_init(&rq, RW_V1);
        snprintf(labels, sizeof labels, "__name__=m,n=%u", n);
        rq_series(&rq, labels);
        for (unsigned i = 0; i < SAMPLES_MAX; i++)
            rq_float(&rq, s->base_ms + i, rng_next(&r) >> 2, 0);
        assert_int_equal(site_write_body(s, RW_V1, site_body(&rq)), 204);
    }
}

enum { READERS = 16 };

static void
begin_reading(struct site *s, struct client *readers)
{
    struct body body = site_read_request(s, true, READ_QUERIES_MAX);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = client_connect_to(http_server_port(s->server->http), 4096);
        assert_true(readers[i].fd >= 0);
        assert_true(send_post(&readers[i], "/api/v1/read", "", body));
    }
    free(body.at);
}

/* No reader is cut off meanwhile, however long the writes take. */
UNIT_TEST(test_readers_that_take_nothing_slow_no_write)
{
    struct site *s = site_new();
    struct client readers[READERS];
    s->settings.read_max_concurrent = READERS;
    s->settings.web_send_timeout_ms = s->settings.read_timeout_ms = 60 * MINUTE_MS;
    site_start(s);
    write_noise(s);
    begin_reading(s, readers);
    wait_for(s, site_metric(s, "firekeep_reads_running") == READERS);
    crowd_open(&crowd, s, 100, 16);
    crowd_until(&crowd, crowd.acknowledged >= 16 * 20);
    assert_int_equal(site_metric(s, "firekeep_reads_running"), READERS);
    crowd_finish(&crowd);
    assert_int_equal(crowd.refused, 0);
    for (unsigned i = 0; i < READERS; i++)
        client_close(&readers[i]);
    wait_for(s, site_metric(s, "firekeep_reads_running") == 0);
    site_free(s);
}

UNIT_TEST(test_readers_that_take_nothing_are_cut_off)
{
    struct site *s = site_new();
    struct client readers[READERS];
    s->settings.read_max_concurrent = READERS;
    s->settings.web_send_timeout_ms = 300;
    site_start(s);
    write_noise(s);
    begin_reading(s, readers);
    wait_for(s, site_metric(s, "firekeep_http_timeouts_total{phase=\"send\"}") == READERS);
    wait_for(s, site_metric(s, "firekeep_reads_running") == 0);
    for (unsigned i = 0; i < READERS; i++) {
        struct response r = client_response(&readers[i], false);
        assert_int_equal(r.status, 200);
        assert_false(r.whole);
        response_free(&r);
        client_close(&readers[i]);
    }
    site_free(s);
}

/* Reads a little of the answer; returns the number of running queries. */
static double
running_while_taken(const struct site *s, const struct client *client)
{
    char some[64];
    (void)recv(client->fd, some, sizeof some, MSG_DONTWAIT);
    return site_metric(s, "firekeep_reads_running");
}

UNIT_TEST(test_readers_that_take_little_are_cut_off_when_the_query_times_out)
{
    struct site *s = site_new();
    s->settings.read_timeout_ms = 1000;
    site_start(s);
    write_noise(s);
    for (unsigned form = 0; form < 2; form++) {
        bool streamed = form == 0;
        const char *name = streamed ? "firekeep_read_requests_total{form=\"streamed_xor_chunks\"}"
                                    : "firekeep_read_requests_total{form=\"samples\"}";
        double before = site_metric(s, name);
        struct body body = site_read_request(s, streamed, READ_QUERIES_MAX);
        struct client client = client_connect_to(http_server_port(s->server->http), 4096);
        assert_true(send_post(&client, "/api/v1/read", "", body));
        wait_for(s, site_metric(s, name) > before); /* it may have ended, too */
        /* A complete answer needs no view; an incomplete one ends with the query. */
        if (!streamed) wait_for(s, site_metric(s, "firekeep_views") == 0);
        wait_for(s, running_while_taken(s, &client) == 0);
        assert_int_equal(site_metric(s, "firekeep_views"), 0);
        assert_int_equal(site_metric(s, "firekeep_http_timeouts_total{phase=\"send\"}"), 0);
        client_close(&client);
        free(body.at);
    }
    site_free(s);
}

/* --- the disk fails --------------------------------------------------------------------------- */

UNIT_TEST(test_a_sync_that_fails_once_loses_nothing_acknowledged)
{
    struct site *s = site_new();
    site_start(s);
    crowd_open(&crowd, s, 0, 64);
    for (unsigned round = 1; round <= 20; round++) {
        uint64_t aim = crowd.acknowledged + 200;
        fault_env_arm(s->fe, (struct fault){FAULT_SYNC, 1 + round % 3, false});
        crowd_until(&crowd, fault_env_fired(s->fe));
        crowd_until(&crowd, crowd.acknowledged >= aim);
    }
    assert_true(crowd.refused > 0); /* some hit the log's next segment, which no request needs */
    wait_for(s, site_is_ready(s));
    crowd_finish(&crowd);
    site_check_contents(s);
    site_check_restart(s);
    site_free(s);
}

enum { LARGE_SERIES = 6, LARGE_SAMPLES = 1500 }; /* more than is judged at once */

static struct body
large_body(struct site *s, unsigned first)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (unsigned n = first; n < first + LARGE_SERIES; n++) {
        char labels[64];
        snprintf(labels, sizeof labels, "__name__=m,n=%u", n);
        rq_series(&rq, labels);
        for (unsigned i = 0; i < LARGE_SAMPLES; i++)
            rq_float(&rq, s->base_ms + i, double_bits(site_value(n, i)), 0);
        memset(s->fates[n], SENT, LARGE_SAMPLES);
    }
    return site_body(&rq);
}

enum { LARGE_CLIENTS = 8, LARGE_ROUNDS = 4 };

/* Sends the requests that were not accepted; returns how many remain. */
static unsigned
send_large(struct client *clients, const struct body *bodies, bool *taken)
{
    unsigned left = 0;
    for (unsigned i = 0; i < LARGE_CLIENTS; i++)
        if (!taken[i]) assert_true(send_write(&clients[i], RW_V1, bodies[i]));
    for (unsigned i = 0; i < LARGE_CLIENTS; i++) {
        if (taken[i]) continue;
        struct response r = client_response(&clients[i], false);
        if (r.status != 503) assert_int_equal(r.status, 204);
        site_check_refusal(&r);
        taken[i] = r.status == 204;
        left += !taken[i];
        response_free(&r);
    }
    return left;
}

static void
large_round(struct site *s, struct client *clients, unsigned first)
{
    struct body bodies[LARGE_CLIENTS];
    bool taken[LARGE_CLIENTS] = {false};
    for (unsigned i = 0; i < LARGE_CLIENTS; i++)
        bodies[i] = large_body(s, first + i * LARGE_SERIES);
    for (unsigned tries = 0;; tries++) {
        assert_true(tries < WAIT_S * 100);
        if (tries < 4) fault_env_arm(s->fe, (struct fault){FAULT_SYNC, 1 + tries % 2, false});
        if (send_large(clients, bodies, taken) == 0) break;
        poll(NULL, 0, tries < 4 ? 0 : 10);
    }
    for (unsigned i = 0; i < LARGE_CLIENTS; i++) {
        for (unsigned n = 0; n < LARGE_SERIES; n++)
            site_acknowledge(s, first + i * LARGE_SERIES + n, 0, LARGE_SAMPLES);
        free(bodies[i].at);
    }
}

/* One part of a request may be committed and another one undone: then all of it is refused. */
UNIT_TEST(test_large_requests_amid_failures_are_taken_whole_or_refused)
{
    struct site *s = site_new();
    struct client clients[LARGE_CLIENTS];
    site_start(s);
    for (unsigned i = 0; i < LARGE_CLIENTS; i++)
        clients[i] = site_connect(s);
    for (unsigned round = 0; round < LARGE_ROUNDS; round++)
        large_round(s, clients, round * LARGE_CLIENTS * LARGE_SERIES);
    for (unsigned i = 0; i < LARGE_CLIENTS; i++)
        client_close(&clients[i]);
    fault_env_disarm(s->fe);
    site_check_contents(s);
    site_check_restart(s);
    site_free(s);
}

/* Checks how every kind of trouble looks to clients, and that it ends by itself. */
static void
check_trouble(struct site *s, enum fault_kind kind)
{
    fault_env_arm(s->fe, (struct fault){kind, 1, true});
    uint64_t refused = crowd.refused;
    crowd_until(&crowd, crowd.refused - refused >= 100);
    crowd_end(&crowd);
    uint64_t acknowledged = crowd.acknowledged;
    assert_true(site_unready_because(s, "log"));
    assert_int_equal(site_metric(s, "firekeep_wal_down"), 1);
    assert_int_equal(site_status(s, "/-/healthy"), 200);
    site_check_contents(s);
    crowd_until(&crowd, crowd.refused - refused >= 200);
    assert_int_equal(crowd.acknowledged, acknowledged);
    fault_env_disarm(s->fe);
    crowd_until(&crowd, crowd.acknowledged - acknowledged >= 200);
    wait_for(s, site_is_ready(s));
    assert_int_equal(site_metric(s, "firekeep_wal_down"), 0);
}

static void
check_trouble_of_kind(enum fault_kind kind, unsigned rounds)
{
    struct site *s = site_new();
    site_start(s);
    crowd_open(&crowd, s, 0, 32);
    crowd_until(&crowd, crowd.acknowledged >= 200);
    for (unsigned round = 0; round < rounds; round++)
        check_trouble(s, kind);
    crowd_finish(&crowd);
    site_check_contents(s);
    site_check_restart(s);
    site_free(s);
}

UNIT_TEST(test_syncs_that_fail_for_long_refuse_writes_until_they_work)
{
    check_trouble_of_kind(FAULT_SYNC, 2);
}

UNIT_TEST(test_a_full_disk_refuses_writes_until_it_has_room)
{
    check_trouble_of_kind(FAULT_ENOSPC, 1);
}

UNIT_TEST(test_an_io_error_on_every_write_refuses_writes_until_it_ends)
{
    check_trouble_of_kind(FAULT_TORN, 1);
}

/*
 * Attempts are one second apart. Refused writes have a log line of their own, and so does
 * housekeeping, which fails as well.
 */
UNIT_TEST(test_a_log_that_is_down_is_said_once_a_minute)
{
    struct site *s = site_new();
    site_start(s);
    uint64_t errors = log_count(LOG_ERROR), warnings = log_count(LOG_WARN);
    fault_env_arm(s->fe, (struct fault){FAULT_SYNC, 1, true});
    assert_int_equal(site_write(s, 0, 0, 1), 503);
    uint64_t hits = fault_env_hits(s->fe);
    wait_for(s, log_count(LOG_ERROR) - errors >= 2); /* one for the log, one for refused writes */
    wait_for(s, fault_env_hits(s->fe) >= hits + 3);  /* each attempt to reopen it hits once */
    assert_int_equal(log_count(LOG_ERROR) - errors, 2);
    assert_in_range(log_count(LOG_WARN) - warnings, 1, 2);
    fault_env_disarm(s->fe);
    wait_for(s, site_is_ready(s));
    site_free(s);
}

/* Refused senders do not know what was stored and repeat it: it is stored once. */
UNIT_TEST(test_a_refused_and_repeated_sample_is_stored_once)
{
    struct site *s = site_new();
    site_start(s);
    assert_int_equal(site_write(s, 0, 0, 10), 204);
    fault_env_arm(s->fe, (struct fault){FAULT_SYNC, 1, true});
    assert_int_equal(site_write(s, 0, 10, 10), 503);
    assert_int_equal(site_write(s, 1, 0, 10), 503);
    site_check_contents(s);
    /* Undone samples are not visible. */
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(s->found[0][10 + i] + s->found[1][i], 0);
    fault_env_disarm(s->fe);
    wait_for(s, site_is_ready(s));
    assert_int_equal(site_write(s, 0, 10, 10), 204);
    assert_int_equal(site_write(s, 1, 0, 10), 204);
    assert_int_equal(site_write(s, 1, 0, 10), 204);
    site_check_contents(s);
    site_check_restart(s);
    site_free(s);
}

UNIT_TEST(test_writes_wait_for_free_space)
{
    struct site *s = site_new();
    site_start(s);
    assert_int_equal(site_write(s, 0, 0, 10), 204);
    fault_env_set_free(s->fe, s->settings.storage_min_free_bytes - 1);
    wait_for(s, site_unready_because(s, "disk"));
    assert_int_equal(site_write(s, 0, 10, 10), 503);
    assert_int_equal(site_metric(s, "firekeep_disk_low"), 1);
    site_check_contents(s);
    fault_env_set_free(s->fe, s->settings.storage_min_free_bytes);
    wait_for(s, site_is_ready(s));
    assert_int_equal(site_write(s, 0, 10, 10), 204);
    site_check_restart(s);
    site_free(s);
}

/* --- the clock lies --------------------------------------------------------------------------- */

UNIT_TEST(test_a_clock_in_the_past_drops_nobodys_samples)
{
    struct site *s = site_new();
    site_start(s);
    assert_int_equal(site_write(s, 0, 0, 10), 204);
    fault_env_shift_clock(s->fe, -1000 * DAY_MS);
    assert_int_equal(site_write(s, 0, 10, 10), 503); /* at once, not after a second */
    wait_for(s, site_unready_because(s, "clock"));
    assert_int_equal(site_write(s, 0, 10, 10), 503);
    site_check_contents(s);
    fault_env_shift_clock(s->fe, 0);
    wait_for(s, site_is_ready(s));
    assert_int_equal(site_write(s, 0, 10, 10), 204);
    site_check_restart(s);
    site_free(s);
}

UNIT_TEST(test_a_start_with_the_clock_in_the_past_drops_nobodys_samples)
{
    struct site *s = site_new();
    fault_env_shift_clock(s->fe, -20000 * DAY_MS);
    site_start(s);
    assert_true(site_unready_because(s, "clock"));
    assert_int_equal(site_write(s, 0, 0, 10), 503);
    fault_env_shift_clock(s->fe, 0);
    wait_for(s, site_is_ready(s));
    assert_int_equal(site_write(s, 0, 0, 10), 204);
    site_check_restart(s);
    site_free(s);
}

UNIT_TEST(test_a_sender_from_the_future_is_refused_for_good)
{
    struct site *s = site_new();
    site_start(s);
    assert_int_equal(site_write(s, 0, 0, 1), 204);
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m,n=1");
    rq_float(&rq, env_realtime_ms(env_real()) + 60 * MINUTE_MS, 0, 0);
    assert_int_equal(site_write_body(s, RW_V1, site_body(&rq)), 400);
    assert_true(site_is_ready(s));
    site_check_contents(s);
    site_free(s);
}

/* --- memory runs out -------------------------------------------------------------------------- */

/* Sends one request of each kind; a sender never receives the verdict that its good samples are
 * bad. */
static void
check_requests_survive(struct site *s, unsigned n, uint64_t nth, bool forever)
{
    struct body bodies[] = {
        site_write_request(s, RW_V1, n % SERIES_MAX, n / SERIES_MAX, 1),
        site_read_request(s, false, 1),
        site_read_request(s, true, 2),
    };
    static const char *const pages[] = {"/metrics", "/api/v1/status/tsdb", "/api/v1/status/config",
                                        "/api/v1/metadata", "/api/v1/status/destinations"};
    mem_fail_nth(nth, forever);
    for (unsigned i = 0; i < 3; i++) {
        struct client c = site_connect(s);
        send_post(&c, i == 0 ? "/api/v1/write" : "/api/v1/read", "", bodies[i]);
        struct response r = client_response(&c, false);
        if (i == 0 && r.status == 204) site_acknowledge(s, n % SERIES_MAX, n / SERIES_MAX, 1);
        bool said = r.status == 503 || (i > 0 && r.status == 422);
        if (r.status / 100 != 2 && !said && r.status != 0) {
            fail_msg("allocation %u: request %u was answered %d %s", (unsigned)nth, i, r.status,
                     r.body);
        }
        site_check_refusal(&r);
        response_free(&r);
        client_close(&c);
    }
    for (unsigned i = 0; i < sizeof pages / sizeof *pages; i++) {
        int status = site_status(s, pages[i]);
        bool said = status == 503 || (status == 422 && strstr(pages[i], "/metadata") != NULL);
        if (status / 100 != 2 && !said && status != 0)
            fail_msg("allocation %u: %s was answered %d", (unsigned)nth, pages[i], status);
    }
    mem_fail_nth(0, false);
    for (unsigned i = 0; i < 3; i++)
        free(bodies[i].at);
}

static void
check_memory_failures(uint64_t nth_max, bool forever)
{
    struct site *s = site_new();
    site_start(s);
    unsigned n = 0;
    for (uint64_t nth = 1; nth <= nth_max; nth++, n++)
        check_requests_survive(s, n, nth, forever);
    wait_for(s, site_is_ready(s));
    for (unsigned i = 0; i < n; i++) {
        if (s->fates[i % SERIES_MAX][i / SERIES_MAX] == ACKNOWLEDGED) continue;
        assert_int_equal(site_write(s, i % SERIES_MAX, i / SERIES_MAX, 1), 204);
    }
    site_check_contents(s);
    site_check_restart(s);
    site_free(s);
}

UNIT_TEST(test_any_allocation_may_fail_while_requests_run)
{
    check_memory_failures(400, false);
}

UNIT_TEST(test_all_allocations_may_fail_while_requests_run)
{
    check_memory_failures(100, true);
}

/* A request that "later" would refuse for ever is refused at once for its size. */
UNIT_TEST(test_a_request_that_no_empty_server_has_memory_for_gets_413)
{
    for (unsigned thousands = 25; thousands <= 400; thousands *= 2) {
        struct site *s = site_new();
        struct rq rq;
        char labels[64];
        s->settings.memory_limit_bytes = 64 << 20;
        site_start(s);
        rq_init(&rq, RW_V1);
        for (unsigned n = 0; n < thousands * 1000; n++) {
            snprintf(labels, sizeof labels, "__name__=m,n=%u", n);
            rq_series(&rq, labels);
            rq_float(&rq, s->base_ms, double_bits(n), 0);
        }
        int status = site_write_body(s, RW_V1, site_body(&rq));
        /* A flush in between may make room while the request gives way to others. */
        bool stored = status == 204 && thousands < 400;
        bool refused = status == 413 && thousands > 25;
        if (!stored && !refused) fail_msg("%u: %d", thousands, status);
        site_free(s);
    }
}

/* --- repeats of what parts hold --------------------------------------------------------------- */

enum { DISPUTED = 40, DISPUTED_SAMPLES = 50 };

/* Writes other values at the times of existing samples. */
static int
write_others(struct site *s, unsigned series, double by)
{
    struct rq rq;
    char labels[64];
    rq_init(&rq, RW_V2);
    snprintf(labels, sizeof labels, "__name__=m,n=%u", series);
    rq_series(&rq, labels);
    for (unsigned i = 0; i < DISPUTED_SAMPLES; i++)
        rq_float(&rq, s->base_ms + i, double_bits(site_value(series, i) + by), 0);
    return site_write_body(s, RW_V2, site_body(&rq));
}

/* Makes a site where a part has samples of some series, and the head has others at their times. */
static struct site *
site_disputed(void)
{
    struct site *s = site_new();
    site_start(s);
    for (unsigned n = 0; n < DISPUTED; n++)
        assert_int_equal(site_write(s, n, 0, DISPUTED_SAMPLES), 204);
    site_stop_in_order(s);
    site_start(s);
    for (unsigned n = 0; n < DISPUTED; n++)
        assert_int_equal(write_others(s, n, 0.5), 204);
    return s;
}

static struct body
repeat_body(struct site *s, unsigned series)
{
    return site_write_request(s, series % 2 == 0 ? RW_V1 : RW_V2, series, 0, DISPUTED_SAMPLES);
}

/* Sends repeats from all senders at once; some do not wait for the answer. */
static void
send_repeats(struct site *s, struct client *clients)
{
    for (unsigned n = 0; n < DISPUTED; n++) {
        struct body body = repeat_body(s, n);
        clients[n] = site_connect(s);
        send_write(&clients[n], n % 2 == 0 ? RW_V1 : RW_V2, body);
        if (n % 7 == 6) client_close(&clients[n]);
        free(body.at);
    }
}

UNIT_TEST(test_repeats_of_what_a_part_holds_are_taken_while_others_write)
{
    struct site *s = site_disputed();
    struct client clients[DISPUTED];
    crowd_open(&crowd, s, DISPUTED, 16);
    for (unsigned round = 0; round < 5; round++) {
        send_repeats(s, clients);
        crowd_turn(&crowd);
        for (unsigned n = 0; n < DISPUTED; n++) {
            if (n % 7 == 6) continue;
            struct response r = client_response(&clients[n], false);
            int status = r.status;
            site_check_refusal(&r); /* too many at once */
            response_free(&r);
            client_close(&clients[n]);
            while (status == 503) {
                crowd_turn(&crowd);
                status = site_write_body(s, n % 2 == 0 ? RW_V1 : RW_V2, repeat_body(s, n));
            }
            if (status != 204) fail_msg("a repeat of series %u was answered %d", n, status);
        }
        assert_int_equal(write_others(s, round, 0.25), 400);
        assert_int_equal(write_others(s, round, 0.5), 204);
    }
    crowd_finish(&crowd);
    assert_int_equal(crowd.refused, 0);
    site_check_contents(s);
    site_check_restart(s);
    site_free(s);
}

UNIT_TEST(test_a_stop_amid_repeats_answers_them)
{
    for (unsigned round = 0; round < 3; round++) {
        struct site *s = site_disputed();
        struct client clients[DISPUTED];
        send_repeats(s, clients);
        if (round == 0) site_stop_in_order(s);
        if (round == 1) site_stop(s);
        if (round == 2) server_quiesce(s->server);
        for (unsigned n = 0; n < DISPUTED; n++) {
            if (n % 7 == 6) continue;
            struct response r = client_response(&clients[n], false);
            site_check_refusal(&r);
            if (r.status != 0 && r.status != 204 && r.status != 503)
                fail_msg("a repeat amid a stop was answered %d", r.status);
            response_free(&r);
            client_close(&clients[n]);
        }
        site_stop(s);
        site_check_directory(s);
        site_start(s);
        site_check_contents(s);
        site_free(s);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_one_sync_serves_all_who_wait),
        SERVER_TEST(test_readers_that_take_nothing_slow_no_write),
        SERVER_TEST(test_readers_that_take_nothing_are_cut_off),
        SERVER_TEST(test_readers_that_take_little_are_cut_off_when_the_query_times_out),
        SERVER_TEST(test_a_sync_that_fails_once_loses_nothing_acknowledged),
        SERVER_TEST(test_large_requests_amid_failures_are_taken_whole_or_refused),
        SERVER_TEST(test_syncs_that_fail_for_long_refuse_writes_until_they_work),
        SERVER_TEST(test_a_full_disk_refuses_writes_until_it_has_room),
        SERVER_TEST(test_an_io_error_on_every_write_refuses_writes_until_it_ends),
        SERVER_TEST(test_a_log_that_is_down_is_said_once_a_minute),
        SERVER_TEST(test_a_refused_and_repeated_sample_is_stored_once),
        SERVER_TEST(test_writes_wait_for_free_space),
        SERVER_TEST(test_repeats_of_what_a_part_holds_are_taken_while_others_write),
        SERVER_TEST(test_a_stop_amid_repeats_answers_them),
        SERVER_TEST(test_a_clock_in_the_past_drops_nobodys_samples),
        SERVER_TEST(test_a_start_with_the_clock_in_the_past_drops_nobodys_samples),
        SERVER_TEST(test_a_sender_from_the_future_is_refused_for_good),
        SERVER_TEST(test_a_request_that_no_empty_server_has_memory_for_gets_413),
        SERVER_TEST(test_any_allocation_may_fail_while_requests_run),
        SERVER_TEST(test_all_allocations_may_fail_while_requests_run),
    };
    return cmocka_run_group_tests(tests, site_mute, NULL);
}
