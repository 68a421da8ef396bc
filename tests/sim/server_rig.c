/* server_rig.c - see server_rig.h. */
#include "sim/server_rig.h"

static struct site *site_at_work; /* the site of the running test */

/* --- the site --------------------------------------------------------------------------------- */

struct site *
site_new(void)
{
    struct site *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_null(site_at_work);
    site_at_work = s;
    const char *place = getenv("TMPDIR");
    snprintf(s->dir, sizeof s->dir, "%s/firekeep-server-XXXXXX", place == NULL ? "/tmp" : place);
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->store, sizeof s->store, "%s/store", s->dir);
    must(fault_env_new(env_real(), &s->fe));
    settings_default(&s->settings);
    snprintf(s->settings.storage_path, sizeof s->settings.storage_path, "%s", s->store);
    snprintf(s->settings.web_listen_address, sizeof s->settings.web_listen_address, "127.0.0.1:0");
    s->settings.storage_min_free_bytes = 1 << 20;
    s->settings.wal_segment_bytes = 4 << 20; /* each start prepares one */
    s->settings.memory_limit_bytes = 512 << 20;
    s->settings.web_workers = 2;
    s->settings.read_max_concurrent = 2;
    s->base_ms = env_realtime_ms(env_real()) - 60 * MINUTE_MS;
    return s;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

enum err
site_try_start(struct site *s, struct why *why)
{
    struct config_lists none = {.destinations = {NULL}};
    strcpy(why->text, "nothing of this start");
    enum err e = server_start(fault_env_env(s->fe), &s->settings, &none, s->flag_count,
                              s->flag_words, &s->server, why);
    if (e) s->server = NULL;
    return e;
}

void
site_start(struct site *s)
{
    struct why why;
    enum err e = site_try_start(s, &why);
    if (e) print_error("start: %s: %s\n", err_word(e), why.text);
    must(e);
}

void
site_stop(struct site *s)
{
    server_free(s->server);
    s->server = NULL;
}

void
site_free(struct site *s)
{
    site_stop(s);
    fault_env_free(s->fe);
    nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    site_at_work = NULL;
    free(s);
}

int
site_clean_up(void **state)
{
    (void)state;
    mem_fail_nth(0, false);
    if (site_at_work == NULL) return 0;
    fault_env_disarm(site_at_work->fe);
    fault_env_slow_sync(site_at_work->fe, 0);
    site_free(site_at_work);
    return 0;
}

int
site_mute(void **state)
{
    (void)state;
    log_to_fd(-1);
    return 0;
}

void
site_stop_in_order(struct site *s)
{
    server_quiesce(s->server);
    wait_for(s, server_is_idle(s->server));
    server_flush_all(s->server);
    wait_for(s, server_is_flushed(s->server));
    site_stop(s);
}

struct tsdb_stats
site_stats(const struct site *s)
{
    struct tsdb_stats stats;
    tsdb_stats(s->server->tsdb, &stats);
    return stats;
}

unsigned
site_open_files(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* --- requests --------------------------------------------------------------------------------- */

static struct body
body_pack(const void *message, size_t size)
{
    struct body body = {.size = snappy_max_compressed_length(size)};
    body.at = malloc(body.size);
    assert_non_null(body.at);
    assert_int_equal(snappy_compress(message, size, body.at, &body.size), SNAPPY_OK);
    return body;
}

struct body
site_body(struct rq *rq)
{
    struct buf message;
    rq_close(rq);
    buf_init(&message, NULL, 1 << 30);
    if (rq->version == RW_V2) buf_put_bytes(&message, buf_bytes(&rq->symbols));
    buf_put_bytes(&message, buf_bytes(&rq->out));
    must(buf_error(&message));
    struct body body = body_pack(message.at, message.size);
    buf_fini(&message);
    rq_fini(rq);
    return body;
}

double
site_value(unsigned series, unsigned sample)
{
    return (double)series * SAMPLES_MAX + sample;
}

struct body
site_write_request(struct site *s, enum rw_version version, unsigned series, unsigned first,
                   unsigned count)
{
    struct rq rq;
    char labels[64];
    assert_true(series < SERIES_MAX && first + count <= SAMPLES_MAX);
    rq_init(&rq, version);
    snprintf(labels, sizeof labels, "__name__=m,n=%u", series);
    rq_series(&rq, labels);
    for (unsigned i = first; i < first + count; i++) {
        rq_float(&rq, s->base_ms + i, double_bits(site_value(series, i)), 0);
        if (s->fates[series][i] == NEVER_SENT) s->fates[series][i] = SENT;
    }
    return site_body(&rq);
}

void
site_acknowledge(struct site *s, unsigned series, unsigned first, unsigned count)
{
    memset(&s->fates[series][first], ACKNOWLEDGED, count);
}

bool
send_post(struct client *c, const char *path, const char *proto, struct body body)
{
    char header[512];
    snprintf(header, sizeof header,
             "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: snappy\r\n"
             "Content-Type: application/x-protobuf%s%s\r\nContent-Length: %zu\r\n\r\n",
             path, proto[0] == '\0' ? "" : ";proto=", proto, body.size);
    return client_send(c, header) && client_send_bytes(c, body.at, body.size);
}

bool
send_write(struct client *c, enum rw_version version, struct body body)
{
    return send_post(c, "/api/v1/write", version == RW_V2 ? "io.prometheus.write.v2.Request" : "",
                     body);
}

struct client
site_connect(const struct site *s)
{
    struct client c = client_connect_to(http_server_port(s->server->http), 0);
    assert_true(c.fd >= 0);
    return c;
}

void
site_check_refusal(const struct response *r)
{
    if (r->status != 503) return;
    assert_non_null(response_header(r, "Retry-After"));
    assert_true(r->body_size > 1);
}

int
site_write_body(struct site *s, enum rw_version version, struct body body)
{
    struct client c = site_connect(s);
    send_write(&c, version, body);
    struct response r = client_response(&c, false);
    int status = r.status;
    site_check_refusal(&r);
    response_free(&r);
    client_close(&c);
    free(body.at);
    return status;
}

int
site_write(struct site *s, unsigned series, unsigned first, unsigned count)
{
    int status = site_write_body(s, RW_V1, site_write_request(s, RW_V1, series, first, count));
    if (status == 204) site_acknowledge(s, series, first, count);
    return status;
}

struct response
site_get(const struct site *s, const char *path)
{
    char header[256];
    struct client c = site_connect(s);
    snprintf(header, sizeof header, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    client_send(&c, header);
    struct response r = client_response(&c, false);
    client_close(&c);
    return r;
}

int
site_status(const struct site *s, const char *path)
{
    struct response r = site_get(s, path);
    int status = r.status;
    response_free(&r);
    return status;
}

bool
site_unready_because(const struct site *s, const char *words)
{
    struct response r = site_get(s, "/-/ready");
    bool so = r.status == 503 && strstr(r.body, words) != NULL;
    response_free(&r);
    return so;
}

bool
site_is_ready(const struct site *s)
{
    return site_status(s, "/-/ready") == 200;
}

double
site_metric(const struct site *s, const char *name)
{
    struct response r = site_get(s, "/metrics");
    assert_int_equal(r.status, 200);
    char line[128];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(r.body, line);
    if (at == NULL) fail_msg("no metric %s", name);
    double value = strtod(at + strlen(line), NULL);
    response_free(&r);
    return value;
}

/* --- reading back ----------------------------------------------------------------------------- */

struct body
site_read_request(struct site *s, bool streamed, unsigned queries)
{
    Rrtest__LabelMatcher matcher = RRTEST__LABEL_MATCHER__INIT;
    Rrtest__LabelMatcher *matchers[] = {&matcher};
    matcher.name = (ProtobufCBinaryData){8, (uint8_t *)(uintptr_t) "__name__"};
    matcher.value = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "m"};
    Rrtest__Query query = RRTEST__QUERY__INIT;
    query.start_timestamp_ms = s->base_ms;
    query.end_timestamp_ms = s->base_ms + SAMPLES_MAX;
    query.n_matchers = 1;
    query.matchers = matchers;
    Rrtest__Query *list[READ_QUERIES_MAX];
    assert_true(queries <= READ_QUERIES_MAX);
    for (unsigned i = 0; i < queries; i++)
        list[i] = &query;
    Rrtest__ReadRequest__ResponseType type = RRTEST__READ_REQUEST__RESPONSE_TYPE__SAMPLES;
    if (streamed) type = RRTEST__READ_REQUEST__RESPONSE_TYPE__STREAMED_XOR_CHUNKS;
    Rrtest__ReadRequest request = RRTEST__READ_REQUEST__INIT;
    request.n_queries = queries;
    request.queries = list;
    request.n_accepted_response_types = 1;
    request.accepted_response_types = &type;
    size_t size = rrtest__read_request__get_packed_size(&request);
    uint8_t *message = malloc(size);
    assert_non_null(message);
    rrtest__read_request__pack(&request, message);
    struct body body = body_pack(message, size);
    free(message);
    return body;
}

static void
note_series(struct site *s, const Rrtest__TimeSeries *series)
{
    assert_int_equal(series->n_labels, 2); /* __name__, n */
    char number[8];
    ProtobufCBinaryData value = series->labels[1]->value;
    snprintf(number, sizeof number, "%.*s", (int)value.len, (const char *)value.data);
    unsigned n = (unsigned)strtoul(number, NULL, 10);
    assert_true(n < SERIES_MAX);
    for (size_t i = 0; i < series->n_samples; i++) {
        int64_t at = series->samples[i]->timestamp - s->base_ms;
        assert_in_range(at, 0, SAMPLES_MAX - 1);
        assert_true(series->samples[i]->value == site_value(n, (unsigned)at));
        s->found[n][at]++;
    }
}

static void
note_answer(struct site *s, const struct response *r)
{
    size_t size;
    assert_int_equal(snappy_uncompressed_length(r->body, r->body_size, &size), SNAPPY_OK);
    char *message = malloc(size + 1);
    assert_non_null(message);
    assert_int_equal(snappy_uncompress(r->body, r->body_size, message, &size), SNAPPY_OK);
    Rrtest__ReadResponse *answer =
        rrtest__read_response__unpack(NULL, size, (const uint8_t *)message);
    assert_non_null(answer);
    assert_int_equal(answer->n_results, 1);
    for (size_t i = 0; i < answer->results[0]->n_timeseries; i++)
        note_series(s, answer->results[0]->timeseries[i]);
    rrtest__read_response__free_unpacked(answer, NULL);
    free(message);
}

int
site_read(struct site *s)
{
    struct body body = site_read_request(s, false, 1);
    struct client c = site_connect(s);
    memset(s->found, 0, sizeof s->found);
    send_post(&c, "/api/v1/read", "", body);
    struct response r = client_response(&c, false);
    int status = r.status;
    if (status == 200 && r.whole) note_answer(s, &r);
    site_check_refusal(&r);
    response_free(&r);
    client_close(&c);
    free(body.at);
    return status;
}

void
site_check_contents(struct site *s)
{
    assert_int_equal(site_read(s), 200);
    for (unsigned n = 0; n < SERIES_MAX; n++) {
        for (unsigned i = 0; i < SAMPLES_MAX; i++) {
            unsigned found = s->found[n][i], fate = s->fates[n][i];
            if (found == 1 && fate != NEVER_SENT) continue;
            if (found == 0 && fate != ACKNOWLEDGED) continue;
            fail_msg("series %u, sample %u: fate %u, found %u times", n, i, fate, found);
        }
    }
}

void
site_check_directory(struct site *s)
{
    struct why why = {""};
    struct tsdb_report report;
    struct buf said;
    buf_init(&said, NULL, 1 << 20);
    enum err e = tsdb_verify(env_real(), s->store, say_line, &said, &report, &why);
    if (e) print_error("verify: %s\n%.*s", why.text, (int)said.size, (const char *)said.at);
    must(e);
    buf_fini(&said);
}

void
site_check_restart(struct site *s)
{
    site_stop(s);
    site_check_directory(s);
    site_start(s);
    site_check_contents(s);
}

/* --- a crowd of senders ----------------------------------------------------------------------- */

void
crowd_send(struct crowd *w, unsigned i)
{
    struct body body = site_write_request(w->site, RW_V1, w->series[i], w->next[i], 1);
    assert_true(send_write(&w->clients[i], RW_V1, body));
    free(body.at);
    w->waiting[i] = true;
    w->resting[i] = false;
}

void
crowd_open(struct crowd *w, struct site *s, unsigned first, unsigned count)
{
    memset(w, 0, sizeof *w);
    w->site = s;
    w->count = count;
    for (unsigned i = 0; i < count; i++) {
        w->clients[i] = site_connect(s);
        w->series[i] = first + i;
        crowd_send(w, i);
    }
}

static void
crowd_answer(struct crowd *w, unsigned i)
{
    struct response r = client_response(&w->clients[i], false);
    w->waiting[i] = false;
    if (r.status == 204) {
        site_acknowledge(w->site, w->series[i], w->next[i]++, 1);
        w->acknowledged++;
    } else {
        if (r.status != 503) fail_msg("a write was answered %d %s", r.status, r.body);
        site_check_refusal(&r);
        w->refused++;
        w->resting[i] = true;
    }
    response_free(&r);
}

/* Takes the answers that have arrived. Returns true if a connection is still waiting for one. */
static bool
crowd_take(struct crowd *w, int timeout_ms)
{
    struct pollfd polled[CROWD_MAX];
    bool any = false;
    for (unsigned i = 0; i < w->count; i++)
        polled[i] = (struct pollfd){.fd = w->waiting[i] ? w->clients[i].fd : -1, .events = POLLIN};
    poll(polled, w->count, timeout_ms);
    for (unsigned i = 0; i < w->count; i++) {
        if (w->waiting[i] && polled[i].revents != 0) crowd_answer(w, i);
        any |= w->waiting[i];
    }
    return any;
}

void
crowd_turn(struct crowd *w)
{
    crowd_take(w, 10);
    int64_t now = env_monotonic_ns(env_real());
    bool again = now - w->rested_ns > 20 * NS_PER_MS;
    if (again) w->rested_ns = now;
    for (unsigned i = 0; i < w->count; i++)
        if (!w->waiting[i] && (again || !w->resting[i])) crowd_send(w, i);
}

void
crowd_end(struct crowd *w)
{
    for (int turns = 0; crowd_take(w, 100); turns++)
        assert_true(turns < WAIT_S * 10);
}

void
crowd_close(struct crowd *w)
{
    crowd_end(w);
    for (unsigned i = 0; i < w->count; i++)
        client_close(&w->clients[i]);
}

void
crowd_finish(struct crowd *w)
{
    crowd_end(w);
    for (unsigned i = 0; i < w->count; i++) {
        for (int tries = 0; w->resting[i]; tries++) {
            assert_true(tries < WAIT_S * 100);
            poll(NULL, 0, 10);
            crowd_send(w, i);
            crowd_end(w);
        }
    }
    crowd_close(w);
}
