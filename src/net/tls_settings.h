/*
 * tls_settings.h - what listeners are configured to do before a request is read, as plain structs:
 * addresses, TLS, headers of all answers, the limit of the rate. Names and meanings of the keys of
 * TLS are those of Prometheus' file for --web.config.file; config/lists/access/access_settings.c
 * reads them.
 *
 * Texts are NUL-terminated, live as long as the list, and are NULL if not given. Files are read by
 * net/tls.h, when the server starts and when they change.
 */
#ifndef NET_TLS_SETTINGS_H
#define NET_TLS_SETTINGS_H

#include <stdbool.h>

#include "base/text/texts.h"

enum tls_client_auth {
    TLS_CLIENT_NONE,            /* NoClientCert */
    TLS_CLIENT_REQUEST,         /* RequestClientCert: asked for, not required, not verified */
    TLS_CLIENT_REQUIRE_ANY,     /* RequireAnyClientCert: required, not verified */
    TLS_CLIENT_VERIFY_IF_GIVEN, /* VerifyClientCertIfGiven */
    TLS_CLIENT_REQUIRE,         /* RequireAndVerifyClientCert */
};
enum tls_version { TLS_VERSION_10, TLS_VERSION_11, TLS_VERSION_12, TLS_VERSION_13 };

struct tls_server_settings {
    bool is_set; /* the key is in the file, perhaps without a certificate */
    bool given;  /* false: the listener speaks clear text */
    const char *cert_file, *key_file;
    const char *cert, *key; /* PEM in place of the files; `key` is a secret */
    enum tls_client_auth client_auth;
    const char *client_ca_file, *client_ca;
    struct text_list client_allowed_sans;
    enum tls_version min_version, max_version; /* TLS12, TLS13 */
    struct text_list cipher_suites;            /* Go's names; empty: the defaults */
    struct text_list curve_preferences;        /* Go's names; empty: the defaults */
    bool prefer_server_cipher_suites;          /* true */
};

/* Listeners all have these. */
struct http_server_settings {
    bool http2;                 /* true; accepted and ignored: ALPN offers http/1.1 */
    struct named_texts headers; /* of all answers; without those that have no value */
    int64_t rate_interval_ns;   /* one request per interval; 0: no limit */
    uint32_t rate_burst;        /* and this many at once; not 0 if there is a limit */
};

enum listener_kind {
    LISTENER_TCP,  /* "host:port" */
    LISTENER_UNIX, /* "unix:PATH" */
    LISTENER_FD,   /* "fd://NAME": a socket that systemd passes under this name */
};

enum { LISTENERS_MAX = 64 };
struct listener_settings {
    uint32_t line;       /* in the file, for messages; 0: from web.listen-address */
    const char *address; /* as given */
    enum listener_kind kind;
    const char *place; /* the address without "unix:" and "fd://": a view of `address` */
    struct tls_server_settings
        tls;        /* `is_set` false: as all listeners, see access_settings_complete() */
    unsigned allow; /* set of enum permission (auth/settings.h) */
    uint32_t mode;  /* of the socket's file, for LISTENER_UNIX; otherwise 0 */
};
struct listener_list {
    struct listener_settings *items;
    uint32_t count;
};

#endif
