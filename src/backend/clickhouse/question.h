/*
 * question.h - one question to a table of ClickHouse: what the table is, which series it has, and
 * their samples. Private to backend/clickhouse.
 *
 * Threads: one for each question.
 */
#ifndef BACKEND_CLICKHOUSE_QUESTION_H
#define BACKEND_CLICKHOUSE_QUESTION_H

#include "backend/clickhouse/clickhouse_reader.h"

void clickhouse_question_init(struct clickhouse_question *q, struct fetch_view *view);
void clickhouse_question_fini(struct clickhouse_question *q);
/* ERR_NOMEM. */
MUST_CHECK enum err clickhouse_question_begin(struct clickhouse_question *q,
                                              const struct query_request *r, struct why *why);
/* Asks what the table is, if it is not known. ERR_IO: it cannot be read. */
MUST_CHECK enum err clickhouse_question_learn(struct clickhouse_question *q, struct why *why);
/* After an answer that contradicts what is known, forgets that. */
void clickhouse_question_forget(struct clickhouse_question *q);
/* Whether the labels of a series are what is asked for. */
bool clickhouse_question_selects(const struct clickhouse_question *q, const struct label *labels,
                                 uint32_t count);

/* Views until the call ends. */
struct clickhouse_series {
    struct bytes metric;
    struct bytes text;    /* of the other labels */
    struct label *labels; /* both, taken apart; with room for FINAL_LABELS_MAX */
    uint32_t count;
    uint64_t samples; /* at most */
    int64_t first_ms, last_ms;
};
struct clickhouse_series_sink {
    enum err (*each)(void *context, const struct clickhouse_series *series, struct why *why);
    void *context;
};
/* All that there may be; `label`: only of series that have it, if not empty. */
MUST_CHECK enum err clickhouse_question_series(struct clickhouse_question *q,
                                               enum clickhouse_subject subject, struct bytes label,
                                               const struct clickhouse_series_sink *to,
                                               struct why *why);

/* A key of series_blocks. ERR_NOMEM. */
MUST_CHECK enum err clickhouse_key_put(struct buf *to, struct bytes metric, struct bytes text);
/* As series_blocks_options.fetch. */
MUST_CHECK enum err clickhouse_question_samples(struct clickhouse_question *q,
                                                struct series_blocks *blocks,
                                                const struct series_block *block, struct why *why);
/* ERR_FULL is for blocks alone. */
enum err clickhouse_limit(enum err e);

#endif
