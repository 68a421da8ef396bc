/*
 * certificates.h - certificates that tests make: CAs, servers and clients, with keys of P-256. For
 * tests.
 */
#ifndef LIB_NET_CERTIFICATES_H
#define LIB_NET_CERTIFICATES_H

#include <gnutls/x509.h>
#include <stdbool.h>

#include "lib/test.h"

struct certificate {
    char *cert, *key; /* PEM */
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t private_key;
};

/* Differences of a certificate from a good one of a server. */
struct certificate_kind {
    const char *dns_name; /* SAN; NULL: "localhost" and 127.0.0.1 */
    bool is_client;       /* its purpose is clientAuth, not serverAuth */
    int64_t expires_in_s; /* from now, negative: in the past; 0: a day */
};

struct certificate certificate_ca(const char *name);
/* Makes a certificate that the CA signed. */
struct certificate certificate_issue(const struct certificate *ca, const char *name,
                                     struct certificate_kind kind);
void certificate_free(struct certificate *certificate);

#endif
