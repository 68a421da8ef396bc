/*
 * gate_private.h - private to gate.c and gate_browser.c: the gate, and what a request is answered
 * with.
 */
#ifndef AUTH_GATE_PRIVATE_H
#define AUTH_GATE_PRIVATE_H

#include "auth/gate.h"
#include "auth/penalties.h"
#include "auth/session.h"
#include "auth/tokens/jwt_users.h"
#include "base/lock.h"

enum gate_cookie { COOKIE_PLAIN, COOKIE_SECURE, COOKIES };

struct gate {
    struct env *env;
    struct budget *memory;
    struct verifier *verifier;
    struct sessions *sessions;

    struct lock lock; /* LOCK_RANK_LEAF; guards to the next blank line */
    struct users *users;
    unsigned allowed[HTTP_LISTENERS_MAX];
    struct gate_guard guard;
    char cookies[COOKIES][SESSION_COOKIE_NAME_BYTES]; /* names */
    struct networks proxies;
    struct penalties penalties;
    int64_t lines_from_ns; /* monotonic: a minute begins, in which line_count failures are logged */
    uint32_t line_count;
    uint64_t lines_held_back;
    int64_t rate_interval_ns, rate_burst_ns; /* interval 0: no limit */
    int64_t rate_ns; /* monotonic: when the bucket would be full again, and all its burst is free */

    _Atomic uint64_t refused[GATE_REFUSALS]; /* relaxed: statistics */
};

/* --- gate.c ----------------------------------------------------------------------------------- */

/* Refuses the request. `reason` is for the log; NULL if that is no failure of its address. */
enum http_entry gate_refuse(struct gate *g, const struct http_request *request,
                            enum gate_refusal refusal, const char *reason,
                            struct http_denial *ret_denial);
/* Makes a known user the sender of the request, and checks the permission. */
enum http_entry gate_let_in(struct gate *g, struct http_request *request, const struct user *user,
                            struct http_denial *ret_denial);
/* Does the same for a user who was made for the request. */
enum http_entry gate_let_in_jwt_user(struct gate *g, struct http_request *request,
                                     struct user *user, struct http_denial *ret_denial);
/* Finds the user of a token of an issuer. This takes a worker at most as long as a TLS handshake. A
 * client that failed often is not refused before: a signature cannot be guessed, and many senders
 * may share an address. */
enum jwt_user_verdict gate_find_jwt_user(struct gate *g, const struct users *users,
                                         struct bytes token, struct user **ret_user,
                                         struct why *why);
/* Returns what follows the scheme of a header Authorization, or NULL if the scheme is another. */
const char *gate_after_scheme(const char *header, const char *scheme);

/* --- gate_browser.c --------------------------------------------------------------------------- */

/* Judges a request while there are no users. A page under a name that an attacker resolves to our
 * address is refused: its browser sends that name as Host. */
enum http_entry gate_judge_host(struct gate *g, const struct http_request *request,
                                struct http_denial *ret_denial);
/* Judges a request by the cookie of a session. False: it has none that is good, and other ways
 * decide. That is no failure: after the end of a session a page goes on asking. */
bool gate_judge_session(struct gate *g, struct http_request *request, struct users *users,
                        enum http_entry *ret_entry, struct http_denial *ret_denial);

#endif
