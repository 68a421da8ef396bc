/*
 * tls_names.h - names of cipher suites and curves as Prometheus' file for --web.config.file has
 * them, which are those of Go, and what they are for GnuTLS 3.7.
 *
 * GnuTLS has no list of cipher suites: it has lists of key exchanges, ciphers and MACs, and offers
 * all their combinations. TLS 1.3 uses the same list of ciphers. So more suites than those named
 * may be offered; the warnings list them.
 */
#ifndef NET_TLS_NAMES_H
#define NET_TLS_NAMES_H

#include "base/buf.h"
#include "net/tls_settings.h"

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
