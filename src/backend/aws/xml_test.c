/* xml_test.c - texts of elements, and refusals of invalid XML. */
#include "lib/test.h"

#include <stdio.h>

#include "backend/aws/aws.h"

static const char *const roots[] = {"A", "B", NULL};

static char first[8], second[8];
static struct aws_xml_field fields[] = {{"P", "X", first, sizeof first},
                                        {NULL, "Y", second, sizeof second}};

static enum err
read_text(const char *text)
{
    return aws_xml_read(bytes_of_text(text), roots, fields, 2);
}

UNIT_TEST(test_fields_are_found_by_their_names_and_what_is_around)
{
    assert_int_equal(read_text("<?xml version=\"1.0\"?><A><X>no</X><P><X>a&amp;b</X></P>"
                               "<P><X>late</X></P><Q><Y>c<Z>d</Z>e</Y></Q></A>"),
                     OK);
    assert_string_equal(first, "a&b");
    assert_string_equal(second, "ce");
    assert_int_equal(read_text("<B/>"), OK);
    assert_string_equal(first, "");
    assert_string_equal(second, "");
    assert_int_equal(read_text("<A xmlns=\"x\"><P><X>123456789</X></P></A>"), OK);
    assert_string_equal(first, "1234567");
}

UNIT_TEST(test_another_root_is_not_looked_at)
{
    assert_int_equal(read_text("<C><P><X>a</X></P>"), ERR_MISSING);
    assert_string_equal(first, "");
}

UNIT_TEST(test_malformed_xml_is_refused)
{
    static const char *const bad[] = {
        "",
        "text",
        "{}",
        "<A",
        "<A></B>",
        "<A>&nobody;</A>",
        "<!DOCTYPE A [<!ENTITY x \"xxxxxxxx\">]><A><P><X>&x;</X></P></A>",
        "<!DOCTYPE A SYSTEM \"file:///etc/passwd\"><A/>",
        "<A>\xff</A>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_text(bad[i]), ERR_INPUT);
        assert_string_equal(first, "");
    }
    assert_int_equal(aws_xml_read(bytes_of(NULL, 0), roots, fields, 2), ERR_INPUT);
}

UNIT_TEST(test_fields_before_an_error_are_kept)
{
    assert_int_equal(read_text("<A><P><X>a</X></P><Y>b"), ERR_INPUT);
    assert_string_equal(first, "a");
}

UNIT_TEST(test_depth_and_length_have_ends)
{
    static char text[AWS_XML_BYTES_MAX + 100];
    size_t used = 0;
    for (int i = 0; i < AWS_XML_DEPTH_MAX + 1; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "<A>");
    assert_int_equal(read_text(text), ERR_LIMIT);
    used = (size_t)snprintf(text, sizeof text, "<A><P><X>a</X></P>");
    memset(text + used, ' ', sizeof text - used);
    memcpy(text + sizeof text - 5, "</A>", 5);
    assert_int_equal(read_text(text), ERR_LIMIT);
    assert_string_equal(first, "a");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_are_found_by_their_names_and_what_is_around),
        cmocka_unit_test(test_another_root_is_not_looked_at),
        cmocka_unit_test(test_malformed_xml_is_refused),
        cmocka_unit_test(test_fields_before_an_error_are_kept),
        cmocka_unit_test(test_depth_and_length_have_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
