/*
 * sampled.c - see remote_read.h.
 *
 * A QueryResult is, byte for byte, a remote write 1.0 request: series in a field 1. So each series
 * is decoded as a request of one series, when it is needed.
 */
#include "backend/remote/remote_private.h"

#include <stdlib.h>

#include "base/array.h"
#include "model/sample_merge.h"
#include "wire/proto.h"
#include "wire/remote/remote_write.h"
#include "wire/snappy.h"

enum {
    SAMPLED_LABEL_BYTES_MAX = 1 << 30,
    BATCH = 512,
    PARTS_MAX = 64, /* parts of a series in a response; each has room for a batch */
};

struct sampled_entry {
    size_t labels_at, labels_size;
    struct bytes request; /* bytes of the series' message within the response */
    uint32_t number;      /* number of the series in the response */
};

/* The floats or the histograms of a current entry. */
struct sampled_place {
    struct sampled *of;
    const struct rw_request *request;
    bool histograms;
    uint32_t at, end;
    int64_t times_ms[BATCH];
    uint64_t bits[BATCH];
    struct histogram decoded[BATCH];
};

struct sampled_part {
    struct rw_request request;
    struct sampled_place *places[2]; /* NULL without such samples */
};

struct sampled {
    struct sampled_options options;
    struct buf answer;
    struct buf labels; /* labels of all entries */
    struct sampled_entry *entries;
    uint32_t count, capacity;
    uint32_t next;
    /* The current series. */
    struct sampled_part *parts;
    uint32_t part_count, part_capacity;
    struct sample_merge samples;
};

static enum err
sampled_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the response");
}

static enum err
damaged(struct why *why)
{
    return why_set(why, ERR_CORRUPT, "the response cannot be read");
}

/* --- the index -------------------------------------------------------------------------------- */

/* Adds an entry. `request` is tag, length and message of a TimeSeries, `message` its fields. */
static enum err
add_entry(struct sampled *s, struct bytes request, struct bytes message, struct buf *fields,
          struct why *why)
{
    struct cursor c = cursor_of(message);
    buf_clear(fields);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag == PROTO_TAG(1, PROTO_BYTES))
            proto_put_bytes(fields, tag, proto_bytes(&c));
        else
            proto_skip(&c, tag, PROTO_KNOWN(1));
    }
    if (c.bad) return damaged(why);
    if (buf_error(fields) ||
        !array_reserve(s->options.budget, &s->entries, &s->capacity, s->count + 1)) {
        return sampled_no_memory(why);
    }
    struct sampled_entry entry = {
        .labels_at = s->labels.size, .request = request, .number = s->count};
    enum err e = final_labels_put(&s->options.external, buf_bytes(fields), &s->labels, why);
    entry.labels_size = s->labels.size - entry.labels_at;
    if (e == OK) s->entries[s->count++] = entry;
    return e;
}

static enum err
index_result(struct sampled *s, struct bytes result, struct why *why)
{
    enum err e = OK;
    struct cursor c = cursor_of(result);
    struct buf fields;
    buf_init(&fields, s->options.budget, SAMPLED_LABEL_BYTES_MAX);
    while (e == OK) {
        const uint8_t *begin = c.at;
        uint32_t tag = proto_tag(&c);
        if (tag == 0) break;
        if (tag != PROTO_TAG(1, PROTO_BYTES)) {
            proto_skip(&c, tag, PROTO_KNOWN(1));
            continue;
        }
        struct bytes message = proto_bytes(&c);
        if (c.bad) break;
        e = add_entry(s, bytes_of(begin, (size_t)(c.at - begin)), message, &fields, why);
    }
    buf_fini(&fields);
    return e == OK && c.bad ? damaged(why) : e;
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
    if (results != 1) {
        return why_set(why, ERR_CORRUPT, "the response has %u results for one query", results);
    }
    return index_result(s, result, why);
}

static struct bytes
labels_of(const struct sampled *s, const struct sampled_entry *entry)
{
    if (entry->labels_size == 0) return bytes_of(NULL, 0);
    return bytes_of(s->labels.at + entry->labels_at, entry->labels_size);
}

static int
compare_entries(const void *a, const void *b, void *sampled)
{
    const struct sampled_entry *x = a, *y = b;
    int order = labels_compare(labels_of(sampled, x), labels_of(sampled, y));
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

/* --- samples ---------------------------------------------------------------------------------- */

static enum err
place_batch(void *from, struct sample_batch *ret_batch, struct why *why)
{
    struct sampled_place *p = from;
    const struct sampled_options *x = &p->of->options;
    uint32_t n = 0;
    (void)why;
    *ret_batch = (struct sample_batch){.count = 0};
    for (; p->at < p->end && n < BATCH; p->at++) {
        const struct rw_request *r = p->request;
        int64_t t_ms = p->histograms ? r->histograms[p->at].t_ms : r->floats[p->at].t_ms;
        if (t_ms < x->min_ms || t_ms > x->max_ms) continue;
        if (p->histograms && n > 0 && r->histograms[p->at].h.kind != p->decoded[0].kind) break;
        p->times_ms[n] = t_ms;
        if (p->histograms)
            p->decoded[n++] = r->histograms[p->at].h;
        else
            p->bits[n++] = r->floats[p->at].bits;
    }
    ret_batch->kind = p->histograms && n > 0 ? p->decoded[0].kind : SAMPLE_FLOAT;
    ret_batch->count = n;
    ret_batch->times_ms = p->times_ms;
    ret_batch->value_bits = p->histograms ? NULL : p->bits;
    ret_batch->histograms = p->histograms ? p->decoded : NULL;
    return OK;
}

static int
compare_floats(const void *a, const void *b)
{
    const struct rw_float *x = a, *y = b;
    return (x->t_ms > y->t_ms) - (x->t_ms < y->t_ms);
}

static int
compare_histograms(const void *a, const void *b)
{
    const struct rw_histogram *x = a, *y = b;
    return (x->t_ms > y->t_ms) - (x->t_ms < y->t_ms);
}

/* Sorts floats by time, each time once. */
static void
put_floats_in_order(struct rw_request *r)
{
    uint32_t kept = 0;
    bool ordered = true;
    for (uint32_t i = 1; i < r->float_count && ordered; i++) {
        ordered = r->floats[i - 1].t_ms < r->floats[i].t_ms;
    }
    if (ordered) return;
    qsort(r->floats, r->float_count, sizeof *r->floats, compare_floats);
    for (uint32_t i = 0; i < r->float_count; i++) {
        if (i > 0 && r->floats[i].t_ms == r->floats[kept - 1].t_ms) continue;
        r->floats[kept++] = r->floats[i];
    }
    r->float_count = kept;
}

static void
put_histograms_in_order(struct rw_request *r)
{
    uint32_t kept = 0;
    bool ordered = true;
    for (uint32_t i = 1; i < r->histogram_count && ordered; i++) {
        ordered = r->histograms[i - 1].t_ms < r->histograms[i].t_ms;
    }
    if (ordered) return;
    qsort(r->histograms, r->histogram_count, sizeof *r->histograms, compare_histograms);
    for (uint32_t i = 0; i < r->histogram_count; i++) {
        if (i > 0 && r->histograms[i].t_ms == r->histograms[kept - 1].t_ms) continue;
        r->histograms[kept++] = r->histograms[i];
    }
    r->histogram_count = kept;
}

static enum err
add_place(struct sampled *s, struct sampled_part *part, bool histograms, struct why *why)
{
    uint32_t count = histograms ? part->request.histogram_count : part->request.float_count;
    if (count == 0) return OK;
    struct sampled_place *p = mem_alloc(s->options.budget, sizeof *p); /* most of it are batches */
    part->places[histograms] = p;
    if (p == NULL) return sampled_no_memory(why);
    p->of = s;
    p->request = &part->request;
    p->histograms = histograms;
    p->at = 0;
    p->end = count;
    return sample_merge_add(&s->samples, p) ? sampled_no_memory(why) : OK;
}

static enum err
decode_part(struct sampled *s, struct sampled_part *part, struct bytes request, struct why *why)
{
    struct rw_request *r = &part->request;
    enum err e = rw_decode(r, RW_V1, request, 0, why);
    if (e) return e == ERR_INPUT ? ERR_CORRUPT : e;
    for (uint32_t i = 0; i < r->histogram_count; i++) {
        if (r->histograms[i].malformed || histogram_check(&r->histograms[i].h, why) != OK) {
            return why_set(why, ERR_CORRUPT, "a histogram is not valid");
        }
    }
    put_floats_in_order(r);
    put_histograms_in_order(r);
    e = add_place(s, part, false, why);
    return e ? e : add_place(s, part, true, why);
}

static void
drop_parts(struct sampled *s)
{
    for (uint32_t i = 0; i < s->part_count; i++) {
        for (int k = 0; k < 2; k++) {
            struct sampled_place *p = s->parts[i].places[k];
            mem_free(s->options.budget, p, p == NULL ? 0 : sizeof *p);
        }
        rw_request_fini(&s->parts[i].request);
    }
    s->part_count = 0;
    sample_merge_clear(&s->samples);
}

enum err
sampled_next(struct sampled *s, struct bytes *ret_labels, struct why *why)
{
    *ret_labels = bytes_of(NULL, 0);
    drop_parts(s);
    if (s->next == s->count) return OK;
    uint32_t first = s->next;
    struct bytes labels = labels_of(s, &s->entries[first]);
    while (s->next < s->count && bytes_equal(labels_of(s, &s->entries[s->next]), labels)) {
        s->next++;
    }
    if (s->next - first > PARTS_MAX) {
        return why_set(why, ERR_UNSUPPORTED, "a series comes more than %d times", PARTS_MAX);
    }
    if (!array_reserve(s->options.budget, &s->parts, &s->part_capacity, s->next - first)) {
        return sampled_no_memory(why);
    }
    for (uint32_t i = first; i < s->next; i++) {
        struct sampled_part *part = &s->parts[s->part_count++];
        *part = (struct sampled_part){.places = {NULL, NULL}};
        if (rw_request_init(&part->request, s->options.budget)) return sampled_no_memory(why);
        enum err e = decode_part(s, part, s->entries[i].request, why);
        if (e) return e;
    }
    *ret_labels = labels.size == 0 ? bytes_of("", 0) : labels;
    return OK;
}

enum err
sampled_batch(struct sampled *s, struct sample_batch *ret_batch, struct why *why)
{
    *ret_batch = (struct sample_batch){.count = 0};
    return s->samples.count == 0 ? OK : sample_merge_batch(&s->samples, ret_batch, why);
}

/* --- the set ---------------------------------------------------------------------------------- */

enum err
sampled_new(const struct sampled_options *options, struct bytes answer,
            struct sampled **ret_sampled, struct why *why)
{
    struct sampled *s = mem_new(options->budget, sizeof *s);
    if (s == NULL) return sampled_no_memory(why);
    s->options = *options;
    buf_init(&s->answer, options->budget, SAMPLED_BYTES_MAX);
    buf_init(&s->labels, options->budget, SAMPLED_LABEL_BYTES_MAX);
    sample_merge_init(&s->samples, place_batch, options->budget);
    enum err e = snappy_unpack(answer, &s->answer, why);
    if (e == ERR_INPUT) e = ERR_CORRUPT;
    if (e == OK) e = index_answer(s, why);
    if (e) {
        sampled_free(s);
        return e;
    }
    if (s->count > 0) qsort_r(s->entries, s->count, sizeof *s->entries, compare_entries, s);
    *ret_sampled = s;
    return OK;
}

void
sampled_free(struct sampled *s)
{
    if (s == NULL) return;
    drop_parts(s);
    array_free(s->options.budget, s->parts, s->part_capacity);
    array_free(s->options.budget, s->entries, s->capacity);
    sample_merge_fini(&s->samples);
    buf_fini(&s->answer);
    buf_fini(&s->labels);
    mem_free(s->options.budget, s, sizeof *s);
}
