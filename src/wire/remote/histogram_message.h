/*
 * histogram_message.h - writes the Histogram message of remote read and write, with the same fields
 * in 1.0 and 2.0.
 */
#ifndef WIRE_REMOTE_HISTOGRAM_MESSAGE_H
#define WIRE_REMOTE_HISTOGRAM_MESSAGE_H

#include "base/buf.h"
#include "wire/shape.h"

/* Appends the message without tag and length. `start_ms` is 0 if unknown, and always in 1.0. Out of
 * memory shows in buf_error(to), which then may hold a part of the message. */
void histogram_message_put(struct buf *to, int64_t t_ms, int64_t start_ms,
                           const struct histogram *h);

#endif
