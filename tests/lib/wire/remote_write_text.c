/* remote_write_text.c - see remote_write_text.h. */
#include "lib/wire/remote_write_text.h"

struct budget rw_budget;
struct rw_request decoded;
struct bytes rw_message;

static struct fingerprint_keys keys;

struct bytes
rw_message_of(const char *text)
{
    struct buf buf;
    buf_init(&buf, NULL, 64 << 20);
    proto_text(&buf, text);
    free((void *)(uintptr_t)rw_message.at);
    uint8_t *copy = malloc(buf.size == 0 ? 1 : buf.size);
    assert_non_null(copy);
    if (buf.size > 0) memcpy(copy, buf.at, buf.size);
    rw_message = bytes_of(copy, buf.size);
    buf_fini(&buf);
    return rw_message;
}

static enum err
decode(enum rw_version version, const char *text)
{
    struct bytes m = rw_message_of(text);
    struct why why = {0};
    enum err e = rw_decode(&decoded, version, m, SEED, &why);
    if (e == OK) {
        rw_request_validate(&decoded);
    } else {
        assert_int_not_equal(why.text[0], 0);
        assert_int_equal(decoded.series_count, 0);
        assert_int_equal(decoded.float_count, 0);
    }
    return e;
}

void
rw_accept(enum rw_version version, const char *text)
{
    enum err e = decode(version, text);
    if (e) print_error("refused: %s\n", text);
    assert_int_equal(e, OK);
}

void
rw_refuse(enum rw_version version, const char *text)
{
    enum err e = decode(version, text);
    if (e != ERR_INPUT) print_error("not refused: %s\n", text);
    assert_int_equal(e, ERR_INPUT);
}

int
rw_teardown(void **state)
{
    (void)state;
    rw_request_fini(&decoded);
    free((void *)(uintptr_t)rw_message.at);
    return budget_used(&rw_budget) == 0 ? 0 : -1;
}

enum err
rw_begin(void)
{
    budget_init(&rw_budget, "test", 0, NULL);
    enum err e = rw_request_init(&decoded, &rw_budget);
    for (unsigned i = 0; i < sizeof keys.texts.words / sizeof *keys.texts.words; i++) {
        keys.texts.words[i] = hash_mix(SEED, i);
        keys.lists.words[i] = hash_mix(SEED + 1, i);
    }
    decoded.keys = &keys;
    return e;
}
