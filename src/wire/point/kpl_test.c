/* kpl_test.c - one record byte by byte; records come back; limits are exact; damage is reported. */
#include "lib/test.h"

#include <gnutls/crypto.h>
#include <stdio.h>

#include "lib/random.h"
#include "lib/wire/kpl_reader.h"

static struct kpl_writer *
writer_of(size_t bytes_max, uint32_t records_max)
{
    struct kpl_writer *w;
    assert_int_equal(kpl_writer_new(bytes_max, records_max, NULL, &w), OK);
    return w;
}

static enum err
add(struct kpl_writer *w, const char *key, const char *data)
{
    return kpl_writer_add(w, bytes_of_text(key), bytes_of_text(data));
}

UNIT_TEST(test_a_record_has_the_documented_bytes)
{
    static const uint8_t message[] = {0x0a, 1,    'a', 0x0a, 1,    'b',  0x1a, 5,    0x08,
                                      0,    0x1a, 1,   'x',  0x1a, 6,    0x08, 1,    0x1a,
                                      2,    'y',  'z', 0x1a, 4,    0x08, 0,    0x1a, 0};
    uint8_t md5[16];
    struct buf to;
    struct kpl_writer *w = writer_of(1000, 500);
    buf_init(&to, NULL, 1000);
    assert_int_equal(add(w, "a", "x"), OK);
    assert_int_equal(add(w, "b", "yz"), OK);
    assert_int_equal(add(w, "a", ""), OK);
    assert_int_equal(kpl_writer_count(w), 3);
    assert_int_equal(kpl_writer_bytes(w), 4 + sizeof message + 16);
    assert_int_equal(kpl_writer_end(w, &to), OK);
    kpl_seal(to.at, &to.size, 1);
    assert_int_equal(to.size, kpl_writer_bytes(w));
    assert_memory_equal(to.at, "\xf3\x89\x9a\xc2", 4);
    assert_memory_equal(to.at + 4, message, sizeof message);
    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_MD5, message, sizeof message, md5), 0);
    assert_memory_equal(to.at + 4 + sizeof message, md5, 16);
    kpl_writer_clear(w);
    assert_int_equal(kpl_writer_bytes(w), 20);
    assert_int_equal(add(w, "b", "x"), OK); /* its number belongs to the new table */
    buf_clear(&to);
    assert_int_equal(kpl_writer_end(w, &to), OK);
    assert_memory_equal(to.at + 4,
                        "\x0a\x01"
                        "b\x1a\x05\x08\0\x1a\x01x",
                        10);
    kpl_writer_free(w);
    buf_fini(&to);
}

UNIT_TEST(test_limits_are_exact)
{
    struct buf to;
    char key[KPL_KEY_BYTES_MAX + 2];
    buf_init(&to, NULL, 1000);
    struct kpl_writer *w = writer_of(20 + 3 + 7 + 7, 500);
    assert_int_equal(add(w, "a", "x"), OK); /* 3 and 7 bytes */
    assert_int_equal(add(w, "a", "xy"), ERR_LIMIT);
    assert_int_equal(add(w, "b", "x"), ERR_LIMIT);
    assert_int_equal(kpl_writer_count(w), 1);
    assert_int_equal(add(w, "a", "y"), OK);
    assert_int_equal(kpl_writer_bytes(w), 37);
    assert_int_equal(kpl_writer_end(w, &to), OK);
    assert_int_equal(to.size, 37);
    kpl_writer_free(w);
    w = writer_of(1000000, 2);
    assert_int_equal(add(w, "", "x"), ERR_INPUT);
    memset(key, 'k', sizeof key);
    key[KPL_KEY_BYTES_MAX + 1] = '\0';
    assert_int_equal(add(w, key, "x"), ERR_INPUT);
    key[KPL_KEY_BYTES_MAX] = '\0';
    assert_int_equal(add(w, key, "x"), OK);
    assert_int_equal(add(w, "a", "x"), OK);
    assert_int_equal(add(w, "a", "x"), ERR_LIMIT);
    kpl_writer_free(w);
    buf_fini(&to);
    buf_init(&to, NULL, 19);
    w = writer_of(100, 2);
    assert_int_equal(kpl_writer_end(w, &to), ERR_LIMIT);
    assert_int_equal(to.size, 0);
    kpl_writer_free(w);
    buf_fini(&to);
}

enum { DATA_BYTES = 3000 };

/* Makes the i-th record of a round. */
static void
make_record(struct rng *r, char key[32], uint8_t data[DATA_BYTES], size_t *ret_size)
{
    snprintf(key, 32, "key-%u", (unsigned)rng_below(r, 1u << rng_below(r, 12)));
    *ret_size = (size_t)rng_below(r, 1u << rng_below(r, 12)) % DATA_BYTES;
    for (size_t i = 0; i < *ret_size; i++)
        data[i] = (uint8_t)rng_next(r);
}

UNIT_TEST(test_records_come_out_as_they_went_in)
{
    struct kpl_writer *w = writer_of(100000, 500);
    struct arena arena;
    struct buf to;
    struct why why = {""};
    char key[32];
    static uint8_t data[DATA_BYTES];
    size_t size;
    arena_init(&arena, NULL, 1 << 20, 0);
    buf_init(&to, NULL, 100000);
    for (uint64_t round = 0; round < 300; round++) {
        struct rng r = {round};
        struct bytes got_key, got_data;
        uint32_t count = 0;
        kpl_writer_clear(w);
        buf_clear(&to);
        arena_reset(&arena);
        for (;; count++) {
            make_record(&r, key, data, &size);
            enum err e = kpl_writer_add(w, bytes_of_text(key), bytes_of(data, size));
            if (e == ERR_LIMIT) break;
            assert_int_equal(e, OK);
        }
        assert_int_equal(kpl_writer_count(w), count);
        assert_int_equal(kpl_writer_end(w, &to), OK);
        kpl_seal(to.at, &to.size, 1);
        struct kpl_reader reader;
        assert_int_equal(kpl_reader_init(&reader, buf_bytes(&to), &arena, &why), OK);
        struct rng again = {round};
        for (uint32_t i = 0; i < count; i++) {
            make_record(&again, key, data, &size);
            assert_true(kpl_reader_next(&reader, &got_key, &got_data));
            assert_true(bytes_equal_text(got_key, key));
            assert_true(bytes_equal(got_data, bytes_of(data, size)));
        }
        assert_false(kpl_reader_next(&reader, &got_key, &got_data));
        assert_false(reader.message.bad);
    }
    kpl_writer_free(w);
    arena_fini(&arena);
    buf_fini(&to);
}

/* Begins reading magic, message, checksum. */
static enum err
begin_reading(struct kpl_reader *reader, const char *message, size_t size, struct buf *to,
              struct arena *arena)
{
    struct why why = {""};
    buf_clear(to);
    buf_put(to, "\xf3\x89\x9a\xc2", 4);
    buf_put(to, message, size);
    assert_true(buf_reserve(to, 16));
    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_MD5, message, size, to->at + to->size), 0);
    to->size += 16;
    enum err e = kpl_reader_init(reader, buf_bytes(to), arena, &why);
    assert_int_equal(e != OK, why.text[0] != '\0');
    return e;
}

UNIT_TEST(test_records_of_others_are_read)
{
    /* The message has keys after the records, explicit hash keys, tags, and unknown fields. */
    static const char message[] = "\x1a\x0f\x08\x01\x10\x00\x1a\x01x\x22\x06\x0a\x01t\x12\x01v"
                                  "\x12\x01"
                                  "9\x0a\x01"
                                  "a\x0a\x01"
                                  "b\x28\x07";
    struct kpl_reader reader;
    struct arena arena;
    struct buf to;
    struct bytes key, data;
    arena_init(&arena, NULL, 1 << 22, 0);
    buf_init(&to, NULL, 1 << 20);
    assert_int_equal(begin_reading(&reader, message, sizeof message - 1, &to, &arena), OK);
    assert_true(kpl_reader_next(&reader, &key, &data));
    assert_true(bytes_equal_text(key, "b"));
    assert_true(bytes_equal_text(data, "x"));
    assert_false(kpl_reader_next(&reader, &key, &data));
    assert_false(reader.message.bad);
    /* A record refers to a missing key; another one has none. */
    assert_int_equal(begin_reading(&reader,
                                   "\x1a\x05\x08\x01\x1a\x01x\x0a\x01"
                                   "a",
                                   10, &to, &arena),
                     OK);
    assert_false(kpl_reader_next(&reader, &key, &data));
    assert_true(reader.message.bad);
    assert_int_equal(begin_reading(&reader,
                                   "\x1a\x03\x1a\x01x\x0a\x01"
                                   "a",
                                   8, &to, &arena),
                     OK);
    assert_false(kpl_reader_next(&reader, &key, &data));
    assert_true(reader.message.bad);
    assert_int_equal(begin_reading(&reader, "\x1a\x09", 2, &to, &arena), ERR_INPUT);
    assert_int_equal(begin_reading(&reader, "\x08\x01", 2, &to, &arena), ERR_INPUT);
    static char many[2 * (KPL_READ_KEYS_MAX + 1)];
    for (unsigned i = 0; i < sizeof many; i += 2)
        many[i] = 0x0a;
    assert_int_equal(begin_reading(&reader, many, sizeof many - 2, &to, &arena), OK);
    assert_int_equal(begin_reading(&reader, many, sizeof many, &to, &arena), ERR_LIMIT);
    arena_fini(&arena);
    buf_fini(&to);
}

UNIT_TEST(test_any_damage_is_reported)
{
    struct kpl_writer *w = writer_of(1000, 500);
    struct kpl_reader reader;
    struct arena arena;
    struct buf to;
    struct why why;
    arena_init(&arena, NULL, 1 << 20, 0);
    buf_init(&to, NULL, 1000);
    assert_int_equal(add(w, "key", "some data"), OK);
    assert_int_equal(kpl_writer_end(w, &to), OK);
    kpl_seal(to.at, &to.size, 1);
    for (size_t i = 0; i < to.size; i++) {
        to.at[i] ^= 4;
        assert_int_equal(kpl_reader_init(&reader, buf_bytes(&to), &arena, &why), ERR_INPUT);
        to.at[i] ^= 4;
        assert_int_equal(kpl_reader_init(&reader, bytes_of(to.at, i), &arena, &why), ERR_INPUT);
    }
    assert_int_equal(kpl_reader_init(&reader, buf_bytes(&to), &arena, &why), OK);
    kpl_writer_free(w);
    arena_fini(&arena);
    buf_fini(&to);
}

UNIT_TEST(test_a_refused_allocation_leaves_the_record_as_it_is)
{
    for (uint64_t nth = 1;; nth++) {
        struct kpl_writer *w = NULL;
        struct buf to;
        buf_init(&to, NULL, 100000);
        mem_fail_nth(nth, false);
        enum err e = kpl_writer_new(100000, 500, NULL, &w);
        uint32_t taken = 0;
        for (int i = 0; i < 100 && e == OK; i++) {
            e = add(w, i % 2 == 0 ? "a" : "b", "some data that takes a little room");
            taken += e == OK;
        }
        if (e == OK) e = kpl_writer_end(w, &to);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (fired) assert_int_equal(e, ERR_NOMEM);
        if (w != NULL) {
            assert_int_equal(kpl_writer_count(w), taken);
            assert_int_equal(add(w, "a", "again"), OK);
        }
        kpl_writer_free(w);
        buf_fini(&to);
        if (!fired) break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_has_the_documented_bytes),
        cmocka_unit_test(test_limits_are_exact),
        cmocka_unit_test(test_records_come_out_as_they_went_in),
        cmocka_unit_test(test_records_of_others_are_read),
        cmocka_unit_test(test_any_damage_is_reported),
        cmocka_unit_test(test_a_refused_allocation_leaves_the_record_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
