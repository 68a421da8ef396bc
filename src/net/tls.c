/*
 * tls.c - see tls.h.
 *
 * Invariants:
 *  1. A session holds the `struct tls` whose credentials GnuTLS uses, until it is freed.
 *  2. `has_peer` is set only if the CAs of `judged_by` vouched for the client's certificate, and
 *     then `is_fit` is set.
 *  3. A record that GnuTLS keeps after TLS_AGAIN is sent before another one (`is_pending`).
 */
#include "net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum { DIGEST_BYTES = 32, CHAIN_MAX = 16, ALERT_RECORD_BYTES = 7 };

/* Does not change once tls_new() has returned it, but for its references. */
struct tls {
    _Atomic unsigned references; /* acq_rel: the last one to release sees all uses */
    struct arena arena;          /* of this struct and what it points to */
    enum tls_client_auth client_auth;
    struct text_list allowed_sans; /* empty: all */
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    gnutls_x509_trust_list_t trust; /* NULL: clients' certificates are not verified */
    gnutls_datum_t ticket_key;
    int64_t expires_s;
    uint8_t digest[DIGEST_BYTES]; /* of the settings and files */
};

struct tls_session {
    struct budget *memory;
    struct tls *tls; /* invariant 1 */
    gnutls_session_t gnutls;
    int fd;
    bool is_shaken;                            /* the handshake is over */
    uint8_t last_received[ALERT_RECORD_BYTES]; /* of the handshake */
    bool is_pending;                           /* invariant 3 */
    bool is_over;                              /* nothing more can be sent */
    bool has_more;                             /* the last read got bytes, others may follow */
    bool has_ended;                            /* the last read got the end */
    bool has_peer;                             /* invariant 2 */
    bool is_fit;                               /* it may go on with `judged_by` */
    struct tls *judged_by;                     /* held; NULL: before the end of the handshake */
    int64_t peer_expires_s;
    struct tls_peer peer;
    const char **peer_names;
    struct arena arena; /* texts of `peer` */
};

/* --- files ------------------------------------------------------------------------------------ */

static enum err
read_file(const char *path, struct buf *to, struct why *why)
{
    enum err e = OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        e = errno == ENOENT ? ERR_MISSING : ERR_IO;
        return why_set(why, e, "cannot open %s: %s", path, errno_text(errno).text);
    }
    for (ssize_t got = 1; got != 0 && e == OK && buf_reserve(to, 1);) {
        got = read(fd, to->at + to->size, to->capacity - to->size);
        if (got > 0) to->size += (size_t)got;
        if (got < 0 && errno != EINTR)
            e = why_set(why, ERR_IO, "cannot read %s: %s", path, errno_text(errno).text);
    }
    close(fd);
    if (e == OK && buf_error(to) != OK) {
        e = why_set(why, buf_error(to),
                    buf_error(to) == ERR_LIMIT ? "%s is larger than 1 MiB"
                                               : "not enough memory to read %s",
                    path);
    }
    return e;
}

/* The files of a TLS configuration, or the texts in their place. */
struct pem {
    struct buf cert, key, ca;
    const char *cert_name, *key_name, *ca_name; /* for messages */
};

static enum err
read_pem(const char *text, const char *file, const char *key, struct buf *to, const char **ret_name,
         struct why *why)
{
    *ret_name = text != NULL ? key : file;
    if (text == NULL && file == NULL) return OK;
    if (text == NULL) return read_file(file, to, why);
    buf_put_text(to, text);
    return why_set(why, buf_error(to), "not enough memory for '%s'", key);
}

/* --- a generation ----------------------------------------------------------------------------- */

static gnutls_datum_t
datum_of(const struct buf *buf)
{
    return (gnutls_datum_t){.data = buf->at, .size = (unsigned)buf->size};
}

static enum err
wrong(struct why *why, const char *name, int failed)
{
    if (failed == GNUTLS_E_MEMORY_ERROR) return why_set(why, ERR_NOMEM, "not enough memory");
    return why_set(why, ERR_INPUT, "%s: %s", name, gnutls_strerror(failed));
}

static enum err
wrong_pem(struct why *why, const char *name, const char *expected, int failed)
{
    if (failed == GNUTLS_E_MEMORY_ERROR) return wrong(why, name, failed);
    return why_set(why, ERR_INPUT, "%s: expected %s in PEM: %s", name, expected,
                   gnutls_strerror(failed));
}

static enum err
load_certificate(struct tls *tls, const struct pem *pem, struct why *why)
{
    gnutls_datum_t cert = datum_of(&pem->cert), key = datum_of(&pem->key);
    gnutls_x509_crt_t crt;
    int failed = gnutls_x509_crt_init(&crt);
    if (failed) return wrong_pem(why, pem->cert_name, "a certificate", failed);
    failed = gnutls_x509_crt_import(crt, &cert, GNUTLS_X509_FMT_PEM);
    if (failed == 0) tls->expires_s = gnutls_x509_crt_get_expiration_time(crt);
    gnutls_x509_crt_deinit(crt);
    if (failed) return wrong_pem(why, pem->cert_name, "a certificate", failed);
    failed =
        gnutls_certificate_set_x509_key_mem(tls->credentials, &cert, &key, GNUTLS_X509_FMT_PEM);
    if (failed == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return why_set(why, ERR_INPUT, "the key of %s does not belong to the certificate of %s",
                       pem->key_name, pem->cert_name);
    return failed < 0 ? wrong_pem(why, pem->key_name, "a private key without a password", failed)
                      : OK;
}

static enum err
load_trust(struct tls *tls, const struct pem *pem, struct why *why)
{
    gnutls_datum_t ca = datum_of(&pem->ca);
    int failed = gnutls_x509_trust_list_init(&tls->trust, 0);
    if (failed) return wrong_pem(why, "client_ca", "certificates", failed);
    if (pem->ca_name == NULL) return OK; /* no client has a certificate that is trusted */
    failed = gnutls_x509_trust_list_add_trust_mem(tls->trust, &ca, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    if (failed == 0)
        return why_set(why, ERR_INPUT, "%s: there is no certificate in it", pem->ca_name);
    if (failed < 0) return wrong_pem(why, pem->ca_name, "certificates", failed);
    /* The names of these CAs are sent to clients, which choose their certificate by them. */
    failed = gnutls_certificate_set_x509_trust_mem(tls->credentials, &ca, GNUTLS_X509_FMT_PEM);
    return failed < 0 ? wrong_pem(why, pem->ca_name, "certificates", failed) : OK;
}

static void
hash_text(gnutls_hash_hd_t hash, const char *text)
{
    (void)!gnutls_hash(hash, text == NULL ? "" : text, text == NULL ? 1 : strlen(text) + 1);
}

static void
hash_texts(gnutls_hash_hd_t hash, const struct text_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        hash_text(hash, list->items[i]);
    hash_text(hash, NULL);
}

static enum err
make_digest(struct tls *tls, const struct tls_server_settings *s, const struct pem *pem)
{
    gnutls_hash_hd_t hash;
    char numbers[64];
    if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256)) return ERR_NOMEM;
    const struct buf *files[] = {&pem->cert, &pem->key, &pem->ca};
    snprintf(numbers, sizeof numbers, "%zu %zu %zu %d %d %d %d", pem->cert.size, pem->key.size,
             pem->ca.size, (int)s->client_auth, (int)s->min_version, (int)s->max_version,
             s->prefer_server_cipher_suites);
    hash_text(hash, numbers);
    hash_texts(hash, &s->client_allowed_sans);
    hash_texts(hash, &s->cipher_suites);
    hash_texts(hash, &s->curve_preferences);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        (void)!gnutls_hash(hash, files[i]->at, files[i]->size);
    gnutls_hash_deinit(hash, tls->digest);
    return OK;
}

static enum err
load_priority(struct tls *tls, const struct tls_server_settings *s, struct why *why)
{
    struct buf text;
    buf_init(&text, tls->arena.budget, 64 * 1024);
    enum err e = tls_priority(s, &text, NULL, why);
    if (e == OK) e = buf_error(&text);
    if (e == OK) {
        int failed = gnutls_priority_init(&tls->priority, (const char *)text.at, NULL);
        if (failed) e = wrong(why, "cipher_suites", failed);
    }
    buf_fini(&text);
    return e;
}

static int verify_in_handshake(gnutls_session_t gnutls);

static enum err
load(struct tls *tls, const struct tls_server_settings *s, const struct pem *pem, struct why *why)
{
    bool verifies =
        s->client_auth == TLS_CLIENT_VERIFY_IF_GIVEN || s->client_auth == TLS_CLIENT_REQUIRE;
    tls->client_auth = s->client_auth;
    if (gnutls_certificate_allocate_credentials(&tls->credentials)) return ERR_NOMEM;
    enum err e = load_certificate(tls, pem, why);
    if (e == OK && verifies) e = load_trust(tls, pem, why);
    if (e) return e;
    e = load_priority(tls, s, why);
    if (e) return e;
    if (gnutls_session_ticket_key_generate(&tls->ticket_key)) return ERR_NOMEM;
    gnutls_certificate_set_verify_function(tls->credentials, verify_in_handshake);
    if (!text_list_copy(&tls->arena, &s->client_allowed_sans, &tls->allowed_sans)) return ERR_NOMEM;
    return make_digest(tls, s, pem);
}

enum err
tls_new(const struct tls_server_settings *settings, struct budget *memory, struct tls **ret_tls,
        struct why *why)
{
    struct arena arena;
    struct pem pem;

    memset(&pem, 0, sizeof pem);
    arena_init(&arena, memory, 1 << 20, 0);
    struct tls *tls = arena_new(&arena, sizeof *tls);
    if (tls == NULL) return why_set(why, ERR_NOMEM, "not enough memory for TLS");
    tls->arena = arena;
    atomic_init(&tls->references, 1);
    buf_init(&pem.cert, memory, TLS_FILE_BYTES_MAX);
    buf_init_secret(&pem.key, memory, TLS_FILE_BYTES_MAX);
    buf_init(&pem.ca, memory, TLS_FILE_BYTES_MAX);
    enum err e =
        read_pem(settings->cert, settings->cert_file, "cert", &pem.cert, &pem.cert_name, why);
    if (e == OK)
        e = read_pem(settings->key, settings->key_file, "key", &pem.key, &pem.key_name, why);
    if (e == OK)
        e = read_pem(settings->client_ca, settings->client_ca_file, "client_ca", &pem.ca,
                     &pem.ca_name, why);
    if (e == OK) e = load(tls, settings, &pem, why);
    buf_fini(&pem.cert);
    buf_fini(&pem.key);
    buf_fini(&pem.ca);
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory for TLS");
    if (e)
        tls_release(tls);
    else
        *ret_tls = tls;
    return e;
}

struct tls *
tls_hold(struct tls *tls)
{
    atomic_fetch_add_explicit(&tls->references, 1, memory_order_relaxed);
    return tls;
}

void
tls_release(struct tls *tls)
{
    if (tls == NULL) return;
    unsigned before = atomic_fetch_sub_explicit(&tls->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    if (tls->credentials != NULL) gnutls_certificate_free_credentials(tls->credentials);
    if (tls->priority != NULL) gnutls_priority_deinit(tls->priority);
    if (tls->trust != NULL) gnutls_x509_trust_list_deinit(tls->trust, 1);
    if (tls->ticket_key.data != NULL) {
        gnutls_memset(tls->ticket_key.data, 0, tls->ticket_key.size);
        gnutls_free(tls->ticket_key.data);
    }
    struct arena arena = tls->arena;
    arena_fini(&arena);
}

bool
tls_equal(const struct tls *a, const struct tls *b)
{
    if (a == NULL || b == NULL) return a == b;
    return memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

int64_t
tls_expires_s(const struct tls *tls)
{
    return tls->expires_s;
}

/* --- certificates of clients ------------------------------------------------------------------ */

struct chain {
    gnutls_x509_crt_t items[CHAIN_MAX];
    unsigned count;
};

static void
chain_fini(struct chain *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        gnutls_x509_crt_deinit(chain->items[i]);
}

/* False: the client sent none, or something else. */
static bool
chain_of(gnutls_session_t gnutls, struct chain *ret_chain)
{
    unsigned count = 0;
    const gnutls_datum_t *sent = gnutls_certificate_get_peers(gnutls, &count);
    *ret_chain = (struct chain){.count = 0};
    if (sent == NULL || count == 0 || count > CHAIN_MAX) return false;
    if (gnutls_certificate_type_get2(gnutls, GNUTLS_CTYPE_PEERS) != GNUTLS_CRT_X509) return false;
    for (unsigned i = 0; i < count; i++) {
        gnutls_x509_crt_t *item = &ret_chain->items[i];
        if (gnutls_x509_crt_init(item)) break;
        ret_chain->count++;
        if (gnutls_x509_crt_import(*item, &sent[i], GNUTLS_X509_FMT_DER)) break;
        if (i == count - 1) return true;
    }
    chain_fini(ret_chain);
    ret_chain->count = 0;
    return false;
}

/* Keeps each SAN of the client's certificate as text, up to TLS_NAMES_MAX. */
static void
keep_names(struct tls_session *s, gnutls_x509_crt_t crt)
{
    for (unsigned i = 0; s->peer.name_count < TLS_NAMES_MAX; i++) {
        char name[1024], shown[INET6_ADDRSTRLEN];
        size_t size = sizeof name;
        int kind = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &size, NULL);
        if (kind == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) return;
        if (kind < 0) continue; /* too long */
        struct bytes text = bytes_of(name, size);
        if (kind == GNUTLS_SAN_IPADDRESS) {
            int family = size == 4 ? AF_INET : AF_INET6;
            if (inet_ntop(family, name, shown, sizeof shown) == NULL) continue;
            text = bytes_of_text(shown);
        } else if (kind != GNUTLS_SAN_DNSNAME && kind != GNUTLS_SAN_RFC822NAME &&
                   kind != GNUTLS_SAN_URI) {
            continue;
        }
        if (memchr(text.at, '\0', text.size) != NULL) continue;
        const char **names =
            arena_push(&s->arena, s->peer_names, s->peer.name_count, sizeof *names);
        char *copy = arena_alloc(&s->arena, text.size + 1);
        if (names == NULL || copy == NULL) return;
        memcpy(copy, text.at, text.size);
        copy[text.size] = '\0';
        names[s->peer.name_count++] = copy;
        s->peer.names = s->peer_names = names;
    }
}

/* Says whether the CAs of `tls` vouch for a client with this certificate. */
static bool
vouches(struct tls *tls, struct chain *chain)
{
    char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
    gnutls_typed_vdata_st wanted = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                    .data = (unsigned char *)purpose};
    unsigned status = 0;
    int failed = gnutls_x509_trust_list_verify_crt2(tls->trust, chain->items, chain->count, &wanted,
                                                    1, 0, &status, NULL);
    return failed == 0 && status == 0;
}

/* Says whether the certificate has an allowed name. */
static bool
is_allowed(const struct tls *tls, const struct tls_peer *peer)
{
    const struct text_list *allowed = &tls->allowed_sans;
    for (uint32_t i = 0; i < allowed->count; i++) {
        for (uint32_t k = 0; k < peer->name_count; k++)
            if (strcmp(allowed->items[i], peer->names[k]) == 0) return true;
    }
    return allowed->count == 0;
}

/* Notes who the client is, after its certificate was verified. */
static void
note_peer(struct tls_session *s, struct chain *chain)
{
    gnutls_datum_t subject = {NULL, 0};
    arena_reset(&s->arena);
    s->peer = (struct tls_peer){.subject = ""};
    s->peer_names = NULL;
    s->peer_expires_s = INT64_MAX;
    for (unsigned i = 0; i < chain->count; i++) {
        int64_t expires_s = gnutls_x509_crt_get_expiration_time(chain->items[i]);
        if (expires_s < s->peer_expires_s) s->peer_expires_s = expires_s;
    }
    if (gnutls_x509_crt_get_dn3(chain->items[0], &subject, 0) == 0) {
        struct bytes text = bytes_of(subject.data, subject.size + 1);
        const char *copy = (const char *)arena_copy(&s->arena, text).at;
        if (copy != NULL) s->peer.subject = copy;
        gnutls_free(subject.data);
    }
    keep_names(s, chain->items[0]);
}

/* Says whether the client may go on with `tls`. GnuTLS keeps what the client sent, so that newer
 * CAs can be asked. */
static bool
judge(struct tls_session *s, struct tls *tls)
{
    struct chain chain = {.count = 0};
    if (s->judged_by == tls) return s->is_fit;
    tls_release(s->judged_by);
    s->judged_by = tls_hold(tls);
    s->has_peer = false;
    bool is_given = tls->trust != NULL && chain_of(s->gnutls, &chain);
    s->is_fit = is_given ? vouches(tls, &chain) : tls->client_auth != TLS_CLIENT_REQUIRE;
    if (is_given && s->is_fit) {
        note_peer(s, &chain);
        s->has_peer = s->is_fit = is_allowed(tls, &s->peer);
    }
    assert(!s->has_peer || s->is_fit); /* invariant 2 */
    chain_fini(&chain);
    return s->is_fit;
}

static int
verify_in_handshake(gnutls_session_t gnutls)
{
    struct tls_session *s = gnutls_session_get_ptr(gnutls);
    return judge(s, s->tls) ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

bool
tls_session_lasts(const struct tls_session *s, int64_t now_s)
{
    return !s->has_peer || now_s <= s->peer_expires_s;
}

bool
tls_session_fits(struct tls_session *s, struct tls *tls, int64_t now_s)
{
    return judge(s, tls) && tls_session_lasts(s, now_s);
}

const struct tls_peer *
tls_session_peer(const struct tls_session *session)
{
    return session->has_peer ? &session->peer : NULL;
}

/* --- sessions --------------------------------------------------------------------------------- */

/* Receives for GnuTLS. */
static ssize_t
pull(gnutls_transport_ptr_t session, void *to, size_t size)
{
    struct tls_session *s = session;
    ssize_t got = recv(s->fd, to, size, 0);
    s->has_more = got > 0;
    s->has_ended = got == 0;
    if (s->is_shaken || got <= 0) return got;
    size_t kept = (size_t)got < ALERT_RECORD_BYTES ? ALERT_RECORD_BYTES - (size_t)got : 0;
    memmove(s->last_received, s->last_received + ALERT_RECORD_BYTES - kept, kept);
    memcpy(s->last_received + kept, (uint8_t *)to + got - (ALERT_RECORD_BYTES - kept),
           ALERT_RECORD_BYTES - kept);
    return got;
}

/* Returns the alert by which the client has ended the handshake, or -1. Clients that have not begun
 * to encrypt, as those of OpenSSL that do not trust a certificate, send it in clear text, where
 * GnuTLS expects TLS 1.3. */
static int
alert_received(const struct tls_session *s, int failure)
{
    static const uint8_t clear_alert[] = {21 /* alert */, 3, 3, 0, 2, GNUTLS_AL_FATAL};
    if (failure == GNUTLS_E_FATAL_ALERT_RECEIVED) return (int)gnutls_alert_get(s->gnutls);
    if (failure != GNUTLS_E_DECRYPTION_FAILED) return -1;
    bool is_alert = memcmp(s->last_received, clear_alert, sizeof clear_alert) == 0;
    return is_alert ? s->last_received[sizeof clear_alert] : -1;
}

static void
explain_failure(const struct tls_session *s, int failure, struct why *why)
{
    int alert = alert_received(s, failure);
    const char *name = alert < 0 ? NULL : gnutls_alert_get_name((gnutls_alert_description_t)alert);
    if (alert < 0)
        why_set(why, ERR_INPUT, "%s", gnutls_strerror(failure));
    else if (alert == GNUTLS_A_UNKNOWN_CA || alert == GNUTLS_A_BAD_CERTIFICATE ||
             alert == GNUTLS_A_CERTIFICATE_UNKNOWN)
        why_set(why, ERR_INPUT, "the client does not trust the server's certificate: %s (alert %d)",
                name, alert);
    else
        why_set(why, ERR_INPUT, "the client ended it: %s (alert %d)",
                name == NULL ? "unknown reason" : name, alert);
}

static int
session_init(struct tls_session *s, int fd)
{
    static unsigned char http_1_1[] = "http/1.1";
    static const gnutls_datum_t protocols[] = {{http_1_1, sizeof http_1_1 - 1}};
    static const gnutls_certificate_request_t requests[] = {
        [TLS_CLIENT_NONE] = GNUTLS_CERT_IGNORE,
        [TLS_CLIENT_REQUEST] = GNUTLS_CERT_REQUEST,
        [TLS_CLIENT_REQUIRE_ANY] = GNUTLS_CERT_REQUIRE,
        [TLS_CLIENT_VERIFY_IF_GIVEN] = GNUTLS_CERT_REQUEST,
        [TLS_CLIENT_REQUIRE] = GNUTLS_CERT_REQUIRE,
    };
    struct tls *tls = s->tls;
    int failed = gnutls_init(&s->gnutls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    if (failed) return failed;
    gnutls_session_set_ptr(s->gnutls, s);
    s->fd = fd;
    gnutls_transport_set_ptr2(s->gnutls, s, (gnutls_transport_ptr_t)(intptr_t)fd);
    gnutls_transport_set_pull_function(s->gnutls, pull);
    gnutls_handshake_set_timeout(s->gnutls, 0); /* the server has deadlines of its own */
    gnutls_certificate_server_set_request(s->gnutls, requests[tls->client_auth]);
    failed = gnutls_priority_set(s->gnutls, tls->priority);
    if (!failed)
        failed = gnutls_credentials_set(s->gnutls, GNUTLS_CRD_CERTIFICATE, tls->credentials);
    if (!failed) failed = gnutls_session_ticket_enable_server(s->gnutls, &tls->ticket_key);
    if (!failed) failed = gnutls_alpn_set_protocols(s->gnutls, protocols, 1, 0);
    return failed;
}

struct tls_session *
tls_session_new(struct tls *tls, int fd)
{
    struct budget *memory = tls->arena.budget;
    if (memory != NULL && budget_take(memory, TLS_SESSION_BYTES)) return NULL;
    struct tls_session *s = mem_new(memory, sizeof *s);
    if (s == NULL) {
        if (memory != NULL) budget_give(memory, TLS_SESSION_BYTES);
        return NULL;
    }
    s->memory = memory;
    s->tls = tls_hold(tls);
    arena_init(&s->arena, memory, 64 * 1024, 1024);
    if (session_init(s, fd) == 0) return s;
    tls_session_free(s);
    return NULL;
}

void
tls_session_free(struct tls_session *s)
{
    if (s == NULL) return;
    struct budget *memory = s->memory;
    if (s->gnutls != NULL) gnutls_deinit(s->gnutls);
    tls_release(s->tls);
    tls_release(s->judged_by);
    arena_fini(&s->arena);
    mem_free(memory, s, sizeof *s);
    if (memory != NULL) budget_give(memory, TLS_SESSION_BYTES);
}

static bool
is_later(int result)
{
    return result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED;
}

/* Says whether GnuTLS has to be called again before an event: it stops after a part of a message,
 * and after a message that is not for the caller, although the socket may have more bytes. */
static bool
may_go_on(const struct tls_session *s, int result)
{
    return result == GNUTLS_E_INTERRUPTED || (result == GNUTLS_E_AGAIN && s->has_more);
}

/* Says whether the rest may come with an event. GnuTLS reads an end within a record or message like
 * a socket without bytes, and no event follows an end. */
static bool
may_follow(const struct tls_session *s, int result)
{
    return is_later(result) && !s->has_ended;
}

enum tls_progress
tls_handshake(struct tls_session *s, struct why *why)
{
    int result;
    do {
        s->has_more = false;
        result = gnutls_handshake(s->gnutls);
    } while (may_go_on(s, result) || result == GNUTLS_E_WARNING_ALERT_RECEIVED);
    if (may_follow(s, result)) return TLS_AGAIN;
    if (result == GNUTLS_E_AGAIN) result = GNUTLS_E_PREMATURE_TERMINATION;
    /* Without a certificate in the handshake, as in that of a resumed session, it is not judged. */
    if (result == 0 && !judge(s, s->tls)) result = GNUTLS_E_CERTIFICATE_ERROR;
    s->is_shaken = result == 0;
    if (result == 0) return TLS_DONE;
    s->is_over = true;
    explain_failure(s, result, why);
    (void)!gnutls_alert_send_appropriate(s->gnutls, result);
    return TLS_ENDED;
}

enum tls_progress
tls_receive(struct tls_session *s, uint8_t *to, size_t size, size_t *ret_size)
{
    ssize_t got;
    do {
        s->has_more = false;
        got = gnutls_record_recv(s->gnutls, to, size);
    } while (may_go_on(s, (int)got));
    if (may_follow(s, (int)got)) return TLS_AGAIN;
    if (got > 0) {
        *ret_size = (size_t)got;
        return TLS_DONE;
    }
    return TLS_ENDED; /* closed, cut off, or a client that wants to renegotiate */
}

/* Returns bytes to send as one record: those of the first part, or of several in `scratch`. */
static struct bytes
gather(const struct iovec *parts, size_t count, uint8_t *scratch)
{
    size_t size = 0;
    if (count == 1 || parts[0].iov_len >= TLS_RECORD_BYTES) {
        size = parts[0].iov_len < TLS_RECORD_BYTES ? parts[0].iov_len : TLS_RECORD_BYTES;
        return bytes_of(parts[0].iov_base, size);
    }
    for (size_t i = 0; i < count && size < TLS_RECORD_BYTES; i++) {
        size_t left = TLS_RECORD_BYTES - size;
        size_t taken = parts[i].iov_len < left ? parts[i].iov_len : left;
        memcpy(scratch + size, parts[i].iov_base, taken);
        size += taken;
    }
    return bytes_of(scratch, size);
}

enum tls_progress
tls_send(struct tls_session *s, const struct iovec *parts, size_t count, uint8_t *scratch,
         size_t *ret_size)
{
    struct bytes record = bytes_of("", 0);
    if (s->is_over) return TLS_ENDED;
    if (!s->is_pending) record = gather(parts, count, scratch);
    assert(s->is_pending || record.size > 0); /* invariant 3 */
    /* Without bytes it sends the rest of the pending record. */
    ssize_t sent = gnutls_record_send(s->gnutls, record.size > 0 ? record.at : NULL, record.size);
    s->is_pending = is_later((int)sent);
    if (s->is_pending) return TLS_AGAIN;
    if (sent <= 0) {
        s->is_over = true;
        return TLS_ENDED;
    }
    *ret_size = (size_t)sent;
    return TLS_DONE;
}

void
tls_end(struct tls_session *s)
{
    if (!s->is_over && !s->is_pending) (void)!gnutls_bye(s->gnutls, GNUTLS_SHUT_WR);
    s->is_over = true;
}

bool
tls_has_unread(const struct tls_session *s)
{
    return gnutls_record_check_pending(s->gnutls) > 0;
}
