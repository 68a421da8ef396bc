/*
 * Members that files, servers and name servers know, of a notifier on a simulated machine: they
 * come and go, and stay where a look fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "notify/notify_rig_testing.h"

#define NONE "\"droppedAlertmanagers\":[]}"

static struct rig rig;
static struct alertmanager_settings *settings;
static struct file_members files;
static struct http_members http;
static struct dns_members dns;
static const char *names[4];

/* What name servers say. */
static struct {
    enum err e;
    int64_t after_ms;
    struct dns_answer_record records[FAKE_RECORDS_MAX];
    bool is_cut;
    uint32_t count;
    unsigned questions;
} zone;

static void
look_up(void *context, struct fake_question *question)
{
    (void)context;
    zone.questions++;
    assert_int_equal(question->type, dns.type);
    assert_string_equal(question->name, "am.example");
    question->e = zone.e;
    question->after_ms = zone.after_ms;
    question->count = zone.count;
    question->is_cut = zone.is_cut;
    memcpy(question->records, zone.records, sizeof zone.records);
}

static int
setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.fake.look_up = look_up;
    memset(&zone, 0, sizeof zone);
    files = (struct file_members){.files = {names, 1}, .refresh_ms = 60 * 1000};
    http = (struct http_members){.url = "http://list/", .refresh_ms = 20 * 1000};
    dns = (struct dns_members){.names = {names, 1}, .type = DNS_A, .port = 9093};
    settings = rig_add(&rig, NULL);
    assert_int_equal(env_mkdir(sim_env_env(rig.sim), "d", NULL), OK);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void
put_file(const char *path, const char *text)
{
    struct file file;
    assert_int_equal(file_open(sim_env_env(rig.sim), path, FILE_REPLACE, &file, NULL), OK);
    assert_int_equal(file_write_at(&file, bytes_of_text(text), 0, NULL), OK);
    assert_int_equal(file_close(&file), OK);
}

/* The hosts of the members, in order, each with a blank. */
static void
expect_hosts(const char *want)
{
    char got[4096] = "";
    const struct members *members = &rig.notifier->plan->items[0]->members;
    for (uint32_t i = 0; i < members->count; i++) {
        size_t at = strlen(got);
        const char *host = strstr(members->items[i]->url, "://") + 3;
        snprintf(got + at, sizeof got - at, "%.*s ", (int)strcspn(host, "/"), host);
    }
    assert_string_equal(got, want);
}

static void
use_files(const char *pattern)
{
    names[0] = pattern;
    settings->file_configs = &files;
    settings->file_count = 1;
    rig_start(&rig);
    rig_settle(&rig);
}

static void
use_server(const char *type, const char *body)
{
    settings->http_configs = &http;
    settings->http_count = 1;
    rig.content_type = type;
    rig.body = body;
    rig_start(&rig);
    rig_settle(&rig);
}

static void
use_names(void)
{
    names[0] = "am.example";
    settings->dns_configs = &dns;
    settings->dns_count = 1;
    rig_start(&rig);
    rig_settle(&rig);
}

/* --- files ------------------------------------------------------------------------------------ */

static void
test_files_that_match_a_pattern_list_members(void **state)
{
    (void)state;
    put_file("d/a.yml", "- targets: [a:1]\n");
    put_file("d/b.yml", "- targets: [b:1]\n");
    put_file("d/c.json", "[{\"targets\": [\"c:1\"]}]");
    use_files("d/*.yml");
    expect_hosts("a:1 b:1 ");
    put_file("d/d.yml", "- targets: [a:1, d:1]\n");
    rig_run(&rig, 5000);
    expect_hosts("a:1 b:1 d:1 ");
    assert_int_equal(env_unlink(sim_env_env(rig.sim), "d/b.yml", NULL), OK);
    rig_run(&rig, 5000);
    expect_hosts("a:1 d:1 ");
}

static void
test_a_file_that_changes_is_read_within_five_seconds(void **state)
{
    (void)state;
    put_file("d/a.json", "[{\"targets\": [\"a:1\"]}]");
    use_files("d/a.json");
    expect_hosts("a:1 ");
    put_file("d/a.json", "[{\"targets\": [\"b:1\"]}]");
    rig_run(&rig, 4900);
    expect_hosts("a:1 ");
    rig_run(&rig, 100);
    expect_hosts("b:1 ");
}

static void
test_a_broken_file_keeps_what_it_said_before_and_is_told_once(void **state)
{
    (void)state;
    put_file("d/a.yml", "- targets: [a:1]\n");
    use_files("d/a.yml");
    uint64_t lines = log_count(LOG_WARN);
    put_file("d/a.yml", "- targets: [b:1\n");
    rig_run(&rig, 180 * 1000);
    expect_hosts("a:1 ");
    assert_int_equal(log_count(LOG_WARN) - lines, 1);
    put_file("d/a.yml", "- target: [b:1]\n");
    rig_run(&rig, 5000);
    assert_int_equal(log_count(LOG_WARN) - lines, 2);
    put_file("d/a.yml", "- targets: [b:1]\n");
    rig_run(&rig, 5000);
    expect_hosts("b:1 ");
}

static void
test_a_file_that_is_not_there_has_no_members_and_may_come(void **state)
{
    (void)state;
    use_files("d/a.yml");
    expect_hosts("");
    put_file("d/a.yml", "- targets: [a:1]\n");
    rig_run(&rig, 5000);
    expect_hosts("a:1 ");
    assert_int_equal(env_unlink(sim_env_env(rig.sim), "d/a.yml", NULL), OK);
    rig_run(&rig, 5000);
    expect_hosts("");
}

static void
test_a_file_for_which_there_was_no_memory_is_read_at_the_next_look(void **state)
{
    (void)state;
    put_file("d/a.yml", "- targets: [a:1]\n");
    use_files("d/a.yml");
    put_file("d/a.yml", "- targets: [b:1]\n");
    atomic_store(&rig.memory.limit_bytes, budget_used(&rig.memory));
    rig_run(&rig, 5000);
    expect_hosts("a:1 ");
    atomic_store(&rig.memory.limit_bytes, 0);
    rig_run(&rig, 5000);
    expect_hosts("b:1 ");
}

static void
test_a_directory_is_no_file_of_targets(void **state)
{
    (void)state;
    assert_int_equal(env_mkdir(sim_env_env(rig.sim), "d/x.yml", NULL), OK);
    put_file("d/y.yml", "- targets: [a:1]\n");
    use_files("d/*.yml");
    expect_hosts("a:1 ");
}

static void
test_a_directory_that_cannot_be_listed_keeps_what_its_files_said(void **state)
{
    (void)state;
    struct env *env = sim_env_env(rig.sim);
    uint64_t lines = log_count(LOG_WARN);
    assert_int_equal(env_mkdir(env, "d/x", NULL), OK);
    put_file("d/x/a.yml", "- targets: [a:1]\n");
    use_files("d/x/*.yml");
    expect_hosts("a:1 ");
    assert_int_equal(env_rename(env, "d/x", "d/y", NULL), OK);
    put_file("d/x", "");
    rig_run(&rig, 60 * 1000);
    expect_hosts("a:1 ");
    assert_int_equal(log_count(LOG_WARN) - lines, 1);
    assert_int_equal(env_unlink(env, "d/x", NULL), OK);
    rig_run(&rig, 5000);
    expect_hosts("");
}

static void
test_a_file_that_cannot_be_looked_at_keeps_its_targets_and_is_logged_once(void **state)
{
    (void)state;
    struct env *env = sim_env_env(rig.sim);
    uint64_t lines = log_count(LOG_WARN);
    assert_int_equal(env_mkdir(env, "d/x", NULL), OK);
    put_file("d/x/a.yml", "- targets: [a:1]\n");
    use_files("d/x/a.yml");
    expect_hosts("a:1 ");
    for (uint64_t i = 1; i <= 2; i++) {
        assert_int_equal(env_rename(env, "d/x", "d/y", NULL), OK);
        put_file("d/x", "");
        rig_run(&rig, 60 * 1000);
        expect_hosts("a:1 ");
        assert_int_equal(log_count(LOG_WARN) - lines, i);
        assert_int_equal(env_unlink(env, "d/x", NULL), OK);
        assert_int_equal(env_rename(env, "d/y", "d/x", NULL), OK);
        rig_run(&rig, 5000);
        expect_hosts("a:1 ");
    }
    assert_int_equal(env_unlink(env, "d/x/a.yml", NULL), OK);
    rig_run(&rig, 5000);
    expect_hosts("");
}

static void
test_a_target_knows_its_file(void **state)
{
    (void)state;
    put_file("d/a.yml", "- targets: [a:1]\n  labels: {__scheme__: https}\n");
    rig_relabel(&rig, RELABEL_REPLACE, "__meta_filepath", "d/(.).yml", "__alerts_path__", "/$1");
    use_files("d/a.yml");
    expect_members(&rig, "{\"activeAlertmanagers\":[{\"url\":\"https://a:1/a\"}]," NONE);
}

/* --- servers ---------------------------------------------------------------------------------- */

static void
test_a_server_lists_members(void **state)
{
    (void)state;
    use_server("application/json; charset=utf-8", "[{\"targets\": [\"a:1\"]}]");
    expect_hosts("a:1 ");
    assert_string_equal(rig.last_method, "GET");
    assert_string_equal(rig.last_headers,
                        "Accept: application/json\nX-Prometheus-Refresh-Interval-Seconds: 20\n");
    rig.body = "[{\"targets\": [\"b:1\"]}]";
    rig_run(&rig, 19999);
    expect_hosts("a:1 ");
    rig_run(&rig, 1);
    expect_hosts("b:1 ");
    rig.body = "[]";
    rig_run(&rig, 20000);
    expect_hosts("");
}

static void
test_what_a_server_should_not_say_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *type, *body;
        unsigned status;
    } answers[] = {
        {"application/json", "[{\"targets\": [\"b:1\"]}]", 500},
        {"application/json", "[{\"targets\": [\"b:1\"]}]", 204},
        {"text/plain", "[{\"targets\": [\"b:1\"]}]", 200},
        {"application/jsonp", "[{\"targets\": [\"b:1\"]}]", 200},
        {"application/json; charset=latin1", "[{\"targets\": [\"b:1\"]}]", 200},
        {"application/json", "[{\"targets\": [\"b:1\"]}", 200},
        {"application/json", "<html>", 200},
    };
    use_server("Application/JSON", "[{\"targets\": [\"a:1\"]}]");
    expect_hosts("a:1 ");
    uint64_t lines = log_count(LOG_WARN);
    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
        rig.content_type = answers[i].type;
        rig.body = answers[i].body;
        rig_answer(&rig, "http://list/", 0, answers[i].status);
        rig_run(&rig, 20000);
        expect_hosts("a:1 ");
    }
    assert_int_equal(log_count(LOG_WARN) - lines, 1);
    rig.body = "[{\"targets\": [\"b:1\"]}]";
    rig_run(&rig, 20000);
    expect_hosts("b:1 ");
}

static void
test_a_server_that_does_not_answer_delays_nothing(void **state)
{
    (void)state;
    rig_target(&rig, "a:1");
    settings->static_count = 1;
    rig_answer(&rig, "http://list/", -1, 0);
    use_server("application/json", "[]");
    rig_forget(&rig);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, "http://a:1/api/v2/alerts Down:1\n");
}

static void
test_a_server_may_want_a_token(void **state)
{
    (void)state;
    http.oauth2.token_url = "http://tokens/";
    use_server("application/json", "[{\"targets\": [\"a:1\"]}]");
    expect_log(&rig, "http://tokens/\nhttp://list/\n");
    expect_hosts("a:1 ");
    assert_non_null(strstr(rig.last_headers, "Authorization: Bearer token1\n"));
    rig_answer(&rig, "http://list/", 0, 401);
    rig_run(&rig, 20000);
    expect_log(&rig, "http://list/\nhttp://tokens/\nhttp://list/\n");
    expect_hosts("a:1 ");
    rig_run(&rig, 20000); /* that one was refused, too: at each look there is another one, once */
    expect_log(&rig, "http://tokens/\nhttp://list/\nhttp://tokens/\nhttp://list/\n");
}

static void
test_a_target_with_a_nul_is_no_member(void **state)
{
    (void)state;
    use_server("application/json", "[{\"targets\": [\"a:1\\u0000b\", \"c:1\"]}]");
    expect_hosts("c:1 ");
}

static void
test_a_target_knows_its_server(void **state)
{
    (void)state;
    rig_relabel(&rig, RELABEL_REPLACE, "__meta_url", "http:/(.*)", "__alerts_path__", "$1");
    use_server("application/json",
               "[{\"targets\": [\"a:1\"], \"labels\": {\"__meta_url\": \"x\"}}]");
    expect_members(&rig, "{\"activeAlertmanagers\":[{\"url\":\"http://a:1/list/\"}]," NONE);
}

/* --- names ------------------------------------------------------------------------------------ */

static void
test_addresses_of_a_name_are_members(void **state)
{
    (void)state;
    zone.records[0].target = "10.0.0.1";
    zone.records[1].target = "fd00::1";
    zone.count = 2;
    use_names();
    expect_hosts("10.0.0.1:9093 [fd00::1]:9093 ");
    zone.count = 1;
    rig_run(&rig, 29999);
    expect_hosts("10.0.0.1:9093 [fd00::1]:9093 ");
    rig_run(&rig, 1);
    expect_hosts("10.0.0.1:9093 ");
}

static void
test_services_have_ports_of_their_own_and_labels(void **state)
{
    (void)state;
    dns.type = DNS_SRV;
    zone.records[0] = (struct dns_answer_record){"a.example", 1234};
    zone.records[1] = (struct dns_answer_record){"", 0}; /* it is not there */
    zone.count = 2;
    rig_relabel(&rig, RELABEL_REPLACE, "__meta_dns_srv_record_target", "(.*)", "__alerts_path__",
                "/$1");
    use_names();
    expect_members(
        &rig, "{\"activeAlertmanagers\":[{\"url\":\"http://a.example:1234/a.example.\"}]," NONE);
}

/* JSON may have such texts. */
static void
test_targets_that_are_dropped_are_shown_one_by_one_whatever_they_contain(void **state)
{
    (void)state;
    rig_relabel(&rig, RELABEL_DROP, "__scheme__", "http", "", "");
    use_server("application/json", "[{\"targets\": [\"a\\u0000b:1\", \"c:1\"]}]");
    expect_members(&rig, "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":["
                         "{\"url\":\"http://a\"},{\"url\":\"http://c:1/api/v2/alerts\"}]}");
}

static void
test_an_address_with_a_user_or_a_query_is_no_member_and_its_password_is_not_shown(void **state)
{
    (void)state;
    rig_watch_log(&rig);
    use_server("application/json", "[{\"targets\": [\"us:pw@a:1\", \"b:1?x\", \"c:1#x\", "
                                   "\"d:1\\\\x\", \"e:1\\nx\", \"f:1\"]}]");
    expect_hosts("f:1 ");
    expect_logged(&rig, "ignored",
                  "level=warn msg=\"notify: targets ignored, invalid address: expected HOST:PORT\" "
                  "targets=5 address=a:1\n");
}

static void
test_the_password_of_an_address_that_is_dropped_is_not_shown(void **state)
{
    (void)state;
    rig_relabel(&rig, RELABEL_DROP, "__scheme__", "http", "", "");
    use_server("application/json", "[{\"targets\": [\"us:pw@a:1\"]}]");
    expect_members(&rig, "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":["
                         "{\"url\":\"http://a:1/api/v2/alerts\"}]}");
}

static void
test_targets_without_a_valid_address_are_told_when_they_change_not_at_each_look(void **state)
{
    (void)state;
    rig_watch_log(&rig);
    dns.type = DNS_SRV;
    zone.records[0] = (struct dns_answer_record){"a/b", 1};
    zone.records[1] = (struct dns_answer_record){"a/c", 2};
    zone.count = 2;
    use_names();
    rig_run(&rig, 5 * 60 * 1000);
    expect_logged(&rig, "ignored",
                  "level=warn msg=\"notify: targets ignored, invalid address: expected HOST:PORT\" "
                  "targets=2 address=a/b:1\n");
    zone.records[0] = (struct dns_answer_record){"a/c", 2}; /* in another order */
    zone.records[1] = (struct dns_answer_record){"a/b", 1};
    rig_run(&rig, 5 * 60 * 1000);
    expect_logged(&rig, "ignored", "");
    zone.count = 1;
    rig_run(&rig, 5 * 60 * 1000);
    expect_logged(&rig, "ignored",
                  "level=warn msg=\"notify: targets ignored, invalid address: expected HOST:PORT\" "
                  "targets=1 address=a/c:2\n");
    zone.records[0] = (struct dns_answer_record){"a/d", 2}; /* another one */
    rig_run(&rig, 5 * 60 * 1000);
    expect_logged(&rig, "ignored",
                  "level=warn msg=\"notify: targets ignored, invalid address: expected HOST:PORT\" "
                  "targets=1 address=a/d:2\n");
}

static void
test_that_a_name_has_too_many_records_is_logged_once(void **state)
{
    (void)state;
    static const char line[] = "level=warn msg=\"notify: too many records of a name, ignoring the "
                               "rest\" name=am.example records=1000\n";
    rig_watch_log(&rig);
    zone.records[0].target = "10.0.0.1";
    zone.count = 1;
    zone.is_cut = true;
    use_names();
    rig_run(&rig, 5 * 60 * 1000);
    expect_hosts("10.0.0.1:9093 ");
    expect_logged(&rig, "too many", line);
    zone.is_cut = false;
    rig_run(&rig, 60 * 1000);
    zone.is_cut = true;
    rig_run(&rig, 60 * 1000);
    expect_logged(&rig, "too many", line);
}

static void
test_a_look_up_that_fails_keeps_members_and_an_empty_answer_does_not(void **state)
{
    (void)state;
    zone.records[0].target = "10.0.0.1";
    zone.count = 1;
    use_names();
    zone.e = ERR_AGAIN;
    rig_run(&rig, 90 * 1000);
    expect_hosts("10.0.0.1:9093 ");
    zone.e = OK;
    zone.count = 0;
    rig_run(&rig, 30 * 1000);
    expect_hosts("");
}

static void
test_a_name_is_asked_for_once_at_a_time_and_given_up_in_the_end(void **state)
{
    (void)state;
    zone.after_ms = -1;
    use_names();
    rig_run(&rig, 300 * 1000);
    assert_int_equal(zone.questions, 1);
    assert_int_equal(rig.fake.question_count, 1);
    rig_begin_settings(&rig);
    rig_start(&rig);
    rig_run(&rig, 1);
    assert_int_equal(rig.fake.question_count, 0);
}

/* --- members that come and go ----------------------------------------------------------------- */

static void
test_members_that_stay_keep_their_queues_and_those_that_go_give_them_up(void **state)
{
    (void)state;
    put_file("d/a.yml", "- targets: [a:1, b:1]\n");
    use_files("d/a.yml");
    rig_answer(&rig, "http://a:1/api/v2/alerts", 0, 500);
    rig_answer(&rig, "http://b:1/api/v2/alerts", 7000, 500);
    rig_fire(&rig, "Down", 1);
    rig_run(&rig, 100);
    put_file("d/a.yml", "- targets: [c:1, a:1]\n");
    rig_run(&rig, 5000);
    expect_hosts("c:1 a:1 ");
    expect_metric(&rig, "firekeep_notifications_dropped_total 1\n");
    assert_int_equal(rig.fake.call_count, 0);
    rig_answer(&rig, "http://a:1/api/v2/alerts", 0, 200);
    rig_run(&rig, 30000);
    expect_metric(
        &rig, "firekeep_notifications_sent_total{alertmanager=\"http://a:1/api/v2/alerts\"} 1\n");
    expect_metric(
        &rig, "firekeep_notifications_sent_total{alertmanager=\"http://c:1/api/v2/alerts\"} 0\n");
}

#define NOBODY "level=warn msg=\"notify: Alertmanager has no members, alerts are not sent to it\" "
#define BACK   "level=info msg=\"notify: Alertmanager has members again\" "

static void
test_alerts_for_an_alertmanager_without_members_are_one_line_and_its_end_another(void **state)
{
    (void)state;
    rig_watch_log(&rig);
    put_file("d/a.yml", "- targets: [a:1]\n");
    rig_add(&rig, "other:9093");
    use_files("d/a.yml");
    for (int i = 0; i < 2; i++) {
        put_file("d/a.yml", "[]\n");
        rig_run(&rig, 60 * 1000);
        expect_metric(&rig, "firekeep_notifications_alertmanagers_without_members 1\n");
        expect_logged(&rig, "members", ""); /* no alert is lost yet */
        rig_fire(&rig, "Down", 1);
        rig_fire(&rig, "Up", 1);
        rig_run(&rig, NOTIFY_LOOK_S * 1000 - 1);
        expect_logged(&rig, "members", "");
        rig_run(&rig, 1);
        expect_logged(&rig, "members",
                      NOBODY "line=2 alerts=2 dropped_targets=0 members_of_others=1\n");
        rig_fire(&rig, "Down", 1);
        rig_run(&rig, 60 * 1000);
        expect_logged(&rig, "members", "");
        put_file("d/a.yml", "- targets: [b:1, c:1]\n");
        rig_run(&rig, 60 * 1000);
        expect_logged(&rig, "members", BACK "line=2 members=2\n");
        expect_metric(&rig, "firekeep_notifications_alertmanagers_without_members 0\n");
    }
}

static void
test_relabelling_that_drops_all_targets_is_told_with_their_number(void **state)
{
    (void)state;
    rig_watch_log(&rig);
    put_file("d/a.yml", "- targets: [a:1, b:1]\n");
    rig_relabel(&rig, RELABEL_DROP, "__address__", ".*", "", "");
    use_files("d/a.yml");
    rig_fire(&rig, "Down", 1);
    rig_run(&rig, 60 * 1000);
    expect_logged(&rig, "members",
                  NOBODY "line=2 alerts=1 dropped_targets=2 members_of_others=0\n");
}

static void
test_members_that_are_found_a_moment_later_are_not_missed(void **state)
{
    (void)state;
    rig_watch_log(&rig);
    zone.records[0].target = "10.0.0.1";
    zone.count = 1;
    zone.after_ms = 5000;
    use_names();
    rig_fire(&rig, "Down", 1);
    rig_run(&rig, 60 * 1000);
    expect_hosts("10.0.0.1:9093 ");
    expect_logged(&rig, "members", "");
}

static void
test_a_reload_of_nothing_new_keeps_what_was_found(void **state)
{
    (void)state;
    zone.records[0].target = "10.0.0.1";
    zone.count = 1;
    use_names();
    zone.after_ms = -1;
    rig_begin_settings(&rig);
    settings = rig_add(&rig, NULL);
    use_names();
    expect_hosts("10.0.0.1:9093 ");
}

static void
test_members_beyond_their_number_are_left_out(void **state)
{
    (void)state;
    for (int f = 0; f < 3; f++) {
        char path[16], *text = malloc(64 << 10);
        size_t size = (size_t)sprintf(text, "- targets: [");
        for (int i = 0; i < 400; i++) {
            size += (size_t)sprintf(text + size, "%sh%d:%d", i > 0 ? ", " : "", f, i);
        }
        sprintf(text + size, "]\n");
        snprintf(path, sizeof path, "d/%d.yml", f);
        put_file(path, text);
        free(text);
    }
    rig_watch_log(&rig);
    use_files("d/*.yml");
    assert_int_equal(rig.notifier->plan->items[0]->members.count, MEMBERS_MAX);
    expect_logged(
        &rig, "too many",
        "level=warn msg=\"notify: too many members of an Alertmanager, ignoring the rest\" "
        "members=1000 left_out=200\n");
    rig_run(&rig, 2 * 60 * 1000); /* the files are read again */
    expect_logged(&rig, "too many", "");
}

/* All three kinds, while each allocation fails in turn: what cannot be had now is had later. */
static void
test_each_allocation_may_fail(void **state)
{
    (void)state;
    put_file("d/a.yml", "- targets: [a:1]\n");
    zone.records[0].target = "10.0.0.1";
    zone.count = 1;
    rig.content_type = "application/json";
    rig.body = "[{\"targets\": [\"b:1\"]}]";
    http.oauth2.token_url = "http://tokens/";
    static const char *name = "am.example", *path = "d/*.yml";
    dns.names.items = &name;
    files.files.items = &path;
    for (uint64_t nth = 1;; nth++) {
        struct notifier_change *change;
        rig_end(&rig);
        assert_int_equal(rig_new(&rig), OK);
        rig_begin_settings(&rig);
        settings = rig_add(&rig, NULL);
        settings->file_configs = &files;
        settings->dns_configs = &dns;
        settings->http_configs = &http;
        settings->file_count = settings->dns_count = settings->http_count = 1;
        mem_fail_nth(nth, false);
        enum err e = rig_prepare(&rig, &change);
        if (e == OK) {
            notifier_commit(change);
            rig_run(&rig, 100);
        }
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (e == OK) {
            rig_run(&rig, 60 * 1000);
            expect_hosts("10.0.0.1:9093 a:1 b:1 ");
        }
        if (!fired) break;
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        TEST(test_files_that_match_a_pattern_list_members),
        TEST(test_a_file_that_changes_is_read_within_five_seconds),
        TEST(test_a_broken_file_keeps_what_it_said_before_and_is_told_once),
        TEST(test_a_file_that_is_not_there_has_no_members_and_may_come),
        TEST(test_a_file_for_which_there_was_no_memory_is_read_at_the_next_look),
        TEST(test_a_directory_is_no_file_of_targets),
        TEST(test_a_directory_that_cannot_be_listed_keeps_what_its_files_said),
        TEST(test_a_file_that_cannot_be_looked_at_keeps_its_targets_and_is_logged_once),
        TEST(test_a_target_knows_its_file),
        TEST(test_a_server_lists_members),
        TEST(test_what_a_server_should_not_say_changes_nothing),
        TEST(test_a_server_that_does_not_answer_delays_nothing),
        TEST(test_a_server_may_want_a_token),
        TEST(test_a_target_with_a_nul_is_no_member),
        TEST(test_a_target_knows_its_server),
        TEST(test_addresses_of_a_name_are_members),
        TEST(test_services_have_ports_of_their_own_and_labels),
        TEST(test_targets_that_are_dropped_are_shown_one_by_one_whatever_they_contain),
        TEST(test_an_address_with_a_user_or_a_query_is_no_member_and_its_password_is_not_shown),
        TEST(test_the_password_of_an_address_that_is_dropped_is_not_shown),
        TEST(test_targets_without_a_valid_address_are_told_when_they_change_not_at_each_look),
        TEST(test_that_a_name_has_too_many_records_is_logged_once),
        TEST(test_a_look_up_that_fails_keeps_members_and_an_empty_answer_does_not),
        TEST(test_a_name_is_asked_for_once_at_a_time_and_given_up_in_the_end),
        TEST(test_members_that_stay_keep_their_queues_and_those_that_go_give_them_up),
        TEST(test_alerts_for_an_alertmanager_without_members_are_one_line_and_its_end_another),
        TEST(test_relabelling_that_drops_all_targets_is_told_with_their_number),
        TEST(test_members_that_are_found_a_moment_later_are_not_missed),
        TEST(test_a_reload_of_nothing_new_keeps_what_was_found),
        TEST(test_members_beyond_their_number_are_left_out),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
