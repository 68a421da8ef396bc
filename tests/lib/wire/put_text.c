/* put_text.c - see put_text.h. */
#include "lib/wire/put_text.h"

#include "lib/test.h"

void
expect_put(struct buf *to, enum err e, const struct why *why, const char *expected)
{
    if (expected == NULL) {
        assert_int_equal(e, ERR_INPUT);
        assert_true(why->text[0] != '\0');
        assert_int_equal(to->size, 1);
    } else {
        assert_int_equal(e, OK);
        buf_put_u8(to, 0);
        assert_string_equal((char *)to->at + 1, expected);
    }
    buf_fini(to);
}
