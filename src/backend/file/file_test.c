/* file_test.c - messages of type `file` about its directory, before anything is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/writer.h"
#include "lib/backend/writer_rig.h"
#include "lib/test.h"

static char dir[64];

static int
begin(void **state)
{
    char path[80];
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/firekeep-file-XXXXXX");
    if (mkdtemp(dir) == NULL) return 1;
    snprintf(path, sizeof path, "%s/plain", dir);
    FILE *plain = fopen(path, "w");
    return plain != NULL && fclose(plain) == 0 ? 0 : 1;
}

static int
end(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), dir, NULL) == OK ? 0 : 1;
}

static struct writer_step
check(const char *below)
{
    char path[160], what[WRITER_ANSWER_BYTES];
    struct writer_step step = {.next = WRITER_SEND};
    struct writer *writer;
    snprintf(path, sizeof path, "%s%s", dir, below);
    struct destination_settings settings = {.name = "test", .u.file = {.path = path}};
    struct writer_options options = {
        .env = env_real(), .settings = &settings, .dir = "", .instance = "00"};
    assert_int_equal(writer_new(&file_writer, &options, &writer, NULL), OK);
    assert_true(file_writer.check(writer, 0, NULL, &step, what));
    assert_non_null(strstr(what, path));
    assert_int_equal(step.next, WRITER_DONE);
    assert_false(file_writer.check(writer, 1, NULL, &(struct writer_step){0}, what));
    writer_free(&file_writer, writer);
    return step;
}

UNIT_TEST(test_a_directory_is_there_or_can_be_made_and_is_not_made)
{
    char path[80];
    struct writer_step step = check("");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_non_null(strstr(step.answer, "exists"));
    step = check("/some/where");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_non_null(strstr(step.answer, "will be created in /tmp/firekeep-file-"));
    step = check("/${tenant}/x");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    snprintf(path, sizeof path, "%s/some", dir);
    assert_int_not_equal(access(path, F_OK), 0);
}

UNIT_TEST(test_a_directory_below_a_file_blocks_the_writer)
{
    struct writer_step step = check("/plain/below");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "directory");
}

/* --- files ------------------------------------------------------------------------------------ */

static enum err
note_name(void *context, const char *name, bool is_dir)
{
    assert_false(is_dir);
    if (strstr(name, ".tmp") == NULL) snprintf(context, 128, "%s", name);
    return OK;
}

/* Writes a sample to a file, finishes it, and appends the end of its name and its text. */
static void
write_one(enum file_format format, enum compression compression, struct buf *to)
{
    struct writer_rig rig;
    char name[128] = "", path[160];
    struct buf packed;
    struct file file;
    uint64_t size;
    rig_init(&rig, &file_writer);
    rig.settings.u.file = (struct file_settings){.path = "out",
                                                 .format = format,
                                                 .compression = compression,
                                                 .roll_bytes = 1 << 20,
                                                 .roll_age_ms = 60000};
    rig_open(&rig);
    struct env *env = sim_env_env(rig.sim);
    struct item item = rig_item(&rig, "__name__", "up", "a", "b", NULL);
    rig_must_add(&rig, &item);
    assert_int_equal(rig_begin(&rig).verdict, VERDICT_DELIVERED);
    assert_int_equal(file_writer.tend(rig.writer, true, &rig.why), OK);
    file_writer.save(rig.writer, &rig.saved);
    assert_int_equal(file_writer.saved(rig.writer, &rig.why), OK);
    assert_int_equal(env_listdir(env, "out", note_name, name, NULL), OK);
    snprintf(path, sizeof path, "out/%s", name);
    assert_int_equal(file_open(env, path, FILE_READ, &file, NULL), OK);
    assert_int_equal(file_size(&file, &size, NULL), OK);
    buf_init(&packed, NULL, 1 << 20);
    assert_true(buf_reserve(&packed, (size_t)size));
    assert_int_equal(file_read_at(&file, packed.at, (size_t)size, 0, NULL), OK);
    packed.size = (size_t)size;
    file_close(&file);
    buf_put_text(to, strchr(name, '.'));
    buf_put_text(to, ": ");
    buf_put_bytes(to, buf_bytes(&packed));
    buf_fini(&packed);
    rig_fini(&rig);
}

UNIT_TEST(test_files_of_each_format_have_a_beginning_and_an_end)
{
    static const struct {
        enum file_format format;
        const char *expected;
    } cases[] = {
        {FILE_NDJSON, ".ndjson: "
                      "{\"name\":\"up\",\"time\":1700000000000,\"value\":1,\"labels\":{\"__name__"
                      "\":\"up\",\"a\":\"b\"}}\n"},
        {FILE_CSV, ".csv: name,labels,time,value\nup,\"{a=\"\"b\"\"}\",1700000000000,1\n"},
        {FILE_OPENMETRICS, ".om: up{a=\"b\"} 1 1700000000\n# EOF\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text;
        buf_init(&text, NULL, 1 << 20);
        write_one(cases[i].format, COMPRESSION_NONE, &text);
        buf_put_u8(&text, 0);
        assert_string_equal((const char *)text.at, cases[i].expected);
        buf_fini(&text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_directory_is_there_or_can_be_made_and_is_not_made),
        cmocka_unit_test(test_a_directory_below_a_file_blocks_the_writer),
        cmocka_unit_test(test_files_of_each_format_have_a_beginning_and_an_end),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
