/*
 * opentsdb_reader.h - what the files of the source type opentsdb share. Private to
 * backend/opentsdb.
 *
 * A question is answered in three steps: which metrics there may be, which series these have in the
 * time and how many points each, and then samples by blocks of series (series_blocks.h).
 */
#ifndef BACKEND_OPENTSDB_OPENTSDB_READER_H
#define BACKEND_OPENTSDB_OPENTSDB_READER_H

#include "backend/common/series_blocks.h"
#include "backend/opentsdb/asking.h"
#include "base/table.h"

struct opentsdb_reader {
    struct answerer answerer; /* first: it is handed out */
    struct reader_options options;
    struct external_labels external;
    struct fetcher *fetcher;
};

/* A metric as it is stored. */
struct opentsdb_metric {
    struct bytes stored;
    bool is_unknown; /* the server said so */
};

/* A series that was found. */
struct opentsdb_found {
    size_t tsuid_at, labels_at; /* in `tsuids` and `labels` of the question */
    uint32_t tsuid_size, labels_size;
    uint64_t metric_hash; /* of the metric as it is stored */
    uint64_t points;
    uint32_t number; /* of the series in the block that is read; checked before it is believed */
};

/* So many values that the server does not know are told apart. */
enum { OPENTSDB_UNKNOWN_VALUES_MAX = 3 };
struct opentsdb_unknown {
    enum opentsdb_refusal what;
    struct bytes text;
};

/* One question, from the metrics to the samples. */
struct opentsdb_question {
    struct fetch_view *view;
    struct opentsdb_reader *of;
    struct budget *budget;
    struct query_control *control;
    int64_t min_ms, max_ms; /* as far as OpenTSDB's times go; min > max: nothing is asked */
    struct matcher **matchers;
    uint32_t matcher_count;
    struct arena arena;
    struct opentsdb_metric *metrics;
    uint32_t metric_count, metric_capacity;
    struct opentsdb_unknown *unknown; /* what the server does not know */
    uint32_t unknown_count, unknown_capacity;
    uint32_t unknown_values; /* of these */

    struct opentsdb_found *found;
    uint32_t found_count, found_capacity;
    struct table by_tsuid; /* ids: places in `found` */
    struct buf tsuids, labels;
    uint64_t points_found, points_passed; /* of series that are wanted; of others that came along */

    struct opentsdb_ask ask;
    struct buf filters, text, room;
};

void opentsdb_question_init(struct opentsdb_question *q, struct fetch_view *view);
void opentsdb_question_fini(struct opentsdb_question *q);
/* Matchers live as long as the question; the array of them need not. ERR_NOMEM. */
MUST_CHECK enum err opentsdb_question_begin(struct opentsdb_question *q,
                                            const struct query_request *r, struct why *why);

/* Finds the series. ERR_LIMIT: the server refuses to read even an hour of them. */
MUST_CHECK enum err opentsdb_question_find(struct opentsdb_question *q, struct why *why);
/* The labels of one of `found`, in label bytes, not sorted. A view until more are found. */
struct bytes opentsdb_question_labels(const struct opentsdb_question *q, uint32_t found);

/* As series_blocks_options.fetch; keys are le32, places in `found`. */
MUST_CHECK enum err opentsdb_question_samples(struct opentsdb_question *q,
                                              struct series_blocks *blocks,
                                              const struct series_block *block, struct why *why);

/* Names of metrics, or of tags, as they are stored, with this prefix; each once. */
MUST_CHECK enum err
opentsdb_question_names(struct opentsdb_question *q, const char *type, struct bytes prefix,
                        enum err (*name)(void *context, struct bytes name, struct why *why),
                        void *context, struct why *why);

/* What a tag name means, by the source's escaping; appended. ERR_NOMEM. */
MUST_CHECK enum err opentsdb_label_name_get(const struct opentsdb_question *q, struct buf *to,
                                            struct bytes tag);

/* --- filters.c -------------------------------------------------------------------------------- */

bool opentsdb_is_unknown(const struct opentsdb_question *q, enum opentsdb_refusal what,
                         struct bytes text);
/*
 * What of the matchers OpenTSDB can apply, as the items of an array of filters: each selects the
 * series that its matcher does, or more. *ret_none: none can be selected. ERR_NOMEM.
 */
MUST_CHECK enum err opentsdb_filters_put(struct opentsdb_question *q, struct buf *to,
                                         bool *ret_none, struct why *why);

#endif
