/* channel.c - see channel.h. */
#include "lib/channel.h"

#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_BYTES = 4096, RECORD_BYTES = 16384 };

/* In the order of Go on processors with instructions for AES. */
static const char PRIORITY[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:"
                               "+AES-256-GCM:+CHACHA20-POLY1305";

static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priority;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
init(void)
{
    if (gnutls_certificate_allocate_credentials(&credentials) ||
        gnutls_priority_init(&priority, PRIORITY, NULL))
        die("GnuTLS does not start");
}

static bool
begin_tls(struct channel *c, const struct ticket *ticket)
{
    int failed;
    pthread_once(&once, init);
    if (gnutls_init(&c->tls, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL)) die("not enough memory");
    gnutls_priority_set(c->tls, priority);
    gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_server_name_set(c->tls, GNUTLS_NAME_DNS, "localhost", 9);
    if (ticket != NULL && ticket->at != NULL)
        gnutls_session_set_data(c->tls, ticket->at, ticket->size);
    gnutls_transport_set_int(c->tls, c->fd);
    do {
        failed = gnutls_handshake(c->tls);
    } while (failed != 0 && !gnutls_error_is_fatal(failed));
    return failed == 0;
}

bool
channel_open(struct channel *c, const struct address *to, const struct ticket *ticket)
{
    *c = (struct channel){.fd = address_connect(to)};
    if (c->fd < 0) return false;
    if (!to->is_tls || begin_tls(c, ticket)) return true;
    channel_close(c);
    return false;
}

void
channel_close(struct channel *c)
{
    if (c->fd < 0) return;
    if (c->tls != NULL) {
        (void)!gnutls_bye(c->tls, GNUTLS_SHUT_WR);
        gnutls_deinit(c->tls);
    }
    close(c->fd);
    *c = (struct channel){.fd = -1};
}

static bool
write_all(int fd, struct iovec *parts, int count)
{
    while (count > 0) {
        ssize_t n = writev(fd, parts, count);
        if (n <= 0) return false;
        while (count > 0 && (size_t)n >= parts->iov_len) {
            n -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return true;
}

static bool
send_record(struct channel *c, const void *at, size_t size)
{
    ssize_t sent;
    do {
        sent = gnutls_record_send(c->tls, at, size);
    } while (sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED);
    return sent == (ssize_t)size;
}

bool
channel_send(struct channel *c, struct bytes head, struct bytes body)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)head.at, head.size},
                             {(void *)(uintptr_t)body.at, body.size}};
    if (c->tls == NULL) return write_all(c->fd, parts, 2);
    uint8_t first[FIRST_BYTES];
    if (head.size > sizeof first) die("a head is too long");
    size_t taken = body.size < sizeof first - head.size ? body.size : sizeof first - head.size;
    memcpy(first, head.at, head.size);
    if (taken > 0) memcpy(first + head.size, body.at, taken);
    bool ok = send_record(c, first, head.size + taken);
    for (size_t at = taken; at < body.size && ok; at += RECORD_BYTES) {
        size_t left = body.size - at;
        ok = send_record(c, body.at + at, left < RECORD_BYTES ? left : RECORD_BYTES);
    }
    return ok;
}

ssize_t
channel_receive(struct channel *c, void *to, size_t size)
{
    ssize_t got;
    if (c->tls == NULL) return read(c->fd, to, size);
    do {
        got = gnutls_record_recv(c->tls, to, size);
    } while (got < 0 && !gnutls_error_is_fatal((int)got));
    return got;
}

bool
channel_is_resumed(const struct channel *c)
{
    return c->tls != NULL && gnutls_session_is_resumed(c->tls) != 0;
}

struct ticket
channel_keep(const struct channel *c)
{
    gnutls_datum_t data = {NULL, 0};
    if (c->tls == NULL || gnutls_session_get_data2(c->tls, &data)) return (struct ticket){NULL, 0};
    return (struct ticket){data.data, data.size};
}
