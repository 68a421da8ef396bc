/* bounds.c - see bounds.h. */
#include "relay/lane/bounds.h"

enum { SAMPLE_BYTES = 512, COPIES = 4 };

struct call_bounds
call_bounds_of(const struct writer_limits *limits, const struct destination_settings *settings)
{
    const struct batch_settings *batch = &settings->batch;
    struct call_bounds b = {
        .samples = batch->max_samples != 0 ? batch->max_samples : limits->samples,
        .bytes = batch->max_bytes != 0 ? batch->max_bytes : limits->bytes,
        .age_ms = limits->max_age_ms != 0 ? limits->max_age_ms : batch->max_age_ms,
        .lanes = settings->concurrency != 0 ? settings->concurrency : limits->concurrency,
    };
    if (b.samples > limits->samples_max) b.samples = limits->samples_max;
    if (b.bytes > limits->bytes_max) b.bytes = limits->bytes_max;
    if (b.lanes > LANES_MAX) b.lanes = LANES_MAX;
    if (limits->one_lane) b.lanes = 1;
    return b;
}

/* A lane has two calls (queued ones have a limit of their own), and each exists twice for a moment:
 * as it was filled, and packed. The other half of the memory is for chunks, and for the positions
 * of pending items. */
void
call_bounds_fit(struct call_bounds *b, uint64_t memory_bytes)
{
    if (memory_bytes == 0) return;
    uint64_t call_bytes = (uint64_t)b->samples * SAMPLE_BYTES, room = memory_bytes / 2 / COPIES;
    if (call_bytes > b->bytes) call_bytes = b->bytes;
    if (call_bytes <= room / b->lanes) return;
    b->lanes = call_bytes <= room ? (uint32_t)(room / call_bytes) : 1;
    if (call_bytes <= room) return;
    b->bytes = room > SAMPLE_BYTES ? room : SAMPLE_BYTES;
    b->samples = (uint32_t)(b->bytes / SAMPLE_BYTES);
}
