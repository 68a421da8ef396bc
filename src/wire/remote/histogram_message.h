/*
 * histogram_message.h - writes the Histogram message of remote read and write; 1.0 and 2.0 have the
 * same fields.
 */
#ifndef WIRE_REMOTE_HISTOGRAM_MESSAGE_H
#define WIRE_REMOTE_HISTOGRAM_MESSAGE_H

#include "base/buf.h"
#include "wire/shape.h"

/*
 * Appends the message without tag and length. `start_ms` 0: unknown, and the only value that 1.0
 * has. Out of memory shows in buf_error(to), which then may hold a part of it.
 */
void histogram_message_put(struct buf *to, int64_t t_ms, int64_t start_ms,
                           const struct histogram *h);

#endif
