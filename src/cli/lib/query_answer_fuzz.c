/*
 * query_answer_fuzz.c - reads any bytes but the first as the answer of a query API: results are
 * well-formed, and refusals have a reason.
 */
#include <stdlib.h>

#include "cli/lib/query.h"
#include "model/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
take_data(struct query_sink *sink, struct bytes piece, struct why *why)
{
    (void)sink, (void)why;
    if (piece.size == 0) abort();
    return OK;
}

static enum err
take_begin(struct query_sink *sink, enum promql_type type, struct why *why)
{
    (void)sink, (void)why;
    (void)promql_type_word(type);
    return OK;
}

static enum err
take_series(struct query_sink *sink, struct bytes labels, struct why *why)
{
    (void)sink, (void)why;
    if (!labels_valid(labels)) abort();
    return OK;
}

static enum err
take_point(struct query_sink *sink, const struct query_point *point, struct why *why)
{
    (void)sink, (void)why;
    const struct query_histogram *h = point->histogram;
    double sum = point->value;
    for (uint32_t i = 0; h != NULL && i < h->bucket_count; i++)
        sum += h->buckets[i].count;
    return sum == 12345 ? ERR_FULL : OK; /* makes use of every value */
}

static enum err
take_string(struct query_sink *sink, int64_t t_ms, struct bytes text, struct why *why)
{
    (void)sink, (void)t_ms, (void)why;
    return text.size > 0 && text.at[0] == 0 ? ERR_FULL : OK;
}

static void
take_note(struct query_sink *sink, enum promql_note kind, struct bytes sentence)
{
    (void)sink, (void)kind;
    if (sentence.at == NULL && sentence.size > 0) abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct query_sink_ops as_json = {.data = take_data, .note = take_note},
                                       as_series = {.begin = take_begin,
                                                    .series = take_series,
                                                    .point = take_point,
                                                    .string = take_string,
                                                    .note = take_note};
    if (size == 0) return 0;
    for (int json = 0; json < 2; json++) {
        struct query_sink sink = {json ? &as_json : &as_series};
        struct why why = {""};
        enum err e = query_answer_read(bytes_of(data + 1, size - 1), &sink, &why);
        if (e && e != ERR_FULL && why.text[0] == '\0') abort();
    }
    struct buf sentence;
    bool bad_data;
    buf_init(&sentence, NULL, 1 << 20);
    if (query_answer_refusal(bytes_of(data, size), &sentence, &bad_data) != (sentence.size > 0))
        abort();
    buf_fini(&sentence);
    return 0;
}
