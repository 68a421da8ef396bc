/*
 * selection.h - selects the series that a destination is sent, and makes their labels: applies
 * tenants, selectors, external labels, relabelling and the tenant's label, in this order.
 *
 * Threads: any.
 */
#ifndef RELAY_FEED_SELECTION_H
#define RELAY_FEED_SELECTION_H

#include "backend/settings.h"
#include "model/select.h"

struct selection; /* immutable once made */

/* `settings` outlive it. ERR_INPUT: invalid selector or rule; ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err selection_new(const struct destination_settings *settings,
                                  struct selection **ret_selection, struct why *why);
void selection_free(struct selection *selection);

bool selection_takes_tenant(const struct selection *selection, struct bytes tenant);
/* The selectors, for selecting from a store: a series that one of them matches is taken. With none,
 * all are taken. */
const struct matcher_set *selection_sets(const struct selection *selection, uint32_t *ret_count);
/* True if metadata of this family is sent. Only matchers of the name are applied: metadata has no
 * other label. */
bool selection_takes_family(const struct selection *selection, struct bytes tenant,
                            struct bytes family);

/*
 * Makes the labels under which a series is sent: canonical, a view of `labels` or of `arena`; empty
 * if it is not sent. ERR_NOMEM, ERR_LIMIT: the arena is full.
 */
MUST_CHECK enum err selection_apply(const struct selection *selection, struct bytes tenant,
                                    struct bytes labels, struct arena *arena,
                                    struct bytes *ret_labels);

#endif
