/* unpack_test.c - compressed objects are unpacked whole, or reported as damaged. */
#include "lib/test.h"

#include <zlib.h>
#include <zstd.h>

#include "backend/common/pack.h"
#include "base/buf.h"

enum { ROOM = 1 << 20 };

/* Two lines in two members or frames. */
#define FIRST  "{\"name\":\"up\",\"time\":1000,\"value\":1,\"labels\":{}}\n"
#define SECOND "{\"name\":\"up\",\"time\":2000,\"value\":2,\"labels\":{}}\n"

enum packed_in { IN_GZIP, IN_ZSTD };

static void
pack_as(struct buf *to, enum packed_in packing, const char *text)
{
    uint8_t packed[1000];
    size_t size;
    if (packing == IN_ZSTD) {
        size = ZSTD_compress(packed, sizeof packed, text, strlen(text), 3);
        assert_false(ZSTD_isError(size));
    } else {
        z_stream z = {.next_in = (Bytef *)(uintptr_t)text,
                      .avail_in = (uInt)strlen(text),
                      .next_out = packed,
                      .avail_out = sizeof packed};
        assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        size = sizeof packed - z.avail_out;
        deflateEnd(&z);
    }
    buf_put(to, packed, size);
}

static enum err
take_all(struct archive_unpacker *u, struct buf *to, struct why *why)
{
    for (;;) {
        struct bytes text;
        enum err e = archive_unpacker_take(u, &text, why);
        if (e || text.size == 0) return e;
        buf_put_bytes(to, text);
    }
}

/* Reads an object as a scan does, in pieces; replaces the text. */
static enum err
unpack(struct bytes packed, size_t piece, struct buf *to, struct why *why)
{
    struct archive_unpacker *u;
    enum err e = OK;
    buf_clear(to);
    assert_int_equal(archive_unpacker_new(NULL, &u), OK);
    for (size_t at = 0; e == OK && at < packed.size; at += piece) {
        size_t size = packed.size - at < piece ? packed.size - at : piece;
        archive_unpacker_give(u, bytes_of(packed.at + at, size));
        e = take_all(u, to, why);
    }
    if (e == OK) e = archive_unpacker_end(u, why);
    if (e == OK) e = take_all(u, to, why);
    archive_unpacker_free(u);
    return e;
}

/* A cut after the first member or frame is not noticed, as nothing shows that another
 * one followed. */
static void
check_cuts(enum packed_in packing)
{
    struct buf packed, text;
    buf_init(&packed, NULL, ROOM);
    buf_init(&text, NULL, ROOM);
    pack_as(&packed, packing, FIRST);
    size_t first = packed.size;
    pack_as(&packed, packing, SECOND);
    for (size_t cut = 0; cut <= packed.size; cut++) {
        for (size_t piece = 1; piece <= 1024; piece *= 4) {
            struct why why = {""};
            enum err e = unpack(bytes_of(packed.at, cut), piece, &text, &why);
            bool is_whole = cut == 0 || cut == first || cut == packed.size;
            bool is_text = packing == IN_ZSTD && cut == 1; /* a line "(", which is not a sample */
            if (e != (is_whole || is_text ? OK : ERR_CORRUPT)) {
                fail_msg("%zu of %zu bytes, %zu at a time: %s %s", cut, packed.size, piece,
                         err_word(e), why.text);
            }
            if (is_text) continue;
            assert_true(text.size <= sizeof FIRST SECOND - 1);
            if (text.size > 0) assert_memory_equal(text.at, FIRST SECOND, text.size);
            if (is_whole) {
                size_t lines = cut == 0 ? 0 : cut == first ? sizeof FIRST : sizeof FIRST SECOND;
                assert_int_equal(text.size, lines == 0 ? 0 : lines - 1);
            }
        }
    }
    buf_fini(&packed);
    buf_fini(&text);
}

UNIT_TEST(test_gzip_cut_short_at_any_byte_is_damaged)
{
    check_cuts(IN_GZIP);
}

UNIT_TEST(test_zstd_cut_short_at_any_byte_is_damaged)
{
    check_cuts(IN_ZSTD);
}

/* Zeros after gzip are padding. */
UNIT_TEST(test_only_members_and_zeros_may_follow_gzip)
{
    static const struct {
        const char *tail;
        size_t size;
        enum err e;
    } cases[] = {
        {"\0\0\0", 3, OK},        {"x", 1, ERR_CORRUPT},        {"\0\0x", 3, ERR_CORRUPT},
        {"\x1f", 1, ERR_CORRUPT}, {"\x1f\x8b", 2, ERR_CORRUPT}, {"\n", 1, ERR_CORRUPT},
    };
    struct buf packed, text;
    buf_init(&packed, NULL, ROOM);
    buf_init(&text, NULL, ROOM);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t piece = 1; piece <= 1024; piece *= 32) {
            struct why why;
            buf_clear(&packed);
            pack_as(&packed, IN_GZIP, FIRST);
            buf_put(&packed, cases[i].tail, cases[i].size);
            assert_int_equal(unpack(buf_bytes(&packed), piece, &text, &why), cases[i].e);
            assert_true(bytes_equal_text(buf_bytes(&text), FIRST));
            if (cases[i].e == OK || memchr(cases[i].tail, 0x1f, cases[i].size) != NULL) continue;
            assert_string_equal(why.text, "unexpected data after the gzip data");
        }
    }
    buf_fini(&packed);
    buf_fini(&text);
}

UNIT_TEST(test_only_frames_may_follow_zstd)
{
    struct buf packed, text;
    struct why why;
    buf_init(&packed, NULL, ROOM);
    buf_init(&text, NULL, ROOM);
    pack_as(&packed, IN_ZSTD, FIRST);
    buf_put_text(&packed, "xxxx");
    assert_int_equal(unpack(buf_bytes(&packed), 1024, &text, &why), ERR_CORRUPT);
    buf_fini(&packed);
    buf_fini(&text);
}

UNIT_TEST(test_text_may_be_shorter_than_the_magic_of_a_packing)
{
    struct buf text;
    struct why why;
    buf_init(&text, NULL, ROOM);
    for (size_t size = 0; size <= 6; size++) {
        assert_int_equal(unpack(bytes_of("{\"a\":1", size), 1, &text, &why), OK);
        assert_true(bytes_equal(buf_bytes(&text), bytes_of("{\"a\":1", size)));
    }
    buf_fini(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip_cut_short_at_any_byte_is_damaged),
        cmocka_unit_test(test_zstd_cut_short_at_any_byte_is_damaged),
        cmocka_unit_test(test_only_members_and_zeros_may_follow_gzip),
        cmocka_unit_test(test_only_frames_may_follow_zstd),
        cmocka_unit_test(test_text_may_be_shorter_than_the_magic_of_a_packing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
