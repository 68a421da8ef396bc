/*
 * rates.c - see rates.h. Token buckets that hold at most one second's worth. A call is charged
 * after it was sent, so a bucket may go below zero; nothing is sent before it is refilled.
 */
#include "relay/lane/rates.h"

#include "sys/env.h"

void
rates_init(struct rates *r, const struct destination_settings *settings, int64_t now_ns)
{
    *r = (struct rates){
        .samples.rate = settings->max_rate_samples,
        .bytes.rate = settings->max_rate_bytes,
        .filled.rate = settings->fill_rate_samples,
        .at_ns = now_ns,
    };
}

static bool
refill(struct token_bucket *bucket, double seconds)
{
    bucket->tokens += (double)bucket->rate * seconds;
    if (bucket->tokens > (double)bucket->rate) bucket->tokens = (double)bucket->rate;
    return bucket->rate == 0 || bucket->tokens >= 0;
}

bool
rates_allow(struct rates *r, bool filling, int64_t now_ns)
{
    double seconds = (double)(now_ns - r->at_ns) / (double)NS_PER_S;
    r->at_ns = now_ns;
    bool samples = refill(&r->samples, seconds), bytes = refill(&r->bytes, seconds);
    bool filled = refill(&r->filled, seconds) || !filling;
    return samples && bytes && filled;
}

void
rates_note_sent(struct rates *r, bool filling, uint32_t samples, uint64_t bytes)
{
    r->samples.tokens -= samples;
    r->bytes.tokens -= (double)bytes;
    if (filling) r->filled.tokens -= samples;
}
