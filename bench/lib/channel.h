/*
 * channel.h - a connection of a measuring client, in clear text or with TLS. The server's
 * certificate is not verified: the client's work is not measured.
 *
 * Records are as those of Prometheus 3 after its first 128 KiB: 4 KiB with the head, from Go's
 * buffer, then 16 KiB each.
 */
#ifndef BENCH_LIB_CHANNEL_H
#define BENCH_LIB_CHANNEL_H

#include <stdbool.h>
#include <sys/uio.h>

#include "lib/tool.h"

struct channel {
    int fd;                         /* -1: closed */
    struct gnutls_session_int *tls; /* NULL: clear text */
};

/* A session to resume, which channel_keep() got of an earlier connection. */
struct ticket {
    void *at; /* NULL: none */
    unsigned size;
};

/* Connects; false if the server refuses, or the handshake fails. `ticket` may be NULL. */
bool channel_open(struct channel *c, const struct address *to, const struct ticket *ticket);
void channel_close(struct channel *c);
bool channel_send(struct channel *c, struct bytes head, struct bytes body);
/* Returns the bytes received, 0 or less after the end. */
ssize_t channel_receive(struct channel *c, void *to, size_t size);
bool channel_is_resumed(const struct channel *c);
/* Returns the ticket of a connection that has received an answer; `at` is NULL without one. */
struct ticket channel_keep(const struct channel *c);

#endif
