/* config_check_test.c - a configuration that a client sends: its errors, and what it would change.
 */
#include "lib/test.h"

#include <jansson.h>

#include "config/config_check.h"
#include "config/lists/lists.h"

#define NOW                                                                                      \
    "web: {listen_address: ['127.0.0.1:9201'], enable_admin_api: true}\n"                        \
    "retention: {time: 1y}\n"                                                                    \
    "users:\n"                                                                                   \
    "- {name: ops, tokens: [ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad], " \
    "permissions: [admin]}\n"                                                                    \
    "destinations:\n"                                                                            \
    "- {name: far, type: remote_write, url: 'http://far.test/write', "                           \
    "authorization: {credentials: hush}}\n"                                                      \
    "- {name: old, type: remote_write, url: 'http://old.test/write'}\n"

/* Prints as the server does. */
static void
print(const struct settings *s, const struct config_lists *lists, struct buf *to)
{
    settings_print_yaml(s, &lists->rules, &lists->alerting, &lists->retention, to);
    downsampling_rules_print_yaml(&lists->downsampling, to);
    access_settings_print_yaml(&lists->access, to);
    destinations_print_yaml(&lists->destinations, to);
    sources_print_yaml(&lists->sources, to);
}

/* Checks a text with NOW in force, which flags amend; the result is given. */
static json_t *
check(const char *text, const char *flag)
{
    char *words[] = {(char *)(uintptr_t)flag};
    int count = flag == NULL ? 0 : 1;
    struct settings now;
    struct config_lists lists;
    struct why why = {""};
    struct buf yaml, answer;
    struct json j;
    buf_init(&yaml, NULL, CONFIG_BYTES_MAX);
    buf_init(&answer, NULL, CONFIG_BYTES_MAX);
    assert_int_equal(
        settings_load_text(&now, &lists, "now.yml", bytes_of_text(NOW), count, words, &why), OK);
    print(&now, &lists, &yaml);
    const struct config_check c = {
        .now = &now, .now_yaml = buf_bytes(&yaml), .flag_count = count, .flag_words = words};
    json_init(&j, &answer);
    assert_int_equal(config_check_print(&c, bytes_of_text(text), &j, &why), OK);
    config_lists_free(&lists);
    buf_fini(&yaml);
    json_error_t error;
    json_t *found = json_loadb((const char *)answer.at, answer.size, 0, &error);
    if (found == NULL) fail_msg("%s: %.*s", error.text, (int)answer.size, (char *)answer.at);
    assert_null(memmem(answer.at, answer.size, "hush", 4));
    buf_fini(&answer);
    return found;
}

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

/* Prints all changes, "key old new restart" per line. */
static void
check_changes(const char *text, const char *flag, const char *expected)
{
    char found[4000] = "";
    size_t i;
    json_t *answer = check(text, flag), *change;
    bool any = false;
    assert_true(json_is_true(json_object_get(answer, "valid")));
    assert_int_equal(json_array_size(json_object_get(answer, "errors")), 0);
    json_array_foreach(json_object_get(answer, "changes"), i, change)
    {
        bool restart = json_is_true(json_object_get(change, "needsRestart"));
        size_t size = strlen(found);
        any |= restart;
        snprintf(found + size, sizeof found - size, "%s '%s' '%s'%s\n", text_of(change, "key"),
                 text_of(change, "old"), text_of(change, "new"), restart ? " restart" : "");
    }
    assert_string_equal(found, expected);
    assert_int_equal(json_is_true(json_object_get(answer, "needsRestart")), any);
    json_decref(answer);
}

UNIT_TEST(test_the_text_in_force_changes_nothing)
{
    check_changes(NOW, NULL, "");
    check_changes(NOW, "--retention.time=2y", "");
}

UNIT_TEST(test_without_a_file_an_empty_text_changes_nothing)
{
    struct settings now;
    struct config_lists lists;
    struct why why = {""};
    struct buf yaml, answer;
    struct json j;
    buf_init(&yaml, NULL, CONFIG_BYTES_MAX);
    buf_init(&answer, NULL, CONFIG_BYTES_MAX);
    assert_int_equal(settings_load(&now, &lists, 0, NULL, &why), OK);
    print(&now, &lists, &yaml);
    const struct config_check c = {.now = &now, .now_yaml = buf_bytes(&yaml)};
    json_init(&j, &answer);
    assert_int_equal(config_check_print(&c, bytes_of("", 0), &j, &why), OK);
    buf_put_u8(&answer, '\0');
    assert_non_null(strstr((const char *)answer.at, "\"changes\":[],"));
    config_lists_free(&lists);
    buf_fini(&answer);
    buf_fini(&yaml);
}

UNIT_TEST(test_changes_are_shown_key_by_key)
{
    check_changes(NOW "log: {level: debug}\n", NULL, "log.level 'info' 'debug'\n");
    check_changes(NOW "log: {level: debug}\n", "--log.level=warn", "");
    check_changes(NOW "wal: {segment_bytes: 8MiB}\nlisteners: [{address: ':1'}]\n", NULL,
                  "listeners[0].address '' ':1' restart\n"
                  "listeners[0].allow '' 'write, read, rules, admin, metrics'\n"
                  "wal.segment_bytes '64MiB' '8MiB' restart\n");
}

UNIT_TEST(test_items_of_lists_are_compared_by_their_names)
{
    json_t *answer = check(
        "web: {listen_address: ['127.0.0.1:9201', '127.0.0.1:9202'], enable_admin_api: true}\n"
        "retention: {time: 1y}\n"
        "users:\n"
        "- {name: ops, tokens: "
        "[ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad], "
        "permissions: [admin, read]}\n"
        "destinations:\n"
        "- {name: new, type: remote_write, url: 'http://new.test/write'}\n"
        "- {name: far, type: remote_write, url: 'http://near.test/write', "
        "authorization: {credentials: hush}}\n",
        NULL);
    static const char *const expected[][3] = {
        {"web.listen_address", "127.0.0.1:9201", "127.0.0.1:9201, 127.0.0.1:9202"},
        {"destinations[far].url", "http://far.test/write", "http://near.test/write"},
        {"destinations[new].url", "", "http://new.test/write"},
        {"destinations[old].url", "http://old.test/write", ""},
        {"users[ops].permissions", "admin", "read, admin"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        size_t k;
        json_t *change, *found = NULL;
        json_array_foreach(json_object_get(answer, "changes"), k, change)
        {
            if (strcmp(text_of(change, "key"), expected[i][0]) == 0) found = change;
        }
        if (found == NULL) fail_msg("no %s in %s", expected[i][0], json_dumps(answer, 0));
        assert_string_equal(text_of(found, "old"), expected[i][1]);
        assert_string_equal(text_of(found, "new"), expected[i][2]);
    }
    json_decref(answer);
}

UNIT_TEST(test_errors_have_their_places)
{
    json_t *answer = check("web:\n  listen_adress: x\nretention: {time: long}\n", NULL);
    json_t *errors = json_object_get(answer, "errors");
    assert_false(json_is_true(json_object_get(answer, "valid")));
    assert_null(json_object_get(answer, "changes"));
    assert_int_equal(json_array_size(errors), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *error = json_array_get(errors, i);
        assert_int_equal(json_integer_value(json_object_get(error, "line")), 2 + i);
        assert_int_equal(json_integer_value(json_object_get(error, "column")), i == 0 ? 3 : 19);
    }
    assert_string_equal(text_of(json_array_get(errors, 0), "message"),
                        "unknown key 'listen_adress' in 'web'; did you mean 'listen_address'?");
    json_decref(answer);
}

UNIT_TEST(test_an_error_of_the_whole_text_has_no_place)
{
    json_t *answer = check("wal: {budget: 2MiB, segment_bytes: 64MiB}\n", NULL);
    json_t *error = json_array_get(json_object_get(answer, "errors"), 0);
    assert_int_equal(json_integer_value(json_object_get(error, "line")), 0);
    assert_non_null(strstr(text_of(error, "message"), "wal.budget"));
    json_decref(answer);
}

UNIT_TEST(test_other_files_are_not_read)
{
    json_t *answer = check("web: {config_file: /etc/passwd}\n", NULL);
    assert_true(json_is_true(json_object_get(answer, "valid")));
    json_decref(answer);
    answer = check("global: {external_labels: {a: '${PATH}'}}\n", NULL);
    char *text = json_dumps(answer, 0);
    assert_non_null(strstr(text, "${PATH}"));
    free(text);
    json_decref(answer);
}

UNIT_TEST(test_a_text_that_is_too_long_is_refused)
{
    struct settings now;
    struct json j;
    struct buf text, answer;
    struct why why = {""};
    settings_default(&now);
    buf_init(&text, NULL, 2 * CONFIG_BYTES_MAX);
    buf_init(&answer, NULL, 1000);
    json_init(&j, &answer);
    while (text.size <= CONFIG_BYTES_MAX)
        buf_put_text(&text, "# comment\n");
    const struct config_check c = {.now = &now};
    assert_int_equal(config_check_print(&c, buf_bytes(&text), &j, &why), ERR_LIMIT);
    buf_fini(&text);
    buf_fini(&answer);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_text_in_force_changes_nothing),
        cmocka_unit_test(test_without_a_file_an_empty_text_changes_nothing),
        cmocka_unit_test(test_changes_are_shown_key_by_key),
        cmocka_unit_test(test_items_of_lists_are_compared_by_their_names),
        cmocka_unit_test(test_errors_have_their_places),
        cmocka_unit_test(test_an_error_of_the_whole_text_has_no_place),
        cmocka_unit_test(test_other_files_are_not_read),
        cmocka_unit_test(test_a_text_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
