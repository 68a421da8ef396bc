/* pack_test.c - the libraries that consumers use can read the output of pack(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "backend/common/pack.h"

enum { LARGE = 3 << 20 };

static uint8_t *
made(size_t size, unsigned kinds)
{
    uint8_t *text = malloc(size + 1);
    uint64_t state = 1;
    assert_non_null(text);
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        text[i] = (uint8_t)((state >> 33) % kinds);
    }
    return text;
}

static void
read_gzip(struct bytes packed, uint8_t *to, size_t size)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed.at,
                  .avail_in = (uInt)packed.size,
                  .next_out = to,
                  .avail_out = (uInt)size + 1};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    assert_int_equal(z.total_out, size);
    inflateEnd(&z);
}

static void
read_zstd(struct bytes packed, uint8_t *to, size_t size)
{
    assert_int_equal(ZSTD_decompress(to, size + 1, packed.at, packed.size), size);
}

static void
check(enum compression compression, size_t size, unsigned kinds)
{
    struct packer *packer;
    struct buf packed, again;
    uint8_t *text = made(size, kinds), *back = calloc(1, size + 1);
    assert_non_null(back);
    buf_init(&packed, NULL, 2 * LARGE);
    buf_init(&again, NULL, 2 * LARGE);
    assert_int_equal(packer_new(compression, &packer), OK);
    assert_int_equal(pack(packer, bytes_of(text, size), &packed), OK);
    /* The result does not depend on earlier calls. */
    assert_int_equal(pack(packer, bytes_of_text("something else"), &again), OK);
    buf_fini(&again); /* its room is allocated for the next one */
    buf_init(&again, NULL, 2 * LARGE);
    assert_int_equal(pack(packer, bytes_of(text, size), &again), OK);
    assert_true(bytes_equal(buf_bytes(&packed), buf_bytes(&again)));
    if (compression == COMPRESSION_GZIP)
        read_gzip(buf_bytes(&packed), back, size);
    else
        read_zstd(buf_bytes(&packed), back, size);
    assert_memory_equal(back, text, size);
    packer_free(packer);
    buf_fini(&packed);
    buf_fini(&again);
    free(text);
    free(back);
}

static void
test_packed_data_unpacks_with_its_library_and_is_reproducible(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 65535, 65536, 70000, LARGE};
    static const unsigned kinds[] = {1, 4, 256}; /* a run, some text, noise */
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            check(COMPRESSION_GZIP, sizes[i], kinds[k]);
            check(COMPRESSION_ZSTD, sizes[i], kinds[k]);
        }
    }
    for (size_t size = 0; size <= 600; size++) { /* sizes around those where it grows */
        check(COMPRESSION_GZIP, size, 256);
        check(COMPRESSION_ZSTD, size, 256);
    }
}

static void
test_without_room_nothing_is_appended(void **state)
{
    static const enum compression all[] = {COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD};
    uint8_t *text = made(1000, 256);
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct packer *packer;
        struct buf to;
        buf_init(&to, NULL, 500);
        buf_put_text(&to, "before");
        assert_int_equal(packer_new(all[i], &packer), OK);
        assert_int_equal(pack(packer, bytes_of(text, 1000), &to), ERR_LIMIT);
        assert_int_equal(to.size, 6);
        packer_free(packer);
        buf_fini(&to);
    }
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_data_unpacks_with_its_library_and_is_reproducible),
        cmocka_unit_test(test_without_room_nothing_is_appended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
