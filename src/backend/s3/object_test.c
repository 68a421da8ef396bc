/*
 * object_test.c - locations and names of objects, and the removal of files at the right time.
 * s3_test.c tests them with crashes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/s3/object.h"
#include "lib/test.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

static struct s3_object object;

static bool
place(const char *prefix, const char *tenant, int64_t arrival_ms)
{
    object = (struct s3_object){.file = FILE_CLOSED};
    return s3_object_place(&object, prefix, bytes_of_text(tenant), arrival_ms);
}

UNIT_TEST(test_a_directory_is_the_hour_of_arrival)
{
    assert_true(place("p/", "t", 1767243599999));
    assert_string_equal(object.dir, "p/2026/01/01/04/");
    assert_true(place("p/", "t", 1767243600000));
    assert_string_equal(object.dir, "p/2026/01/01/05/");
    assert_int_equal(object.hour_ms, 1767243600000);
    assert_true(place(NULL, "t", 0));
    assert_string_equal(object.dir, "1970/01/01/00/");
    assert_true(place("", "t", -1)); /* a clock before 1970 is accepted */
    assert_string_equal(object.dir, "1969/12/31/23/");
}

UNIT_TEST(test_a_tenant_is_one_level)
{
    assert_true(place("a/${tenant}/b-${tenant}/", "t.1", 0));
    assert_string_equal(object.dir, "a/t.1/b-t.1/1970/01/01/00/");
    static const char *const bad[] = {"", ".", "..", "a/b", "/", "a\x7f", "a\n"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(place("a/${tenant}/", bad[i], 0));
        assert_true(place("a/", bad[i], 0)); /* it is not part of the name there */
    }
}

UNIT_TEST(test_names_are_no_longer_than_a_key_may_be)
{
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

UNIT_TEST(test_an_object_from_the_store_is_named_by_fill_and_number)
{
    uint64_t fill = FILL_BIT | 3ULL << FILL_NUMBER_SHIFT;
    object.first = (struct s3_place){fill, 0};
    object.last = (struct s3_place){fill + 4095, 0};
    s3_object_name(&object, "0123456789abcdef", false, 2, ".gz");
    assert_string_equal(object.base, "0123456789abcdef-fill3-0-4095.ndjson.gz");
}

UNIT_TEST(test_an_object_of_repeated_records_has_another_name)
{
    object.first = (struct s3_place){880, 0};
    object.last = (struct s3_place){3952, 9};
    s3_object_name(&object, "0123456789abcdef", false, 0, ".gz");
    assert_string_equal(object.base, "0123456789abcdef-880-3952.9.ndjson.gz");
    s3_object_name(&object, "0123456789abcdef", true, 2, ".gz");
    assert_string_equal(object.base, "0123456789abcdef-880-3952-again2.ndjson.gz");
}

UNIT_TEST(test_places_are_ordered)
{
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

UNIT_TEST(test_files_go_when_that_is_durable)
{
    struct sim_env *sim;
    struct s3_store store;
    must(sim_env_new(1, &sim));
    struct env *env = sim_env_env(sim);
    must(env_mkdir(env, "d", NULL));
    must(s3_store_open(&store, env, NULL, "d", 0, false, NULL));
    make(&store);
    s3_store_let_go(&store, &object, true);
    assert_int_equal(count_files(env), 0);
    make(&store);
    must(s3_object_seal(&store, &object, NULL));
    s3_store_let_go(&store, &object, false);
    must(s3_store_saved(&store, NULL)); /* it was not true when it was saved */
    assert_int_equal(count_files(env), 1);
    s3_store_save(&store);
    make(&store);
    s3_store_let_go(&store, &object, false);
    must(s3_store_saved(&store, NULL));
    assert_int_equal(count_files(env), 1);
    for (unsigned i = 0; i < 2 * S3_STORE_GONE_MAX;
         i++) { /* more objects than the store remembers */
        make(&store);
        s3_store_let_go(&store, &object, false);
    }
    s3_store_save(&store);
    must(s3_store_saved(&store, NULL));
    assert_int_equal(count_files(env), S3_STORE_GONE_MAX + 1);
    must(s3_store_open(&store, env, NULL, "d", store.next - 1, false,
                       NULL)); /* the start keeps one */
    assert_int_equal(count_files(env), 1);
    must(s3_store_open(&store, env, NULL, "d", 0, false, NULL));
    assert_int_equal(count_files(env), 0);
    sim_env_free(sim);
}

/* --- checksums -------------------------------------------------------------------------------- */

enum { LARGE_BYTES = 2 * S3_PART_BYTES + 1000 };

struct rig {
    struct sim_env *sim;
    struct env *env;
    struct s3_store store;
    struct buf part;
    uint8_t *bytes; /* content of the object */
    size_t size;
};

static void
rig_init(struct rig *rig, size_t size)
{
    must(sim_env_new(1, &rig->sim));
    rig->env = sim_env_env(rig->sim);
    must(env_mkdir(rig->env, "d", NULL));
    must(s3_store_open(&rig->store, rig->env, NULL, "d", 0, false, NULL));
    buf_init(&rig->part, NULL, S3_PART_BYTES);
    rig->size = size;
    rig->bytes = malloc(size);
    assert_non_null(rig->bytes);
    for (size_t i = 0; i < size; i++)
        rig->bytes[i] = (uint8_t)(i * 2654435761u >> 24);
}

static void
rig_fini(struct rig *rig)
{
    s3_object_fini(&object);
    buf_fini(&rig->part);
    free(rig->bytes);
    sim_env_free(rig->sim);
}

/* Writes the content in pieces that do not end where blocks do. */
static void
make_sealed(struct rig *rig)
{
    enum { PIECE = 999983 };
    object = (struct s3_object){.file = FILE_CLOSED};
    must(s3_store_begin(&rig->store, &object, NULL));
    for (size_t at = 0; at < rig->size; at += PIECE) {
        size_t size = rig->size - at < PIECE ? rig->size - at : PIECE;
        must(s3_object_append(&rig->store, &object, bytes_of(rig->bytes + at, size), NULL));
    }
    must(s3_object_seal(&rig->store, &object, NULL));
}

/* Returns the object as it is saved. */
static struct s3_object
remembered(void)
{
    struct s3_object o = object;
    o.file = FILE_CLOSED;
    memset(&o.sums, 0, sizeof o.sums);
    return o;
}

static enum err
read_block(struct rig *rig, uint32_t block)
{
    struct why why = {""};
    uint8_t sum[MD5_BYTES], want[MD5_BYTES];
    enum err e = s3_object_read(&object, block, &rig->part, sum, &why);
    if (e) return e;
    size_t from = (size_t)block * S3_PART_BYTES;
    assert_true(from + rig->part.size <= rig->size);
    assert_memory_equal(rig->part.at, rig->bytes + from, rig->part.size);
    md5(buf_bytes(&rig->part), want);
    assert_memory_equal(sum, want, sizeof want);
    return OK;
}

static uint64_t
file_bytes(struct rig *rig, const char *path)
{
    struct file file;
    uint64_t size;
    must(file_open(rig->env, path, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_close(&file));
    return size;
}

UNIT_TEST(test_blocks_come_back_with_the_checksums_they_were_made_with)
{
    static const size_t sizes[] = {1, S3_PART_BYTES, S3_PART_BYTES + 1, LARGE_BYTES};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct rig rig;
        char digest[S3_DIGEST_BYTES];
        uint32_t blocks = (uint32_t)((sizes[i] + S3_PART_BYTES - 1) / S3_PART_BYTES);
        rig_init(&rig, sizes[i]);
        make_sealed(&rig);
        assert_int_equal(s3_object_blocks(&object), blocks);
        s3_object_print_digest(&object, digest);
        if (blocks == 1) assert_int_equal(strlen(digest), 32);
        if (blocks == 3) assert_string_equal(digest + 32, "-3");
        for (uint32_t block = 0; block < blocks; block++)
            must(read_block(&rig, block));
        /* The same holds at rest, and after a restart. */
        struct s3_object want = remembered();
        must(s3_object_examine(rig.env, NULL, object.file.path, &want, NULL));
        must(s3_object_examine(rig.env, NULL, object.file.path, NULL, NULL));
        file_close(&object.file);
        must(s3_store_adopt(&rig.store, &object, true, NULL));
        for (uint32_t block = 0; block < blocks; block++)
            must(read_block(&rig, block));
        rig_fini(&rig);
    }
}

UNIT_TEST(test_a_flipped_bit_anywhere_is_found_before_it_is_used)
{
    struct rig rig;
    rig_init(&rig, 500);
    make_sealed(&rig);
    uint64_t size = file_bytes(&rig, object.file.path);
    assert_int_equal(size, 500 + MD5_BYTES + 36);
    for (uint64_t at = 0; at < size; at++) {
        s3_object_fini(&object);
        must(s3_store_open(&rig.store, rig.env, NULL, "d", 0, false, NULL));
        make_sealed(&rig);
        must(sim_env_damage(rig.sim, object.file.path, at));
        /* It is found while the object is open, and after a restart. */
        bool found = read_block(&rig, 0) == ERR_CORRUPT;
        struct s3_object want = remembered();
        assert_int_equal(s3_object_examine(rig.env, NULL, object.file.path, &want, NULL),
                         ERR_CORRUPT);
        enum err alone = s3_object_examine(rig.env, NULL, object.file.path, NULL, NULL);
        assert_true(alone == ERR_CORRUPT || alone == ERR_MISSING);
        if (at < 500 + MD5_BYTES) assert_true(found);
        file_close(&object.file);
        enum err e = s3_store_adopt(&rig.store, &object, true, NULL);
        assert_true(e == OK || e == ERR_CORRUPT);
        found = e == ERR_CORRUPT || read_block(&rig, 0) == ERR_CORRUPT;
        if (!found) fail_msg("a bit at %d of %d", (int)at, (int)size);
    }
    rig_fini(&rig);
}

UNIT_TEST(test_damage_in_one_block_of_many_is_found_in_that)
{
    struct rig rig;
    rig_init(&rig, LARGE_BYTES);
    make_sealed(&rig);
    must(sim_env_damage(rig.sim, object.file.path, S3_PART_BYTES + 5));
    must(read_block(&rig, 0));
    assert_int_equal(read_block(&rig, 1), ERR_CORRUPT);
    must(read_block(&rig, 2));
    rig_fini(&rig);
}

/* The file is whole, but it is not the saved object: for example, from a partial restore. */
UNIT_TEST(test_a_file_of_another_object_is_not_taken_for_it)
{
    struct rig rig;
    rig_init(&rig, 500);
    make_sealed(&rig);
    struct s3_object meant = remembered();
    char path[256];
    memcpy(path, object.file.path, sizeof path);
    s3_object_fini(&object);
    rig.bytes[0] ^= 1;
    must(s3_store_open(&rig.store, rig.env, NULL, "d", 0, false, NULL));
    make_sealed(&rig);
    assert_string_equal(object.file.path, path);
    s3_object_fini(&object);
    assert_int_equal(s3_store_adopt(&rig.store, &meant, true, NULL), ERR_CORRUPT);
    rig_fini(&rig);
}

UNIT_TEST(test_a_file_of_before_there_were_checksums_gets_them)
{
    struct rig rig;
    struct file file;
    rig_init(&rig, LARGE_BYTES);
    make_sealed(&rig);
    struct s3_object old = remembered();
    memset(old.digest, 0, sizeof old.digest);
    char path[256];
    memcpy(path, object.file.path, sizeof path);
    s3_object_fini(&object);
    must(file_open(rig.env, path, FILE_UPDATE, &file, NULL));
    must(file_truncate(&file, LARGE_BYTES, NULL));
    must(file_close(&file));
    for (unsigned i = 0; i < 2; i++) { /* again, if that was not saved */
        object = old;
        must(s3_store_adopt(&rig.store, &object, false, NULL));
        for (uint32_t block = 0; block < 3; block++)
            must(read_block(&rig, block));
        file_close(&object.file);
    }
    must(s3_store_adopt(&rig.store, &object, true, NULL));
    file_close(&object.file);
    must(file_open(rig.env, path, FILE_UPDATE, &file, NULL));
    must(file_truncate(&file, LARGE_BYTES - 1, NULL));
    must(file_close(&file));
    assert_int_equal(s3_store_adopt(&rig.store, &old, false, NULL), ERR_CORRUPT);
    rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_directory_is_the_hour_of_arrival),
        cmocka_unit_test(test_a_tenant_is_one_level),
        cmocka_unit_test(test_names_are_no_longer_than_a_key_may_be),
        cmocka_unit_test(test_an_object_from_the_store_is_named_by_fill_and_number),
        cmocka_unit_test(test_an_object_of_repeated_records_has_another_name),
        cmocka_unit_test(test_places_are_ordered),
        cmocka_unit_test(test_files_go_when_that_is_durable),
        cmocka_unit_test(test_blocks_come_back_with_the_checksums_they_were_made_with),
        cmocka_unit_test(test_a_flipped_bit_anywhere_is_found_before_it_is_used),
        cmocka_unit_test(test_damage_in_one_block_of_many_is_found_in_that),
        cmocka_unit_test(test_a_file_of_another_object_is_not_taken_for_it),
        cmocka_unit_test(test_a_file_of_before_there_were_checksums_gets_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
