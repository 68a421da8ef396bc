/*
 * selection.h - which series a destination is given, and under which labels: tenants, selectors,
 * external labels, relabelling, the tenant's label, in this order.
 */
#ifndef RELAY_FEED_SELECTION_H
#define RELAY_FEED_SELECTION_H

#include "backend/settings.h"
#include "model/select.h"

struct selection; /* immutable once made */

/* ERR_INPUT: a selector or a rule that is none; ERR_LIMIT, ERR_NOMEM. `settings` outlive it. */
MUST_CHECK enum err selection_new(const struct destination_settings *settings,
                                  struct selection **ret_selection, struct why *why);
void selection_free(struct selection *selection);

bool selection_takes_tenant(const struct selection *selection, struct bytes tenant);
/* What its selectors say, for who asks a store: any of them takes a series; none: all are taken. */
const struct matcher_set *selection_sets(const struct selection *selection, uint32_t *ret_count);
/* Metadata has only its family's name as a label: selectors of other labels do not count. */
bool selection_takes_family(const struct selection *selection, struct bytes tenant,
                            struct bytes family);

/*
 * The labels under which a series goes on: canonical, a view of `labels` or of `arena`; of no size
 * if it does not. ERR_NOMEM, ERR_LIMIT: of the arena.
 */
MUST_CHECK enum err selection_apply(const struct selection *selection, struct bytes tenant,
                                    struct bytes labels, struct arena *arena,
                                    struct bytes *ret_labels);

#endif
