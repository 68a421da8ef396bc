/*
 * remote_write_text.h - write requests written as text (see proto_text.h), decoded into one request
 * of the process. For tests.
 *
 * A test program runs its tests with rw_test_run(). The request, its budget and the message are
 * replaced by the next call of rw_accept(), rw_refuse() or rw_message_of(). One thread.
 */
#ifndef LIB_WIRE_REMOTE_WRITE_TEXT_H
#define LIB_WIRE_REMOTE_WRITE_TEXT_H

#include "lib/test.h"

#include <stdio.h>

#include "base/hash/hash.h"
#include "lib/wire/proto_text.h"
#include "lib/wire/remote_write_validate.h"
#include "wire/remote/remote_write.h"

enum { SEED = 12345 }; /* seed of label hashes */

/* The symbols 0 to 6 of a request of version 2.0. */
#define SYMBOLS "22{} 22{'__name__'} 22{'up'} 22{'job'} 22{'a'} 22{'Is it up?'} 22{'bool'} "

extern struct budget rw_budget;   /* the memory of `decoded` */
extern struct rw_request decoded; /* the last message, views of it */
extern struct bytes rw_message;   /* allocated with exactly its size: a sanitizer sees overreads */

/* Encodes `text` as rw_message, a view until the next message. */
struct bytes rw_message_of(const char *text);

/* Decodes `text` into `decoded`; fails the test unless it is valid, or invalid (ERR_INPUT). */
void rw_accept(enum rw_version version, const char *text);
void rw_refuse(enum rw_version version, const char *text);

/* Makes `decoded`, and frees it after the tests; it fails if memory of the budget is left. */
enum err rw_begin(void);
int rw_teardown(void **state);

/* Runs a table of tests; returns the status for main(). */
#define rw_test_run(tests) (rw_begin() ? 1 : cmocka_run_group_tests((tests), NULL, rw_teardown))

#endif
