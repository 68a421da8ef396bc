/*
 * index_test.c - an index that was written is read back the same; limits cut it, which it states.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/s3/object.h"
#include "lib/test.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

static const int64_t HOUR_MS = 1767243600000; /* 2026-01-01T05:00:00Z */

static struct budget memory;
static struct s3_index one;
static struct s3_names names;
static struct buf text;

static int
setup(void **state)
{
    (void)state;
    budget_init(&memory, "test", 0, NULL);
    s3_index_init(&one, &memory);
    s3_names_init(&names, &memory);
    buf_init(&text, &memory, 2 * S3_INDEX_BYTES_MAX);
    s3_index_begin(&one, "a", "p/2026/01/01/05/", HOUR_MS);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    s3_index_fini(&one);
    s3_names_fini(&names);
    buf_fini(&text);
    assert_int_equal(budget_used(&memory), 0);
    return 0;
}

static struct s3_object
object(unsigned number)
{
    struct s3_object o = {
        .size = 1000 + number,
        .samples = 10 + number,
        .seal = number,
        .first = {100 * (uint64_t)number, number},
        .last = {100 * (uint64_t)number + 50, 7},
        .t_min_ms = -5 + (int64_t)number,
        .t_max_ms = 1700000000000 + (int64_t)number,
    };
    snprintf(o.base, sizeof o.base, "a-%u.ndjson", number);
    return o;
}

static void
put(unsigned number, const char *name)
{
    struct s3_object o = object(number);
    s3_names_clear(&names);
    s3_names_add(&names, bytes_of_text(name));
    must(s3_index_put(&one, &o, &names));
}

static void
print(void)
{
    buf_clear(&text);
    s3_index_print(&one, &text);
    must(buf_error(&text));
}

static void
expect_text(const char *want)
{
    print();
    if (!bytes_equal_text(buf_bytes(&text), want))
        fail_msg("'%.*s' instead of '%s'", (int)text.size, (const char *)text.at, want);
}

UNIT_TEST(test_an_index_is_the_text_that_the_document_shows)
{
    expect_text("{\"version\":1,\"instance\":\"a\",\"prefix\":\"p/2026/01/01/05/\",\"hour\":"
                "\"2026-01-01T05:00:00.000Z\",\"all_objects\":true,\"all_metrics\":true,"
                "\"metrics\":[],\"objects\":[]}\n");
    put(3, "up");
    put(4, "say \"x\"");
    expect_text(
        "{\"version\":1,\"instance\":\"a\",\"prefix\":\"p/2026/01/01/05/\",\"hour\":"
        "\"2026-01-01T05:00:00.000Z\",\"min_time\":-2,\"max_time\":1700000000004,"
        "\"all_objects\":true,\"all_metrics\":true,\"metrics\":[\"up\",\"say \\\"x\\\"\"],"
        "\"objects\":["
        "{\"name\":\"a-3.ndjson\",\"bytes\":1003,\"samples\":13,\"first\":\"300.3\",\"last\":"
        "\"350.7\",\"min_time\":-2,\"max_time\":1700000000003,\"number\":3},"
        "{\"name\":\"a-4.ndjson\",\"bytes\":1004,\"samples\":14,\"first\":\"400.4\",\"last\":"
        "\"450.7\",\"min_time\":-1,\"max_time\":1700000000004,\"number\":4}]}\n");
}

UNIT_TEST(test_an_index_that_was_printed_parses_to_itself)
{
    struct s3_index other;
    struct buf again;
    s3_index_init(&other, &memory);
    buf_init(&again, &memory, S3_INDEX_BYTES_MAX);
    for (unsigned i = 1; i < 100; i++) {
        char name[20];
        snprintf(name, sizeof name, "m%u\t\"", i % 60);
        put(i, name);
    }
    print();
    must(s3_index_parse(&other, buf_bytes(&text)));
    assert_string_equal(other.dir, one.dir);
    assert_int_equal(other.hour_ms, HOUR_MS);
    assert_int_equal(other.count, 99);
    assert_int_equal(other.names.places.count, 60);
    s3_index_print(&other, &again);
    assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&text)));
    buf_fini(&again);
    s3_index_fini(&other);
}

UNIT_TEST(test_places_of_a_fill_are_read_back)
{
    struct s3_index other;
    struct s3_object o = object(3);
    o.first.pos = FILL_BIT | 12ULL << FILL_NUMBER_SHIFT;
    o.last.pos = FILL_BIT | 12ULL << FILL_NUMBER_SHIFT | 2047;
    o.first.index = o.last.index = 0;
    s3_index_init(&other, &memory);
    s3_names_clear(&names);
    must(s3_index_put(&one, &o, &names));
    print();
    must(s3_index_parse(&other, buf_bytes(&text)));
    assert_int_equal(other.count, 1);
    assert_int_equal(s3_place_compare(other.entries[0].first, o.first), 0);
    assert_int_equal(s3_place_compare(other.entries[0].last, o.last), 0);
    s3_index_fini(&other);
}

UNIT_TEST(test_an_object_of_the_same_name_takes_the_place_of_the_first)
{
    struct s3_object o = object(3);
    put(3, "up");
    put(4, "up");
    o.size = 1;
    must(s3_index_put(&one, &o, &names));
    assert_int_equal(one.count, 2);
    assert_int_equal(one.entries[0].size, 1);
    s3_index_remove(&one, 3);
    s3_index_remove(&one, 99);
    assert_int_equal(one.count, 1);
    assert_int_equal(one.entries[0].seal, 4);
}

UNIT_TEST(test_too_many_objects_are_cut)
{
    for (unsigned i = 1; i <= S3_INDEX_OBJECTS_MAX; i++)
        put(i, "up");
    assert_false(one.cut);
    put(S3_INDEX_OBJECTS_MAX + 1, "up");
    assert_true(one.cut);
    assert_int_equal(one.count, S3_INDEX_OBJECTS_MAX);
    print();
    assert_non_null(memmem(text.at, text.size, "\"all_objects\":false", 19));
    must(s3_index_parse(&one, buf_bytes(&text)));
    assert_true(one.cut);
}

UNIT_TEST(test_too_many_names_are_cut)
{
    char name[64];
    for (unsigned i = 0; i < S3_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "m%u", i);
        s3_names_add(&names, bytes_of_text(name));
        s3_names_add(&names, bytes_of_text(name));
    }
    assert_false(names.cut);
    assert_int_equal(names.places.count, S3_NAMES_MAX);
    s3_names_add(&names, bytes_of_text("m7")); /* it exists */
    assert_false(names.cut);
    s3_names_add(&names, bytes_of_text("more"));
    assert_true(names.cut);
    s3_names_clear(&names);
    assert_false(names.cut);
    static char large[S3_NAMES_BYTES_MAX];
    memset(large, 'x', sizeof large);
    s3_names_add(&names, bytes_of(large, sizeof large));
    assert_true(names.cut);
    assert_int_equal(names.places.count, 0);
    s3_names_add(&names, bytes_of_text("")); /* a series without a name */
    assert_int_equal(names.places.count, 1);
    s3_names_clear(&names);
    s3_names_add(&names, bytes_of_text("\xff")); /* JSON cannot express it */
    assert_true(names.cut);
    assert_int_equal(names.places.count, 0);
}

/* Readers of the archive skip an object that does not have a metric if all are named. */
UNIT_TEST(test_an_index_without_all_names_is_read_back_as_such)
{
    s3_names_clear(&names);
    s3_names_add(&names, bytes_of_text("\xff"));
    struct s3_object o = object(3);
    must(s3_index_put(&one, &o, &names));
    print();
    assert_non_null(memmem(text.at, text.size, "\"all_metrics\":false", 19));
    must(s3_index_parse(&one, buf_bytes(&text)));
    assert_int_equal(one.count, 1);
    assert_true(one.names.cut && !one.cut);
}

UNIT_TEST(test_a_malformed_index_is_refused)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{}x",
        "{\"version\":2}",
        "{\"version\":\"1\"}",
        "{\"hour\":\"x\"}",
        "{\"objects\":[{\"first\":\"1\"}]}",
        "{\"objects\":[{\"first\":\"1.-2\"}]}",
        "{\"objects\":[{\"bytes\":-1}]}",
        "{\"objects\":[{\"last\":\"1.4294967296\"}]}",
        "{\"prefix\":\"a\\u0000b\"}",
        "{\"metrics\":[1]}",
        "{\"prefix\":\"\xff\"}",
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(1, "up");
        if (s3_index_parse(&one, bytes_of_text(bad[i])) != ERR_INPUT) fail_msg("'%s'", bad[i]);
        assert_int_equal(one.count, 0);
        assert_string_equal(one.dir, "");
    }
    must(s3_index_parse(&one, bytes_of_text("{\"new\":{\"a\":[1]},\"version\":1}")));
}

UNIT_TEST(test_local_files_are_per_directory_and_go_with_their_hour)
{
    struct sim_env *sim;
    must(sim_env_new(1, &sim));
    struct env *env = sim_env_env(sim);
    must(env_mkdir(env, "i", NULL));
    put(1, "up");
    print();
    must(s3_index_store(&one, env, "i", buf_bytes(&text), NULL));
    must(s3_index_load(&one, env, "i", "a", "other/2026/01/01/05/", HOUR_MS, NULL));
    assert_int_equal(one.count, 0);
    assert_false(one.cut);
    assert_string_equal(one.dir, "other/2026/01/01/05/");
    must(s3_index_load(&one, env, "i", "a", "p/2026/01/01/05/", HOUR_MS, NULL));
    assert_int_equal(one.count, 1);
    s3_index_forget(env, "i", HOUR_MS);
    must(s3_index_load(&one, env, "i", "a", "p/2026/01/01/05/", HOUR_MS, NULL));
    assert_int_equal(one.count, 1);
    /* An invalid index counts as missing, with a message. */
    must(s3_index_store(&one, env, "i", bytes_of_text("{"), NULL));
    must(s3_index_load(&one, env, "i", "a", "p/2026/01/01/05/", HOUR_MS, NULL));
    assert_int_equal(one.count, 0);
    assert_true(one.cut);
    s3_index_forget(env, "i", HOUR_MS + 3600000);
    must(s3_index_load(&one, env, "i", "a", "p/2026/01/01/05/", HOUR_MS, NULL));
    assert_false(one.cut);
    sim_env_free(sim);
}

static void
flip(struct env *env, const char *path, uint64_t at)
{
    struct file file;
    uint8_t byte;
    must(file_open(env, path, FILE_UPDATE, &file, NULL));
    must(file_read_at(&file, &byte, 1, at, NULL));
    byte ^= 4;
    must(file_write_at(&file, bytes_of(&byte, 1), at, NULL));
    must(file_close(&file));
}

static char local_path[256];

static enum err
note_path(void *context, const char *name, bool is_dir)
{
    (void)context;
    (void)is_dir;
    return path_join(local_path, sizeof local_path, "i", name);
}

UNIT_TEST(test_a_flipped_bit_in_a_local_file_is_found)
{
    struct sim_env *sim;
    must(sim_env_new(1, &sim));
    struct env *env = sim_env_env(sim);
    must(env_mkdir(env, "i", NULL));
    put(1, "up");
    print();
    must(s3_index_store(&one, env, "i", buf_bytes(&text), NULL));
    must(env_listdir(env, "i", note_path, NULL, NULL));
    for (uint64_t at = 0; at < 24 + text.size; at++) {
        flip(env, local_path, at);
        must(s3_index_load(&one, env, "i", "a", "p/2026/01/01/05/", HOUR_MS, NULL));
        if (at < 8 || at >= 12) { /* the version that wrote it does not matter */
            assert_int_equal(one.count, 0);
            assert_true(one.cut);
            assert_true(one.names.cut);
        }
        flip(env, local_path, at);
    }
    must(s3_index_load(&one, env, "i", "a", "p/2026/01/01/05/", HOUR_MS, NULL));
    assert_int_equal(one.count, 1);
    assert_false(one.cut);
    /* An earlier version wrote only the text. */
    must(env_write_whole(env, "i", local_path + 2, buf_bytes(&text), NULL));
    must(s3_index_load(&one, env, "i", "a", "p/2026/01/01/05/", HOUR_MS, NULL));
    assert_int_equal(one.count, 1);
    sim_env_free(sim);
}

/* The previous index lists the earlier objects; their metrics may be in later ones. */
UNIT_TEST(test_under_another_instance_only_metric_names_are_taken)
{
    struct sim_env *sim;
    must(sim_env_new(1, &sim));
    struct env *env = sim_env_env(sim);
    must(env_mkdir(env, "i", NULL));
    put(1, "up");
    print();
    must(s3_index_store(&one, env, "i", buf_bytes(&text), NULL));
    must(s3_index_load(&one, env, "i", "b", "p/2026/01/01/05/", HOUR_MS, NULL));
    assert_string_equal(one.instance, "b");
    assert_int_equal(one.count, 0);
    assert_int_equal(one.names.places.count, 1);
    assert_false(one.cut);
    sim_env_free(sim);
}

UNIT_TEST(test_objects_that_the_index_in_the_bucket_lists_are_merged)
{
    struct s3_index other;
    uint64_t seal = 2;
    s3_index_init(&other, &memory);
    s3_index_begin(&other, "a", "p/2026/01/01/05/", HOUR_MS);
    put(1, "up");
    put(2, "down");
    put(7, "later");
    print();
    s3_names_clear(&names);
    s3_names_add(&names, bytes_of_text("mine"));
    struct s3_object o = object(2);
    must(s3_index_put(&other, &o, &names));
    must(s3_index_merge(&other, buf_bytes(&text), &seal));
    assert_int_equal(other.count, 3);
    assert_int_equal(other.names.places.count, 4);
    assert_int_equal(seal, 7);
    assert_false(other.cut);
    s3_index_remove_name(&other, "a-7.ndjson");
    assert_int_equal(other.count, 2);
    /* The index is of another hour, or invalid: its objects do not count. */
    must(s3_index_merge(&other, bytes_of_text("{\"version\":1,\"prefix\":\"q/\"}"), &seal));
    assert_true(other.cut);
    assert_true(other.names.cut);
    other.cut = other.names.cut = false;
    must(s3_index_merge(&other, bytes_of_text("<html>"), &seal));
    assert_true(other.cut);
    s3_index_fini(&other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_index_is_the_text_that_the_document_shows, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_index_that_was_printed_parses_to_itself, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_places_of_a_fill_are_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_an_object_of_the_same_name_takes_the_place_of_the_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_objects_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_names_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_index_without_all_names_is_read_back_as_such, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_malformed_index_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_local_files_are_per_directory_and_go_with_their_hour,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_flipped_bit_in_a_local_file_is_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_under_another_instance_only_metric_names_are_taken,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_objects_that_the_index_in_the_bucket_lists_are_merged,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
