/*
 * rule_edit_test.c - edits of rules on a whole server: they take effect before they are answered,
 * coexist with reloads, and change nothing if the disk refuses them.
 */
#include "lib/test.h"
#include "lib/texts.h"
#include "sim/server_rig.h"

static struct site *site;

static int
request(const char *method, const char *path, const char *body, char *answer, size_t answer_size)
{
    char text[2000];
    struct client c = site_connect(site);
    int size = snprintf(text, sizeof text,
                        "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                        method, path, strlen(body), body);
    assert_true(size < (int)sizeof text);
    client_send(&c, text);
    struct response r = client_response(&c, false);
    int status = r.status;
    site_check_refusal(&r);
    if (answer != NULL) snprintf(answer, answer_size, "%s", r.body == NULL ? "" : r.body);
    response_free(&r);
    client_close(&c);
    return status;
}

/* Sets a group of one rule with "NAMESPACE:NAME=EXPRESSION"; deletes another path. Returns
 * the status. */
static int
edit(const char *what)
{
    char path[200] = "/prometheus/config/v1/rules/", body[300], name[64], expression[64];
    char *end = stpcpy(path + strlen(path), what);
    end = strchr(path, ':') == NULL ? end : strchr(path, ':');
    *end = '\0';
    if (sscanf(what, "%*[^:]:%63[^=]=%63s", name, expression) != 2)
        return request("DELETE", path, "", NULL, 0);
    snprintf(body, sizeof body, "name: %s\nrules: [{record: 'r:%s', expr: '%s'}]\n", name, name,
             expression);
    return request("POST", path, body, NULL, 0);
}

/* Prints the evaluated rules as "FILE:NAME=QUERY", with blanks between, by the API of Prometheus.
 */
static const char *
in_force(void)
{
    static char text[4000];
    char answer[16000], *at = answer;
    size_t used = 0;
    assert_int_equal(request("GET", "/api/v1/rules", "", answer, sizeof answer), 200);
    text[0] = '\0';
    while ((at = strstr(at, "{\"name\":\"")) != NULL) { /* a group, or a rule */
        char name[100], file[100], query[100];
        if (sscanf(at, "{\"name\":\"%99[^\"]\",\"file\":\"%99[^\"]\"", name, file) == 2) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s:%s",
                                     used > 0 ? " " : "", file, name);
        } else if (sscanf(at, "{\"name\":\"%99[^\"]\",\"query\":\"%99[^\"]\"", name, query) == 2) {
            used += (size_t)snprintf(text + used, sizeof text - used, "=%s", query);
        }
        at++;
    }
    return text;
}

/* Makes edits, "WHAT STATUS" with blanks between, and checks the rules in effect after each. */
static void
check(const char *edits, const char *want)
{
    char what[100];
    int status, size;
    for (; sscanf(edits, " %99s %d%n", what, &status, &size) == 2; edits += size) {
        int got = edit(what);
        if (got != status) fail_msg("%s: %d", what, got);
    }
    if (strcmp(in_force(), want) != 0) fail_msg("%s: in force is %s", edits, in_force());
}

static unsigned
edits_that(const char *result)
{
    char name[100];
    snprintf(name, sizeof name, "firekeep_stored_rules_edits_total{result=\"%s\"}", result);
    return (unsigned)site_metric(site, name);
}

UNIT_TEST(test_an_edit_is_in_force_when_it_is_answered_and_stays)
{
    site_start(site);
    check("", "");
    check("n:b=vector(1) 202", "n:b=vector(1)");
    check("n:a=vector(2) 202 m:a=vector(3) 202 n:b=vector(4) 202 n:c=vector( 400 n/c 404",
          "m:a=vector(3) n:a=vector(2) n:b=vector(4)");
    site_stop(site); /* stops as if killed: nothing is written at the end */
    site_start(site);
    check("", "m:a=vector(3) n:a=vector(2) n:b=vector(4)");
    check("n/a 202", "m:a=vector(3) n:b=vector(4)");
    check("m 202", "n:b=vector(4)");
    assert_int_equal(edits_that("done"), 2);
    site_stop(site);
    site->settings.rules_api = false; /* stored rules are evaluated, and cannot be changed */
    site_start(site);
    check("n:a=vector(5) 404", "n:b=vector(4)");
}

UNIT_TEST(test_limits_are_those_of_the_settings)
{
    char answer[500], body[1100];
    site->settings.rules_api_max_groups = 1;
    site->settings.rules_api_max_bytes = 1024;
    site_start(site);
    check("n:a=vector(1) 202 n:b=vector(1) 400", "n:a=vector(1)");
    memset(body, ' ', sizeof body);
    strcpy(body + 1025, "x");
    assert_int_equal(request("POST", "/config/v1/rules/n", body, answer, sizeof answer), 413);
    assert_string_equal(answer,
                        "a group of rules must have at most 1024 bytes (rules.api_max_bytes)\n");
    assert_int_equal(edits_that("refused"), 2);
    check("", "n:a=vector(1)");
}

UNIT_TEST(test_an_edit_that_the_disk_refuses_changes_nothing)
{
    site_start(site);
    check("n:a=vector(1) 202", "n:a=vector(1)");
    fault_env_arm(site->fe, (struct fault){FAULT_ENOSPC, 1, true});
    check("n:a=vector(2) 503 n:b=vector(2) 503 n 503", "n:a=vector(1)");
    fault_env_arm(site->fe, (struct fault){FAULT_SYNC, 1, true});
    check("n:a=vector(2) 500", "n:a=vector(1)");
    fault_env_disarm(site->fe);
    assert_int_equal(edits_that("failed"), 4);
    check("n:a=vector(3) 202", "n:a=vector(3)");
    site_stop(site);
    site_start(site);
    check("", "n:a=vector(3)");
}

UNIT_TEST(test_each_refused_allocation_refuses_one_edit)
{
    unsigned refused = 0;
    site_start(site);
    for (unsigned nth = 1; nth < 400; nth++) {
        char what[40];
        snprintf(what, sizeof what, "n:a=vector(%u)", nth);
        mem_fail_nth(nth, false); /* possibly one of another thread */
        int status = edit(what);
        mem_fail_nth(0, false);
        bool is_set = strcmp(in_force(), what) == 0;
        /* If memory for the answer is missing, an edit that was made may be answered 503. */
        if (status == 202) assert_true(is_set);
        refused += status == 503;
    }
    assert_true(refused > 0);
}

/* --- beside reloads --------------------------------------------------------------------------- */

/* Makes edits in rounds; the last round ends with a deletion. The context counts failed edits. */
static void
edit_often(void *failed)
{
    for (unsigned i = 0; i < 60; i++) {
        char what[2][40];
        snprintf(what[0], sizeof *what, "n:a=vector(%u)", i);
        snprintf(what[1], sizeof *what, "n:b=vector(%u)", i);
        *(unsigned *)failed += edit(what[0]) != 202;
        *(unsigned *)failed += edit(what[1]) != 202;
        if (i % 4 == 3) *(unsigned *)failed += edit("n") != 202;
        in_force();
    }
    *(unsigned *)failed += edit("n:last=vector(0)") != 202;
}

UNIT_TEST(test_edits_and_reloads_go_side_by_side)
{
    struct site *s = site;
    struct why why;
    char text[500], path[160], rules[160], flag[200],
        api[] = "--rules.api", address[] = "--web.listen-address=127.0.0.1:0",
        workers[] = "--web.workers=2";
    char *words[] = {flag, api, address, workers};
    snprintf(path, sizeof path, "%s/firekeep.yml", s->dir);
    snprintf(rules, sizeof rules, "%s/rules.yml", s->dir);
    snprintf(flag, sizeof flag, "--config.file=%s", path);
    snprintf(text, sizeof text,
             "storage: {path: %s, min_free: 1MiB}\nmemory: {limit: 512MiB}\n"
             "read: {max_concurrent: 2}\nrule_files: [%s]\n",
             s->store, rules);
    write_text_file(path, text);
    write_text_file(rules, "groups: []\n");
    s->flag_count = 4;
    s->flag_words = words;
    struct config_lists lists = {.destinations = {NULL}};
    must(settings_load(&s->settings, &lists, 4, words, &why));
    config_lists_free(&lists);
    site_start(s);
    unsigned failed = 0;
    struct env_thread *editor;
    must(env_thread_start(env_real(), "editor", edit_often, &failed, &editor));
    for (unsigned round = 0; round < 40; round++) {
        snprintf(text, sizeof text, "groups: [{name: f, rules: [{record: a, expr: vector(%u)}]}]\n",
                 round);
        write_text_file(rules, text);
        enum err e = server_reload(s->server, &why);
        if (e) print_error("%s\n", why.text);
        must(e);
    }
    env_thread_join(env_real(), editor);
    assert_int_equal(failed, 0);
    snprintf(text, sizeof text, "%s:f=vector(39) n:last=vector(0)", rules);
    check("", text);
    /* A rule file that cannot be read prevents a reload, but not an edit. */
    write_text_file(rules, "groups: [");
    assert_int_equal(server_reload(s->server, &why), ERR_INPUT);
    snprintf(text, sizeof text, "%s:f=vector(39)", rules);
    check("n 202", text);
}

UNIT_TEST(test_rules_are_evaluated_when_they_are_due)
{
    char sums[] = "firekeep_rule_evaluations_total{rule_group=\"n;g\"}";
    site_start(site);
    assert_int_equal(request("POST", "/prometheus/config/v1/rules/n",
                             "name: g\ninterval: 1s\nrules: [{record: r, expr: 'vector(1)'}]\n",
                             NULL, 0),
                     202);
    wait_for(site, site_metric(site, sums) >= 2);
}

static int
begin(void **state)
{
    (void)state;
    site = site_new();
    site->settings.rules_api = true;
    return 0;
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, site_clean_up)
    const struct CMUnitTest tests[] = {
        TEST(test_an_edit_is_in_force_when_it_is_answered_and_stays),
        TEST(test_limits_are_those_of_the_settings),
        TEST(test_an_edit_that_the_disk_refuses_changes_nothing),
        TEST(test_each_refused_allocation_refuses_one_edit),
        TEST(test_edits_and_reloads_go_side_by_side),
        TEST(test_rules_are_evaluated_when_they_are_due),
    };
    return cmocka_run_group_tests(tests, site_mute, NULL);
}
