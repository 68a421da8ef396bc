/* Takes any bytes as a streamed answer, in two pieces; what it gives must be within the range. */
#include <stdlib.h>

#include "wire/remote_read_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MIN_MS = 1000, MAX_MS = 1000000 };

static void
check_time(int64_t t_ms)
{
    if (t_ms < MIN_MS || t_ms > MAX_MS) abort();
}

static enum err
take_series(void *context, struct bytes labels, struct why *why)
{
    (void)context;
    (void)why;
    (void)labels;
    return OK;
}

static enum err
take_floats(void *context, uint32_t count, const int64_t *times_ms, const uint64_t *bits,
            struct why *why)
{
    (void)context;
    (void)why;
    (void)bits;
    if (count == 0) abort();
    for (uint32_t i = 0; i < count; i++) {
        check_time(times_ms[i]);
    }
    return OK;
}

static enum err
take_histogram(void *context, int64_t t_ms, const struct histogram *h, struct why *why)
{
    (void)context;
    (void)why;
    if (h == NULL) abort();
    check_time(t_ms);
    return OK;
}

static enum err
take_notice(void *context, enum rr_notice notice, struct bytes text, struct why *why)
{
    (void)context;
    if (text.size > 0 && text.at == NULL) abort();
    return notice == RR_NOTICE_ERROR ? why_set(why, ERR_CORRUPT, "told") : OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_receiver receiver = {take_series, take_floats, take_histogram,
                                   NULL,        take_notice, NULL};
    struct rr_client *client;
    struct why why = {""};
    if (rr_client_new(&receiver, MIN_MS, MAX_MS, NULL, &client) != OK) abort();
    size_t first = size / 2;
    enum err e = rr_client_take(client, bytes_of(data, first), &why);
    if (e == OK) e = rr_client_take(client, bytes_of(data + first, size - first), &why);
    if (e == OK) e = rr_client_end(client, &why);
    if (e != OK && why.text[0] == '\0') abort();
    if (e != OK && e != ERR_CORRUPT && e != ERR_LIMIT && e != ERR_UNSUPPORTED && e != ERR_NOMEM) {
        abort();
    }
    rr_client_free(client);
    return 0;
}
