/* negotiate_test.c - Prometheus 3.5.3 chose the same for these headers. */
#include "lib/test.h"

#include <string.h>

#include "api/routes.h"

UNIT_TEST(test_forms_are_chosen_as_prometheus_chooses_them)
{
    static const struct {
        const char *accept;
        enum family_form form;
        enum name_escaping escaping;
    } cases[] = {
        {NULL, FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"*/*", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"text/plain", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"text/plain;version=0.0.4", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"text/plain;version=1.0.0", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"text/plain;version=1.0.0;escaping=allow-utf-8", FAMILY_FORM_TEXT, ESCAPE_NOTHING},
        {"text/plain;version=0.0.4;escaping=allow-utf-8", FAMILY_FORM_TEXT, ESCAPE_NOTHING},
        {"text/plain; escaping=allow-utf-8", FAMILY_FORM_TEXT, ESCAPE_NOTHING},
        {"text/plain;escaping=dots", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"text/plain;escaping=values", FAMILY_FORM_TEXT, ESCAPE_VALUES},
        {"text/plain;escaping=nonsense", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/"
         "openmetrics-text;version=0.0.1;q=0.5,text/"
         "plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         FAMILY_FORM_TEXT, ESCAPE_NOTHING},
        {"application/"
         "vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
         FAMILY_FORM_MESSAGES, ESCAPE_UNDERSCORES},
        {"application/"
         "vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping="
         "allow-utf-8;q=0.6,text/plain;q=0.5",
         FAMILY_FORM_MESSAGES, ESCAPE_NOTHING},
        {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily",
         FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"application/vnd.google.protobuf; encoding=delimited; "
         "proto=io.prometheus.client.MetricFamily",
         FAMILY_FORM_MESSAGES, ESCAPE_UNDERSCORES},
        {"text/plain;q=0.3, "
         "application/"
         "vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.4",
         FAMILY_FORM_MESSAGES, ESCAPE_UNDERSCORES},
        {"text/plain, "
         "application/"
         "vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
         FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"application/"
         "vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited, "
         "text/plain",
         FAMILY_FORM_MESSAGES, ESCAPE_UNDERSCORES},
        {"text/html, application/xhtml+xml;escaping=values, text/plain;q=0", FAMILY_FORM_TEXT,
         ESCAPE_VALUES},
        {"application/"
         "vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0, "
         "text/plain;q=0.1",
         FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"TEXT/PLAIN;escaping=dots", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"text/plain;Escaping=dots", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"text/plain;escaping=\"dots\"", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"garbage", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"text/plain;escaping=dots;q=x", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"text/plain;escaping=dots;q=0.1, text/*;escaping=values", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"text/plain;escaping=dots;q=0.5, text/plain;escaping=values;q=0.5", FAMILY_FORM_TEXT,
         ESCAPE_DOTS},
        {"*/*;escaping=values, text/plain;escaping=dots", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"text/*;escaping=values, text/plain", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"text/plain;version=\"0.0.4\";escaping=dots", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"application/"
         "vnd.google.protobuf;proto=\"io.prometheus.client.MetricFamily\";encoding=\"delimited\"",
         FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"text/*;escaping=dots;q=0.5, a/b;escaping=values;q=0.2, text/plain;q=0.3",
         FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"a/b;escaping=dots, text/plain;escaping=nonsense", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"text / plain ; escaping = dots", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"text/plain;;escaping=dots", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"text/plain;escaping=dots;escaping=values", FAMILY_FORM_TEXT, ESCAPE_VALUES},
        {"a/b;escaping=values;q=2, a/c;escaping=dots", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"application/"
         "vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=Delimited",
         FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"application/vnd.google.protobuf;encoding=delimited", FAMILY_FORM_TEXT,
         ESCAPE_UNDERSCORES},
        {"text/plain;escaping", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
        {"text/plain;q=0.1;escaping=dots,text/plain;escaping=values;q=0.20", FAMILY_FORM_TEXT,
         ESCAPE_VALUES},
        {"text/plain;q=-1;escaping=dots,text/plain;escaping=values;q=0", FAMILY_FORM_TEXT,
         ESCAPE_VALUES},
        {"*;escaping=dots", FAMILY_FORM_TEXT, ESCAPE_DOTS},
        {"text;escaping=dots", FAMILY_FORM_TEXT, ESCAPE_UNDERSCORES},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct negotiated n = negotiate(cases[i].accept);
        if (n.form != cases[i].form || n.escaping != cases[i].escaping)
            fail_msg("%s: %s", cases[i].accept, n.content_type);
    }
}

UNIT_TEST(test_the_content_type_says_what_was_chosen)
{
    assert_string_equal(negotiate(NULL).content_type,
                        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    assert_string_equal(
        negotiate("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
                  "encoding=delimited;escaping=allow-utf-8;q=0.6,text/plain;q=0.5")
            .content_type,
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
        "encoding=delimited; escaping=allow-utf-8");
}

UNIT_TEST(test_a_header_of_any_length_is_read)
{
    char accept[24000];
    memset(accept, ',', sizeof accept);
    for (size_t i = 0; i + 16 < sizeof accept; i += 16)
        memcpy(accept + i, "a/b;q=0.1;=;;/ ,", 16);
    accept[sizeof accept - 1] = '\0';
    assert_int_equal(negotiate(accept).form, FAMILY_FORM_TEXT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_are_chosen_as_prometheus_chooses_them),
        cmocka_unit_test(test_the_content_type_says_what_was_chosen),
        cmocka_unit_test(test_a_header_of_any_length_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
