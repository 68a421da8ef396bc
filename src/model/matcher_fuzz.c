/*
 * matcher_fuzz.c - reads any bytes as a pattern and a value: byte 0 is the type, byte 1 the
 * pattern's length. On UTF-8, our reading of the pattern must agree with RE2's.
 */
#include <assert.h>
#include <stdint.h>

#include "model/labels.h"
#include "model/matcher.h"
#include "model/regex/matcher_re2.h"
#include "model/regex/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
re2_says(struct bytes pattern, struct bytes value)
{
    char why[64];
    struct re2_program *program = NULL;
    enum re2_result result = re2_program_new(pattern.at, pattern.size, 8 << 20, RE2_NO_CAPTURES,
                                             &program, why, sizeof why);
    assert(result == RE2_OK);
    bool matches = re2_program_matches(program, value.at, value.size);
    re2_program_free(program);
    return matches;
}

static void
check(const struct matcher *m, struct bytes value)
{
    bool matches = matcher_matches(m, value);
    enum matcher_type type = matcher_type(m);
    bool negative = type == MATCH_NOT_EQUAL || type == MATCH_NOT_REGEX;
    const struct bytes *literals;
    uint32_t count = matcher_literals(m, &literals);
    for (uint32_t i = 0; i < count; i++)
        assert(matcher_matches(m, literals[i]) != negative);
    if (!utf8_valid(value)) return;
    struct bytes prefix = matcher_prefix(m);
    if (matches != negative) {
        assert(value.size >= prefix.size);
        assert(prefix.size == 0 || memcmp(value.at, prefix.at, prefix.size) == 0);
    }
    if (type == MATCH_REGEX || type == MATCH_NOT_REGEX)
        assert(matches == (re2_says(matcher_pattern(m), value) != negative));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_of(bytes_of(data, size));
    enum matcher_type type = (enum matcher_type)(cursor_u8(&c) % 4);
    struct bytes pattern = cursor_counted(&c);
    struct bytes value = cursor_bytes(&c, cursor_left(&c));
    if (c.bad) return 0;
    struct matcher *m = NULL;
    struct why why;
    enum err e = matcher_new(type, bytes_of_text("n"), pattern, NULL, &m, &why);
    assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT);
    if (e != OK) return 0;
    check(m, value);
    check(m, pattern);
    check(m, bytes_of("", 0));
    matcher_free(m);
    return 0;
}
