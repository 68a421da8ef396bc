/* jose_test.c - base64url. */
#include "lib/test.h"

#include <string.h>

#include "auth/tokens/jwt.h"
#include "lib/auth/token_signer.h"

UNIT_TEST(test_base64url_of_any_bytes_reads_back)
{
    uint8_t bytes[48];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 5);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        struct buf text, read;
        buf_init(&text, NULL, 100);
        buf_init(&read, NULL, 100);
        base64url_put(&text, bytes_of(bytes, size));
        assert_int_equal(base64url_get(buf_bytes(&text), &read), OK);
        assert_true(bytes_equal(buf_bytes(&read), bytes_of(bytes, size)));
        buf_fini(&text);
        buf_fini(&read);
    }
}

/* All texts of up to three characters, most of which are not base64url. */
UNIT_TEST(test_each_bytes_have_exactly_one_text_in_base64url)
{
    static const char some[] = "AQgwPB9_-+/= .\n\x80";
    enum { SOME = sizeof some - 1 };
    unsigned accepted = 0;
    for (unsigned n = 0; n < SOME * SOME * SOME * SOME; n++) {
        const char text[4] = {some[n % SOME], some[n / SOME % SOME], some[n / SOME / SOME % SOME],
                              some[n / SOME / SOME / SOME]};
        for (size_t size = 1; size <= 4; size++) {
            struct buf again, read;
            buf_init(&again, NULL, 100);
            buf_init(&read, NULL, 100);
            buf_put_u8(&read, 'x');
            enum err e = base64url_get(bytes_of(text, size), &read);
            if (e == OK) {
                base64url_put(&again, bytes_of(read.at + 1, read.size - 1));
                assert_true(bytes_equal(buf_bytes(&again), bytes_of(text, size)));
                accepted++;
            } else {
                assert_int_equal(e, ERR_INPUT);
                assert_int_equal(read.size, 1);
            }
            buf_fini(&again);
            buf_fini(&read);
        }
    }
    assert_true(accepted > 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64url_of_any_bytes_reads_back),
        cmocka_unit_test(test_each_bytes_have_exactly_one_text_in_base64url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
