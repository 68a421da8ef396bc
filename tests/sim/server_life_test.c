/*
 * server_life_test.c - the life of a whole server: starts that fail at every step, stops under load
 * and on a failing disk, levels of acknowledgement, reloads. server_test.c tests it in between.
 */
#include "lib/test.h"
#include "sim/server_rig.h"

#include <fcntl.h>
#include <sys/resource.h>

static struct crowd crowd; /* connections of the running test */

/* --- starting --------------------------------------------------------------------------------- */

/* Makes a directory with samples in the log and in a part. */
static struct site *
site_with_data(void)
{
    struct site *s = site_new();
    site_start(s);
    assert_int_equal(site_write(s, 0, 0, 100), 204);
    site_stop_in_order(s);
    site_start(s);
    assert_int_equal(site_write(s, 0, 100, 100), 204);
    site_stop(s);
    return s;
}

/* Starts once. A start that succeeds or fails loses no data, and no resource is left over. */
static void
check_attempt(struct site *s, uint64_t nth)
{
    unsigned files = site_open_files();
    struct why why;
    enum err e = site_try_start(s, &why);
    fault_env_disarm(s->fe);
    mem_fail_nth(0, false);
    if (e) {
        if (why.text[0] == '\0') fail_msg("site %u: no reason given", (unsigned)nth);
    } else {
        assert_int_equal(site_status(s, "/-/healthy"), 200);
        site_stop(s);
    }
    if (site_open_files() != files) fail_msg("site %u: files stay open", (unsigned)nth);
}

static void
check_unharmed(struct site *s)
{
    site_check_directory(s);
    site_start(s);
    site_check_contents(s);
    assert_int_equal(site_write(s, 1, 0, 1), 204);
    site_check_restart(s);
}

static void
check_start_with_faults(enum fault_kind kind, unsigned sites_min)
{
    struct site *s = site_with_data();
    uint64_t nth = 1;
    for (bool fired = true; fired; nth++) {
        fault_env_arm(s->fe, (struct fault){kind, nth, false});
        check_attempt(s, nth);
        fired = fault_env_fired(s->fe);
        if (nth % 16 == 0) site_check_directory(s);
    }
    assert_true(nth > sites_min);
    check_unharmed(s);
    site_free(s);
}

UNIT_TEST(test_a_start_without_a_thread_fails_whole)
{
    check_start_with_faults(FAULT_THREAD, 6); /* query, query, pages, commit, flush, watch */
}

UNIT_TEST(test_a_start_on_a_failing_disk_harms_nothing)
{
    check_start_with_faults(FAULT_EIO, 10);
}

UNIT_TEST(test_a_start_without_memory_fails_whole)
{
    struct site *s = site_with_data();
    for (bool forever = false;; forever = true) {
        uint64_t nth = 1;
        for (bool fired = true; fired; nth++) {
            mem_fail_nth(nth, forever);
            unsigned files = site_open_files();
            struct why why;
            enum err e = site_try_start(s, &why);
            fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (e == OK) site_stop(s);
            if (e && why.text[0] == '\0') fail_msg("allocation %u: no reason", (unsigned)nth);
            if (site_open_files() != files) fail_msg("allocation %u: open files", (unsigned)nth);
        }
        assert_true(nth > 20);
        if (forever) break;
    }
    check_unharmed(s);
    site_free(s);
}

UNIT_TEST(test_a_start_on_a_port_in_use_fails_whole)
{
    struct site *s = site_with_data();
    struct why why;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(taken, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(taken, 1), 0);
    assert_int_equal(getsockname(taken, (struct sockaddr *)&at, &size), 0);
    snprintf(s->settings.web_listen_address, sizeof s->settings.web_listen_address, "127.0.0.1:%u",
             ntohs(at.sin_port));
    unsigned files = site_open_files();
    assert_int_equal(site_try_start(s, &why), ERR_AGAIN);
    assert_non_null(strstr(why.text, s->settings.web_listen_address));
    assert_int_equal(site_open_files(), files);
    close(taken);
    check_unharmed(s);
    site_free(s);
}

UNIT_TEST(test_an_address_in_use_makes_no_store)
{
    for (unsigned way = 0; way < 2; way++) {
        struct site *s = site_new();
        struct settings other = s->settings;
        struct config_lists none = {.destinations = {NULL}};
        struct server *server = NULL;
        struct why why;
        if (way == 1)
            snprintf(s->settings.web_listen_address, SETTING_TEXT_BYTES, "unix:%s/socket", s->dir);
        site_start(s);
        snprintf(other.storage_path, sizeof other.storage_path, "%s/other", s->dir);
        if (way == 0)
            snprintf(other.web_listen_address, SETTING_TEXT_BYTES, "127.0.0.1:%u",
                     http_server_port(s->server->http));
        else
            memcpy(other.web_listen_address, s->settings.web_listen_address, SETTING_TEXT_BYTES);
        assert_int_equal(server_start(env_real(), &other, &none, 0, NULL, &server, &why),
                         ERR_AGAIN);
        assert_non_null(strstr(why.text, "cannot listen on"));
        assert_int_not_equal(access(other.storage_path, F_OK), 0);
        assert_true(way == 1 || site_is_ready(s));
        site_free(s);
    }
}

UNIT_TEST(test_a_limit_of_open_files_that_leaves_none_for_clients_is_an_error)
{
    struct site *s = site_new();
    struct why why;
    struct rlimit limit, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){.rlim_cur = 64, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(site_try_start(s, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "the limit of open files is 64, and at least "));
    assert_int_not_equal(access(s->settings.storage_path, F_OK), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    site_start(s);
    assert_true(site_is_ready(s));
    site_free(s);
}

UNIT_TEST(test_a_directory_in_use_is_left_alone)
{
    struct site *s = site_with_data();
    struct why why;
    site_start(s);
    struct server *first = s->server;
    assert_int_equal(site_try_start(s, &why), ERR_AGAIN);
    s->server = first;
    site_check_contents(s);
    assert_int_equal(site_write(s, 0, 200, 10), 204);
    site_check_restart(s);
    site_free(s);
}

UNIT_TEST(test_starting_and_stopping_leaves_nothing_behind)
{
    struct site *s = site_with_data();
    unsigned files = site_open_files();
    for (unsigned round = 0; round < 20; round++) {
        site_start(s);
        assert_int_equal(site_write(s, 1 + round, 0, 10), 204);
        if (round % 2 == 0)
            site_stop_in_order(s);
        else
            site_stop(s);
        assert_int_equal(site_open_files(), files);
    }
    check_unharmed(s);
    site_free(s);
}

/* --- stopping --------------------------------------------------------------------------------- */

/* Reads the state of the store that the next start will find. */
static struct tsdb_opening
look_into(struct site *s)
{
    struct budget memory;
    budget_init(&memory, "test", 0, NULL);
    struct tsdb_options options = {
        .env = env_real(),
        .dir = s->store,
        .memory = &memory,
        .head_bytes_max = 256 << 20,
        .cache_bytes = 4 << 20,
        .head_samples_max = 1 << 20,
        .head_age_ms_max = 2 * 60 * MINUTE_MS,
        .wal_segment_bytes = s->settings.wal_segment_bytes,
        .wal_batch_bytes = 16 << 20,
        .wal_budget_bytes = s->settings.wal_budget_bytes,
        .wal_sync = WAL_SYNC_FSYNC,
        .tenants_max = 4,
    };
    struct tsdb_limits limits = {
        .labels = {.count_max = 16, .name_bytes_max = 100, .value_bytes_max = 200},
        .retention_ms = 3650 * DAY_MS,
        .max_future_ms = 10 * MINUTE_MS,
        .wal_budget_bytes = s->settings.wal_budget_bytes,
    };
    struct tsdb *db;
    struct tsdb_opening opening;
    must(tsdb_open(&options, &limits, &db, &opening, NULL));
    tsdb_free(db);
    assert_int_equal(opening.damage.places, 0);
    assert_int_equal(opening.parts_set_aside, 0);
    return opening;
}

static unsigned
ask_again(struct client *c)
{
    client_send(c, "GET /-/healthy" HTTP_11 "\r\n");
    struct response r = client_response(c, false);
    unsigned status = (unsigned)r.status;
    response_free(&r);
    return status;
}

UNIT_TEST(test_a_stop_answers_those_who_wait_and_leaves_nothing_to_replay)
{
    struct site *s = site_new();
    site_start(s);
    struct client open = site_connect(s);
    assert_int_equal(ask_again(&open), 200);
    fault_env_slow_sync(s->fe, 400 * NS_PER_MS);
    crowd_open(&crowd, s, 0, 32);
    wait_for(s, site_metric(s, "firekeep_write_requests_waiting") == 32);
    fault_env_slow_sync(s->fe, 0);
    server_quiesce(s->server);
    assert_int_equal(ask_again(&open), 503);
    client_close(&open);
    wait_for(s, server_is_idle(s->server));
    crowd_close(&crowd);
    assert_int_equal(crowd.acknowledged, 32);
    server_flush_all(s->server);
    wait_for(s, server_is_flushed(s->server));
    site_stop(s);
    site_check_directory(s);
    struct tsdb_opening found = look_into(s);
    assert_int_equal(found.parts, 1);
    assert_int_equal(found.replayed_samples, 0);
    site_start(s);
    site_check_contents(s);
    site_free(s);
}

/* Takes the last answers: acknowledgements before the end of a connection hold. */
static void
take_last_answers(struct crowd *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        struct response r = client_response(&w->clients[i], false);
        if (r.status == 204) site_acknowledge(w->site, w->series[i], w->next[i], 1);
        if (r.status != 204 && r.status != 503 && r.status != 0)
            fail_msg("the last answer was %d %s", r.status, r.body);
        response_free(&r);
        client_close(&w->clients[i]);
    }
}

UNIT_TEST(test_an_end_amid_requests_holds_what_was_promised)
{
    struct site *s = site_new();
    for (unsigned round = 0; round < 16; round++) {
        site_start(s);
        crowd_open(&crowd, s, round * 16, 16);
        if (round % 4 == 3) crowd_until(&crowd, crowd.acknowledged > 50);
        for (unsigned i = 0; i < crowd.count; i++)
            if (!crowd.waiting[i]) crowd_send(&crowd, i);
        if (round % 2 == 1) server_quiesce(s->server);
        site_stop(s);
        take_last_answers(&crowd);
    }
    site_check_directory(s);
    site_start(s);
    site_check_contents(s);
    site_free(s);
}

/* Commits go on for requests that are judged while the server ends. */
UNIT_TEST(test_an_end_waits_for_a_large_request_that_is_being_judged)
{
    enum { WIDTH = 64 };
    struct site *s = site_new();
    struct rq rq;
    site_start(s);
    rq_init(&rq, RW_V1);
    for (unsigned n = 0; n < WIDTH; n++) {
        char labels[64];
        snprintf(labels, sizeof labels, "__name__=m,n=%u", n);
        rq_series(&rq, labels);
        for (unsigned i = 0; i < SAMPLES_MAX; i++) {
            rq_float(&rq, s->base_ms + i, double_bits(site_value(n, i)), 0);
            s->fates[n][i] = SENT;
        }
    }
    struct body body = site_body(&rq);
    struct client c = site_connect(s);
    assert_true(send_write(&c, RW_V1, body));
    wait_for(s, !server_is_idle(s->server));
    site_stop(s);
    struct response r = client_response(&c, false);
    for (unsigned n = 0; n < WIDTH && r.status == 204; n++)
        site_acknowledge(s, n, 0, SAMPLES_MAX);
    response_free(&r);
    client_close(&c);
    free(body.at);
    site_check_directory(s);
    site_start(s);
    site_check_contents(s);
    site_free(s);
}

static void
check_stop_while_failing(struct fault fault, bool in_order)
{
    struct site *s = site_new();
    site_start(s);
    crowd_open(&crowd, s, 0, 16);
    crowd_until(&crowd, crowd.acknowledged > 100);
    crowd_end(&crowd);
    fault_env_arm(s->fe, fault);
    for (unsigned i = 0; i < crowd.count; i++)
        if (!crowd.waiting[i]) crowd_send(&crowd, i);
    if (in_order)
        site_stop_in_order(s);
    else
        site_stop(s);
    take_last_answers(&crowd);
    fault_env_disarm(s->fe);
    site_check_directory(s);
    site_start(s);
    site_check_contents(s);
    site_free(s);
}

UNIT_TEST(test_a_stop_ends_while_the_disk_fails)
{
    static const enum fault_kind kinds[] = {FAULT_SYNC, FAULT_ENOSPC, FAULT_EIO};
    for (unsigned i = 0; i < 3; i++) {
        check_stop_while_failing((struct fault){kinds[i], 1, true}, true);
        check_stop_while_failing((struct fault){kinds[i], 1, true}, false);
    }
    /* The commit succeeds, and writing the head out fails. */
    for (uint64_t nth = 2; nth < 8; nth++)
        check_stop_while_failing((struct fault){FAULT_ENOSPC, nth, true}, true);
}

/* The log is down already, and no request waits for it. */
UNIT_TEST(test_a_stop_ends_while_the_log_is_down)
{
    struct site *s = site_new();
    site_start(s);
    assert_int_equal(site_write(s, 0, 0, 10), 204);
    fault_env_arm(s->fe, (struct fault){FAULT_SYNC, 1, true});
    assert_int_equal(site_write(s, 0, 10, 10), 503);
    assert_true(site_stats(s).down);
    site_stop_in_order(s);
    fault_env_disarm(s->fe);
    site_check_directory(s);
    site_start(s);
    site_check_contents(s);
    site_free(s);
}

/* --- levels of acknowledgement ---------------------------------------------------------------- */

enum { LEVEL_WRITES = 200 };

static bool
is_seen(struct site *s)
{
    assert_int_equal(site_read(s), 200);
    return s->found[0][LEVEL_WRITES - 1] > 0;
}

static void
check_level(enum wal_ack_level level)
{
    struct site *s = site_new();
    s->settings.wal_ack = level;
    site_start(s);
    struct client c = site_connect(s);
    uint64_t syncs = fault_env_calls(s->fe, FAULT_SYNC);
    for (unsigned i = 0; i < LEVEL_WRITES; i++) {
        struct body body = site_write_request(s, RW_V2, 0, i, 1);
        assert_true(send_write(&c, RW_V2, body));
        struct response r = client_response(&c, false);
        assert_int_equal(r.status, 204);
        const char *written = response_header(&r, "X-Prometheus-Remote-Write-Samples-Written");
        assert_non_null(written);
        assert_string_equal(written, "1");
        site_acknowledge(s, 0, i, 1);
        response_free(&r);
        free(body.at);
    }
    syncs = fault_env_calls(s->fe, FAULT_SYNC) - syncs;
    if (level == ACK_FSYNC)
        assert_true(syncs >= LEVEL_WRITES);
    else
        assert_true(syncs < LEVEL_WRITES / 4); /* by time only */
    /* A reader waits for the commit of samples that memory acknowledged, but not for as long as a
     * disk may need. */
    if (level == ACK_MEMORY) wait_for(s, is_seen(s));
    site_check_contents(s);
    client_close(&c);
    site_check_restart(s);
    site_free(s);
}

UNIT_TEST(test_level_fsync_syncs_before_each_answer)
{
    check_level(ACK_FSYNC);
}

UNIT_TEST(test_level_written_answers_without_a_sync)
{
    check_level(ACK_WRITTEN);
}

UNIT_TEST(test_level_memory_answers_without_a_sync)
{
    check_level(ACK_MEMORY);
}

/* --- reloading -------------------------------------------------------------------------------- */

static void
write_config(const struct site *s, const char *path, const char *yaml)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f, "storage:\n  path: %s\n%s", s->store, yaml);
    assert_int_equal(fclose(f), 0);
}

/* Writes a series with this many labels. */
static int
write_labels(struct site *s, unsigned count)
{
    struct rq rq;
    static unsigned number; /* stored samples are not measured again */
    char labels[512];
    snprintf(labels, sizeof labels, "__name__=wide%u", number++);
    for (unsigned i = 1; i < count; i++) {
        size_t used = strlen(labels);
        snprintf(labels + used, sizeof labels - used, ",l%02u=x", i);
    }
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    rq_float(&rq, s->base_ms, 0, 0);
    return site_write_body(s, RW_V1, site_body(&rq));
}

static int
post_reload(struct site *s)
{
    struct client c = site_connect(s);
    client_send(&c, "POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    struct response r = client_response(&c, false);
    int status = r.status;
    response_free(&r);
    client_close(&c);
    return status;
}

static void
check_reloads(struct site *s, const char *path)
{
    struct why why;
    for (unsigned round = 0; round < 10; round++) {
        write_config(s, path, "write:\n  max_labels: 5\nread:\n  timeout: 1m\n");
        crowd_turn(&crowd);
        must(server_reload(s->server, &why));
        assert_int_equal(write_labels(s, 6), 400);
        write_config(s, path, "write:\n  max_labels: 20\n");
        crowd_turn(&crowd);
        assert_int_equal(post_reload(s), 200);
        assert_int_equal(write_labels(s, 6), 204);
        /* One setting of the file cannot be changed, so none is. */
        write_config(s, path, "write:\n  max_labels: 5\nhead:\n  max_samples: 77777\n");
        assert_int_equal(server_reload(s->server, &why), ERR_INPUT);
        assert_non_null(strstr(why.text, "head.max_samples"));
        assert_int_equal(post_reload(s), 400);
        assert_int_equal(write_labels(s, 6), 204);
        write_config(s, path, "write:\n  max_labels: 5\n  max_lables: 6\n");
        crowd_turn(&crowd);
        assert_int_equal(post_reload(s), 400);
        assert_int_equal(write_labels(s, 6), 204);
        /* A wrong destination among right settings changes none of them either. */
        write_config(s, path, "write: {max_labels: 5}\ndestinations: [{name: a, type: file}]\n");
        crowd_turn(&crowd);
        assert_int_equal(post_reload(s), 400);
        assert_int_equal(write_labels(s, 6), 204);
        write_config(s, path,
                     "write: {max_labels: 20}\n"
                     "destinations: [{name: a, type: file, path: /a, paused: true}]\n");
        crowd_turn(&crowd);
        assert_int_equal(post_reload(s), 200);
        write_config(s, path,
                     "write: {max_labels: 20}\n"
                     "destinations: [{name: b, type: file, path: /b, paused: true},\n"
                     "               {name: a, type: file, path: /a, paused: true}]\n");
        crowd_turn(&crowd);
        assert_int_equal(post_reload(s), 200);
    }
}

UNIT_TEST(test_a_reload_changes_all_or_nothing_while_requests_run)
{
    struct site *s = site_new();
    struct why why;
    char path[160], flag[200];
    char lifecycle[] = "--web.enable-lifecycle", address[] = "--web.listen-address=127.0.0.1:0",
         level[] = "--log.level=error", workers[] = "--web.workers=2";
    char *words[] = {flag, lifecycle, address, level, workers};
    snprintf(path, sizeof path, "%s/firekeep.yml", s->dir);
    snprintf(flag, sizeof flag, "--config.file=%s", path);
    write_config(s, path, "");
    s->flag_count = 5;
    s->flag_words = words;
    struct config_lists none;
    must(settings_load(&s->settings, &none, s->flag_count, words, &why));
    site_start(s);
    crowd_open(&crowd, s, 0, 8);
    check_reloads(s, path);
    crowd_finish(&crowd);
    assert_int_equal(crowd.refused, 0);
    site_check_contents(s);
    site_free(s);
}

UNIT_TEST(test_a_server_with_sources_only_takes_no_samples_without_destinations)
{
    static const char reading[] = "sources: [{name: a, type: remote_read, url: 'http://h'}]\n";
    struct site *s = site_new();
    struct why why;
    struct config_lists lists;
    char path[160], flag[200], both[512];
    char address[] = "--web.listen-address=127.0.0.1:0", mode[] = "--storage.mode=none";
    char *words[] = {flag, address, mode};
    snprintf(path, sizeof path, "%s/firekeep.yml", s->dir);
    snprintf(flag, sizeof flag, "--config.file=%s", path);
    snprintf(both, sizeof both, "%sdestinations: [{name: a, type: file, path: %s/a}]\n", reading,
             s->dir);
    write_config(s, path, reading);
    s->flag_count = 3;
    s->flag_words = words;
    must(settings_load(&s->settings, &lists, s->flag_count, words, &why));
    config_lists_free(&lists);
    site_start(s);
    assert_int_equal(write_labels(s, 2), 501);
    write_config(s, path, both);
    must(server_reload(s->server, &why));
    assert_int_equal(write_labels(s, 2), 204);
    write_config(s, path, reading);
    must(server_reload(s->server, &why));
    assert_int_equal(write_labels(s, 2), 501);
    site_free(s);
}

/* --- a reload that fails ---------------------------------------------------------------------- */

/* A server with a destination, and a file with its new settings. */
struct reloading {
    struct site *s;
    char path[160];
    char log_path[160];
    char flag[200];
    char *words[3];
    char *shown; /* the configuration in effect */
    int log;
    unsigned round;
};

static void
write_before(struct reloading *r)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml,
             "write: {max_labels: 20}\n"
             "destinations: [{name: a, type: file, path: %s/a}]\n"
             "sources: [{name: old, type: remote_read, url: 'http://old'}]\n"
             "global: {external_labels: {of: old}}\n"
             "alerting: {alertmanagers: [{static_configs: [{targets: [old]}]}]}\n",
             r->s->dir);
    write_config(r->s, r->path, yaml);
}

/* Writes limits, settings, a destination that exists, one that is new in each round, and a source.
 */
static void
write_after(struct reloading *r)
{
    char yaml[1024];
    r->round++;
    snprintf(yaml, sizeof yaml,
             "write: {max_labels: 5}\nread: {timeout: 7m}\nlog: {level: debug}\n"
             "destinations: [{name: a, type: file, path: %s/a, paused: true},\n"
             "  {name: b%u, type: file, path: %s/b}]\n"
             "sources: [{name: new, type: remote_read, url: 'http://new'}]\n"
             "global: {external_labels: {of: new}}\n"
             "alerting: {alertmanagers: [{static_configs: [{targets: [new]}]}]}\n",
             r->s->dir, r->round, r->s->dir);
    write_config(r->s, r->path, yaml);
}

/* Says whether the destination exists, open or not: after a fault, opening takes ten seconds. */
static bool
has_destination(const struct site *s, const char *name)
{
    char line[96];
    struct response r = site_get(s, "/metrics");
    assert_int_equal(r.status, 200);
    snprintf(line, sizeof line, "\nfirekeep_destination_open{destination=\"%s\"} ", name);
    bool found = strstr(r.body, line) != NULL;
    response_free(&r);
    return found;
}

static char *
shown_config(const struct site *s)
{
    struct response r = site_get(s, "/api/v1/status/config");
    assert_int_equal(r.status, 200);
    char *text = strdup(r.body);
    assert_non_null(text);
    response_free(&r);
    return text;
}

static void
reloading_begin(struct reloading *r)
{
    static char address[] = "--web.listen-address=127.0.0.1:0", workers[] = "--web.workers=2";
    struct site *s = r->s = site_new();
    struct config_lists none;
    struct why why;
    r->round = 0;
    snprintf(r->path, sizeof r->path, "%s/firekeep.yml", s->dir);
    snprintf(r->log_path, sizeof r->log_path, "%s/log", s->dir);
    snprintf(r->flag, sizeof r->flag, "--config.file=%s", r->path);
    memcpy(r->words, (char *[]){r->flag, address, workers}, sizeof r->words);
    s->flag_count = 3;
    s->flag_words = r->words;
    write_config(s, r->path, "");
    must(settings_load(&s->settings, &none, s->flag_count, s->flag_words, &why));
    site_start(s);
    write_before(r);
    must(server_reload(s->server, &why));
    r->shown = shown_config(s);
    r->log = open(r->log_path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    assert_true(r->log >= 0);
    log_to_fd(r->log);
}

static void
reloading_end(struct reloading *r)
{
    log_to_fd(-1);
    close(r->log);
    free(r->shown);
    site_free(r->s);
}

static void
check_logged(const struct reloading *r, const char *step)
{
    static const char *const lies[] = {"configuration reloaded", "destination closed"};
    char text[1 << 14] = "";
    assert_true(pread(r->log, text, sizeof text - 1, 0) > 0);
    bool said = strstr(text, "configuration reload failed, keeping the old configuration") != NULL;
    for (unsigned i = 0; i < sizeof lies / sizeof *lies; i++)
        said &= strstr(text, lies[i]) == NULL;
    if (!said) fail_msg("%s: what is logged:\n%s", step, text);
}

/* Checks that the state is the same as before the reload, and that the log says so. */
static void
check_nothing_changed(struct reloading *r, const char *step)
{
    char path[200];
    struct site *s = r->s;
    check_logged(r, step);
    char *text = shown_config(s);
    if (strcmp(text, r->shown) != 0) fail_msg("%s: in force is %s", step, text);
    free(text);
    int status = write_labels(s, 6);
    if (status != 204) fail_msg("%s: six labels get %d", step, status);
    if (!has_destination(s, "a")) fail_msg("%s: the old destination is gone", step);
    snprintf(path, sizeof path, "%s/relay/b%u", s->store, r->round);
    if (access(path, F_OK) == 0) fail_msg("%s: there is something of a new destination", step);
}

/* Checks that everything changed; then changes it back. */
static void
check_all_changed(struct reloading *r)
{
    struct why why;
    char name[16];
    struct site *s = r->s;
    char *text = shown_config(s);
    assert_string_not_equal(text, r->shown);
    assert_non_null(strstr(r->shown, "http://old"));
    assert_true(strstr(text, "http://new") != NULL && strstr(text, "http://old") == NULL);
    free(text);
    assert_int_equal(write_labels(s, 6), 400);
    snprintf(name, sizeof name, "b%u", r->round);
    assert_true(has_destination(s, "a") && has_destination(s, name));
    write_before(r);
    must(server_reload(s->server, &why));
    assert_true(has_destination(s, "a") && !has_destination(s, name));
}

/* Reloads with a fault armed. Returns true if the fault was hit. */
static bool
check_reload(struct reloading *r, const char *step)
{
    struct why why = {""};
    assert_int_equal(ftruncate(r->log, 0), 0);
    enum err e = server_reload(r->s->server, &why);
    fault_env_disarm(r->s->fe);
    bool met = mem_fail_fired() || fault_env_fired(r->s->fe);
    mem_fail_nth(0, false);
    if (e && (!met || why.text[0] == '\0')) fail_msg("%s: %s %s", step, err_word(e), why.text);
    if (e)
        check_nothing_changed(r, step);
    else
        check_all_changed(r);
    return met;
}

/* Reloads with each call failing in turn that a fault of the kind may hit. */
static void
check_reload_with_faults(struct fault fault, unsigned sites_min)
{
    struct reloading r;
    bool met = true;
    reloading_begin(&r);
    while (met) {
        char step[64];
        write_after(&r);
        snprintf(step, sizeof step, "fault %d, call %u", (int)fault.kind, (unsigned)++fault.nth);
        fault_env_arm(r.s->fe, fault);
        met = check_reload(&r, step);
    }
    if (fault.nth <= sites_min) {
        char text[4096] = "";
        (void)!pread(r.log, text, sizeof text - 1, 0);
        fail_msg("fault %d met %u calls only; the last reload:\n%s", (int)fault.kind,
                 (unsigned)fault.nth - 1, text);
    }
    reloading_end(&r);
}

UNIT_TEST(test_a_reload_without_a_thread_changes_nothing)
{
    check_reload_with_faults((struct fault){.kind = FAULT_THREAD}, 2);
}

UNIT_TEST(test_a_reload_on_a_failing_disk_changes_all_or_nothing)
{
    check_reload_with_faults((struct fault){.kind = FAULT_EIO}, 2);
    check_reload_with_faults((struct fault){.kind = FAULT_ENOSPC}, 2);
}

UNIT_TEST(test_a_reload_without_memory_changes_all_or_nothing)
{
    struct reloading r;
    reloading_begin(&r);
    unsigned nth = 0;
    for (bool met = true; met;) {
        char step[64];
        write_after(&r);
        snprintf(step, sizeof step, "allocation %u", ++nth);
        mem_fail_nth(nth, false);
        met = check_reload(&r, step);
    }
    assert_true(nth > 4);
    reloading_end(&r);
}

UNIT_TEST(test_a_reload_of_what_cannot_be_changes_nothing)
{
    static const char *const wrong[] = {
        "write: {max_lables: 5}\n",                             /* unknown */
        "write: {max_labels: 5}\nhead: {max_samples: 77777}\n", /* fixed while the server runs */
        "write: {max_labels: 5}\ndestinations: [{name: a, type: file}]\n",
        "write: {max_labels: 5}\nsources: [{name: a, type: remote_read}]\n",
        /* one path for two destinations */
        "destinations: [{name: b1, type: file, path: /b}, {name: b2, type: file, path: /b/}]\n",
    };
    struct reloading r;
    reloading_begin(&r);
    r.round = 1;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct why why = {""};
        write_config(r.s, r.path, wrong[i]);
        assert_int_equal(ftruncate(r.log, 0), 0);
        assert_int_equal(server_reload(r.s->server, &why), ERR_INPUT);
        check_nothing_changed(&r, wrong[i]);
    }
    reloading_end(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_a_start_without_a_thread_fails_whole),
        SERVER_TEST(test_a_start_on_a_failing_disk_harms_nothing),
        SERVER_TEST(test_a_start_without_memory_fails_whole),
        SERVER_TEST(test_a_start_on_a_port_in_use_fails_whole),
        SERVER_TEST(test_an_address_in_use_makes_no_store),
        SERVER_TEST(test_a_limit_of_open_files_that_leaves_none_for_clients_is_an_error),
        SERVER_TEST(test_a_directory_in_use_is_left_alone),
        SERVER_TEST(test_starting_and_stopping_leaves_nothing_behind),
        SERVER_TEST(test_a_stop_answers_those_who_wait_and_leaves_nothing_to_replay),
        SERVER_TEST(test_an_end_amid_requests_holds_what_was_promised),
        SERVER_TEST(test_an_end_waits_for_a_large_request_that_is_being_judged),
        SERVER_TEST(test_a_stop_ends_while_the_disk_fails),
        SERVER_TEST(test_a_stop_ends_while_the_log_is_down),
        SERVER_TEST(test_level_fsync_syncs_before_each_answer),
        SERVER_TEST(test_level_written_answers_without_a_sync),
        SERVER_TEST(test_level_memory_answers_without_a_sync),
        SERVER_TEST(test_a_reload_changes_all_or_nothing_while_requests_run),
        SERVER_TEST(test_a_server_with_sources_only_takes_no_samples_without_destinations),
        SERVER_TEST(test_a_reload_without_a_thread_changes_nothing),
        SERVER_TEST(test_a_reload_on_a_failing_disk_changes_all_or_nothing),
        SERVER_TEST(test_a_reload_without_memory_changes_all_or_nothing),
        SERVER_TEST(test_a_reload_of_what_cannot_be_changes_nothing),
    };
    return cmocka_run_group_tests(tests, site_mute, NULL);
}
