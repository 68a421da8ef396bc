/* bounds.c - see bounds.h. */
#include "relay/bounds.h"

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
