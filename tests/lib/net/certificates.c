/* certificates.c - see certificates.h. */
#include "lib/net/certificates.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 86400 };

static char *
text_of(gnutls_datum_t *datum)
{
    char *text = malloc(datum->size + 1);
    assert_non_null(text);
    memcpy(text, datum->data, datum->size);
    text[datum->size] = '\0';
    gnutls_free(datum->data);
    return text;
}

static struct certificate
begin(const char *name, int64_t expires_in_s)
{
    static uint32_t serial = 1;
    struct certificate c = {NULL};
    const char *wrong;
    uint32_t number = htonl(serial++);
    char subject[128];
    snprintf(subject, sizeof subject, "CN=%s,O=Test", name);
    assert_int_equal(gnutls_x509_privkey_init(&c.private_key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(c.private_key, GNUTLS_PK_ECDSA,
                                                  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                                  0),
                     0);
    assert_int_equal(gnutls_x509_crt_init(&c.crt), 0);
    assert_int_equal(gnutls_x509_crt_set_version(c.crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(c.crt, &number, sizeof number), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(c.crt, subject, &wrong), 0);
    assert_int_equal(gnutls_x509_crt_set_key(c.crt, c.private_key), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(c.crt, time(NULL) - 2 * DAY_S), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(c.crt, time(NULL) + expires_in_s), 0);
    return c;
}

static void
sign(struct certificate *c, const struct certificate *by)
{
    gnutls_datum_t cert, key;
    assert_int_equal(gnutls_x509_crt_sign2(c->crt, by->crt, by->private_key, GNUTLS_DIG_SHA256, 0),
                     0);
    assert_int_equal(gnutls_x509_crt_export2(c->crt, GNUTLS_X509_FMT_PEM, &cert), 0);
    assert_int_equal(gnutls_x509_privkey_export2(c->private_key, GNUTLS_X509_FMT_PEM, &key), 0);
    c->cert = text_of(&cert);
    c->key = text_of(&key);
}

struct certificate
certificate_ca(const char *name)
{
    struct certificate c = begin(name, 10 * DAY_S);
    assert_int_equal(gnutls_x509_crt_set_basic_constraints(c.crt, 1, -1), 0);
    assert_int_equal(
        gnutls_x509_crt_set_key_usage(c.crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN), 0);
    sign(&c, &c);
    return c;
}

struct certificate
certificate_issue(const struct certificate *ca, const char *name, struct certificate_kind kind)
{
    static const uint8_t loopback[] = {127, 0, 0, 1};
    struct certificate c = begin(name, kind.expires_in_s == 0 ? DAY_S : kind.expires_in_s);
    const char *dns = kind.dns_name == NULL ? "localhost" : kind.dns_name;
    const char *purpose = kind.is_client ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
    assert_int_equal(gnutls_x509_crt_set_basic_constraints(c.crt, 0, -1), 0);
    assert_int_equal(gnutls_x509_crt_set_key_purpose_oid(c.crt, purpose, 0), 0);
    assert_int_equal(gnutls_x509_crt_set_subject_alt_name(
                         c.crt, GNUTLS_SAN_DNSNAME, dns, (unsigned)strlen(dns), GNUTLS_FSAN_APPEND),
                     0);
    if (kind.dns_name == NULL)
        assert_int_equal(gnutls_x509_crt_set_subject_alt_name(c.crt, GNUTLS_SAN_IPADDRESS, loopback,
                                                              sizeof loopback, GNUTLS_FSAN_APPEND),
                         0);
    sign(&c, ca);
    return c;
}

void
certificate_free(struct certificate *c)
{
    gnutls_x509_crt_deinit(c->crt);
    gnutls_x509_privkey_deinit(c->private_key);
    free(c->cert);
    free(c->key);
    *c = (struct certificate){NULL};
}
