/*
 * read.c - remote read: both forms of answer, on a query thread.
 *
 *      body -> snappy -> decode -> a view of the store -> each query: series, batches of samples
 *                                                             |
 *                          SAMPLES: all in memory, then sent -+- STREAMED_XOR_CHUNKS: sent as read
 *
 * Queries do not depend on the form, but for put_series() and put_batch(). The status is sent with
 * the first byte: until then an error gets a status of its own, afterwards the connection is cut,
 * or a last frame reports the error to clients that asked for notices.
 */
#include "api/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "api/request/read_request.h"
#include "base/log.h"
#include "base/text/time_text.h"
#include "model/select.h"
#include "model/usage.h"
#include "wire/remote/remote_read.h"
#include "wire/snappy.h"

enum { ARENA_BYTES_MAX = 16 * 1024 * 1024 };

static struct metric_counter reads[2] = {{.name = "firekeep_read_requests_total",
                                          .help = "Remote read requests, by response type.",
                                          .labels = {{"form", "samples"}}},
                                         {.name = "firekeep_read_requests_total",
                                          .help = "Remote read requests, by response type.",
                                          .labels = {{"form", "streamed_xor_chunks"}}}};
static struct metric_counter read_samples = {.name = "firekeep_read_samples_total",
                                             .help = "Samples read for remote read requests."};
static struct metric_counter read_failures = {.name = "firekeep_read_failures_total",
                                              .help = "Remote read requests that failed."};
static struct metric_histogram latency = {
    .name = "firekeep_read_request_duration_seconds",
    .help =
        "Time from the first byte of a remote read request to the end of its response, in seconds.",
    METRIC_LATENCY};

void
read_metrics_register(void)
{
    metric_register_counter(&reads[0]);
    metric_register_counter(&reads[1]);
    metric_register_counter(&read_samples);
    metric_register_counter(&read_failures);
    metric_register_histogram(&latency);
}

/* Notices that the client accepts beside series: see src/wire/README.md. */
enum notices { NOTICES_NONE, NOTICES_ERRORS, NOTICES_PARTIAL };

struct read {
    struct read_request r; /* its form has no body: that is the message */
    struct arena arena;
    struct rr_request message;
    uint64_t content_length; /* UINT64_MAX: not known */
    bool too_large;          /* 413 */
    enum notices notices;
    bool stored;                /* sources are not read */
    struct bucket_mark beyond;  /* session 0: also what a bucket has */
    bool only_raw;              /* downsampled samples are an error */
    bool error_sent;            /* the last frame has the error that ended the answer */
    struct rr_stream *stream;   /* of STREAMED_XOR_CHUNKS; NULL: the answer has the other form, */
    struct rr_samples *samples; /* SAMPLES */
};

/* --- the stream of the answer ----------------------------------------------------------------- */

/* Begins the answer, with its first byte: until then an error can get a status of its own. */
static enum err
read_begin(struct read *r, struct why *why)
{
    if (r->r.begun) return OK;
    bool streamed = r->message.answer == RR_STREAMED_XOR_CHUNKS;
    struct http_answer answer = {
        .status = 200,
        .content_type = streamed ? "application/x-streamed-protobuf; "
                                   "proto=prometheus.ChunkedReadResponse"
                                 : "application/x-protobuf",
    };
    if (!streamed) answer.headers[0] = (struct http_answer_header){"Content-Encoding", "snappy"};
    enum err e = http_stream_begin(r->r.request, &answer, r->content_length, why);
    if (e) return e;
    limit_stream(r->r.api, QUEUE_READS, r->r.request, &r->r.control);
    r->r.begun = true;
    return OK;
}

static enum err
sink_write(void *context, struct bytes piece, struct why *why)
{
    struct read *r = context;
    enum err e = read_begin(r, why);
    return e ? e : http_stream_write(r->r.request, piece, why);
}

/* --- queries ---------------------------------------------------------------------------------- */

/* Says whether only labels are wanted, as when Prometheus looks up series: one sample of each
 * series keeps the form of an answer. */
static bool
wants_labels(const struct rr_query *query)
{
    return bytes_equal_text(query->hints.func, "series");
}

static enum err
query_open(struct read *r, const struct rr_query *query, struct matcher *const *matchers,
           struct series_set **ret_set, struct why *why)
{
    struct matcher_set matching = {matchers, query->matcher_count};
    struct query_request request = {
        .tenant = r->r.query.tenant,
        .sets = &matching,
        .set_count = 1,
        .min_ms = query->min_ms,
        .max_ms = query->max_ms,
        .partial = r->notices == NOTICES_PARTIAL,
        .shows_warnings = r->notices == NOTICES_PARTIAL,
        .stored = r->stored,
        .beyond = r->beyond.session != 0 ? &r->beyond : NULL,
        .kind = r->message.answer == RR_STREAMED_XOR_CHUNKS && r->notices == NOTICES_NONE &&
                        !wants_labels(query)
                    ? SELECT_CHUNKS
                    : SELECT_SAMPLES,
        .control = &r->r.control,
    };
    if (query->matcher_count == 0) return why_set(why, ERR_INPUT, "the query has no matchers");
    usage_note(&request);
    return view_select(r->r.view, &request, ret_set, why);
}

static enum err
samples_error(enum err e, struct why *why)
{
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for the response");
    if (e == ERR_LIMIT) {
        return why_set(why, e,
                       "the response is too large for one message; use STREAMED_XOR_CHUNKS or a "
                       "shorter time range");
    }
    return e;
}

static enum err
put_series(struct read *r, struct bytes labels, struct why *why)
{
    if (r->stream != NULL) return rr_stream_series(r->stream, labels, why);
    return samples_error(rr_samples_series(r->samples, labels), why);
}

static enum err
put_batch(struct read *r, const struct sample_batch *b, struct why *why)
{
    bool floats = b->kind == SAMPLE_FLOAT;
    if (r->stream == NULL && floats)
        return samples_error(rr_samples_floats(r->samples, b->count, b->times_ms, b->value_bits),
                             why);
    if (r->stream == NULL)
        return samples_error(
            rr_samples_histograms(r->samples, b->count, b->times_ms, b->histograms), why);
    if (floats) return rr_stream_floats(r->stream, b->count, b->times_ms, b->value_bits, why);
    if (b->chunks.size > 0) return rr_stream_chunks(r->stream, b->chunks, why);
    return b->columns == NULL
               ? rr_stream_histograms(r->stream, b->count, b->times_ms, b->histograms, why)
               : rr_stream_columns(r->stream, b->columns, b->first_row, b->count, b->times_ms, why);
}

/* Refuses downsampled samples if the client wants none. */
static enum err
check_level(const struct read *r, struct why *why)
{
    struct why sentence;
    int64_t resolution_ms = r->only_raw ? thinned_to(&r->r.control) : 0;
    if (resolution_ms == 0) return OK;
    thinned_say(resolution_ms, &sentence);
    return why_set(why, ERR_INPUT, "level=raw: %s", sentence.text);
}

static bool
sends_notices(const struct read *r)
{
    return r->message.answer == RR_STREAMED_XOR_CHUNKS && r->notices != NOTICES_NONE;
}

/* Tells of downsampled samples: the client, if it takes notices, else the log. */
static enum err
report_level(struct read *r, struct why *why)
{
    static struct log_gate gate;
    uint64_t held_back;
    struct why sentence;
    int64_t resolution_ms = thinned_to(&r->r.control);
    if (resolution_ms == 0) return OK;
    if (sends_notices(r)) {
        char text[TIME_TEXT_BYTES];
        time_print_duration(resolution_ms, text);
        return rr_stream_notice(r->stream, RR_NOTICE_DOWNSAMPLED, bytes_of_text(text), why);
    }
    thinned_say(resolution_ms, &sentence);
    if (log_often(&gate, env_monotonic_ns(r->r.api->options.env), NS_PER_S, &held_back)) {
        log_warn("read: answered with downsampled samples", KV("peer", http_peer(r->r.request)),
                 KV("warning", sentence.text), KV("more_held_back", held_back));
    }
    return OK;
}

static enum err
read_drain(struct read *r, struct series_set *set, bool only_labels, struct why *why)
{
    for (;;) {
        struct bytes labels;
        enum err e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) return e;
        usage_note_series(&r->r.control, r->r.query.tenant, labels);
        for (bool named = false; !named || !only_labels; named = true) {
            struct sample_batch b;
            e = series_set_batch(set, &b, why);
            if (e == OK) e = check_level(r, why);
            if (e == OK && b.count == 0) break;
            if (only_labels) b.count = 1;
            if (e == OK && !named) e = put_series(r, labels, why);
            if (e == OK) e = put_batch(r, &b, why);
            if (e) return e;
        }
    }
}

static enum err
run_query(struct read *r, const struct rr_query *query, struct why *why)
{
    struct series_set *set = NULL;
    struct matcher **matchers =
        arena_new(&r->arena, (query->matcher_count + 1u) * sizeof *matchers);
    if (matchers == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < query->matcher_count; i++) {
        const struct rr_matcher *m = &query->matchers[i];
        e = matcher_new((enum matcher_type)m->type, m->name, m->value, &r->r.budget, &matchers[i],
                        why);
    }
    const char *left_out;
    bool shows_warnings = sends_notices(r);
    if (e == OK) e = query_open(r, query, matchers, &set, why);
    if (e == OK && !shows_warnings) e = series_set_is_whole(set, why);
    if (e == OK) e = read_drain(r, set, wants_labels(query), why);
    if (e == OK && !shows_warnings) e = series_set_is_whole(set, why);
    for (uint32_t i = 0; e == OK && shows_warnings; i++) {
        left_out = series_set_warning(set, i);
        if (left_out == NULL) break;
        e = rr_stream_notice(r->stream, RR_NOTICE_LEFT_OUT, bytes_of_text(left_out), why);
    }
    if (e == OK && !wants_labels(query)) e = report_level(r, why);
    series_set_free(set);
    for (uint32_t i = 0; i < query->matcher_count; i++)
        matcher_free(matchers[i]);
    return e;
}

/* --- STREAMED_XOR_CHUNKS ---------------------------------------------------------------------- */

static enum err
answer_streamed(struct read *r, struct why *why)
{
    struct rr_sink sink = {sink_write, r};
    struct rr_stream *stream;
    enum err e = rr_stream_new(&sink, r->r.api->options.read_frame_bytes, &r->r.budget, &stream);
    if (e) return why_set(why, e, "not enough memory for the response");
    r->stream = stream;
    for (uint32_t i = 0; i < r->message.query_count && e == OK; i++) {
        e = rr_stream_query(stream, i, why);
        if (e == OK) e = run_query(r, &r->message.queries[i], why);
    }
    if (e == ERR_CORRUPT && r->r.begun && r->notices != NOTICES_NONE) {
        struct why unwanted;
        enum err sent =
            rr_stream_notice(stream, RR_NOTICE_ERROR, bytes_of_text(why->text), &unwanted);
        if (sent == OK) sent = rr_stream_end(stream, &unwanted);
        r->error_sent = sent == OK;
    }
    if (e == OK) e = rr_stream_end(stream, why);
    if (e == OK) e = read_begin(r, why); /* an empty answer has a header, too */
    rr_stream_free(stream);
    return e;
}

/* --- SAMPLES ---------------------------------------------------------------------------------- */

static enum err
answer_samples(struct read *r, struct why *why)
{
    struct rr_sink sink = {sink_write, r};
    struct rr_samples *samples;
    enum err e = rr_samples_new(&r->r.budget, &samples);
    if (e) return why_set(why, e, "not enough memory for the response");
    r->samples = samples;
    r->r.control.samples_max = api_limits_now(r->r.api).read_samples_max;
    for (uint32_t i = 0; i < r->message.query_count && e == OK; i++) {
        e = samples_error(rr_samples_query(samples), why);
        if (e == OK) e = run_query(r, &r->message.queries[i], why);
    }
    view_free(r->r.view); /* the answer is complete: a slow client does not hold parts */
    r->r.view = NULL;
    if (e == OK) e = samples_error(rr_samples_end(samples, &r->content_length), why);
    if (e == OK) e = rr_samples_write(samples, &sink, why);
    rr_samples_free(samples);
    return e;
}

/* --- the request ------------------------------------------------------------------------------ */

static enum err
read_decode(struct read *r, struct buf *message, struct why *why)
{
    size_t size;
    uint64_t size_max = r->r.api->options.decoded_bytes_max;
    enum err e = snappy_size(http_body(r->r.request), size_max, &size);
    if (e == ERR_INPUT) return why_set(why, e, "the body is not a snappy block");
    if (e == ERR_LIMIT) {
        r->too_large = true;
        return why_set(why, e, "the message is larger than %" PRIu64 " bytes uncompressed",
                       size_max);
    }
    e = snappy_unpack(http_body(r->r.request), message, why);
    if (e == OK) http_body_release(r->r.request);
    if (e == OK) e = rr_decode(buf_bytes(message), &r->arena, &r->message, why);
    return e;
}

static enum err
read_notices(struct read *r, struct why *why)
{
    const char *wanted = http_header(r->r.request, "X-Firekeep-Notices");
    if (wanted == NULL || wanted[0] == '\0') return OK;
    if (strcasecmp(wanted, "errors") != 0 && strcasecmp(wanted, "partial") != 0)
        return why_set(why, ERR_INPUT, "invalid X-Firekeep-Notices: expected errors or partial");
    r->notices = strcasecmp(wanted, "partial") == 0 ? NOTICES_PARTIAL : NOTICES_ERRORS;
    if (r->notices == NOTICES_PARTIAL && r->message.answer != RR_STREAMED_XOR_CHUNKS) {
        return why_set(
            why, ERR_INPUT,
            "X-Firekeep-Notices: partial requires the response type STREAMED_XOR_CHUNKS");
    }
    return OK;
}

static enum err
read_sources(struct read *r, struct why *why)
{
    const char *wanted = http_header(r->r.request, "X-Firekeep-Sources");
    if (wanted == NULL || wanted[0] == '\0') return OK;
    r->stored = strcasecmp(wanted, "none") == 0;
    return r->stored ? OK : why_set(why, ERR_INPUT, "invalid X-Firekeep-Sources: expected none");
}

/* A reader of the bucket into which this server writes asks for the rest. */
static enum err
read_beyond(struct read *r, struct why *why)
{
    const char *wanted = http_header(r->r.request, BUCKET_BEYOND_HEADER);
    struct bucket_mark *m = &r->beyond;
    int end = 0;
    if (wanted == NULL || wanted[0] == '\0') return OK;
    int count = sscanf(wanted, "%16" SCNx64 " %20" SCNu64 " %20" SCNu64 "%n", &m->session,
                       &m->number, &m->complete_pos, &end);
    if (count != 3 || wanted[end] != '\0' || m->session == 0)
        return why_set(why, ERR_INPUT,
                       "invalid " BUCKET_BEYOND_HEADER ": expected session, number and position");
    r->stored = true;
    return r->r.api->options.stored
               ? OK
               : why_set(why, ERR_MISSING, "this server does not write into a bucket");
}

/* Reads the choice of replicas, the fence and the level from the query string. Clients that ask for
 * notices copy stored series, so for them the default is not to merge replicas, and a copy is not a
 * use of metrics. */
static enum err
read_parameters(struct read *r, struct why *why)
{
    const struct form *form = &r->r.form;
    const char *level = form_given(form, "level");
    bool given = form_given(form, "dedup") != NULL || form_nth(form, "replicaLabels[]", 0) != NULL;
    enum err e = read_request_scope(&r->r);
    if (e) {
        const struct buf *error = &r->r.error;
        *why = r->r.why;
        return e != ERR_INPUT ? e
                              : why_set(why, e, "%.*s", (int)error->size, (const char *)error->at);
    }
    if (r->notices != NOTICES_NONE && !given) r->r.replica_count = 0;
    if (r->notices != NOTICES_NONE) r->r.counts_usage = false;
    r->only_raw = level != NULL && strcmp(level, "raw") == 0;
    if (level == NULL || r->only_raw) return OK;
    return why_set(why, ERR_INPUT, "invalid parameter \"level\": expected raw");
}

static void
read_finish(struct read *r, enum err e, const struct why *why)
{
    metric_record(&latency, (uint64_t)(env_monotonic_ns(r->r.api->options.env) -
                                       http_began_ns(r->r.request)));
    metric_add(&read_samples, r->r.control.samples_seen);
    if (e) metric_inc(&read_failures);
    /* Logs errors on which an operator may have to act, and those that the client does not get
     * since its answer had begun; limited, for clients that fail all the time. */
    static struct log_gate gate;
    uint64_t held_back;
    bool is_reported =
        e == OK || e == ERR_INPUT || e == ERR_CANCELED || (e == ERR_LIMIT && !r->r.begun);
    if (!is_reported &&
        log_often(&gate, env_monotonic_ns(r->r.api->options.env), NS_PER_S, &held_back)) {
        log_warn("read: query failed", KV("peer", http_peer(r->r.request)), KV("error", why),
                 KV("more_held_back", held_back));
    }
    if (r->r.begun)
        http_stream_end(r->r.request, e == OK || r->error_sent);
    else if (e == ERR_MISSING && r->beyond.session != 0)
        http_reply_text(r->r.request, 409, "%s\n", why->text);
    else if (r->too_large)
        http_reply_text(r->r.request, 413, "%s\n", why->text);
    else
        reply_error(r->r.request, e == ERR_LIMIT ? FOR_ANYTHING : FOR_QUERY,
                    memory_verdict(e, &r->r.budget), why);
}

static void
read_answer(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct buf message;
    struct bytes tenant;
    struct read r = {.content_length = UINT64_MAX};
    unsigned refused = tenant_named(api, request, &tenant, &why);
    if (refused != 0) {
        http_reply_text(request, refused, "%s\n", why.text);
        return;
    }
    read_request_begin(&r.r, api, request);
    arena_init(&r.arena, &r.r.budget, ARENA_BYTES_MAX, 4096);
    buf_init(&message, &r.r.budget, api->options.decoded_bytes_max + 64);
    /* Views of the request end when the answer begins. */
    r.r.query.tenant = arena_copy(&r.arena, tenant);
    enum err e = r.r.query.tenant.at == NULL && tenant.size > 0 ? ERR_NOMEM : OK;
    if (e) e = why_set(&why, e, "not enough memory for the query");
    if (e == OK) e = read_decode(&r, &message, &why);
    if (e == OK) e = read_notices(&r, &why);
    if (e == OK) e = read_sources(&r, &why);
    if (e == OK) e = read_beyond(&r, &why);
    if (e == OK) e = read_parameters(&r, &why);
    if (e == OK) e = read_request_open(&r.r, &r.r.control, &r.r.view, &why);
    if (e == OK) {
        metric_inc(&reads[r.message.answer]);
        e = r.message.answer == RR_SAMPLES ? answer_samples(&r, &why) : answer_streamed(&r, &why);
    }
    buf_fini(&message);
    view_free(r.r.view);
    r.r.view = NULL;
    read_finish(&r, e, &why);
    arena_fini(&r.arena);
    read_request_end(&r.r);
}

void
read_run(struct api *api, struct http_request *request)
{
    struct why why;
    const char *encoding = http_header(request, "Content-Encoding");
    if (encoding != NULL && encoding[0] != '\0' && strcasecmp(encoding, "snappy") != 0) {
        http_reply_text(request, 415, "unsupported content encoding: expected snappy\n");
        return;
    }
    if (atomic_load_explicit(&api->stopping, memory_order_relaxed)) {
        why_set(&why, ERR_AGAIN, "shutting down");
        reply_error(request, FOR_QUERY, ERR_AGAIN, &why);
        return;
    }
    run_later(api, QUEUE_READS, request, read_answer, NULL);
}
