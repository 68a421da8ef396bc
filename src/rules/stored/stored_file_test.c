/* stored_file_test.c - stored groups come back as they were written, or not at all, with a power
 * loss at any time. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fields.h"
#include "lib/simulated_dir.h"
#include "rules/stored/stored_file.h"

static const struct stored_text some[] = {
    {VIEW("a"), VIEW("b"), VIEW("name: b\n")},
    {VIEW("a"), VIEW("b "), VIEW("")},
    {VIEW("a/b c"), VIEW("\xc3\xbc"), VIEW("name: \"\xc3\xbc\"\nrules:\n")},
};
enum { SOME = sizeof some / sizeof *some };

static void
encode(const char *tenant, const struct stored_text *groups, uint32_t count, struct buf *to)
{
    buf_init(to, NULL, STORED_FILE_BYTES_MAX);
    stored_begin(bytes_of_text(tenant), count, to);
    for (uint32_t i = 0; i < count; i++)
        stored_add(&groups[i], to);
    stored_end(to);
    must(buf_error(to));
}

static void
check_decoded(struct bytes file, const char *tenant, const struct stored_text *groups,
              uint32_t count)
{
    struct stored_texts found = {NULL};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    must(stored_decode(file, bytes_of_text(tenant), &arena, &found, NULL));
    assert_int_equal(found.count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(bytes_equal(found.items[i].namespace, groups[i].namespace));
        assert_true(bytes_equal(found.items[i].name, groups[i].name));
        assert_true(bytes_equal(found.items[i].text, groups[i].text));
    }
    arena_fini(&arena);
}

static void
check_refused(struct bytes file, enum err expected, const char *sentence)
{
    struct stored_texts found = {.count = 7};
    struct arena arena;
    struct why why = {""};
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(stored_decode(file, bytes_of_text("t"), &arena, &found, &why), expected);
    assert_string_equal(why.text, sentence);
    assert_int_equal(found.count, 7);
    arena_fini(&arena);
}

/* --- the format ------------------------------------------------------------------------------- */

UNIT_TEST(test_groups_come_back_as_they_were)
{
    for (uint32_t count = 0; count <= SOME; count++) {
        struct buf file;
        encode("t", some, count, &file);
        check_decoded(buf_bytes(&file), "t", some, count);
        buf_fini(&file);
    }
}

/* The documented bytes, which earlier versions have written. */
UNIT_TEST(test_the_format_is_that_of_its_page)
{
    static const char expected[] =
        "FKRULES\0\1\0\0\0\1\0\0\0\x14\0\0\0....\1t\2\1n\1g\3abc\1n\1h\4defg";
    struct stored_text groups[] = {{TEXT("n"), TEXT("g"), TEXT("abc")},
                                   {TEXT("n"), TEXT("h"), TEXT("defg")}};
    struct buf file;
    encode("t", groups, 2, &file);
    assert_int_equal(file.size, sizeof expected - 1);
    assert_memory_equal(file.at, expected, 20);
    assert_memory_equal(file.at + 24, expected + 24, file.size - 24);
    buf_fini(&file);
}

UNIT_TEST(test_any_damaged_byte_is_noticed)
{
    struct buf file;
    encode("t", some, SOME, &file);
    for (size_t i = 0; i < file.size; i++) {
        file.at[i] ^= 1;
        check_refused(buf_bytes(&file), ERR_CORRUPT,
                      "the file is damaged: its header or its checksum is wrong");
        file.at[i] ^= 1;
        check_refused(bytes_of(file.at, i), ERR_CORRUPT,
                      "the file is damaged: its header or its checksum is wrong");
    }
    buf_fini(&file);
}

UNIT_TEST(test_a_malformed_file_is_refused)
{
    static const char sentence[] = "the file is damaged: its content is inconsistent";
    static char long_name[STORED_NAME_BYTES_MAX + 1];
    memset(long_name, 'x', sizeof long_name);
    struct stored_text wrong[][2] = {
        {some[0], some[0]},
        {some[1], some[0]},
        {some[2], some[0]},
        {{TEXT(""), TEXT("b"), TEXT("")}, some[2]},
        {{TEXT("a"), TEXT(""), TEXT("")}, some[2]},
        {{TEXT("a\0b"), TEXT("b"), TEXT("")}, some[2]},
        {{TEXT("a"), TEXT("\xff"), TEXT("")}, some[2]},
        {{TEXT("a"), bytes_of(long_name, sizeof long_name), TEXT("")}, some[2]},
    };
    struct buf file;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        encode("t", wrong[i], 2, &file);
        check_refused(buf_bytes(&file), ERR_CORRUPT, sentence);
        buf_fini(&file);
    }
    encode("u", some, SOME, &file); /* the file of another tenant */
    check_refused(buf_bytes(&file), ERR_CORRUPT, sentence);
    buf_fini(&file);
    for (unsigned more = 0; more < 2; more++) { /* fewer or more groups than announced */
        buf_init(&file, NULL, 1 << 20);
        stored_begin(bytes_of_text("t"), more == 0 ? UINT32_MAX : 0, &file);
        stored_add(&some[0], &file);
        stored_end(&file);
        check_refused(buf_bytes(&file), ERR_CORRUPT, sentence);
        buf_fini(&file);
    }
}

UNIT_TEST(test_a_newer_version_is_distinguished_from_damage)
{
    struct buf file;
    encode("t", some, SOME, &file);
    static const uint8_t magic[8] = {'F', 'K', 'R', 'U', 'L', 'E', 'S', 0};
    framed_end(&file, magic, 2);
    check_refused(buf_bytes(&file), ERR_UNSUPPORTED,
                  "version 2 of the file is newer than version 1, which this program reads; use a "
                  "newer Firekeep");
    buf_fini(&file);
}

UNIT_TEST(test_names_have_limits)
{
    static char name[STORED_NAME_BYTES_MAX + 1];
    struct why why;
    memset(name, 'x', sizeof name);
    must(stored_name_check(bytes_of(name, STORED_NAME_BYTES_MAX), "namespace", &why));
    must(stored_name_check(TEXT("a/b \n\xc3\xbc"), "namespace", &why));
    assert_int_equal(stored_name_check(bytes_of(name, sizeof name), "namespace", &why), ERR_INPUT);
    assert_int_equal(stored_name_check(TEXT(""), "namespace", &why), ERR_INPUT);
    assert_string_equal(why.text, "expected a namespace of 1 to 512 bytes of UTF-8, got ''");
    assert_int_equal(stored_name_check(TEXT("\xff"), "group name", &why), ERR_INPUT);
    assert_string_equal(why.text, "expected a group name of 1 to 512 bytes of UTF-8, got '\\xff'");
}

/* --- files ------------------------------------------------------------------------------------ */

static enum err
write_some(struct simulated_dir *rig, const char *tenant, uint32_t count, struct why *why)
{
    struct buf file;
    encode(tenant, some, count, &file);
    enum err e = stored_write(rig->env, "d", tenant, buf_bytes(&file), why);
    buf_fini(&file);
    return e;
}

/* Returns the number of a tenant's groups; UINT32_MAX if the file is missing. */
static uint32_t
count_of(struct simulated_dir *rig, const char *tenant)
{
    struct stored_texts found = {NULL};
    struct arena arena;
    struct buf file;
    arena_init(&arena, NULL, 0, 0);
    buf_init(&file, NULL, STORED_FILE_BYTES_MAX);
    enum err e = stored_read(rig->env, "d", tenant, &file, NULL);
    if (e == OK) {
        must(stored_decode(buf_bytes(&file), bytes_of_text(tenant), &arena, &found, NULL));
        check_decoded(buf_bytes(&file), tenant, some, found.count);
    } else {
        assert_int_equal(e, ERR_MISSING);
        found.count = UINT32_MAX;
    }
    buf_fini(&file);
    arena_fini(&arena);
    return found.count;
}

/* Replaces or removes the file with a fault. Returns false if the fault did not fire. */
static bool
replace_with_fault(struct fault fault, bool removes)
{
    struct simulated_dir rig;
    struct why why = {""};
    simulated_dir_init(&rig, fault.nth);
    must(write_some(&rig, "t", 1, NULL));
    fault_env_arm(rig.fe, fault);
    enum err e = removes ? stored_remove(rig.env, "d", "t", &why) : write_some(&rig, "t", 2, &why);
    bool fired = fault_env_fired(rig.fe);
    fault_env_disarm(rig.fe);
    if (e) assert_string_not_equal(why.text, "");
    sim_env_power_loss(rig.sim);
    uint32_t count = count_of(&rig, "t"), then = removes ? UINT32_MAX : 2;
    assert_true(count == then || (e != OK && count == 1));
    simulated_dir_fini(&rig);
    return fired;
}

UNIT_TEST(test_after_a_failed_call_and_power_loss_the_file_is_old_or_new)
{
    for (unsigned kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (kind == FAULT_THREAD) continue;
        for (unsigned way = 0; way < 4; way++) {
            unsigned nth = 1;
            while (replace_with_fault((struct fault){(enum fault_kind)kind, nth, way % 2 == 0},
                                      way < 2))
                assert_true(nth++ < 100);
        }
    }
}

UNIT_TEST(test_a_full_disk_changes_nothing)
{
    struct simulated_dir rig;
    struct why why = {""};
    simulated_dir_init(&rig, 1);
    must(write_some(&rig, "t", 1, NULL));
    sim_env_set_capacity(rig.sim, sim_env_used_bytes(rig.sim));
    assert_int_equal(write_some(&rig, "t", 2, &why), ERR_FULL);
    assert_int_equal(count_of(&rig, "t"), 1);
    sim_env_power_loss(rig.sim);
    assert_int_equal(count_of(&rig, "t"), 1);
    sim_env_set_capacity(rig.sim, 1 << 20);
    must(write_some(&rig, "t", 2, &why));
    assert_int_equal(count_of(&rig, "t"), 2);
    simulated_dir_fini(&rig);
}

UNIT_TEST(test_damaged_files_are_set_aside_and_none_is_lost)
{
    struct simulated_dir rig;
    char path[FILE_PATH_BYTES], again[FILE_PATH_BYTES];
    simulated_dir_init(&rig, 1);
    must(env_write_whole(rig.env, "d", "t.groups", TEXT("damaged"), NULL));
    must(stored_set_aside(rig.env, "d", "t", path, NULL));
    assert_string_equal(path, "d/t.groups.damaged");
    must(stored_set_aside(rig.env, "d", "t", again, NULL)); /* there is nothing to set aside */
    assert_string_equal(again, path);
    must(write_some(&rig, "t", 1, NULL));
    sim_env_power_loss(rig.sim);
    struct buf file;
    buf_init(&file, NULL, 100);
    must(env_read_whole(rig.env, path, &file, NULL));
    assert_true(bytes_equal_text(buf_bytes(&file), "damaged"));
    assert_int_equal(count_of(&rig, "t"), 1);
    must(stored_set_aside(rig.env, "d", "t", again, NULL)); /* another one */
    assert_string_equal(again, "d/t.groups.damaged.2");
    must(write_some(&rig, "t", 2, NULL));
    assert_int_equal(count_of(&rig, "t"), 2);
    for (unsigned i = 3; i <= 100; i++) {
        must(stored_set_aside(rig.env, "d", "t", again, NULL));
        must(write_some(&rig, "t", 2, NULL));
    }
    struct why why = {""};
    assert_int_equal(stored_set_aside(rig.env, "d", "t", again, &why), ERR_LIMIT);
    assert_string_equal(why.text, "d/t.groups: 100 damaged files were set aside before");
    assert_int_equal(stored_set_aside(rig.env, "d", "none", again, &why), ERR_MISSING);
    buf_fini(&file);
    simulated_dir_fini(&rig);
}

/* After any failure, the old file exists under one of its names. */
UNIT_TEST(test_setting_aside_keeps_the_file_through_failures_and_power_loss)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct simulated_dir rig;
        char path[FILE_PATH_BYTES];
        simulated_dir_init(&rig, nth);
        must(env_write_whole(rig.env, "d", "t.groups", TEXT("damaged"), NULL));
        fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, nth % 2 == 0});
        enum err e = stored_set_aside(rig.env, "d", "t", path, NULL);
        if (e == OK) e = write_some(&rig, "t", 1, NULL);
        fired = fault_env_fired(rig.fe);
        fault_env_disarm(rig.fe);
        sim_env_power_loss(rig.sim);
        unsigned found = 0;
        static const char *const names[] = {"d/t.groups", "d/t.groups.damaged"};
        for (unsigned i = 0; i < 2; i++) {
            struct buf file;
            buf_init(&file, NULL, 1000);
            if (env_read_whole(rig.env, names[i], &file, NULL) == OK)
                found += bytes_equal_text(buf_bytes(&file), "damaged");
            buf_fini(&file);
        }
        assert_true(found > 0);
        if (e == OK) assert_int_equal(count_of(&rig, "t"), 1);
        simulated_dir_fini(&rig);
        assert_true(nth < 100);
    }
}

static enum err
note_tenant(void *context, const char *tenant)
{
    char *list = context;
    assert_true(strlen(list) + strlen(tenant) < 400);
    strcat(list, tenant);
    strcat(list, " ");
    return strcmp(tenant, "stop") == 0 ? ERR_CANCELED : OK;
}

UNIT_TEST(test_tenants_are_those_whose_file_has_its_name)
{
    static const char *const others[] = {
        "t.groups.tmp", "t.groups.damaged", ".groups", "a b.groups", "...groups", "t", "t.group"};
    struct simulated_dir rig;
    char list[500] = "";
    simulated_dir_init(&rig, 1);
    must(stored_each(rig.env, "d", note_tenant, list, NULL));
    assert_string_equal(list, "");
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        must(env_write_whole(rig.env, "d", others[i], TEXT("x"), NULL));
    must(write_some(&rig, "u.groups", 1, NULL));
    must(stored_each(rig.env, "d", note_tenant, list, NULL));
    assert_string_equal(list, "u.groups ");
    /* A directory is listed like a file: its tenant is not reported as one without groups. */
    must(env_mkdir(rig.env, "d/dir.groups", NULL));
    list[0] = '\0';
    must(stored_each(rig.env, "d", note_tenant, list, NULL));
    assert_non_null(strstr(list, "dir "));
    must(env_rmdir(rig.env, "d/dir.groups", NULL));
    must(write_some(&rig, "t!-_.*'()", 1, NULL));
    list[0] = '\0';
    must(stored_each(rig.env, "d", note_tenant, list, NULL));
    assert_true(strcmp(list, "u.groups t!-_.*'() ") == 0 ||
                strcmp(list, "t!-_.*'() u.groups ") == 0);
    must(write_some(&rig, "stop", 1, NULL));
    assert_int_equal(stored_each(rig.env, "d", note_tenant, list, NULL), ERR_CANCELED);
    assert_int_equal(stored_each(rig.env, "none", note_tenant, list, NULL), ERR_MISSING);
    simulated_dir_fini(&rig);
}

UNIT_TEST(test_a_file_that_is_too_large_is_damaged)
{
    struct simulated_dir rig;
    struct buf to;
    struct why why = {""};
    simulated_dir_init(&rig, 1);
    must(env_write_whole(rig.env, "d", "t.groups", TEXT("123456"), NULL));
    buf_init(&to, NULL, 5);
    assert_int_equal(stored_read(rig.env, "d", "t", &to, &why), ERR_CORRUPT);
    assert_string_equal(why.text, "the file is damaged: it is larger than 64 MiB");
    buf_fini(&to);
    simulated_dir_fini(&rig);
}

UNIT_TEST(test_refused_allocations_are_reported)
{
    struct buf file;
    encode("t", some, SOME, &file);
    for (unsigned nth = 1;; nth++) {
        struct stored_texts found = {NULL};
        struct arena arena;
        struct why why = {""};
        arena_init(&arena, NULL, 0, 64);
        mem_fail_nth(nth, false);
        enum err e = stored_decode(buf_bytes(&file), bytes_of_text("t"), &arena, &found, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        arena_fini(&arena);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (!fired) break;
        assert_string_equal(why.text, "not enough memory for rules");
    }
    buf_fini(&file);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_come_back_as_they_were),
        cmocka_unit_test(test_the_format_is_that_of_its_page),
        cmocka_unit_test(test_any_damaged_byte_is_noticed),
        cmocka_unit_test(test_a_malformed_file_is_refused),
        cmocka_unit_test(test_a_newer_version_is_distinguished_from_damage),
        cmocka_unit_test(test_names_have_limits),
        cmocka_unit_test(test_after_a_failed_call_and_power_loss_the_file_is_old_or_new),
        cmocka_unit_test(test_a_full_disk_changes_nothing),
        cmocka_unit_test(test_damaged_files_are_set_aside_and_none_is_lost),
        cmocka_unit_test(test_setting_aside_keeps_the_file_through_failures_and_power_loss),
        cmocka_unit_test(test_tenants_are_those_whose_file_has_its_name),
        cmocka_unit_test(test_a_file_that_is_too_large_is_damaged),
        cmocka_unit_test(test_refused_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
