/* histogram_fuzz.c - reads any bytes as a stored histogram: an accepted one is valid, and reads the
 * same after being written again. */
#include <assert.h>
#include <stdint.h>

#include "model/histogram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(const struct histogram *h, struct arena *arena, size_t size)
{
    assert(histogram_check(h, NULL) == OK);
    assert(histogram_equal(h, h));
    struct histogram copy, again;
    enum err e = histogram_copy(h, arena, &copy);
    assert(e == OK);

    /* An absent negative side takes fewer bytes than an empty one, so never more are written
     * than were read. */
    struct buf buf;
    buf_init(&buf, NULL, size + VARINT_SIZE_MAX);
    histogram_put(&buf, &copy);
    assert(buf_error(&buf) == OK);
    assert(buf.size <= size);
    struct cursor c = cursor_of(buf_bytes(&buf));
    e = histogram_get(&c, arena, &again);
    assert(e == OK);
    assert(cursor_left(&c) == 0);
    assert(histogram_equal(h, &again));
    assert(histogram_same_layout(h, &again));
    buf_fini(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, NULL, 64 << 20, 0);
    struct cursor c = cursor_of(bytes_of(data, size));
    struct histogram h;
    enum err e = histogram_get(&c, &arena, &h);
    /* The memory is in proportion to the bytes: 8 for each, and the blocks of the arena. */
    assert(arena.used_bytes <= 8 * size + 64 * 1024);
    assert(e == OK || e == ERR_CORRUPT);
    if (e == OK) check_again(&h, &arena, size - cursor_left(&c));
    arena_fini(&arena);
    return 0;
}
