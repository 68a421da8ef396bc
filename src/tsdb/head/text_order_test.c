/* text_order_test.c - ordering many texts at once has the same result as comparing
 * them in pairs. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "tsdb/head/series_order.h"

enum { TEXTS_MAX = 20000, TEXT_BYTES_MAX = 64 };

static uint8_t memory[TEXTS_MAX][TEXT_BYTES_MAX];
static struct bytes texts[TEXTS_MAX];
static struct order_key keys[2 * TEXTS_MAX];
static uint64_t state = 88172645463325252u;

static uint32_t
below(uint32_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % bound;
}

static struct bytes
text_of(const void *context, uint32_t id)
{
    return ((const struct bytes *)context)[id];
}

/* Makes texts of few letters, zero among them, after the same start: many are equal, and
 * many are short. */
static void
make_texts(uint32_t count, uint32_t letters, uint32_t start, uint32_t size_max)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = start + below(size_max - start + 1);
        for (uint32_t at = 0; at < size; at++)
            memory[i][at] = at < start ? 'x' : (uint8_t)below(letters);
        texts[i] = bytes_of(memory[i], size);
    }
}

static void
test_texts_are_in_order_and_all_of_them_are_there(void **unused)
{
    (void)unused;
    static const uint32_t counts[] = {0, 1, 2, 31, 32, 100, 3000, TEXTS_MAX};
    static const uint32_t letters[] = {1, 2, 3, 255};
    for (unsigned n = 0; n < 8 * 4 * 3; n++) {
        static bool seen[TEXTS_MAX];
        uint32_t count = counts[n % 8], start = n / 32 * 17;
        make_texts(count, letters[n / 8 % 4], start, TEXT_BYTES_MAX);
        memset(seen, 0, sizeof seen);
        for (uint32_t i = 0; i < count; i++)
            keys[i].id = i;
        struct order_texts order = {text_of, texts};
        order_by_text(&order, keys, keys + count, count);
        for (uint32_t i = 0; i < count; i++) {
            assert_false(seen[keys[i].id]);
            seen[keys[i].id] = true;
            if (i > 0) assert_true(bytes_compare(texts[keys[i - 1].id], texts[keys[i].id]) <= 0);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_are_in_order_and_all_of_them_are_there),
    };
    return cmocka_run_group_tests_name("tsdb/head/text_order", tests, NULL, NULL);
}
