/*
 * wal_reader_test.c - readers follow a log that is written: each sees every committed record once,
 * in order, whatever happens to the segments.
 */
#include "lib/test.h"
#include "lib/wal_rig.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

/* A reader, and the next record that it should see. */
struct follower {
    struct wal_reader *reader;
    uint32_t commit; /* index into the model */
    uint32_t within;
    uint64_t segment;
    uint32_t defined;
    uint64_t defined_pos; /* position of the last series record */
    uint64_t count;
};

/* Opens a reader at the end of a commit; UINT32_MAX: at the oldest record. */
static void
follow(struct wal_rig *rig, struct follower *f, uint32_t behind_commit)
{
    uint64_t pos = behind_commit == UINT32_MAX ? 0 : rig->commits[behind_commit].end_pos;
    *f = (struct follower){.commit = behind_commit + 1};
    must(wal_reader_open(rig->wal, "follower", pos, &f->reader, &rig->why));
}

/* Checks that the last record, and its series record, can be read again. */
static void
read_again(struct wal_rig *rig, struct follower *f, const struct wal_record *record)
{
    struct wal_record again;
    assert_true(record->realtime_ms > 0);
    must(wal_reader_again(f->reader, f->defined_pos, &again, &rig->why));
    assert_int_equal(again.type, WAL_SERIES);
    must(wal_reader_again(f->reader, record->pos, &again, &rig->why));
    assert_int_equal(again.type, record->type);
    assert_int_equal(again.segment, record->segment);
    assert_int_equal(again.payload.size, record->payload.size);
    assert_memory_equal(again.payload.at, record->payload.at, record->payload.size);
    assert_int_equal(wal_reader_again(f->reader, record->pos + 8, &again, NULL), ERR_CORRUPT);
    assert_int_equal(wal_reader_again(f->reader, 1, &again, NULL), ERR_MISSING);
}

/* Reads up to `count` records and compares each with the model; returns false at the end
 * of the log. */
static bool
follow_some(struct wal_rig *rig, struct follower *f, uint32_t count)
{
    while (count > 0) {
        struct wal_record record;
        enum err e = wal_reader_next(f->reader, &record, &rig->why);
        if (e == ERR_AGAIN) return false;
        if (e) fail_msg("%s", rig->why.text);
        if (f->segment != record.segment) f->defined = 0;
        f->segment = record.segment;
        if (record.type == WAL_SERIES) {
            f->defined |= 1u << (load_le64(record.payload.at) - 1000);
            f->defined_pos = record.pos;
            continue;
        }
        read_again(rig, f, &record);
        check_record(&record);
        uint64_t id = record_id(&record);
        assert_true(f->defined & 1u << id_series(id));
        while (f->commit < rig->commit_count && rig->commits[f->commit].fate != FATE_COMMITTED)
            f->commit++;
        assert_true(f->commit < rig->commit_count);
        const struct model_commit *c = &rig->commits[f->commit];
        assert_int_equal(id, c->first_id + f->within);
        assert_int_equal(record.commit_end_pos, c->end_pos);
        assert_false(record.salvaged);
        if (++f->within == c->count) {
            f->commit++;
            f->within = 0;
            assert_int_equal(wal_reader_pos(f->reader), c->end_pos);
            wal_reader_pass(f->reader, c->end_pos);
        }
        f->count++;
        count--;
    }
    return true;
}

/* Reads all records, and checks that these are all commits. */
static void
follow_to_end(struct wal_rig *rig, struct follower *f)
{
    assert_false(follow_some(rig, f, UINT32_MAX));
    while (f->commit < rig->commit_count && rig->commits[f->commit].fate != FATE_COMMITTED)
        f->commit++;
    assert_int_equal(f->commit, rig->commit_count);
    assert_int_equal(f->within, 0);
}

UNIT_TEST(test_readers_see_every_committed_record_once_in_order)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 500);
    must(wal_rig_open(&rig));
    enum { FOLLOWERS = 7 };
    struct follower f[FOLLOWERS];
    struct wal_record record;
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        follow(&rig, &f[i], UINT32_MAX);
        assert_int_equal(wal_reader_next(f[i].reader, &record, NULL), ERR_AGAIN);
    }
    for (unsigned step = 0; step < 250; step++) {
        wal_rig_put_many(&rig, 1 + step % 5);
        unsigned i = (unsigned)wal_rig_random(&rig, FOLLOWERS);
        /* uncommitted records are not read */
        follow_some(&rig, &f[i], (uint32_t)wal_rig_random(&rig, 60));
        must(wal_rig_commit(&rig));
        if (step == 0) must(wal_prepare(rig.wal, NULL));
        must(wal_trim(rig.wal, wal_end(rig.wal), NULL));
        if (step % 40 == 39) { /* the log fails and recovers */
            wal_rig_put_many(&rig, 3);
            fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
            assert_int_equal(wal_rig_commit(&rig), ERR_IO);
            follow_some(&rig, &f[i], 1000);
            must(wal_rig_reopen(&rig));
        }
    }
    struct wal_stats s;
    wal_stats(rig.wal, &s);
    assert_int_equal(s.readers, FOLLOWERS);
    assert_int_equal(s.readers_behind, 0);
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        follow_to_end(&rig, &f[i]);
        assert_int_equal(f[i].count, f[0].count);
        wal_reader_close(f[i].reader);
    }
    must(wal_trim(rig.wal, wal_end(rig.wal), NULL));
    wal_stats(rig.wal, &s);
    assert_int_equal(s.segment_count, 1); /* no reader holds segments back */
    assert_true(s.segments_recycled_total > 0);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_reader_may_begin_behind_any_commit)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 501);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 120);
    assert_true(rig.wal->list.count >= 3);
    for (uint32_t i = 0; i <= rig.commit_count; i++) {
        struct follower f;
        follow(&rig, &f, i - 1);
        if (i > 0) assert_int_equal(wal_reader_pos(f.reader), rig.commits[i - 1].end_pos);
        follow_to_end(&rig, &f);
        wal_rig_put_many(&rig, i % 10 == 0);
        must(wal_rig_commit(&rig));
        follow_to_end(&rig, &f);
        wal_reader_close(f.reader);
    }
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_reader_goes_on_from_its_position_after_a_restart)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 502);
    must(wal_rig_open(&rig));
    struct follower f;
    wal_rig_fill(&rig, 1);
    follow(&rig, &f, 0);
    for (unsigned life = 0; life < 20; life++) {
        wal_rig_fill(&rig, (uint32_t)wal_rig_random(&rig, 20));
        follow_some(&rig, &f, (uint32_t)wal_rig_random(&rig, 50));
        uint32_t commit = f.commit - 1; /* the position to resume at: the last commit read whole */
        wal_reader_close(f.reader);
        if (life % 2) {
            wal_rig_restart(&rig);
        } else {
            wal_rig_power_loss(&rig);
            must(wal_rig_open(&rig));
        }
        follow(&rig, &f, commit);
    }
    follow_to_end(&rig, &f);
    wal_reader_close(f.reader);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_reader_holds_back_what_it_has_not_passed)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 503);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 150);
    struct follower f;
    follow(&rig, &f, UINT32_MAX);
    while (follow_some(&rig, &f, 20)) {
        must(wal_trim(rig.wal, UINT64_MAX, NULL));
        uint64_t passed = f.commit == 0 ? 0 : rig.commits[f.commit - 1].end_pos;
        assert_true(rig.wal->list.items[0].end_pos > passed);
        assert_true(f.commit == 0 || rig.wal->list.items[0].base_pos <= passed);
    }
    wal_reader_close(f.reader);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_reader_of_a_trimmed_segment_gets_an_error)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 504);
    must(wal_rig_open(&rig));
    must(wal_prepare(rig.wal, NULL));
    wal_rig_fill(&rig, 150);
    struct follower f;
    follow(&rig, &f, UINT32_MAX);
    assert_true(follow_some(&rig, &f, 10)); /* it has the file open, and some of it in memory */
    uint64_t pos = wal_reader_pos(f.reader);
    wal_set_budget(rig.wal, 1);
    must(wal_trim(rig.wal, UINT64_MAX, NULL));
    wal_set_budget(rig.wal, 0);
    struct wal_record record;
    assert_int_equal(wal_reader_next(f.reader, &record, &rig.why), ERR_MISSING);
    assert_int_equal(wal_reader_next(f.reader, &record, &rig.why), ERR_MISSING);
    assert_int_equal(wal_reader_pos(f.reader), pos);
    struct wal_stats s;
    wal_stats(rig.wal, &s);
    assert_int_equal(s.readers_behind, 1);
    wal_reader_close(f.reader);

    /* This reader returns with a position that is gone. */
    must(wal_reader_open(rig.wal, "late", rig.commits[3].end_pos, &f.reader, NULL));
    assert_int_equal(wal_reader_next(f.reader, &record, NULL), ERR_MISSING);
    wal_reader_close(f.reader);
    wal_rig_fini(&rig);
}

/* A segment that was given up has no records after the reader's position, so the reader loses
 * nothing until its file is reused. */
UNIT_TEST(test_a_segment_that_was_never_used_leaves_no_reader_behind)
{
    for (unsigned restart = 0; restart < 2; restart++) {
        struct wal_rig rig;
        wal_rig_init(&rig, 509);
        must(wal_rig_open(&rig));
        wal_rig_fill(&rig, 4);
        uint32_t last = rig.commit_count - 1;
        uint64_t end = wal_end(rig.wal);
        for (unsigned i = 0; i < 2; i++) { /* two segments are begun, the first one for nothing */
            wal_rig_put_many(&rig, 1);
            fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
            assert_int_equal(wal_rig_commit(&rig), ERR_IO);
            must(wal_rig_reopen(&rig));
        }
        if (restart) wal_rig_restart(&rig);
        assert_int_equal(wal_end(rig.wal), end);
        must(wal_trim(rig.wal, UINT64_MAX, NULL));
        assert_int_equal(rig.wal->list.count, 1);
        struct follower f;
        follow(&rig, &f, last);
        follow_to_end(&rig, &f);
        wal_rig_fill(&rig, 3);
        follow_to_end(&rig, &f);
        wal_reader_close(f.reader);
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_bytes_of_a_recycled_file_are_not_taken_for_what_was_wanted)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 505);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 40);
    struct follower f;
    follow(&rig, &f, UINT32_MAX);
    assert_true(follow_some(&rig, &f, 3));
    uint64_t number = rig.wal->list.items[0].number;
    buf_clear(&f.reader->reader.window); /* the next records are not in memory */
    uint8_t other[4096];
    memset(other, 0x77, sizeof other);
    for (unsigned i = 0; i < 16; i++)
        wal_rig_patch_file(&rig, segment_file(number), other, sizeof other, 4096 * i);
    wal_set_budget(rig.wal, 1);
    must(wal_trim(rig.wal, UINT64_MAX, NULL));
    struct wal_record record;
    assert_int_equal(wal_reader_next(f.reader, &record, &rig.why), ERR_MISSING);
    wal_reader_close(f.reader);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_reader_skips_damage_once_and_gives_what_recovery_gives)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 506);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 80);
    struct findings all = {0};
    struct wal_damage none;
    must(wal_verify(rig.env, "/wal", 0, false, find_record, &all, &none, NULL));
    for (unsigned round = 0; round < 30; round++) {
        const struct segment *s = &rig.wal->list.items[wal_rig_random(&rig, rig.wal->list.count)];
        uint64_t end =
            s->end_pos == SEGMENT_POS_NONE ? rig.commits[rig.commit_count - 2].end_pos : s->end_pos;
        uint64_t offset = SEGMENT_HEADER_BYTES + wal_rig_random(&rig, end - s->base_pos);
        size_t size;
        char path[64];
        snprintf(path, sizeof path, "%s", segment_file(s->number));
        uint8_t *at = wal_rig_read_file(&rig, path, &size);
        uint8_t flipped = at[offset] ^ 0x10;
        wal_rig_patch_file(&rig, path, &flipped, 1, offset);

        struct findings by_verify = {0}, by_reader = {0};
        struct wal_damage damage;
        must(wal_verify(rig.env, "/wal", 0, false, find_record, &by_verify, &damage, NULL));
        assert_int_equal(damage.places, 1);
        assert_int_equal(damage.gaps.count, 1);
        struct wal_reader *reader;
        must(wal_reader_open(rig.wal, "reader", 0, &reader, NULL));
        unsigned told = 0;
        for (;;) {
            struct wal_record record;
            enum err e = wal_reader_next(reader, &record, &rig.why);
            if (e == ERR_AGAIN) break;
            told += e == ERR_CORRUPT;
            if (e == ERR_CORRUPT) {
                assert_non_null(strstr(rig.why.text, path));
                assert_int_equal(wal_reader_bad_pos(reader), damage.gaps.of[0].from_pos);
                assert_int_equal(wal_reader_pos(reader), damage.gaps.of[0].to_pos);
            }
            if (e == OK) must(find_record(&by_reader, &record, NULL));
            if (e != OK) assert_int_equal(e, ERR_CORRUPT);
        }
        /* Padding is empty: readers skip it. */
        if (told == 0) assert_int_equal(by_reader.count, all.count);
        assert_in_range(told, 0, 1);
        assert_int_equal(by_reader.count, by_verify.count);
        for (uint32_t i = 0; i < by_reader.count; i++) {
            assert_int_equal(by_reader.items[i].id, by_verify.items[i].id);
            assert_int_equal(by_reader.items[i].pos, by_verify.items[i].pos);
            /* Records before the damage are given before it is found. */
            if (by_reader.items[i].salvaged) assert_true(by_verify.items[i].salvaged);
        }
        wal_reader_close(reader);
        findings_fini(&by_verify);
        findings_fini(&by_reader);
        wal_rig_patch_file(&rig, path, &at[offset], 1, offset);
        free(at);
    }
    findings_fini(&all);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_reader_passes_over_a_segment_that_is_missing)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 507);
    must(wal_rig_open(&rig));
    while (rig.wal->list.count < 4)
        wal_rig_fill(&rig, 1);
    struct segment lost = rig.wal->list.items[1];
    wal_rig_close(&rig);
    must(env_unlink(rig.env, segment_file(lost.number), NULL));
    struct findings found;
    must(wal_rig_open_finding(&rig, &found));
    findings_fini(&found);
    for (uint32_t i = 0; i < rig.commit_count; i++) {
        struct model_commit *c = &rig.commits[i];
        if (c->end_pos > lost.base_pos && c->end_pos <= lost.end_pos) c->fate = FATE_VOID;
    }
    struct follower f;
    struct wal_record record;
    follow(&rig, &f, UINT32_MAX);
    enum err e;
    do {
        e = wal_reader_next(f.reader, &record, &rig.why);
    } while (e == OK);
    assert_int_equal(e, ERR_CORRUPT);
    uint32_t next = 0;
    while (rig.commits[next].end_pos <= lost.end_pos)
        next++;
    f.commit = next;
    follow_to_end(&rig, &f);
    wal_reader_close(f.reader);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_reader_tries_again_what_the_machine_refused)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 508);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 60);
    for (unsigned what = 0; what < 2; what++) {
        for (uint64_t nth = 1;; nth++) {
            uint32_t found = 0;
            bool fired = false;
            struct wal_reader *reader;
            must(wal_reader_open(rig.wal, "reader", 0, &reader, NULL));
            if (what == 0) fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, false});
            if (what == 1) mem_fail_nth(nth, false);
            for (;;) {
                struct wal_record record;
                enum err e = wal_reader_next(reader, &record, &rig.why);
                if (e == ERR_AGAIN) break;
                if (e == OK && record.type != WAL_SERIES)
                    assert_int_equal(record_id(&record), ++found);
                if (e != OK) assert_int_equal(e, what == 0 ? ERR_IO : ERR_NOMEM);
            }
            fired = what == 0 ? fault_env_fired(rig.fe) : mem_fail_fired();
            mem_fail_nth(0, false);
            fault_env_disarm(rig.fe);
            assert_int_equal(found, rig.next_id - 1);
            wal_reader_close(reader);
            if (!fired) break;
        }
    }
    wal_rig_fini(&rig);
}

/* --- threads ---------------------------------------------------------------------------------- */

enum { THREAD_COMMITS = 400, THREAD_READERS = 3 };

struct shared {
    struct wal *wal;
    struct fault_env *fe;
    _Atomic uint64_t committed_ids; /* ids below this one are committed */
    atomic_bool stop;
};

struct threaded_reader {
    struct shared *shared;
    uint64_t next_id;
    pthread_t thread;
};

static void *
read_along(void *context)
{
    struct threaded_reader *t = context;
    struct wal_reader *reader;
    uint64_t passed = 0;
    if (wal_reader_open(t->shared->wal, "thread", 0, &reader, NULL) != OK) return NULL;
    for (;;) {
        struct wal_record record;
        bool stop = atomic_load(&t->shared->stop);
        enum err e = wal_reader_next(reader, &record, NULL);
        if (e == ERR_AGAIN && stop) break;
        if (e == ERR_AGAIN) {
            sched_yield();
            continue;
        }
        if (e != OK) break;
        if (record.commit_end_pos != passed && passed != 0) wal_reader_pass(reader, passed);
        passed = record.commit_end_pos;
        if (record.type == WAL_SERIES) continue;
        uint64_t id = load_le64(record.payload.at);
        if (id != t->next_id || !bytes_equal(record.payload, id_payload(id))) break;
        t->next_id++;
    }
    wal_reader_close(reader);
    return NULL;
}

static void *
keep_house(void *context)
{
    struct shared *shared = context;
    while (!atomic_load(&shared->stop)) {
        err_ignore(wal_prepare(shared->wal, NULL), "a fault may hit it, too");
        err_ignore(wal_trim(shared->wal, wal_end(shared->wal), NULL), "likewise");
        struct wal_stats s;
        wal_stats(shared->wal, &s);
        sched_yield();
    }
    return NULL;
}

static void
remove_dir(const char *dir)
{
    err_ignore(env_remove_tree(env_real(), dir, NULL), "it is only litter");
}

/* One thread puts and commits, one prepares, trims and recycles, others follow. */
UNIT_TEST(test_readers_follow_a_log_that_other_threads_write_and_recycle)
{
    char parent[64] = "/tmp/wal_reader_test.XXXXXX";
    assert_non_null(mkdtemp(parent));
    char dir[80];
    snprintf(dir, sizeof dir, "%s/wal", parent);
    struct wal_rig rig = {.next_id = 1, .batch_first_id = 1};
    must(fault_env_new(env_real(), &rig.fe));
    rig.env = fault_env_env(rig.fe);
    rig.commits = calloc(COMMITS_MAX, sizeof *rig.commits);
    rig.options = (struct wal_options){
        .env = rig.env, .dir = dir, .segment_bytes = SMALL_SEGMENT, .batch_bytes_max = 256 * 1024};
    must(wal_rig_open(&rig));

    struct shared shared = {.wal = rig.wal, .fe = rig.fe};
    struct threaded_reader readers[THREAD_READERS];
    pthread_t house;
    for (unsigned i = 0; i < THREAD_READERS; i++) {
        readers[i] = (struct threaded_reader){.shared = &shared, .next_id = 1};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_along, &readers[i]), 0);
    }
    struct wal_stats s = {0};
    while (s.readers < THREAD_READERS) { /* from the beginning on */
        wal_stats(rig.wal, &s);
        sched_yield();
    }
    assert_int_equal(pthread_create(&house, NULL, keep_house, &shared), 0);
    for (unsigned i = 0; i < THREAD_COMMITS; i++) {
        wal_rig_put_many(&rig, 1 + i % 9);
        if (i % 100 == 50) {
            uint64_t ids = rig.batch_first_id;
            fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
            enum err e = wal_rig_commit(&rig);
            if (e != OK) { /* unless the fault hit the housekeeper's sync */
                must(wal_rig_reopen(&rig));
                rig.next_id = rig.batch_first_id = ids; /* the same records are added again */
            }
        } else {
            must(wal_rig_commit(&rig));
        }
    }
    atomic_store(&shared.stop, true);
    for (unsigned i = 0; i < THREAD_READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].next_id, rig.next_id);
    }
    pthread_join(house, NULL);
    wal_stats(rig.wal, &s);
    assert_true(s.segments_made_total > 5);
    assert_int_equal(s.readers_behind, 0);
    wal_free(rig.wal);
    fault_env_free(rig.fe);
    free(rig.commits);
    remove_dir(dir);
    rmdir(parent);
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, wal_print_seed)
    const struct CMUnitTest tests[] = {
        claim(test_readers_see_every_committed_record_once_in_order),
        claim(test_a_reader_may_begin_behind_any_commit),
        claim(test_a_reader_goes_on_from_its_position_after_a_restart),
        claim(test_a_reader_holds_back_what_it_has_not_passed),
        claim(test_a_reader_of_a_trimmed_segment_gets_an_error),
        claim(test_a_segment_that_was_never_used_leaves_no_reader_behind),
        claim(test_bytes_of_a_recycled_file_are_not_taken_for_what_was_wanted),
        claim(test_a_reader_skips_damage_once_and_gives_what_recovery_gives),
        claim(test_a_reader_passes_over_a_segment_that_is_missing),
        claim(test_a_reader_tries_again_what_the_machine_refused),
        claim(test_readers_follow_a_log_that_other_threads_write_and_recycle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
