/* lookup_test.c - what a look-up that failed is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/internal.h"

static void
test_whoever_may_come_back_is_told_so(void **state)
{
    (void)state;
    static const struct {
        enum err e;
        unsigned status;
        const char *type;
    } cases[] = {
        {ERR_INPUT, 400, "bad_data"},    {ERR_LIMIT, 400, "bad_data"},
        {ERR_NOMEM, 422, "execution"},   {ERR_CANCELED, 503, "timeout"},
        {ERR_AGAIN, 503, "unavailable"}, {ERR_FULL, 503, "unavailable"},
        {ERR_CORRUPT, 500, "internal"},  {ERR_IO, 500, "internal"},
        {ERR_MISSING, 500, "internal"},  {ERR_UNSUPPORTED, 500, "internal"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(status_of(FOR_QUERY, cases[i].e), cases[i].status);
        assert_string_equal(problem_type_of(FOR_QUERY, cases[i].e), cases[i].type);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whoever_may_come_back_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
