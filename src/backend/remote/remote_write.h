/*
 * remote_write.h - private to backend/: what the files of destination type `remote_write` share.
 */
#ifndef BACKEND_REMOTE_REMOTE_WRITE_H
#define BACKEND_REMOTE_REMOTE_WRITE_H

#include "backend/common/http_common.h"

/* --- families.c: metadata kept for the series of 2.0, which carry it themselves --------------- */

struct families;
struct family {
    enum metric_type type;
    struct bytes help;
    struct bytes unit;
};
MUST_CHECK enum err families_new(struct budget *memory, struct families **ret_families);
void families_free(struct families *families);
/* ERR_LIMIT: there is no room for another one; ERR_NOMEM. What was known of it is replaced. */
MUST_CHECK enum err families_put(struct families *families, struct bytes tenant, struct bytes name,
                                 const struct family *family);
/* By the name of a metric: that of its family, or one of its series ("_total", "_bucket", ...). */
bool families_find(const struct families *families, struct bytes tenant, struct bytes metric,
                   struct family *ret_family);

/* --- oauth2.c: tokens by client credentials (RFC 6749, section 4.4) ----------------------------
 */

struct oauth2;
MUST_CHECK enum err oauth2_new(const struct writer_options *options,
                               const struct oauth2_settings *settings, struct oauth2 **ret_oauth2);
void oauth2_free(struct oauth2 *oauth2);
/* There is no token, or it ends soon. */
bool oauth2_is_due(const struct oauth2 *oauth2);
/* The token was refused: another one is to be had. */
void oauth2_refused(struct oauth2 *oauth2);
/* As a writer's prepare(). */
void oauth2_step(struct oauth2 *oauth2, const struct http_call_answer *answer,
                 struct writer_step *ret_step);
/* The token, a view until the next step; empty: there is none. */
struct bytes oauth2_token(const struct oauth2 *oauth2);

#endif
