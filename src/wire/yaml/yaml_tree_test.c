/* yaml_tree_test.c - YAML with anchors and merge keys, read as if written out. */
#include "lib/test.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "wire/yaml/yaml_reader.h"

enum { TEXT_BYTES_MAX = 1 << 20, VALUES_MAX = 1000 };

/* --- libyaml's memory ------------------------------------------------------------------------- */

/* libyaml calls these by its table of symbols, so that the program's versions are used: the n-th
 * call from now on is refused; 0: none. */
void *yaml_malloc(size_t size);
void *yaml_realloc(void *old, size_t size);
yaml_char_t *yaml_strdup(const yaml_char_t *text);

static unsigned refused_nth;

static bool
is_refused(void)
{
    return refused_nth > 0 && --refused_nth == 0;
}

void *
yaml_malloc(size_t size)
{
    return is_refused() ? NULL : malloc(size > 0 ? size : 1);
}

void *
yaml_realloc(void *old, size_t size)
{
    return is_refused() ? NULL : realloc(old, size > 0 ? size : 1);
}

yaml_char_t *
yaml_strdup(const yaml_char_t *text)
{
    return text == NULL || is_refused() ? NULL : (yaml_char_t *)strdup((const char *)text);
}

/* --- small helpers ---------------------------------------------------------------------------- */

/* Appends the current value as JSON, without quotes. */
static enum err
put_value(struct config_reader *r, struct buf *to)
{
    if (r->event.type == YAML_SCALAR_EVENT) {
        buf_put_bytes(to, reader_scalar(r));
        return OK;
    }
    bool is_list = r->event.type == YAML_SEQUENCE_START_EVENT;
    yaml_event_type_t end = is_list ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT;
    buf_put_u8(to, is_list ? '[' : '{');
    for (unsigned i = 0;; i++) {
        enum err e = reader_next(r);
        if (e) return e;
        if (r->event.type == end) break;
        if (i > 0) buf_put_text(to, is_list || i % 2 == 0 ? ", " : ": ");
        e = put_value(r, to);
        if (e) return e;
    }
    buf_put_u8(to, is_list ? ']' : '}');
    return OK;
}

static enum err
put_root(struct config_reader *r, void *to)
{
    return put_value(r, to);
}

static enum err
expand(const char *text, struct buf *to, struct why *why)
{
    struct config_reader r;
    enum err e = reader_init(&r, "t.yml", bytes_of_text(text), TEXT_BYTES_MAX, why);
    if (e) return e;
    e = reader_document_expanded(&r, TEXT_BYTES_MAX, VALUES_MAX, put_root, to);
    reader_fini(&r);
    return e;
}

/* Checks the result, or the error; `expected` is its text. */
static void
check(const char *text, enum err error, const char *expected)
{
    struct why why = {""};
    struct buf to;
    buf_init(&to, NULL, TEXT_BYTES_MAX);
    enum err e = expand(text, &to, &why);
    buf_put_u8(&to, '\0');
    assert_string_equal(e ? why.text : (const char *)to.at, expected);
    assert_int_equal(e, error);
    buf_fini(&to);
}

/* --- tests ------------------------------------------------------------------------------------ */

static const char repeating[] = "- &a {b: 1, c: &l [2, 3]}\n"
                                "- *a\n"
                                "- {<<: *a, b: 4}\n"
                                "- {<<: [{d: *l, <<: {e: 5}}, {d: 6}]}\n";

UNIT_TEST(test_a_document_is_given_as_if_it_were_written_out)
{
    check(repeating, OK,
          "[{b: 1, c: [2, 3]}, {b: 1, c: [2, 3]}, {b: 4, c: [2, 3]}, {d: [2, 3], e: 5}]");
    check("{a: '<<', '<<': \"&b\"}", OK, "{a: <<, <<: &b}"); /* in quotes they are texts */
    check("", OK, "");
}

UNIT_TEST(test_own_keys_of_a_mapping_win_and_then_the_first_merged_ones)
{
    check("{a: 1, <<: [{a: 2, b: 3}, {b: 4, c: 5}]}", OK, "{a: 1, b: 3, c: 5}");
    check("{<<: {a: 2}, a: 1}", OK, "{a: 1}");
    check("{<<: {a: 1, <<: {a: 2, b: 3}}}", OK, "{a: 1, b: 3}");
    check("{a: 1, a: 2, <<: {}}", OK, "{a: 1, a: 2}"); /* its reader reports the error */
}

UNIT_TEST(test_documents_that_hold_themselves_end)
{
    check("&a [*a]", ERR_INPUT, "t.yml:1:1: nested too deeply");
    check("&a {b: *a}", ERR_INPUT, "t.yml:1:1: nested too deeply");
    check("&a {<<: *a}", ERR_INPUT, "t.yml:1:1: <<: nested too deeply");
}

/* Each list has ten aliases of the list before it. */
UNIT_TEST(test_values_count_for_each_alias)
{
    check("[&a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a], "
          "*b, *b, *b, *b, *b, *b, *b, *b, *b]",
          ERR_INPUT, "t.yml:1:2: at most 1000 values are allowed");
}

UNIT_TEST(test_each_refused_allocation_is_an_error)
{
    for (unsigned of_yaml = 0; of_yaml < 2; of_yaml++) {
        for (unsigned nth = 1;; nth++) {
            struct why why = {""};
            struct buf to;
            buf_init(&to, NULL, TEXT_BYTES_MAX);
            assert_true(buf_reserve(&to, 1000)); /* this allocation does not count */
            refused_nth = of_yaml ? nth : 0;
            mem_fail_nth(of_yaml ? 0 : nth, false);
            enum err e = expand(repeating, &to, &why);
            bool fired = of_yaml ? refused_nth == 0 : mem_fail_fired();
            refused_nth = 0;
            mem_fail_nth(0, false);
            buf_fini(&to);
            assert_int_equal(e, fired ? ERR_NOMEM : OK);
            if (!fired) {
                assert_true(nth > 2);
                break;
            }
            assert_string_equal(why.text, "t.yml: not enough memory");
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_document_is_given_as_if_it_were_written_out),
        cmocka_unit_test(test_own_keys_of_a_mapping_win_and_then_the_first_merged_ones),
        cmocka_unit_test(test_documents_that_hold_themselves_end),
        cmocka_unit_test(test_values_count_for_each_alias),
        cmocka_unit_test(test_each_refused_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
