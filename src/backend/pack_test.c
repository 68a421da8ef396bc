/* Pieces of all sizes, one after another, become wholes that can be unpacked alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "backend/pack.h"
#include "base/hash.h"

enum { SIZE_MAX_TRIED = 600 };

static void
check_gzip(struct bytes packed, struct bytes want)
{
    uint8_t got[SIZE_MAX_TRIED + 1];
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed.at, .avail_in = (uInt)packed.size};
    z.next_out = got;
    z.avail_out = sizeof got;
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    assert_int_equal(z.total_out, want.size);
    assert_memory_equal(got, want.at, want.size);
    inflateEnd(&z);
}

static void
check_zstd(struct bytes packed, struct bytes want)
{
    uint8_t got[SIZE_MAX_TRIED + 1];
    assert_int_equal(ZSTD_decompress(got, sizeof got, packed.at, packed.size), want.size);
    assert_memory_equal(got, want.at, want.size);
}

/* What cannot be made smaller takes more than it was. */
static void
check_pieces(enum compression compression, void (*check)(struct bytes packed, struct bytes want))
{
    struct packer *packer;
    struct buf to;
    uint8_t piece[SIZE_MAX_TRIED];
    for (size_t i = 0; i < sizeof piece; i++)
        piece[i] = (uint8_t)hash_mix(i, 1);
    buf_init(&to, NULL, 1 << 20);
    assert_int_equal(packer_new(compression, &packer), OK);
    for (size_t size = 1; size <= sizeof piece; size++) {
        buf_fini(&to); /* so that its room is what was asked for */
        buf_init(&to, NULL, 1 << 20);
        assert_int_equal(pack(packer, bytes_of(piece, size), &to), OK);
        check(buf_bytes(&to), bytes_of(piece, size));
    }
    packer_free(packer);
    buf_fini(&to);
}

static void
test_pieces_of_any_size_become_gzip_members(void **state)
{
    (void)state;
    check_pieces(COMPRESSION_GZIP, check_gzip);
}

static void
test_pieces_of_any_size_become_zstd_frames(void **state)
{
    (void)state;
    check_pieces(COMPRESSION_ZSTD, check_zstd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_of_any_size_become_gzip_members),
        cmocka_unit_test(test_pieces_of_any_size_become_zstd_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
