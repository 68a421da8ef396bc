/*
 * jwt_users.h - the users of a set who sign in with tokens of issuers (jwt.h): finds the user of a
 * token, with what the token's claims leave of the user's tenants and permissions.
 *
 * The user of a token is the first of the list whose settings it matches. The result is a user of
 * its own, for one request:
 *
 * - `name` is "USER:SUB", with the token's claim `sub`, or USER without one. Configured names have
 *   no colon, so a token cannot give its holder the name of another user.
 * - `permissions` are those of the user that the permissions claim names as well.
 * - `tenants` are those names in the tenant claim that the user may use. A name in which "*" stands
 *   for any text would be more than one tenant, so names with "*" are left out, and so is what is
 *   not a tenant's name. If none is left, nothing is permitted.
 *
 * Threads: any number of threads may look up users at once.
 */
#ifndef AUTH_TOKENS_JWT_USERS_H
#define AUTH_TOKENS_JWT_USERS_H

#include "auth/tokens/issuers.h"
#include "auth/users.h"

enum {
    JWT_UNNAMED_MAX = 4,       /* issuers whose tokens need not name them: all of them are tried */
    JWT_CLAIM_TEXTS_MAX = 256, /* tenants or permissions of a token */
};

struct jwt_users;

/*
 * Copies the settings of users with `jwt`, and holds their issuers. `users` are those of the list,
 * in its order, and live longer. *ret_users is NULL if no user has tokens.
 *
 * Errors of issuers_get(), with the user's name; ERR_LIMIT: more than JWT_UNNAMED_MAX issuers
 * whose settings do not name them; ERR_NOMEM.
 */
MUST_CHECK enum err jwt_users_new(const struct user_list *list, const struct user *users,
                                  struct issuers *issuers, struct budget *memory,
                                  struct jwt_users **ret_users, struct why *why);
/* NULL is fine. */
void jwt_users_free(struct jwt_users *users);

enum jwt_user_verdict {
    JWT_USER_KNOWN,
    JWT_USER_UNKNOWN, /* the token is malformed, refused, or matches no user */
    JWT_USER_LATER,   /* keys are missing that may come, or memory */
};
/* Finds the user of a token at a time. JWT_USER_KNOWN: *ret_user is given, for jwt_user_free(), and
 * valid as long as its set is held. Otherwise `why` is for the log, as in jwt.h. */
MUST_CHECK enum jwt_user_verdict jwt_users_judge(const struct jwt_users *users, struct bytes token,
                                                 int64_t now_s, struct budget *memory,
                                                 struct user **ret_user, struct why *why);
void jwt_user_free(struct user *user);

#endif
