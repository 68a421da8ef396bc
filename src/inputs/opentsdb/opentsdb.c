/* opentsdb.c - see opentsdb.h. */
#include "inputs/opentsdb/opentsdb.h"

#include <math.h>
#include <string.h>

#include "base/text/time_text.h"
#include "wire/json/json_scan.h"

enum { PUT_TAGS_MAX = 256, PUT_MEMORY_MAX = 1 << 20 };

struct put_point {
    struct label labels[PUT_TAGS_MAX + 1]; /* the first is the metric */
    uint32_t count;
    struct bytes time, value;
};

/* Reads Unix seconds, with or without a point, or milliseconds, which have more digits. */
static bool
read_put_time(struct bytes text, int64_t *ret_ms)
{
    bool is_fraction = memchr(text.at, '.', text.size) != NULL;
    if (is_fraction || text.size <= 10) return time_parse_seconds(text, ret_ms);
    return time_parse_ms(text, ret_ms);
}

static enum err
fill_point(struct rw_request *to, struct put_point *p, struct why *why)
{
    int64_t t_ms;
    uint64_t bits;
    if (p->labels[0].value.size == 0) return why_set(why, ERR_INPUT, "Metric name was empty");
    if (p->time.size == 0 || !read_put_time(p->time, &t_ms) || t_ms <= 0)
        return why_set(why, ERR_INPUT, "Invalid timestamp");
    if (p->value.size == 0 || !number_parse((const char *)p->value.at, p->value.size, &bits) ||
        !isfinite(bits_double(bits)))
        return why_set(why, ERR_INPUT, "Unable to parse value to a number");
    for (uint32_t i = 1; i < p->count; i++)
        if (p->labels[i].name.size == 0 || p->labels[i].value.size == 0)
            return why_set(why, ERR_INPUT, "a tag has no name or no value");
    if (!input_sort_labels(p->labels, &p->count)) return why_set(why, ERR_INPUT, "duplicate tag");
    enum err e = rw_fill_series(to, p->labels, p->count);
    return e ? e : rw_fill_float(to, t_ms, bits, 0);
}

static void
point_begin(struct put_point *p)
{
    *p = (struct put_point){.count = 1};
    p->labels[0].name = bytes_of_text("__name__");
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* Reads a number, or the text of one. */
static struct bytes
scan_either(struct scan *s)
{
    return scan_peek(s) == '"' ? scan_text(s) : scan_number(s);
}

static void
scan_point(struct scan *s, struct put_point *p)
{
    struct bytes key;
    point_begin(p);
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        if (bytes_equal_text(key, "metric")) {
            p->labels[0].value = scan_text(s);
        } else if (bytes_equal_text(key, "timestamp")) {
            p->time = scan_either(s);
        } else if (bytes_equal_text(key, "value")) {
            p->value = scan_either(s);
        } else if (bytes_equal_text(key, "tags")) {
            scan_expect(s, '{');
            while (scan_key(s, &key)) {
                if (p->count > PUT_TAGS_MAX) scan_fail(s, "more than 256 tags");
                if (s->bad == NULL) p->labels[p->count++] = (struct label){key, scan_either(s)};
            }
        } else {
            scan_skip(s);
        }
    }
    scan_end(s);
}

struct put_reading {
    struct arena arena;
    struct rw_request *to;
    struct json *errors;
    struct input_outcome *outcome;
};

/* Reads the point at the scan, and goes on behind it. A refused one is counted. */
static enum err
read_put(struct put_reading *r, struct scan *s)
{
    struct put_point p;
    struct why why;
    (void)scan_peek(s);
    const uint8_t *from = s->at;
    scan_skip(s);
    if (s->bad != NULL) return s->error;
    struct bytes text = bytes_of(from, (size_t)(s->at - from));
    arena_reset(&r->arena);
    struct scan one = scan_of(text, &r->arena);
    scan_point(&one, &p);
    enum err e =
        one.bad == NULL ? fill_point(r->to, &p, &why) : why_set(&why, one.error, "%s", one.bad);
    r->outcome->points++;
    if (e != ERR_INPUT) return e;
    input_refuse(r->outcome, 1, &why);
    if (r->errors == NULL) return OK;
    json_object_open(r->errors);
    json_key(r->errors, "datapoint");
    json_put_raw(r->errors, text);
    json_member_text(r->errors, "error", why.text);
    json_object_close(r->errors);
    return OK;
}

enum err
opentsdb_decode(struct bytes text, struct budget *budget, uint64_t seed, struct rw_request *to,
                struct json *errors, struct input_outcome *ret, struct why *why)
{
    struct put_reading r = {.to = to, .errors = errors, .outcome = ret};
    *ret = (struct input_outcome){0};
    rw_fill_begin(to, seed, text.size);
    arena_init(&r.arena, budget, PUT_MEMORY_MAX, 0);
    struct scan s = scan_of(text, &r.arena);
    enum err e = OK;
    if (scan_peek(&s) != '[') {
        e = read_put(&r, &s);
    } else {
        scan_expect(&s, '[');
        while (e == OK && scan_item(&s))
            e = read_put(&r, &s);
    }
    if (e == OK) scan_end(&s);
    if (e == OK && s.bad != NULL) e = s.error;
    arena_fini(&r.arena);
    if (e == ERR_INPUT)
        (void)why_set(why, e, "Unable to parse the given JSON: %s at byte %zu", s.bad,
                      (size_t)(s.at - s.start) + 1);
    return input_end(to, e, why);
}

/* --- lines ------------------------------------------------------------------------------------ */

enum err
opentsdb_line_fill(struct rw_request *to, struct bytes line, struct why *why)
{
    struct put_point p;
    struct bytes word = input_word(&line);
    if (!bytes_equal_text(word, "put"))
        return why_set(why, ERR_INPUT, "unknown command: %.*s",
                       (int)(word.size < 40 ? word.size : 40), (const char *)word.at);
    point_begin(&p);
    p.labels[0].value = input_word(&line);
    p.time = input_word(&line);
    p.value = input_word(&line);
    while ((word = input_word(&line)).size > 0) {
        const uint8_t *equals = memchr(word.at, '=', word.size);
        if (equals == NULL || p.count > PUT_TAGS_MAX)
            return why_set(why, ERR_INPUT, "put: illegal argument: invalid tag");
        size_t size = (size_t)(equals - word.at);
        p.labels[p.count++] =
            (struct label){bytes_of(word.at, size), bytes_of(equals + 1, word.size - size - 1)};
    }
    enum err e = fill_point(to, &p, why);
    return e == ERR_INPUT ? why_prefix(why, e, "put: illegal argument") : e;
}
