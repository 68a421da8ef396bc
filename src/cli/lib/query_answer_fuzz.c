/*
 * query_answer_fuzz.c - reads any bytes as the answer of a query API, in pieces whose size is the
 * first byte: results are well-formed, and refusals have a reason.
 */
#include <stdlib.h>

#include "cli/lib/query_answer.h"
#include "model/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pieces {
    struct bytes left;
    size_t size;
};

static enum err
read_piece(void *context, struct bytes *ret_piece, struct why *why)
{
    struct pieces *p = context;
    (void)why;
    size_t size = p->left.size < p->size ? p->left.size : p->size;
    *ret_piece = bytes_of(p->left.at, size);
    p->left = bytes_of(p->left.at + size, p->left.size - size);
    return OK;
}

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
    for (uint32_t i = 0; h != NULL && i < h->bucket_count; i++) {
        sum += h->buckets[i].count;
    }
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
        struct pieces p = {bytes_of(data + 1, size - 1), (size_t)data[0] + 1};
        struct query_answer_source source = {read_piece, &p};
        struct query_sink sink = {json ? &as_json : &as_series};
        struct why why = {""};
        enum err e = query_answer_read(&source, &sink, &why);
        if (e && e != ERR_FULL && why.text[0] == '\0') abort();
    }
    struct buf sentence;
    bool bad_data;
    buf_init(&sentence, NULL, 1 << 20);
    if (query_answer_refusal(bytes_of(data, size), &sentence, &bad_data) != (sentence.size > 0)) {
        abort();
    }
    buf_fini(&sentence);
    return 0;
}
