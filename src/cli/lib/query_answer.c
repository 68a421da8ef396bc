/*
 * query_answer.c - parses the answer recursively while a window moves over it:
 *
 *     {"status":"success","data":{"resultType":"matrix","result":[
 *         {"metric":{...},"values":[[1.5,"2"],...],"histograms":[[1.5,{...}],...]},...]},
 *      "warnings":["..."],"infos":["..."]}
 *
 * The call stack represents the objects open around the window; within it, a point or the labels of
 * a series is a whole value that json_scan.h reads. Members may have any order, with two exceptions
 * that hold for all servers: resultType precedes result, and metric precedes its points.
 */
#include "cli/lib/query_answer.h"

#include "base/text/time_text.h"
#include "model/labels.h"
#include "wire/json/json_scan.h"

enum {
    VALUE_BYTES_MAX = 16 << 20,
    PIECE_BYTES_MAX = 1 << 20, /* limit of a piece from the source */
    LABELS_MAX = 4096,
};

struct answer_reading {
    const struct query_answer_source *source;
    struct query_sink *sink;
    struct why *why;
    enum err error; /* sticky */
    struct buf window;
    size_t at;             /* offset in the window */
    uint64_t before_bytes; /* bytes before the window */
    bool ended;
    struct arena arena; /* holds the current value */
    struct buf labels;
};

/* --- the window ------------------------------------------------------------------------------- */

static bool
answer_fail(struct answer_reading *r, enum err e, const char *what)
{
    if (r->error) return false;
    r->error = why_set(r->why, e, "the response is not an answer to a query: %s at byte %llu", what,
                       (unsigned long long)(r->before_bytes + r->at + 1));
    return false;
}

/* Keeps an error that has its own sentence; returns true on OK. */
static bool
took(struct answer_reading *r, enum err e)
{
    if (r->error == OK) r->error = e;
    return r->error == OK;
}

/* Adds bytes to the window. False: the end, or an error. */
static bool
answer_fill(struct answer_reading *r)
{
    struct bytes piece;
    if (r->error || r->ended) return false;
    size_t rest = r->window.size - r->at;
    if (rest > VALUE_BYTES_MAX) return answer_fail(r, ERR_LIMIT, "a value of more than 16 MiB");
    if (rest > 0 && r->at > 0) memmove(r->window.at, r->window.at + r->at, rest);
    r->before_bytes += r->at;
    r->window.size = rest;
    r->at = 0;
    if (!took(r, r->source->read(r->source->context, &piece, r->why))) return false;
    r->ended = piece.size == 0;
    buf_put_bytes(&r->window, piece);
    if (buf_error(&r->window)) {
        r->error = why_set(r->why, ERR_NOMEM, "not enough memory for the response");
    }
    return r->error == OK && !r->ended;
}

/* Returns the next character that is not blank, without taking it; 0: the end. */
static uint8_t
answer_peek(struct answer_reading *r)
{
    for (;;) {
        if (r->error || (r->at == r->window.size && !answer_fill(r))) return 0;
        uint8_t c = r->at < r->window.size ? r->window.at[r->at] : 0;
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return c;
        r->at++;
    }
}

/* Fails because something else, or nothing, follows. */
static bool
missing(struct answer_reading *r, const char *expected)
{
    bool over = r->ended && r->at == r->window.size;
    return over ? answer_fail(r, ERR_IO, "it ends too early")
                : answer_fail(r, ERR_UNSUPPORTED, expected);
}

static bool
answer_expect(struct answer_reading *r, char wanted, const char *otherwise)
{
    if (answer_peek(r) != (uint8_t)wanted) return missing(r, otherwise);
    r->at++;
    return true;
}

/* --- values ----------------------------------------------------------------------------------- */

/* The state of a search for the end of a value. */
struct edge {
    uint32_t depth;
    bool in_string;
    bool escaped;
    bool begun;
};

/* Scans `size` bytes. Returns the number that belong to the value; *ret_done: it ends there. */
static size_t
edge_find(struct edge *x, const uint8_t *at, size_t size, bool *ret_done)
{
    *ret_done = false;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = at[i];
        bool plain = false;
        if (x->in_string) {
            x->in_string = x->escaped || c != '"';
            x->escaped = c == '\\' && !x->escaped;
        } else if (c == '"') {
            x->in_string = true;
        } else if (c == '{' || c == '[') {
            x->depth++;
        } else if (x->depth == 0) { /* a number or a word ends before the next character */
            *ret_done = x->begun && strchr(",]} \t\n\r", c) != NULL;
            if (*ret_done) return i;
            plain = true;
        } else if (c == '}' || c == ']') {
            x->depth--;
        }
        x->begun = true;
        *ret_done = !plain && !x->in_string && x->depth == 0;
        if (*ret_done) return i + 1;
    }
    return size;
}

/* Takes the next value, whole; a view until the next call. */
static bool
answer_take_value(struct answer_reading *r, struct bytes *ret)
{
    struct edge edge = {0};
    size_t seen = 0;
    bool done = false;
    arena_reset(&r->arena);
    if (answer_peek(r) == 0) return missing(r, "expected a value");
    do {
        size_t left = r->window.size - r->at - seen;
        seen += edge_find(&edge, r->window.at + r->at + seen, left, &done);
    } while (!done && answer_fill(r));
    if (r->error) return false;
    if (!done) return answer_fail(r, ERR_IO, "it ends too early");
    *ret = bytes_of(r->window.at + r->at, seen);
    r->at += seen;
    return true;
}

/* Passes the next value to the sink as it is, or skips it. */
static bool
pass_value(struct answer_reading *r, bool wanted)
{
    struct edge edge = {0};
    bool done = false;
    if (answer_peek(r) == 0) return missing(r, "expected a value");
    do {
        struct bytes piece = bytes_of(r->window.at + r->at, r->window.size - r->at);
        piece.size = edge_find(&edge, piece.at, piece.size, &done);
        if (wanted && !took(r, r->sink->ops->data(r->sink, piece, r->why))) return false;
        r->at += piece.size;
    } while (!done && answer_fill(r));
    if (r->error) return false;
    return done ? true : answer_fail(r, ERR_IO, "it ends too early");
}

/* Takes the comma before all but the first item, or the closing character. */
static bool
answer_another(struct answer_reading *r, char close, bool *first)
{
    if (answer_peek(r) == (uint8_t)close) {
        r->at++;
        return false;
    }
    if (!*first && !answer_expect(r, ',', "expected ','")) return false;
    *first = false;
    return r->error == OK;
}

/* Finds the next member of an object among `names`, which end at a NULL; returns their number
 * for another name. False: the object is closed, or an error. */
static bool
next_member(struct answer_reading *r, bool *first, const char *const *names, unsigned *ret_which)
{
    struct bytes text;
    if (!answer_another(r, '}', first) || !answer_take_value(r, &text)) return false;
    struct scan s = scan_of(text, &r->arena);
    struct bytes key = scan_text(&s);
    if (s.bad != NULL) return answer_fail(r, ERR_UNSUPPORTED, "expected a key");
    unsigned i = 0;
    while (names[i] != NULL && !bytes_equal_text(key, names[i]))
        i++;
    *ret_which = i;
    return answer_expect(r, ':', "expected ':'");
}

/* --- points ----------------------------------------------------------------------------------- */

static double
scan_quoted_number(struct scan *s)
{
    uint64_t bits = 0;
    struct bytes text = scan_text(s);
    if (s->bad == NULL && !number_parse((const char *)text.at, text.size, &bits)) {
        scan_fail(s, "expected a number in quotes");
    }
    return bits_double(bits);
}

static int64_t
scan_seconds(struct scan *s)
{
    int64_t ms = 0;
    struct bytes digits = scan_number(s);
    if (s->bad == NULL && !time_parse_seconds(digits, &ms)) scan_fail(s, "expected a time");
    return ms;
}

/* Moves to the next item of an array, which must have one. */
static void
scan_next(struct scan *s)
{
    if (!scan_item(s)) scan_fail(s, "expected another item");
}

static void
scan_array_end(struct scan *s)
{
    if (scan_item(s)) scan_fail(s, "expected ']'");
}

/* [bounds, "lower", "upper", "count"] */
static struct fhist_bucket
scan_bucket(struct scan *s)
{
    struct fhist_bucket b = {0};
    scan_expect(s, '[');
    scan_next(s);
    struct bytes code = scan_number(s);
    char digit = s->bad == NULL && code.size == 1 ? (char)code.at[0] : 'x';
    if (digit < '0' || digit > '3') scan_fail(s, "unknown bounds of a bucket");
    b.has_lower = digit == '1' || digit == '3';
    b.has_upper = digit == '0' || digit == '3';
    scan_next(s);
    b.lower = scan_quoted_number(s);
    scan_next(s);
    b.upper = scan_quoted_number(s);
    scan_next(s);
    b.count = scan_quoted_number(s);
    scan_array_end(s);
    return b;
}

static void
scan_buckets(struct scan *s, struct query_histogram *h)
{
    struct fhist_bucket *buckets = NULL;
    scan_expect(s, '[');
    while (scan_item(s)) {
        struct fhist_bucket b = scan_bucket(s);
        struct fhist_bucket *more = arena_push(s->arena, buckets, h->bucket_count, sizeof b);
        if (more == NULL) {
            scan_fail(s, "not enough memory for a histogram");
            s->error = ERR_NOMEM;
            return;
        }
        buckets = more;
        buckets[h->bucket_count++] = b;
    }
    h->buckets = buckets;
}

static void
scan_histogram(struct scan *s, struct query_histogram *h)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        if (bytes_equal_text(key, "count"))
            h->count = scan_quoted_number(s);
        else if (bytes_equal_text(key, "sum"))
            h->sum = scan_quoted_number(s);
        else if (bytes_equal_text(key, "buckets"))
            scan_buckets(s, h);
        else
            scan_skip(s);
    }
}

static bool
scanned(struct answer_reading *r, struct scan *s)
{
    scan_end(s);
    return s->bad == NULL
               ? true
               : answer_fail(r, s->error == ERR_INPUT ? ERR_UNSUPPORTED : s->error, s->bad);
}

/* [time, "value"], or [time, {...}] */
static bool
read_point(struct answer_reading *r, bool histogram)
{
    struct bytes text;
    struct query_histogram h = {0};
    struct query_point p = {.histogram = histogram ? &h : NULL};
    if (!answer_take_value(r, &text)) return false;
    struct scan s = scan_of(text, &r->arena);
    scan_expect(&s, '[');
    scan_next(&s);
    p.t_ms = scan_seconds(&s);
    scan_next(&s);
    if (histogram)
        scan_histogram(&s, &h);
    else
        p.value = scan_quoted_number(&s);
    scan_array_end(&s);
    return scanned(r, &s) && took(r, r->sink->ops->point(r->sink, &p, r->why));
}

static void
read_points(struct answer_reading *r, bool histograms)
{
    bool first = true;
    if (!answer_expect(r, '[', "expected an array of points")) return;
    while (answer_another(r, ']', &first) && read_point(r, histograms))
        ;
}

/* --- series ----------------------------------------------------------------------------------- */

static bool
answer_build_labels(struct answer_reading *r, struct label *given, uint32_t count)
{
    static const struct labels_limits limits = {LABELS_MAX, VALUE_BYTES_MAX, VALUE_BYTES_MAX};
    buf_clear(&r->labels);
    enum reject verdict =
        count == 0 ? REJECT_NONE : labels_build(given, count, &limits, &r->labels);
    if (buf_error(&r->labels)) {
        return took(r, why_set(r->why, ERR_NOMEM, "not enough memory for labels"));
    }
    /* A label without a value is dropped; if all are, the series has no labels. */
    bool valid = verdict == REJECT_NONE || verdict == REJECT_EMPTY_LABELS;
    return valid ? true : answer_fail(r, ERR_UNSUPPORTED, "invalid labels");
}

static bool
answer_read_labels(struct answer_reading *r)
{
    struct bytes text, name;
    struct label *given = NULL;
    uint32_t count = 0;
    if (!answer_take_value(r, &text)) return false;
    struct scan s = scan_of(text, &r->arena);
    scan_expect(&s, '{');
    while (scan_key(&s, &name)) {
        struct label *more = arena_push(&r->arena, given, count, sizeof *given);
        if (more == NULL) {
            return took(r, why_set(r->why, ERR_NOMEM, "not enough memory for labels"));
        }
        given = more;
        given[count++] = (struct label){name, scan_text(&s)};
    }
    return scanned(r, &s) && answer_build_labels(r, given, count) &&
           took(r, r->sink->ops->series(r->sink, buf_bytes(&r->labels), r->why));
}

static bool
answer_series(struct answer_reading *r)
{
    enum { METRIC, VALUE, HISTOGRAM, VALUES, HISTOGRAMS };
    static const char *const names[] = {"metric", "value",      "histogram",
                                        "values", "histograms", NULL};
    bool first = true, named = false;
    unsigned which;
    if (!answer_expect(r, '{', "expected a series")) return false;
    while (next_member(r, &first, names, &which)) {
        if (which >= VALUE && which <= HISTOGRAMS && !named) {
            return answer_fail(r, ERR_UNSUPPORTED, "points before their labels");
        }
        switch (which) {
        case METRIC:
            named = true;
            (void)answer_read_labels(r);
            break;
        case VALUE:
        case HISTOGRAM:
            (void)read_point(r, which == HISTOGRAM);
            break;
        case VALUES:
        case HISTOGRAMS:
            read_points(r, which == HISTOGRAMS);
            break;
        default:
            (void)pass_value(r, false);
        }
    }
    return r->error == OK;
}

/* --- the answer ------------------------------------------------------------------------------- */

static bool
read_string(struct answer_reading *r)
{
    struct bytes text;
    if (!answer_take_value(r, &text)) return false;
    struct scan s = scan_of(text, &r->arena);
    scan_expect(&s, '[');
    scan_next(&s);
    int64_t t_ms = scan_seconds(&s);
    scan_next(&s);
    struct bytes string = scan_text(&s);
    scan_array_end(&s);
    return scanned(r, &s) && took(r, r->sink->ops->string(r->sink, t_ms, string, r->why));
}

static bool
read_type(struct answer_reading *r, enum promql_type *ret)
{
    struct bytes text;
    if (!answer_take_value(r, &text)) return false;
    struct scan s = scan_of(text, &r->arena);
    struct bytes word = scan_text(&s);
    for (enum promql_type type = PROMQL_SCALAR; type <= PROMQL_MATRIX; type++) {
        *ret = type;
        if (bytes_equal_text(word, promql_type_word(type))) return true;
    }
    return answer_fail(r, ERR_UNSUPPORTED, "unknown resultType");
}

static void
read_result(struct answer_reading *r, enum promql_type type)
{
    bool first = true;
    if (!took(r, r->sink->ops->begin(r->sink, type, r->why))) return;
    if (type == PROMQL_STRING) {
        (void)read_string(r);
    } else if (type == PROMQL_SCALAR) {
        if (took(r, r->sink->ops->series(r->sink, bytes_of("", 0), r->why)))
            (void)read_point(r, false);
    } else if (answer_expect(r, '[', "expected an array of series")) {
        while (answer_another(r, ']', &first) && answer_series(r))
            ;
    }
}

static void
read_data(struct answer_reading *r)
{
    enum { TYPE, RESULT };
    static const char *const names[] = {"resultType", "result", NULL};
    bool first = true, known = false;
    enum promql_type type = PROMQL_VECTOR;
    unsigned which;
    if (!answer_expect(r, '{', "expected an object")) return;
    while (next_member(r, &first, names, &which)) {
        if (which == TYPE)
            known = read_type(r, &type);
        else if (which == RESULT && !known)
            answer_fail(r, ERR_UNSUPPORTED, "result before resultType");
        else if (which == RESULT)
            read_result(r, type);
        else
            (void)pass_value(r, false);
    }
}

static void
read_notes(struct answer_reading *r, enum promql_note kind)
{
    struct bytes text;
    if (!answer_take_value(r, &text)) return;
    struct scan s = scan_of(text, &r->arena);
    if (scan_peek(&s) == 'n') { /* null: the list is empty */
        scan_null(&s);
    } else {
        scan_expect(&s, '[');
        while (scan_item(&s)) {
            struct bytes sentence = scan_text(&s);
            if (s.bad == NULL) r->sink->ops->note(r->sink, kind, sentence);
        }
    }
    (void)scanned(r, &s);
}

static void
answer_object(struct answer_reading *r)
{
    enum { DATA, WARNINGS, INFOS };
    static const char *const names[] = {"data", "warnings", "infos", NULL};
    bool first = true, any = false;
    unsigned which;
    if (!answer_expect(r, '{', "expected an object")) return;
    while (next_member(r, &first, names, &which)) {
        if (which == DATA && r->sink->ops->data != NULL)
            (void)pass_value(r, true);
        else if (which == DATA)
            read_data(r);
        else if (which == WARNINGS || which == INFOS)
            read_notes(r, which == WARNINGS ? PROMQL_WARNING : PROMQL_INFO);
        else
            (void)pass_value(r, false);
        any |= which == DATA;
    }
    if (r->error == OK && !any) answer_fail(r, ERR_UNSUPPORTED, "it has no data");
    if (r->error == OK && answer_peek(r) != 0)
        answer_fail(r, ERR_UNSUPPORTED, "unexpected text after it");
}

enum err
query_answer_read(const struct query_answer_source *source, struct query_sink *sink,
                  struct why *why)
{
    struct answer_reading r = {.source = source, .sink = sink, .why = why};
    buf_init(&r.window, NULL, VALUE_BYTES_MAX + PIECE_BYTES_MAX);
    buf_init(&r.labels, NULL, 2 * VALUE_BYTES_MAX);
    arena_init(&r.arena, NULL, 8 * VALUE_BYTES_MAX, 0);
    answer_object(&r);
    arena_fini(&r.arena);
    buf_fini(&r.labels);
    buf_fini(&r.window);
    return r.error;
}

bool
query_answer_refusal(struct bytes body, struct buf *sentence, bool *ret_bad_data)
{
    enum { STATUS, TYPE, ERROR, COUNT };
    static const char *const names[COUNT] = {"status", "errorType", "error"};
    struct bytes key, values[COUNT] = {{NULL, 0}};
    struct arena arena;
    arena_init(&arena, NULL, VALUE_BYTES_MAX, 0);
    struct scan s = scan_of(body, &arena);
    scan_expect(&s, '{');
    while (scan_key(&s, &key)) {
        unsigned i = 0;
        while (i < COUNT && !bytes_equal_text(key, names[i]))
            i++;
        if (i < COUNT)
            values[i] = scan_text(&s);
        else
            scan_skip(&s);
    }
    bool found =
        s.bad == NULL && bytes_equal_text(values[STATUS], "error") && values[ERROR].size > 0;
    if (found) buf_put_bytes(sentence, values[ERROR]);
    *ret_bad_data = found && bytes_equal_text(values[TYPE], "bad_data");
    arena_fini(&arena);
    return found;
}

struct answer_sentence
query_answer_sentence(const struct http_client_answer *answer)
{
    struct answer_sentence ret = {""};
    struct buf to = {.at = (uint8_t *)ret.text, .limit = sizeof ret.text - 1};
    bool unwanted;
    to.capacity = to.limit;
    if (!query_answer_refusal(bytes_of_text(answer->text), &to, &unwanted)) {
        memcpy(ret.text, answer->text, sizeof ret.text);
    }
    return ret;
}
