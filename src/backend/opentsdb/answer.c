/* answer.c - see answer.h. Format: "/api/query", "/api/suggest" and "Errors" of OpenTSDB 2.4's HTTP
 * API. A point is given as soon as it is read: a response may have millions. */
#include "backend/opentsdb/opentsdb_reader.h"

#include "base/text/hex.h"
#include "base/text/time_text.h"
#include "wire/json/json_scan.h"
#include "wire/number.h"

enum { TSUID_BYTES_MAX = 4096 };

struct opentsdb_reading {
    struct json_pieces *p;
    struct arena *scratch;
    const struct opentsdb_sink *to;
    struct opentsdb_series series;
    struct why *why;
    enum err error; /* error that the sink returned */
};

static bool
goes_on(const struct opentsdb_reading *r)
{
    return r->error == OK && r->p->failed == OK;
}

static enum err
end_reading(const struct json_pieces *p, struct why *why)
{
    return p->failed == OK ? OK : why_set(why, p->failed, "%s", p->why.text);
}

static struct bytes
keep_text(struct opentsdb_reading *r, struct bytes text)
{
    struct bytes kept = arena_copy(r->scratch, text);
    if (kept.at == NULL && text.size > 0 && r->error == OK) {
        r->error = why_set(r->why, ERR_NOMEM, "not enough memory for the response");
    }
    return kept;
}

static void
read_tags(struct opentsdb_reading *r)
{
    struct opentsdb_series *s = &r->series;
    json_pieces_open(r->p, '{');
    while (goes_on(r) && json_pieces_key(r->p)) {
        if (s->tag_count == OPENTSDB_TAGS_MAX) {
            json_pieces_fail(r->p, "a series has more than 1024 tags");
            return;
        }
        struct label *tag = &s->tags[s->tag_count++];
        tag->name = keep_text(r, buf_bytes(&r->p->text));
        tag->value = keep_text(r, json_pieces_text(r->p));
    }
}

/* Reads the TSUID; a series that is not an aggregate has one. */
static void
read_tsuid(struct opentsdb_reading *r)
{
    uint32_t count = 0;
    json_pieces_open(r->p, '[');
    while (goes_on(r) && json_pieces_item(r->p)) {
        struct bytes text = json_pieces_text(r->p);
        bool right = text.size > 0 && text.size <= TSUID_BYTES_MAX;
        for (size_t i = 0; right && i < text.size; i++) {
            right = hex_digit(text.at[i]) >= 0;
        }
        if (!right) json_pieces_fail(r->p, "a series has an invalid TSUID");
        if (count++ > 0) json_pieces_fail(r->p, "a series is made of several");
        r->series.tsuid = keep_text(r, text);
    }
}

/* Reads a number, or NaN and the like, with or without quotes. False for null, which is not a
 * point. */
static bool
read_value(struct opentsdb_reading *r, uint64_t *ret_bits)
{
    bool is_text = json_pieces_peek(r->p) == '"';
    struct bytes digits = is_text ? json_pieces_text(r->p) : json_pieces_word(r->p);
    if (r->p->failed || (!is_text && bytes_equal_text(digits, "null"))) return false;
    bool right = number_parse((const char *)digits.at, digits.size, ret_bits);
    if (!right) json_pieces_fail(r->p, "a point has a value that is not a number");
    return right;
}

static void
read_point(struct opentsdb_reading *r, struct bytes time)
{
    int64_t t_ms;
    uint64_t bits;
    if (r->p->failed) return;
    if (!time_parse_ms(time, &t_ms)) {
        json_pieces_fail(r->p, "a point has an invalid time");
        return;
    }
    if (read_value(r, &bits)) r->error = r->to->point(r->to->context, t_ms, bits, r->why);
}

/* Reads {"time": value, ...}, or [[time, value], ...], which a proxy may request with `arrays`. */
static void
read_points(struct opentsdb_reading *r)
{
    if (json_pieces_peek(r->p) == '{') {
        json_pieces_open(r->p, '{');
        while (goes_on(r) && json_pieces_key(r->p)) {
            read_point(r, buf_bytes(&r->p->text));
        }
        return;
    }
    json_pieces_open(r->p, '[');
    while (goes_on(r) && json_pieces_item(r->p)) {
        json_pieces_open(r->p, '[');
        if (!json_pieces_item(r->p)) json_pieces_fail(r->p, "a point has no time");
        int64_t t_ms;
        uint64_t bits;
        bool right = time_parse_ms(json_pieces_word(r->p), &t_ms);
        if (!right || !json_pieces_item(r->p)) json_pieces_fail(r->p, "a point is not a pair");
        bool given = r->p->failed == OK && read_value(r, &bits);
        if (json_pieces_item(r->p)) json_pieces_fail(r->p, "a point is not a pair");
        if (given && goes_on(r)) r->error = r->to->point(r->to->context, t_ms, bits, r->why);
    }
}

static void
begin_points(struct opentsdb_reading *r)
{
    if (r->series.metric.size == 0 || r->series.tsuid.size == 0) {
        json_pieces_fail(r->p, "a series has no metric or no TSUID before its points");
    }
    if (goes_on(r)) r->error = r->to->series(r->to->context, &r->series, r->why);
    if (goes_on(r)) read_points(r);
}

static void
read_one(struct opentsdb_reading *r)
{
    bool begun = false;
    arena_reset(r->scratch);
    r->series = (struct opentsdb_series){
        .tags = arena_alloc(r->scratch, OPENTSDB_TAGS_MAX * sizeof(struct label))};
    if (r->series.tags == NULL) {
        r->error = why_set(r->why, ERR_NOMEM, "not enough memory for the response");
        return;
    }
    json_pieces_open(r->p, '{');
    while (goes_on(r) && json_pieces_key(r->p)) {
        struct bytes key = buf_bytes(&r->p->text);
        bool is_metric = bytes_equal_text(key, "metric"), is_tags = bytes_equal_text(key, "tags"),
             is_tsuids = bytes_equal_text(key, "tsuids"), is_points = bytes_equal_text(key, "dps");
        if (begun && (is_metric || is_tags || is_tsuids || is_points)) {
            json_pieces_fail(r->p, "points come before what they belong to");
        } else if (is_metric) {
            r->series.metric = keep_text(r, json_pieces_text(r->p));
        } else if (is_tags) {
            read_tags(r);
        } else if (is_tsuids) {
            read_tsuid(r);
        } else if (is_points) {
            begun = true;
            begin_points(r);
        } else {
            json_pieces_skip(r->p);
        }
    }
}

enum err
opentsdb_read_series(struct json_pieces *p, struct arena *scratch, const struct opentsdb_sink *to,
                     struct why *why)
{
    struct opentsdb_reading r = {.p = p, .scratch = scratch, .to = to, .why = why};
    json_pieces_open(p, '[');
    while (goes_on(&r) && json_pieces_item(p)) {
        read_one(&r);
    }
    if (r.error) return r.error;
    json_pieces_end(p);
    return end_reading(p, why);
}

enum err
opentsdb_read_names(struct json_pieces *p,
                    enum err (*name)(void *context, struct bytes name, struct why *why),
                    void *context, struct why *why)
{
    enum err e = OK;
    json_pieces_open(p, '[');
    while (e == OK && json_pieces_item(p)) {
        struct bytes text = json_pieces_text(p);
        if (p->failed == OK) e = name(context, text, why);
    }
    if (e) return e;
    json_pieces_end(p);
    return end_reading(p, why);
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
        for (struct bytes inner; scan_key(&s, &inner);) {
            if (bytes_equal_text(inner, "message") && scan_peek(&s) == '"')
                message = scan_text(&s);
            else
                scan_skip(&s);
        }
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
