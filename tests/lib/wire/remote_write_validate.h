/* remote_write_validate.h - asserts what the decoder of remote write promises. For tests and
 * fuzzers. */
#ifndef LIB_WIRE_REMOTE_WRITE_VALIDATE_H
#define LIB_WIRE_REMOTE_WRITE_VALIDATE_H

#include "wire/remote/remote_write_memory.h"

/*
 * Asserts what remote_write.h promises about a decoded request: ranges are in bounds and in order,
 * references exist, each histogram is of one kind. Takes time in proportion to the request.
 */
void rw_request_validate(const struct rw_request *request);

/* Gives all series of the request, which rw_decode() has made, the label team="a", and asserts that
 * they have it once. A lack of memory, or a limit, is fine. */
void rw_request_validate_overwritten(struct rw_request *request);

#endif
