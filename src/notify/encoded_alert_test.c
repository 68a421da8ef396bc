/*
 * encoded_alert_test.c - alerts as JSON, as Prometheus writes them for Alertmanager's API v2.
 * Commands of scripts:
 *     url URL, seed N, now MS: of the encoding;
 *     expr TEXT, annotate NAME [TEXT, in which "~" is a line feed], large (an annotation),
 *     starts|ends MS: of the alert;
 *     json, expires (MS), hash (same or other than the last): print a part of the encoded alert.
 */
#include "lib/notify/notify_alerts.h"
#include "lib/script.h"
#include "lib/test.h"

static struct buf labels;
static struct label annotations[4];
static struct alert_notice notice;
static struct alert_encoding encoding;
static uint64_t last_hash;

int
script_setup(void **state)
{
    (void)state;
    buf_init(&labels, NULL, 1 << 10);
    put_alert_labels(&labels, "Down", (const char *[]){"job", "a b", NULL});
    last_hash = 0;
    encoding = (struct alert_encoding){.seed = 7, .external_url = ""};
    notice = (struct alert_notice){.annotations = annotations,
                                   .starts_ns = 1767323045678 * NS_PER_MS + 999999,
                                   .ends_ns = 1767323285000 * NS_PER_MS};
    return 0;
}

int
script_teardown(void **state)
{
    (void)state;
    buf_fini(&labels);
    script_forget();
    return 0;
}

static void
annotate(const char *name, char *text)
{
    for (char *c = text; (c = strchr(c, '~')) != NULL; *c = '\n') {
    }
    annotations[notice.annotation_count++] =
        (struct label){bytes_of_text(name), bytes_of_text(text)};
}

/* Encodes the alert, and prints the part `what`; NULL: nothing. */
static enum err
encode(const char *what)
{
    struct encoded_alert *alert = NULL;
    struct budget budget;
    struct buf scratch;
    char json[1000];
    budget_init(&budget, "test", 0, NULL);
    buf_init(&scratch, &budget, 4 << 20);
    encoding.memory = &budget;
    enum err e = encoded_alert_new(&encoding, buf_bytes(&labels), &notice, &scratch, &alert);
    if (e && what != NULL) script_print(err_word(e));
    if (e == OK && what != NULL) {
        struct bytes found = encoded_alert_json(alert);
        snprintf(json, sizeof json, "%.*s", (int)found.size, (const char *)found.at);
        if (script_is(what, "json")) script_print(json);
        if (script_is(what, "expires")) script_print_number((uint64_t)alert->expires_ms);
        if (script_is(what, "hash")) script_print(alert->hash == last_hash ? "same" : "other");
        last_hash = alert->hash;
        assert_true(bytes_equal(encoded_alert_labels(alert), buf_bytes(&labels)));
    }
    encoded_alert_unref(alert);
    buf_fini(&scratch);
    assert_int_equal(budget_used(&budget), 0);
    return e;
}

void
script_command(const char *name, char *rest)
{
    static char large[ENCODED_ALERT_BYTES_MAX];
    memset(large, 'x', sizeof large - 1);
    if (script_is(name, "url")) encoding.external_url = rest;
    if (script_is(name, "seed")) encoding.seed = strtoull(rest, NULL, 10);
    if (script_is(name, "now")) encoding.now_ms = atoll(rest);
    if (script_is(name, "expr")) notice.expression = bytes_of_text(rest);
    if (script_is(name, "annotate")) {
        const char *label = script_word(&rest);
        annotate(label, rest);
    }
    if (script_is(name, "large")) annotate("a", large);
    if (script_is(name, "starts")) notice.starts_ns = atoll(rest) * NS_PER_MS;
    if (script_is(name, "ends")) notice.ends_ns = atoll(rest) * NS_PER_MS;
    if (script_is(name, "json") || script_is(name, "expires") || script_is(name, "hash"))
        (void)encode(name);
}

static enum err
encode_silently(void)
{
    return encode(NULL);
}

UNIT_TEST(test_each_allocation_may_fail)
{
    script_play("url http://firekeep:9201/x | expr up == 0");
    fail_each_allocation(encode_silently);
}

#define LABELS "{'labels':{'alertname':'Down','job':'a b'},"
#define TIMES  "'startsAt':'2026-01-02T03:04:05.678Z','endsAt':'2026-01-02T03:08:05.000Z'"

static const struct CMUnitTest tests[] = {
    SCRIPT("an alert has labels, annotations, times and where it comes from",
           "url http://firekeep:9201/x | annotate summary \"x\"~ | annotate empty\n"
           "expr up{job=\"a b\"} == 0 + 1 - ~.*_ | json => " LABELS
           "'annotations':{'summary':'\\'x\\'\\n','empty':''}," TIMES
           ",'generatorURL':'http://firekeep:9201/x/graph?g0.expr="
           "up%7Bjob%3D%22a+b%22%7D+%3D%3D+0+%2B+1+-+~.%2A_&g0.tab=1'}"),
    SCRIPT("an alert has a generator only with a complete external URL",
           "expr up | json => " LABELS TIMES "}\n"
           "url /behind/a/proxy | json => " LABELS TIMES "}"),
    SCRIPT("bytes that are not text are replaced",
           "annotate a \xff | json => " LABELS "'annotations':{'a':'\xef\xbf\xbd'}," TIMES "}"),
    SCRIPT("an alert expires 15 minutes after its end or encoding",
           "now 1000 | ends 9000 | expires => 909000\n"
           "now 9000 | ends 1000 | expires => 909000\n"
           "now 900001 | ends 1 | expires => 1800001"),
    SCRIPT("equal labels have equal hashes of one seed",
           "hash | starts 1 | hash | seed 8 | hash => other; same; other"),
    SCRIPT("an alert that is too long is refused", "large | json => limit"),
    TEST(test_each_allocation_may_fail),
};

int
main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
