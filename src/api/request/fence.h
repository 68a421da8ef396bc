/*
 * fence.h - private to api/: the series that the sender of a request may see. All of these
 * have to permit a series:
 *
 *     the user                 one of the read_matchers
 *     parameters of the URL    one of extra_filters[], and each extra_label
 *     fields of the body       the same: a form cannot widen what a proxy puts into the URL
 */
#ifndef API_REQUEST_FENCE_H
#define API_REQUEST_FENCE_H

#include "api/request/form.h"
#include "api/request/match.h"
#include "auth/users.h"
#include "model/permitted.h"

struct fence {
    struct permitted permitted; /* count 0: all series */
    struct bytes word;          /* equal for equal fences only; in the form's arena */
    struct match filters[FORM_PLACES];
    struct matcher **labels; /* those of extra_label; in the form's arena */
    uint32_t label_count;
    struct users *users; /* held, as the user's matchers are theirs; NULL if it has none */
};

/*
 * Reads the fence of a request, which begins as {0} and ends with fence_fini(), also
 * after errors, after all views and sets that it restricts, and before form_fini(). ERR_INPUT: a
 * sentence is appended to `error`; ERR_NOMEM and ERR_CANCELED, with `why`.
 */
MUST_CHECK enum err fence_read(struct fence *fence, struct form *form, struct budget *budget,
                               struct query_control *control, struct buf *error, struct why *why);
void fence_fini(struct fence *fence);

/* Return true if the user or the URL restricts a request, for routes that cannot. */
bool fence_of_user(const struct http_request *request);
bool fence_of_url(const struct http_request *request);

#endif
