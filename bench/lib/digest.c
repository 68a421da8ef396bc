/*
 * digest.c - see digest.h. The body is scanned for the keys that Prometheus' API uses, which cannot
 * be within a string, where quotes are escaped: no tree of a large answer is built.
 */
#include "lib/digest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash/hash.h"

struct scan {
    const char *at, *end;
    uint64_t series; /* hash of the labels */
    uint64_t t;      /* hash of the text of the current time */
    struct digest d;
};

/* Skips the text if it comes next; says whether it did. */
static bool
take(struct scan *s, const char *text)
{
    size_t size = strlen(text);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, text, size) != 0) return false;
    s->at += size;
    return true;
}

static void
add(struct scan *s, double value)
{
    if (!isfinite(value)) {
        s->d.specials++;
        return;
    }
    double weight = 0.5 + (double)(hash_mix(s->series, s->t) >> 11) * 0x1p-53;
    s->d.sum += value;
    s->d.magnitude += fabs(value);
    s->d.placed += value * weight;
}

/* Reads labels up to the brace that closes them. */
static void
take_labels(struct scan *s)
{
    const char *begin = s->at;
    bool quoted = false;
    for (; s->at < s->end && (quoted || *s->at != '}'); s->at++)
        if (*s->at == '\\')
            s->at++;
        else if (*s->at == '"')
            quoted = !quoted;
    s->series = hash_bytes(bytes_of(begin, (size_t)(s->at - begin)), 0);
    s->d.series++;
}

static void
take_time(struct scan *s)
{
    const char *begin = s->at;
    while (s->at < s->end && *s->at != ',')
        s->at++;
    s->t = hash_bytes(bytes_of(begin, (size_t)(s->at - begin)), 0);
}

static double
take_number(struct scan *s)
{
    char *end;
    double value = strtod(s->at, &end);
    s->at = end;
    return value;
}

/* Reads [T,"V"] or [T,{"count":"N","sum":"S",...}]. */
static void
take_point(struct scan *s)
{
    take_time(s);
    s->d.points++;
    if (take(s, ",\"")) {
        add(s, take_number(s));
    } else if (take(s, ",{\"count\":\"")) {
        add(s, take_number(s));
        if (take(s, "\",\"sum\":\"")) add(s, take_number(s));
    }
}

static void
take_points(struct scan *s)
{
    bool within = true;
    while (within && take(s, "[")) {
        take_point(s);
        /* skips to the bracket that closes the point, buckets and all */
        for (int depth = 1; s->at < s->end && depth > 0; s->at++)
            depth += (*s->at == '[') - (*s->at == ']');
        within = take(s, ",");
    }
}

struct digest
digest_of(struct bytes body)
{
    struct scan s = {.at = (const char *)body.at, .end = (const char *)body.at + body.size};
    while (s.at < s.end) {
        const char *quote = memchr(s.at, '"', (size_t)(s.end - s.at));
        if (quote == NULL) break;
        s.at = quote;
        if (take(&s, "\"metric\":{"))
            take_labels(&s);
        else if (take(&s, "\"values\":[") || take(&s, "\"histograms\":[") ||
                 take(&s, "\"value\":") || take(&s, "\"histogram\":") ||
                 take(&s, "\"scalar\",\"result\":"))
            take_points(&s);
        else
            s.at++;
    }
    return s.d;
}
