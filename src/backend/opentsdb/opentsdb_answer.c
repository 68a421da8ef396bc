/* opentsdb_answer.c - responses of OpenTSDB to a source. Format: "/api/query", "/api/suggest" and
 * "Errors" of OpenTSDB 2.4's HTTP API. */
#include "backend/opentsdb/opentsdb_reader.h"

#include "base/text/hex.h"
#include "base/text/time_text.h"
#include "wire/json/json_scan.h"
#include "wire/number.h"

enum { TSUID_BYTES_MAX = 4096 };

struct opentsdb_reading {
    struct scan scan;
    const struct opentsdb_sink *to;
    struct opentsdb_series series;
    struct why *why;
    enum err error; /* error that the sink returned */
};

static bool
goes_on(const struct opentsdb_reading *r)
{
    return r->error == OK && r->scan.bad == NULL;
}

static enum err
end_reading(struct scan *s, struct bytes answer, struct why *why)
{
    scan_end(s);
    if (s->bad == NULL) return OK;
    if (s->error == ERR_NOMEM) return why_set(why, ERR_NOMEM, "not enough memory for the response");
    bool is_cut = s->at == answer.at + answer.size; /* a whole one ends in its last bracket */
    return why_set(why, ERR_CORRUPT, "%s", is_cut ? "the response ends too early" : s->bad);
}

static void
read_tags(struct opentsdb_reading *r)
{
    struct opentsdb_series *series = &r->series;
    struct scan *s = &r->scan;
    scan_expect(s, '{');
    for (struct bytes name; scan_key(s, &name);) {
        if (series->tag_count == OPENTSDB_TAGS_MAX) {
            scan_fail(s, "a series has more than 1024 tags");
            return;
        }
        series->tags[series->tag_count++] = (struct label){name, scan_text(s)};
    }
}

/* Reads the TSUID; a series that is not an aggregate has one. */
static void
read_tsuid(struct opentsdb_reading *r)
{
    uint32_t count = 0;
    struct scan *s = &r->scan;
    scan_expect(s, '[');
    while (scan_item(s)) {
        struct bytes text = scan_text(s);
        bool right = text.size > 0 && text.size <= TSUID_BYTES_MAX;
        for (size_t i = 0; right && i < text.size; i++)
            right = hex_digit(text.at[i]) >= 0;
        if (!right) scan_fail(s, "a series has an invalid TSUID");
        if (count++ > 0) scan_fail(s, "a series is made of several");
        r->series.tsuid = text;
    }
}

/* Takes a number, or NaN and the like, which OpenTSDB writes with or without quotes. */
static struct bytes
take_digits(struct scan *s)
{
    static const struct bytes words[] = {SCAN_NAME("NaN"), SCAN_NAME("Infinity"),
                                         SCAN_NAME("-Infinity")};
    if (scan_peek(s) == '"') return scan_text(s);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (scan_takes(s, words[i])) return words[i];
    return scan_number(s);
}

/* Reads {"time": value, ...}. A value of null is not a point. */
static void
read_points(struct opentsdb_reading *r)
{
    struct scan *s = &r->scan;
    if (r->series.metric.size == 0 || r->series.tsuid.size == 0)
        scan_fail(s, "a series has no metric or no TSUID before its points");
    if (goes_on(r)) r->error = r->to->series(r->to->context, &r->series, r->why);
    scan_expect(s, '{');
    for (struct bytes time; goes_on(r) && scan_key(s, &time);) {
        int64_t t_ms;
        uint64_t bits;
        if (!time_parse_ms(time, &t_ms)) scan_fail(s, "a point has an invalid time");
        if (scan_peek(s) == 'n') {
            scan_null(s);
            continue;
        }
        struct bytes digits = take_digits(s);
        if (s->bad == NULL && !number_parse((const char *)digits.at, digits.size, &bits))
            scan_fail(s, "a point has a value that is not a number");
        if (s->bad == NULL) r->error = r->to->point(r->to->context, t_ms, bits, r->why);
    }
}

static void
read_one(struct opentsdb_reading *r)
{
    bool begun = false;
    struct scan *s = &r->scan;
    arena_reset(s->arena);
    r->series = (struct opentsdb_series){
        .tags = scan_alloc(s, OPENTSDB_TAGS_MAX * sizeof(struct label), "not enough memory")};
    scan_expect(s, '{');
    for (struct bytes key; goes_on(r) && scan_key(s, &key);) {
        bool is_metric = bytes_equal_text(key, "metric"), is_tags = bytes_equal_text(key, "tags"),
             is_tsuids = bytes_equal_text(key, "tsuids"), is_points = bytes_equal_text(key, "dps");
        if (begun && (is_metric || is_tags || is_tsuids || is_points)) {
            scan_fail(s, "points come before what they belong to");
        } else if (is_metric) {
            r->series.metric = scan_text(s);
        } else if (is_tags) {
            read_tags(r);
        } else if (is_tsuids) {
            read_tsuid(r);
        } else if (is_points) {
            begun = true;
            read_points(r);
        } else {
            scan_skip(s);
        }
    }
}

enum err
opentsdb_read_series(struct bytes answer, struct arena *scratch, const struct opentsdb_sink *to,
                     struct why *why)
{
    struct opentsdb_reading r = {.scan = scan_of(answer, scratch), .to = to, .why = why};
    scan_expect(&r.scan, '[');
    while (goes_on(&r) && scan_item(&r.scan))
        read_one(&r);
    return r.error ? r.error : end_reading(&r.scan, answer, why);
}

enum err
opentsdb_read_names(struct bytes answer, struct arena *scratch,
                    enum err (*name)(void *context, struct bytes name, struct why *why),
                    void *context, struct why *why)
{
    enum err e = OK;
    struct scan s = scan_of(answer, scratch);
    scan_expect(&s, '[');
    while (e == OK && scan_item(&s)) {
        arena_reset(scratch);
        struct bytes text = scan_text(&s);
        if (s.bad == NULL) e = name(context, text, why);
    }
    return e ? e : end_reading(&s, answer, why);
}

/* --- refusals --------------------------------------------------------------------------------- */

/* The message of {"error":{"code":400,"message":"...",...}}; empty if the body has another form. */
static struct bytes
message_of(struct bytes body, struct arena *scratch)
{
    struct scan s = scan_of(body, scratch);
    struct bytes message = {NULL, 0};
    scan_expect(&s, '{');
    for (struct bytes key; scan_key(&s, &key);) {
        if (!bytes_equal_text(key, "error") || scan_peek(&s) != '{') {
            scan_skip(&s);
            continue;
        }
        scan_expect(&s, '{');
        for (struct bytes inner; scan_key(&s, &inner);)
            if (bytes_equal_text(inner, "message") && scan_peek(&s) == '"')
                message = scan_text(&s);
            else
                scan_skip(&s);
    }
    return message; /* the body may be truncated after the message */
}

static bool
has(struct bytes text, const char *words)
{
    return text.size > 0 && memmem(text.at, text.size, words, strlen(words)) != NULL;
}

/* No such name for 'tagk': 'NAME' */
static enum opentsdb_refusal
unknown_of(struct bytes message, struct bytes *ret_name)
{
    static const struct {
        const char *words;
        enum opentsdb_refusal refusal;
    } kinds[] = {
        {"No such name for 'metrics': '", REFUSED_UNKNOWN_METRIC},
        {"No such name for 'tagk': '", REFUSED_UNKNOWN_TAG},
        {"No such name for 'tagv': '", REFUSED_UNKNOWN_VALUE},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && message.size > 0; i++) {
        size_t size = strlen(kinds[i].words);
        const uint8_t *at = memmem(message.at, message.size, kinds[i].words, size);
        if (at == NULL) continue;
        at += size;
        const uint8_t *end = message.at + message.size;
        const uint8_t *quote = memrchr(at, '\'', (size_t)(end - at));
        if (quote == NULL) continue;
        *ret_name = bytes_of(at, (size_t)(quote - at));
        return kinds[i].refusal;
    }
    return REFUSED_OTHERWISE;
}

enum opentsdb_refusal
opentsdb_refusal_of(unsigned status, struct bytes body, struct arena *scratch,
                    struct bytes *ret_name)
{
    struct bytes message = message_of(body, scratch);
    *ret_name = bytes_of(NULL, 0);
    if (status == 400 || status == 404) {
        enum opentsdb_refusal refusal = unknown_of(message, ret_name);
        if (refusal != REFUSED_OTHERWISE) return refusal;
    }
    bool too_much = status == 413 || has(message, "attempted to fetch more than our") ||
                    has(message, "your query timed out");
    return too_much ? REFUSED_TOO_MUCH : REFUSED_OTHERWISE;
}
