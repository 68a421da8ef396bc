/*
 * notation.h - series as people write them for tests, of rules above all:
 *
 *     up{job="a"} 1 0x2 _ stale 1+2x3 {{schema:0 count:4 sum:5 buckets:[1 2 1]}}x2
 *
 * Values are those of consecutive times. `_` is a missing value, `1x2` is 1 three times, `_x2` two
 * missing values, `1+2x3` is 1 3 5 7. The language is Prometheus'; sentences of errors are ours,
 * and begin with "LINE:COLUMN: parse error: ".
 *
 * Repetitions are expanded only by a walk, so that their numbers need no limit. Threads: the
 * owner's.
 */
#ifndef PROMQL_TESTSERIES_NOTATION_H
#define PROMQL_TESTSERIES_NOTATION_H

#include "model/fhist/fhist.h"

enum { NOTATION_BYTES_MAX = 16 << 20 };

/* The metric of a series. Labels are sorted by name; the metric's own name is __name__. As in
 * Prometheus, values may be empty unless the name is before the braces, and a name may occur twice.
 */
struct notation_metric {
    struct label *labels;
    uint32_t count;
};

enum notation_kind { NOTATION_NONE, NOTATION_FLOAT, NOTATION_HISTOGRAM };

/* A value and those that follow from it. */
struct notation_item {
    enum notation_kind kind;
    uint64_t count;
    uint64_t bits; /* first value of floats */
    bool adds;     /* each value is the one before it and `step`, or `more` */
    double step;
    const struct fhist *histogram; /* first value of histograms */
    const struct fhist *more;
    double factor; /* applied to `more` */
    bool has_hint; /* the hint of a counter reset was given */
};

struct notation {
    struct notation_metric metric;
    struct notation_item *items;
    uint32_t item_count;
};

/*
 * Parses a text. The result has views of the text and of `arena`. `line` is the number of the first
 * line. ERR_INPUT: `error` says what is wrong; ERR_LIMIT: longer than NOTATION_BYTES_MAX;
 * ERR_NOMEM: the arena is full, and memory that was used stays used until it ends.
 *
 * Histograms are not checked, other than their schemas, since a test may expect negative counts.
 */
MUST_CHECK enum err notation_parse(struct bytes text, uint32_t line, struct arena *arena,
                                   struct notation *ret, struct buf *error);
/* Parses a metric alone; an empty text is one without labels. */
MUST_CHECK enum err notation_parse_metric(struct bytes text, struct arena *arena,
                                          struct notation_metric *ret, struct buf *error);

/* --- values one by one ------------------------------------------------------------------------ */

struct notation_value {
    enum notation_kind kind;
    uint64_t bits;
    const struct fhist *histogram; /* a view until the next value, with its hint */
    bool has_hint;
};

struct notation_walk {
    const struct notation *of;
    struct arena *arena;
    uint32_t next; /* index of the next item */
    uint64_t left; /* values left of the item before `next` */
    double value;
    struct fhist sum;
    struct notation_value current;
};

/* Begins a walk. Sums of histograms are made in the arena; the walk must not be moved after its
 * first value. */
struct notation_walk notation_begin(const struct notation *of, struct arena *arena);
/* The next value; *ret_more is false after the last one. ERR_NOMEM. */
MUST_CHECK enum err notation_next(struct notation_walk *walk, struct notation_value *ret,
                                  bool *ret_more);

/* Appends {{count:3 sum:4 buckets:[1 2]}}. Equal histograms have equal texts, regardless of empty
 * buckets. */
void notation_put_histogram(const struct fhist *h, struct buf *to);

#endif
