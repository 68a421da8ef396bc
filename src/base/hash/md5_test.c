/* md5_test.c - MD5 as in RFC 1321, and as GnuTLS computes it. */
#include "lib/test.h"

#include <gnutls/crypto.h>
#include <string.h>

#include "base/hash/md5.h"
#include "base/text/hex.h"

enum { MESSAGES = 300, TEXT_BYTES = 1 << 16 };

static uint8_t text[TEXT_BYTES];

static void
make_text(void)
{
    uint64_t state = 1;
    for (size_t i = 0; i < sizeof text; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        text[i] = (uint8_t)(state >> 56);
    }
}

static void
check(struct bytes message, const uint8_t digest[MD5_BYTES])
{
    uint8_t expected[MD5_BYTES];
    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_MD5, message.at, message.size, expected), 0);
    assert_memory_equal(digest, expected, MD5_BYTES);
}

UNIT_TEST(test_the_published_vectors_come_out)
{
    static const struct {
        const char *message;
        const uint8_t digest[MD5_BYTES + 1];
    } vectors[] = {
        {"", "\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\x09\x98\xec\xf8\x42\x7e"},
        {"a", "\x0c\xc1\x75\xb9\xc0\xf1\xb6\xa8\x31\xc3\x99\xe2\x69\x77\x26\x61"},
        {"message digest", "\xf9\x6b\x69\x7d\x7c\xb7\x93\x8d\x52\x5a\x2f\x31\xaa\xf1\x61\xd0"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t digest[MD5_BYTES];
        md5(bytes_of_text(vectors[i].message), digest);
        assert_memory_equal(digest, vectors[i].digest, MD5_BYTES);
    }
}

UNIT_TEST(test_messages_of_each_length_around_a_block_have_their_digest)
{
    for (size_t size = 0; size < MESSAGES; size++) {
        uint8_t digest[MD5_BYTES];
        md5(bytes_of(text + size, size), digest);
        check(bytes_of(text + size, size), digest);
    }
}

/* Sets have all sizes, so that lanes begin and end at all times, next to idle ones and alone. */
UNIT_TEST(test_many_at_once_have_the_digests_they_have_alone)
{
    static const size_t lengths[] = {0, 1, 55, 56, 63, 64, 65, 119, 128, 1000, 4096, 30001};
    enum { LENGTHS = sizeof lengths / sizeof *lengths };
    struct bytes messages[MESSAGES] = {{NULL, 0}};
    uint8_t digests[MESSAGES][MD5_BYTES];
    uint64_t random = 7;
    for (size_t count = 0; count < MESSAGES; count += count < 20 ? 1 : 40) {
        for (size_t i = 0; i < count; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            messages[i] = bytes_of(text + (random >> 50), lengths[(random >> 33) % LENGTHS]);
        }
        memset(digests, 0, sizeof digests);
        md5_many(messages, count, digests);
        for (size_t i = 0; i < count; i++)
            check(messages[i], digests[i]);
    }
}

/* The message is cut anywhere; a copy made in between has the digest of the bytes so far. */
UNIT_TEST(test_a_message_in_pieces_has_the_digest_of_the_whole)
{
    uint64_t random = 11;
    for (size_t size = 0; size < 2000; size += 1 + size / 40) {
        struct md5_stream s, copy;
        uint8_t digest[MD5_BYTES];
        md5_begin(&s);
        for (size_t at = 0; at < size;) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t piece = (random >> 33) % 150;
            if (piece > size - at) piece = size - at;
            md5_add(&s, bytes_of(text + at, piece));
            at += piece;
            copy = s;
            md5_end(&copy, digest);
            check(bytes_of(text, at), digest);
        }
        md5_end(&s, digest);
        check(bytes_of(text, size), digest);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_published_vectors_come_out),
        cmocka_unit_test(test_messages_of_each_length_around_a_block_have_their_digest),
        cmocka_unit_test(test_many_at_once_have_the_digests_they_have_alone),
        cmocka_unit_test(test_a_message_in_pieces_has_the_digest_of_the_whole),
    };
    make_text();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
