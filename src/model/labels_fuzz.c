/* labels_fuzz.c - reads any bytes as stored labels, and the same bytes cut into labels as a sender
 * might send them. */
#include <assert.h>
#include <stdint.h>

#include "model/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_as_stored(struct bytes input)
{
    struct cursor c = cursor_of(input);
    struct label label;
    uint32_t count = 0;
    struct buf again;
    buf_init(&again, NULL, input.size + 64);
    while (labels_next(&c, &label)) {
        count++;
        labels_put(&again, label);
        if (labels_valid(input)) assert(bytes_equal(labels_get(input, label.name), label.value));
    }
    assert(labels_count(input) == count);
    if (labels_valid(input)) assert(bytes_equal(buf_bytes(&again), input));
    buf_fini(&again);

    size_t half = input.size / 2;
    struct bytes a = bytes_of(input.at, half), b = bytes_of(input.at + half, input.size - half);
    int order = labels_compare(a, b);
    if (labels_valid(a) && labels_valid(b)) assert((order == 0) == bytes_equal(a, b));

    struct buf text;
    buf_init(&text, NULL, input.size * 6 + 256);
    labels_print(&text, input);
    buf_fini(&text);
}

static void
build_as_sent(struct bytes input)
{
    enum { COUNT_MAX = 64 };
    struct label given[COUNT_MAX];
    uint32_t count = 0;
    struct cursor c = cursor_of(input);
    while (count < COUNT_MAX && cursor_left(&c) > 0) {
        struct bytes name = cursor_bytes(&c, cursor_u8(&c) % 8);
        struct bytes value = cursor_bytes(&c, cursor_u8(&c) % 8);
        if (c.bad) break;
        given[count++] = (struct label){name, value};
    }
    struct labels_limits limits = {40, 6, 7};
    struct buf built;
    buf_init(&built, NULL, 1 << 16);
    enum reject verdict = labels_build(given, count, &limits, &built);
    if (verdict == REJECT_NONE) {
        assert(labels_valid(buf_bytes(&built)));
        assert(labels_count(buf_bytes(&built)) > 0);
    } else {
        assert(built.size == 0);
    }
    buf_fini(&built);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_as_stored(bytes_of(data, size));
    build_as_sent(bytes_of(data, size));
    return 0;
}
