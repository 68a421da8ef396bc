/* template_test.c - templates of alerts: their results, and the sentences of their errors. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/failing_memory.h"
#include "lib/test.h"
#include "model/fhist/fhist.h"
#include "template/template.h"

/* Results of Prometheus 3.5, found by tests/rules/compare_templates.py. */
struct expected {
    const char *text;
    const char *becomes;
};

static const struct label alert_labels[] = {
    {{(const uint8_t *)"job", 3}, {(const uint8_t *)"node", 4}},
    {{(const uint8_t *)"instance", 8}, {(const uint8_t *)"a.b:9090", 8}}};
static const struct label external_labels[] = {
    {{(const uint8_t *)"el", 2}, {(const uint8_t *)"ev", 2}}};

static int32_t positive_indexes[] = {-1, 0, 2}, negative_indexes[] = {1};
static double positive_counts[] = {1, 0, 2.5}, negative_counts[] = {3};
static const struct fhist histogram = {
    .hint = RESET_NO,
    .zero_threshold = 0.001,
    .zero_count = 2,
    .count = 8.5,
    .sum = -0.5,
    .positive = {positive_indexes, positive_counts, NULL, 3, 3},
    .negative = {negative_indexes, negative_counts, NULL, 1, 1},
};
/* $value, and the value of queries if it is a histogram; NULL for floats. */
static double value;
static const struct fhist *value_histogram;
static enum err query_fails;

static int
setup(void **state)
{
    (void)state;
    value = 42.5;
    value_histogram = NULL;
    query_fails = OK;
    return 0;
}

/* Answers queries: "up" has two samples, "none" has none; others fail. */
static enum err
query(void *context, struct bytes expression,
      enum err (*each)(void *to, const struct template_sample *sample), void *to, struct why *why)
{
    static const uint8_t names[][12] = {{0x0a, 10, 0x0a, 1, 'n', 0x12, 5, 'z', 'z', 'z', 'z', 'z'},
                                        {0x0a, 10, 0x0a, 1, 'n', 0x12, 5, 'a', 'a', 'a', 'a', 'a'}};
    (void)context;
    if (query_fails) return query_fails;
    if (bytes_equal_text(expression, "none")) return OK;
    if (!bytes_equal_text(expression, "up")) return why_set(why, ERR_INPUT, "parse error");
    for (unsigned i = 0; i < 2; i++) {
        const struct template_sample sample = {bytes_of(names[i], sizeof names[i]),
                                               double_bits(i + 1.0), value_histogram};
        enum err e = each(to, &sample);
        if (e) return e;
    }
    return OK;
}

static enum err
expand(const char *text, struct budget *budget, struct buf *to, struct why *why)
{
    const struct template_options options = {
        .name = bytes_of_text("__alert_X"), .query = {.query = query}, .budget = budget};
    const struct template_data data = {.labels = alert_labels,
                                       .label_count = 2,
                                       .external_labels = external_labels,
                                       .external_count = 1,
                                       .external_url = bytes_of_text("http://h:1/p%20q/x"),
                                       .value = double_bits(value),
                                       .histogram = value_histogram,
                                       .time_ms = 1435065584128};
    why->text[0] = '\0';
    return template_expand(&options, bytes_of_text(text), &data, to, why);
}

/* Compares the result of a template, or `before` and the sentence of its error. */
static void
check(const char *text, enum err wanted, const char *before, const char *becomes)
{
    struct buf to;
    struct why why;
    buf_init(&to, NULL, TEMPLATE_OUTPUT_BYTES_MAX);
    enum err e = expand(text, NULL, &to, &why);
    if (e != wanted) fail_msg("%.200s: %s", text, why_text(&why, e));
    if (e) assert_int_equal(to.size, 0);
    buf_put_u8(&to, 0);
    const char *got = e ? why.text : (const char *)to.at;
    size_t size = strlen(before);
    if (strncmp(got, before, size) != 0 || strcmp(got + size, becomes) != 0)
        fail_msg("%.200s: %s", text, got);
    buf_fini(&to);
}

static void
check_all(const struct expected *cases, size_t count, enum err wanted, const char *before)
{
    for (size_t i = 0; i < count; i++)
        check(cases[i].text, wanted, before, cases[i].becomes);
}

#define CHECK_EXPANDED(cases) check_all(cases, sizeof cases / sizeof *cases, OK, "")
#define CHECK_REFUSED(cases)                                  \
    check_all(cases, sizeof cases / sizeof *cases, ERR_INPUT, \
              "error executing template __alert_X: template: __alert_X:")

UNIT_TEST(test_infinite_values_have_a_sign_and_nan_has_none)
{
    static const struct {
        double value;
        const char *becomes;
    } cases[] = {{INFINITY, "+Inf +Inf |  +Inf| Inf|+Inf"},
                 {-INFINITY, "-Inf -Inf |  -Inf|-Inf|-Inf"},
                 {NAN, "NaN NaN |   NaN| NaN|NaN"}};
    static const char text[] =
        "{{ $value }} {{ printf \"%.2f |%6v|% v|%+v\" $value $value $value $value }}";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        value = cases[i].value;
        check(text, OK, "", cases[i].becomes);
    }
}

UNIT_TEST(test_text_and_data_of_the_alert_are_printed)
{
    static const struct expected cases[] = {
        {"", ""},
        {"plain }} text", "plain }} text"},
        {"{{ $labels.job }} {{ .Labels.job }} {{ $labels.none }}", "node node "},
        {"{{ $value }} {{ .Value }}", "42.5 42.5"},
        {"{{ $externalLabels.el }} {{ $externalURL }}", "ev http://h:1/p%20q/x"},
        {"{{ externalURL }} {{ pathPrefix }} {{ now }}",
         "http://h:1/p%20q/x /p q/x 1.435065584128e+09"},
        {"{{ $labels }}", "map[instance:a.b:9090 job:node]"},
        {"a {{- 1 -}} b {{/* c */}} {{- /* d */ -}} e", "a1b e"},
        {"{{ 1 -}}{ {{-2 -}} { {{ 3 -}}\n\t}} {{- 4}}", "1{ -2{ 3}}4"},
    };
    CHECK_EXPANDED(cases);
}

UNIT_TEST(test_the_language_has_gos_control_structures)
{
    static const struct expected cases[] = {
        {"{{ if 0 }}a{{ else if 1 }}b{{ else }}c{{ end }}", "b"},
        {"{{ with $x := .Value }}{{ . }}{{ $x }}{{ end }}{{ with 0 }}{{ else with 2 }}{{ . }}{{ "
         "end }}",
         "42.542.52"},
        {"{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ else }}none{{ end }}",
         "instance=a.b:9090;job=node;"},
        {"{{ range args }}a{{ else }}none{{ end }}", "none"},
        {"{{ range 5 }}{{ if eq . 3 }}{{ break }}{{ end }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ "
         ". "
         "}}{{ end }}",
         "02"},
        {"{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ end }}{{ $x }}", "2"},
        {"{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" 5 }}{{ block \"b\" 7 }}[{{ . }}]{{ "
         "end }}",
         "<5>[7]"},
        {"{{ and 0 1 }} {{ or 0 \"\" }} {{ or 1 (index nil 1) }} {{ not 1 }}", "0  1 false"},
        {"{{ \"abc\" | printf \"%s-%s\" \"x\" }} {{ 5 | eq 5 }}", "x-abc true"},
    };
    CHECK_EXPANDED(cases);
}

UNIT_TEST(test_functions_do_what_those_of_prometheus_do)
{
    static const struct expected cases[] = {
        {"{{ humanize 1234567 }} {{ humanize 0.00012 }} {{ humanize1024 1048576 }}",
         "1.235M 120u 1Mi"},
        {"{{ humanizeDuration 90061.5 }} {{ humanizeDuration 0.00123 }} {{ humanizeDuration 1e19 "
         "}}",
         "1d 1h 1m 1s 1.23ms -106751991167300d -15h -30m -8s"},
        {"{{ humanizePercentage 0.1234567 }} {{ humanize \"1.5e3\" }}", "12.35% 1.5k"},
        {"{{ humanize \"0x1p-1\" }} {{ humanize \"1_500\" }} {{ 0x1p-1 }} {{ 0x1.8p+1 }}",
         "500m 1.5k 0.5 3"},
        {"{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"},
        {"{{ parseDuration \"1h30m\" }} {{ toDuration 5.5 }}", "5400 5.5s"},
        {"{{ title \"o'neil foo-bar a.b éx\" }} {{ toUpper \"aé\" }} {{ toLower \"AÉ\" }}",
         "O'neil Foo-Bar A.b Éx AÉ aé"},
        {"{{ match \"b.d\" \"abcde\" }} {{ match \"^b\" \"ab\" }} {{ match \"a.b\" \"a\\nb\" }}",
         "true false false"},
        {"{{ reReplaceAll \"a(b+)\" \"<$1>\" \"abbab\" }} {{ reReplaceAll \"x*\" \"-\" \"abxc\" }}",
         "<bb><b> -a-b-c-"},
        {"{{ stripPort \"[::1]:80\" }} {{ stripDomain \"a.b.c:1\" }} {{ stripDomain \"1.2.3.4:80\" "
         "}}",
         "::1 a:1 1.2.3.4:80"},
        {"{{ graphLink \"up{a='b c'}\" }}", "/graph?g0.expr=up%7Ba%3D%27b+c%27%7D&g0.tab=0"},
        {"{{ html \"<a href='x'>\" }} {{ js \"a'b<\" }} {{ urlquery \"a b&c\" }}",
         "&lt;a href=&#39;x&#39;&gt; a\\'b\\u003C a+b%26c"},
        {"{{ args 1 \"a\" nil }} {{ (args 1 2).arg1 }} {{ (args).x }}",
         "map[arg0:1 arg1:a arg2:<nil>] 2 <no value>"},
    };
    CHECK_EXPANDED(cases);
}

UNIT_TEST(test_queries_answer_samples)
{
    static const struct expected cases[] = {
        {"{{ query \"up\" | first | value }} {{ query \"up\" | first | label \"n\" }}", "1 zzzzz"},
        {"{{ range query \"up\" | sortByLabel \"n\" }}{{ .Labels.n }}{{ .Value }} {{ end }}",
         "aaaaa2 zzzzz1 "},
        {"{{ query \"up\" | first }} {{ len (query \"none\") }}", "{map[n:zzzzz] 1} 0"},
        {"{{ query \"up\" }} {{ query \"none\" }}", "[{map[n:zzzzz] 1} {map[n:aaaaa] 2}] []"},
    };
    static const struct expected refused[] = {
        {"{{ query \"none\" | first }}",
         "1:130: executing \"__alert_X\" at <first>: error calling first: first() called on vector "
         "with no elements"},
        {"{{ query \"bad(\" }}",
         "1:115: executing \"__alert_X\" at <query \"bad(\">: error calling query: parse error"},
        {"{{ label \"x\" nil }}",
         "1:125: executing \"__alert_X\" at <nil>: wrong type for value; expected "
         "*template.sample; got <nil>"},
    };
    CHECK_EXPANDED(cases);
    CHECK_REFUSED(refused);
}

UNIT_TEST(test_a_query_that_is_canceled_ends_all)
{
    query_fails = ERR_CANCELED;
    check("{{ query \"up\" }}", ERR_CANCELED, "", "");
}

UNIT_TEST(test_values_are_printed_as_go_prints_them)
{
    static const struct expected cases[] = {
        {"{{ 1000000.0 }} {{ 1e-5 }} {{ 0x1F }} {{ 017 }} {{ 'a' }} {{ 1_000 }}",
         "1e+06 1e-05 31 15 97 1000"},
        {"{{ print 1 2 \"a\" 3 \"b\" \"c\" true nil }}", "1 2a3bctrue <nil>"},
        {"{{ printf \"%d|%5.1f|%-6s|%06d|%+d|%x|%q|%v|%t|%c|%U\" 5 3.14159 \"é\" -5 5 \"hi\" "
         "\"q\\n\" "
         "nil true 'é' 'é' }}",
         "5|  3.1|é     |-00005|+5|6869|\"q\\n\"|<nil>|true|é|U+00E9"},
        {"{{ printf \"%[2]d %[1]q|%6.2[1]s|\" \"abc\" 7 }}", "7 \"abc\"|    ab|"},
        {"{{ printf \"%s|%5d|%T|%x\" 1 \"a\" true 1.5 }}", "1|a|true|1.5"},
        {"{{ printf \"%s %+v\" $labels (query \"up\" | first) }}",
         "map[instance:a.b:9090 job:node] {Labels:map[n:zzzzz] Value:1}"},
        {"{{ printf \"%#x %#o %.3d %05d|%-5d|% d\" 255 8 5 -5 5 5 }}",
         "0xff 010 005 -0005|5    | 5"},
        {"{{ printf \"%e %.3g %g %G %08.3f\" 12345.678 1234.5 1e-7 1e-7 -3.14159 }}",
         "1.234568e+04 1.23e+03 1e-07 1E-07 -003.142"},
        {"{{ $t := toTime 1435065584.128 }}{{ $t.Format \"Mon Jan _2 15:04:05.00 MST 2006\" }} {{ "
         "$t }} {{ $t.Year }} {{ $t.UTC.Hour }}",
         "Tue Jun 23 13:19:44.12 UTC 2015 2015-06-23 13:19:44.128 +0000 UTC 2015 13"},
        {"{{ (toTime -1.5).Format \"2006-01-02T15:04:05.999Z07:00 January Monday 1 2 3 4 5 pm 002 "
         "__2 "
         "-0700 ,000\" }} {{ (toTime -1.5).Unix }}",
         "1969-12-31T23:59:58.5Z December Wednesday 12 31 11 59 58 pm 365 365 +0000 ,500 -2"},
        {"{{ $t := toTime 5 }}{{ ($t.Sub (toTime 0)).Seconds }} {{ ($t.Add 2000000000).Unix }} {{ "
         "(toTime 90.5).Sub $t }} {{ eq $t (toTime 5) }}",
         "5 7 1m25.5s true"},
        {"{{ (\"30m\" | parseDuration | toDuration | (now | toTime).Add).Unix }}", "1435067384"},
    };
    CHECK_EXPANDED(cases);
}

UNIT_TEST(test_sentences_of_executions_are_those_of_prometheus)
{
    static const struct expected cases[] = {
        {"{{ .Foo }}", "1:115: executing \"__alert_X\" at <.Foo>: can't evaluate field Foo in type "
                       "struct { Labels "
                       "map[string]string; ExternalLabels map[string]string; ExternalURL string; "
                       "Value interface {} "
                       "}"},
        {"a\nb {{ toUpper $value }}",
         "2:13: executing \"__alert_X\" at <$value>: wrong type for value; expected string; got "
         "float64"},
        {"{{ humanize \"x\" }}",
         "1:115: executing \"__alert_X\" at <humanize \"x\">: error calling humanize: "
         "strconv.ParseFloat: parsing \"x\": invalid syntax"},
        {"{{ reReplaceAll \"*\" \"a\" \"b\" }}", "1:115: executing \"__alert_X\" at <reReplaceAll "
                                                 "\"*\" \"a\" \"b\">: error calling reReplaceAll: "
                                                 "regexp: Compile(`*`): error parsing regexp: "
                                                 "missing argument to repetition operator: `*`"},
        {"{{ template \"foo\" }}",
         "1:124: executing \"__alert_X\" at <\"foo\">: template \"foo\" not defined"},
        {"{{ index \"abc\" 3 }}", "1:115: executing \"__alert_X\" at <index \"abc\" 3>: error "
                                  "calling index: index out of range: 3"},
        {"{{ eq 1 1.0 }}",
         "1:115: executing \"__alert_X\" at <eq 1 1.0>: error calling eq: incompatible types for "
         "comparison: int and float64"},
        {"{{ (toTime 0).Weekday }}",
         "1:125: executing \"__alert_X\" at <(toTime 0).Weekday>: can't evaluate field "
         "Weekday in type time.Time"},
        {"{{ 1 | call }}",
         "1:119: executing \"__alert_X\" at <call>: error calling call: non-function of type int"},
    };
    CHECK_REFUSED(cases);
}

UNIT_TEST(test_formats_that_do_not_fit_their_arguments_are_errors_that_say_so)
{
    static const struct expected cases[] = {
        {"{{ printf \"%d %d\" 1 }}", "%d has no argument"},
        {"{{ printf \"%[3]d\" 1 }}", "%[3]d has no argument"},
        {"{{ printf \"%[x]d\" 1 }}", "%[x has no argument"},
        {"{{ printf \"100%\" }}", "% at the end of the format has no verb"},
        {"{{ printf \"\" 1 \"a\" }}", "the format has verbs for 0 of 2 arguments"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char sentence[256];
        (void)snprintf(sentence, sizeof sentence,
                       "1:115: executing \"__alert_X\" at <%.*s>: error calling printf: %s",
                       (int)strlen(cases[i].text) - 6, cases[i].text + 3, cases[i].becomes);
        check(cases[i].text, ERR_INPUT,
              "error executing template __alert_X: template: __alert_X:", sentence);
    }
}

UNIT_TEST(test_sentences_of_the_parser_are_those_of_prometheus)
{
    static const struct expected cases[] = {
        {"{{ foo }}", "1: function \"foo\" not defined"},
        {"{{ if 1 }}", "1: unexpected EOF"},
        {"{{ 1\n\n", "3: unclosed action started at __alert_X:1"},
        {"{{ $x }}", "1: undefined variable \"$x\""},
        {"{{ end }}", "1: unexpected {{end}}"},
        {"{{ 1 | 2 }}", "1: non executable command in pipeline stage 2"},
        {"{{ € }}", "1: unrecognized character in action: U+20AC '€'"},
        {"{{ 08 }}", "1: bad number syntax: \"08\""},
        {"{{ \"a\".Foo }}", "1: unexpected . after term \"\\\"a\\\"\""},
        {"{{ define \"x\" }}a{{ end }}{{ define \"x\" }}b{{ end }}",
         "1: template: multiple definition of template \"x\""},
    };
    check_all(cases, sizeof cases / sizeof *cases, ERR_INPUT,
              "error parsing template __alert_X: template: __alert_X:");
}

UNIT_TEST(test_a_check_parses_and_does_not_execute)
{
    const struct template_options options = {.name = bytes_of_text("__alert_X")};
    struct why why;
    assert_int_equal(template_check(&options, bytes_of_text("{{ .Foo }}"), &why), OK);
    assert_int_equal(template_check(&options, bytes_of_text("{{ foo }}"), &why), ERR_INPUT);
    assert_string_equal(why.text, "template: __alert_X:1: function \"foo\" not defined");
}

UNIT_TEST(test_hostile_templates_meet_limits)
{
    static const struct expected cases[] = {
        {"{{ printf \"%1000000d\" 1 }}", "more than 65536 bytes of text"},
        {"{{ printf \"%.1000000f\" 1.5 }}", "more than 65536 bytes of text"},
        {"{{ range 1000000000000 }}{{ end }}", "more than 1000000 steps"},
        {"{{ $x := \"a\" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}",
         "more than 65536 bytes of text"},
        {"{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}",
         "more than 100 templates that call one another"},
        {"{{ $m := args 1 }}{{ range 1000 }}{{ $m = args $m }}{{ end }}",
         "more than 100 levels of args"},
        {"{{ range 100000 }}{{ $p := printf \"a{%d}\" . }}{{ if match $p \"a\" }}{{ end }}{{ end "
         "}}",
         "more than 1000000 steps"},
        {"{{ range 1000000 }}{{ $x := query \"up\" }}{{ end }}", "more than 1000000 steps"},
        {"{{ $x := printf \"%65000d\" 1 }}{{ range 1000 }}{{ $y := toUpper $x }}{{ end }}",
         "more than 16 MiB of memory"},
    };
    char deep[1004] = "{{ ";
    check_all(cases, sizeof cases / sizeof *cases, ERR_LIMIT, "template __alert_X is too large: ");
    memset(deep + 3, '(', 1000);
    check(deep, ERR_LIMIT,
          "template __alert_X is too large: ", "more than 100 levels of blocks and parentheses");
}

#define H "{count:8.5, sum:-0.5, [-2,-1):3, [-0.001,0.001]:2, (0.25,0.5]:1, (2,4]:2.5}"

UNIT_TEST(test_native_histograms_are_printed_and_have_fields)
{
    static const struct expected cases[] = {
        {"{{ $value }} {{ .Value }} {{ $value.String }}", H " " H " " H},
        {"{{ printf \"%v %s %.9s\" $value $value $value }}", H " " H " {count:8."},
        {"{{ query \"up\" | first }}", "{map[n:zzzzz] " H "}"},
        {"{{ query \"up\" | first | value }} {{ (query \"up\" | first).Value.Sum }}", H " -0.5"},
        {"{{ range query \"up\" }}{{ .Value.Count }};{{ end }}", "8.5;8.5;"},
        {"{{ $value.Count | humanize }} {{ $value.ZeroCount }} {{ $value.ZeroThreshold }}",
         "8.5 2 0.001"},
        {"{{ $value.Schema }}", "0"},
    };
    static const struct expected wrong[] = {
        {"{{ humanize $value }}", "1:115: executing \"__alert_X\" at <humanize $value>: error "
                                  "calling humanize: can't convert *histogram.FloatHistogram to "
                                  "float"},
        {"{{ gt $value 1.0 }}", "1:115: executing \"__alert_X\" at <gt $value 1.0>: error calling "
                                "gt: invalid type for comparison"},
    };
    value_histogram = &histogram;
    CHECK_EXPANDED(cases);
    CHECK_REFUSED(wrong);
}

UNIT_TEST(test_each_allocation_may_fail)
{
    static const char *const texts[] = {
        "{{ range $k, $v := $labels }}{{ $k | title }}{{ printf \"%q %x\" $v 1.5 }}{{ end }}{{ é "
        "}}",
        "{{ query \"up\" | sortByLabel \"n\" }}{{ match \"(a)b\" \"xab\" }}{{ args 1 2 3 4 5 6 }}"
        "{{ reReplaceAll \"(?<n>b)\" \"${n}\" \"abc\" }}{{ toUpper \"é\" }}{{ html \"<\" }}",
        "{{ define \"a\" }}{{ .Foo }}{{ end }}{{ template \"a\" . }}",
        "{{ match \"a**\" \"b\" }}",
        "{{ toUpper 1 }}",
        "{{ range . }}{{ end }}",
        "{{ eq . . }}",
        "{{ humanize \"x\" }}",
        "{{ humanizeTimestamp 1e30 }}",
        "{{ 1 | (2) }}",
        "{{ call 1 }}",
        "{{ reReplaceAll \"`(\" \"\" \"\" }}",
        "{{ parseDuration \"1q\" }}",
        "{{ 08 }}",
        "{{ template \"x\" }}",
        "{{ 1.Foo }}",
        "{{ (1).Foo }}",
        "{{ eq $labels . }}",
        "{{ query \"up\" }}{{ printf \"%q\" $value }}",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        value_histogram = i + 1 == sizeof texts / sizeof *texts ? &histogram : NULL;
        struct budget budget;
        struct buf to;
        struct why why;
        budget_init(&budget, "test", 0, NULL);
        for (uint64_t nth = 1;; nth++) {
            buf_init(&to, NULL, TEMPLATE_OUTPUT_BYTES_MAX);
            mem_fail_nth(nth, false);
            enum err e = expand(texts[i], &budget, &to, &why);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (fired && e != ERR_NOMEM)
                printf("%s: allocation %u: %s\n", texts[i], (unsigned)nth, why_text(&why, e));
            if (fired) assert_int_equal(e, ERR_NOMEM);
            assert_true(e == OK || to.size == 0);
            assert_int_equal(budget_used(&budget), 0);
            buf_fini(&to);
            if (!fired) break;
        }
    }
}

UNIT_TEST(test_a_small_budget_is_not_a_limit_of_the_template)
{
    struct budget budget;
    struct buf to;
    struct why why;
    budget_init(&budget, "test", 1000, NULL);
    buf_init(&to, NULL, 100);
    assert_int_equal(expand("{{ 1 }}", &budget, &to, &why), ERR_NOMEM);
    buf_fini(&to);
}

UNIT_TEST(test_functions_of_prometheus_are_named_in_order)
{
    const char *before = "", *word;
    uint32_t n = 0;
    for (; (word = template_function_word(n)) != NULL; n++, before = word) {
        char text[64];
        assert_true(strcmp(before, word) < 0);
        snprintf(text, sizeof text, "{{ if false }}{{ %s }}{{ end }}", word);
        check(text, OK, "", "");
    }
    assert_int_equal(n, 29);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(test_infinite_values_have_a_sign_and_nan_has_none),
        TEST(test_text_and_data_of_the_alert_are_printed),
        TEST(test_the_language_has_gos_control_structures),
        TEST(test_functions_do_what_those_of_prometheus_do),
        TEST(test_functions_of_prometheus_are_named_in_order),
        TEST(test_queries_answer_samples),
        TEST(test_a_query_that_is_canceled_ends_all),
        TEST(test_values_are_printed_as_go_prints_them),
        TEST(test_sentences_of_executions_are_those_of_prometheus),
        TEST(test_formats_that_do_not_fit_their_arguments_are_errors_that_say_so),
        TEST(test_sentences_of_the_parser_are_those_of_prometheus),
        TEST(test_a_check_parses_and_does_not_execute),
        TEST(test_hostile_templates_meet_limits),
        TEST(test_native_histograms_are_printed_and_have_fields),
        TEST(test_each_allocation_may_fail),
        TEST(test_a_small_budget_is_not_a_limit_of_the_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
