/* missing_test.c - the log notices when its files lose their name or content while it is open. */
#include "lib/test.h"
#include "lib/wal_rig.h"

/* Ways in which an operator, or an operator's program, removes a file. */
enum taking { REMOVE, RENAME, REPLACE, EMPTY, TAKING_COUNT };

static void
take_away(struct wal_rig *rig, const char *path, enum taking how)
{
    struct env *env = sim_env_env(rig->sim);
    struct file file;
    if (how == RENAME) sim_env_advance_ns(rig->sim, NS_PER_S); /* paths are checked each second */
    switch (how) {
    case REMOVE:
        must(env_unlink(env, path, NULL));
        break;
    case RENAME:
        must(env_rename(env, path, "/elsewhere", NULL));
        break;
    case REPLACE:
        must(file_open(env, "/copy", FILE_REPLACE, &file, NULL));
        must(file_truncate(&file, 2 * SMALL_SEGMENT, NULL));
        must(file_close(&file));
        must(env_rename(env, "/copy", path, NULL));
        break;
    default:
        must(file_open(env, path, FILE_REPLACE, &file, NULL));
        must(file_close(&file));
    }
}

static uint64_t
newest_number(struct wal_rig *rig)
{
    return rig->wal->list.items[rig->wal->list.count - 1].number;
}

/* Keeps all commits so far elsewhere: the log need not have them any more. */
static void
store_all(struct wal_rig *rig)
{
    rig->store_pos = wal_end(rig->wal);
}

UNIT_TEST(test_a_commit_fails_if_its_file_was_removed_replaced_or_emptied)
{
    for (enum taking how = 0; how < TAKING_COUNT; how++) {
        struct wal_rig rig;
        wal_rig_init(&rig, 700 + how);
        must(wal_rig_open(&rig));
        wal_rig_fill(&rig, 5);
        uint64_t end = wal_end(rig.wal), number = newest_number(&rig);
        assert_int_equal(wal_lost_pos(rig.wal), 0);
        take_away(&rig, segment_file(number), how);
        wal_rig_put_many(&rig, 3);
        assert_int_equal(wal_rig_commit(&rig), ERR_IO);
        assert_non_null(strstr(rig.why.text, segment_file(number)));
        assert_true(wal_is_down(rig.wal));
        assert_int_equal(wal_lost_pos(rig.wal), end);
        store_all(&rig);
        must(wal_rig_reopen(&rig));
        assert_true(newest_number(&rig) > number);
        wal_rig_fill(&rig, 5);
        assert_int_equal(wal_lost_pos(rig.wal), end);
        wal_rig_kill(&rig);
        must(wal_rig_open(&rig));
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_a_log_without_commits_finds_that_its_file_is_gone_when_it_looks)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 710);
    must(wal_rig_open(&rig));
    must(wal_look(rig.wal, &rig.why)); /* the file is still missing */
    wal_rig_fill(&rig, 2);
    must(wal_look(rig.wal, &rig.why));
    take_away(&rig, segment_file(newest_number(&rig)), REMOVE);
    assert_int_equal(wal_look(rig.wal, &rig.why), ERR_IO);
    assert_true(wal_is_down(rig.wal));
    assert_int_equal(wal_lost_pos(rig.wal), wal_end(rig.wal));
    must(wal_look(rig.wal, &rig.why)); /* the log is known to be down */
    store_all(&rig);
    must(wal_rig_reopen(&rig));
    must(wal_look(rig.wal, &rig.why));
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_directory_that_was_removed_is_made_again)
{
    struct wal_rig rig;
    struct file file;
    wal_rig_init(&rig, 711);
    must(wal_rig_open(&rig));
    must(wal_prepare(rig.wal, NULL));
    wal_rig_fill(&rig, 5);
    must(env_remove_tree(rig.env, "/wal", NULL));
    must(file_open(rig.env, "/wal", FILE_CREATE, &file, NULL));
    must(file_close(&file));
    wal_rig_put_many(&rig, 3);
    assert_int_equal(wal_rig_commit(&rig), ERR_IO);
    assert_int_equal(wal_rig_reopen(&rig), ERR_IO); /* a file is in its place */
    must(env_unlink(rig.env, "/wal", NULL));
    store_all(&rig);
    must(wal_rig_reopen(&rig));
    while (rig.wal->list.count < 4) /* prepared files are lost as well */
        wal_rig_fill(&rig, 1);
    wal_rig_power_loss(&rig);
    must(wal_rig_open(&rig));
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_complete_segment_that_is_still_needed_is_missed)
{
    for (enum taking how = 0; how < TAKING_COUNT; how++) {
        /* replaced by a file of that size: nothing is known of its inode */
        if (how == REPLACE) continue;
        struct wal_rig rig;
        wal_rig_init(&rig, 720 + how);
        must(wal_rig_open(&rig));
        while (rig.wal->list.count < 4)
            wal_rig_fill(&rig, 1);
        struct segment lost = rig.wal->list.items[1];
        must(wal_look_kept(rig.wal, 0, &rig.why));
        take_away(&rig, segment_file(lost.number), how);
        must(wal_look_kept(rig.wal, lost.end_pos, &rig.why)); /* not needed */
        assert_int_equal(wal_lost_pos(rig.wal), 0);
        assert_int_equal(wal_look_kept(rig.wal, 0, &rig.why), ERR_IO);
        assert_non_null(strstr(rig.why.text, segment_file(lost.number)));
        assert_int_equal(wal_lost_pos(rig.wal), lost.end_pos);
        must(wal_look_kept(rig.wal, 0, &rig.why)); /* once */
        assert_false(wal_is_down(rig.wal));
        wal_rig_fill(&rig, 3);
        store_all(&rig);
        must(wal_trim(rig.wal, rig.store_pos, &rig.why));
        assert_int_equal(rig.wal->list.count, 1);
        wal_rig_restart(&rig);
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_a_file_that_cannot_be_looked_at_is_there)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 730);
    must(wal_rig_open(&rig));
    while (rig.wal->list.count < 3)
        wal_rig_fill(&rig, 1);
    fault_env_arm(rig.fe, (struct fault){FAULT_EIO, 1, false});
    must(wal_look(rig.wal, &rig.why));
    assert_true(fault_env_fired(rig.fe));
    fault_env_arm(rig.fe, (struct fault){FAULT_EIO, 1, false});
    must(wal_look_kept(rig.wal, 0, &rig.why));
    assert_true(fault_env_fired(rig.fe));
    wal_rig_fill(&rig, 3);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, wal_print_seed)
    const struct CMUnitTest tests[] = {
        claim(test_a_commit_fails_if_its_file_was_removed_replaced_or_emptied),
        claim(test_a_log_without_commits_finds_that_its_file_is_gone_when_it_looks),
        claim(test_a_directory_that_was_removed_is_made_again),
        claim(test_a_complete_segment_that_is_still_needed_is_missed),
        claim(test_a_file_that_cannot_be_looked_at_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
