/*
 * gate.h - the gate of the HTTP server (struct http_gate): finds the user who sends a request, and
 * refuses what the user may not do.
 *
 * It checks in this order that the listener serves the route, that the user is known by the
 * caller whom a gateway has verified (origin.h), or without one by the Authorization header, or
 * without one by the cookie of a session (gate_private.h), or by the client's certificate, and that
 * the user has the permission. Without users it lets in all requests except those that
 * gate_set_guard() refuses. Passwords are hashed on another thread, and no worker waits for it. A
 * signature (signed.h) that covers the body is judged as far as possible before the body arrives,
 * and as a whole after it.
 *
 * Threads: the functions that set something may be called while requests are judged.
 */
#ifndef AUTH_GATE_H
#define AUTH_GATE_H

#include "auth/origin.h"
#include "auth/users.h"
#include "net/http_server.h"

/* `access` of a route: the permissions of which a user needs one, or one of the last two. */
enum route_access {
    ACCESS_WRITE = PERMISSION_WRITE,
    ACCESS_READ = PERMISSION_READ,
    ACCESS_RULES = PERMISSION_RULES,
    ACCESS_ADMIN = PERMISSION_ADMIN,
    ACCESS_METRICS = PERMISSION_METRICS,
    ACCESS_PROCESS = PERMISSION_ADMIN | PERMISSION_METRICS, /* pages about the whole process */
    ACCESS_EITHER = PERMISSION_WRITE | PERMISSION_READ,     /* as the statements of InfluxQL need */
    ACCESS_KNOWN = 256,                                     /* every user */
    ACCESS_OPEN = 512,                                      /* everybody, without credentials */
};

/* Says whether a request of this method changes something on a route with this access: all do but
 * those that only read, of which some are sent with POST. */
static inline bool
access_changes(unsigned access, enum http_method method)
{
    if (method == HTTP_GET || method == HTTP_OPTIONS) return false;
    return method != HTTP_POST || (access != ACCESS_READ && access != ACCESS_EITHER);
}

struct gate;

/* `env` and `memory` outlive it. Errors of verifier_start(). */
MUST_CHECK enum err gate_new(struct env *env, struct budget *memory, struct gate **ret_gate,
                             struct why *why);
/* After the HTTP server was freed; NULL is fine. */
void gate_free(struct gate *gate);
/* For the options of the server; the caller may set `bodies`. */
struct http_gate gate_of_server(struct gate *gate);

/* Replaces the users; the gate takes a reference of its own. Requests that are being judged keep
 * the old ones, but passwords that are being checked are checked again. */
void gate_set_users(struct gate *gate, struct users *users);
/* Returns a reference to the users, for users_release(). NULL: requests need no credentials. */
struct users *gate_hold_users(struct gate *gate);
/* Sets the permissions that each place serves, by the index of the place. */
void gate_set_places(struct gate *gate, const unsigned *allowed, size_t count);

/* Guards places against DNS rebinding: while there are no users, a request gets 403 at a place with
 * `is_guarded` if origin_host_is_own() does not know its Host. */
enum { GATE_HOSTS_BYTES = 256, GATE_URL_BYTES = 544 };
struct gate_guard {
    bool is_guarded[HTTP_LISTENERS_MAX];
    char allowed_hosts[GATE_HOSTS_BYTES]; /* "a,b" */
    char external_url[GATE_URL_BYTES];
};
void gate_set_guard(struct gate *gate, const struct gate_guard *guard);

/* Sets the proxies whose X-Forwarded-For says who the client is. */
void gate_set_proxies(struct gate *gate, const struct networks *proxies);
/* Lets in one request per interval, and `burst` at once; others get 429. Interval 0: no limit. */
void gate_set_rate(struct gate *gate, int64_t interval_ns, uint32_t burst);

/* Returns the user who sent the request, valid until its end; NULL if it was let in without one. */
static inline const struct user *
gate_user(const struct http_request *request)
{
    return http_sender(request);
}

/* --- sessions of browsers --------------------------------------------------------------------- */

/* A browser adds its cookie to whatever a page makes it send. So a request with a session is
 * refused if its Origin is foreign, its Host is unknown, or it changes something without this
 * header, which pages of other sites cannot send. A request with it does not make browsers ask for
 * a password. */
#define GATE_PAGE_HEADER "X-Firekeep-Page"

struct gate_rights {
    unsigned permissions; /* of the sender where he connected: a set of enum permission */
    bool has_session;     /* he is known by a session */
};
/* For the API. */
struct gate_sessions {
    struct gate *gate;
    /* Begins a session of the user who sends the request with a password or a token, and appends
     * the value of Set-Cookie. The result is 0, or the status to answer with, and why. */
    unsigned (*begin)(struct gate *gate, const struct http_request *request, struct buf *to,
                      struct why *why);
    /* Ends the session of the request if it has one, and appends the value of Set-Cookie. */
    void (*end)(struct gate *gate, const struct http_request *request, struct buf *to);
    struct gate_rights (*rights)(struct gate *gate, const struct http_request *request);
};
struct gate_sessions gate_sessions_of(struct gate *gate);

/* Reasons for which requests were not let in: the sender is unknown (401), or not permitted, or not
 * at this address (403); passwords or tokens could not be checked, or the client's address failed
 * too often (503); there were too many requests (429). */
enum gate_refusal { GATE_UNKNOWN, GATE_FORBIDDEN, GATE_BUSY, GATE_RATE, GATE_REFUSALS };
struct gate_stats {
    uint64_t refused[GATE_REFUSALS];
    uint64_t passwords_known, passwords_hashed, passwords_full; /* as of verifier_counts() */
};
void gate_stats(struct gate *gate, struct gate_stats *ret_stats);

#endif
