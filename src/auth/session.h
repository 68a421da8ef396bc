/*
 * session.h - sessions of browsers: the value of a cookie that says who signed in, and when, with a
 * MAC by a key of this process. A session ends twelve hours after it began, when it is ended here,
 * when the user's secrets change, and with the process, which alone has the key.
 *
 * A session names a configured user, or has the token of an issuer, which is judged for each
 * request: session_find() says what a cookie claims, session_is_good() whether that is true.
 *
 * Threads: all functions but new and free may be called from any thread.
 */
#ifndef AUTH_SESSION_H
#define AUTH_SESSION_H

#include "base/bytes.h"
#include "base/err.h"
#include "sys/env.h"

struct budget;
struct buf;

#define SESSION_NS (12 * 3600 * NS_PER_S)

enum {
    SESSION_COOKIE_NAME_BYTES = 32, /* with NUL */
    SESSION_VALUE_BYTES_MAX = 4000, /* browsers keep 4096 bytes of name and value */
    SESSION_ID_BYTES = 16,
    SESSION_MAC_BYTES = 32,
};

enum session_kind {
    SESSION_OF_USER = 'u',  /* the subject is the name of a configured user */
    SESSION_OF_TOKEN = 't', /* the subject is the token of an issuer: base64url and dots */
};
/* A session as a client claims it, which may be anything until session_is_good(). */
struct session {
    enum session_kind kind;
    int64_t began_ns;             /* monotonic */
    uint8_t id[SESSION_ID_BYTES]; /* a hash of the user's name, then random bytes */
    uint8_t mac[SESSION_MAC_BYTES];
    struct bytes subject; /* a view of the buffer that session_find() was given */
};

struct sessions;

/* The environment and the budget outlive it. ERR_NOMEM, or an error of env_random(). */
MUST_CHECK enum err sessions_new(struct env *env, struct budget *memory,
                                 struct sessions **ret_sessions);
void sessions_free(struct sessions *sessions); /* NULL is fine */

/*
 * Writes the name of the cookie. Browsers send cookies to all ports of a host, so a hash of the
 * server's external URL is a part of it. A secure cookie is accepted and sent over TLS only, and
 * its prefix __Host- keeps other hosts of the domain from setting one.
 */
void session_print_name(const char *external_url, bool is_secure,
                        char ret_name[static SESSION_COOKIE_NAME_BYTES]);

/* Appends the value of a new session of the user of that name. It ends when the user's `secret`
 * changes, which is empty for tokens, whose issuer decides. ERR_LIMIT: the subject is too long;
 * ERR_NOMEM, or an error of env_random(). */
MUST_CHECK enum err session_begin(struct sessions *sessions, enum session_kind kind,
                                  struct bytes subject, struct bytes user, struct bytes secret,
                                  struct buf *to);

/* Finds the first cookie of that name in a header Cookie, and reads its value. `room` gets the
 * decoded texts. False: the header has no such cookie, or its value is not that of a session. */
bool session_find(const char *cookies, const char *name, struct buf *room, struct session *ret);
/* Says whether session_begin() has made it with this secret, and it has not ended. */
bool session_is_good(struct sessions *sessions, const struct session *session, struct bytes secret);
/* Ends a session that is good. If SESSION_ENDED_MAX others were ended before they expired, the user
 * who ended most of them loses the oldest sessions, so that none that was ended is good again. Only
 * with as many users do all users lose them. */
enum { SESSION_ENDED_MAX = 1024 };
void session_end(struct sessions *sessions, const struct session *session);

#endif
