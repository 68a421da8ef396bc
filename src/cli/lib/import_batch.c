/*
 * import_batch.c - collects items of text in one request until it is full; captures are complete
 * requests, and are decoded only for counts and checks. The caller reports invalid items; an error
 * of the target ends the batch.
 */
#include "cli/lib/import_batch.h"

#include <stdio.h>

#include "model/histogram.h"
#include "model/labels.h"
#include "wire/remote/remote_write_build.h"
#include "wire/snappy.h"

enum { LABELS_BYTES_MAX = 256 << 20, MESSAGE_BYTES_MAX = 256 << 20 };

/* Generous: the store has limits of its own. */
static const struct labels_limits limits = {100000, 1 << 20, 64 << 20};

struct import_batch {
    struct target *target;
    enum rw_version version;
    void (*rejected)(void *context, const char *text);
    void *context;
    bool failed;
    struct batch_counts counts;
    struct rw_build *build;
    struct buf labels;
    struct buf exemplar_labels;
    struct buf metadata; /* a request of version 1.0 */
    uint64_t families;   /* in it */
    struct buf message;  /* message of a capture */
    struct rw_request request;
};

enum err
batch_new(struct target *target, enum rw_version version,
          void (*rejected)(void *context, const char *text), void *context,
          struct import_batch **ret_batch, struct why *why)
{
    struct import_batch *b = mem_new(NULL, sizeof *b);
    if (b == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    b->target = target;
    b->version = version;
    b->rejected = rejected;
    b->context = context;
    buf_init(&b->labels, NULL, LABELS_BYTES_MAX);
    buf_init(&b->exemplar_labels, NULL, LABELS_BYTES_MAX);
    buf_init(&b->metadata, NULL, MESSAGE_BYTES_MAX);
    buf_init(&b->message, NULL, MESSAGE_BYTES_MAX);
    enum err e = rw_build_new(version, NULL, &b->build);
    if (e == OK) e = rw_request_init(&b->request, NULL);
    if (e) {
        batch_free(b);
        return why_set(why, e, "not enough memory");
    }
    *ret_batch = b;
    return OK;
}

void
batch_free(struct import_batch *b)
{
    if (b == NULL) return;
    rw_build_free(b->build);
    rw_request_fini(&b->request);
    buf_fini(&b->labels);
    buf_fini(&b->exemplar_labels);
    buf_fini(&b->metadata);
    buf_fini(&b->message);
    mem_free(NULL, b, sizeof *b);
}

bool
batch_failed(const struct import_batch *b)
{
    return b->failed;
}

struct batch_counts
batch_counts(const struct import_batch *b)
{
    return b->counts;
}

/* --- sending ---------------------------------------------------------------------------------- */

static enum err
batch_fail(struct import_batch *b, enum err e)
{
    b->failed = true;
    return e;
}

static enum err
deliver(struct import_batch *b, enum rw_version version, struct bytes message, struct bytes packed,
        const struct target_counts *counts, struct why *why)
{
    struct target_result result = {0};
    if (b->target != NULL) {
        enum err e = target_write(b->target, version, message, packed, counts, &result, why);
        if (e) return batch_fail(b, e);
    }
    b->counts.requests++;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        b->counts.taken.of[kind] += counts->of[kind] - result.rejected.of[kind];
        b->counts.rejected.of[kind] += result.rejected.of[kind];
    }
    if (result.text[0] != '\0') b->rejected(b->context, result.text);
    return OK;
}

static enum err
send_samples(struct import_batch *b, struct why *why)
{
    struct rw_build_counts built = rw_build_counts(b->build);
    struct target_counts counts = {{built.floats, built.histograms, built.exemplars}};
    struct bytes message;
    if (built.series == 0) return OK;
    enum err e = rw_build_end(b->build, &message);
    if (e) return batch_fail(b, why_set(why, e, "not enough memory for a request"));
    e = deliver(b, b->version, message, (struct bytes){NULL, 0}, &counts, why);
    rw_build_clear(b->build);
    return e;
}

enum err
batch_send(struct import_batch *b, struct why *why)
{
    static const struct target_counts none;
    enum err e = send_samples(b, why);
    if (e || b->metadata.size == 0) return e;
    e = deliver(b, RW_V1, buf_bytes(&b->metadata), (struct bytes){NULL, 0}, &none, why);
    if (e == OK) b->counts.families += b->families;
    b->families = 0;
    buf_clear(&b->metadata);
    return e;
}

bool
batch_is_full(const struct import_batch *b)
{
    struct rw_build_counts c = rw_build_counts(b->build);
    return c.floats + c.histograms + c.exemplars >= BATCH_SAMPLES_MAX ||
           c.bytes >= BATCH_BYTES_MAX || b->metadata.size >= BATCH_BYTES_MAX;
}

/* --- items ------------------------------------------------------------------------------------ */

static enum err
canonical(struct import_batch *b, struct label *labels, uint32_t count, struct buf *to,
          struct why *why)
{
    buf_clear(to);
    enum reject verdict = labels_build(labels, count, &limits, to);
    if (buf_error(to))
        return batch_fail(b, why_set(why, ERR_NOMEM, "not enough memory for labels"));
    if (verdict == REJECT_NONE) return OK;
    return why_set(why, ERR_INPUT, "invalid labels: %s", reject_word(verdict));
}

/* Puts canonical labels of an exemplar into b->exemplar_labels. */
static enum err
exemplar_labels(struct import_batch *b, const struct text_exemplar *exemplar, struct why *why)
{
    buf_clear(&b->exemplar_labels);
    if (exemplar->label_count == 0) return OK;
    return canonical(b, exemplar->labels, exemplar->label_count, &b->exemplar_labels, why);
}

static enum err
item_samples(struct import_batch *b, const struct text_item *item, struct why *why)
{
    rw_build_series(b->build, buf_bytes(&b->labels));
    for (uint32_t i = 0; i < item->sample_count; i++) {
        if (i > 0 && i % 64 == 0 && batch_is_full(b)) { /* a line may exceed a request */
            enum err e = send_samples(b, why);
            if (e) return e;
            rw_build_series(b->build, buf_bytes(&b->labels));
        }
        rw_build_float(b->build, item->times_ms[i], item->bits[i], item->start_ms);
    }
    if (item->histogram != NULL)
        rw_build_histogram(b->build, item->histogram_ms, item->start_ms, item->histogram);
    for (uint32_t i = 0; i < item->exemplar_count; i++) {
        const struct text_exemplar *exemplar = &item->exemplars[i];
        enum err e = exemplar_labels(b, exemplar, why);
        if (e) return e;
        rw_build_exemplar(b->build, buf_bytes(&b->exemplar_labels), exemplar->t_ms, exemplar->bits);
    }
    return OK;
}

enum err
batch_item(struct import_batch *b, const struct text_item *item, struct why *why)
{
    if (item->has_metadata) {
        rw_build_metadata_v1(&b->metadata, item->family, item->type, item->help, item->unit);
        if (buf_error(&b->metadata))
            return batch_fail(b, why_set(why, ERR_NOMEM, "not enough memory for metadata"));
        b->families++;
    }
    bool any = item->sample_count > 0 || item->histogram != NULL || item->exemplar_count > 0;
    if (!any) return OK;
    /* The whole item is checked before any of it is taken: a line is imported whole or not at
     * all. */
    enum err e = canonical(b, item->labels, item->label_count, &b->labels, why);
    for (uint32_t i = 0; i < item->exemplar_count && e == OK; i++)
        e = exemplar_labels(b, &item->exemplars[i], why);
    if (e == OK && item->histogram != NULL) e = histogram_check(item->histogram, why);
    return e ? e : item_samples(b, item, why);
}

enum err
batch_samples(struct import_batch *b, struct bytes labels, const struct sample_batch *samples,
              struct why *why)
{
    rw_build_series(b->build, labels);
    for (uint32_t i = 0; i < samples->count; i++) {
        int64_t t_ms = samples->times_ms[i];
        int64_t start_ms = samples->starts_ms == NULL ? 0 : samples->starts_ms[i];
        if (samples->kind == SAMPLE_FLOAT)
            rw_build_float(b->build, t_ms, samples->value_bits[i], start_ms);
        else
            rw_build_histogram(b->build, t_ms, start_ms, &samples->histograms[i]);
        if (i % 64 != 63 || !batch_is_full(b)) continue;
        enum err e = send_samples(b, why);
        if (e) return e;
        rw_build_series(b->build, labels);
    }
    return batch_is_full(b) ? send_samples(b, why) : OK;
}

/* --- captures --------------------------------------------------------------------------------- */

enum err
batch_request(struct import_batch *b, struct bytes packed, struct why *why)
{
    size_t size;
    enum err e = snappy_size(packed, MESSAGE_BYTES_MAX - 64, &size);
    if (e) return why_set(why, ERR_INPUT, "not a snappy block, or too large");
    e = snappy_unpack(packed, &b->message, why);
    if (e == ERR_NOMEM) return batch_fail(b, why_set(why, e, "not enough memory for a request"));
    if (e) return e;
    /* Top-level fields of 1.0 are 1 and 3, those of 2.0 are 4 and 5. */
    unsigned field = b->message.size == 0 ? 0 : b->message.at[0] >> 3;
    enum rw_version version = field == 4 || field == 5 ? RW_V2 : RW_V1;
    e = rw_decode(&b->request, version, buf_bytes(&b->message), 0, why);
    if (e == ERR_NOMEM) return batch_fail(b, why_set(why, e, "not enough memory for a request"));
    if (e) return why_set(why, ERR_INPUT, "not a remote write request");
    struct target_counts counts = {
        {b->request.float_count, b->request.histogram_count, b->request.exemplar_count}};
    b->counts.families += b->request.metadata_count;
    rw_request_clear(&b->request);
    return deliver(b, version, buf_bytes(&b->message), packed, &counts, why);
}
