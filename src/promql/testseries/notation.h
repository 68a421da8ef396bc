/*
 * notation.h - series as people write them for tests, of rules above all:
 *
 *     up{job="a"} 1 0x2 _ stale 1+2x3 {{schema:0 count:4 sum:5 buckets:[1 2 1]}}x2
 *
 * Values stand for consecutive times. `_` is none, `1x2` is 1 three times, `_x2` none twice,
 * `1+2x3` is 1 3 5 7. The language is Prometheus', and so are the sentences of errors, which begin
 * with "LINE:COLUMN: parse error: ".
 *
 * Repetitions are not expanded until they are walked through, so that their numbers need no limit.
 * Threads: the owner's.
 */
#ifndef PROMQL_TESTSERIES_NOTATION_H
#define PROMQL_TESTSERIES_NOTATION_H

#include "promql/histogram/fhist.h"

enum { NOTATION_BYTES_MAX = 16 << 20 };

/* What stands before the values. By name, the metric's own is __name__. As in Prometheus, values
 * may be empty unless the name stands before the braces, and a name may be there twice. */
struct notation_metric {
    struct label *labels;
    uint32_t count;
};

enum notation_kind { NOTATION_NONE, NOTATION_FLOAT, NOTATION_HISTOGRAM };

/* A value and those that follow from it. */
struct notation_item {
    enum notation_kind kind;
    uint64_t count;
    uint64_t bits; /* of the first float */
    bool adds;     /* each is the one before and `step`, or `more` */
    double step;
    const struct fhist *histogram; /* the first */
    const struct fhist *more;
    double factor; /* of `more` */
    bool has_hint; /* of a counter's reset */
};

struct notation {
    struct notation_metric metric;
    struct notation_item *items;
    uint32_t item_count;
};

/*
 * Reads a text into `arena`, of which the result has views, as of the text. `line` is said to be
 * the first one. ERR_INPUT: `error` says what is wrong; ERR_LIMIT: longer than NOTATION_BYTES_MAX;
 * ERR_NOMEM: the arena is full. What it has used then is lost until it ends.
 *
 * Histograms are not checked, but for their schemas: negative counts may be what is expected.
 */
MUST_CHECK enum err notation_parse(struct bytes text, uint32_t line, struct arena *arena,
                                   struct notation *ret, struct buf *error);
/* The same of a metric alone; nothing at all is one without labels. */
MUST_CHECK enum err notation_parse_metric(struct bytes text, struct arena *arena,
                                          struct notation_metric *ret, struct buf *error);

/* --- values one by one ------------------------------------------------------------------------ */

struct notation_value {
    enum notation_kind kind;
    uint64_t bits;
    const struct fhist *histogram; /* a view until the next value, with the hint that is written */
    bool has_hint;
};

struct notation_walk {
    const struct notation *of;
    struct arena *arena;
    uint32_t next; /* item */
    uint64_t left; /* values of the one before it */
    double value;
    struct fhist sum;
    struct notation_value at_hand;
};

/* Sums of histograms are made in the arena. */
struct notation_walk notation_begin(const struct notation *of, struct arena *arena);
/* False in *ret_more: there are no more. ERR_NOMEM. */
MUST_CHECK enum err notation_next(struct notation_walk *walk, struct notation_value *ret,
                                  bool *ret_more);

/* Appends {{count:3 sum:4 buckets:[1 2]}}: equal ones have equal texts, whatever empty buckets are
 * written down. */
void notation_put_histogram(const struct fhist *h, struct buf *to);

#endif
