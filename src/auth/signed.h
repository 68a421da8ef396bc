/*
 * signed.h - signs in requests of the HTTP server with AWS Signature Version 4, for the gate:
 * connects sigv4_check.h with the request, the users and the clock. It keeps nothing between the
 * head of a request and its body: a request is judged again, by the users in force then.
 */
#ifndef AUTH_SIGNED_H
#define AUTH_SIGNED_H

#include "auth/sigv4_check.h"
#include "auth/users.h"
#include "net/http_server.h"

enum signed_stage { SIGNED_HEAD, SIGNED_WHOLE /* the body is there, too */ };

/*
 * Judges a request. SIGV4_ABSENT also if no user has an access key: other ways to sign in decide.
 * SIGV4_GOOD: *ret_user sent it; SIGV4_NEEDS_BODY, not in SIGNED_WHOLE: it is to be judged again
 * then. SIGV4_MALFORMED and SIGV4_REFUSED: `why` is for logs. SIGV4_NO_MEMORY: not judged.
 *
 * An unknown key is refused in SIGNED_HEAD, in the time that the check of a signature takes.
 */
enum sigv4_verdict signed_judge(struct env *env, const struct users *users,
                                const struct http_request *request, enum signed_stage stage,
                                struct budget *memory, const struct user **ret_user,
                                struct why *why);

#endif
