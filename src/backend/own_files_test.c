/*
 * own_files_test.c - checks of the files that a destination of type `s3` keeps on disk: each
 * changed byte is found, and distinguished from files that were only begun or belong to no
 * destination.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/s3/object.h"
#include "backend/writer.h"
#include "lib/test.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

struct rig {
    struct sim_env *sim;
    struct env *env;
    struct s3_store store;
    struct s3_object object;
    struct buf saved;
    unsigned said[3]; /* counts by verdict */
    char last[512];
    struct why why;
};

static void
note(void *context, enum own_file_verdict verdict, const char *text)
{
    struct rig *rig = context;
    rig->said[verdict]++;
    snprintf(rig->last, sizeof rig->last, "%s", text);
}

/* Checks a directory; returns the number of its files. */
static uint64_t
look(struct rig *rig, const char *name)
{
    uint64_t files;
    struct own_files_options options = {
        .env = rig->env,
        .dir = "d",
        .saved = buf_bytes(&rig->saved),
        .has_saved = true,
        .say = note,
        .context = rig,
    };
    memset(rig->said, 0, sizeof rig->said);
    rig->last[0] = '\0';
    must(own_files_examine(&options, name, true, &files, &rig->why));
    return files;
}

static void
check_finding(const struct rig *rig, enum own_file_verdict verdict, const char *text)
{
    for (unsigned i = 0; i < 3; i++)
        if (rig->said[i] != (i == verdict)) fail_msg("verdict %u: %s", i, rig->last);
    if (strstr(rig->last, text) == NULL) fail_msg("%s", rig->last);
}

static void
check_silent(const struct rig *rig)
{
    if (rig->last[0] != '\0') fail_msg("%s", rig->last);
}

/* Makes a sealed object that waits for its upload. */
static void
rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    must(sim_env_new(1, &rig->sim));
    rig->env = sim_env_env(rig->sim);
    buf_init(&rig->saved, NULL, 4096);
    must(env_mkdir(rig->env, "d", NULL));
    must(s3_store_open(&rig->store, rig->env, NULL, "d", 0, false, &rig->why));
    rig->object = (struct s3_object){.file = FILE_CLOSED};
    assert_true(s3_object_place(&rig->object, "m/", bytes_of_text("anonymous"), 1767225600000));
    must(s3_store_begin(&rig->store, &rig->object, &rig->why));
    must(s3_object_append(&rig->store, &rig->object, bytes_of_text("some lines of samples"),
                          &rig->why));
    must(s3_object_seal(&rig->store, &rig->object, &rig->why));
    rig->object.first = rig->object.last = (struct s3_place){700, 3};
    s3_object_name(&rig->object, "00112233", true, 0, "");
    struct s3_saved saved = {.seal_count = 1, .has_digest = true};
    s3_saved_put(&saved, &rig->object, &rig->saved);
    must(buf_error(&rig->saved));
}

static void
rig_fini(struct rig *rig)
{
    s3_object_fini(&rig->object);
    buf_fini(&rig->saved);
    sim_env_free(rig->sim);
}

static void
object_path(const struct rig *rig, char to[64])
{
    snprintf(to, 64, "d/objects/%010llu", (unsigned long long)rig->object.number);
}

static void
put(struct rig *rig, const char *path, struct bytes content)
{
    struct file file;
    must(file_open(rig->env, path, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, content, 0, NULL));
    must(file_close(&file));
}

static struct bytes
get(struct rig *rig, const char *path, uint8_t *to, size_t room)
{
    struct file file;
    size_t size;
    must(file_open(rig->env, path, FILE_READ, &file, NULL));
    must(file_read_some(&file, to, room, 0, &size, NULL));
    must(file_close(&file));
    return bytes_of(to, size);
}

UNIT_TEST(test_each_changed_byte_of_an_object_is_found)
{
    struct rig rig;
    char path[64];
    uint8_t content[512];
    rig_init(&rig);
    object_path(&rig, path);
    struct bytes whole = get(&rig, path, content, sizeof content);
    assert_int_equal(look(&rig, "objects"), 1);
    check_silent(&rig);
    for (size_t at = 0; at < whole.size; at++) {
        content[at] ^= 0x10;
        put(&rig, path, whole);
        look(&rig, "objects");
        check_finding(&rig, OWN_FILE_DAMAGED, path);
        content[at] ^= 0x10;
        put(&rig, path, bytes_of(content, at));
        look(&rig, "objects");
        check_finding(&rig, OWN_FILE_DAMAGED, path);
    }
    must(env_unlink(rig.env, path, NULL));
    assert_int_equal(look(&rig, "objects"), 0);
    check_finding(&rig, OWN_FILE_DAMAGED, "is missing; the object is rebuilt");
    rig_fini(&rig);
}

UNIT_TEST(test_undamaged_objects_without_a_destination_are_harmless)
{
    struct rig rig;
    char path[64];
    uint8_t content[512];
    rig_init(&rig);
    object_path(&rig, path);
    struct bytes whole = get(&rig, path, content, sizeof content);
    put(&rig, "d/objects/0000000009", whole);
    assert_int_equal(look(&rig, "objects"), 2);
    check_silent(&rig);
    content[3] ^= 1;
    put(&rig, "d/objects/0000000009", whole);
    look(&rig, "objects");
    check_finding(&rig, OWN_FILE_DAMAGED, "d/objects/0000000009");
    put(&rig, "d/objects/0000000009", bytes_of(content, 10));
    look(&rig, "objects");
    check_finding(&rig, OWN_FILE_HARMLESS, "d/objects/0000000009: unfinished object, harmless");
    must(env_unlink(rig.env, "d/objects/0000000009", NULL));
    put(&rig, "d/objects/x", bytes_of_text("x"));
    look(&rig, "objects");
    check_finding(&rig, OWN_FILE_UNKNOWN, "d/objects/x: unknown");
    rig_fini(&rig);
}

static enum err
note_name(void *context, const char *name, bool is_dir)
{
    assert_false(is_dir);
    snprintf(context, 128, "d/index/%s", name);
    return OK;
}

UNIT_TEST(test_each_changed_byte_of_an_index_is_found)
{
    struct rig rig;
    struct s3_index index;
    struct buf text;
    uint8_t content[4096];
    char path[128];
    rig_init(&rig);
    must(env_mkdir(rig.env, "d/index", NULL));
    s3_index_init(&index, NULL);
    buf_init(&text, NULL, S3_INDEX_BYTES_MAX);
    s3_index_begin(&index, "00112233", "m/2026/01/01/00/", 1767225600000);
    s3_index_print(&index, &text);
    must(s3_index_store(&index, rig.env, "d/index", buf_bytes(&text), &rig.why));
    must(env_listdir(rig.env, "d/index", note_name, path, NULL));
    struct bytes whole = get(&rig, path, content, sizeof content);
    assert_int_equal(look(&rig, "index"), 1);
    check_silent(&rig);
    for (size_t at = 0; at < whole.size; at++) {
        content[at] ^= 0x04;
        put(&rig, path, whole);
        look(&rig, "index");
        check_finding(&rig, OWN_FILE_DAMAGED, path);
        content[at] ^= 0x04;
    }
    put(&rig, path, whole);
    put(&rig, "d/index/2026.json.tmp", bytes_of_text("x"));
    assert_int_equal(look(&rig, "index"), 2);
    check_finding(&rig, OWN_FILE_HARMLESS,
                  "2026.json.tmp: unfinished file of an interrupted write, harmless");
    must(env_unlink(rig.env, "d/index/2026.json.tmp", NULL));
    must(env_mkdir(rig.env, "d/index/x", NULL));
    look(&rig, "index");
    check_finding(&rig, OWN_FILE_UNKNOWN, "d/index/x: unknown");
    buf_fini(&text);
    s3_index_fini(&index);
    rig_fini(&rig);
}

UNIT_TEST(test_an_unknown_entry_is_reported_as_unknown)
{
    struct rig rig;
    rig_init(&rig);
    look(&rig, "something");
    check_finding(&rig, OWN_FILE_UNKNOWN, "d/something: unknown");
    rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_changed_byte_of_an_object_is_found),
        cmocka_unit_test(test_undamaged_objects_without_a_destination_are_harmless),
        cmocka_unit_test(test_each_changed_byte_of_an_index_is_found),
        cmocka_unit_test(test_an_unknown_entry_is_reported_as_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
