/*
 * oauth2.h - fetches tokens with client credentials (RFC 6749, section 4.4).
 *
 * Threads: one at a time.
 */
#ifndef BACKEND_COMMON_OAUTH2_H
#define BACKEND_COMMON_OAUTH2_H

#include "backend/common/http_common.h"

struct oauth2;
/* `timeout_ms`: of a request for a token. ERR_NOMEM. */
MUST_CHECK enum err oauth2_new(struct env *env, struct budget *memory,
                               const struct oauth2_settings *settings, int64_t timeout_ms,
                               struct oauth2 **ret_oauth2);
void oauth2_free(struct oauth2 *oauth2);
/* True if there is no token, or it expires soon. */
bool oauth2_is_due(const struct oauth2 *oauth2);
/* The token was refused: another one has to be fetched. */
void oauth2_refused(struct oauth2 *oauth2);
/* Runs as a writer's prepare(). */
void oauth2_step(struct oauth2 *oauth2, const struct http_call_answer *answer,
                 struct writer_step *ret_step);
/* Returns the token, a view until the next step; empty if there is none. */
struct bytes oauth2_token(const struct oauth2 *oauth2);

#endif
