/*
 * read.c - remote read: both forms of answer, on a query thread.
 *
 *      body -> snappy -> decode -> a view of the store -> each query: series, batches of samples
 *                                                             |
 *                          SAMPLES: all in memory, then sent -+- STREAMED_XOR_CHUNKS: sent as read
 *
 * Both are a struct read_form, so that queries do not depend on it. The status is sent with the
 * first byte: until then an error gets a status of its own, afterwards the connection is cut, or a
 * last frame reports the error to clients that asked for notices.
 */
#include "api/read/read.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "api/answer.h"
#include "api/request/form.h"
#include "api/request/replica_choice.h"
#include "base/log.h"
#include "base/text/time_text.h"
#include "model/thinned.h"
#include "model/usage.h"
#include "wire/remote/remote_read.h"
#include "wire/snappy.h"

enum { ARENA_BYTES_MAX = 16 * 1024 * 1024 };

static struct metric_counter reads[2] = {
    {.name = "firekeep_read_requests_total",
     .help = "Remote read requests, by response type.",
     .labels = {{"form", "samples"}}},
    {.name = "firekeep_read_requests_total",
     .help = "Remote read requests, by response type.",
     .labels = {{"form", "streamed_xor_chunks"}}},
};
static struct metric_counter read_samples = {
    .name = "firekeep_read_samples_total",
    .help = "Samples read for remote read requests.",
};
static struct metric_counter read_failures = {
    .name = "firekeep_read_failures_total",
    .help = "Remote read requests that failed.",
};
static struct metric_histogram latency = {
    .name = "firekeep_read_request_duration_seconds",
    .help =
        "Time from the first byte of a remote read request to the end of its response, in seconds.",
    METRIC_LATENCY,
};

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
    struct api *api;
    struct http_request *request;
    struct budget budget;
    struct query_control control;
    struct replica_choice replicas;
    struct form form; /* without a body: that is the message */
    struct fence fence;
    struct view *view; /* view that all queries of the request use */
    struct arena arena;
    struct rr_request message;
    struct bytes tenant;
    uint64_t content_length; /* UINT64_MAX: not known */
    bool begun;
    bool too_large; /* 413 */
    enum notices notices;
    bool stored;     /* sources are not read */
    bool only_raw;   /* downsampled samples are an error */
    bool error_sent; /* the last frame has the error that ended the answer */
    struct rr_stream *stream;
};

/* --- the stream of the answer ----------------------------------------------------------------- */

/* Begins the answer, with its first byte: until then an error can get a status of its own. */
static enum err
read_begin(struct read *r, struct why *why)
{
    if (r->begun) return OK;
    bool streamed = r->message.answer == RR_STREAMED_XOR_CHUNKS;
    struct http_answer answer = {
        .status = 200,
        .content_type = streamed ? "application/x-streamed-protobuf; "
                                   "proto=prometheus.ChunkedReadResponse"
                                 : "application/x-protobuf",
    };
    if (!streamed) answer.headers[0] = (struct http_answer_header){"Content-Encoding", "snappy"};
    enum err e = http_stream_begin(r->request, &answer, r->content_length, why);
    if (e) return e;
    limit_stream(r->api, QUEUE_READS, r->request, &r->control);
    r->begun = true;
    return OK;
}

static enum err
sink_write(void *context, struct bytes piece, struct why *why)
{
    struct read *r = context;
    enum err e = read_begin(r, why);
    return e ? e : http_stream_write(r->request, piece, why);
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
        .tenant = r->tenant,
        .sets = &matching,
        .set_count = 1,
        .min_ms = query->min_ms,
        .max_ms = query->max_ms,
        .partial = r->notices == NOTICES_PARTIAL,
        .shows_warnings = r->notices == NOTICES_PARTIAL,
        .stored = r->stored,
        .chunks = r->message.answer == RR_STREAMED_XOR_CHUNKS && r->notices == NOTICES_NONE &&
                  !wants_labels(query),
        .control = &r->control,
    };
    if (query->matcher_count == 0) return why_set(why, ERR_INPUT, "the query has no matchers");
    usage_note(&request);
    return view_select(r->view, &request, ret_set, why);
}

/* Writes a series in one of the two forms of answers. */
struct read_form {
    void *to;
    enum err (*series)(void *to, struct bytes labels, struct why *why);
    enum err (*floats)(void *to, const struct sample_batch *b, struct why *why);
    enum err (*histograms)(void *to, const struct sample_batch *b, struct why *why);
};

/* Refuses downsampled samples if the client wants none. */
static enum err
check_level(const struct read *r, struct why *why)
{
    struct why sentence;
    int64_t resolution_ms = r->only_raw ? thinned_to(&r->control) : 0;
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
    int64_t resolution_ms = thinned_to(&r->control);
    if (resolution_ms == 0) return OK;
    if (sends_notices(r)) {
        char text[TIME_TEXT_BYTES];
        time_print_duration(resolution_ms, text);
        return rr_stream_notice(r->stream, RR_NOTICE_DOWNSAMPLED, bytes_of_text(text), why);
    }
    thinned_say(resolution_ms, &sentence);
    if (log_often(&gate, env_monotonic_ns(r->api->options.env), NS_PER_S, &held_back)) {
        log_warn("read: answered with downsampled samples", KV("peer", http_peer(r->request)),
                 KV("warning", sentence.text), KV("more_held_back", held_back));
    }
    return OK;
}

static enum err
read_drain(struct read *r, const struct read_form *form, struct series_set *set, bool only_labels,
           struct why *why)
{
    for (;;) {
        struct bytes labels;
        enum err e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) return e;
        usage_note_series(&r->control, r->tenant, labels);
        for (bool named = false; !named || !only_labels; named = true) {
            struct sample_batch b;
            e = series_set_batch(set, &b, why);
            if (e == OK) e = check_level(r, why);
            if (e == OK && b.count == 0) break;
            if (only_labels) b.count = 1;
            if (e == OK && !named) e = form->series(form->to, labels, why);
            if (e) return e;
            e = b.kind == SAMPLE_FLOAT ? form->floats(form->to, &b, why)
                                       : form->histograms(form->to, &b, why);
            if (e) return e;
        }
    }
}

static enum err
run_query(struct read *r, const struct rr_query *query, const struct read_form *form,
          struct why *why)
{
    struct series_set *set = NULL;
    struct matcher **matchers =
        arena_new(&r->arena, (query->matcher_count + 1u) * sizeof *matchers);
    if (matchers == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < query->matcher_count; i++) {
        const struct rr_matcher *m = &query->matchers[i];
        e = matcher_new((enum matcher_type)m->type, m->name, m->value, &r->budget, &matchers[i],
                        why);
    }
    const char *left_out;
    bool shows_warnings = sends_notices(r);
    if (e == OK) e = query_open(r, query, matchers, &set, why);
    if (e == OK && !shows_warnings) e = series_set_is_whole(set, why);
    if (e == OK) e = read_drain(r, form, set, wants_labels(query), why);
    if (e == OK && !shows_warnings) e = series_set_is_whole(set, why);
    for (uint32_t i = 0; e == OK && shows_warnings; i++) {
        left_out = series_set_warning(set, i);
        if (left_out == NULL) break;
        e = rr_stream_notice(r->stream, RR_NOTICE_LEFT_OUT, bytes_of_text(left_out), why);
    }
    if (e == OK && !wants_labels(query)) e = report_level(r, why);
    series_set_free(set);
    for (uint32_t i = 0; i < query->matcher_count; i++) {
        matcher_free(matchers[i]);
    }
    return e;
}

/* --- STREAMED_XOR_CHUNKS ---------------------------------------------------------------------- */

static enum err
stream_series(void *to, struct bytes labels, struct why *why)
{
    return rr_stream_series(to, labels, why);
}

static enum err
stream_floats(void *to, const struct sample_batch *b, struct why *why)
{
    return rr_stream_floats(to, b->count, b->times_ms, b->value_bits, why);
}

static enum err
stream_histograms(void *to, const struct sample_batch *b, struct why *why)
{
    if (b->chunks.size > 0) return rr_stream_chunks(to, b->chunks, why);
    return b->columns == NULL
               ? rr_stream_histograms(to, b->count, b->times_ms, b->histograms, why)
               : rr_stream_columns(to, b->columns, b->first_row, b->count, b->times_ms, why);
}

static enum err
answer_streamed(struct read *r, struct why *why)
{
    struct rr_sink sink = {sink_write, r};
    struct rr_stream *stream;
    enum err e = rr_stream_new(&sink, r->api->options.read_frame_bytes, &r->budget, &stream);
    if (e) return why_set(why, e, "not enough memory for the response");
    r->stream = stream;
    struct read_form form = {stream, stream_series, stream_floats, stream_histograms};
    for (uint32_t i = 0; i < r->message.query_count && e == OK; i++) {
        e = rr_stream_query(stream, i, why);
        if (e == OK) e = run_query(r, &r->message.queries[i], &form, why);
    }
    if (e == ERR_CORRUPT && r->begun && r->notices != NOTICES_NONE) {
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
samples_series(void *to, struct bytes labels, struct why *why)
{
    return samples_error(rr_samples_series(to, labels), why);
}

static enum err
samples_floats(void *to, const struct sample_batch *b, struct why *why)
{
    return samples_error(rr_samples_floats(to, b->count, b->times_ms, b->value_bits), why);
}

static enum err
samples_histograms(void *to, const struct sample_batch *b, struct why *why)
{
    return samples_error(rr_samples_histograms(to, b->count, b->times_ms, b->histograms), why);
}

static enum err
answer_samples(struct read *r, struct why *why)
{
    struct rr_sink sink = {sink_write, r};
    struct rr_samples *samples;
    enum err e = rr_samples_new(&r->budget, &samples);
    if (e) return why_set(why, e, "not enough memory for the response");
    struct read_form form = {samples, samples_series, samples_floats, samples_histograms};
    r->control.samples_max = api_limits_now(r->api).read_samples_max;
    for (uint32_t i = 0; i < r->message.query_count && e == OK; i++) {
        e = samples_error(rr_samples_query(samples), why);
        if (e == OK) e = run_query(r, &r->message.queries[i], &form, why);
    }
    view_free(r->view); /* the answer is complete: a slow client does not hold parts */
    r->view = NULL;
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
    uint64_t size_max = r->api->options.decoded_bytes_max;
    enum err e = snappy_size(http_body(r->request), size_max, &size);
    if (e == ERR_INPUT) return why_set(why, e, "the body is not a snappy block");
    if (e == ERR_LIMIT) {
        r->too_large = true;
        return why_set(why, e, "the message is larger than %" PRIu64 " bytes uncompressed",
                       size_max);
    }
    e = snappy_unpack(http_body(r->request), message, why);
    if (e == OK) http_body_release(r->request);
    if (e == OK) e = rr_decode(buf_bytes(message), &r->arena, &r->message, why);
    return e;
}

static enum err
read_notices(struct read *r, struct why *why)
{
    const char *wanted = http_header(r->request, "X-Firekeep-Notices");
    if (wanted == NULL || wanted[0] == '\0') return OK;
    if (strcasecmp(wanted, "errors") != 0 && strcasecmp(wanted, "partial") != 0) {
        return why_set(why, ERR_INPUT, "invalid X-Firekeep-Notices: expected errors or partial");
    }
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
    const char *wanted = http_header(r->request, "X-Firekeep-Sources");
    if (wanted == NULL || wanted[0] == '\0') return OK;
    r->stored = strcasecmp(wanted, "none") == 0;
    return r->stored ? OK : why_set(why, ERR_INPUT, "invalid X-Firekeep-Sources: expected none");
}

/* Reads the choice of replicas, the fence and the level from the query string. Clients that ask for
 * notices copy stored series, so for them the default is not to merge replicas, and a copy is not a
 * use of metrics. */
static enum err
read_parameters(struct read *r, struct why *why)
{
    struct buf error;
    bool given =
        form_given(&r->form, "dedup") != NULL || form_nth(&r->form, "replicaLabels[]", 0) != NULL;
    buf_init(&error, NULL, SENTENCE_BYTES_MAX);
    enum err e = replica_choice_read(r->api, &r->form, &r->arena, &r->replicas, &error, why);
    if (e == OK) {
        e = fence_read(&r->fence, &r->form, &r->budget, &r->control, &error, why);
    }
    if (e == ERR_INPUT) {
        e = why_set(why, e, "%.*s", (int)error.size, (const char *)error.at);
    }
    if (r->notices != NOTICES_NONE && !given) r->replicas.count = 0;
    if (r->notices != NOTICES_NONE) r->replicas.counts_usage = false;
    const char *level = form_given(&r->form, "level");
    r->only_raw = level != NULL && strcmp(level, "raw") == 0;
    if (e == OK && level != NULL && !r->only_raw) {
        e = why_set(why, ERR_INPUT, "invalid parameter \"level\": expected raw");
    }
    buf_fini(&error);
    return e;
}

static void
read_finish(struct read *r, enum err e, const struct why *why)
{
    metric_record(&latency,
                  (uint64_t)(env_monotonic_ns(r->api->options.env) - http_began_ns(r->request)));
    metric_add(&read_samples, r->control.samples_seen);
    if (e) metric_inc(&read_failures);
    /* Logs errors on which an operator may have to act, and those that the client does not get
     * since its answer had begun; limited, for clients that fail all the time. */
    static struct log_gate gate;
    uint64_t held_back;
    bool is_reported =
        e == OK || e == ERR_INPUT || e == ERR_CANCELED || (e == ERR_LIMIT && !r->begun);
    if (!is_reported &&
        log_often(&gate, env_monotonic_ns(r->api->options.env), NS_PER_S, &held_back)) {
        log_warn("read: query failed", KV("peer", http_peer(r->request)), KV("error", why),
                 KV("more_held_back", held_back));
    }
    if (r->begun)
        http_stream_end(r->request, e == OK || r->error_sent);
    else if (r->too_large)
        http_reply_text(r->request, 413, "%s\n", why->text);
    else
        reply_error(r->request, e == ERR_LIMIT ? FOR_ANYTHING : FOR_QUERY,
                    memory_verdict(e, &r->budget), why);
}

static void
read_answer(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct buf message;
    struct read r = {
        .api = api, .request = request, .content_length = UINT64_MAX, .form = {.request = request}};
    unsigned refused = tenant_named(api, request, &r.tenant, &why);
    if (refused != 0) {
        http_reply_text(request, refused, "%s\n", why.text);
        return;
    }
    budget_init(&r.budget, "query", 0, &api->read_budget);
    arena_init(&r.arena, &r.budget, ARENA_BYTES_MAX, 4096);
    arena_init(&r.form.arena, &r.budget, 0, 0);
    buf_init(&message, &r.budget, api->options.decoded_bytes_max + 64);
    query_control_begin(api, request, &r.budget, &r.control);
    /* Views of the request end when the answer begins. */
    r.tenant = arena_copy(&r.arena, r.tenant);
    enum err e = r.tenant.at == NULL && r.tenant.size > 0 ? ERR_NOMEM : OK;
    if (e) e = why_set(&why, e, "not enough memory for the query");
    if (e == OK) e = read_decode(&r, &message, &why);
    if (e == OK) e = read_notices(&r, &why);
    if (e == OK) e = read_sources(&r, &why);
    if (e == OK) e = read_parameters(&r, &why);
    if (e == OK) {
        e = replica_choice_open(api, &r.replicas, &r.fence, &r.control, &r.view, &why);
    }
    if (e == OK) {
        metric_inc(&reads[r.message.answer]);
        e = r.message.answer == RR_SAMPLES ? answer_samples(&r, &why) : answer_streamed(&r, &why);
    }
    view_free(r.view);
    fence_fini(&r.fence);
    form_fini(&r.form);
    buf_fini(&message);
    arena_fini(&r.arena);
    read_finish(&r, e, &why);
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
