/*
 * tls.h - TLS for connections that the server accepts, on GnuTLS.
 *
 * A `struct tls` is what the settings and the files that they name gave at one time: immutable,
 * reference counted, shared by threads. When files change, the owner makes a new one and gives it
 * to the server; connections of the old one stay open as long as tls_session_fits() allows it.
 * Session tickets are encrypted with a key of their `struct tls`, so they end with it.
 *
 * A session belongs to one thread. Its calls do not wait: the socket is non-blocking.
 *
 * Memory: GnuTLS allocates outside of budgets. A session is charged TLS_SESSION_BYTES: the
 * 12 KiB that it takes between requests, and a record in each direction; files are at most
 * TLS_FILE_BYTES_MAX.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "net/tls_settings.h"

enum {
    TLS_FILE_BYTES_MAX = 1024 * 1024, /* a bundle of all public CAs takes a quarter */
    TLS_SESSION_BYTES = 48 * 1024,
    TLS_RECORD_BYTES = 16 * 1024,
    TLS_NAMES_MAX = 64, /* names of a client's certificate that are kept */
};

struct tls;
struct tls_session;

/* Reads the files. ERR_MISSING, ERR_IO: a file cannot be read; ERR_INPUT: it is not what it should
 * be, or key and certificate do not belong together; ERR_LIMIT: it is too large; ERR_NOMEM. `why`
 * names the file. */
MUST_CHECK enum err tls_new(const struct tls_server_settings *settings, struct budget *memory,
                            struct tls **ret_tls, struct why *why);
struct tls *tls_hold(struct tls *tls);
/* NULL is fine. */
void tls_release(struct tls *tls);
/* Says whether both have the same settings, and files with the same bytes. NULL equals NULL. */
bool tls_equal(const struct tls *a, const struct tls *b);
/* Returns the time at which the server's certificate expires, Unix seconds. */
int64_t tls_expires_s(const struct tls *tls);

/* --- sessions --------------------------------------------------------------------------------- */

/* TLS_AGAIN: the socket has no more bytes, or takes none. TLS_ENDED: the client has closed, or
 * broke the protocol; nothing more can be sent or received. */
enum tls_progress { TLS_DONE, TLS_AGAIN, TLS_ENDED };

/* Begins a session on a connected socket, which stays the caller's. NULL: not enough memory. */
struct tls_session *tls_session_new(struct tls *tls, int fd);
/* NULL is fine. */
void tls_session_free(struct tls_session *session);

/* Goes on with the handshake. TLS_ENDED: it failed, `why` says how; the client got an alert. */
enum tls_progress tls_handshake(struct tls_session *session, struct why *why);
/* Receives at most `size` bytes, of one record. TLS_DONE: *ret_size > 0. */
enum tls_progress tls_receive(struct tls_session *session, uint8_t *to, size_t size,
                              size_t *ret_size);
/* Sends a record, at most, of the bytes of `parts`. TLS_DONE: *ret_size of them were sent. After
 * TLS_AGAIN a record waits in the session: the next call has to begin with the same bytes.
 * `scratch` has room for TLS_RECORD_BYTES. */
enum tls_progress tls_send(struct tls_session *session, const struct iovec *parts, size_t count,
                           uint8_t *scratch, size_t *ret_size);
/* Sends the client the end of the session (close_notify), unless the socket takes no bytes. */
void tls_end(struct tls_session *session);

/* Returns true if bytes of a record that was received are not read. */
bool tls_has_unread(const struct tls_session *session);

/* Says whether the client's certificate, if it has one that was verified, has not expired. */
bool tls_session_lasts(const struct tls_session *session, int64_t now_s);
/* Says whether a request may still be taken from the session now that `tls` is in force: its
 * client's certificate has not expired, and the CAs of `tls` vouch for it if they have to. */
bool tls_session_fits(struct tls_session *session, struct tls *tls, int64_t now_s);

/* Names in the client's certificate, which was verified; texts live as long as the session. */
struct tls_peer {
    const char *subject;      /* "CN=name,O=..." as in RFC 4514 */
    const char *const *names; /* DNS names, addresses, e-mail addresses, URIs: its SANs */
    uint32_t name_count;
};
/* NULL: the client has no certificate that was verified. */
const struct tls_peer *tls_session_peer(const struct tls_session *session);

/* --- names of versions and ciphers ------------------------------------------------------------ */

/*
 * Names of cipher suites and curves as Prometheus' file for --web.config.file has them, which are
 * those of Go, and what they are for GnuTLS 3.7.
 *
 * GnuTLS has no list of cipher suites: it has lists of key exchanges, ciphers and MACs, and offers
 * all their combinations. TLS 1.3 uses the same list of ciphers. So more suites than those named
 * may be offered; the warnings list them.
 */

/* Return the names that Go knows, also those that GnuTLS does not; NULL ends them. */
const char *tls_suite_name(unsigned index);
const char *tls_curve_name(unsigned index);

/*
 * Appends the text for gnutls_priority_init(), with a NUL, and to `warnings` (may be NULL) a
 * sentence per line. Without names, all ECDHE suites with AEAD are offered; if min_version is older
 * than TLS12, those with CBC and SHA-1, too. Names that GnuTLS does not know are ignored; if none
 * remain, the defaults are used.
 *
 * ERR_INPUT: no suite that is named can be used with these versions. Errors of the buffers are
 * theirs.
 */
MUST_CHECK enum err tls_priority(const struct tls_server_settings *settings, struct buf *to,
                                 struct buf *warnings, struct why *why);

#endif
