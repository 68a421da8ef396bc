/* gate_private.h - private to auth/: sessions of browsers, and penalties for failures. */
#ifndef AUTH_GATE_PRIVATE_H
#define AUTH_GATE_PRIVATE_H

#include "auth/gate.h"
#include "auth/tokens/tokens.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/table.h"
#include "sys/env.h"

/* --- session.c -------------------------------------------------------------------------------- */

/*
 * Sessions of browsers: the value of a cookie that says who signed in, and when, with a MAC by a
 * key of this process. A session ends twelve hours after it began, when it is ended here, when the
 * user's secrets change, and with the process, which alone has the key.
 *
 * A session names a configured user, or has the token of an issuer, which is judged for each
 * request: session_find() says what a cookie claims, session_is_good() whether that is true.
 *
 * Threads: all functions but new and free may be called from any thread.
 */

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

/* Writes the name of the cookie. Browsers send cookies to all ports of a host, so a hash of the
 * server's external URL is a part of it. A secure cookie is accepted and sent over TLS only, and
 * its prefix __Host- keeps other hosts of the domain from setting one. */
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

/* --- penalties.c ------------------------------------------------------------------------------ */

/*
 * Slows down guessing: says whether a client's address may have a credential checked now. Pure: the
 * caller gives the time.
 *
 * Each failure raises the level of its address by one; a level falls by one per `interval_ns`.
 * From `failures` on the address is refused until the level has fallen by one, so a guesser gets
 * `failures` checks at first, and then one per interval. A credential that is known to be good is
 * not asked about here, so one misconfigured sender does not lock out others that share its
 * address.
 *
 * A refusal is answered with 503 and Retry-After, not with 429: Prometheus sends a batch again
 * after every 5xx (old versions after at most 5 s, newer ones after Retry-After), but drops it
 * after 429 unless its configuration has retry_on_http_429.
 *
 * At most `addresses_max` addresses have a level. If a further one fails, it takes the place of the
 * address with the lowest level, and inherits that level. So
 *  - an address in the table never has a lower level than its own failures give it;
 *  - an address leaves the table only after failures have raised all others to its level;
 *  - an address that is not in the table has one check, and then at least the lowest level: with
 *    more addresses than the table has, an attacker gets one check per address and turn, not
 *    `failures`. An innocent address that fails during such an attack is refused as early.
 *
 * Threads: the caller holds a lock, or has one thread.
 */

/* An IPv4 address, or the first 64 bits of an IPv6 address, which one client has for itself. */
struct penalty_key {
    uint8_t bytes[16];
};

/* `address` has 16 bytes; IPv4 addresses are mapped (::ffff:192.0.2.1). */
struct penalty_key penalty_key_of(const uint8_t *address);

struct penalties_options {
    uint32_t addresses_max;
    uint32_t failures;
    int64_t interval_ns;
    int64_t log_interval_ns; /* one line per address */
    uint64_t seed;           /* secret, so that a client cannot choose colliding addresses */
};

/* Values for the server: ten failures at once, then six per minute. The table takes 230 KB. */
enum { PENALTIES_ADDRESSES_MAX = 4096, PENALTIES_FAILURES = 10 };
#define PENALTIES_INTERVAL_NS     INT64_C(10000000000)
#define PENALTIES_LOG_INTERVAL_NS INT64_C(60000000000)

struct penalty_address {
    struct penalty_key key;
    struct log_gate lines;
};

struct penalties {
    struct penalties_options options;
    struct budget *budget;
    uint32_t count;
    int64_t *ends_ns; /* when the level of each address is 0 */
    struct penalty_address *addresses;
    struct table table; /* indexes of addresses */
};

/* ERR_NOMEM: nothing is held. */
MUST_CHECK enum err penalties_init(struct penalties *penalties, struct budget *budget,
                                   const struct penalties_options *options);
/* Zeroed memory is allowed. */
void penalties_fini(struct penalties *penalties);

/* Returns 0 if a credential from the address may be checked now, or the seconds for Retry-After.
 * Times are those of one monotonic clock, from 0 on, and do not fall. */
uint32_t penalties_retry_after_s(const struct penalties *penalties, struct penalty_key key,
                                 int64_t now_ns);

/* Counts a failure. True at most once per log_interval_ns and address: then a line about the
 * address is due, and `ret_failures` is the number of its failures since the last line, including
 * this one. An address that left the table begins again: the caller limits the lines of all
 * addresses together. */
bool penalties_add(struct penalties *penalties, struct penalty_key key, int64_t now_ns,
                   uint64_t *ret_failures);

#endif
