/* object_cache_test.c - a cache on disk gives what the bucket has, or nothing. */
#include <stdatomic.h>
#include <string.h>

#include "lib/test.h"
#include "model/objects.h"
#include "sys/sim.h"
#include "sys/sim_objects.h"

enum { OBJECT_BYTES = 900 * 1000, CHUNK = 128 * 1024 };

static struct sim_env *machine;
static struct sim_objects bucket;
static struct object_cache *cache;
static _Atomic uint64_t hits;
static uint8_t content[OBJECT_BYTES], got[OBJECT_BYTES];

static void
reopen(uint64_t bytes)
{
    object_cache_close(cache);
    cache = NULL;
    assert_int_equal(
        object_cache_open(sim_env_env(machine), "/cache", bytes, NULL, &hits, &cache, NULL), OK);
    bucket.objects.cache = cache;
}

static int
begin(void **state)
{
    (void)state;
    assert_int_equal(sim_env_new(5, &machine), OK);
    sim_objects_init(&bucket);
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * 7 + i / 251);
    assert_int_equal(bucket.objects.ops->put(&bucket.objects, "parts/1",
                                             bytes_of(content, sizeof content), false, NULL, NULL),
                     OK);
    hits = 0;
    reopen(8 << 20);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    object_cache_close(cache);
    cache = NULL;
    sim_objects_fini(&bucket);
    sim_env_free(machine);
    return 0;
}

/* Reads from a chunk on, and checks it. Returns the number of requests. */
static uint64_t
requests_of(uint64_t chunk, size_t size)
{
    uint64_t before = bucket.requests, offset = chunk * CHUNK;
    const struct object_range range = {"parts/1", offset, size, got};
    memset(got, 0, sizeof got);
    uint32_t requests;
    uint64_t bytes;
    assert_int_equal(objects_read(&bucket.objects, &range, 1, NULL, &requests, &bytes, NULL), OK);
    assert_memory_equal(got, content + offset, size);
    assert_int_equal(requests, bucket.requests - before);
    assert_int_equal(bytes > 0, requests > 0);
    return requests;
}

UNIT_TEST(test_chunks_are_read_from_disk_also_after_a_restart)
{
    assert_int_equal(requests_of(0, OBJECT_BYTES), 1);
    assert_int_equal(requests_of(0, OBJECT_BYTES), 0);
    assert_int_equal(requests_of(6, OBJECT_BYTES - 6 * CHUNK), 0);
    reopen(8 << 20);
    assert_int_equal(requests_of(2, 3 * CHUNK), 0);
    assert_int_equal(hits, 7 + 1 + 3);
}

UNIT_TEST(test_only_what_is_not_there_is_requested)
{
    assert_int_equal(requests_of(0, 2 * CHUNK), 1);
    assert_int_equal(requests_of(0, 4 * CHUNK), 1);
    assert_int_equal(hits, 2);
    assert_int_equal(requests_of(0, 4 * CHUNK), 0);
}

UNIT_TEST(test_damage_in_any_byte_is_not_returned)
{
    struct env *env = sim_env_env(machine);
    uint64_t slot = 0;
    for (uint64_t at = 0; at < 32 + CHUNK; at += at < 32 ? 1 : 9973) {
        struct file file;
        uint8_t byte;
        assert_int_equal(env_unlink(env, "/cache/chunks", NULL), OK);
        reopen(8 << 20);
        assert_int_equal(requests_of(0, CHUNK), 1);
        assert_int_equal(file_open(env, "/cache/chunks", FILE_UPDATE, &file, NULL), OK);
        assert_int_equal(file_size(&file, &slot, NULL), OK);
        slot -= CHUNK + 32;
        assert_int_equal(file_read_at(&file, &byte, 1, slot + at, NULL), OK);
        byte ^= 4;
        assert_int_equal(file_write_at(&file, bytes_of(&byte, 1), slot + at, NULL), OK);
        assert_int_equal(file_close(&file), OK);
        reopen(8 << 20);
        assert_int_equal(requests_of(0, CHUNK), 1);
        assert_int_equal(requests_of(0, CHUNK), 0);
    }
}

UNIT_TEST(test_a_small_cache_keeps_below_its_size)
{
    struct file_facts facts;
    reopen(1 << 20);
    for (uint64_t chunk = 0; chunk < 6; chunk++)
        (void)requests_of(chunk, CHUNK);
    assert_int_equal(env_facts(sim_env_env(machine), "/cache/chunks", &facts, NULL), OK);
    assert_in_range(facts.size_bytes, CHUNK, 1 << 20);
    reopen(8 << 20);
    for (uint64_t chunk = 0; chunk < 6; chunk++)
        (void)requests_of(chunk, CHUNK);
    reopen(1 << 20);
    assert_int_equal(env_facts(sim_env_env(machine), "/cache/chunks", &facts, NULL), OK);
    assert_in_range(facts.size_bytes, 0, 1 << 20);
}

UNIT_TEST(test_a_forgotten_object_is_overwritten)
{
    struct env *env = sim_env_env(machine);
    struct file file;
    static uint8_t whole[64 * (CHUNK + 32)];
    size_t size;
    (void)requests_of(0, OBJECT_BYTES);
    object_cache_forget(cache, "parts/1", OBJECT_BYTES);
    assert_int_equal(file_open(env, "/cache/chunks", FILE_READ, &file, NULL), OK);
    assert_int_equal(file_read_some(&file, whole, sizeof whole, 0, &size, NULL), OK);
    assert_int_equal(file_close(&file), OK);
    assert_true(size > OBJECT_BYTES);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(whole[i], 0);
    assert_int_equal(requests_of(0, OBJECT_BYTES), 1);
}

UNIT_TEST(test_a_removed_file_is_made_again)
{
    assert_int_equal(requests_of(0, CHUNK), 1);
    assert_int_equal(env_unlink(sim_env_env(machine), "/cache/chunks", NULL), OK);
    (void)requests_of(0, CHUNK);
    reopen(8 << 20);
    assert_int_equal(requests_of(0, CHUNK), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_chunks_are_read_from_disk_also_after_a_restart, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_only_what_is_not_there_is_requested, begin, end),
        cmocka_unit_test_setup_teardown(test_damage_in_any_byte_is_not_returned, begin, end),
        cmocka_unit_test_setup_teardown(test_a_small_cache_keeps_below_its_size, begin, end),
        cmocka_unit_test_setup_teardown(test_a_forgotten_object_is_overwritten, begin, end),
        cmocka_unit_test_setup_teardown(test_a_removed_file_is_made_again, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
