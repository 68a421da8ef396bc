/*
 * remote_write_overwrite.h - gives all series of a decoded request labels that their sender has not
 * chosen.
 */
#ifndef WIRE_REMOTE_REMOTE_WRITE_OVERWRITE_H
#define WIRE_REMOTE_REMOTE_WRITE_OVERWRITE_H

#include "wire/remote/remote_write.h"

enum { RW_OVERWRITE_MAX = 64 };

/*
 * Adds `labels` to each series, in place of all labels of these names. They are canonical, at most
 * RW_OVERWRITE_MAX, and stay until the request is cleared. Labels that were sorted are sorted
 * afterwards, so that the store finds known series as fast as others. Exemplars, metadata, and
 * series with a bad reference stay as they are.
 *
 * The request comes from rw_decode(). *ret_changed is the number of series whose labels differ from
 * those that were sent. ERR_NOMEM, ERR_LIMIT: as of rw_decode(); the request is cleared.
 */
MUST_CHECK enum err rw_overwrite_labels(struct rw_request *request, struct bytes labels,
                                        uint32_t *ret_changed, struct why *why);

#endif
