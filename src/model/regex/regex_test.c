/*
 * regex_test.c - costs of regular expressions: memory that is charged, and patterns that are
 * refused.
 */
#include "lib/test.h"
#include <malloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/regex/regex.h"

/* --- memory of RE2: the operators new and delete, as C++ names them for the linker ------------ */

static size_t live_bytes, peak_bytes;

void *_Znwm(size_t size);
void _ZdlPv(void *memory);
void _ZdlPvm(void *memory, size_t size);

void *
_Znwm(size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL) abort();
    live_bytes += malloc_usable_size(memory);
    if (live_bytes > peak_bytes) peak_bytes = live_bytes;
    return memory;
}

void
_ZdlPv(void *memory)
{
    live_bytes -= malloc_usable_size(memory);
    free(memory);
}

void
_ZdlPvm(void *memory, size_t size)
{
    (void)size;
    _ZdlPv(memory);
}

/* --- patterns --------------------------------------------------------------------------------- */

/* Returns `begin`, `part` until there are so many bytes, and `end`. */
static struct buf
pattern_of(const char *begin, const char *part, size_t size, const char *end)
{
    struct buf b;
    buf_init(&b, NULL, 1 << 20);
    buf_put_text(&b, begin);
    while (b.size + strlen(part) + strlen(end) <= size)
        buf_put_text(&b, part);
    buf_put_text(&b, end);
    assert_int_equal(buf_error(&b), OK);
    return b;
}

static const char *const parts[] = {
    "a",
    "a?",
    "a?b?",
    "a*",
    "a*b*c*",
    ".",
    ".*a",
    "(.*a|b)*",
    "(a|bb|)",
    "|",
    "^",
    "\\b",
    "(?:)",
    "(",
    "\\pL",
    "\\PN",
    "[a\\pL]",
    "\\pL{1000}",
    "\\pN|",
    "\\w",
    "\\W",
    "[^a]",
    "[abcehk]",
    "a{0,9}",
    "a{0,1000}",
    "a{1000}",
    "(a?){9}",
    "(.{500})",
    "a.b|",
    "(?i)k",
    "(?i)\\w",
    "(?i:[k\\W])",
    "web-1.eu|",
    "((x{10}){10}){10}",
    "[^[:alpha:]x\xc3\xa4]",
    "[\xc2\x81-\xf4\x8f\x8f\x8f]",
    "\xf0\x9f\x98\x80",
    "\\Q.\\E",
};

static void
match_many(const struct regex *r)
{
    uint64_t seed = 7;
    for (int i = 0; i < 300; i++) {
        uint8_t text[40];
        for (size_t k = 0; k < sizeof text; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[k] = (uint8_t)("abckx01.é|"[(seed >> 33) % 11]);
        }
        (void)re2_program_matches(r->program, text, i % (int)sizeof text);
    }
}

/* Returns true if it compiled. */
static bool
check_charge(struct bytes pattern, enum re2_captures captures)
{
    struct budget budget;
    struct regex r;
    char why[REGEX_WHY_BYTES];
    budget_init(&budget, "test", 0, NULL);
    size_t before = live_bytes;
    peak_bytes = live_bytes;
    enum err e = regex_init(&r, pattern, captures, &budget, why);
    size_t took = peak_bytes - before;
    uint64_t peak = atomic_load(&budget.peak_bytes);
    if (took > peak) {
        fail_msg("%.20s of %zu: RE2 took %zu, charged were %ju", pattern.at, pattern.size, took,
                 (uintmax_t)peak);
    }
    if (e == OK) {
        match_many(&r);
        size_t kept = live_bytes - before;
        if (kept > budget_used(&budget)) {
            fail_msg("%.20s of %zu: RE2 keeps %zu, charged are %ju", pattern.at, pattern.size, kept,
                     (uintmax_t)budget_used(&budget));
        }
        regex_fini(&r);
    }
    assert_int_equal(budget_used(&budget), 0);
    return e == OK;
}

UNIT_TEST(test_re2_takes_no_more_than_is_charged)
{
    unsigned compiled = 0;
    /* the first regex allocates what RE2 keeps for all */
    check_charge(bytes_of_text("a"), RE2_NO_CAPTURES);
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        for (size_t size = 32; size <= 8192; size *= 16) {
            struct buf b = pattern_of(".*", parts[i], size, "x");
            compiled += check_charge(buf_bytes(&b), RE2_NO_CAPTURES);
            compiled += check_charge(buf_bytes(&b), RE2_CAPTURES);
            buf_fini(&b);
        }
    }
    assert_true(compiled > 150);
}

/* Each took RE2 a second and more, or hundreds of MiB. */
UNIT_TEST(test_a_pattern_that_is_costly_to_compile_is_refused)
{
    static const char *const costly[] = {"a?",     "\\pL", "(?i)\\PN", "a{0,1000}",
                                         "a{0,5}", ".?",   "a{1000}",  "(?:a?)"};
    for (unsigned i = 0; i < sizeof costly / sizeof *costly; i++) {
        struct buf b = pattern_of("", costly[i], 65536, "");
        struct budget budget;
        struct regex r;
        char why[REGEX_WHY_BYTES] = "";
        budget_init(&budget, "test", 0, NULL);
        enum err e = regex_init(&r, buf_bytes(&b), RE2_NO_CAPTURES, &budget, why);
        if (e != ERR_LIMIT) fail_msg("%s: %d", costly[i], (int)e);
        assert_string_equal(why, "too many repetitions or Unicode classes");
        assert_int_equal(atomic_load(&budget.peak_bytes), 0);
        buf_fini(&b);
    }
}

/* The alternatives are names whose dots are not escaped, so RE2 is needed. */
UNIT_TEST(test_too_many_alternatives_are_called_that)
{
    struct regex r;
    char why[REGEX_WHY_BYTES] = "";
    struct buf b = pattern_of("(a+", "|10.0.0.1:9", 400000, ")");
    assert_int_equal(regex_init(&r, buf_bytes(&b), RE2_NO_CAPTURES, NULL, why), ERR_LIMIT);
    assert_string_equal(why, "too many alternatives that are not literals (a dot that is one is "
                             "\\.)");
    buf_fini(&b);
}

UNIT_TEST(test_an_ordinary_regex_is_charged_little)
{
    static const char *const ordinary[] = {".*-(foo|bar|baz)-[0-9]+(:[0-9]+)?",
                                           "[\\w.-]+(\\.\\w+)*:[0-9]+",
                                           "5..",
                                           "(?i)error.*",
                                           "^(GET|POST) /api/v[0-9]+/.*$",
                                           ".*\\.(eu|us)-(west|east)-[1-3]\\..*"};
    for (unsigned i = 0; i < sizeof ordinary / sizeof *ordinary; i++) {
        struct budget budget;
        struct regex r;
        char why[REGEX_WHY_BYTES];
        budget_init(&budget, "test", 1 << 20, NULL);
        assert_int_equal(regex_init(&r, bytes_of_text(ordinary[i]), RE2_NO_CAPTURES, &budget, why),
                         OK);
        assert_true(budget_used(&budget) < 200 * 1024);
        regex_fini(&r);
    }
}

UNIT_TEST(test_a_regex_that_the_budget_has_no_room_for_is_refused)
{
    struct budget budget;
    struct regex r;
    char why[REGEX_WHY_BYTES];
    struct buf b = pattern_of("(", "web-1.eu|", 32768, "x):.*");
    budget_init(&budget, "test", 1 << 20, NULL);
    size_t before = live_bytes;
    assert_int_equal(regex_init(&r, buf_bytes(&b), RE2_NO_CAPTURES, &budget, why), ERR_NOMEM);
    assert_int_equal(budget_used(&budget), 0);
    assert_int_equal(live_bytes, before);
    atomic_store(&budget.limit_bytes, 100 << 20);
    assert_int_equal(regex_init(&r, buf_bytes(&b), RE2_NO_CAPTURES, &budget, why), OK);
    regex_fini(&r);
    assert_int_equal(budget_used(&budget), 0);
    buf_fini(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_re2_takes_no_more_than_is_charged),
        cmocka_unit_test(test_a_pattern_that_is_costly_to_compile_is_refused),
        cmocka_unit_test(test_too_many_alternatives_are_called_that),
        cmocka_unit_test(test_an_ordinary_regex_is_charged_little),
        cmocka_unit_test(test_a_regex_that_the_budget_has_no_room_for_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
