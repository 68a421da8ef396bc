/* backup_test.c - backups of storage directories on a machine that fails and loses its power. */
#include "lib/test.h"

#include <stdio.h>
#include <string.h>

#include "backend/archive/store.h"
#include "backup/backup.h"
#include "backup/repository.h"
#include "base/text/hex.h"
#include "model/storage_layout.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

static const char FIRST[] = "20260101T000000.000Z", SECOND[] = "20260102T000000.000Z";
enum { LARGE_BYTES = (2 << 20) + 17 };

struct rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct budget memory;
    struct objects *objects; /* of the repository */
    struct backup_repository repository;
    struct backup_report report;
    struct why why;
};

static struct rig rig;

static int
setup(void **state)
{
    (void)state;
    must(sim_env_new(1, &rig.sim));
    must(fault_env_new(sim_env_env(rig.sim), &rig.fe));
    rig.env = fault_env_env(rig.fe);
    budget_init(&rig.memory, "test", 64 << 20, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    if (rig.objects != NULL) rig.objects->ops->free(rig.objects);
    rig.objects = NULL;
    assert_int_equal(budget_used(&rig.memory), 0);
    fault_env_free(rig.fe);
    sim_env_free(rig.sim);
    return 0;
}

/* --- a storage directory ---------------------------------------------------------------------- */

static void
put_file(const char *path, const void *content, size_t size)
{
    struct file file;
    must(file_open(rig.env, path, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, bytes_of(content, size), 0, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
}

static void
put_text(const char *path, const char *text)
{
    put_file(path, text, strlen(text));
}

static void
make_store(void)
{
    static const char *const dirs[] = {"/db",       "/db/parts",           "/db/parts/1",
                                       "/db/rules", "/db/snapshots",       "/db/snapshots/s",
                                       "/db/relay", "/db/relay/elsewhere", "/"};
    static uint8_t large[LARGE_BYTES];
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs - 1; i++)
        must(env_mkdir(rig.env, dirs[i], NULL));
    for (size_t i = 0; i < sizeof large && large[LARGE_BYTES - 1] == 0; i++) /* filled once */
        large[i] = i >> 20 == 1 ? 0 : (uint8_t)(i * i >> 7); /* a megabyte of zeros */
    put_text("/db/FORMAT", "format");
    put_text("/db/LOCK", "lock");
    put_text("/db/MANIFEST", "manifest");
    put_text("/db/rules/state", "");
    put_text("/db/rules/state.tmp", "unfinished");
    put_text("/db/snapshots/s/FORMAT", "format");
    put_text("/db/relay/elsewhere/state", "cursor");
    put_file("/db/parts/1/part", large, sizeof large);
    put_text("/db/parts/1/meta.json", "{}");
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        must(env_syncdir(rig.env, dirs[i], NULL));
}

static void
add_part(void)
{
    must(env_mkdir(rig.env, "/db/parts/2", NULL));
    put_text("/db/parts/2/part", "another part");
    put_text("/db/parts/2/meta.json", "{}");
    put_text("/db/MANIFEST", "another manifest");
    must(env_syncdir(rig.env, "/db/parts/2", NULL));
    must(env_syncdir(rig.env, "/db/parts", NULL));
}

/* --- the repository --------------------------------------------------------------------------- */

static enum err
open_place(struct backup_repository *repository, enum backup_use use)
{
    if (rig.objects == NULL) must(objects_folder(rig.env, NULL, "/b", &rig.objects, &rig.why));
    const struct backup_place place = {
        .env = rig.env, .objects = rig.objects, .dir = "/b", .shown = "/b"};
    *repository = (struct backup_repository){.env = rig.env, .memory = &rig.memory};
    return backup_open(repository, &place, use, &rig.why);
}

static enum err
open_for(enum backup_use use)
{
    return open_place(&rig.repository, use);
}

static enum err
back_up(const char *id)
{
    enum err e = open_for(BACKUP_MAKE);
    if (e == OK) e = backup_store(&rig.repository, "/db", id, 1, &rig.report, &rig.why);
    backup_close(&rig.repository);
    return e;
}

static void
found_nothing(void *context, const char *sentence)
{
    (void)context;
    (void)sentence;
}

static enum err
verify(const char *id, uint64_t *ret_wrong)
{
    struct backup_verifier verifier = {.found = found_nothing};
    *ret_wrong = 0;
    enum err e = open_for(BACKUP_READ);
    if (e == OK)
        e = backup_verify(&rig.repository, id, 1, &verifier, &rig.report, ret_wrong, &rig.why);
    backup_verifier_fini(&verifier, &rig.memory);
    backup_close(&rig.repository);
    return e;
}

static enum err
restore(const char *id, const char *to)
{
    enum err e = open_for(BACKUP_READ);
    if (e == OK) e = backup_restore(&rig.repository, id, to, 1, &rig.report, &rig.why);
    backup_close(&rig.repository);
    return e;
}

static void
prune_objects(struct backup_pruned *ret_pruned)
{
    must(open_for(BACKUP_CHANGE));
    must(backup_prune_objects(&rig.repository, ret_pruned, &rig.why));
    backup_close(&rig.repository);
}

static void
expect_same(const char *a, const char *b)
{
    struct buf x, y;
    buf_init(&x, NULL, 8 << 20);
    buf_init(&y, NULL, 8 << 20);
    must(env_read_whole(rig.env, a, &x, NULL));
    must(env_read_whole(rig.env, b, &y, NULL));
    assert_true(bytes_equal(buf_bytes(&x), buf_bytes(&y)));
    buf_fini(&x);
    buf_fini(&y);
}

static bool
exists(const char *path)
{
    struct file_facts facts;
    return env_facts(rig.env, path, &facts, NULL) == OK;
}

/* Writes the path of the object that holds the part of the first backup. */
static void
part_object(char to[160])
{
    struct backup_record record;
    char digits[2 * BACKUP_DIGEST_BYTES + 1];
    backup_record_init(&record, &rig.memory);
    must(open_for(BACKUP_READ));
    must(backup_record_read(&rig.repository, FIRST, &record, &rig.why));
    const struct backup_file *part = backup_record_find(&record, "parts/1/part");
    hex_print(bytes_of(part->digest, sizeof part->digest), digits);
    snprintf(to, 160, "/b/objects/%.2s/%s", digits, digits);
    backup_close(&rig.repository);
    backup_record_fini(&record);
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_restored_directory_has_the_same_bytes)
{
    make_store();
    must(back_up(FIRST));
    must(restore(FIRST, "/new"));
    static const char *const files[] = {"FORMAT",       "MANIFEST",
                                        "rules/state",  "relay/elsewhere/state",
                                        "parts/1/part", "parts/1/meta.json"};
    assert_int_equal(rig.report.files, sizeof files / sizeof *files);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char a[80], b[80];
        snprintf(a, sizeof a, "/db/%s", files[i]);
        snprintf(b, sizeof b, "/new/%s", files[i]);
        expect_same(a, b);
    }
    assert_false(exists("/new/LOCK"));
    assert_false(exists("/new/snapshots"));
    assert_false(exists("/new/rules/state.tmp"));
    assert_false(exists("/new/RESTORING"));
}

UNIT_TEST(test_a_destination_may_have_the_name_of_an_unfinished_file)
{
    make_store();
    must(env_mkdir(rig.env, "/db/relay/a.tmp", NULL));
    put_text("/db/relay/a.tmp/state", "another cursor");
    put_text("/db/relay/a.tmp/state.tmp", "unfinished");
    must(back_up(FIRST));
    must(restore(FIRST, "/new"));
    expect_same("/new/relay/a.tmp/state", "/db/relay/a.tmp/state");
    assert_false(exists("/new/relay/a.tmp/state.tmp"));
}

UNIT_TEST(test_a_second_backup_adds_only_what_is_new)
{
    make_store();
    must(back_up(FIRST));
    assert_int_equal(rig.report.unchanged, 0);
    add_part();
    must(back_up(SECOND));
    assert_int_equal(rig.report.files, 8);
    assert_int_equal(rig.report.unchanged, 2);
    assert_int_equal(rig.report.new_objects, 2); /* meta.json is equal in both parts */
    must(restore(FIRST, "/old"));
    assert_false(exists("/old/parts/2"));
    must(restore(SECOND, "/new"));
    expect_same("/new/MANIFEST", "/db/MANIFEST");
}

UNIT_TEST(test_a_part_of_the_same_name_and_another_time_is_read_again)
{
    make_store();
    must(back_up(FIRST));
    sim_env_advance_ns(rig.sim, NS_PER_S);
    struct file file;
    must(file_open(rig.env, "/db/parts/1/part", FILE_UPDATE, &file, NULL));
    must(file_write_at(&file, bytes_of_text("other"), 0, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
    must(back_up(SECOND));
    must(restore(SECOND, "/new"));
    expect_same("/new/parts/1/part", "/db/parts/1/part");
}

static void
change_part(void *context)
{
    struct file file;
    (void)context;
    sim_env_advance_ns(rig.sim, NS_PER_S);
    must(file_open(rig.env, "/db/parts/1/part", FILE_UPDATE, &file, NULL));
    must(file_write_at(&file, bytes_of_text("another begin"), 0, NULL));
    must(file_close(&file));
}

UNIT_TEST(test_a_file_that_changes_while_it_is_read_is_not_stored)
{
    uint64_t wrong;
    make_store();
    must(open_for(BACKUP_MAKE));
    rig.repository.step = change_part;
    enum err e = backup_store(&rig.repository, "/db", FIRST, 1, &rig.report, &rig.why);
    backup_close(&rig.repository);
    assert_true(e != OK);
    make_store();
    must(back_up(SECOND));
    must(verify(SECOND, &wrong));
    assert_int_equal(wrong, 0);
}

static void
remove_other_name(void *context)
{
    (void)context;
    sim_env_advance_ns(rig.sim, NS_PER_S);
    if (rig.repository.bytes > LARGE_BYTES / 2) /* it is the part that is read */
        err_ignore(env_unlink(rig.env, "/other", NULL), "it may be gone");
}

/* A snapshot has the parts of a server under second names. */
UNIT_TEST(test_a_file_may_lose_another_name_while_it_is_read)
{
    uint64_t wrong;
    make_store();
    must(env_link(rig.env, "/db/parts/1/part", "/other", NULL));
    must(open_for(BACKUP_MAKE));
    rig.repository.step = remove_other_name;
    enum err e = backup_store(&rig.repository, "/db", FIRST, 1, &rig.report, &rig.why);
    backup_close(&rig.repository);
    if (e) fail_msg("%s", rig.why.text);
    must(verify(FIRST, &wrong));
    assert_int_equal(wrong, 0);
}

UNIT_TEST(test_damage_of_an_object_is_found_and_never_restored)
{
    char object[160];
    uint64_t wrong;
    make_store();
    must(back_up(FIRST));
    part_object(object);
    must(sim_env_damage(rig.sim, object, LARGE_BYTES / 2));
    must(verify(FIRST, &wrong));
    assert_int_equal(wrong, 1);
    assert_int_equal(restore(FIRST, "/new"), ERR_CORRUPT);
    assert_false(exists("/new/FORMAT"));
    assert_non_null(strstr(rig.why.text, "parts/1/part"));
}

/* Many backups have the same parts: those that are whole are read once, and damage is found for
 * each backup that has it. */
UNIT_TEST(test_verifying_backups_reads_a_whole_object_once)
{
    struct backup_verifier verifier = {.found = found_nothing};
    char object[160];
    uint64_t wrong, first, both;
    make_store();
    must(back_up(FIRST));
    add_part();
    must(back_up(SECOND));
    must(open_for(BACKUP_READ));
    must(backup_verify(&rig.repository, FIRST, 1, &verifier, &rig.report, &wrong, &rig.why));
    first = rig.repository.bytes;
    must(backup_verify(&rig.repository, SECOND, 1, &verifier, &rig.report, &wrong, &rig.why));
    both = rig.repository.bytes;
    backup_verifier_fini(&verifier, &rig.memory);
    backup_close(&rig.repository);
    assert_true(first > LARGE_BYTES);
    assert_true(both - first < 100);
    assert_true(rig.report.bytes > LARGE_BYTES);
    part_object(object);
    must(sim_env_damage(rig.sim, object, LARGE_BYTES / 2));
    verifier = (struct backup_verifier){.found = found_nothing};
    must(open_for(BACKUP_READ));
    must(backup_verify(&rig.repository, FIRST, 1, &verifier, &rig.report, &wrong, &rig.why));
    assert_int_equal(wrong, 1);
    must(backup_verify(&rig.repository, SECOND, 1, &verifier, &rig.report, &wrong, &rig.why));
    assert_int_equal(wrong, 1);
    backup_verifier_fini(&verifier, &rig.memory);
    backup_close(&rig.repository);
}

UNIT_TEST(test_a_missing_object_is_found_and_stored_again)
{
    char object[160];
    uint64_t wrong;
    make_store();
    must(back_up(FIRST));
    part_object(object);
    must(env_unlink(rig.env, object, NULL));
    must(verify(FIRST, &wrong));
    assert_int_equal(wrong, 1);
    assert_int_equal(restore(FIRST, "/new"), ERR_MISSING);
    must(back_up(SECOND));
    assert_int_equal(rig.report.new_objects, 1);
    must(verify(FIRST, &wrong));
    assert_int_equal(wrong, 0);
}

UNIT_TEST(test_unfinished_objects_of_a_killed_process_are_removed)
{
    make_store();
    must(back_up(FIRST));
    put_text("/b/tmp/0123456789abcdef", "half an object");
    must(open_for(BACKUP_READ));
    backup_close(&rig.repository);
    assert_true(exists("/b/tmp/0123456789abcdef"));
    must(open_for(BACKUP_CHANGE));
    backup_close(&rig.repository);
    assert_false(exists("/b/tmp/0123456789abcdef"));
}

UNIT_TEST(test_pruning_keeps_what_other_backups_have)
{
    struct backup_pruned pruned;
    uint64_t wrong;
    make_store();
    must(back_up(FIRST));
    add_part();
    must(back_up(SECOND));
    must(open_for(BACKUP_CHANGE));
    must(backup_record_remove(&rig.repository, FIRST, &rig.why));
    backup_close(&rig.repository);
    prune_objects(&pruned);
    assert_int_equal(pruned.objects, 1);
    assert_int_equal(pruned.bytes, strlen("manifest"));
    must(verify(SECOND, &wrong));
    assert_int_equal(wrong, 0);
    assert_int_equal(verify(FIRST, &wrong), ERR_MISSING);
}

UNIT_TEST(test_pruning_beside_a_damaged_record_removes_no_content)
{
    struct backup_pruned pruned;
    char path[80], object[160];
    make_store();
    must(back_up(FIRST));
    part_object(object);
    snprintf(path, sizeof path, "/b/backups/%s", FIRST);
    must(sim_env_damage(rig.sim, path, 40));
    must(open_for(BACKUP_CHANGE));
    assert_int_equal(backup_prune_objects(&rig.repository, &pruned, &rig.why), ERR_CORRUPT);
    backup_close(&rig.repository);
    assert_true(exists(object));
}

UNIT_TEST(test_a_directory_with_other_files_is_not_touched)
{
    make_store();
    must(env_mkdir(rig.env, "/b", NULL));
    put_text("/b/photo", "x");
    assert_int_equal(back_up(FIRST), ERR_MISSING);
    assert_false(exists("/b/objects"));
    must(env_unlink(rig.env, "/b/photo", NULL));
    assert_int_equal(open_for(BACKUP_CHANGE), ERR_MISSING); /* a disk that is not mounted */
    backup_close(&rig.repository);
    must(back_up(FIRST));
    assert_int_equal(restore(FIRST, "/db"), ERR_INPUT);
}

UNIT_TEST(test_a_repository_of_a_newer_version_is_refused)
{
    make_store();
    must(back_up(FIRST));
    put_text("/b/BACKUP", "firekeep-backup 9 9 0123456789abcdef\n");
    assert_int_equal(open_for(BACKUP_READ), ERR_UNSUPPORTED);
    backup_close(&rig.repository);
}

UNIT_TEST(test_one_process_at_a_time_changes_a_repository)
{
    make_store();
    must(back_up(FIRST));
    struct backup_repository other;
    must(open_for(BACKUP_READ));
    must(open_place(&other, BACKUP_READ));
    backup_close(&other);
    assert_int_equal(open_place(&other, BACKUP_CHANGE), ERR_AGAIN);
    backup_close(&other);
    backup_close(&rig.repository);
    must(open_for(BACKUP_CHANGE));
    for (enum backup_use use = BACKUP_READ; use <= BACKUP_MAKE; use++) {
        assert_int_equal(open_place(&other, use), ERR_AGAIN);
        backup_close(&other);
    }
    backup_close(&rig.repository);
}

/* Fails each call of a backup in turn, then cuts the power: the first backup stays whole, and the
 * second one is repeated. */
UNIT_TEST(test_a_crash_at_any_call_leaves_earlier_backups_whole)
{
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            uint64_t wrong;
            teardown(NULL);
            setup(NULL);
            make_store();
            must(back_up(FIRST));
            add_part();
            fault_env_arm(rig.fe, (struct fault){(enum fault_kind)kind, nth, true});
            enum err e = back_up(SECOND);
            fired = fault_env_fired(rig.fe);
            fault_env_disarm(rig.fe);
            sim_env_power_loss(rig.sim);
            must(verify(FIRST, &wrong));
            assert_int_equal(wrong, 0);
            if (e != OK) must(back_up(SECOND));
            must(verify(SECOND, &wrong));
            assert_int_equal(wrong, 0);
        }
    }
}

static void
expect_restored(void)
{
    static const char *const files[] = {"FORMAT", "MANIFEST", "rules/state", "parts/1/part",
                                        "relay/elsewhere/state"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char a[80], b[80];
        snprintf(a, sizeof a, "/db/%s", files[i]);
        snprintf(b, sizeof b, "/new/%s", files[i]);
        expect_same(a, b);
    }
    assert_false(exists("/new/RESTORING"));
}

enum { POWER_LOSS, KILL, KILL_AND_COPY_FORMAT, END_COUNT };

/* Fails each call of a restore in turn, and ends it: a server opens the directory only when all of
 * it is restored, also if FORMAT comes from elsewhere, and the same restore continues. */
UNIT_TEST(test_a_restore_that_ended_at_any_call_continues)
{
    unsigned refused = 0;
    for (unsigned end = 0; end < END_COUNT; end++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            teardown(NULL);
            setup(NULL);
            make_store();
            must(back_up(FIRST));
            fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, true});
            enum err e = restore(FIRST, "/new");
            fired = fault_env_fired(rig.fe);
            fault_env_disarm(rig.fe);
            if (end == POWER_LOSS)
                sim_env_power_loss(rig.sim);
            else
                sim_env_kill(rig.sim);
            bool marked = exists("/new/RESTORING");
            if (end == KILL_AND_COPY_FORMAT && marked) put_text("/new/FORMAT", "format");
            rig.why.text[0] = '\0';
            assert_int_equal(storage_check_restored(rig.env, "/new", &rig.why),
                             marked ? ERR_INPUT : OK);
            if (marked) assert_non_null(strstr(rig.why.text, FIRST));
            refused += marked;
            bool complete = exists("/new/FORMAT") && !marked;
            if (e != OK && !complete) must(restore(FIRST, "/new"));
            expect_restored();
        }
    }
    assert_true(refused > 100);
}

/* An older version runs on a directory with the mark if it has FORMAT. */
UNIT_TEST(test_a_restore_never_overwrites_what_a_server_has_written)
{
    static const char *const written[] = {"LOCK", "IDENTITY", "parts/1/other", "relay/new"};
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        char path[80];
        teardown(NULL);
        setup(NULL);
        make_store();
        must(back_up(FIRST));
        must(restore(FIRST, "/new"));
        put_text("/new/RESTORING", FIRST);
        put_text("/new/MANIFEST", "that of the server");
        must(env_unlink(rig.env, "/new/parts/1/part", NULL)); /* it was merged */
        snprintf(path, sizeof path, "/new/%s", written[i]);
        put_text(path, "");
        assert_int_equal(restore(FIRST, "/new"), ERR_INPUT);
        assert_non_null(strstr(rig.why.text, written[i]));
        assert_false(exists("/new/parts/1/part"));
        assert_true(exists("/new/RESTORING"));
        put_text("/db/MANIFEST", "that of the server");
        expect_same("/new/MANIFEST", "/db/MANIFEST");
    }
}

/* A restore and a server were killed at once, one after the other. */
UNIT_TEST(test_a_directory_with_only_a_free_lock_is_empty)
{
    struct file lock;
    make_store();
    must(back_up(FIRST));
    must(env_mkdir(rig.env, "/new", NULL));
    put_text("/new/RESTORING.tmp", "2026");
    put_text("/new/LOCK", "");
    must(file_open(rig.env, "/new/LOCK", FILE_UPDATE, &lock, NULL));
    must(file_lock(&lock, NULL));
    assert_int_equal(restore(FIRST, "/new"), ERR_AGAIN);
    assert_non_null(strstr(rig.why.text, "/new is in use by another process"));
    must(file_close(&lock));
    must(restore(FIRST, "/new"));
    assert_false(exists("/new/LOCK"));
    expect_restored();
}

UNIT_TEST(test_a_mark_without_a_backup_is_an_error_that_asks_for_none)
{
    make_store();
    must(back_up(FIRST));
    must(env_mkdir(rig.env, "/new", NULL));
    put_text("/new/RESTORING", "");
    assert_int_equal(restore(FIRST, "/new"), ERR_INPUT);
    assert_string_equal(rig.why.text,
                        "/new is not completely restored, and its file RESTORING does not name the "
                        "backup: restore into another directory");
}

UNIT_TEST(test_an_unfinished_restore_of_another_backup_is_named)
{
    make_store();
    must(back_up(FIRST));
    add_part();
    must(back_up(SECOND));
    must(env_mkdir(rig.env, "/new", NULL));
    put_text("/new/RESTORING", FIRST);
    assert_int_equal(restore(SECOND, "/new"), ERR_INPUT);
    assert_non_null(strstr(rig.why.text, "restore --id=20260101T000000.000Z"));
    must(restore(FIRST, "/new"));
    assert_true(exists("/new/FORMAT"));
}

UNIT_TEST(test_one_process_at_a_time_restores_into_a_directory)
{
    struct file other;
    make_store();
    must(back_up(FIRST));
    must(env_mkdir(rig.env, "/new", NULL));
    put_text("/new/RESTORING", FIRST);
    must(file_open(rig.env, "/new/RESTORING", FILE_UPDATE, &other, NULL));
    must(file_lock(&other, NULL));
    assert_int_equal(restore(FIRST, "/new"), ERR_AGAIN);
    must(file_close(&other));
    must(restore(FIRST, "/new"));
    expect_restored();
}

/* Older versions made backups of directories that were not restored completely. */
UNIT_TEST(test_a_mark_in_a_backup_is_not_restored)
{
    make_store();
    put_text("/db/RESTORING", SECOND);
    must(back_up(FIRST));
    must(restore(FIRST, "/new"));
    expect_restored();
}

/* A killed process leaves files whose content is whole, but in the page cache only. */
UNIT_TEST(test_a_file_that_a_killed_restore_wrote_is_made_durable)
{
    enum { LOSSES = 16 };
    static const uint8_t content[] = "cursor";
    for (uint64_t i = 0; i < LOSSES; i++) {
        struct file file;
        uint64_t random;
        teardown(NULL);
        setup(NULL);
        for (uint64_t k = 0; k < i; k++)
            must(env_random(rig.env, &random, sizeof random)); /* each loses other pages */
        make_store();
        must(back_up(FIRST));
        must(env_mkdir(rig.env, "/new", NULL));
        must(env_mkdir(rig.env, "/new/relay", NULL));
        must(env_mkdir(rig.env, "/new/relay/elsewhere", NULL));
        put_text("/new/RESTORING", FIRST);
        must(file_open(rig.env, "/new/relay/elsewhere/state", FILE_REPLACE, &file, NULL));
        must(file_write_at(&file, bytes_of(content, sizeof content - 1), 0, NULL));
        must(file_close(&file));
        must(env_syncdir(rig.env, "/", NULL));
        must(restore(FIRST, "/new"));
        sim_env_power_loss(rig.sim);
        expect_same("/new/relay/elsewhere/state", "/db/relay/elsewhere/state");
    }
}

UNIT_TEST(test_a_refused_allocation_fails_the_backup_and_no_earlier_one)
{
    bool fired = true;
    make_store();
    must(back_up(FIRST));
    add_part();
    for (uint64_t nth = 1; fired; nth++) {
        uint64_t wrong;
        mem_fail_nth(nth, false);
        enum err e = back_up(SECOND);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (fired && e == OK) continue; /* the machine's own memory, or the newest earlier record */
        must(verify(FIRST, &wrong));
        assert_int_equal(wrong, 0);
    }
    must(restore(SECOND, "/new"));
}

/* A server that is stopped waits for its backup. */
UNIT_TEST(test_a_low_rate_does_not_delay_the_end)
{
    static const atomic_bool stop = true;
    make_store();
    must(open_for(BACKUP_MAKE));
    int64_t now = env_monotonic_ns(rig.env);
    rig.repository.stop = &stop;
    rig.repository.rate_bytes = 1;
    rig.repository.free_ns = now + 3600 * NS_PER_S;
    assert_int_equal(backup_store(&rig.repository, "/db", FIRST, 1, &rig.report, &rig.why),
                     ERR_CANCELED);
    assert_true(env_monotonic_ns(rig.env) - now < NS_PER_S);
    backup_close(&rig.repository);
}

UNIT_TEST(test_ids_are_in_order_also_if_the_clock_goes_back)
{
    char id[BACKUP_ID_BYTES];
    make_store();
    must(back_up(SECOND));
    must(open_for(BACKUP_CHANGE));
    must(backup_id_make(&rig.repository, id, &rig.why)); /* the clock is at 2026-01-01 */
    assert_string_equal(id, "20260102T000000.001Z");
    sim_env_set_realtime_ms(rig.sim, 1798761599999);
    must(backup_id_make(&rig.repository, id, &rig.why));
    assert_string_equal(id, "20261231T235959.999Z");
    backup_close(&rig.repository);
}

/* --- records ---------------------------------------------------------------------------------- */

static void
print_record(struct buf *to, const char *path)
{
    struct backup_record record;
    backup_record_init(&record, &rig.memory);
    record.time_ms = 1;
    must(backup_record_add(&record, path, 5, -7, NULL));
    must(backup_record_print(&record, to));
    backup_record_fini(&record);
}

static enum err
parse(struct bytes text)
{
    struct backup_record record;
    backup_record_init(&record, &rig.memory);
    enum err e = backup_record_parse(&record, text, &rig.why);
    if (e == OK) {
        assert_int_equal(record.count, 1);
        assert_int_equal(record.files[0].size_bytes, 5);
        assert_int_equal(record.files[0].modified_ns, -7);
    }
    backup_record_fini(&record);
    return e;
}

UNIT_TEST(test_a_record_cut_or_changed_at_any_byte_is_damaged)
{
    struct buf text;
    buf_init(&text, NULL, 4096);
    print_record(&text, "parts/1/part");
    must(parse(buf_bytes(&text)));
    for (size_t i = 0; i < text.size; i++) {
        assert_int_not_equal(parse(bytes_of(text.at, i)), OK);
        text.at[i] ^= 1;
        enum err e = parse(buf_bytes(&text));
        assert_true(e == ERR_CORRUPT || e == ERR_UNSUPPORTED);
        text.at[i] ^= 1;
    }
    buf_fini(&text);
}

UNIT_TEST(test_a_path_that_leaves_the_directory_is_refused)
{
    static const char *const paths[] = {"/etc/passwd", "../x",  "a/../../x", "a/..", "",
                                        "a//b",        "a/./b", "a/",        "a\nb"};
    struct backup_record record;
    backup_record_init(&record, &rig.memory);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_int_equal(backup_record_add(&record, paths[i], 0, 0, &rig.why), ERR_INPUT);
    must(backup_record_add(&record, "a/..b", 0, 0, &rig.why));
    backup_record_fini(&record);
}

int
main(void)
{
#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_RIG(test_a_restored_directory_has_the_same_bytes),
        WITH_RIG(test_a_destination_may_have_the_name_of_an_unfinished_file),
        WITH_RIG(test_a_second_backup_adds_only_what_is_new),
        WITH_RIG(test_a_part_of_the_same_name_and_another_time_is_read_again),
        WITH_RIG(test_a_file_that_changes_while_it_is_read_is_not_stored),
        WITH_RIG(test_a_file_may_lose_another_name_while_it_is_read),
        WITH_RIG(test_damage_of_an_object_is_found_and_never_restored),
        WITH_RIG(test_verifying_backups_reads_a_whole_object_once),
        WITH_RIG(test_a_missing_object_is_found_and_stored_again),
        WITH_RIG(test_unfinished_objects_of_a_killed_process_are_removed),
        WITH_RIG(test_pruning_keeps_what_other_backups_have),
        WITH_RIG(test_pruning_beside_a_damaged_record_removes_no_content),
        WITH_RIG(test_a_directory_with_other_files_is_not_touched),
        WITH_RIG(test_a_repository_of_a_newer_version_is_refused),
        WITH_RIG(test_one_process_at_a_time_changes_a_repository),
        WITH_RIG(test_a_crash_at_any_call_leaves_earlier_backups_whole),
        WITH_RIG(test_a_restore_that_ended_at_any_call_continues),
        WITH_RIG(test_a_restore_never_overwrites_what_a_server_has_written),
        WITH_RIG(test_a_directory_with_only_a_free_lock_is_empty),
        WITH_RIG(test_a_mark_without_a_backup_is_an_error_that_asks_for_none),
        WITH_RIG(test_an_unfinished_restore_of_another_backup_is_named),
        WITH_RIG(test_one_process_at_a_time_restores_into_a_directory),
        WITH_RIG(test_a_mark_in_a_backup_is_not_restored),
        WITH_RIG(test_a_file_that_a_killed_restore_wrote_is_made_durable),
        WITH_RIG(test_a_refused_allocation_fails_the_backup_and_no_earlier_one),
        WITH_RIG(test_a_low_rate_does_not_delay_the_end),
        WITH_RIG(test_ids_are_in_order_also_if_the_clock_goes_back),
        WITH_RIG(test_a_record_cut_or_changed_at_any_byte_is_damaged),
        WITH_RIG(test_a_path_that_leaves_the_directory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
