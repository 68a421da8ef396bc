/* multipart_test.c - multipart forms, as real Prometheus servers read them. */
#include "lib/test.h"

#include <stdio.h>
#include <string.h>

#include "api/request/multipart.h"

/* Returns "name=value|..." of a form, or the refusal with "!" before it. */
static const char *
fields_of(const char *type, struct bytes body)
{
    static char text[1000];
    struct multipart m;
    struct why why;
    size_t used = 0;
    text[0] = '\0';
    enum err e = multipart_begin(&m, type, body, &why);
    while (e == OK) {
        struct bytes name, value;
        uint8_t plain[200];
        e = multipart_next(&m, &name, &value, &why);
        if (e == OK && value.at == NULL) return text;
        if (e) break;
        size_t size = multipart_unquote(name, plain);
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s=%.*s|", (int)size, plain,
                                 (int)value.size, (const char *)value.at);
    }
    snprintf(text, sizeof text, "!%s", why.text);
    return text;
}

#define FIELD(parameters, value) \
    "--b\r\nContent-Disposition: form-data; " parameters "\r\n\r\n" value "\r\n"
#define QUERY FIELD("name=\"query\"", "up")
#define END   "--b--\r\n"

UNIT_TEST(test_fields_are_read_as_prometheus_reads_them)
{
    static const struct {
        const char *parameters, *body, *fields;
    } cases[] = {
        {"; boundary=b", QUERY FIELD("name=\"match[]\"", "a\r\nb") END, "query=up|match[]=a\r\nb|"},
        {"; charset=utf-8; Boundary=\"b\"", "preamble\r\n" QUERY END "epilogue", "query=up|"},
        {";boundary=\"b\"", "--b\nContent-Disposition: form-data; name=query\n\n1\n--b--",
         "query=1|"},
        {"; boundary=b", FIELD("name=a; filename=x", "file") QUERY END, "query=up|"},
        {"; boundary=b", FIELD("filename*=utf-8''x; name=a", "file") END, ""},
        {"; boundary=b", FIELD("x=y", "no name") FIELD("name=\"\"", "no name") QUERY END,
         "query=up|"},
        {"; boundary=b", "--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n" QUERY END,
         "query=up|"},
        {"; boundary=b", "--b\r\n\r\nx\r\n" QUERY END, "query=up|"},
        {"; boundary=b",
         "--b  \r\ncontent-type: text/plain\r\nCONTENT-DISPOSITION:form-data;name=q\r\n"
         "Content-Transfer-Encoding: 8bit\r\n\r\nx\r\n" END,
         "q=x|"},
        {"; boundary=b", FIELD("name=\"a\\\"\\\\b\"", "") END, "a\"\\b=|"},
        {"; boundary=b", FIELD("name=a", "x\r\n--bb\r\n--b-\r\n --b") END,
         "a=x\r\n--bb\r\n--b-\r\n --b|"},
        {"; boundary=b", "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n--b--", "a=|"},
        {"; boundary=b", END, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[100];
        snprintf(type, sizeof type, "multipart/form-data%s", cases[i].parameters);
        assert_true(multipart_is_type(type));
        assert_string_equal(fields_of(type, bytes_of_text(cases[i].body)), cases[i].fields);
    }
}

UNIT_TEST(test_forms_that_are_cut_off_or_malformed_are_refused)
{
    static const struct {
        const char *parameters, *body;
    } cases[] = {
        {"", QUERY END},
        {"; boundary=", QUERY END},
        {"; boundary=\"b", QUERY END},
        {"; boundary=c", QUERY END},
        {"; boundary=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", END},
        {"; boundary=b", ""},
        {"; boundary=b", "x"},
        {"; boundary=b", QUERY},
        {"; boundary=b", QUERY "--b\r\n"},
        {"; boundary=b", QUERY "--b\r\nContent-Disposition"},
        {"; boundary=b", "--b\r\nContent-Disposition: form-data; name=a\r\n"
                         "Content-Transfer-Encoding: base64\r\n\r\neA==\r\n" END},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[200];
        snprintf(type, sizeof type, "multipart/form-data%s", cases[i].parameters);
        assert_int_equal(fields_of(type, bytes_of_text(cases[i].body))[0], '!');
    }
    assert_false(multipart_is_type("multipart/form-database; boundary=b"));
    assert_false(multipart_is_type("multipart/mixed; boundary=b"));
}

UNIT_TEST(test_every_cut_of_a_form_is_refused)
{
    static const char form[] = QUERY FIELD("name=a", "b") "--b--";
    for (size_t size = 0; size < sizeof form - 1; size++) {
        const char *fields =
            fields_of("multipart/form-data; boundary=b", bytes_of((const uint8_t *)form, size));
        assert_int_equal(fields[0], '!');
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_are_read_as_prometheus_reads_them),
        cmocka_unit_test(test_forms_that_are_cut_off_or_malformed_are_refused),
        cmocka_unit_test(test_every_cut_of_a_form_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
