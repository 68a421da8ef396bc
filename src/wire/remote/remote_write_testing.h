/*
 * remote_write_testing.h - what the tests of remote_write*.c share: one request, and messages
 * written as in proto_text_testing.h.
 */
#ifndef WIRE_REMOTE_REMOTE_WRITE_TESTING_H
#define WIRE_REMOTE_REMOTE_WRITE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/hash.h"
#include "wire/proto_text_testing.h"
#include "wire/remote/remote_write.h"
#include "wire/remote/remote_write_validate_testing.h"

enum { SEED = 12345 };

/* Numbers 0 to 6. */
#define SYMBOLS "22{} 22{'__name__'} 22{'up'} 22{'job'} 22{'a'} 22{'Is it up?'} 22{'bool'} "

static struct budget budget;
static struct rw_request request;
static struct fingerprint_keys keys;
static uint8_t *message; /* of exactly its size, so that a sanitizer sees a read too far */
static size_t message_size;

static inline struct bytes
message_of(const char *text)
{
    struct buf buf;
    buf_init(&buf, NULL, 64 << 20);
    proto_text(&buf, text);
    free(message);
    message_size = buf.size;
    message = malloc(buf.size == 0 ? 1 : buf.size);
    assert_non_null(message);
    if (buf.size > 0) memcpy(message, buf.at, buf.size);
    buf_fini(&buf);
    return bytes_of(message, message_size);
}

static inline enum err
decode(enum rw_version version, const char *text)
{
    struct bytes m = message_of(text);
    struct why why = {0};
    enum err e = rw_decode(&request, version, m, SEED, &why);
    if (e == OK) {
        rw_request_validate(&request);
    } else {
        assert_int_not_equal(why.text[0], 0);
        assert_int_equal(request.series_count, 0);
        assert_int_equal(request.float_count, 0);
    }
    return e;
}

static inline void
accept(enum rw_version version, const char *text)
{
    enum err e = decode(version, text);
    if (e) print_error("refused: %s\n", text);
    assert_int_equal(e, OK);
}

static inline void
refuse(enum rw_version version, const char *text)
{
    enum err e = decode(version, text);
    if (e != ERR_INPUT) print_error("not refused: %s\n", text);
    assert_int_equal(e, ERR_INPUT);
}

static inline int
teardown(void **state)
{
    (void)state;
    rw_request_fini(&request);
    free(message);
    return budget_used(&budget) == 0 ? 0 : -1;
}

static inline enum err
request_begin(void)
{
    budget_init(&budget, "test", 0, NULL);
    enum err e = rw_request_init(&request, &budget);
    for (unsigned i = 0; i < sizeof keys.texts.words / sizeof *keys.texts.words; i++) {
        keys.texts.words[i] = hash_mix(SEED, i);
        keys.lists.words[i] = hash_mix(SEED + 1, i);
    }
    request.keys = &keys;
    return e;
}

#define rw_test_run(tests) (request_begin() ? 1 : cmocka_run_group_tests((tests), NULL, teardown))

#endif
