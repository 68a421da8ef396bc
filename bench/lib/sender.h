/*
 * sender.h - one connection that posts write requests and waits for each answer.
 * A sender belongs to one thread at a time.
 */
#ifndef BENCH_LIB_SENDER_H
#define BENCH_LIB_SENDER_H

#include <stdbool.h>

#include "lib/channel.h"

enum { SENDER_STATUSES = 600, SENDER_SLOTS = 256 };

struct sender {
    const struct address *to;
    uint64_t version; /* remote write 1 or 2 */
    char tenant[16];  /* sent as X-Scope-OrgID; "": no such header */
    struct channel channel;

    uint64_t samples, bytes, retries, refused;
    uint64_t statuses[SENDER_STATUSES]; /* 0: no answer */
    uint64_t took[SENDER_SLOTS];        /* requests by the time until they were accepted */
    double took_max_s;
    double took_max_at_s; /* Unix time when it was accepted */
    char trouble[256];    /* the first answer other than 2xx */
};

/* Both are borrowed until sender_close(). */
void sender_init(struct sender *s, const struct address *to, uint64_t version);
/* Sends a request, and repeats it after 429, 5xx or no answer; ends the program after
 * 60 s of that. */
void sender_send(struct sender *s, struct bytes body, uint32_t samples);
void sender_close(struct sender *s);

/* Returns the seconds within which this share (0..1) of `count` requests was accepted, to 3 %. */
double sender_quantile_s(const uint64_t took[SENDER_SLOTS], uint64_t count, double share);

#endif
