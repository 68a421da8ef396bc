/* dead_letters_test.c - the command dead-letters, on a storage directory of the real machine. */
#include "lib/relay/letters_rig.h"
#include "lib/test.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/cli_run.h"
#include "relay/state/state.h"

#define must(call) assert_int_equal((call), OK)

static char storage[64];

static const struct command *const commands[] = {&command_dead_letters, NULL};

/* --- the directory ---------------------------------------------------------------------------- */

static void
add_letters(const char *destination, uint32_t first, uint32_t count)
{
    char dir[128];
    snprintf(dir, sizeof dir, "%s/relay/%s", storage, destination);
    letters_rig_add(env_real(), dir, first, count);
}

static int
begin(void **state)
{
    (void)state;
    char path[128];
    snprintf(storage, sizeof storage, "/tmp/firekeep-letters-XXXXXX");
    if (mkdtemp(storage) == NULL) return 1;
    snprintf(path, sizeof path, "%s/relay", storage);
    must(env_mkdir(env_real(), path, NULL));
    must(env_write_whole(env_real(), storage, "LOCK", bytes_of("", 0), NULL));
    add_letters("silent", 0, 0);
    add_letters("west", 0, 16);
    add_letters("east", 16, 3);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), storage, NULL) == OK ? 0 : 1;
}

/* --- running ---------------------------------------------------------------------------------- */

/* Runs "firekeep dead-letters" with the words up to NULL and, with `with_storage`,
 * --storage.path. */
static int
run(bool with_storage, const char *const *words)
{
    const char *all[RUN_WORDS_MAX + 1] = {"dead-letters"};
    char flag[100];
    int count = 1;
    snprintf(flag, sizeof flag, "--storage.path=%s", storage);
    if (with_storage) all[count++] = flag;
    for (; *words != NULL; words++) {
        assert_in_range(count, 1, RUN_WORDS_MAX - 1);
        all[count++] = *words;
    }
    return cli_run_into(cli_memory_file(), commands, all);
}

#define RUN(...) run(true, (const char *const[]){__VA_ARGS__, NULL})

/* Returns the printed JSON; the caller releases it. */
static json_t *
printed(void)
{
    json_error_t error;
    json_t *json = json_loads(cli_out, 0, &error);
    if (json == NULL) fail_msg("%s in: %s", error.text, cli_out);
    return json;
}

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL) fail_msg("no text '%s' in: %s", key, cli_out);
    return text;
}

static json_int_t
number_of(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);
    if (!json_is_integer(number)) fail_msg("no number '%s' in: %s", key, cli_out);
    return json_integer_value(number);
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_list_has_a_line_for_each_destination_and_reason)
{
    assert_int_equal(RUN("list", "--format=json"), EXIT_DONE);
    assert_string_equal(cli_err, "");
    json_t *json = printed(), *rows = json_object_get(json, "letters");
    assert_int_equal(json_array_size(rows), 6);
    json_int_t all = 0;
    for (size_t i = 0; i < 6; i++) {
        const json_t *row = json_array_get(rows, i);
        assert_string_equal(text_of(row, "destination"), i < 3 ? "east" : "west");
        all += number_of(row, "letters");
        assert_int_equal(number_of(row, "replaying"), 0);
    }
    assert_int_equal(all, 19);
    const json_t *first = json_array_get(rows, 3); /* west has 0, 3, 6, 9, 12, 15 */
    assert_string_equal(text_of(first, "reason"), letter_reasons[0]);
    assert_int_equal(number_of(first, "letters"), 6);
    assert_int_equal(number_of(first, "firstFailedMs"), made_letter_failed_ms(0));
    assert_int_equal(number_of(first, "lastFailedMs"), made_letter_failed_ms(15));
    assert_string_equal(text_of(first, "answer"), "it said 15");
    json_decref(json);
    assert_int_equal(RUN("list"), EXIT_DONE);
    assert_non_null(strstr(cli_out, "Dead letters\n"));
    assert_non_null(strstr(cli_out, "it said 15\n"));
    assert_non_null(strstr(cli_out, "1970-01-01T00:16:40.015Z"));
}

UNIT_TEST(test_list_takes_a_destination_and_a_reason)
{
    assert_int_equal(
        RUN("list", "--destination=west", "--reason", letter_reasons[1], "--format=json"),
        EXIT_DONE);
    json_t *json = printed(), *rows = json_object_get(json, "letters");
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(text_of(json_array_get(rows, 0), "reason"), letter_reasons[1]);
    json_decref(json);
    assert_int_equal(RUN("list", "--reason=unheard"), EXIT_DONE);
    assert_string_equal(cli_out, "no dead letters\n");
    assert_int_equal(RUN("list", "--destination=silent"), EXIT_DONE);
    assert_string_equal(cli_out, "no dead letters\n");
}

/* Returns the line of a letter as JSON; the caller releases it. */
static json_t *
shown(uint32_t id)
{
    char wanted[64];
    json_error_t error;
    snprintf(wanted, sizeof wanted, "\"id\":\"%u.%u\"", (unsigned)made_letter_pos(id),
             (unsigned)made_letter_index(id));
    const char *at = strstr(cli_out, wanted);
    if (at == NULL) fail_msg("no letter %u in: %s", id, cli_out);
    while (at > cli_out && at[-1] != '\n')
        at--;
    json_t *json = json_loadb(at, strcspn(at, "\n"), 0, &error);
    if (json == NULL) fail_msg("%s in: %s", error.text, at);
    return json;
}

UNIT_TEST(test_show_prints_a_float_bit_for_bit)
{
    assert_int_equal(RUN("show", "--format=json", "--destination=west"), EXIT_DONE);
    unsigned lines = 0;
    for (const char *at = cli_out; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal(lines, 16);
    json_t *json = shown(5);
    const json_t *labels = json_object_get(json, "labels");
    assert_string_equal(text_of(json, "destination"), "west");
    assert_string_equal(text_of(json, "state"), "kept");
    assert_string_equal(text_of(json, "tenant"), "team0");
    assert_string_equal(text_of(labels, "__name__"), "metric_5");
    assert_string_equal(text_of(labels, "job"), "x");
    assert_int_equal(number_of(json, "time"), -4995);
    assert_int_equal(number_of(json, "start_ms"), 77);
    assert_true(json_real_value(json_object_get(json, "value")) == 0.625);
    assert_string_equal(text_of(json, "reason"), letter_reasons[2]);
    assert_string_equal(text_of(json, "answer"), "it said 5");
    assert_int_equal(number_of(json, "failed_ms"), made_letter_failed_ms(5));
    json_decref(json);
    json = shown(1); /* stale */
    assert_true(json_is_null(json_object_get(json, "value")));
    assert_string_equal(text_of(json, "bits"), "7ff0000000000002");
    json_decref(json);
}

UNIT_TEST(test_show_prints_histograms_exemplars_and_metadata)
{
    assert_int_equal(RUN("show", "--format=json", "--destination=west"), EXIT_DONE);
    json_t *json = shown(2);
    const json_t *h = json_object_get(json, "histogram");
    assert_true(json_is_null(json_object_get(json, "value")));
    assert_int_equal(number_of(h, "count_int"), 11);
    assert_int_equal(number_of(h, "zero_count_int"), 0);
    assert_int_equal(number_of(h, "schema"), 3);
    assert_int_equal(number_of(h, "reset_hint"), RESET_NO);
    assert_true(json_real_value(json_object_get(h, "sum")) == 20.4);
    const json_t *span = json_array_get(json_object_get(h, "positive_spans"), 0);
    assert_int_equal(number_of(span, "offset"), 2);
    assert_int_equal(number_of(span, "length"), 3);
    const json_t *deltas = json_object_get(h, "positive_deltas");
    assert_int_equal(json_array_size(deltas), 3);
    assert_int_equal(json_integer_value(json_array_get(deltas, 2)), 2);
    assert_null(json_object_get(h, "negative_spans"));
    json_decref(json);
    json = shown(4);
    const json_t *exemplar = json_array_get(json_object_get(json, "exemplars"), 0);
    assert_string_equal(text_of(json_object_get(exemplar, "labels"), "trace_id"), "metric_4");
    assert_int_equal(number_of(exemplar, "value"), -4);
    json_decref(json);
    json = shown(6);
    assert_string_equal(text_of(json, "family"), "requests");
    assert_string_equal(text_of(json, "type"), "counter");
    assert_string_equal(text_of(json, "help"), "how many");
    assert_null(json_object_get(json, "labels"));
    json_decref(json);
}

static json_int_t
asked_for(const char *key, size_t row)
{
    json_t *json = printed();
    const json_t *rows = json_object_get(json, key);
    json_int_t letters = number_of(json_array_get(rows, row), "letters");
    json_decref(json);
    return letters;
}

UNIT_TEST(test_replay_and_drop_say_how_many_and_apply_once)
{
    assert_int_equal(RUN("replay", "--destination=west", "--format=json"), EXIT_DONE);
    assert_int_equal(asked_for("replay", 0), 16);
    assert_int_equal(RUN("replay", "--destination=west", "--format=json"), EXIT_DONE);
    assert_int_equal(asked_for("replay", 0), 0);
    assert_int_equal(RUN("show", "--destination=west"), EXIT_DONE);
    assert_non_null(strstr(cli_out, "\"state\":\"replaying\""));
    assert_null(strstr(cli_out, "\"state\":\"kept\""));
    add_letters("west", 40, 2);
    assert_int_equal(RUN("drop", "--format=json"), EXIT_DONE); /* east, silent, west */
    assert_int_equal(asked_for("drop", 0), 3);
    assert_int_equal(asked_for("drop", 1), 0);
    assert_int_equal(asked_for("drop", 2), 2);
    assert_int_equal(RUN("drop"), EXIT_DONE);
    assert_non_null(strstr(cli_out, "dead letters to drop\n"));
    assert_int_equal(RUN("list", "--destination=east"), EXIT_DONE);
    assert_string_equal(cli_out, "no dead letters\n");
    assert_int_equal(RUN("list", "--destination=west", "--format=json"), EXIT_DONE);
    json_t *json = printed();
    assert_int_equal(json_array_size(json_object_get(json, "letters")), 3);
    json_decref(json);
}

/* A server holds the lock. */
UNIT_TEST(test_replay_and_drop_leave_a_running_server_alone)
{
    struct file lock;
    char path[128];
    snprintf(path, sizeof path, "%s/LOCK", storage);
    must(file_open(env_real(), path, FILE_UPDATE, &lock, NULL));
    must(file_lock(&lock, NULL));
    assert_int_equal(RUN("replay", "--destination=west"), EXIT_FAILED);
    assert_non_null(strstr(cli_err, "ask it with --url and --destination"));
    assert_int_equal(RUN("drop"), EXIT_FAILED);
    assert_int_equal(RUN("list"), EXIT_DONE);
    assert_non_null(strstr(cli_out, "it said 15\n"));
    must(file_close(&lock));
}

UNIT_TEST(test_wrong_words_are_wrong_usage)
{
    static const char *const wrong[][3] = {
        {NULL},
        {"read"},
        {"list", "show"},
        {"list", "--format=yaml"},
        {"list", "--destination=../east"},
        {"list", "--destination="},
        {"list", "--reason="},
        {"drop", "--reason=bad"},
        {"list", "--url=http://127.0.0.1:1"},
        {"show", "--url=http://127.0.0.1:1"},
        {"drop", "--storage"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *const words[] = {wrong[i][0], wrong[i][1], NULL};
        assert_int_equal(run(true, words), EXIT_USAGE);
        assert_non_null(strstr(cli_err, "Try 'firekeep help dead-letters'"));
        assert_string_equal(cli_out, "");
    }
    assert_int_equal(run(false, (const char *const[]){"list", NULL}), EXIT_USAGE);
    assert_non_null(strstr(cli_err, "--storage.path is required"));
    assert_int_equal(RUN("list", "--help"), EXIT_DONE);
    assert_non_null(strstr(cli_out, "--destination=NAME"));
}

UNIT_TEST(test_a_missing_destination_or_directory_is_reported)
{
    char path[100];
    assert_int_equal(RUN("drop", "--destination=north"), EXIT_FAILED);
    assert_non_null(strstr(cli_err, "destination 'north' not found in"));
    snprintf(path, sizeof path, "--storage.path=%s/nowhere", storage);
    assert_int_equal(run(false, (const char *const[]){"list", path, NULL}), EXIT_FAILED);
    /* it has no destinations */
    snprintf(path, sizeof path, "--storage.path=%s/relay/silent", storage);
    assert_int_equal(run(false, (const char *const[]){"list", path, NULL}), EXIT_DONE);
    assert_string_equal(cli_out, "no dead letters\n");
}

UNIT_TEST(test_damage_is_reported_and_the_rest_is_shown)
{
    struct file file;
    char path[128];
    add_letters("east", 30, 2);
    snprintf(path, sizeof path, "%s/relay/east/dead-letters/00000001.ndjson", storage);
    must(file_open(env_real(), path, FILE_UPDATE, &file, NULL));
    must(file_write_at(&file, bytes_of("?", 1), 60, NULL));
    must(file_close(&file));
    assert_int_equal(RUN("show", "--destination=east"), EXIT_FAILED);
    assert_non_null(strstr(cli_err, "00000001.ndjson: 1 of 3 dead letters cannot be read"));
    assert_null(strstr(cli_out, "it said 16"));
    assert_non_null(strstr(cli_out, "it said 17"));
    assert_non_null(strstr(cli_out, "it said 31"));
    assert_int_equal(RUN("list", "--destination=east"), EXIT_FAILED);
    assert_non_null(strstr(cli_err, "00000001.ndjson: 1 of 3 dead letters cannot be read"));
    assert_int_equal(RUN("replay", "--destination=east"), EXIT_FAILED);
    assert_non_null(strstr(cli_err, "00000001.ndjson: 1 of 3 dead letters cannot be read"));
    assert_non_null(strstr(cli_out, "dead letters to replay\n"));
}

UNIT_TEST(test_letters_of_an_earlier_version_need_a_server)
{
    struct buf scratch;
    char dir[128];
    const struct relay_state old = {.letters = bytes_of("\1", 1)};
    buf_init(&scratch, NULL, 4096);
    snprintf(dir, sizeof dir, "%s/relay/east", storage);
    must(relay_state_write(env_real(), dir, &scratch, &old, NULL));
    buf_fini(&scratch);
    assert_int_equal(RUN("list", "--destination=east"), EXIT_FAILED);
    assert_non_null(strstr(cli_err, "start the server, which converts them"));
    assert_null(strstr(cli_out, "no dead letters"));
}

int
main(void)
{
#define claim(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        claim(test_list_has_a_line_for_each_destination_and_reason),
        claim(test_list_takes_a_destination_and_a_reason),
        claim(test_show_prints_a_float_bit_for_bit),
        claim(test_show_prints_histograms_exemplars_and_metadata),
        claim(test_replay_and_drop_say_how_many_and_apply_once),
        claim(test_replay_and_drop_leave_a_running_server_alone),
        claim(test_letters_of_an_earlier_version_need_a_server),
        claim(test_wrong_words_are_wrong_usage),
        claim(test_a_missing_destination_or_directory_is_reported),
        claim(test_damage_is_reported_and_the_rest_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
