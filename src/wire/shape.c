#include "wire/shape.h"

static bool
same_spans(const struct hist_buckets *a, const struct hist_buckets *b)
{
    return a->span_count == b->span_count && a->bucket_count == b->bucket_count &&
           (a->span_count == 0 ||
            memcmp(a->spans, b->spans, a->span_count * sizeof *a->spans) == 0);
}

bool
histogram_same_layout(const struct histogram *a, const struct histogram *b)
{
    return a->kind == b->kind && a->schema == b->schema &&
           a->zero_threshold_bits == b->zero_threshold_bits &&
           same_spans(&a->positive, &b->positive) && same_spans(&a->negative, &b->negative) &&
           a->custom_count == b->custom_count &&
           (a->custom_count == 0 ||
            memcmp(a->custom_bits, b->custom_bits, a->custom_count * sizeof *a->custom_bits) == 0);
}
