/*
 * sampled.c - the series of a response in the form SAMPLES: see remote_private.h.
 *
 * A QueryResult is, byte for byte, a remote write 1.0 request: series in a field 1. So each series
 * is decoded as a request of one series, when its block is read; its key is its place in the
 * response.
 */
#include "backend/remote/remote_private.h"

#include "wire/proto.h"
#include "wire/snappy.h"

enum { SAMPLE_BYTES_USUAL = 16 /* of a sample in the response; only an estimate */ };

/* The place of a series in the response: tag, length and message of its TimeSeries. */
struct sampled_key {
    size_t at, size;
};

static enum err
damaged(struct why *why)
{
    return why_set(why, ERR_CORRUPT, "the response cannot be read");
}

static enum err
index_result(struct sampled *s, struct bytes result, struct why *why)
{
    struct label labels[FINAL_LABELS_MAX];
    struct cursor c = cursor_of(result);
    for (;;) {
        const uint8_t *begin = c.at;
        uint32_t tag = proto_tag(&c), count;
        if (tag == 0) break;
        if (tag != PROTO_TAG(1, PROTO_BYTES)) {
            proto_skip(&c, tag, PROTO_KNOWN(1));
            continue;
        }
        struct bytes message = proto_bytes(&c);
        if (c.bad) break;
        struct sampled_key key = {(size_t)(begin - s->answer.at), (size_t)(c.at - begin)};
        enum err e = label_fields_read(message, labels, &count, why);
        if (e == OK)
            e = series_blocks_add(s->blocks, labels, count, bytes_of(&key, sizeof key), why);
        if (e) return e;
        series_blocks_expect(s->blocks, message.size / SAMPLE_BYTES_USUAL);
    }
    return c.bad ? damaged(why) : OK;
}

static enum err
index_answer(struct sampled *s, struct why *why)
{
    uint32_t results = 0;
    struct bytes result = {NULL, 0};
    struct cursor c = cursor_of(buf_bytes(&s->answer));
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag == PROTO_TAG(1, PROTO_BYTES)) {
            result = proto_bytes(&c);
            results++;
        } else {
            proto_skip(&c, tag, PROTO_KNOWN(1));
        }
    }
    if (c.bad) return damaged(why);
    if (results != 1)
        return why_set(why, ERR_CORRUPT, "the response has %u results for one query", results);
    return index_result(s, result, why);
}

/* As series_blocks_options.fetch. */
static enum err
sampled_fetch(void *context, struct series_blocks *blocks, const struct series_block *block,
              struct why *why)
{
    struct sampled *s = context;
    const struct rw_request *r = &s->request;
    enum err e = OK;
    for (uint32_t n = block->first; n < block->first + block->count && e == OK; n++) {
        struct sampled_key key;
        memcpy(&key, series_blocks_key(blocks, n).at, sizeof key);
        e = rw_decode(&s->request, RW_V1, bytes_of(s->answer.at + key.at, key.size), 0, why);
        if (e) break;
        for (uint32_t i = 0; i < r->float_count && e == OK; i++)
            e = series_blocks_put_float(blocks, n, r->floats[i].t_ms, r->floats[i].bits, 0, why);
        for (uint32_t i = 0; i < r->histogram_count && e == OK; i++) {
            const struct rw_histogram *h = &r->histograms[i];
            if (h->malformed) return why_set(why, ERR_CORRUPT, "a histogram is not valid");
            e = series_blocks_put_histogram(blocks, n, h->t_ms, &h->h, 0, why);
        }
    }
    return e == ERR_INPUT ? ERR_CORRUPT : e;
}

enum err
sampled_new(const struct sampled_options *options, struct bytes answer,
            struct sampled **ret_sampled, struct why *why)
{
    struct sampled *s = mem_new(options->budget, sizeof *s);
    if (s == NULL) return fetch_no_memory(why);
    const struct series_blocks_options blocks = {.budget = options->budget,
                                                 .external = options->external,
                                                 .min_ms = options->min_ms,
                                                 .max_ms = options->max_ms,
                                                 .keys_max = UINT32_MAX,
                                                 .fetch = sampled_fetch,
                                                 .context = s};
    s->budget = options->budget;
    buf_init(&s->answer, options->budget, SAMPLED_BYTES_MAX);
    enum err e = series_blocks_new(&blocks, &s->blocks, why);
    if (e == OK && rw_request_init(&s->request, options->budget)) e = fetch_no_memory(why);
    if (e == OK) e = snappy_unpack(answer, &s->answer, why);
    if (e == ERR_INPUT) e = ERR_CORRUPT;
    if (e == OK) e = index_answer(s, why);
    if (e)
        sampled_free(s);
    else
        *ret_sampled = s;
    return e;
}

void
sampled_free(struct sampled *s)
{
    if (s == NULL) return;
    series_blocks_free(s->blocks);
    rw_request_fini(&s->request);
    buf_fini(&s->answer);
    mem_free(s->budget, s, sizeof *s);
}
