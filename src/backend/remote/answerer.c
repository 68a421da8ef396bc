/*
 * answerer.c - see answerer.h.
 *
 * A select is one request, whose response (STREAMED_XOR_CHUNKS) is read piece by piece, and put in
 * label order by ordered.c. The connection of the last response is kept for the next request.
 */
#include "backend/remote/remote_private.h"

#include <assert.h>
#include <strings.h>

#include "backend/remote/answerer.h"
#include "backend/source.h"
#include "base/text/texts.h"
#include "base/text/time_text.h"
#include "model/select.h"
#include "wire/remote/remote_read.h"

enum { HEADERS_MAX = 32, ANSWERER_REQUEST_BYTES_MAX = 64 << 20 };

struct remote_answerer {
    struct answerer answerer; /* first: it is handed out */
    struct remote_answerer_options options;
    struct http_client *spare; /* client of the last response, whose connection may still be open */
};

struct remote_view {
    struct view view; /* first */
    struct remote_answerer *of;
    struct budget *budget;
};

/* --- an answer -------------------------------------------------------------------------------- */

struct answerer_set {
    struct series_set set; /* first */
    struct remote_answerer *of;
    struct budget *budget;
    struct query_control *control;
    struct http_client *http;
    struct http_client_request request;
    struct http_client_answer answer;
    const char *headers[HEADERS_MAX];
    struct buf body;
    struct rr_client *reader;
    struct ordered *ordered;
    bool pull_failed;
    bool at_end;
    struct warnings warnings;
};

static enum err
take_notice(struct answerer_set *s, const struct rr_piece *piece, struct why *why)
{
    struct why warning;
    api_sentence(piece->text, &warning);
    if (piece->notice == RR_NOTICE_ERROR)
        return why_set(why, ERR_CORRUPT, "%s: %s", s->request.url, warning.text);
    if (piece->notice == RR_NOTICE_DOWNSAMPLED) {
        int64_t resolution_ms;
        bool valid = time_parse_duration(piece->text, &resolution_ms);
        if (valid && s->control != NULL) thinned_note(s->control, resolution_ms);
        return OK;
    }
    return warnings_add(&s->warnings, &warning);
}

/* Puts the URL before an error. A response that was damaged in transit may be complete the next
 * time. */
static enum err
bad_answer(const struct answerer_set *s, enum err e, struct why *why)
{
    return e == OK ? OK : why_prefix(why, e == ERR_CORRUPT ? ERR_IO : e, "%s", s->request.url);
}

/* Gets the next piece that is not a notice, for ordered_new(). */
static enum err
next_piece(void *context, struct rr_piece *ret, struct why *why)
{
    struct answerer_set *s = context;
    s->pull_failed = true;
    for (;;) {
        enum err e = bad_answer(s, rr_client_next(s->reader, ret, why), why);
        if (e) return e;
        if (ret->kind == RR_PIECE_NOTICE) {
            e = take_notice(s, ret, why);
            if (e) return e;
            continue;
        }
        if (ret->kind != RR_PIECE_NONE || s->at_end) break;
        struct bytes more;
        e = http_client_read(s->http, &more, why);
        if (e == OK && more.size == 0) {
            s->at_end = true;
            e = bad_answer(s, rr_client_end(s->reader, why), why);
        } else if (e == OK) {
            e = query_control_add_bytes(s->control, more.size, why);
            if (e == OK) e = rr_client_give(s->reader, more, why);
        }
        if (e == OK) e = query_control_check(s->control, why);
        if (e) return e;
    }
    s->pull_failed = false;
    return OK;
}

/* Returns the error of a call of `ordered`; those of next_piece() name the URL. */
static enum err
set_error(const struct answerer_set *s, enum err e, struct why *why)
{
    return s->pull_failed ? e : bad_answer(s, e, why);
}

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct answerer_set *s = (struct answerer_set *)set;
    enum err e = ordered_next(s->ordered, ret_labels, why);
    if (e) return set_error(s, e, why);
    return ret_labels->at == NULL ? OK : query_control_add_series(s->control, why);
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct answerer_set *s = (struct answerer_set *)set;
    enum err e = ordered_batch(s->ordered, ret_batch, why);
    if (e) return set_error(s, e, why);
    return ret_batch->count == 0 ? OK
                                 : query_control_add_samples(s->control, ret_batch->count, why);
}

static const char *
set_warning(struct series_set *set, uint32_t index)
{
    return warnings_at(&((struct answerer_set *)set)->warnings, index);
}

static void
set_free(struct series_set *set)
{
    struct answerer_set *s = (struct answerer_set *)set;
    if (s->http != NULL) http_client_close(s->http);
    http_client_free(s->of->spare);
    s->of->spare = s->http;
    rr_client_free(s->reader);
    ordered_free(s->ordered);
    buf_fini(&s->body);
    warnings_fini(&s->warnings);
    mem_free(s->budget, s, sizeof *s);
}

static const struct series_set_ops set_ops = {
    .next = set_next, .batch = set_batch, .warning = set_warning, .free = set_free};

/* --- requests --------------------------------------------------------------------------------- */

static enum err
put_body(struct answerer_set *s, const struct query_request *r, struct why *why)
{
    assert(r->set_count == 1);
    if (r->sets[0].count > RR_MATCHERS_MAX) {
        return why_set(why, ERR_LIMIT, "a selector has %u matchers: at most %d can be asked for",
                       r->sets[0].count, RR_MATCHERS_MAX);
    }
    return remote_request_put(&s->body, r->sets[0].matchers, r->sets[0].count, r->min_ms, r->max_ms,
                              true, false, why);
}

static void
put_headers(struct answerer_set *s, const struct query_request *r)
{
    static const char *const ours[] = {REMOTE_READ_HEADERS};
    unsigned n = 0;
    for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++)
        s->headers[n++] = ours[i];
    s->headers[n++] = r->partial ? "X-Firekeep-Notices: partial" : "X-Firekeep-Notices: errors";
    if (r->stored) s->headers[n++] = "X-Firekeep-Sources: none";
    const char *const *more = s->of->options.headers;
    for (; more != NULL && *more != NULL && n < HEADERS_MAX - 1; more++)
        s->headers[n++] = *more;
    s->headers[n] = NULL;
}

/* A response with the final header is not repeated. "damaged" is about the data of the request;
 * other errors are about all requests. */
static enum err
check_answer(const struct answerer_set *s, struct why *why)
{
    static const char streamed[] = "application/x-streamed-protobuf";
    const struct http_client_answer *a = &s->answer;
    if (a->status != 200) {
        bool damaged = a->status >= 500 && strcmp(a->wanted[1], "damaged") == 0;
        return why_set(why, damaged ? ERR_CORRUPT : ERR_INPUT, "%s: status %u: %s", s->request.url,
                       a->status, a->text);
    }
    if (strncasecmp(a->wanted[0], streamed, sizeof streamed - 1) == 0) return OK;
    return why_set(why, ERR_UNSUPPORTED, "%s does not respond with STREAMED_XOR_CHUNKS",
                   s->request.url);
}

static enum err
view_samples(struct view *view, const struct query_request *r, struct series_set **ret_set,
             struct why *why)
{
    static const char *const wanted[] = {"Content-Type", "X-Firekeep-Error", NULL};
    static const struct named_texts none = {NULL, 0};
    struct remote_view *v = (struct remote_view *)view;
    if (r->set_count != 1)
        return why_set(why, ERR_UNSUPPORTED,
                       "a remote server supports only one selector per query");
    struct answerer_set *s = mem_new(v->budget, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    s->set.ops = &set_ops;
    s->of = v->of;
    s->budget = v->budget;
    s->control = r->control;
    buf_init(&s->body, v->budget, ANSWERER_REQUEST_BYTES_MAX);
    warnings_init(&s->warnings, v->budget);
    put_headers(s, r);
    enum err e = put_body(s, r, why);
    s->http = v->of->spare;
    v->of->spare = NULL;
    if (e == OK && s->http == NULL) e = http_client_new(&v->of->options.http, &s->http, why);
    const struct ordered_options ordered = {.budget = v->budget,
                                            .window_bytes = ORDERED_WINDOW_BYTES,
                                            .min_ms = r->min_ms,
                                            .max_ms = r->max_ms,
                                            .external = {&none},
                                            .pull = next_piece,
                                            .context = s};
    if (e == OK && (rr_client_new(v->budget, &s->reader) || ordered_new(&ordered, &s->ordered)))
        e = why_set(why, ERR_NOMEM, "not enough memory for the response");
    if (e == OK) {
        s->request = (struct http_client_request){.url = v->of->options.url,
                                                  .headers = s->headers,
                                                  .wanted = wanted,
                                                  .final_header = "X-Firekeep-Error",
                                                  .body = buf_bytes(&s->body)};
        e = http_client_open(s->http, &s->request, &s->answer, why);
    }
    if (e == OK) e = check_answer(s, why);
    if (e) {
        set_free(&s->set);
        return e;
    }
    *ret_set = &s->set;
    return OK;
}

/* --- the answerer ----------------------------------------------------------------------------- */

static void
free_view(struct view *view)
{
    struct remote_view *v = (struct remote_view *)view;
    mem_free(v->budget, v, sizeof *v);
}

static const struct view_ops remote_view_ops = {
    .select = view_samples,
    .free = free_view,
};

static enum err
open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
          struct why *why)
{
    struct budget *budget = control == NULL ? NULL : control->budget;
    struct remote_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    v->view.ops = &remote_view_ops;
    v->of = (struct remote_answerer *)answerer;
    v->budget = budget;
    *ret_view = &v->view;
    return OK;
}

static void
free_answerer(struct answerer *answerer)
{
    struct remote_answerer *a = (struct remote_answerer *)answerer;
    http_client_free(a->spare);
    mem_free(NULL, a, sizeof *a);
}

enum err
remote_answerer_new(const struct remote_answerer_options *options, struct answerer **ret_answerer,
                    struct why *why)
{
    static const struct answerer_ops ops = {open_view, reader_any_time, free_answerer};
    struct remote_answerer *a = mem_new(NULL, sizeof *a);
    if (a == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    a->answerer = (struct answerer){.ops = &ops, .name = options->url};
    a->options = *options;
    *ret_answerer = &a->answerer;
    return OK;
}
