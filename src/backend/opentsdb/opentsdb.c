/*
 * opentsdb.c - destination type `opentsdb`: OpenTSDB 2.x, by POST /api/put?details.
 *
 * Bodies are small and not compressed: with OpenTSDB's defaults a body above 8 KiB fails, as it is
 * sent. Compressed, more points would fit; but a request should have about 50 points, which are
 * below 8 KiB anyway, and the size of a compressed body is known only after compression, when no
 * point can be removed.
 *
 * Points of a request fail one by one, and the response repeats the failed ones. They are found by
 * name and labels, decoded as wire/point/opentsdb_point.h defines, in any order of tags: a call has
 * one point of a series, even if relabelling made two series one. If a refusal belongs to no point
 * of the call, the refused point is unknown: the call is then halved, until it is found. Sending a
 * point twice changes nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "backend/common/http_common.h"
#include "backend/common/pack.h"
#include "base/array.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "wire/json/json_scan.h"
#include "wire/point/opentsdb_point.h"
#include "wire/shape.h"

enum {
    POINTS = 50, /* points in a request for each BODY_BYTES that its body may have */
    BODY_BYTES = 8000,
    POINTS_USUAL_MAX = 5000,
    POINTS_MAX = 100 * 1000,
    BODY_BYTES_USUAL_MAX = 1024 * 1024,
    LANES = 8,
    ANSWER_BYTES = 64 * 1024, /* limit of a response, plus ANSWER_FACTOR times the request */
    ANSWER_FACTOR = 8,
    WORDS_BYTES_MAX = 1024 * 1024,
    NAME_BYTES_MAX = 1024 * 1024,
    URL_BYTES_MAX = 64 * 1024,
    NUMBER_BYTES = 40,
};

struct opentsdb_writer {
    struct writer_base base;
    const struct opentsdb_settings *settings;
    struct http_calls_target target;
    struct http_headers headers;
    uint64_t seed;      /* seed of the hashes of series */
    struct buf put_url; /* with a NUL at its end, as the next */
    struct buf version_url;
    struct buf name; /* decoded name of a response's field; the next has its value */
    struct buf value;
};

/* The meaning of a refusal, by words in it. Labels have no blanks (opentsdb_point.h). */
struct refusal {
    const char *words;
    enum writer_verdict verdict;
    const char *reason;
};

static const struct refusal refusals[] = {
    /* not shown: searched for in responses */
    {"Please throttle", VERDICT_THROTTLED, "throttled"},
    {"Timeout exception", VERDICT_RETRY, "timeout"},
    {"Write timedout", VERDICT_RETRY, "timeout"},
    {"timed out", VERDICT_RETRY, "timeout"},
    {"Storage exception", VERDICT_RETRY, "storage"},
    {"Unknown metric", VERDICT_DEAD, "unknown_metric"},
    {"", VERDICT_DEAD, "refused"}, /* all other words */
};
/* The refusal of points that may be the ones meant, and its words. */
static const struct refusal unnamed_later = {
    "some points of the request failed, and the response does not say which", VERDICT_RETRY,
    "untold"};
static const struct refusal unnamed_throttled = {
    "some points of the request were throttled, and the response does not say which",
    VERDICT_THROTTLED, "throttled"};

struct point_entry {
    uint64_t series; /* hash; a call has one point of a series */
    int64_t t_ms;
    const struct refusal *refusal; /* NULL if the response does not mention the point */
    uint32_t words_at;             /* position in the call's `words` */
    uint32_t words_size;
};

struct opentsdb_call {
    struct buf body;
    bool closed; /* accepts no more points */
    struct point_entry *entries;
    uint32_t count;
    uint32_t capacity;
    struct table by_series; /* numbers of entries by hash */
    struct buf words;       /* the server's words about entries */
};

/* --- the writer ------------------------------------------------------------------------------- */

static void
opentsdb_fini(struct writer *writer)
{
    struct opentsdb_writer *w = (struct opentsdb_writer *)writer;
    http_headers_fini(&w->headers);
    buf_fini(&w->put_url);
    buf_fini(&w->version_url);
    buf_fini(&w->name);
    buf_fini(&w->value);
}

static enum err
opentsdb_init(struct writer *writer, struct why *why)
{
    struct opentsdb_writer *w = (struct opentsdb_writer *)writer;
    const struct writer_options *options = &w->base.options;
    w->settings = &options->settings->u.opentsdb;
    uint64_t body_bytes = w->settings->max_body;
    uint64_t points = body_bytes <= BODY_BYTES ? POINTS : body_bytes / (BODY_BYTES / POINTS);

    w->base.limits = (struct writer_limits){
        .one_of_a_series = true,
        .start_check = 1, /* servers log an empty put as an error */
        .concurrency = LANES,
        .samples = points < POINTS_USUAL_MAX ? (uint32_t)points : POINTS_USUAL_MAX,
        .bytes = body_bytes < BODY_BYTES_USUAL_MAX ? body_bytes : BODY_BYTES_USUAL_MAX,
        .samples_max = POINTS_MAX,
        .bytes_max = body_bytes,
    };
    err_ignore(env_random(options->env, &w->seed, sizeof w->seed),
               "without a seed the hashes are predictable");
    http_headers_init(&w->headers, options->memory);
    http_target_init(&w->target, &options->settings->http, options->settings->timeout_ms);
    buf_init(&w->put_url, options->memory, URL_BYTES_MAX);
    buf_init(&w->version_url, options->memory, URL_BYTES_MAX);
    buf_init(&w->name, options->memory, NAME_BYTES_MAX);
    buf_init(&w->value, options->memory, NAME_BYTES_MAX);
    const char *base = w->settings->url;
    http_url_begin(&w->put_url, base, "/api/put");
    http_url_param(&w->put_url, "details", (struct bytes){NULL, 0});
    http_url_end(&w->put_url, base);
    http_url_begin(&w->version_url, base, "/api/version");
    http_url_end(&w->version_url, base);
    enum err e = err_first(buf_error(&w->put_url), buf_error(&w->version_url));
    return e == ERR_LIMIT ? why_set(why, ERR_INPUT, "url is too long") : e;
}

/* --- series of a call ------------------------------------------------------------------------- */

/* The hash of a label. The sum of all is that of a series, whatever the order of labels. */
static uint64_t
hash_label(const struct opentsdb_writer *w, struct bytes name, struct bytes value)
{
    return hash_bytes(value, hash_bytes(name, w->seed));
}

/* The entry of a series; NULL if there is none. */
static struct point_entry *
find_series(const struct opentsdb_call *c, uint64_t series)
{
    for (uint32_t at = TABLE_START, i; table_next(&c->by_series, series, &at, &i);)
        if (c->entries[i].series == series) return &c->entries[i];
    return NULL;
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
opentsdb_call_init(struct writer *writer, struct writer_call *call)
{
    struct opentsdb_writer *w = (struct opentsdb_writer *)writer;
    struct opentsdb_call *c = (struct opentsdb_call *)call;
    /* There is room for a point that turns out to be too long after it was put. */
    buf_init(&c->body, w->base.options.memory, w->settings->max_body + NAME_BYTES_MAX);
    buf_init(&c->words, w->base.options.memory, WORDS_BYTES_MAX);
    return OK;
}

static void
opentsdb_call_fini(struct writer *writer, struct writer_call *call)
{
    struct opentsdb_writer *w = (struct opentsdb_writer *)writer;
    struct opentsdb_call *c = (struct opentsdb_call *)call;
    buf_fini(&c->body);
    buf_fini(&c->words);
    array_free(w->base.options.memory, c->entries, c->capacity);
    table_fini(&c->by_series, w->base.options.memory);
}

static void
opentsdb_call_clear(struct writer *writer, struct writer_call *call)
{
    struct opentsdb_call *c = (struct opentsdb_call *)call;
    (void)writer;
    buf_clear(&c->body);
    buf_clear(&c->words);
    if (c->count > 0) table_clear(&c->by_series);
    c->count = 0;
    c->closed = false;
}

/* Appends to the body, or leaves it unchanged. */
static enum writer_add
put_point(struct opentsdb_writer *w, struct opentsdb_call *c, const struct item *item,
          struct why *why)
{
    struct labelled_sample sample = item_sample(item);
    size_t before = c->body.size;
    uint64_t body_bytes_max = w->settings->max_body;
    buf_put_u8(&c->body, c->count == 0 ? '[' : ',');
    enum err e = opentsdb_point_put(&c->body, &sample, w->settings->max_tags, why);
    size_t size = c->body.size + 1; /* the bracket at its end included */
    bool is_long = e == ERR_LIMIT || (e == OK && size > body_bytes_max);
    if (e == OK && !is_long) return WRITER_ADDED;
    c->body.size = before;
    c->body.failed = OK;
    if (is_long && c->count > 0) return WRITER_FULL;
    if (is_long) {
        return writer_unfit(why, "the point is larger than max_body, %llu bytes",
                            (unsigned long long)body_bytes_max);
    }
    return e == ERR_INPUT ? WRITER_UNFIT : WRITER_NO_MEMORY;
}

static enum writer_add
opentsdb_add(struct writer *writer, struct writer_call *call, const struct item *item,
             uint32_t *ret_entry, struct why *why)
{
    struct opentsdb_writer *w = (struct opentsdb_writer *)writer;
    struct opentsdb_call *c = (struct opentsdb_call *)call;
    if (item->kind == ITEM_HISTOGRAM)
        return writer_unfit(why, "OpenTSDB cannot store native histograms");
    if (item->kind == ITEM_EXEMPLAR) return writer_unfit(why, "OpenTSDB cannot store exemplars");
    if (item->kind == ITEM_METADATA) return writer_unfit(why, "OpenTSDB cannot store metadata");
    struct budget *memory = w->base.options.memory;
    if (c->count == c->capacity) { /* the table first, with room for the whole array */
        if (!table_reserve(&c->by_series, memory, c->count + ARRAY_ITEMS_FIRST) ||
            !array_reserve(memory, &c->entries, &c->capacity, c->count + 1))
            return WRITER_NO_MEMORY;
    }
    struct cursor labels = cursor_of(item->labels);
    uint64_t series = 0;
    for (struct label label; labels_next(&labels, &label);)
        series += hash_label(w, label.name, label.value);
    if (find_series(c, series) != NULL) return WRITER_FULL;
    enum writer_add added = put_point(w, c, item, why);
    if (added != WRITER_ADDED) return added;
    *ret_entry = c->count;
    table_add(&c->by_series, series, c->count);
    c->entries[c->count++] = (struct point_entry){.series = series, .t_ms = item->t_ms};
    return WRITER_ADDED;
}

static uint64_t
opentsdb_bytes(const struct writer *writer, const struct writer_call *call)
{
    const struct opentsdb_call *c = (const struct opentsdb_call *)call;
    (void)writer;
    return c->body.size + (c->count > 0 && !c->closed);
}

/* --- requests --------------------------------------------------------------------------------- */

static void
send_request(struct opentsdb_writer *w, const char *method, const struct buf *url,
             struct bytes body, struct writer_step *step)
{
    const struct http_plain request = {
        .settings = &w->base.options.settings->http,
        .target = &w->target,
        .method = method,
        .url = (const char *)url->at,
        .content_type = "application/json",
        .basic_auth = &w->settings->basic_auth,
        .authorization = &w->settings->authorization,
        .body = body,
        .answer_bytes_max = ANSWER_BYTES + ANSWER_FACTOR * body.size,
    };
    http_send_plain(&w->headers, &request, step);
}

static enum err
close_body(struct opentsdb_call *c)
{
    if (!c->closed) buf_put_u8(&c->body, ']');
    enum err e = buf_error(&c->body);
    c->body.failed = OK;
    c->closed |= e == OK;
    return e;
}

static bool
opentsdb_maps(struct writer *writer, enum writer_mapped role, struct bytes text)
{
    struct buf *to = &((struct opentsdb_writer *)writer)->name;
    buf_clear(to);
    if (role == WRITER_MAPPED_LABEL_NAME)
        opentsdb_tag_put(to, text);
    else
        opentsdb_value_put(to, text);
    return !bytes_equal(buf_bytes(to), text);
}

/* --- responses -------------------------------------------------------------------------------- */

static const struct refusal *
refusal_of(struct bytes words)
{
    const struct refusal *r = refusals;
    while (memmem(words.at, words.size, r->words, strlen(r->words)) == NULL && r->words[0] != 0)
        r++;
    return r;
}

/* A point as the server echoes it. */
struct echo {
    uint64_t series;
    bool known;  /* all of it was decoded */
    double time; /* milliseconds or seconds; 0 if missing */
};

/* The response as a whole. */
struct put_summary {
    uint64_t failed;
    uint64_t timeouts;
    uint64_t errors;         /* number of listed errors */
    uint64_t timeout_errors; /* number of listed errors that are timeouts */
    bool stray_dead;         /* a refusal belongs to no point of the call */
    bool stray_later;
    bool stray_throttled;
    struct bytes message; /* message of an error of the whole call; empty without an error */
};

/* A number, with or without quotes; 0 for other values. */
static double
scan_any_number(struct scan *s)
{
    char text[NUMBER_BYTES];
    uint8_t c = scan_peek(s);
    if (c != '"' && c != '-' && (c < '0' || c > '9')) {
        scan_skip(s);
        return 0;
    }
    struct bytes digits = c == '"' ? scan_text(s) : scan_number(s);
    if (digits.size == 0 || digits.size >= sizeof text) return 0;
    memcpy(text, digits.at, digits.size);
    text[digits.size] = 0;
    return strtod(text, NULL);
}

static uint64_t
scan_count(struct scan *s)
{
    double count = scan_any_number(s);
    return count >= 1 && count < 1e15 ? (uint64_t)count : 0;
}

/* Adds a label of the point in a response to its hash, or the metric's name if `name` is empty.
 * Without memory the point is not known. */
static void
take_label(struct opentsdb_writer *w, struct bytes name, struct bytes value, struct echo *echo)
{
    buf_clear(&w->name);
    buf_clear(&w->value);
    enum err e = OK;
    if (name.size == 0)
        buf_put_text(&w->name, "__name__");
    else
        e = opentsdb_tag_get(&w->name, name);
    if (e == OK) e = opentsdb_value_get(&w->value, value);
    echo->known &= e == OK && buf_error(&w->name) == OK;
    echo->series += hash_label(w, buf_bytes(&w->name), buf_bytes(&w->value));
}

static void
take_tags(struct opentsdb_writer *w, struct scan *s, struct echo *echo)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        if (key.size == 0 || scan_peek(s) != '"') {
            echo->known = false;
            scan_skip(s);
            continue;
        }
        take_label(w, key, scan_text(s), echo);
    }
}

static void
take_datapoint(struct opentsdb_writer *w, struct scan *s, struct echo *echo)
{
    struct bytes key;
    echo->known = scan_peek(s) == '{';
    if (!echo->known) {
        scan_skip(s);
        return;
    }
    scan_expect(s, '{');
    while (scan_key(s, &key))
        if (bytes_equal_text(key, "metric") && scan_peek(s) == '"')
            take_label(w, (struct bytes){NULL, 0}, scan_text(s), echo);
        else if (bytes_equal_text(key, "tags") && scan_peek(s) == '{')
            take_tags(w, s, echo);
        else if (bytes_equal_text(key, "timestamp"))
            echo->time = scan_any_number(s);
        else
            scan_skip(s);
}

/* {"datapoint":{...},"error":"..."} */
static void
take_error(struct opentsdb_writer *w, struct opentsdb_call *c, struct scan *s,
           struct put_summary *summary)
{
    struct echo echo = {0};
    struct bytes key, words = {(const uint8_t *)"", 0};
    scan_expect(s, '{');
    while (scan_key(s, &key))
        if (bytes_equal_text(key, "datapoint"))
            take_datapoint(w, s, &echo);
        else if (bytes_equal_text(key, "error") && scan_peek(s) == '"')
            words = scan_text(s);
        else
            scan_skip(s);
    if (s->bad != NULL) return;
    const struct refusal *refusal = refusal_of(words);
    /* A call of one point needs no echo; NULL if the point is not in the call. */
    struct point_entry *entry = c->count == 1 ? c->entries : NULL;
    if (c->count > 1 && echo.known) entry = find_series(c, echo.series);
    bool same_time = c->count == 1 || echo.time == 0 || entry == NULL ||
                     echo.time == (double)entry->t_ms || echo.time * 1000 == (double)entry->t_ms;
    if (!same_time) entry = NULL;
    summary->errors++;
    summary->timeout_errors += strcmp(refusal->reason, "timeout") == 0;
    if (entry != NULL) {
        /* A permanent refusal outweighs a temporary one. */
        if (entry->refusal != NULL && entry->refusal->verdict == VERDICT_DEAD) return;
        entry->refusal = refusal;
        entry->words_at = (uint32_t)c->words.size;
        if (words.size > WRITER_ANSWER_BYTES) words.size = WRITER_ANSWER_BYTES;
        buf_put_bytes(&c->words, words);
        entry->words_size = (uint32_t)c->words.size - entry->words_at;
        return;
    }
    summary->stray_dead |= refusal->verdict == VERDICT_DEAD;
    summary->stray_later |= refusal->verdict == VERDICT_RETRY;
    summary->stray_throttled |= refusal->verdict == VERDICT_THROTTLED;
}

/* {"code":400,"message":"...","details":"...","trace":"..."} */
static void
take_message(struct scan *s, struct put_summary *summary)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key))
        if (bytes_equal_text(key, "message") && scan_peek(s) == '"')
            summary->message = scan_text(s);
        else
            scan_skip(s);
}

static void
forget_refusals(struct opentsdb_call *c)
{
    buf_clear(&c->words);
    for (uint32_t i = 0; i < c->count; i++) {
        c->entries[i].refusal = NULL;
        c->entries[i].words_size = 0;
    }
}

/* --- verdicts --------------------------------------------------------------------------------- */

/* Every point that the response does not mention may be the refused one. */
static void
doubt_rest(struct opentsdb_call *c, const struct refusal *refusal)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (c->entries[i].refusal == NULL) c->entries[i].refusal = refusal;
}

/* An error of the request as a whole. */
static void
judge_message(const struct put_summary *summary, struct writer_step *step)
{
    /* not shown: searched for in responses */
    static const char trap[] = "Chunked request not supported";
    struct bytes message = summary->message;
    const struct refusal *refusal = refusal_of(message);
    step_answer(step, message);
    if (memmem(message.at, message.size, trap, strlen(trap)) != NULL) {
        step_done(
            step, VERDICT_TOO_LARGE, "chunked",
            "Chunked request not supported: the request is too large for OpenTSDB; lower max_body");
    } else if (refusal->verdict != VERDICT_DEAD) {
        step->verdict = refusal->verdict;
        snprintf(step->reason, sizeof step->reason, "%s", refusal->reason);
    }
}

static void
judge_summary(struct opentsdb_call *c, const struct put_summary *summary, struct writer_step *step)
{
    uint64_t unnamed = summary->failed > summary->errors ? summary->failed - summary->errors : 0;
    bool timeouts_unnamed = summary->timeouts > summary->timeout_errors;
    if (summary->stray_dead || unnamed > summary->timeouts) {
        step->verdict = VERDICT_SOME_DEAD;
        return;
    }
    if (summary->stray_throttled)
        doubt_rest(c, &unnamed_throttled);
    else if (summary->stray_later || unnamed > 0 || timeouts_unnamed)
        doubt_rest(c, &unnamed_later);
    for (uint32_t i = 0; i < c->count; i++)
        if (c->entries[i].refusal != NULL) step->verdict = VERDICT_MIXED;
}

/* Reads responses with 2xx and 400. A response that is not from OpenTSDB is judged by its status.
 */
static void
opentsdb_judge(struct writer *writer, struct writer_call *call,
               const struct http_call_answer *answer, struct writer_step *step)
{
    struct opentsdb_writer *w = (struct opentsdb_writer *)writer;
    struct opentsdb_call *c = (struct opentsdb_call *)call;
    http_judge(answer, step);
    bool by_status = step->verdict != VERDICT_DELIVERED && answer->status != 400;
    forget_refusals(c);
    if (answer->failure != HTTP_CALL_ANSWERED || by_status || answer->body.size == 0) return;

    struct put_summary summary = {.failed = 0};
    struct bytes key;
    struct arena arena;
    arena_init(&arena, w->base.options.memory, 4 * answer->body.size + ANSWER_BYTES, 0);
    struct scan s = scan_of(answer->body, &arena);
    scan_expect(&s, '{');
    while (scan_key(&s, &key)) {
        if (bytes_equal_text(key, "failed")) {
            summary.failed = scan_count(&s);
        } else if (bytes_equal_text(key, "timeouts")) {
            summary.timeouts = scan_count(&s);
        } else if (bytes_equal_text(key, "error") && scan_peek(&s) == '{') {
            take_message(&s, &summary);
        } else if (bytes_equal_text(key, "errors") && scan_peek(&s) == '[') {
            scan_expect(&s, '[');
            while (scan_item(&s))
                take_error(w, c, &s, &summary);
        } else {
            scan_skip(&s);
        }
    }
    scan_end(&s);
    if (s.bad != NULL) {
        forget_refusals(c);
        if (s.error == ERR_NOMEM) step_done(step, VERDICT_RETRY, "no_memory", s.bad);
    } else if (summary.message.size > 0 && answer->status == 400) {
        judge_message(&summary, step);
    } else {
        judge_summary(c, &summary, step);
    }
    arena_fini(&arena);
}

static void
opentsdb_begin(struct writer *writer, struct writer_call *call, struct writer_step *step)
{
    struct opentsdb_writer *w = (struct opentsdb_writer *)writer;
    struct opentsdb_call *c = (struct opentsdb_call *)call;
    if (close_body(c) != OK)
        step_no_memory(step, "a request");
    else
        send_request(w, "POST", &w->put_url, buf_bytes(&c->body), step);
}

static void
opentsdb_entry(const struct writer *writer, const struct writer_call *call, uint32_t number,
               struct writer_entry *ret_entry)
{
    const struct opentsdb_call *c = (const struct opentsdb_call *)call;
    (void)writer;
    const struct point_entry *entry = &c->entries[number];
    struct writer_step words = {.answer = "refused without a reason"};
    *ret_entry = (struct writer_entry){.verdict = VERDICT_DELIVERED};
    if (entry->refusal == NULL) return;
    struct bytes said = entry->words_size > 0
                            ? bytes_of(c->words.at + entry->words_at, entry->words_size)
                            : bytes_of_text(entry->refusal->words);
    if (said.size > 0) step_answer(&words, said);
    ret_entry->verdict = entry->refusal->verdict;
    snprintf(ret_entry->reason, sizeof ret_entry->reason, "%s", entry->refusal->reason);
    memcpy(ret_entry->answer, words.answer, sizeof ret_entry->answer);
}

/* --- permission check ------------------------------------------------------------------------- */

static bool
opentsdb_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
               struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES])
{
    struct opentsdb_writer *w = (struct opentsdb_writer *)writer;
    static const struct bytes nothing = {NULL, 0};
    if (number > 1) return false;
    snprintf(what, WRITER_ANSWER_BYTES, "%s",
             number == 0 ? "response from /api/version" : "an empty write");
    if (answer != NULL)
        http_judge(answer, ret_step);
    else if (number == 0)
        send_request(w, "GET", &w->version_url, nothing, ret_step);
    else
        send_request(w, "POST", &w->put_url, bytes_of_text("[]"), ret_step);
    /* Other servers with /api/put may have no version; VictoriaMetrics answers 400. */
    unsigned status = answer == NULL ? 0 : answer->status;
    bool has_none = number == 0 && (status == 400 || status == 404 || status == 405);
    if (has_none) {
        step_done(ret_step, VERDICT_DELIVERED, "", "the server does not report a version");
        ret_step->is_unproven = true;
    }
    if (number == 1 && status == 400) step_unproven(ret_step); /* "No datapoints found" */
    return true;
}

const struct writer_class opentsdb_writer = {
    .type = DESTINATION_OPENTSDB,
    .writer_bytes = sizeof(struct opentsdb_writer),
    .call_bytes = sizeof(struct opentsdb_call),
    .init = opentsdb_init,
    .fini = opentsdb_fini,
    .call_init = opentsdb_call_init,
    .call_fini = opentsdb_call_fini,
    .call_clear = opentsdb_call_clear,
    .add = opentsdb_add,
    .bytes = opentsdb_bytes,
    .maps = opentsdb_maps,
    .begin = opentsdb_begin,
    .judge = opentsdb_judge,
    .entry = opentsdb_entry,
    .check = opentsdb_check,
};
