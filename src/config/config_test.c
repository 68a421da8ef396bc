/* config_test.c - settings from flags, the environment and files, and their messages. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/lists/lists.h"
#include "lib/config/settings_rig.h"
#include "lib/texts.h"

/* --- small helpers ---------------------------------------------------------------------------- */

/* Applies the words after `first` up to NULL. */
static enum err
flags(struct settings *settings, struct why *why, const char *first, ...)
{
    char *words[16];
    int count = 0;
    va_list args;
    va_start(args, first);
    for (const char *w = first; w != NULL; w = va_arg(args, const char *)) {
        assert_in_range(count, 0, 15);
        words[count] = strdup(w);
        assert_non_null(words[count++]);
    }
    va_end(args);
    enum err e = settings_flags(settings, count, words, why);
    for (int i = 0; i < count; i++)
        free(words[i]);
    return e;
}

static void
check_flag_error(const char *word, const char *expected)
{
    struct settings before = settings_defaults(), s = before;
    struct why why = {""};
    assert_int_equal(flags(&s, &why, "--log.level=debug", word, NULL), ERR_INPUT);
    assert_string_equal(why.text, expected);
    assert_memory_equal(&s, &before, sizeof s);
}

/* Returns another value than the default for a text with a check of its own; NULL without one. */
static const char *
text_that_passes(const struct setting *setting)
{
    static const char *const texts[][2] = {
        {"web.listen-address", "[::]:1"}, {"web.trusted-proxies", "10.0.0.0/8"},
        {"web.allowed-hosts", "a,b"},     {"auth.sigv4-services", "aps"},
        {"auth.sigv4-region", "r"},       {"auth.sigv4-host", "h:1"},
    };
    if (setting->check == NULL && setting->check_item == NULL) return NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(setting->name, texts[i][0]) == 0) return texts[i][1];
    return "/x";
}

/* --- the table -------------------------------------------------------------------------------- */

UNIT_TEST(test_defaults_are_those_the_header_names)
{
    struct settings s = settings_defaults();
    assert_string_equal(s.config_file, "");
    assert_string_equal(s.storage_path, "./data");
    assert_int_equal(s.storage_mode, STORAGE_LOCAL);
    assert_int_equal(s.storage_min_free_bytes, 0);
    assert_string_equal(s.web_listen_address, "127.0.0.1:9201");
    assert_string_equal(s.web_cors_origin, "auto");
    assert_false(s.web_enable_lifecycle);
    assert_int_equal(s.web_max_connections, 1024);
    assert_int_equal(s.web_workers, 0);
    assert_int_equal(s.web_max_header_bytes, 1 << 20);
    assert_int_equal(s.web_max_body_bytes, 64 << 20);
    assert_int_equal(s.web_max_decoded_bytes, 64 << 20);
    assert_int_equal(s.web_header_timeout_ms, 10000);
    assert_int_equal(s.web_body_timeout_ms, 60000);
    assert_int_equal(s.web_idle_timeout_ms, 300000);
    assert_int_equal(s.web_send_timeout_ms, 30000);
    assert_int_equal(s.web_search_max_limit, 10000);
    assert_true(s.retention_time_ms == 10LL * 365 * 24 * 3600 * 1000);
    assert_int_equal(s.write_max_future_ms, 600000);
    assert_int_equal(s.write_max_labels, 128);
    assert_int_equal(s.write_max_name_bytes, 1024);
    assert_int_equal(s.write_max_value_bytes, 16384);
    assert_int_equal(s.write_max_series, 0);
    assert_int_equal(s.write_max_series_per_metric, 0);
    assert_int_equal(s.wal_ack, ACK_FSYNC);
    assert_int_equal(s.wal_ack_timeout_ms, 30000);
    assert_int_equal(s.wal_segment_bytes, 64 << 20);
    assert_true(s.wal_budget_bytes == 4ull << 30);
    assert_int_equal(s.memory_limit_bytes, 0);
    assert_int_equal(s.head_max_samples, 0);
    assert_int_equal(s.head_max_age_ms, 7200000);
    assert_false(s.tenancy_enabled);
    assert_int_equal(s.tenancy_max_tenants, 10000);
    assert_int_equal(s.read_max_concurrent, 10);
    assert_int_equal(s.read_queue_timeout_ms, 10000);
    assert_int_equal(s.read_timeout_ms, 120000);
    assert_int_equal(s.read_max_samples, 50000000);
    assert_int_equal(s.read_frame_bytes, 1 << 20);
    assert_int_equal(s.log_level, LOG_INFO);
    assert_int_equal(s.log_format, LOG_LOGFMT);
    assert_int_equal(settings_validate(&s, 0, 0, NULL), OK);
}

UNIT_TEST(test_table_rows_are_well_formed_and_their_fields_do_not_overlap)
{
    static const size_t sizes[] = {[SETTING_TEXT] = SETTING_TEXT_BYTES,
                                   [SETTING_BOOL] = 1,
                                   [SETTING_COUNT] = 4,
                                   [SETTING_COUNT64] = 8,
                                   [SETTING_BYTES] = 8,
                                   [SETTING_DURATION] = 8,
                                   [SETTING_CHOICE] = sizeof(int),
                                   [SETTING_BYTES32] = 4,
                                   [SETTING_SET] = 4};
    uint8_t used[sizeof(struct settings)] = {0};
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        const char *dot = strchr(s->name, '.');
        assert_non_null(dot);
        assert_true(strchr(dot + 1, '.') == NULL || strcmp(s->name, "web.config.file") == 0);
        assert_int_equal(s->name[strspn(s->name, "abcdefghijklmnopqrstuvwxyz0123456789.-")], 0);
        assert_true(!s->repeatable || s->is_list);
        assert_int_equal(s->type == SETTING_CHOICE || s->type == SETTING_SET, s->choices != NULL);
        assert_true(s->min <= s->max);
        assert_non_null(s->help);
        assert_int_not_equal(s->help[strlen(s->help) - 1], '.');
        assert_int_equal(s->size, sizes[s->type]);
        for (size_t i = 0; i < s->size; i++)
            assert_int_equal(used[s->offset + i]++, 0);
    }
    assert_ptr_equal(settings_find(bytes_of_text("log.level")), setting_named("log.level"));
    assert_null(settings_find(bytes_of_text("log")));
}

UNIT_TEST(test_out_of_range_message_names_the_range)
{
    check_flag_error("--retention.time=59m",
                     "--retention.time: must be between 1h and 100y, got 59m");
    check_flag_error("--web.workers=1",
                     "--web.workers: must be 0 (automatic) or between 2 and 256, got 1");
    check_flag_error("--memory.limit=63MiB",
                     "--memory.limit: must be 0 (automatic) or between 64MiB and 1PiB, got 63MiB");
    check_flag_error("--self-scrape.interval=99ms",
                     "--self-scrape.interval: must be 0 (off) or between 100ms and 1d, got 99ms");
    check_flag_error("--web.max-header-bytes=2MiB",
                     "--web.max-header-bytes: must be between 1KiB and 1MiB, got 2MiB");
    check_flag_error("--storage.path=", "--storage.path: must not be empty");
    char word[300] = "--storage.path=";
    memset(word + 15, 'x', 201);
    check_flag_error(word, "--storage.path: must be at most 200 bytes, got 201");
    word[15 + 200] = 0;
    struct settings s = settings_defaults();
    assert_int_equal(flags(&s, NULL, word, NULL), OK);
    assert_int_equal(strlen(s.storage_path), 200);
}

/* --- values ----------------------------------------------------------------------------------- */

UNIT_TEST(test_choices_and_yes_or_no_are_exact_words)
{
    check_setting_number("storage.mode", "none", STORAGE_NONE);
    check_setting_number("wal.ack", "memory", ACK_MEMORY);
    check_setting_number("wal.ack", "written", ACK_WRITTEN);
    check_setting_number("wal.ack", "destination", ACK_DESTINATION);
    check_setting_number("log.level", "error", LOG_ERROR);
    check_setting_number("log.format", "json", LOG_JSON);
    check_setting_number("tenancy.enabled", "true", 1);
    check_setting_number("tenancy.enabled", "false", 0);
    check_setting_refused("log.level", "");
    check_setting_refused("log.level", "Info");
    check_setting_refused("log.level", "debug|info");
    check_setting_refused("log.level", "inf");
    check_setting_refused("tenancy.enabled", "yes");
    check_setting_refused("tenancy.enabled", "1");
    check_setting_refused("tenancy.enabled", "True");
    check_flag_error(
        "--log.level=wran",
        "--log.level: expected one of debug, info, warn, error, got 'wran'; did you mean 'warn'?");
    check_flag_error("--tenancy.enabled=on", "--tenancy.enabled: expected true or false, got 'on'");
}

static void
check_address(const char *text, const char *host, unsigned port)
{
    char got_host[SETTING_TEXT_BYTES];
    uint16_t got_port = 1;
    struct why why = {""};
    enum err e = settings_listen_address(text, got_host, &got_port, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    assert_string_equal(got_host, host);
    assert_int_equal(got_port, port);
    struct settings s = settings_defaults();
    assert_int_equal(
        setting_parse(setting_named("web.listen-address"), bytes_of_text(text), &s, NULL), OK);
    assert_string_equal(s.web_listen_address, text);
}

UNIT_TEST(test_listen_address_is_host_and_port)
{
    check_address("127.0.0.1:9201", "127.0.0.1", 9201);
    check_address(":9201", "", 9201);
    check_address("localhost:0", "localhost", 0);
    check_address("[::1]:9201", "::1", 9201);
    check_address("[::]:65535", "::", 65535);
    check_address("db-1.example.org:80", "db-1.example.org", 80);
    static const char *const bad[] = {
        "a:1,b",      "9201",          "localhost", "localhost:", "localhost:http",
        "::1:9201",   "[::1]",         "[::1]9201", "[::1:9201",  "::1]:9201",
        "[]:9201",    "[1.2.3.4]:80",  "[zz]:80",   "1.2.3:80",   "256.1.1.1:80",
        "host:65536", "host:99999999", "host:-1",   "host:+1",    "host: 1",
        "ho st:1",    "http://h:1",    "a:b:1",     "host:1/",    "99999999999999999999:1",
        "[::1]x:1",   "x[::1]:1",      "[:80",      ":",          "]:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_setting_refused("web.listen-address", bad[i]);
        char host[SETTING_TEXT_BYTES] = "as before";
        uint16_t port = 7;
        assert_int_equal(settings_listen_address(bad[i], host, &port, NULL), ERR_INPUT);
        assert_string_equal(host, "as before");
        assert_int_equal(port, 7);
    }
    check_flag_error("--web.listen-address=::1:9201",
                     "--web.listen-address: expected HOST:PORT with an IPv6 address in brackets, "
                     "got '::1:9201'");
    check_flag_error("--web.listen-address=h:65536",
                     "--web.listen-address: expected a port from 0 to 65535 after the last colon, "
                     "got 'h:65536'");
}

UNIT_TEST(test_settings_that_disagree_are_refused)
{
    struct settings s = settings_defaults();
    struct why why = {""};
    assert_int_equal(flags(&s, &why, "--wal.segment-bytes=1GiB", "--wal.budget=2GiB", NULL), OK);
    assert_int_equal(settings_validate(&s, 0, 0, &why), OK);
    assert_int_equal(flags(&s, &why, "--wal.budget=2147483647", NULL), OK);
    assert_int_equal(settings_validate(&s, 0, 0, &why), ERR_INPUT);
    assert_string_equal(why.text,
                        "wal.budget (2147483647) must be at least twice wal.segment-bytes (1GiB)");
    s = settings_defaults();
    assert_int_equal(flags(&s, &why, "--storage.mode=none", NULL), OK);
    assert_int_equal(settings_validate(&s, 0, 0, &why), ERR_INPUT);
    assert_string_equal(why.text, "without storage.mode=local, at least one destination or source is required");
    assert_int_equal(settings_validate(&s, 1, 0, &why), OK);
    assert_int_equal(settings_validate(&s, 0, 1, &why), OK);
    assert_int_equal(flags(&s, &why, "--wal.ack=destination", NULL), OK);
    assert_int_equal(settings_validate(&s, 1, 0, &why), OK);
    assert_int_equal(flags(&s, &why, "--storage.mode=local", NULL), OK);
    assert_int_equal(settings_validate(&s, 1, 0, &why), ERR_INPUT);
    assert_string_equal(why.text,
                        "wal.ack=destination requires storage.mode=none: a server that stores "
                        "samples acknowledges them when they are in its log");
}

/* --- flags ------------------------------------------------------------------------------------ */

UNIT_TEST(test_listeners_are_also_sockets_and_several_of_them)
{
    static const struct {
        const char *text, *place;
        enum listener_kind kind;
    } good[] = {{"[::1]:9201", "[::1]:9201", LISTENER_TCP},
                {"unix:/run/a b:1", "/run/a b:1", LISTENER_UNIX},
                {"unix:a", "a", LISTENER_UNIX},
                {"fd://web", "web", LISTENER_FD},
                {"fd://web@1.x\\2d", "web@1.x\\2d", LISTENER_FD}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct settings s = settings_defaults();
        enum listener_kind kind;
        const char *place;
        assert_int_equal(settings_listener(good[i].text, &kind, &place, NULL), OK);
        assert_int_equal(kind, good[i].kind);
        assert_string_equal(place, good[i].place);
        assert_int_equal(setting_parse(setting_named("web.listen-address"),
                                       bytes_of_text(good[i].text), &s, NULL),
                         OK);
    }
    char long_path[120] = "unix:";
    memset(long_path + 5, 'x', 108);
    check_setting_refused("web.listen-address", long_path);
    static const char *const bad[] = {"unix:", "fd://",  "fd://a:b", "fd:a", ":1,",
                                      ",:1",   ":1,,:2", ":1,:1",    ":1,x", "unix:a,unix:a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_setting_refused("web.listen-address", bad[i]);
    struct settings s = settings_defaults();
    assert_int_equal(
        setting_parse(setting_named("web.listen-address"), bytes_of_text(""), &s, NULL), OK);
    check_flag_error("--web.listen-address=unix:",
                     "--web.listen-address: expected unix:PATH with a path of 1 to 107 bytes "
                     "without commas, got 'unix:'");
    check_flag_error("--web.listen-address=fd://a/b",
                     "--web.listen-address: expected fd://NAME, a name of a systemd socket, got "
                     "'fd://a/b'");
    check_flag_error("--web.listen-address=:1,:1",
                     "--web.listen-address: expected a list without empty or repeated entries, got "
                     "':1,:1'");
}

UNIT_TEST(test_each_flag_for_an_address_adds_to_those_before_it)
{
    struct settings s = settings_defaults();
    snprintf(s.web_listen_address, sizeof s.web_listen_address, "%s", "of.the.file:1");
    assert_int_equal(flags(&s, NULL, "--web.listen-address=:1", "--web.listen-address",
                           "unix:/a,fd://b", "--web.listen-address=[::1]:2", NULL),
                     OK);
    assert_string_equal(s.web_listen_address, ":1,unix:/a,fd://b,[::1]:2");
    assert_int_equal(flags(&s, NULL, "--web.listen-address=:1",
                           "--web.listen-address=", "--web.listen-address=:2", NULL),
                     OK);
    assert_string_equal(s.web_listen_address, ":2");
    struct why why = {""};
    assert_int_equal(flags(&s, &why, "--web.listen-address=:1", "--web.listen-address=:1", NULL),
                     ERR_INPUT);
    assert_string_equal(why.text, "--web.listen-address: expected a list without empty or repeated "
                                  "entries, got ':1,:1'");
    char item[SETTING_TEXT_BYTES];
    const char *rest = settings_list_next("a,bc", item);
    assert_string_equal(item, "a");
    rest = settings_list_next(rest, item);
    assert_string_equal(item, "bc");
    assert_null(settings_list_next(rest, item));
}

UNIT_TEST(test_hosts_networks_and_services_have_their_form)
{
    static const struct {
        const char *name, *good, *bad[6];
    } cases[] = {
        {"web.trusted-proxies",
         "10.0.0.0/8,::1,fd00::/8,1.2.3.4,0.0.0.0/0",
         {"host", "10.0.0.0/33", "::/129", "10.0.0.0/", "1.2.3.4/8x", "1.2.3.4,"}},
        {"web.allowed-hosts", "a,b.example.org", {"a:1", "http://a", "a,,b", "a,a", "a b", ","}},
        {"auth.sigv4-services", "aps,execute-api", {"Aps", "a b", ",", "a,a", "a/b", "a,"}},
        {"auth.sigv4-region", "eu-west-1", {"EU", "a b", "a/b", "a.b", ",", "a,b"}},
        {"auth.sigv4-host",
         "metrics.example.org:443",
         {"a b", "http://a", "a:b", "a,b", "a:1:1", "a/"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct settings s = settings_defaults();
        const struct setting *setting = setting_named(cases[i].name);
        assert_int_equal(setting_parse(setting, bytes_of_text(cases[i].good), &s, NULL), OK);
        assert_int_equal(setting_parse(setting, bytes_of_text(""), &s, NULL), OK);
        for (size_t k = 0; k < 6; k++)
            check_setting_refused(cases[i].name, cases[i].bad[k]);
    }
    check_flag_error("--web.trusted-proxies=proxy",
                     "--web.trusted-proxies: expected addresses or networks such as 10.0.0.0/8 or "
                     "::1, with commas between them, got 'proxy'");
    check_flag_error("--web.allowed-hosts=a:1",
                     "--web.allowed-hosts: expected host names without ports, with commas between "
                     "them, got 'a:1'");
}

UNIT_TEST(test_flags_take_their_value_in_either_form)
{
    struct settings s = settings_defaults();
    assert_int_equal(flags(&s, NULL, "--storage.path=/a=b", "--log.level", "warn",
                           "--web.enable-lifecycle", "--tenancy.enabled=true", NULL),
                     OK);
    assert_string_equal(s.storage_path, "/a=b");
    assert_int_equal(s.log_level, LOG_WARN);
    assert_true(s.web_enable_lifecycle);
    assert_true(s.tenancy_enabled);
    assert_int_equal(flags(&s, NULL, "--no-web.enable-lifecycle", "--tenancy.enabled=false",
                           "--log.level=debug", "--log.level=error", NULL),
                     OK);
    assert_false(s.web_enable_lifecycle);
    assert_false(s.tenancy_enabled);
    assert_int_equal(s.log_level, LOG_ERROR);
    assert_int_equal(flags(&s, NULL, NULL), OK);
}

UNIT_TEST(test_wrong_flags_are_refused_with_a_suggestion)
{
    check_flag_error("--log.levle=info", "unknown flag '--log.levle'; did you mean '--log.level'?");
    check_flag_error("--retension.time=1d",
                     "unknown flag '--retension.time'; did you mean '--retention.time'?");
    check_flag_error("--web.listen_address=:1",
                     "unknown flag '--web.listen_address'; did you mean '--web.listen-address'?");
    check_flag_error("--listen-address=:1",
                     "unknown flag '--listen-address'; did you mean '--web.listen-address'?");
    check_flag_error("--memory.limit-bytes=1GiB",
                     "unknown flag '--memory.limit-bytes'; did you mean '--memory.limit'?");
    check_flag_error("--no-tenancy.enable",
                     "unknown flag '--no-tenancy.enable'; did you mean '--no-tenancy.enabled'?");
    check_flag_error("--something.else", "unknown flag '--something.else'");
    check_flag_error("--=5", "unknown flag '--'");
    check_flag_error("--log.level",
                     "--log.level requires a value: one of debug, info, warn, error");
    check_flag_error("--no-tenancy.enabled=true", "--no-tenancy.enabled takes no value");
    check_flag_error("--no-log.level",
                     "unknown flag '--no-log.level'; did you mean '--log.level'?");
    check_flag_error("data", "unexpected argument 'data': expected --name=value");
    check_flag_error("--", "unexpected argument '--': expected --name=value");
    check_flag_error("-x", "unexpected argument '-x': expected --name=value");
    check_flag_error("--web.listen-address=a\x01z:1",
                     "--web.listen-address: must not contain control characters, got 'a\\x01z:1'");
}

UNIT_TEST(test_flag_that_misses_its_value_does_not_swallow_the_next)
{
    struct settings s = settings_defaults();
    struct why why;
    assert_int_equal(flags(&s, &why, "--storage.path", "--log.level=debug", NULL), ERR_INPUT);
    assert_string_equal(why.text, "--storage.path requires a value: DIRECTORY");
}

/* --- printing and reading back ---------------------------------------------------------------- */

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void
randomize(struct settings *settings, uint64_t *random)
{
    static const char *const texts[] = {"a \\ \"b\"",
                                        "null",
                                        "\xc3\xa9:#{}[]",
                                        "'",
                                        "- x",
                                        "~",
                                        "a\xc2\x85 \xe2\x80\xa8 \xef\xbb\xbf \xf0\x9f\x94\xa5"};
    for (const struct setting *t = settings_table(); t->name != NULL; t++) {
        uint64_t r = next_random(random);
        char text[64];
        if (t->type == SETTING_TEXT) {
            const char *own = text_that_passes(t);
            snprintf(text, sizeof text, "%s", own != NULL ? own : texts[r % 7]);
        } else if (t->type == SETTING_BOOL || t->choices != NULL) {
            setting_number_text(t, r % 2, text, sizeof text);
        } else {
            unsigned shift = (unsigned)(r >> 58);
            uint64_t number = t->min + next_random(random) % (t->max - t->min + 1);
            if (r % 2 == 0) number = number >> shift << shift;
            if (number < t->min) number = t->min;
            setting_number_text(t, number, text, sizeof text);
        }
        struct why why = {""};
        enum err e = setting_parse(t, bytes_of_text(text), settings, &why);
        assert_string_equal(why.text, "");
        assert_int_equal(e, OK);
    }
}

UNIT_TEST(test_printed_yaml_reads_back_as_the_same_settings)
{
    uint64_t random = 20240607;
    for (int round = 0; round < 300; round++) {
        struct settings s = settings_defaults(), again = s;
        if (round > 0) randomize(&s, &random);
        struct buf text;
        buf_init(&text, NULL, 65536);
        settings_print_yaml(&s, NULL, NULL, NULL, &text);
        assert_int_equal(buf_error(&text), OK);
        struct why why = {""};
        enum err e = settings_yaml(&again, "printed", buf_bytes(&text), &why);
        assert_string_equal(why.text, "");
        assert_int_equal(e, OK);
        memcpy(again.config_file, s.config_file, sizeof s.config_file);
        for (const struct setting *t = settings_table(); t->name != NULL; t++) {
            char want[SETTING_TEXT_BYTES];
            snprintf(want, sizeof want, "%s", setting_shown(&s, t));
            assert_string_equal(setting_shown(&again, t), want);
        }
        buf_fini(&text);
    }
}

UNIT_TEST(test_help_names_every_flag_with_its_default)
{
    struct buf text;
    buf_init(&text, NULL, 65536);
    settings_help(&text);
    buf_put_u8(&text, 0);
    assert_int_equal(buf_error(&text), OK);
    for (const struct setting *t = settings_table(); t->name != NULL; t++) {
        char flag[100];
        snprintf(flag, sizeof flag, "  --%s%s", t->type == SETTING_BOOL ? "[no-]" : "", t->name);
        const char *at = strstr((const char *)text.at, flag);
        assert_non_null(at);
        const char *help = strstr(at, t->help);
        assert_non_null(help);
        char after[100];
        snprintf(after, sizeof after, " (default %s", t->fallback[0] == 0 ? "none" : t->fallback);
        assert_memory_equal(help + strlen(t->help), after, strlen(after));
    }
    assert_non_null(strstr((const char *)text.at, "  --storage.mode=local|none|reader\n"));
    assert_non_null(strstr((const char *)text.at,
                           "  --query.features=delayed-name-removal|use-start-timestamps|"
                           "type-and-unit-labels\n"));
    buf_fini(&text);
}

/* --- reload and load -------------------------------------------------------------------------- */

static void
check_prefix(const char *url, const char *prefix, const char *expected)
{
    char got[SETTING_PREFIX_BYTES];
    struct settings s = settings_defaults();
    assert_int_equal(setting_parse(setting_named("web.external-url"), bytes_of_text(url), &s, NULL),
                     OK);
    assert_int_equal(
        setting_parse(setting_named("web.route-prefix"), bytes_of_text(prefix), &s, NULL), OK);
    settings_route_prefix(&s, got);
    assert_string_equal(got, expected);
}

static void
check_external_url(const char *listen, const char *external, const char *prefix,
                   const char *hostname, const char *expected)
{
    char got[SETTING_URL_BYTES], address[8][SETTING_TEXT_BYTES];
    struct listener_settings items[8];
    uint32_t count = 0;
    struct settings s = settings_defaults();
    assert_int_equal(
        setting_parse(setting_named("web.external-url"), bytes_of_text(external), &s, NULL), OK);
    assert_int_equal(
        setting_parse(setting_named("web.route-prefix"), bytes_of_text(prefix), &s, NULL), OK);
    for (const char *rest = listen; (rest = settings_list_next(rest, address[count])) != NULL;) {
        items[count] =
            (struct listener_settings){.place = address[count],
                                       .allow = PERMISSION_READ,
                                       .tls.given = strstr(address[count], "9443") != NULL};
        count++;
    }
    settings_external_url(&s, &(struct listener_list){items, count}, hostname, got);
    assert_string_equal(got, expected);
}

UNIT_TEST(test_external_url_is_the_host_name_and_port_if_it_is_not_set)
{
    check_external_url("127.0.0.1:9201", "", "", "box", "http://box:9201");
    check_external_url("0.0.0.0:9201", "", "", "box.example.com", "http://box.example.com:9201");
    check_external_url(":80", "", "", "box", "http://box:80");
    check_external_url("[::1]:9201", "", "", "box", "http://box:9201");
    check_external_url("unix:/a,:0,fd://b,[::1]:9202,:1", "", "", "box", "http://box:9202");
    check_external_url("unix:/a", "", "", "box", "");
    check_external_url(":9443,:9201", "", "/keep", "box", "https://box:9443/keep"); /* with TLS */
    check_external_url(":9201", "", "/keep/", "box", "http://box:9201/keep");
    check_external_url(":9201", "https://example.com/keep/", "/", "box",
                       "https://example.com/keep");
    /* The host is not known. */
    check_external_url(":9201", "/keep/", "", "box", "/keep");
    check_external_url(":0", "", "", "box", "");
    check_external_url(":9201", "", "", "", "");
    check_external_url(":9201", "", "", "a b", "");
    char longest[SETTING_TEXT_BYTES], name[65], all[SETTING_URL_BYTES];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memset(name, 'b', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(all, sizeof all, "http://%s:65535/%s", name, longest);
    check_external_url(":65535", "", longest, name, all);
}

UNIT_TEST(test_route_prefix_is_its_own_or_the_path_of_the_external_url)
{
    check_prefix("", "", "");
    check_prefix("http://example.com", "", "");
    check_prefix("http://example.com:9201/", "", "");
    check_prefix("https://example.com/keep", "", "/keep");
    check_prefix("https://example.com/a/b/", "", "/a/b");
    check_prefix("https://example.com/keep", "/", "");
    check_prefix("https://example.com/keep", "other/", "/other");
    check_prefix("/keep/", "", "/keep");
    char longest[SETTING_TEXT_BYTES];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    char with_slash[SETTING_PREFIX_BYTES];
    snprintf(with_slash, sizeof with_slash, "/%s", longest);
    check_prefix("", longest, with_slash);
    static const char *const bad_urls[] = {
        "example.com",         "ftp://example.com/",    "http://",
        "http:///keep",        "http://example.com/?a", "http://example.com/a%20b",
        "'http://example.com'"};
    for (size_t i = 0; i < sizeof bad_urls / sizeof *bad_urls; i++)
        check_setting_refused("web.external-url", bad_urls[i]);
    check_setting_refused("web.route-prefix", "a b");
    check_setting_refused("web.route-prefix", "/a*");
    check_setting_refused("web.route-prefix", "http://example.com");
    check_setting_refused("web.telemetry-path", "metrics");
    check_setting_refused("web.telemetry-path", "/a*");
    check_setting_refused("web.telemetry-path", "//a");
    check_flag_error(
        "--web.external-url=keep",
        "--web.external-url: expected a URL such as https://example.com/firekeep, or a "
        "path, got 'keep'");
}

UNIT_TEST(test_origins_are_a_regular_expression)
{
    struct settings s = settings_defaults();
    const char *fine = "https?://(a|b)\\.example\\.com";
    assert_int_equal(setting_parse(setting_named("web.cors-origin"), bytes_of_text(fine), &s, NULL),
                     OK);
    check_flag_error("--web.cors-origin=(",
                     "--web.cors-origin: expected a regular expression, got '('");
}

/* Returns a value that differs from the default. */
static const char *
other_value(const struct setting *t)
{
    static char text[SETTING_NUMBER_BYTES];
    struct settings s = settings_defaults();
    if (t->check != NULL || t->check_item != NULL) return text_that_passes(t);
    if (t->type == SETTING_TEXT) return "other";
    bool word = t->type == SETTING_BOOL || t->choices != NULL;
    uint64_t number = setting_number(t, &s);
    setting_number_text(t,
                        word               ? number ^ 1
                        : number == t->max ? t->min
                                           : t->max,
                        text, sizeof text);
    return text;
}

UNIT_TEST(test_each_setting_alone_decides_whether_a_reload_is_allowed)
{
    unsigned reloadable_count = 0;
    for (const struct setting *t = settings_table(); t->name != NULL; t++) {
        struct settings now = settings_defaults(), next = now;
        struct why why = {""};
        assert_int_equal(setting_parse(t, bytes_of_text(other_value(t)), &next, NULL), OK);
        enum err e = settings_check_reload(&now, &next, &why);
        if (t->reloadable) {
            reloadable_count++;
            assert_int_equal(e, OK);
            continue;
        }
        assert_int_equal(e, ERR_INPUT);
        char expected[100], name[SETTING_TEXT_BYTES];
        snprintf(expected, sizeof expected, "%s can only be changed by a restart",
                 setting_yaml_name(t, name));
        assert_string_equal(why.text, expected);
    }
    assert_int_equal(reloadable_count, 58);
}

UNIT_TEST(test_a_setting_that_needs_a_restart_is_named_as_in_the_file)
{
    struct settings now = settings_defaults(), next;
    struct why why = {""};
    snprintf(now.config_file, sizeof now.config_file, "%s", "firekeep.yml");
    next = now;
    next.query_max_concurrent++;
    assert_int_equal(settings_check_reload(&now, &next, &why), ERR_INPUT);
    assert_string_equal(why.text,
                        "firekeep.yml: query.max_concurrent can only be changed by a restart");
}

/* A file in a fresh directory; both are removed by drop_file(). */
struct temp_file {
    char dir[64];
    char path[128];
    char flag[160];
};

static struct temp_file
make_file(const char *text)
{
    struct temp_file f = {"/tmp/firekeep-config-XXXXXX"};
    assert_non_null(mkdtemp(f.dir));
    snprintf(f.path, sizeof f.path, "%s/firekeep.yml", f.dir);
    snprintf(f.flag, sizeof f.flag, "--config.file=%s", f.path);
    write_text_file(f.path, text);
    return f;
}

static void
drop_file(const struct temp_file *f)
{
    unlink(f->path);
    rmdir(f->dir);
}

static enum err
load(struct settings *settings, struct temp_file *f, const char *second, struct why *why)
{
    char word[100];
    snprintf(word, sizeof word, "%s", second);
    char *words[] = {f->flag, word};
    struct config_lists lists = {.destinations = {NULL}};
    enum err e = settings_load(settings, &lists, 2, words, why);
    config_lists_free(&lists);
    return e;
}

UNIT_TEST(test_load_lets_flags_win_over_the_file_and_the_file_over_defaults)
{
    struct temp_file f = make_file("log:\n  level: debug\n  format: json\n");
    struct settings s;
    struct why why = {""};
    enum err e = load(&s, &f, "--log.level=error", &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    assert_int_equal(s.log_level, LOG_ERROR);
    assert_int_equal(s.log_format, LOG_JSON);
    assert_int_equal(s.web_max_connections, 1024);
    assert_string_equal(s.config_file, f.path);
    drop_file(&f);
}

UNIT_TEST(test_a_path_begins_at_its_file_and_that_of_a_flag_does_not)
{
    static const struct {
        const char *text, *path;
    } cases[] = {
        {"web: {config_file: web.yml}\n", "/etc/f/web.yml"},
        {"web: {config_file: ../w/web.yml}\n", "/etc/w/web.yml"},
        {"web: {config_file: /etc/web.yml}\n", "/etc/web.yml"},
        {"web: {config_file: ''}\n", ""},
    };
    struct settings s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        settings_default(&s);
        assert_int_equal(settings_yaml(&s, "/etc/f/f.yml", bytes_of_text(cases[i].text), NULL), OK);
        assert_string_equal(s.web_config_file, cases[i].path);
    }
    char word[] = "--web.config.file=web.yml", *words[] = {word};
    assert_int_equal(settings_flags(&s, 1, words, NULL), OK);
    assert_string_equal(s.web_config_file, "web.yml");
}

UNIT_TEST(test_a_path_that_its_file_makes_too_long_is_refused)
{
    char name[SETTING_TEXT_BYTES];
    struct settings s = settings_defaults();
    struct why why = {""};
    memset(name, 'd', sizeof name);
    snprintf(name + sizeof name - 7, 7, "/f.yml");
    assert_int_equal(settings_yaml(&s, name, bytes_of_text("web: {config_file: web.yml}\n"), &why),
                     ERR_INPUT);
    assert_non_null(strstr(why.text, "web.config_file: must be at most 255 bytes, got 257"));
}

UNIT_TEST(test_load_judges_file_and_flags_together)
{
    struct temp_file f = make_file("wal:\n  budget: 100MiB\n");
    struct settings s, before = settings_defaults();
    s = before;
    struct why why = {""};
    assert_int_equal(load(&s, &f, "--log.level=error", &why), ERR_INPUT);
    assert_string_equal(why.text,
                        "wal.budget (100MiB) must be at least twice wal.segment-bytes (64MiB)");
    assert_memory_equal(&s, &before, sizeof s);
    assert_int_equal(load(&s, &f, "--wal.segment-bytes=50MiB", &why), OK);
    drop_file(&f);
}

UNIT_TEST(test_load_reads_both_lists_with_the_flags_in_mind)
{
    struct temp_file f = make_file("destinations:\n"
                                   "- {name: a, type: file, path: /a, tenants: [one]}\n"
                                   "sources:\n"
                                   "- {name: a, type: remote_read, url: 'http://h', tenants: "
                                   "[two]}\n"
                                   "storage: {mode: none}\n");
    char expected[300], tenancy[] = "--tenancy.enabled", *words[] = {f.flag, tenancy};
    struct settings s;
    struct config_lists lists = {.destinations = {NULL}};
    struct why why = {""};
    assert_int_equal(settings_load(&s, &lists, 1, words, &why), ERR_INPUT);
    snprintf(expected, sizeof expected,
             "%s:2:44: tenants: tenancy.enabled is false: expected [anonymous] or all", f.path);
    assert_string_equal(why.text, expected);
    assert_null(lists.destinations.items);
    assert_int_equal(settings_load(&s, &lists, 2, words, &why), OK);
    assert_int_equal(lists.destinations.count, 1);
    assert_string_equal(lists.destinations.items[0].name, "a");
    assert_int_equal(lists.sources.count, 1);
    assert_string_equal(lists.sources.items[0].tenants.items[0], "two");
    assert_int_equal(s.storage_mode, STORAGE_NONE);
    config_lists_free(&lists);
    drop_file(&f);
}

UNIT_TEST(test_load_without_file_flag_reads_none)
{
    struct settings s, expected = settings_defaults();
    struct config_lists lists;
    assert_int_equal(settings_load(&s, &lists, 0, NULL, NULL), OK);
    assert_int_equal(lists.destinations.count, 0);
    assert_null(lists.destinations.arena);
    assert_int_equal(lists.sources.count, 0);
    assert_null(lists.sources.arena);
    assert_memory_equal(&s, &expected, sizeof s);
}

UNIT_TEST(test_load_errors_name_the_file)
{
    struct temp_file f = make_file("log:\n  level: loud\n");
    struct settings s = settings_defaults(), before = s;
    struct why why = {""};
    assert_int_equal(load(&s, &f, "--log.level=error", &why), ERR_INPUT);
    char expected[300];
    snprintf(expected, sizeof expected,
             "%s:2:10: log.level: expected one of debug, info, warn, error, got 'loud'", f.path);
    assert_string_equal(why.text, expected);

    drop_file(&f);
    assert_int_equal(load(&s, &f, "--log.level=error", &why), ERR_MISSING);
    snprintf(expected, sizeof expected, "--config.file: cannot open %s: No such file or directory",
             f.path);
    assert_string_equal(why.text, expected);

    char flag[] = "--config.file=/", *words[] = {flag};
    struct config_lists lists = {.destinations.count = 7, .sources.count = 8};
    assert_int_equal(settings_load(&s, &lists, 1, words, &why), ERR_IO);
    assert_string_equal(why.text, "--config.file: cannot read /: Is a directory");

    char endless[] = "--config.file=/dev/zero";
    words[0] = endless;
    assert_int_equal(settings_load(&s, &lists, 1, words, &why), ERR_LIMIT);
    assert_int_equal(lists.destinations.count, 7);
    assert_int_equal(lists.sources.count, 8);
    assert_memory_equal(&s, &before, sizeof s);
}

UNIT_TEST(test_load_reports_each_refused_allocation)
{
    struct temp_file f = make_file("log: {level: debug}\n"
                                   "destinations: [{name: a, type: file, path: /a}]\n"
                                   "sources: [{name: a, type: remote_read, url: 'http://h'}]\n");
    unsigned nth = 1;
    for (;; nth++) {
        struct settings s = settings_defaults(), before = s;
        struct why why = {""};
        mem_fail_nth(nth, false);
        enum err e = load(&s, &f, "--log.format=json", &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (!fired) {
            assert_int_equal(e, OK);
            break;
        }
        assert_int_equal(e, ERR_NOMEM);
        assert_memory_equal(&s, &before, sizeof s);
    }
    assert_true(nth > 1);
    drop_file(&f);
}

/* --- the example ------------------------------------------------------------------------------ */

UNIT_TEST(test_example_file_names_every_setting_with_its_default)
{
    char *text = read_source_file("docs/firekeep.example.yml");
    struct settings s, expected = settings_defaults();
    /* Settings start with other values: only those in the file get their defaults back. */
    s = expected;
    for (const struct setting *t = settings_table(); t->name != NULL; t++) {
        if (t->flag_only) continue;
        assert_int_equal(setting_parse(t, bytes_of_text(other_value(t)), &s, NULL), OK);
    }
    struct why why = {""};
    enum err e = settings_yaml(&s, "docs/firekeep.example.yml", bytes_of_text(text), &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    for (const struct setting *t = settings_table(); t->name != NULL; t++)
        assert_string_equal(setting_shown(&s, t), t->fallback);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_those_the_header_names),
        cmocka_unit_test(test_table_rows_are_well_formed_and_their_fields_do_not_overlap),
        cmocka_unit_test(test_out_of_range_message_names_the_range),
        cmocka_unit_test(test_choices_and_yes_or_no_are_exact_words),
        cmocka_unit_test(test_listen_address_is_host_and_port),
        cmocka_unit_test(test_listeners_are_also_sockets_and_several_of_them),
        cmocka_unit_test(test_each_flag_for_an_address_adds_to_those_before_it),
        cmocka_unit_test(test_hosts_networks_and_services_have_their_form),
        cmocka_unit_test(test_external_url_is_the_host_name_and_port_if_it_is_not_set),
        cmocka_unit_test(test_route_prefix_is_its_own_or_the_path_of_the_external_url),
        cmocka_unit_test(test_origins_are_a_regular_expression),
        cmocka_unit_test(test_settings_that_disagree_are_refused),
        cmocka_unit_test(test_flags_take_their_value_in_either_form),
        cmocka_unit_test(test_wrong_flags_are_refused_with_a_suggestion),
        cmocka_unit_test(test_flag_that_misses_its_value_does_not_swallow_the_next),
        cmocka_unit_test(test_printed_yaml_reads_back_as_the_same_settings),
        cmocka_unit_test(test_help_names_every_flag_with_its_default),
        cmocka_unit_test(test_each_setting_alone_decides_whether_a_reload_is_allowed),
        cmocka_unit_test(test_a_setting_that_needs_a_restart_is_named_as_in_the_file),
        cmocka_unit_test(test_load_lets_flags_win_over_the_file_and_the_file_over_defaults),
        cmocka_unit_test(test_a_path_begins_at_its_file_and_that_of_a_flag_does_not),
        cmocka_unit_test(test_a_path_that_its_file_makes_too_long_is_refused),
        cmocka_unit_test(test_load_judges_file_and_flags_together),
        cmocka_unit_test(test_load_reads_both_lists_with_the_flags_in_mind),
        cmocka_unit_test(test_load_without_file_flag_reads_none),
        cmocka_unit_test(test_load_errors_name_the_file),
        cmocka_unit_test(test_load_reports_each_refused_allocation),
        cmocka_unit_test(test_example_file_names_every_setting_with_its_default)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
