/*
 * s3_object_test.c - where objects stand and what they are called, and files that go neither too
 * early nor never. What a crash makes of them is tried in s3_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/s3_object.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

static struct s3_object object;

static bool
place(const char *prefix, const char *tenant, int64_t arrival_ms)
{
    object = (struct s3_object){.file = FILE_CLOSED};
    return s3_object_place(&object, prefix, bytes_of_text(tenant), arrival_ms);
}

static void
test_a_directory_is_the_hour_of_arrival(void **state)
{
    (void)state;
    assert_true(place("p/", "t", 1767243599999));
    assert_string_equal(object.dir, "p/2026/01/01/04/");
    assert_true(place("p/", "t", 1767243600000));
    assert_string_equal(object.dir, "p/2026/01/01/05/");
    assert_int_equal(object.hour_ms, 1767243600000);
    assert_true(place(NULL, "t", 0));
    assert_string_equal(object.dir, "1970/01/01/00/");
    assert_true(place("", "t", -1)); /* a clock that is wrong */
    assert_string_equal(object.dir, "1969/12/31/23/");
}

static void
test_a_tenant_is_one_level(void **state)
{
    (void)state;
    assert_true(place("a/${tenant}/b-${tenant}/", "t.1", 0));
    assert_string_equal(object.dir, "a/t.1/b-t.1/1970/01/01/00/");
    static const char *const bad[] = {"", ".", "..", "a/b", "/", "a\x7f", "a\n"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(place("a/${tenant}/", bad[i], 0));
        assert_true(place("a/", bad[i], 0)); /* where it is not part of the name */
    }
}

static void
test_names_are_no_longer_than_a_key_may_be(void **state)
{
    (void)state;
    static char prefix[S3_KEY_BYTES_MAX + 1];
    size_t room = S3_DIR_BYTES - 1 - strlen("1970/01/01/00/");
    memset(prefix, 'p', room);
    assert_true(place(prefix, "t", 0));
    object.first = (struct s3_place){UINT64_MAX, UINT32_MAX};
    object.last = object.first;
    s3_object_name(&object, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                   false, UINT32_MAX, ".zst");
    assert_true(strlen(object.dir) + strlen(object.base) <= S3_KEY_BYTES_MAX);
    const char *end = object.base + strlen(object.base) - 11;
    assert_string_equal(end, ".ndjson.zst");
    prefix[room] = 'p';
    assert_false(place(prefix, "t", 0));
    memset(prefix, 0, sizeof prefix);
    snprintf(prefix, sizeof prefix, "${tenant}");
    static char tenant[S3_KEY_BYTES_MAX];
    memset(tenant, 't', sizeof tenant - 1);
    assert_false(place(prefix, tenant, 0));
}

static void
test_what_comes_from_the_store_is_named_by_fill_and_number(void **state)
{
    (void)state;
    uint64_t fill = FILL_BIT | 3ULL << FILL_NUMBER_SHIFT;
    object.first = (struct s3_place){fill, 0};
    object.last = (struct s3_place){fill + 4095, 0};
    s3_object_name(&object, "0123456789abcdef", false, 2, ".gz");
    assert_string_equal(object.base, "0123456789abcdef-fill3-0-4095.ndjson.gz");
}

static void
test_what_the_log_gives_once_more_has_another_name(void **state)
{
    (void)state;
    object.first = (struct s3_place){880, 0};
    object.last = (struct s3_place){3952, 9};
    s3_object_name(&object, "0123456789abcdef", false, 0, ".gz");
    assert_string_equal(object.base, "0123456789abcdef-880-3952.9.ndjson.gz");
    s3_object_name(&object, "0123456789abcdef", true, 2, ".gz");
    assert_string_equal(object.base, "0123456789abcdef-880-3952-again2.ndjson.gz");
}

static void
test_places_are_ordered(void **state)
{
    (void)state;
    static const struct s3_place rising[] = {{0, 0}, {0, 1}, {1, 0}, {1, UINT32_MAX}, {2, 0}};
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 5; k++) {
            int order = s3_place_compare(rising[i], rising[k]);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
    }
}

static enum err
count_one(void *context, const char *name, bool is_dir)
{
    (void)name;
    (void)is_dir;
    ++*(unsigned *)context;
    return OK;
}

static unsigned
count_files(struct env *env)
{
    unsigned count = 0;
    must(env_listdir(env, "d/objects", count_one, &count, NULL));
    return count;
}

static void
make(struct s3_store *store)
{
    object = (struct s3_object){.file = FILE_CLOSED};
    must(s3_store_begin(store, &object, NULL));
    must(s3_object_append(store, &object, bytes_of_text("abc"), NULL));
    must(s3_object_append(store, &object, bytes_of_text("def"), NULL));
}

static void
test_files_go_when_that_is_durable(void **state)
{
    (void)state;
    struct sim_env *sim;
    struct s3_store store;
    struct buf part;
    must(sim_env_new(1, &sim));
    struct env *env = sim_env_env(sim);
    must(env_mkdir(env, "d", NULL));
    must(s3_store_open(&store, env, "d", 0, false, NULL));
    make(&store);
    s3_store_let_go(&store, &object, true);
    assert_int_equal(count_files(env), 0);
    make(&store);
    must(s3_object_seal(&store, &object, NULL));
    buf_init(&part, NULL, 100);
    must(s3_object_read(&object, 2, 3, &part, NULL));
    assert_true(bytes_equal_text(buf_bytes(&part), "cde"));
    assert_int_equal(s3_object_read(&object, 2, 5, &part, NULL), ERR_CORRUPT);
    buf_fini(&part);
    s3_store_let_go(&store, &object, false);
    must(s3_store_saved(&store, NULL)); /* not yet true when it was saved */
    assert_int_equal(count_files(env), 1);
    s3_store_save(&store);
    make(&store);
    s3_store_let_go(&store, &object, false);
    must(s3_store_saved(&store, NULL));
    assert_int_equal(count_files(env), 1);
    for (unsigned i = 0; i < 2 * S3_STORE_GONE_MAX; i++) { /* more than are remembered */
        make(&store);
        s3_store_let_go(&store, &object, false);
    }
    s3_store_save(&store);
    must(s3_store_saved(&store, NULL));
    assert_int_equal(count_files(env), S3_STORE_GONE_MAX + 1);
    must(s3_store_open(&store, env, "d", store.next - 1, false, NULL)); /* the start keeps one */
    assert_int_equal(count_files(env), 1);
    must(s3_store_open(&store, env, "d", 0, false, NULL));
    assert_int_equal(count_files(env), 0);
    sim_env_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_directory_is_the_hour_of_arrival),
        cmocka_unit_test(test_a_tenant_is_one_level),
        cmocka_unit_test(test_names_are_no_longer_than_a_key_may_be),
        cmocka_unit_test(test_what_comes_from_the_store_is_named_by_fill_and_number),
        cmocka_unit_test(test_what_the_log_gives_once_more_has_another_name),
        cmocka_unit_test(test_places_are_ordered),
        cmocka_unit_test(test_files_go_when_that_is_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
