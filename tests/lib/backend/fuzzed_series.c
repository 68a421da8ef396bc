/* fuzzed_series.c - see fuzzed_series.h. */
#include "lib/backend/fuzzed_series.h"

#include <stdlib.h>

void
check_fuzzed_labels(struct bytes labels, struct buf *before, bool *any)
{
    if (!labels_valid(labels)) abort();
    if (!bytes_equal_text(labels_get(labels, bytes_of_text("dc")), "one")) abort();
    if (*any && labels_compare(buf_bytes(before), labels) >= 0) abort();
    *any = true;
    buf_clear(before);
    buf_put_bytes(before, labels);
}

void
check_fuzzed_batch(const struct sample_batch *b, int64_t *last_ms)
{
    for (uint32_t i = 0; i < b->count; i++) {
        int64_t t_ms = b->times_ms[i];
        if (t_ms < FUZZED_MIN_MS || t_ms > FUZZED_MAX_MS || t_ms <= *last_ms) abort();
        *last_ms = t_ms;
        if (b->kind != SAMPLE_FLOAT && b->histograms[i].kind != b->kind) abort();
    }
}

void
check_fuzzed_end(enum err e, const struct why *why)
{
    if (e != OK && why->text[0] == '\0') abort();
    if (e != OK && e != ERR_CORRUPT && e != ERR_LIMIT && e != ERR_UNSUPPORTED && e != ERR_NOMEM)
        abort();
}
