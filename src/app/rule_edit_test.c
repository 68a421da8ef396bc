/*
 * rule_edit_test.c - edits of rules on a whole server: they are in force when they are answered, go
 * beside reloads, and change nothing when the disk refuses them.
 */
#include "app/server_test_rig.h"

static struct site *
ruler_site(void)
{
    struct site *s = site_new();
    s->settings.rules_api = true;
    return s;
}

static int
request(const struct site *s, const char *method, const char *path, const char *body, char *answer,
        size_t answer_size)
{
    char text[2000];
    struct client c = site_connect(s);
    int size =
        snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
                 method, path, strlen(body), body);
    assert_true(size < (int)sizeof text);
    client_send(&c, text);
    struct response r = client_response(&c, false);
    int status = r.status;
    check_refusal(&r);
    if (answer != NULL) snprintf(answer, answer_size, "%s", r.body == NULL ? "" : r.body);
    response_free(&r);
    client_close(&c);
    return status;
}

/* A group of one rule. */
static int
set_group(const struct site *s, const char *namespace, const char *name, const char *expression)
{
    char path[200], body[300];
    snprintf(path, sizeof path, "/prometheus/config/v1/rules/%s", namespace);
    snprintf(body, sizeof body, "name: %s\nrules: [{record: 'r:%s', expr: '%s'}]\n", name, name,
             expression);
    return request(s, "POST", path, body, NULL, 0);
}

static int
delete_path(const struct site *s, const char *names)
{
    char path[200];
    snprintf(path, sizeof path, "/prometheus/config/v1/rules/%s", names);
    return request(s, "DELETE", path, "", NULL, 0);
}

/* Of what is evaluated: "FILE:NAME=QUERY " each, by the API of Prometheus. */
static const char *
in_force(const struct site *s)
{
    static char text[4000];
    char answer[16000], *at = answer;
    size_t used = 0;
    assert_int_equal(request(s, "GET", "/api/v1/rules", "", answer, sizeof answer), 200);
    text[0] = '\0';
    while ((at = strstr(at, "{\"name\":\"")) != NULL) { /* a group, or a rule */
        char name[100], file[100], query[100];
        if (sscanf(at, "{\"name\":\"%99[^\"]\",\"file\":\"%99[^\"]\"", name, file) == 2) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s:%s", file, name);
        } else if (sscanf(at, "{\"name\":\"%99[^\"]\",\"query\":\"%99[^\"]\"", name, query) == 2) {
            used += (size_t)snprintf(text + used, sizeof text - used, "=%s ", query);
        }
        at++;
    }
    return text;
}

static void
test_an_edit_is_in_force_when_it_is_answered_and_stays(void **state)
{
    (void)state;
    struct site *s = ruler_site();
    site_start(s);
    assert_string_equal(in_force(s), "");
    assert_int_equal(set_group(s, "n", "b", "vector(1)"), 202);
    assert_string_equal(in_force(s), "n:b=vector(1) ");
    assert_int_equal(set_group(s, "n", "a", "vector(2)"), 202);
    assert_int_equal(set_group(s, "m", "a", "vector(3)"), 202);
    assert_int_equal(set_group(s, "n", "b", "vector(4)"), 202);
    assert_string_equal(in_force(s), "m:a=vector(3) n:a=vector(2) n:b=vector(4) ");
    assert_int_equal(set_group(s, "n", "c", "vector("), 400);
    assert_int_equal(delete_path(s, "n/c"), 404);
    assert_string_equal(in_force(s), "m:a=vector(3) n:a=vector(2) n:b=vector(4) ");
    site_stop(s); /* as if it were killed: nothing is written at the end */
    site_start(s);
    assert_string_equal(in_force(s), "m:a=vector(3) n:a=vector(2) n:b=vector(4) ");
    assert_int_equal(delete_path(s, "n/a"), 202);
    assert_string_equal(in_force(s), "m:a=vector(3) n:b=vector(4) ");
    assert_int_equal(delete_path(s, "m"), 202);
    assert_string_equal(in_force(s), "n:b=vector(4) ");
    assert_int_equal(site_metric(s, "firekeep_stored_rules_edits_total{result=\"done\"}"), 2);
    site_stop(s);
    s->settings.rules_api = false; /* they are evaluated, and cannot be changed */
    site_start(s);
    assert_string_equal(in_force(s), "n:b=vector(4) ");
    assert_int_equal(set_group(s, "n", "a", "vector(5)"), 404);
    site_free(s);
}

static void
test_limits_are_those_of_the_settings(void **state)
{
    (void)state;
    struct site *s = ruler_site();
    char answer[500];
    s->settings.rules_api_max_groups = 1;
    s->settings.rules_api_max_bytes = 1024;
    site_start(s);
    assert_int_equal(set_group(s, "n", "a", "vector(1)"), 202);
    assert_int_equal(set_group(s, "n", "b", "vector(1)"), 400);
    char body[1100];
    memset(body, ' ', sizeof body);
    snprintf(body + 1025, sizeof body - 1025, "x");
    assert_int_equal(request(s, "POST", "/config/v1/rules/n", body, answer, sizeof answer), 413);
    assert_string_equal(answer,
                        "a group of rules must have at most 1024 bytes (rules.api_max_bytes)\n");
    assert_int_equal(site_metric(s, "firekeep_stored_rules_edits_total{result=\"refused\"}"), 2);
    assert_string_equal(in_force(s), "n:a=vector(1) ");
    site_free(s);
}

static void
test_an_edit_that_the_disk_refuses_changes_nothing(void **state)
{
    (void)state;
    struct site *s = ruler_site();
    site_start(s);
    assert_int_equal(set_group(s, "n", "a", "vector(1)"), 202);
    fault_env_arm(s->fe, (struct fault){FAULT_ENOSPC, 1, true});
    assert_int_equal(set_group(s, "n", "a", "vector(2)"), 503);
    assert_int_equal(set_group(s, "n", "b", "vector(2)"), 503);
    assert_int_equal(delete_path(s, "n"), 503);
    assert_string_equal(in_force(s), "n:a=vector(1) ");
    fault_env_arm(s->fe, (struct fault){FAULT_SYNC, 1, true});
    assert_int_equal(set_group(s, "n", "a", "vector(2)"), 500);
    assert_string_equal(in_force(s), "n:a=vector(1) ");
    fault_env_disarm(s->fe);
    assert_int_equal(site_metric(s, "firekeep_stored_rules_edits_total{result=\"failed\"}"), 4);
    assert_int_equal(set_group(s, "n", "a", "vector(3)"), 202);
    assert_string_equal(in_force(s), "n:a=vector(3) ");
    site_stop(s);
    site_start(s);
    assert_string_equal(in_force(s), "n:a=vector(3) ");
    site_free(s);
}

static void
test_each_refused_allocation_refuses_one_edit(void **state)
{
    (void)state;
    struct site *s = ruler_site();
    site_start(s);
    unsigned refused = 0;
    for (unsigned nth = 1; nth < 400; nth++) {
        char expression[40];
        snprintf(expression, sizeof expression, "vector(%u)", nth);
        mem_fail_nth(nth, false); /* perhaps another thread's */
        int status = set_group(s, "n", "a", expression);
        mem_fail_nth(0, false);
        char expected[60];
        snprintf(expected, sizeof expected, "n:a=%s ", expression);
        bool is_set = strcmp(in_force(s), expected) == 0;
        /* For lack of memory for the answer, what was done may be answered 503. */
        if (status == 202) assert_true(is_set);
        refused += status == 503;
    }
    assert_true(refused > 0);
    site_free(s);
}

/* --- beside reloads --------------------------------------------------------------------------- */

struct editing {
    struct site *site;
    const char *namespace;
    unsigned failed;
};

enum { EDITS = 60 }; /* ends with a deletion */

static void
edit_often(void *context)
{
    struct editing *e = context;
    for (unsigned i = 0; i < EDITS; i++) {
        char expression[40];
        snprintf(expression, sizeof expression, "vector(%u)", i);
        e->failed += set_group(e->site, e->namespace, "a", expression) != 202;
        e->failed += set_group(e->site, e->namespace, "b", expression) != 202;
        if (i % 4 == 3) e->failed += delete_path(e->site, e->namespace) != 202;
        in_force(e->site);
    }
    e->failed += set_group(e->site, e->namespace, "last", "vector(0)") != 202;
}

/* The configuration, and a rule file with a group of one rule. */
static void
write_files(const struct site *s, const char *path, const char *rules, unsigned number)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f,
            "storage: {path: %s, min_free: 1MiB}\nmemory: {limit: 512MiB}\n"
            "read: {max_concurrent: 2}\nrule_files: [%s]\n",
            s->store, rules);
    assert_int_equal(fclose(f), 0);
    f = fopen(rules, "we");
    assert_non_null(f);
    fprintf(f, "groups: [{name: f, rules: [{record: a, expr: vector(%u)}]}]\n", number);
    assert_int_equal(fclose(f), 0);
}

static void
test_edits_and_reloads_go_side_by_side(void **state)
{
    (void)state;
    struct site *s = ruler_site();
    struct why why;
    char path[160], rules[160], flag[200], api[] = "--rules.api",
                                           address[] = "--web.listen-address=127.0.0.1:0",
                                           workers[] = "--web.workers=2";
    char *words[] = {flag, api, address, workers};
    snprintf(path, sizeof path, "%s/firekeep.yml", s->dir);
    snprintf(rules, sizeof rules, "%s/rules.yml", s->dir);
    snprintf(flag, sizeof flag, "--config.file=%s", path);
    s->flag_count = 4;
    s->flag_words = words;
    write_files(s, path, rules, 0);
    struct config_lists lists = {.destinations = {NULL}};
    must(settings_load(&s->settings, &lists, 4, words, &why));
    config_lists_free(&lists);
    site_start(s);
    struct editing editing = {s, "n", 0};
    struct env_thread *editor;
    must(env_thread_start(env_real(), "editor", edit_often, &editing, &editor));
    for (unsigned round = 0; round < 40; round++) {
        write_files(s, path, rules, round);
        enum err e = server_reload(s->server, &why);
        if (e) print_error("%s\n", why.text);
        must(e);
    }
    env_thread_join(env_real(), editor);
    assert_int_equal(editing.failed, 0);
    char expected[500];
    snprintf(expected, sizeof expected, "%s:f=vector(39) n:last=vector(0) ", rules);
    assert_string_equal(in_force(s), expected);
    /* A rule file that cannot be read hinders a reload, and no edit. */
    FILE *f = fopen(rules, "we");
    assert_non_null(f);
    fprintf(f, "groups: [");
    assert_int_equal(fclose(f), 0);
    assert_int_equal(server_reload(s->server, &why), ERR_INPUT);
    assert_int_equal(delete_path(s, "n"), 202);
    snprintf(expected, sizeof expected, "%s:f=vector(39) ", rules);
    assert_string_equal(in_force(s), expected);
    site_free(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_an_edit_is_in_force_when_it_is_answered_and_stays),
        SERVER_TEST(test_limits_are_those_of_the_settings),
        SERVER_TEST(test_an_edit_that_the_disk_refuses_changes_nothing),
        SERVER_TEST(test_each_refused_allocation_refuses_one_edit),
        SERVER_TEST(test_edits_and_reloads_go_side_by_side),
    };
    return cmocka_run_group_tests(tests, site_mute, NULL);
}
