/* object_folder_test.c - objects in a directory: whole or not there, whatever fails, and listed in
 * the order of their keys. */
#include "lib/test.h"

#include <stdio.h>

#include "backend/archive/store.h"
#include "base/buf.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

struct rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct objects *objects;
    struct why why;
};

static void
rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    must(sim_env_new(1, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    rig->env = fault_env_env(rig->fe);
    must(env_mkdir(rig->env, "/bucket", &rig->why));
    must(env_syncdir(rig->env, "/", &rig->why));
    must(objects_folder(rig->env, NULL, "/bucket/", &rig->objects, &rig->why));
}

static void
rig_fini(struct rig *rig)
{
    rig->objects->ops->free(rig->objects);
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
}

static enum err
put(struct rig *rig, const char *key, const char *content, bool only_new, bool *ret_written)
{
    return rig->objects->ops->put(rig->objects, key, bytes_of_text(content), only_new, ret_written,
                                  &rig->why);
}

static enum err
append(void *context, struct bytes piece)
{
    buf_put_bytes(context, piece);
    return buf_error(context);
}

static enum err
get(struct rig *rig, const char *key, struct buf *to)
{
    buf_clear(to);
    enum err e = rig->objects->ops->get(rig->objects, key, append, to, &rig->why);
    buf_put_u8(to, '\0');
    return e;
}

static void
expect_object(struct rig *rig, const char *key, const char *content)
{
    struct buf got;
    struct object_facts facts;
    buf_init(&got, NULL, 1 << 20);
    must(get(rig, key, &got));
    assert_string_equal((const char *)got.at, content);
    must(rig->objects->ops->look(rig->objects, key, &facts, &rig->why));
    assert_int_equal(facts.size, strlen(content));
    buf_fini(&got);
}

UNIT_TEST(test_only_the_first_of_two_conditional_writes_counts)
{
    struct rig rig;
    bool written;
    rig_init(&rig);
    must(put(&rig, "catalog/1", "first", true, &written));
    assert_true(written);
    must(put(&rig, "catalog/1", "second", true, &written));
    assert_false(written);
    expect_object(&rig, "catalog/1", "first");
    must(put(&rig, "catalog/1", "third", false, &written));
    assert_true(written);
    expect_object(&rig, "catalog/1", "third");
    rig_fini(&rig);
}

static enum err
note_key(void *context, const struct object_listed *object)
{
    buf_printf(context, "%s %llu;", object->key, (unsigned long long)object->size);
    return buf_error(context);
}

static void
expect_list(struct rig *rig, const char *begin, const char *keys)
{
    struct buf list;
    buf_init(&list, NULL, 1 << 20);
    must(rig->objects->ops->list(rig->objects, begin, note_key, &list, &rig->why));
    buf_put_u8(&list, '\0');
    assert_string_equal((const char *)list.at, keys);
    buf_fini(&list);
}

UNIT_TEST(test_a_list_has_the_keys_that_begin_so_in_their_order)
{
    struct rig rig;
    rig_init(&rig);
    expect_list(&rig, "", "");
    must(put(&rig, "parts/b/2", "22", false, NULL));
    must(put(&rig, "parts/a/1", "1", false, NULL));
    must(put(&rig, "parts/a/10", "", false, NULL));
    must(put(&rig, "catalog/3", "333", false, NULL));
    expect_list(&rig, "", "catalog/3 3;parts/a/1 1;parts/a/10 0;parts/b/2 2;");
    expect_list(&rig, "parts/a/1", "parts/a/1 1;parts/a/10 0;");
    expect_list(&rig, "base/", "");
    must(rig.objects->ops->remove(rig.objects, "parts/a/1", &rig.why));
    must(rig.objects->ops->remove(rig.objects, "parts/a/1", &rig.why));
    expect_list(&rig, "parts/a/", "parts/a/10 0;");
    rig_fini(&rig);
}

UNIT_TEST(test_ranges_are_read_or_the_object_is_too_short)
{
    struct rig rig;
    uint8_t a[3], b[2];
    struct object_range ranges[] = {{"x", 1, 3, a}, {"x", 5, 2, b}};
    rig_init(&rig);
    must(put(&rig, "x", "0123456", false, NULL));
    must(rig.objects->ops->read(rig.objects, ranges, 2, NULL, &rig.why));
    assert_memory_equal(a, "123", 3);
    assert_memory_equal(b, "56", 2);
    ranges[1].offset = 6;
    assert_int_equal(rig.objects->ops->read(rig.objects, ranges, 2, NULL, &rig.why), ERR_CORRUPT);
    ranges[0].key = "y";
    assert_int_equal(rig.objects->ops->read(rig.objects, ranges, 1, NULL, &rig.why), ERR_MISSING);
    rig_fini(&rig);
}

static enum err
refuse_each(void *context, const struct object_listed *object)
{
    (void)context;
    (void)object;
    return ERR_INPUT;
}

UNIT_TEST(test_a_directory_that_is_missing_is_not_made)
{
    struct rig rig;
    struct object_facts facts;
    struct file_facts of_file;
    rig_init(&rig);
    must(put(&rig, "a/1", "content", true, NULL));
    must(env_rename(rig.env, "/bucket", "/other", &rig.why));
    assert_int_equal(rig.objects->ops->look(rig.objects, "a/1", &facts, &rig.why), ERR_AGAIN);
    assert_string_equal(rig.why.text, "the directory /bucket is missing; is it mounted?");
    assert_int_equal(put(&rig, "a/1", "content", true, NULL), ERR_AGAIN);
    assert_int_equal(put(&rig, "b/2", "content", false, NULL), ERR_AGAIN);
    assert_int_equal(rig.objects->ops->list(rig.objects, "a/", refuse_each, NULL, &rig.why),
                     ERR_AGAIN);
    assert_int_equal(env_facts(rig.env, "/bucket", &of_file, NULL), ERR_MISSING);
    must(env_rename(rig.env, "/other", "/bucket", &rig.why));
    expect_object(&rig, "a/1", "content");
    rig_fini(&rig);
}

UNIT_TEST(test_a_file_becomes_an_object)
{
    struct rig rig;
    struct file file;
    struct object_facts facts;
    struct object_digest digest;
    rig_init(&rig);
    must(file_open(rig.env, "/file", FILE_CREATE, &file, &rig.why));
    must(file_write_at(&file, bytes_of_text("content, and more"), 0, &rig.why));
    must(rig.objects->ops->put_file(rig.objects, "x", &file, 7, &digest, &rig.why));
    must(objects_look(rig.objects, "x", false, &facts, &rig.why));
    assert_memory_equal(&facts.digest, &digest, sizeof digest);
    expect_object(&rig, "x", "content");
    must(file_close(&file));
    rig_fini(&rig);
}

UNIT_TEST(test_a_failed_write_leaves_all_of_an_object_or_none)
{
    for (unsigned kind = 0; kind < FAULT_THREAD; kind++) {
        bool failed = true;
        for (uint64_t at = 1; failed; at++) {
            struct rig rig;
            struct buf got;
            rig_init(&rig);
            buf_init(&got, NULL, 1 << 20);
            fault_env_arm(rig.fe, (struct fault){(enum fault_kind)kind, at, false});
            enum err e = put(&rig, "catalog/1", "content", true, NULL);
            failed = fault_env_fired(rig.fe);
            fault_env_disarm(rig.fe);
            sim_env_power_loss(rig.sim);
            enum err is = get(&rig, "catalog/1", &got);
            if (e == OK) must(is);
            if (is == OK)
                assert_string_equal((const char *)got.at, "content");
            else
                assert_int_equal(is, ERR_MISSING);
            buf_fini(&got);
            rig_fini(&rig);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_first_of_two_conditional_writes_counts),
        cmocka_unit_test(test_a_list_has_the_keys_that_begin_so_in_their_order),
        cmocka_unit_test(test_ranges_are_read_or_the_object_is_too_short),
        cmocka_unit_test(test_a_directory_that_is_missing_is_not_made),
        cmocka_unit_test(test_a_file_becomes_an_object),
        cmocka_unit_test(test_a_failed_write_leaves_all_of_an_object_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
