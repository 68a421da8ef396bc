/*
 * tls_test.c - sessions of TLS beside GnuTLS' own client, on a pair of sockets and one thread.
 */
#include "net/tls.h"

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "lib/net/certificates.h"
#include "lib/test.h"

static struct certificate ca, other_ca, own;

static int
make_certificates(void **state)
{
    (void)state;
    ca = certificate_ca("CA");
    other_ca = certificate_ca("other CA");
    own = certificate_issue(&ca, "server", (struct certificate_kind){NULL});
    return 0;
}

static int
free_certificates(void **state)
{
    (void)state;
    certificate_free(&ca);
    certificate_free(&other_ca);
    certificate_free(&own);
    return 0;
}

static struct tls_server_settings
good_settings(void)
{
    return (struct tls_server_settings){
        .given = true,
        .cert = own.cert,
        .key = own.key,
        .min_version = TLS_VERSION_12,
        .max_version = TLS_VERSION_13,
    };
}

static struct tls *
tls_of(struct tls_server_settings settings)
{
    struct tls *tls = NULL;
    struct why why = {""};
    if (tls_new(&settings, NULL, &tls, &why)) fail_msg("%s", why.text);
    return tls;
}

/* --- pairs of a server's session and a client ------------------------------------------------- */

struct pair {
    int fds[2];
    struct tls_session *server;
    gnutls_session_t client;
    gnutls_certificate_credentials_t credentials;
    enum tls_progress server_is; /* after the handshake */
    int client_is;
    struct why why;
};

/* Behaviour of the client. */
struct manner {
    const struct certificate *certificate; /* NULL: it has none */
    const char *priority;                  /* NULL: "NORMAL" */
    const gnutls_datum_t *resumed;         /* NULL: a new session */
    int buffer_bytes;                      /* of the sockets; 0: as usual */
};

static void
begin_client(struct pair *p, struct manner manner)
{
    gnutls_datum_t trusted = {(unsigned char *)ca.cert, (unsigned)strlen(ca.cert)};
    const char *priority = manner.priority == NULL ? "NORMAL" : manner.priority;
    assert_int_equal(gnutls_certificate_allocate_credentials(&p->credentials), 0);
    assert_int_equal(
        gnutls_certificate_set_x509_trust_mem(p->credentials, &trusted, GNUTLS_X509_FMT_PEM), 1);
    if (manner.certificate != NULL) {
        const struct certificate *c = manner.certificate;
        gnutls_datum_t cert = {(unsigned char *)c->cert, (unsigned)strlen(c->cert)};
        gnutls_datum_t key = {(unsigned char *)c->key, (unsigned)strlen(c->key)};
        assert_true(gnutls_certificate_set_x509_key_mem(p->credentials, &cert, &key,
                                                        GNUTLS_X509_FMT_PEM) >= 0);
    }
    /* It sends its certificate, whichever CAs the server names. */
    assert_int_equal(
        gnutls_init(&p->client, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_FORCE_CLIENT_CERT), 0);
    assert_int_equal(gnutls_priority_set_direct(p->client, priority, NULL), 0);
    assert_int_equal(gnutls_credentials_set(p->client, GNUTLS_CRD_CERTIFICATE, p->credentials), 0);
    assert_int_equal(gnutls_server_name_set(p->client, GNUTLS_NAME_DNS, "localhost", 9), 0);
    gnutls_session_set_verify_cert(p->client, "localhost", 0);
    gnutls_transport_set_int(p->client, p->fds[1]);
    if (manner.resumed != NULL)
        assert_int_equal(
            gnutls_session_set_data(p->client, manner.resumed->data, manner.resumed->size), 0);
}

static struct pair
begin_pair(struct tls *tls, struct manner manner)
{
    struct pair p = {.server_is = TLS_AGAIN, .client_is = GNUTLS_E_AGAIN};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p.fds), 0);
    for (int i = 0; i < 2 && manner.buffer_bytes > 0; i++) {
        int size = manner.buffer_bytes;
        assert_int_equal(setsockopt(p.fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    }
    p.server = tls_session_new(tls, p.fds[0]);
    assert_non_null(p.server);
    begin_client(&p, manner);
    return p;
}

static struct pair
connect_pair(struct tls *tls, struct manner manner)
{
    struct pair p = begin_pair(tls, manner);
    for (int i = 0; i < 100 && (p.server_is == TLS_AGAIN || p.client_is == GNUTLS_E_AGAIN); i++) {
        if (p.client_is == GNUTLS_E_AGAIN) p.client_is = gnutls_handshake(p.client);
        if (p.server_is == TLS_AGAIN) p.server_is = tls_handshake(p.server, &p.why);
    }
    return p;
}

static void
close_pair(struct pair *p)
{
    gnutls_deinit(p->client);
    gnutls_certificate_free_credentials(p->credentials);
    tls_session_free(p->server);
    close(p->fds[0]);
    close(p->fds[1]);
}

/* Says whether a byte goes from the client to the server. With TLS 1.3 a client learns that it was
 * refused only after its handshake. */
static bool
works(struct pair *p)
{
    uint8_t byte = 0;
    size_t size = 0;
    if (p->server_is != TLS_DONE || p->client_is != 0) return false;
    return gnutls_record_send(p->client, "x", 1) == 1 &&
           tls_receive(p->server, &byte, 1, &size) == TLS_DONE && byte == 'x';
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_versions_outside_the_settings_are_refused)
{
    static const struct {
        enum tls_version min, max;
        const char *priority;
        bool works;
    } cases[] = {
        {TLS_VERSION_12, TLS_VERSION_13, "NORMAL", true},
        {TLS_VERSION_12, TLS_VERSION_13, "NORMAL:-VERS-ALL:+VERS-TLS1.2", true},
        {TLS_VERSION_12, TLS_VERSION_13, "NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT", false},
        {TLS_VERSION_13, TLS_VERSION_13, "NORMAL:-VERS-ALL:+VERS-TLS1.2", false},
        {TLS_VERSION_13, TLS_VERSION_13, "NORMAL", true},
        {TLS_VERSION_12, TLS_VERSION_12, "NORMAL:-VERS-ALL:+VERS-TLS1.3", false},
        {TLS_VERSION_12, TLS_VERSION_12, "NORMAL", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tls_server_settings settings = good_settings();
        settings.min_version = cases[i].min;
        settings.max_version = cases[i].max;
        struct tls *tls = tls_of(settings);
        struct pair p = connect_pair(tls, (struct manner){.priority = cases[i].priority});
        if (works(&p) != cases[i].works) fail_msg("%s: case %zu", cases[i].priority, i);
        close_pair(&p);
        tls_release(tls);
    }
}

UNIT_TEST(test_each_way_to_ask_for_certificates_takes_the_right_ones)
{
    enum { NONE, GOOD, FOREIGN, EXPIRED, PURPOSE, KINDS };
    static const struct certificate_kind client = {"client.test", true, 0};
    struct certificate certificates[KINDS] = {
        [GOOD] = certificate_issue(&ca, "good", client),
        [FOREIGN] = certificate_issue(&other_ca, "foreign", client),
        [EXPIRED] =
            certificate_issue(&ca, "expired", (struct certificate_kind){"client.test", true, -60}),
        [PURPOSE] =
            certificate_issue(&ca, "purpose", (struct certificate_kind){"client.test", false, 0}),
    };
    static const struct {
        enum tls_client_auth how;
        bool takes[KINDS];
    } cases[] = {
        {TLS_CLIENT_NONE, {true, true, true, true, true}},
        {TLS_CLIENT_REQUEST, {true, true, true, true, true}},
        {TLS_CLIENT_REQUIRE_ANY, {false, true, true, true, true}},
        {TLS_CLIENT_VERIFY_IF_GIVEN, {true, true, false, false, false}},
        {TLS_CLIENT_REQUIRE, {false, true, false, false, false}},
    };
    static const char *const versions[] = {"NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2"};
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        struct tls_server_settings settings = good_settings();
        settings.client_auth = cases[i / 2].how;
        settings.client_ca = ca.cert;
        struct tls *tls = tls_of(settings);
        for (int kind = 0; kind < KINDS; kind++) {
            struct manner manner = {.certificate = kind == NONE ? NULL : &certificates[kind],
                                    .priority = versions[i % 2]};
            struct pair p = connect_pair(tls, manner);
            if (works(&p) != cases[i / 2].takes[kind])
                fail_msg("way %d, certificate %d, %s: %s", (int)cases[i / 2].how, kind,
                         versions[i % 2], p.why.text);
            bool is_known = kind == GOOD && cases[i / 2].how >= TLS_CLIENT_VERIFY_IF_GIVEN;
            const struct tls_peer *peer = tls_session_peer(p.server);
            assert_true((peer != NULL) == is_known);
            if (is_known) {
                assert_string_equal(peer->subject, "CN=good,O=Test");
                assert_int_equal(peer->name_count, 1);
                assert_string_equal(peer->names[0], "client.test");
            }
            close_pair(&p);
        }
        tls_release(tls);
    }
    for (int kind = GOOD; kind < KINDS; kind++)
        certificate_free(&certificates[kind]);
}

UNIT_TEST(test_only_clients_with_an_allowed_name_are_taken)
{
    static const char *const names[] = {"other.test", "client.test"};
    struct certificate client =
        certificate_issue(&ca, "c", (struct certificate_kind){"client.test", true, 0});
    for (uint32_t count = 1; count <= 2; count++) {
        const char *allowed[] = {names[0], names[1]};
        struct tls_server_settings settings = good_settings();
        settings.client_auth = TLS_CLIENT_REQUIRE;
        settings.client_ca = ca.cert;
        settings.client_allowed_sans = (struct text_list){allowed, count};
        struct tls *tls = tls_of(settings);
        struct pair p = connect_pair(tls, (struct manner){.certificate = &client});
        assert_true(works(&p) == (count == 2));
        close_pair(&p);
        tls_release(tls);
    }
    certificate_free(&client);
}

UNIT_TEST(test_open_sessions_end_with_their_ca_and_their_certificate)
{
    struct certificate client =
        certificate_issue(&ca, "c", (struct certificate_kind){"client.test", true, 3600});
    struct tls_server_settings settings = good_settings();
    settings.client_auth = TLS_CLIENT_REQUIRE;
    settings.client_ca = ca.cert;
    struct tls *tls = tls_of(settings), *same = tls_of(settings);
    settings.client_ca = other_ca.cert;
    struct tls *other = tls_of(settings);
    struct pair p = connect_pair(tls, (struct manner){.certificate = &client});
    assert_true(works(&p));
    int64_t now_s = time(NULL);
    assert_true(tls_session_lasts(p.server, now_s + 3500));
    assert_false(tls_session_lasts(p.server, now_s + 3700));
    assert_true(tls_session_fits(p.server, same, now_s));
    assert_true(tls_session_fits(p.server, same, now_s + 3500));
    assert_false(tls_session_fits(p.server, same, now_s + 3700));
    assert_false(tls_session_fits(p.server, other, now_s));
    assert_null(tls_session_peer(p.server));
    assert_true(tls_session_fits(p.server, tls, now_s));
    assert_string_equal(tls_session_peer(p.server)->subject, "CN=c,O=Test");
    close_pair(&p);
    certificate_free(&client);
    assert_true(tls_equal(tls, same));
    assert_false(tls_equal(tls, other));
    assert_false(tls_equal(tls, NULL));
    tls_release(tls);
    tls_release(same);
    tls_release(other);
}

/* Takes the ticket of a session, after the bytes with which TLS 1.3 sends it. */
static gnutls_datum_t
ticket_of(struct pair *p)
{
    gnutls_datum_t ticket = {NULL, 0};
    uint8_t byte;
    for (int i = 0; i < 5; i++)
        (void)!gnutls_record_recv(p->client, &byte, 1);
    assert_int_equal(gnutls_session_get_data2(p->client, &ticket), 0);
    return ticket;
}

UNIT_TEST(test_tickets_resume_sessions_until_the_tls_is_replaced)
{
    static const char *const versions[] = {"NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2"};
    struct certificate client =
        certificate_issue(&ca, "c", (struct certificate_kind){"client.test", true, 0});
    struct tls_server_settings settings = good_settings();
    settings.client_auth = TLS_CLIENT_REQUIRE;
    settings.client_ca = ca.cert;
    for (size_t i = 0; i < 2; i++) {
        struct tls *tls = tls_of(settings), *next = tls_of(settings);
        struct manner manner = {.certificate = &client, .priority = versions[i]};
        struct pair p = connect_pair(tls, manner);
        assert_true(works(&p));
        gnutls_datum_t ticket = ticket_of(&p);
        close_pair(&p);
        manner.resumed = &ticket;
        p = connect_pair(tls, manner);
        assert_true(works(&p));
        assert_true(gnutls_session_is_resumed(p.client));
        assert_string_equal(tls_session_peer(p.server)->subject, "CN=c,O=Test");
        close_pair(&p);
        p = connect_pair(next, manner);
        assert_true(works(&p));
        assert_false(gnutls_session_is_resumed(p.client));
        close_pair(&p);
        gnutls_free(ticket.data);
        tls_release(tls);
        tls_release(next);
    }
    certificate_free(&client);
}

/* Receives what is there, and compares it with numbers that go on. */
static void
receive_numbers(struct pair *p, size_t *received)
{
    uint8_t bytes[3000];
    for (ssize_t got; (got = gnutls_record_recv(p->client, bytes, sizeof bytes)) > 0;)
        for (ssize_t i = 0; i < got; i++, (*received)++)
            assert_int_equal(bytes[i], (uint8_t)(*received * 31 >> 3));
}

UNIT_TEST(test_a_full_socket_loses_no_byte_and_repeats_none)
{
    enum { SIZE = 300000 };
    static uint8_t bytes[SIZE], scratch[TLS_RECORD_BYTES];
    struct tls *tls = tls_of(good_settings());
    struct pair p = connect_pair(tls, (struct manner){.buffer_bytes = 4096});
    assert_true(works(&p));
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
    size_t sent = 0, received = 0, agains = 0;
    for (unsigned turn = 0; received < SIZE; turn++) {
        size_t size = 0, left = SIZE - sent, first = (turn * 977) % 5000 + 1;
        if (first > left) first = left;
        size_t second = left - first > 20000 ? 20000 : left - first;
        struct iovec parts[] = {{bytes + sent, first}, {bytes + sent + first, second}};
        size_t count = second > 0 ? 2 : 1;
        enum tls_progress is =
            sent == SIZE ? TLS_AGAIN : tls_send(p.server, parts, count, scratch, &size);
        assert_true(is != TLS_ENDED);
        sent += size;
        agains += is == TLS_AGAIN;
        if (is == TLS_AGAIN) receive_numbers(&p, &received);
    }
    assert_int_equal(sent, SIZE);
    assert_true(agains > 3);
    tls_end(p.server);
    uint8_t byte;
    assert_int_equal(gnutls_record_recv(p.client, &byte, 1), 0); /* an orderly end */
    close_pair(&p);
    tls_release(tls);
}

UNIT_TEST(test_bytes_that_are_not_tls_end_the_session)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\xff\xff",
                                        "\x15\x03\x01\x00\x02\x02\x28"};
    struct tls *tls = tls_of(good_settings());
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int fds[2];
        struct why why = {""};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        struct tls_session *s = tls_session_new(tls, fds[0]);
        assert_int_equal(tls_handshake(s, &why), TLS_AGAIN);
        size_t size = i == 2 ? 7 : strlen(texts[i]);
        assert_int_equal(write(fds[1], texts[i], size), size);
        enum tls_progress is = tls_handshake(s, &why);
        shutdown(fds[1], SHUT_WR);
        if (is == TLS_AGAIN) is = tls_handshake(s, &why);
        assert_int_equal(is, TLS_ENDED);
        assert_true(why.text[0] != '\0');
        tls_session_free(s);
        close(fds[0]);
        close(fds[1]);
    }
    tls_release(tls);
}

UNIT_TEST(test_an_end_within_a_record_or_message_ends_the_session_at_once)
{
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"\x16\x03\x01", 3},                                                  /* a header */
        {"\x16\x03\x01\x00\x20\x01\x00", 7},                                  /* a record */
        {"\x16\x03\x01\x00\x08\x01\x00\x17\x00\x03\x03\x00\x00", 13},         /* a message */
        {"\x16\x03\x01\x00\x06\x01\x00\x17\x00\x03\x03\x16\x03\x03\x00", 15}, /* its next record */
    };
    struct tls *tls = tls_of(good_settings());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair p = begin_pair(tls, (struct manner){NULL});
        assert_int_equal(write(p.fds[1], cases[i].bytes, cases[i].size), cases[i].size);
        shutdown(p.fds[1], SHUT_WR);
        assert_int_equal(tls_handshake(p.server, &p.why), TLS_ENDED);
        assert_true(p.why.text[0] != '\0');
        close_pair(&p);
    }
    struct pair p = connect_pair(tls, (struct manner){NULL});
    uint8_t to[100];
    size_t size;
    assert_true(works(&p));
    assert_int_equal(write(p.fds[1], "\x17\x03\x03\x00\x20half", 9), 9);
    shutdown(p.fds[1], SHUT_WR);
    assert_int_equal(tls_receive(p.server, to, sizeof to, &size), TLS_ENDED);
    close_pair(&p);
    tls_release(tls);
}

/* Sends what GnuTLS has written, a record with one message, as records of at most 100 bytes. */
static ssize_t
push_in_pieces(gnutls_transport_ptr_t to, const void *record, size_t size)
{
    enum { HEAD = 5, PIECE = 100 };
    const uint8_t *at = record;
    for (size_t i = HEAD; i < size; i += PIECE) {
        uint8_t piece[HEAD + PIECE] = {at[0], at[1], at[2]};
        size_t count = size - i < PIECE ? size - i : PIECE;
        piece[HEAD - 1] = (uint8_t)count;
        memcpy(piece + HEAD, at + i, count);
        ssize_t sent = write((int)(intptr_t)to, piece, HEAD + count);
        assert_int_equal(sent, HEAD + count);
    }
    return (ssize_t)size;
}

UNIT_TEST(test_a_message_in_several_records_needs_no_further_event)
{
    struct tls *tls = tls_of(good_settings());
    struct pair p = begin_pair(tls, (struct manner){NULL});
    gnutls_transport_set_push_function(p.client, push_in_pieces);
    assert_int_equal(gnutls_handshake(p.client), GNUTLS_E_AGAIN); /* it says hello */
    assert_int_equal(tls_handshake(p.server, &p.why), TLS_AGAIN);
    uint8_t byte;
    assert_int_equal(recv(p.fds[1], &byte, 1, MSG_PEEK), 1); /* the server has answered */
    close_pair(&p);
    tls_release(tls);
}

UNIT_TEST(test_a_record_after_a_new_key_needs_no_further_event)
{
    struct tls *tls = tls_of(good_settings());
    struct pair p = connect_pair(tls, (struct manner){.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3"});
    uint8_t to[100];
    size_t size = 0;
    assert_true(works(&p));
    assert_int_equal(gnutls_session_key_update(p.client, 0), 0);
    assert_int_equal(gnutls_record_send(p.client, "after", 5), 5);
    assert_int_equal(tls_receive(p.server, to, sizeof to, &size), TLS_DONE);
    assert_int_equal(size, 5);
    close_pair(&p);
    tls_release(tls);
}

/* Clients of OpenSSL send such an alert in clear text, in TLS 1.3 too. */
UNIT_TEST(test_the_alert_of_a_client_that_ends_the_handshake_is_named)
{
    static const struct {
        const char *alert, *text;
    } cases[] = {
        {"\x15\x03\x03\x00\x02\x02\x30",
         "the client does not trust the server's certificate: CA is unknown (alert 48)"},
        {"\x15\x03\x03\x00\x02\x02\x2e", "Unknown certificate (alert 46)"},
        {"\x15\x03\x03\x00\x02\x02\x2d", "the client ended it: Certificate is expired (alert 45)"},
    };
    static const char *const priorities[] = {"NORMAL", "NORMAL:-VERS-TLS1.3"};
    struct tls *tls = tls_of(good_settings());
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        struct pair p = begin_pair(tls, (struct manner){.priority = priorities[i % 2]});
        assert_int_equal(gnutls_handshake(p.client), GNUTLS_E_AGAIN); /* it says hello */
        assert_int_equal(tls_handshake(p.server, &p.why), TLS_AGAIN);
        assert_int_equal(write(p.fds[1], cases[i / 2].alert, 7), 7);
        assert_int_equal(tls_handshake(p.server, &p.why), TLS_ENDED);
        if (strstr(p.why.text, cases[i / 2].text) == NULL) fail_msg("%s", p.why.text);
        close_pair(&p);
    }
    tls_release(tls);
}

static void
expect_refused(struct tls_server_settings settings, enum err expected, const char *text)
{
    struct tls *tls = NULL;
    struct why why = {""};
    assert_int_equal(tls_new(&settings, NULL, &tls, &why), expected);
    if (strstr(why.text, text) == NULL) fail_msg("%s", why.text);
}

UNIT_TEST(test_files_that_do_not_fit_are_refused_by_name)
{
    struct tls_server_settings s = good_settings();
    struct certificate other = certificate_issue(&ca, "other", (struct certificate_kind){NULL});
    s.cert = NULL;
    s.cert_file = "/nonexistent/cert.pem";
    expect_refused(s, ERR_MISSING, "cannot open /nonexistent/cert.pem: No such file");
    s.cert_file = "/";
    expect_refused(s, ERR_IO, "cannot read /: Is a directory");
    s.cert_file = "/dev/zero";
    expect_refused(s, ERR_LIMIT, "/dev/zero is larger than 1 MiB");
    s = good_settings();
    s.cert = "not PEM";
    expect_refused(s, ERR_INPUT, "cert: expected a certificate in PEM: ");
    s = good_settings();
    s.key = "not PEM";
    expect_refused(s, ERR_INPUT, "key: expected a private key without a password in PEM: ");
    s.key = other.key;
    expect_refused(s, ERR_INPUT, "the key of key does not belong to the certificate of cert");
    s = good_settings();
    s.client_auth = TLS_CLIENT_REQUIRE;
    s.client_ca = "";
    expect_refused(s, ERR_INPUT, "client_ca: ");
    certificate_free(&other);
}

UNIT_TEST(test_each_allocation_of_ours_may_fail)
{
    struct budget memory;
    budget_init(&memory, "test", 0, NULL);
    struct tls_server_settings settings = good_settings();
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct tls *tls = NULL;
        struct tls_session *session = NULL;
        mem_fail_nth(nth, true);
        enum err e = tls_new(&settings, &memory, &tls, NULL);
        if (e == OK) session = tls_session_new(tls, 0);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (fired) assert_true(e == ERR_NOMEM || session == NULL);
        tls_session_free(session);
        if (e == OK) tls_release(tls);
        assert_int_equal(budget_used(&memory), 0);
        assert_true(nth < 100);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions_outside_the_settings_are_refused),
        cmocka_unit_test(test_each_way_to_ask_for_certificates_takes_the_right_ones),
        cmocka_unit_test(test_only_clients_with_an_allowed_name_are_taken),
        cmocka_unit_test(test_open_sessions_end_with_their_ca_and_their_certificate),
        cmocka_unit_test(test_tickets_resume_sessions_until_the_tls_is_replaced),
        cmocka_unit_test(test_a_full_socket_loses_no_byte_and_repeats_none),
        cmocka_unit_test(test_bytes_that_are_not_tls_end_the_session),
        cmocka_unit_test(test_an_end_within_a_record_or_message_ends_the_session_at_once),
        cmocka_unit_test(test_a_message_in_several_records_needs_no_further_event),
        cmocka_unit_test(test_a_record_after_a_new_key_needs_no_further_event),
        cmocka_unit_test(test_the_alert_of_a_client_that_ends_the_handshake_is_named),
        cmocka_unit_test(test_files_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(test_each_allocation_of_ours_may_fail),
    };
    return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
