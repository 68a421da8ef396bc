/*
 * remote_read.c - a source by remote read: see remote_read.h.
 *
 * A select is one request with one query. It is sent at once, and the response is awaited when the
 * first series is asked for. The form of the response determines which module sorts its series.
 */
#include "backend/remote/remote_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "backend/common/http_common.h"
#include "base/text/time_text.h"
#include "model/select.h"
#include "model/trouble.h"
#include "wire/remote/remote_read.h"
#include "wire/snappy.h"

/* --- patterns --------------------------------------------------------------------------------- */

enum { REQUEST_BYTES_MAX = 64 << 20 };

/* True if the pattern ends after a \Q without its \E. */
static bool
is_left_open(struct bytes pattern)
{
    bool quoted = false;
    for (size_t i = 0; i + 1 < pattern.size; i++) {
        if (pattern.at[i] != '\\') continue;
        uint8_t escaped = pattern.at[i + 1];
        if (quoted && escaped != 'E') continue; /* the backslash is literal */
        if (quoted || escaped == 'Q') quoted = !quoted;
        i++;
    }
    return quoted;
}

struct bytes
remote_pattern(const struct matcher *m, struct arena *arena)
{
    static const char begin[] = "(?s:", end[] = "\\E)";
    struct bytes pattern = matcher_pattern(m);
    if (pattern.size == 0) return bytes_of("", 0);
    if (matcher_type(m) < MATCH_REGEX) return pattern;
    bool open = is_left_open(pattern);
    if (!open && memchr(pattern.at, '.', pattern.size) == NULL) return pattern;
    uint8_t *text = arena_alloc(arena, pattern.size + sizeof begin + sizeof end);
    if (text == NULL) return bytes_of(NULL, 0);
    uint8_t *at = text;
    memcpy(at, begin, sizeof begin - 1);
    at += sizeof begin - 1;
    memcpy(at, pattern.at, pattern.size);
    at += pattern.size;
    const char *last = open ? end : end + 2;
    memcpy(at, last, strlen(last));
    at += strlen(last);
    return bytes_of(text, (size_t)(at - text));
}

enum err
remote_request_put(struct buf *to, struct matcher *const *matchers, uint32_t count, int64_t min_ms,
                   int64_t max_ms, bool streamed, bool samples, struct why *why)
{
    struct rr_matcher put[RR_MATCHERS_MAX] = {
        {MATCH_REGEX, bytes_of_text("__name__"), bytes_of_text(".*")}};
    struct arena patterns;
    struct buf message;
    bool fits = true;
    if (count > RR_MATCHERS_MAX) count = RR_MATCHERS_MAX; /* servers may refuse more matchers */
    arena_init(&patterns, to->budget, 0, 0);
    buf_init(&message, to->budget, REQUEST_BYTES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes pattern = remote_pattern(matchers[i], &patterns);
        put[i] = (struct rr_matcher){(uint8_t)matcher_type(matchers[i]), matcher_name(matchers[i]),
                                     pattern};
        fits &= pattern.at != NULL;
    }
    if (count == 0) count = 1; /* servers may refuse a query without matchers */
    rr_request_put_query(&message, min_ms, max_ms, put, count);
    rr_request_put_accepted(&message, streamed, samples);
    enum err e = fits ? buf_error(&message) : ERR_NOMEM;
    if (e == OK) e = snappy_pack(buf_bytes(&message), to);
    buf_fini(&message);
    arena_fini(&patterns);
    return e ? why_set(why, e, "not enough memory for a request") : OK;
}

/* --- reader ----------------------------------------------------------------------------------- */

enum { ANSWER_BYTES_MAX = 1 << 30, LIST_BYTES_MAX = 128 << 20 };

/* Headers of a response that are read; the first is for signed requests. */
enum remote_wanted { WANTED_ERROR_TYPE, WANTED_TYPE, WANTED_FINAL, WANTED_LIMITED };
static const char *const wanted[] = {"x-amzn-ErrorType", "Content-Type", "X-Firekeep-Error",
                                     REMOTE_LIMITED, NULL};

/* --- a streamed answer ------------------------------------------------------------------------ */

static enum err
read_take_notice(struct remote_question *q, const struct rr_piece *piece, struct why *why)
{
    struct why text;
    if (piece->notice == RR_NOTICE_DOWNSAMPLED) {
        /* Takes a warning of downsampled samples; a caller without warnings finds it in its
         * control. */
        struct why sentence;
        int64_t resolution_ms;
        struct query_control *control = q->base.request.control;
        if (!time_parse_duration(piece->text, &resolution_ms)) return OK;
        if (!q->base.request.shows_warnings) {
            if (control != NULL) thinned_note(control, resolution_ms);
            return OK;
        }
        thinned_say(resolution_ms, &sentence);
        return warnings_add(&q->warnings, &sentence) ? fetch_no_memory(why) : OK;
    }
    api_sentence(piece->text, &text);
    if (piece->notice == RR_NOTICE_ERROR) return why_set(why, ERR_CORRUPT, "%s", text.text);
    return warnings_add(&q->warnings, &text) ? fetch_no_memory(why) : OK;
}

/* For ordered_new(): gets the next piece that is not a notice. */
static enum err
pull_piece(void *context, struct rr_piece *ret, struct why *why)
{
    struct remote_question *q = context;
    for (;;) {
        enum err e = rr_client_next(q->client, ret, why);
        if (e) return e;
        if (ret->kind == RR_PIECE_NOTICE) {
            e = read_take_notice(q, ret, why);
            if (e) return e;
            continue;
        }
        if (ret->kind != RR_PIECE_NONE || q->ended) return OK;
        struct bytes more;
        e = fetch_read(q->exchange.fetch, &more, why);
        if (e) return e;
        q->ended = more.size == 0;
        e = q->ended ? rr_client_end(q->client, why) : rr_client_give(q->client, more, why);
        if (e) return e;
    }
}

static enum err
begin_streamed(struct remote_question *q, struct why *why)
{
    struct ordered_options options = {.budget = q->base.budget,
                                      .window_bytes = ORDERED_WINDOW_BYTES,
                                      .min_ms = q->base.min_ms,
                                      .max_ms = q->base.max_ms,
                                      .external = q->base.of->external,
                                      .pull = pull_piece,
                                      .context = q};
    enum err e = rr_client_new(q->base.budget, &q->client);
    if (e == OK) e = ordered_new(&options, &q->ordered);
    return e ? fetch_no_memory(why) : OK;
}

/* --- responses of samples --------------------------------------------------------------------- */

static enum err
judge(struct remote_question *q, enum err e, struct why *why)
{
    return e == ERR_CORRUPT ? fetch_exchange_failed(&q->exchange, e, why) : e;
}

static enum err
begin_sampled(struct remote_question *q, struct why *why)
{
    struct sampled_options options = {q->base.budget, q->base.min_ms, q->base.max_ms,
                                      q->base.of->external};
    struct buf answer;
    buf_init(&answer, q->base.budget, ANSWER_BYTES_MAX);
    enum err e = fetch_read_all(q->exchange.fetch, &answer, why);
    if (buf_error(&answer) == ERR_LIMIT)
        e = ERR_LIMIT; /* a response with samples may be that large */
    if (e == OK) e = judge(q, sampled_new(&options, buf_bytes(&answer), &q->sampled, why), why);
    buf_fini(&answer);
    return e;
}

/* --- an answer -------------------------------------------------------------------------------- */

enum err
remote_expect_all(struct fetch *fetch, const char *limited, struct why *why)
{
    struct why text;
    if (limited[0] == '\0') return OK;
    api_sentence(bytes_of_text(limited), &text);
    why_set(why, ERR_LIMIT, "the server left out series because of its limits: %s", text.text);
    return fetch_failed(fetch, ERR_LIMIT, why);
}

static bool
begins_with(const char *text, const char *begin)
{
    return strncasecmp(text, begin, strlen(begin)) == 0;
}

/* A Firekeep server says that it would respond in the same way again. */
static bool
is_final(const struct http_call_answer *answer)
{
    return answer->wanted[WANTED_FINAL][0] != '\0';
}

static enum err
await_answer(struct remote_question *q, struct why *why)
{
    const struct remote_read_settings *x = &q->base.of->options.settings->u.remote_read;
    const struct http_call_answer *a;
    enum err e = fetch_exchange_await(&q->exchange, &a, why);
    if (e == ERR_AGAIN && a != NULL && is_final(a)) e = ERR_IO;
    if (e && a != NULL && a->status == 409 && q->base.request.beyond != NULL)
        e = trouble_say(why, TROUBLE_GONE, ERR_MISSING);
    if (e == OK) e = remote_expect_all(q->exchange.fetch, a->wanted[WANTED_LIMITED], why);
    if (e) return e;
    q->answered = true;
    const char *type = a->wanted[WANTED_TYPE];
    bool streamed = begins_with(type, "application/x-streamed-protobuf");
    bool samples = begins_with(type, "application/x-protobuf");
    if (a->status == 200 && streamed && x->protobuf != REMOTE_READ_SAMPLES)
        return begin_streamed(q, why);
    if (a->status == 200 && samples && x->protobuf != REMOTE_READ_STREAMED)
        return begin_sampled(q, why);
    return why_set(why, ERR_UNSUPPORTED, "%s: responds with status %u and type \"%s\"", x->url,
                   a->status, type);
}

static enum err
next(struct fetch_question *base, struct bytes *ret_labels, struct why *why)
{
    struct remote_question *q = (struct remote_question *)base;
    enum err e = q->answered ? OK : await_answer(q, why);
    if (e) return e;
    e = q->ordered != NULL ? ordered_next(q->ordered, ret_labels, why)
                           : series_blocks_next(q->sampled->blocks, ret_labels, why);
    return judge(q, e, why);
}

static enum err
batch(struct fetch_question *base, struct sample_batch *ret_batch, struct why *why)
{
    struct remote_question *q = (struct remote_question *)base;
    enum err e = q->ordered != NULL ? ordered_batch(q->ordered, ret_batch, why)
                                    : series_blocks_batch(q->sampled->blocks, ret_batch, why);
    return judge(q, e, why);
}

static const char *
warning(struct fetch_question *base, uint32_t index)
{
    return warnings_at(&((struct remote_question *)base)->warnings, index);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Judges a refusal; a path other than that of remote read gets 404 or 405, and a hint. */
static void
judge_refusal(const struct http_call_answer *answer, struct writer_step *step)
{
    http_judge(answer, step);
    if (answer->status != 404 && answer->status != 405) return;
    size_t size = strlen(step->answer);
    snprintf(step->answer + size, sizeof step->answer - size,
             "%scheck the path of url: Prometheus has /api/v1/read", size > 0 ? "; " : "");
}

static enum err
begin(struct fetch_question *base, struct why *why)
{
    static const char *const headers[] = {REMOTE_READ_HEADERS, REMOTE_EXHAUSTIVE};
    struct remote_question *q = (struct remote_question *)base;
    const struct fetch_request how = {
        .headers = q->headers, .wanted = wanted, .is_final = is_final, .judge = judge_refusal};
    unsigned n = sizeof headers / sizeof *headers;
    const struct remote_read_settings *x = &base->of->options.settings->u.remote_read;
    fetch_exchange_begin(&q->exchange, "", x->url); /* the URL may have a query */
    memcpy(q->headers, headers, sizeof headers);
    q->headers[n++] =
        base->request.partial ? "X-Firekeep-Notices: partial" : "X-Firekeep-Notices: errors";
    const struct bucket_mark *mark = base->request.beyond;
    if (mark != NULL) {
        snprintf(q->beyond, sizeof q->beyond,
                 BUCKET_BEYOND_HEADER ": %" PRIx64 " %" PRIu64 " %" PRIu64, mark->session,
                 mark->number, mark->complete_pos);
        q->headers[n++] = q->beyond;
    }
    /* Results for fewer matchers are filtered with all of them in views/source.c. */
    enum err e = remote_request_put(&q->exchange.body, base->matchers, base->matcher_count,
                                    base->min_ms, base->max_ms, x->protobuf != REMOTE_READ_SAMPLES,
                                    x->protobuf != REMOTE_READ_STREAMED, why);
    if (e == OK) e = remote_tenant_header(q, &n, why);
    return e ? e : fetch_exchange_send(&q->exchange, &how, why);
}

/* --- the reader ------------------------------------------------------------------------------- */

static void
question_init(struct fetch_question *base)
{
    struct remote_question *q = (struct remote_question *)base;
    fetch_exchange_init(&q->exchange, base, REQUEST_BYTES_MAX);
    buf_init(&q->tenant, base->budget, REMOTE_URL_BYTES);
    buf_init(&q->answer, base->budget, LIST_BYTES_MAX);
    warnings_init(&q->warnings, base->budget);
}

static void
question_fini(struct fetch_question *base)
{
    struct remote_question *q = (struct remote_question *)base;
    ordered_free(q->ordered);
    sampled_free(q->sampled);
    rr_client_free(q->client);
    fetch_exchange_fini(&q->exchange);
    buf_fini(&q->tenant);
    buf_fini(&q->answer);
    warnings_fini(&q->warnings);
}

/* Finds the URL of the API: as configured, or beside a path that ends as Prometheus' does. */
static enum err
open_reader(struct fetch_reader *base_reader, struct why *why)
{
    static const char end[] = "/api/v1/read";
    struct remote_reader *reader = (struct remote_reader *)base_reader;
    const struct remote_read_settings *x = &base_reader->options.settings->u.remote_read;
    const char *base = x->labels_url != NULL ? x->labels_url : x->url;
    size_t size = strcspn(base, "?"), end_size = sizeof end - 1;
    if (x->labels_url == NULL) {
        bool known = size > end_size && memcmp(base + size - end_size, end, end_size) == 0;
        size = known ? size - end_size : 0;
    }
    while (size > 0 && base[size - 1] == '/')
        size--;
    if (size >= sizeof reader->labels_base) return why_set(why, ERR_INPUT, "the URL is too long");
    memcpy(reader->labels_base, base, size);
    return OK;
}

enum err
remote_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                  struct why *why)
{
    static const struct fetch_type type = {
        .reader_bytes = sizeof(struct remote_reader),
        .question_bytes = sizeof(struct remote_question),
        .min_ms = INT64_MIN,
        .max_ms = INT64_MAX,
        .open = open_reader,
        .init = question_init,
        .fini = question_fini,
        .begin = begin,
        .next = next,
        .batch = batch,
        .warning = warning,
        .names = remote_label_names,
        .values = remote_label_values,
        .series = remote_series,
    };
    const struct sigv4_settings *sigv4 = &options->settings->u.remote_read.sigv4;
    const struct fetch_signing signing = {
        .aws = &sigv4->aws, .service = sigv4->service == NULL ? "aps" : sigv4->service};
    return fetch_reader_new(&type, options, sigv4->given ? &signing : NULL, ret_answerer, why);
}
