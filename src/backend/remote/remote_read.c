/*
 * remote_read.c - a source by remote read: see remote_read.h.
 *
 * A select is one request with one query. It is sent at once, and answered when the first series is
 * asked for; what the answer looks like decides who puts its series in order.
 */
#include "backend/remote/remote_read.h"

#include <stdio.h>
#include <strings.h>

#include "backend/common/http_common.h"
#include "backend/remote/api_list.h"
#include "backend/remote/ordered.h"
#include "backend/remote/remote_pattern.h"
#include "backend/remote/sampled.h"
#include "base/warnings.h"
#include "wire/snappy.h"

enum { REQUEST_BYTES_MAX = 64 << 20, ANSWER_BYTES_MAX = 1 << 30 };

/* What is wanted of an answer's headers; the first is for signed requests. */
enum remote_wanted { WANTED_ERROR_TYPE, WANTED_TYPE, WANTED_FINAL, WANTED_LIMITED };
static const char *const wanted[] = {"x-amzn-ErrorType", "Content-Type", "X-Firekeep-Error",
                                     REMOTE_LIMITED, NULL};

struct remote_set {
    struct series_set set; /* first: it is handed out */
    struct fetch_view *view;
    const struct remote_reader *of;
    struct budget *budget;
    int64_t min_ms, max_ms;
    struct buf body;
    struct buf tenant;
    const char *headers[8];
    struct fetch *fetch;
    bool answered;
    struct rr_client *client; /* of a streamed answer */
    struct ordered *ordered;
    struct sampled *sampled; /* of the other kind */
    bool ended;              /* all of the answer was given to the client */
    struct warnings warnings;
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- a streamed answer ------------------------------------------------------------------------ */

static enum err
take_notice(struct remote_set *s, const struct rr_piece *piece, struct why *why)
{
    struct why text;
    api_sentence(piece->text, &text);
    if (piece->notice == RR_NOTICE_ERROR) return why_set(why, ERR_CORRUPT, "%s", text.text);
    return warnings_add(&s->warnings, &text) ? no_memory(why) : OK;
}

/* For ordered.h: the next piece that is no notice. */
static enum err
pull_piece(void *context, struct rr_piece *ret, struct why *why)
{
    struct remote_set *s = context;
    for (;;) {
        enum err e = rr_client_next(s->client, ret, why);
        if (e) return e;
        if (ret->kind == RR_PIECE_NOTICE) {
            e = take_notice(s, ret, why);
            if (e) return e;
            continue;
        }
        if (ret->kind != RR_PIECE_NONE || s->ended) return OK;
        struct bytes more;
        e = fetch_read(s->fetch, &more, why);
        if (e) return e;
        s->ended = more.size == 0;
        e = s->ended ? rr_client_end(s->client, why) : rr_client_give(s->client, more, why);
        if (e) return e;
    }
}

static enum err
begin_streamed(struct remote_set *s, struct why *why)
{
    struct ordered_options options = {.budget = s->budget,
                                      .window_bytes = ORDERED_WINDOW_BYTES,
                                      .min_ms = s->min_ms,
                                      .max_ms = s->max_ms,
                                      .external = s->of->external,
                                      .pull = pull_piece,
                                      .context = s};
    enum err e = rr_client_new(s->budget, &s->client);
    if (e == OK) e = ordered_new(&options, &s->ordered);
    return e ? no_memory(why) : OK;
}

/* --- the other kind --------------------------------------------------------------------------- */

static enum err
judge(struct remote_set *s, enum err e, struct why *why)
{
    return e == ERR_CORRUPT ? fetch_failed(s->fetch, e, why) : e;
}

static enum err
begin_sampled(struct remote_set *s, struct why *why)
{
    struct sampled_options options = {s->budget, s->min_ms, s->max_ms, s->of->external};
    struct buf answer;
    buf_init(&answer, s->budget, ANSWER_BYTES_MAX);
    enum err e = fetch_read_all(s->fetch, &answer, why);
    if (buf_error(&answer) == ERR_LIMIT) e = ERR_LIMIT; /* of samples there may be so many */
    if (e == OK) e = judge(s, sampled_new(&options, buf_bytes(&answer), &s->sampled, why), why);
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

/* Firekeep says so: its answer would be the same the next time. */
static bool
is_final(const struct http_call_answer *answer)
{
    return answer->wanted[WANTED_FINAL][0] != '\0';
}

static enum err
await_answer(struct remote_set *s, struct why *why)
{
    const struct remote_read_settings *x = &s->of->options.settings->u.remote_read;
    const struct http_call_answer *a;
    enum err e = fetch_await(s->fetch, &a, why);
    if (e) return e;
    e = fetch_expect_ok(s->fetch, why);
    if (e == ERR_AGAIN && is_final(a)) e = ERR_IO;
    if (e == OK) e = remote_expect_all(s->fetch, a->wanted[WANTED_LIMITED], why);
    if (e) return e;
    s->answered = true;
    const char *type = a->wanted[WANTED_TYPE];
    bool streamed = begins_with(type, "application/x-streamed-protobuf");
    bool samples = begins_with(type, "application/x-protobuf");
    if (a->status == 200 && streamed && x->protobuf != REMOTE_READ_SAMPLES) {
        return begin_streamed(s, why);
    }
    if (a->status == 200 && samples && x->protobuf != REMOTE_READ_STREAMED) {
        return begin_sampled(s, why);
    }
    return why_set(why, ERR_UNSUPPORTED, "%s: responds with status %u and type \"%s\"", x->url,
                   a->status, type);
}

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct remote_set *s = (struct remote_set *)set;
    enum err e = s->answered ? OK : await_answer(s, why);
    *ret_labels = bytes_of(NULL, 0);
    if (e) return e;
    e = s->ordered != NULL ? ordered_next(s->ordered, ret_labels, why)
                           : sampled_next(s->sampled, ret_labels, why);
    return judge(s, e, why);
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct remote_set *s = (struct remote_set *)set;
    return judge(s,
                 s->ordered != NULL ? ordered_batch(s->ordered, ret_batch, why)
                                    : sampled_batch(s->sampled, ret_batch, why),
                 why);
}

static const char *
set_warning(struct series_set *set, uint32_t index)
{
    return warnings_at(&((struct remote_set *)set)->warnings, index);
}

static void
set_free(struct series_set *set)
{
    struct remote_set *s = (struct remote_set *)set;
    ordered_free(s->ordered);
    sampled_free(s->sampled);
    rr_client_free(s->client);
    fetch_close(s->fetch);
    buf_fini(&s->body);
    buf_fini(&s->tenant);
    warnings_fini(&s->warnings);
    fetch_view_drop(s->view);
    mem_free(s->budget, s, sizeof *s);
}

/* --- asking ----------------------------------------------------------------------------------- */

static enum err
put_body(struct remote_set *s, const struct query_request *r, struct why *why)
{
    const struct remote_read_settings *x = &s->of->options.settings->u.remote_read;
    const struct rr_matcher any = {MATCH_REGEX, bytes_of_text("__name__"), bytes_of_text(".*")};
    struct rr_matcher matchers[RR_MATCHERS_MAX];
    uint32_t count = r->set_count == 0 ? 0 : r->sets[0].count;
    struct arena patterns;
    struct buf message;
    /* Servers may refuse more; what they answer is compared with all: views/source.c. */
    if (count > RR_MATCHERS_MAX) count = RR_MATCHERS_MAX;
    arena_init(&patterns, s->budget, 0, 0);
    bool fits = true;
    for (uint32_t i = 0; i < count; i++) {
        const struct matcher *m = r->sets[0].matchers[i];
        struct bytes pattern = remote_pattern(m, &patterns);
        matchers[i] = (struct rr_matcher){(uint8_t)matcher_type(m), matcher_name(m), pattern};
        fits &= pattern.at != NULL;
    }
    if (count == 0) matchers[count++] = any; /* servers may refuse a query without any */
    buf_init(&message, s->budget, REQUEST_BYTES_MAX);
    rr_request_put_query(&message, r->min_ms, r->max_ms, matchers, count);
    rr_request_put_accepted(&message, x->protobuf != REMOTE_READ_SAMPLES,
                            x->protobuf != REMOTE_READ_STREAMED);
    enum err e = fits ? buf_error(&message) : ERR_NOMEM;
    if (e == OK) e = snappy_pack(buf_bytes(&message), &s->body);
    buf_fini(&message);
    arena_fini(&patterns);
    return e ? why_set(why, e, "not enough memory for a request") : OK;
}

/* What another path than that of remote read answers to a POST. */
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
send_request(struct remote_set *s, const struct query_request *r, struct why *why)
{
    unsigned n = 0;
    enum err e = put_body(s, r, why);
    if (e == OK) e = remote_tenant_header(s->of, r->tenant, &s->tenant, why);
    if (e) return e;
    s->headers[n++] = "Content-Encoding: snappy";
    s->headers[n++] = "Content-Type: application/x-protobuf";
    s->headers[n++] = "Accept-Encoding: snappy";
    s->headers[n++] = "X-Prometheus-Remote-Read-Version: 0.1.0";
    s->headers[n++] = REMOTE_EXHAUSTIVE;
    s->headers[n++] = r->partial ? "X-Firekeep-Notices: partial" : "X-Firekeep-Notices: errors";
    if (s->tenant.size > 0) s->headers[n++] = (const char *)s->tenant.at;
    struct fetch_request request = {.method = "POST",
                                    .url = s->of->options.settings->u.remote_read.url,
                                    .headers = s->headers,
                                    .body = buf_bytes(&s->body),
                                    .wanted = wanted,
                                    .is_final = is_final,
                                    .judge = judge_refusal};
    return fetch_open(s->view->session, r->control, &request, &s->fetch, why);
}

static enum err
select_series(struct view *view, const struct query_request *r, struct series_set **ret_set,
              struct why *why)
{
    static const struct series_set_ops ops = {
        .next = set_next, .batch = set_batch, .warning = set_warning, .free = set_free};
    struct fetch_view *v = (struct fetch_view *)view;
    struct remote_set *s = mem_new(v->budget, sizeof *s);
    if (s == NULL) return no_memory(why);
    s->set.ops = &ops;
    s->view = v;
    s->of = (const struct remote_reader *)v->of;
    s->budget = v->budget;
    s->min_ms = r->min_ms;
    s->max_ms = r->max_ms;
    buf_init(&s->body, v->budget, REQUEST_BYTES_MAX);
    buf_init(&s->tenant, v->budget, REMOTE_URL_BYTES);
    warnings_init(&s->warnings, v->budget);
    fetch_view_keep(v);
    enum err e = send_request(s, r, why);
    if (e)
        set_free(&s->set);
    else
        *ret_set = &s->set;
    return e;
}

/* --- the view --------------------------------------------------------------------------------- */

static enum err
open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
          struct why *why)
{
    static const struct view_ops ops = {
        .select = select_series,
        .exemplars = reader_no_exemplars,
        .metadata = reader_no_metadata,
        .label_names = remote_label_names,
        .label_values = remote_label_values,
        .series = remote_series,
        .free = fetch_view_free,
    };
    const struct remote_reader *reader = (struct remote_reader *)answerer;
    return fetch_view_open(reader->fetcher, answerer, &ops, sizeof(struct fetch_view), control,
                           ret_view, why);
}

/* --- the reader ------------------------------------------------------------------------------- */

static void
free_reader(struct answerer *answerer)
{
    struct remote_reader *reader = (struct remote_reader *)answerer;
    fetcher_free(reader->fetcher);
    mem_free(reader->options.memory, reader, sizeof *reader);
}

/* Where the API is: as configured, else beside a path that ends as Prometheus' does. */
static enum err
find_labels_base(struct remote_reader *reader, struct why *why)
{
    static const char end[] = "/api/v1/read";
    const struct remote_read_settings *x = &reader->options.settings->u.remote_read;
    const char *base = x->labels_url != NULL ? x->labels_url : x->url;
    size_t size = strcspn(base, "?"), end_size = sizeof end - 1;
    if (x->labels_url == NULL) {
        bool known = size > end_size && memcmp(base + size - end_size, end, end_size) == 0;
        size = known ? size - end_size : 0;
    }
    while (size > 0 && base[size - 1] == '/') {
        size--;
    }
    if (size >= sizeof reader->labels_base) return why_set(why, ERR_INPUT, "the URL is too long");
    memcpy(reader->labels_base, base, size);
    return OK;
}

enum err
remote_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                  struct why *why)
{
    static const struct answerer_ops ops = {open_view, reader_any_time, free_reader};
    const struct sigv4_settings *sigv4 = &options->settings->u.remote_read.sigv4;
    const struct fetch_signing signing = {
        .aws = &sigv4->aws, .service = sigv4->service == NULL ? "aps" : sigv4->service};
    struct remote_reader *reader = mem_new(options->memory, sizeof *reader);
    if (reader == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a source");
    reader->answerer = (struct answerer){
        .ops = &ops, .name = options->settings->name, .no_exemplars = true, .no_metadata = true};
    reader->options = *options;
    reader->external.texts = &options->settings->external_labels;
    struct fetcher_options fetching = {*options, sigv4->given ? &signing : NULL};
    enum err e = find_labels_base(reader, why);
    if (e == OK) e = fetcher_new(&fetching, &reader->fetcher, why);
    if (e)
        free_reader(&reader->answerer);
    else
        *ret_answerer = &reader->answerer;
    return e;
}
