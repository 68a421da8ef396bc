/* label_edit_test.c - labels that are kept, dropped and set, whose result is sorted. */
#include "lib/test.h"

#include "promql/eval/label_sets.h"

/* Writes "a=1,b=2" as canonical labels. */
static void
make(struct buf *to, const char *text)
{
    buf_init(to, NULL, 10000);
    while (*text != '\0') {
        size_t name = strcspn(text, "="), value = strcspn(text + name + 1, ",");
        labels_put(to, (struct label){bytes_of(text, name), bytes_of(text + name + 1, value)});
        text += name + 1 + value;
        text += *text == ',';
    }
    assert_true(labels_valid(buf_bytes(to)));
}

static void
check(struct buf *is, const char *wanted)
{
    struct buf wants;
    make(&wants, wanted);
    assert_true(bytes_equal(buf_bytes(is), buf_bytes(&wants)));
    buf_fini(&wants);
    buf_clear(is);
}

UNIT_TEST(test_labels_are_kept_and_dropped_by_their_names)
{
    struct buf labels, to;
    struct bytes names[] = {bytes_of_text("c"), bytes_of_text("a"), bytes_of_text("c"),
                            bytes_of_text("x")};
    struct name_list list = name_list_of(names, 4), none = {NULL, 0};
    assert_int_equal(list.count, 3);
    make(&labels, "__name__=m,a=1,b=2,c=3");
    buf_init(&to, NULL, 10000);
    labels_without_metadata(&to, buf_bytes(&labels));
    check(&to, "a=1,b=2,c=3");
    labels_keep(&to, buf_bytes(&labels), &list);
    check(&to, "a=1,c=3");
    labels_keep(&to, buf_bytes(&labels), &none);
    check(&to, "");
    labels_drop(&to, buf_bytes(&labels), &list, false);
    check(&to, "__name__=m,b=2");
    labels_drop(&to, buf_bytes(&labels), &list, true);
    check(&to, "b=2");
    labels_drop(&to, buf_bytes(&labels), &none, true);
    check(&to, "a=1,b=2,c=3");
    buf_fini(&labels);
    buf_fini(&to);
}

UNIT_TEST(test_a_label_is_set_where_it_belongs)
{
    static const struct {
        const char *name, *value, *wanted;
    } cases[] = {
        {"a", "x", "a=x,b=1,d=2"}, {"b", "x", "b=x,d=2"}, {"c", "x", "b=1,c=x,d=2"},
        {"e", "x", "b=1,d=2,e=x"}, {"b", "", "d=2"},      {"d", "", "b=1"},
        {"z", "", "b=1,d=2"},
    };
    struct buf labels, to;
    make(&labels, "b=1,d=2");
    buf_init(&to, NULL, 10000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        labels_with(&to, buf_bytes(&labels),
                    (struct label){bytes_of_text(cases[i].name), bytes_of_text(cases[i].value)});
        check(&to, cases[i].wanted);
    }
    buf_fini(&labels);
    buf_fini(&to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_are_kept_and_dropped_by_their_names),
        cmocka_unit_test(test_a_label_is_set_where_it_belongs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
