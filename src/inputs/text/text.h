/*
 * text.h - the text forms of import (wire/text/text_format.h) as requests of the write path: the
 * two of Prometheus, and JSON lines.
 *
 * Threads: any; each call uses only its arguments.
 */
#ifndef INPUTS_TEXT_TEXT_H
#define INPUTS_TEXT_TEXT_H

#include "base/mem.h"
#include "inputs/input.h"
#include "wire/remote/remote_write.h"
#include "wire/text/text_format.h"

struct text_input {
    enum text_format format;
    int64_t time_ms;    /* of samples without a time */
    bool refuses_times; /* of samples: those with one are refused */
    struct budget *budget;
};

/* Calls `each` for what the lines have. It may refuse a line with ERR_INPUT; another error ends the
 * calls, and is returned. ERR_NOMEM. */
MUST_CHECK enum err text_input_each(const struct text_input *input, struct bytes text,
                                    enum err (*each)(void *context, struct text_item *item,
                                                     struct why *why),
                                    void *context, struct input_outcome *ret, struct why *why);
/* Appends what a line has to a request between rw_fill_begin() and rw_fill_end(). For `each`, with
 * the request as its context. Errors of rw_fill_series(); ERR_INPUT. */
MUST_CHECK enum err text_item_fill(void *request, struct text_item *item, struct why *why);

/* Reads a whole text into the request. `seed` is secret. ERR_LIMIT: the series need too much
 * memory; ERR_NOMEM. After an error the request is cleared. */
MUST_CHECK enum err text_decode(const struct text_input *input, struct bytes text, uint64_t seed,
                                struct rw_request *to, struct input_outcome *ret, struct why *why);

/* --- csv.c ------------------------------------------------------------------------------------ */

/*
 * Reads VictoriaMetrics' CSV: `columns` says what each column is, "2:metric:ask,1:label:ticker,
 * 3:time:unix_s", with numbers from 1. Each metric column of a line gives a sample. Errors as of
 * text_decode(); ERR_INPUT: `columns` is malformed.
 */
MUST_CHECK enum err csv_decode(const char *columns, int64_t now_ms, struct bytes text,
                               uint64_t seed, struct rw_request *to, struct input_outcome *ret,
                               struct why *why);

/* --- families.c ------------------------------------------------------------------------------- */

/* Writes Prometheus' delimited protobuf, io.prometheus.client.MetricFamily, as its text. ERR_INPUT:
 * it is malformed, or has a histogram without classic buckets; ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK enum err families_put_text(struct bytes message, struct buf *to, struct why *why);

#endif
