/* dead_letters_test.c - letters are added, replayed, dropped and removed; the files stay
 * within bounds. */
#include "base/hash/crc32c.h"
#include "lib/relay/letters_rig.h"
#include "lib/test.h"

/* --- kept ------------------------------------------------------------------------------------- */

UNIT_TEST(test_letters_of_every_kind_come_back_whole_and_are_counted)
{
    struct letters_rig rig;
    letters_rig_init(&rig, 1);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 80);
    for (unsigned turn = 0; turn < 2; turn++) {
        letters_rig_look(&rig);
        assert_int_equal(rig.found_count, 80);
        letters_rig_check(&rig, 0, 80, KEPT);
        for (uint32_t id = 0; id < 80; id++) {
            assert_int_equal(rig.found[id].order, id); /* oldest first */
            assert_int_equal(rig.found[id].reason, id % REASONS);
        }
        struct dead_letters_counts counts = letters_rig_counts(&rig);
        assert_int_equal(counts.letters[ITEM_FLOAT], 50);
        assert_int_equal(counts.letters[ITEM_HISTOGRAM], 10);
        assert_int_equal(counts.letters[ITEM_EXEMPLAR], 10);
        assert_int_equal(counts.letters[ITEM_METADATA], 10);
        assert_int_equal(letters_sum(counts.replaying), 0);
        assert_int_equal(counts.damaged, 0);
        assert_int_equal(counts.bytes, letters_rig_files(&rig).bytes);
        letters_rig_restart(&rig);
    }
    letters_rig_fini(&rig);
}

UNIT_TEST(test_nothing_is_made_before_the_first_letter)
{
    struct letters_rig rig;
    uint64_t count;
    letters_rig_init(&rig, 2);
    must(letters_rig_open(&rig));
    must(dead_letters_sync(rig.letters, &rig.why));
    must(letters_rig_tend(&rig));
    must(dead_letters_revoke(rig.letters, 1, 2, &rig.why));
    must(dead_letters_sync(rig.letters, &rig.why));
    struct dead_letter letter;
    assert_int_equal(dead_letters_next_replay(rig.letters, &letter, &rig.why), ERR_MISSING);
    assert_int_equal(env_rmdir(rig.env, "/relay/east/dead-letters", NULL), ERR_MISSING);
    assert_int_equal(
        dead_letters_each(rig.env, LETTERS_DIR, NULL, letters_rig_note, &rig, NULL, &rig.why),
        ERR_MISSING);
    assert_int_equal(letters_rig_request(&rig, DEAD_LETTERS_DROP, NULL, &count), ERR_MISSING);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_a_letter_is_durable_with_the_next_sync_only)
{
    struct letters_rig rig;
    letters_rig_init(&rig, 3);
    must(letters_rig_open(&rig));
    must(letters_rig_add(&rig, 0, 0));
    letters_rig_restart(&rig);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 0);
    must(letters_rig_add(&rig, 1, 0));
    must(dead_letters_sync(rig.letters, &rig.why));
    sim_env_power_loss(rig.sim);
    letters_rig_restart(&rig);
    letters_rig_look(&rig);
    assert_int_equal(rig.found_count, 1);
    letters_rig_check(&rig, 1, 1, KEPT);
    letters_rig_fini(&rig);
}

/* The letters need several batches without a sync, and several files. */
UNIT_TEST(test_many_letters_go_to_several_files_and_memory_stays_flat)
{
    struct letters_rig rig;
    letters_rig_init(&rig, 4);
    rig.options.max_bytes = 8 * 512 * 1024;
    must(letters_rig_open(&rig));
    for (uint32_t id = 0; id < 20000; id++) {
        must(letters_rig_add(&rig, id, 0));
    }
    must(dead_letters_sync(rig.letters, &rig.why));
    struct letters_files files = letters_rig_files(&rig);
    assert_true(files.count >= 4);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 20000);
    assert_true(budget_used(&rig.memory) < 700 * 1024);
    letters_rig_close(&rig);
    must(letters_rig_open_at(&rig, made_letter_pos(20000),
                             0)); /* identities of letters before the cursor are not needed */
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 20000);
    must(dead_letters_sync(rig.letters, &rig.why)); /* the last batch was read */
    assert_true(budget_used(&rig.memory) < 500 * 1024);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_a_letter_added_again_after_a_restart_counts_once)
{
    struct letters_rig rig;
    letters_rig_init(&rig, 5);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 30);
    letters_rig_close(&rig);
    must(letters_rig_open_at(&rig, made_letter_pos(10), made_letter_index(10)));
    for (unsigned turn = 0; turn < 2; turn++) {
        for (uint32_t id = 10; id < 20; id++) {
            must(letters_rig_add(&rig, id,
                                 (id + 1) % REASONS)); /* also the second time in a session */
        }
    }
    for (uint32_t id = 20; id < 30; id++) {
        must(
            dead_letters_revoke(rig.letters, made_letter_pos(id), made_letter_index(id), &rig.why));
        must(
            dead_letters_revoke(rig.letters, made_letter_pos(id), made_letter_index(id), &rig.why));
    }
    must(dead_letters_revoke(rig.letters, made_letter_pos(3), made_letter_index(3),
                             &rig.why)); /* unknown */
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 20);
    must(dead_letters_sync(rig.letters, &rig.why));
    letters_rig_restart(&rig);
    letters_rig_look(&rig);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 20);
    letters_rig_check(&rig, 0, 20, KEPT);
    letters_rig_check(&rig, 20, 10, ABSENT);
    for (uint32_t id = 10; id < 20; id++) {
        assert_int_equal(rig.found[id].reason, (id + 1) % REASONS);
    }
    letters_rig_fini(&rig);
}

UNIT_TEST(test_a_letter_too_long_is_refused)
{
    struct letters_rig rig;
    struct letter_memory m;
    letters_rig_init(&rig, 6);
    must(letters_rig_open(&rig));
    struct buf text;
    buf_init(&text, NULL, 17 * 1024 * 1024);
    while (text.size < 16 * 1024 * 1024 - 200) {
        buf_put_text(&text, "and so it went on");
    }
    struct dead_letter letter = made_letter(6, 0, &m);
    letter.item.help = buf_bytes(&text);
    must(dead_letters_add(rig.letters, &letter, &rig.why));
    must(letters_rig_add(&rig, 7, 0));
    while (text.size < 16 * 1024 * 1024) {
        buf_put_text(&text, "longer and longer");
    }
    letter.item.help = buf_bytes(&text);
    letter.index++;
    assert_int_equal(dead_letters_add(rig.letters, &letter, &rig.why), ERR_LIMIT);
    must(letters_rig_add(&rig, 8, 0));
    must(dead_letters_sync(rig.letters, &rig.why));
    letters_rig_restart(&rig);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 3);
    assert_int_equal(letters_rig_counts(&rig).damaged, 0);
    buf_fini(&text);
    letters_rig_fini(&rig);
}

/* --- decided ---------------------------------------------------------------------------------- */

/* Returns the number of the next letter to be replayed. */
static uint32_t
next_id(struct letters_rig *rig)
{
    struct dead_letter letter;
    must(dead_letters_next_replay(rig->letters, &letter, &rig->why));
    return made_letter_check(&letter);
}

static void
check_no_next(struct letters_rig *rig)
{
    struct dead_letter letter;
    assert_int_equal(dead_letters_next_replay(rig->letters, &letter, &rig->why), ERR_MISSING);
}

UNIT_TEST(test_replayed_letters_come_oldest_first_and_go_or_stay)
{
    struct letters_rig rig;
    uint64_t count;
    struct dead_letter letter;
    letters_rig_init(&rig, 10);
    rig.options.max_bytes = 64 * 1024; /* several files */
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 120);
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    assert_int_equal(count, 120);
    letters_rig_look(&rig);
    letters_rig_check(&rig, 0, 120, REPLAYING); /* although it waits */
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 0);
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_sum(rig.moved.replaying), 120);
    assert_int_equal(rig.moved.replaying[ITEM_HISTOGRAM], 15);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 120);
    assert_int_equal(letters_rig_files(&rig).requests, 0);
    for (uint32_t id = 0; id < 120; id++) {
        assert_int_equal(next_id(&rig), id);
    }
    check_no_next(&rig);
    for (uint32_t id = 0; id < 120; id++) {
        must(dead_letters_load(rig.letters, made_letter_pos(id), made_letter_index(id), &letter,
                               &rig.why));
        assert_int_equal(made_letter_check(&letter), id);
        must(letters_rig_settle(&rig, id, id % 4 != 0, 1));
        assert_int_equal(letters_rig_settle(&rig, id, true, 0), ERR_MISSING);
        assert_int_equal(dead_letters_load(rig.letters, made_letter_pos(id), made_letter_index(id),
                                           &letter, &rig.why),
                         ERR_MISSING);
    }
    check_no_next(&rig);
    must(dead_letters_sync(rig.letters, &rig.why));
    for (unsigned turn = 0; turn < 2; turn++) {
        assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 30);
        assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 0);
        letters_rig_look(&rig);
        for (uint32_t id = 0; id < 120; id++) {
            letters_rig_check(&rig, id, 1, id % 4 == 0 ? KEPT : ABSENT);
            if (id % 4 == 0) assert_int_equal(rig.found[id].reason, 1);
        }
        letters_rig_restart(&rig);
    }
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_sum(rig.moved.dropped_full), 0);
    assert_true(letters_rig_files(&rig).count <
                3); /* files whose letters are all decided are removed */
    letters_rig_fini(&rig);
}

UNIT_TEST(test_replaying_letters_are_returned_again_after_a_restart)
{
    struct letters_rig rig;
    uint64_t count;
    letters_rig_init(&rig, 11);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 10);
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    must(letters_rig_tend(&rig));
    assert_int_equal(next_id(&rig), 0);
    assert_int_equal(next_id(&rig), 1);
    must(letters_rig_settle(&rig, 0, true, 0));
    must(letters_rig_settle(&rig, 1, true, 0)); /* not synced */
    letters_rig_restart(&rig);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 10);
    assert_int_equal(next_id(&rig), 0);
    must(letters_rig_settle(&rig, 0, false, 2));
    must(dead_letters_sync(rig.letters, &rig.why));
    letters_rig_restart(&rig);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 9);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 1);
    for (uint32_t id = 1; id < 10; id++) {
        assert_int_equal(next_id(&rig), id);
    }
    check_no_next(&rig);
    letters_rig_fini(&rig);
}

/* A letter may be known as before the cursor, be replayed, and be read as an item again. */
UNIT_TEST(test_a_replaying_letter_that_is_added_again_is_kept_once)
{
    struct letters_rig rig;
    uint64_t count;
    letters_rig_init(&rig, 12);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 3);
    letters_rig_restart(&rig);
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    must(letters_rig_tend(&rig));
    for (uint32_t id = 0; id < 3; id++) {
        assert_int_equal(next_id(&rig), id);
    }
    must(letters_rig_add(&rig, 0, 1));
    assert_int_equal(letters_rig_settle(&rig, 0, true, 0),
                     ERR_MISSING); /* the letter was from another life */
    must(letters_rig_settle(&rig, 1, false, 2));
    must(letters_rig_add(&rig, 1, 0));
    must(dead_letters_revoke(rig.letters, made_letter_pos(2), made_letter_index(2), &rig.why));
    assert_int_equal(letters_rig_settle(&rig, 2, false, 0), ERR_MISSING);
    must(dead_letters_sync(rig.letters, &rig.why));
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 2);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 0);
    letters_rig_restart(&rig);
    letters_rig_look(&rig);
    letters_rig_check(&rig, 0, 2, KEPT);
    letters_rig_check(&rig, 2, 1, ABSENT);
    assert_int_equal(rig.found[0].reason, 1);
    assert_int_equal(rig.found[1].reason, 0);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_a_request_means_the_letters_of_its_time_and_reason)
{
    struct letters_rig rig;
    uint64_t count;
    letters_rig_init(&rig, 13);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 30);
    must(letters_rig_request(&rig, DEAD_LETTERS_DROP, letter_reasons[1], &count));
    assert_int_equal(count, 10);
    must(letters_rig_request(&rig, DEAD_LETTERS_DROP, letter_reasons[1], &count));
    assert_int_equal(count, 0); /* it is requested already */
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, "never heard of", &count));
    assert_int_equal(count, 0);
    assert_int_equal(letters_rig_files(&rig).requests, 1);
    letters_rig_add_many(&rig, 30, 30);
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, letter_reasons[1], &count));
    assert_int_equal(count, 10); /* the ones that came later */
    letters_rig_look(&rig);
    assert_int_equal(rig.found_count, 50);
    must(letters_rig_add(&rig, 61, 1)); /* a new letter */
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_sum(rig.moved.dropped), 10);
    assert_int_equal(letters_sum(rig.moved.replaying), 10);
    letters_rig_look(&rig);
    for (uint32_t id = 0; id < 60; id++) {
        enum letters_found_state other = id < 30 ? ABSENT : REPLAYING;
        letters_rig_check(&rig, id, 1, id % REASONS == 1 ? other : KEPT);
    }
    letters_rig_check(&rig, 61, 1, KEPT);
    must(letters_rig_request(&rig, DEAD_LETTERS_DROP, NULL, &count));
    assert_int_equal(count, 41); /* except letters that are being replayed */
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 0);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 10);
    char reason[300];
    memset(reason, 'x', sizeof reason);
    reason[sizeof reason - 1] = '\0';
    assert_int_equal(letters_rig_request(&rig, DEAD_LETTERS_DROP, reason, &count), ERR_INPUT);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_a_second_replay_begins_with_the_oldest_again)
{
    struct letters_rig rig;
    uint64_t count;
    letters_rig_init(&rig, 16);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 30);
    for (uint32_t reason = REASONS; reason-- > 0;) {
        must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, letter_reasons[reason], &count));
        must(letters_rig_tend(&rig));
        for (uint32_t id = reason; id < 30; id += REASONS) {
            assert_int_equal(next_id(&rig), id);
        }
        check_no_next(&rig);
    }
    letters_rig_fini(&rig);
}

UNIT_TEST(test_requests_wait_for_a_relay_that_is_not_at_work)
{
    struct letters_rig rig;
    uint64_t count;
    letters_rig_init(&rig, 14);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 9);
    letters_rig_close(&rig);
    must(letters_rig_request(&rig, DEAD_LETTERS_DROP, letter_reasons[0], &count));
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, letter_reasons[1], &count));
    sim_env_power_loss(rig.sim);
    must(letters_rig_open(&rig));
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 9);
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_sum(rig.moved.dropped), 3);
    assert_int_equal(letters_sum(rig.moved.replaying), 3);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 3);
    letters_rig_fini(&rig);
}

/* One file is random text, another a request of a later version. */
UNIT_TEST(test_files_that_are_not_requests_do_no_harm)
{
    struct letters_rig rig;
    letters_rig_init(&rig, 15);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 3);
    static const char dir[] = "/relay/east/dead-letters";
    static const char bad[] = "00000000000000010000000000000001.request";
    static const char *const others[] = {"request",          "1.request",
                                         "x.letters",        "00000000.letters",
                                         "0000000g.letters", "00000001.letters.old"};
    must(env_write_whole(rig.env, dir, bad, bytes_of_text("scribble"), NULL));
    for (unsigned i = 0; i < 6; i++) {
        must(env_write_whole(rig.env, dir, others[i], bytes_of_text("scribble"), NULL));
    }
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 3);
    struct file file;
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, bad);
    assert_int_equal(file_open(rig.env, path, FILE_READ, &file, NULL), ERR_MISSING);
    letters_rig_restart(&rig);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 3);
    letters_rig_fini(&rig);
}

/* --- bounds ----------------------------------------------------------------------------------- */

UNIT_TEST(test_the_oldest_files_go_for_the_budget)
{
    struct letters_rig rig;
    uint64_t count, gone = 0;
    letters_rig_init(&rig, 20);
    rig.options.max_bytes = 32 * 1024;
    must(letters_rig_open(&rig));
    for (uint32_t id = 0; id < 1200; id++) {
        must(letters_rig_add(&rig, id, 0));
        if (id == 100) must(dead_letters_sync(rig.letters, &rig.why));
        if (id == 100) must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
        if (id % 10 != 9) continue;
        must(letters_rig_tend(&rig));
        if (id == 109) assert_int_equal(next_id(&rig), 0);
        struct dead_letters_counts counts = letters_rig_counts(&rig);
        gone = letters_sum(rig.moved.dropped_full);
        assert_true(counts.bytes <= rig.options.max_bytes);
        assert_int_equal(counts.bytes, letters_rig_files(&rig).bytes);
        assert_int_equal(letters_sum(counts.letters) + letters_sum(counts.replaying) + gone,
                         id + 1);
    }
    assert_true(gone > 600);
    assert_int_equal(letters_rig_settle(&rig, 0, false, 0), ERR_MISSING);
    letters_rig_restart(&rig);
    letters_rig_look(&rig);
    letters_rig_check(&rig, 0, (uint32_t)gone, ABSENT);
    letters_rig_check(&rig, (uint32_t)gone, 1200 - (uint32_t)gone, KEPT);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_no_budget_keeps_nothing_and_no_number_of_a_file_comes_twice)
{
    struct letters_rig rig;
    char last[128] = "";
    letters_rig_init(&rig, 21);
    rig.options.max_bytes = 0;
    must(letters_rig_open(&rig));
    for (uint32_t id = 0; id < 5; id++) {
        letters_rig_add_many(&rig, id, 1);
        must(letters_rig_tend(&rig));
        assert_int_equal(letters_sum(rig.moved.dropped_full), 1);
        struct letters_files files = letters_rig_files(&rig);
        assert_int_equal(files.count, 1);
        assert_true(strcmp(files.last, last) > 0);
        snprintf(last, sizeof last, "%s", files.last);
        sim_env_power_loss(rig.sim); /* deleted letters do not return */
        letters_rig_restart(&rig);
        assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 0);
    }
    letters_rig_fini(&rig);
}

UNIT_TEST(test_letters_go_with_the_youngest_of_their_file)
{
    struct letters_rig rig;
    letters_rig_init(&rig, 22);
    rig.options.max_age_ms = 80;
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 100); /* one per millisecond */
    int64_t first = made_letter_failed_ms(0);
    uint64_t before = 0;
    assert_true(letters_rig_files(&rig).count >= 8);
    for (int64_t now = 0; now <= 200; now++) {
        must(letters_rig_tend_at(&rig, first + now));
        uint64_t gone = letters_sum(rig.moved.dropped_full);
        int64_t all = now - 80 < 0 ? 0 : now - 80; /* number of letters that are too old */
        assert_true(gone <= (uint64_t)all);
        assert_true(gone + 12 >= (uint64_t)(all < 100 ? all : 100));
        assert_true(gone >= before);
        before = gone;
    }
    assert_int_equal(before, 100);
    assert_int_equal(letters_rig_files(&rig).count, 1);
    letters_rig_fini(&rig);
}

/* Marks about older letters are in files that are removed. */
UNIT_TEST(test_files_without_a_letter_go_and_what_they_said_stays)
{
    for (uint64_t seed = 30; seed < 40; seed++) {
        struct letters_rig rig;
        uint64_t count;
        letters_rig_init(&rig, seed);
        rig.options.max_bytes = 64 * 1024; /* files of 8 KiB */
        must(letters_rig_open(&rig));
        letters_rig_add_many(&rig, 0, 90); /* two files; some letters of each stay */
        must(letters_rig_request(&rig, DEAD_LETTERS_DROP, letter_reasons[0], &count));
        must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, letter_reasons[1], &count));
        must(letters_rig_tend(&rig));
        for (unsigned i = 0; i < 5; i++) {
            uint32_t id = next_id(&rig);
            must(letters_rig_settle(&rig, id, true, 0));
        }
        for (uint32_t id = 90; id < 400; id++) {
            must(letters_rig_add(&rig, id, 2));
        }
        must(dead_letters_sync(rig.letters, &rig.why));
        uint32_t before = letters_rig_files(&rig).count;
        /* All later letters are removed, file by file, so the marks in their files must be
         * written again. */
        must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, letter_reasons[2], &count));
        must(letters_rig_tend(&rig));
        struct dead_letter letter;
        while (dead_letters_next_replay(rig.letters, &letter, &rig.why) == OK) {
            uint32_t id = made_letter_check(&letter);
            if (id >= 90) must(letters_rig_settle(&rig, id, true, 0));
        }
        must(letters_rig_tend(&rig));
        assert_int_equal(letters_sum(rig.moved.dropped_full), 0);
        assert_true(letters_rig_files(&rig).count + 1 < before);
        sim_env_power_loss(rig.sim);
        for (unsigned turn = 0; turn < 2; turn++) {
            letters_rig_restart(&rig);
            must(letters_rig_tend(&rig));
            letters_rig_look(&rig);
            for (uint32_t id = 0; id < 90; id++) {
                bool delivered = id % REASONS == 1 && id <= 13;
                letters_rig_check(&rig, id, 1, id % REASONS == 0 || delivered ? ABSENT : REPLAYING);
            }
            letters_rig_check(&rig, 90, 310, ABSENT);
        }
        letters_rig_fini(&rig);
    }
}

/* --- damage ----------------------------------------------------------------------------------- */

UNIT_TEST(test_damage_costs_its_letter_and_is_counted)
{
    struct letters_rig rig;
    letters_rig_init(&rig, 40);
    must(letters_rig_open(&rig));
    for (uint32_t id = 0; id < 40; id++) {
        letters_rig_add_many(&rig, id, 1);
    }
    letters_rig_close(&rig);
    struct letters_files files = letters_rig_files(&rig);
    uint32_t lost = 0;
    for (uint64_t part = 1; part < 4; part++) {
        must(sim_env_damage(rig.sim, files.last, files.bytes * part / 4));
        must(letters_rig_open(&rig));
        struct dead_letters_counts counts = letters_rig_counts(&rig);
        assert_int_equal(counts.damaged, part);
        assert_int_equal(letters_sum(counts.letters), 40 - part);
        letters_rig_look(&rig);
        assert_int_equal(rig.damaged, part);
        letters_rig_close(&rig);
    }
    must(sim_env_damage(rig.sim, files.last, 3)); /* the header */
    must(letters_rig_open(&rig));
    assert_int_equal(letters_rig_counts(&rig).damaged, 4);
    letters_rig_add_many(&rig, 40, 3); /* in another file */
    assert_int_equal(letters_rig_files(&rig).count, 2);
    letters_rig_restart(&rig);
    letters_rig_look(&rig);
    for (uint32_t id = 0; id < 40; id++) {
        lost += rig.found[id].found == ABSENT;
    }
    assert_int_equal(lost, 3);
    letters_rig_check(&rig, 40, 3, KEPT);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_an_end_that_a_crash_left_is_not_damage)
{
    struct letters_rig rig;
    letters_rig_init(&rig, 41);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 10);
    letters_rig_add_many(&rig, 10, 10); /* the last batch */
    struct letters_files files = letters_rig_files(&rig);
    struct file file;
    must(file_open(rig.env, files.last, FILE_UPDATE, &file, NULL));
    must(file_truncate(&file, files.bytes - 5, NULL));
    must(file_close(&file));
    letters_rig_restart(&rig);
    assert_int_equal(letters_rig_counts(&rig).damaged, 0);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 19);
    must(letters_rig_add(&rig, 19, 0));
    must(dead_letters_sync(rig.letters, &rig.why));
    letters_rig_restart(&rig);
    assert_int_equal(letters_rig_counts(&rig).damaged, 0);
    letters_rig_look(&rig);
    letters_rig_check(&rig, 0, 20, KEPT);
    letters_rig_fini(&rig);
}

/* Any sectors of the last write may have reached the disk. */
UNIT_TEST(test_a_gap_that_a_crash_left_costs_its_letter_but_is_not_damage)
{
    struct letters_rig rig;
    letters_rig_init(&rig, 45);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 10);
    uint64_t before = letters_rig_files(&rig).bytes;
    letters_rig_add_many(&rig, 10, 10);
    must(sim_env_damage(rig.sim, letters_rig_files(&rig).last,
                        (before + letters_rig_files(&rig).bytes) / 2));
    for (uint32_t turn = 0; turn < 3; turn++) {
        letters_rig_restart(&rig);
        assert_int_equal(letters_rig_counts(&rig).damaged, 0);
        assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 19 + 5 * turn);
        letters_rig_add_many(&rig, 20 + 5 * turn, 5);
    }
    letters_rig_fini(&rig);
}

/* Files are read piece by piece: bytes that a crash left after the end do not belong to it. */
UNIT_TEST(test_letters_written_over_torn_bytes_are_read_as_written)
{
    struct letters_rig rig;
    struct dead_letter letter;
    struct file file;
    static const uint8_t torn[2000];
    uint64_t count;
    letters_rig_init(&rig, 46);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 10);
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    must(letters_rig_tend(&rig));
    must(letters_rig_save(&rig));
    letters_rig_close(&rig);
    struct letters_files files = letters_rig_files(&rig);
    must(file_open(rig.env, files.last, FILE_UPDATE, &file, NULL));
    must(file_write_at(&file, bytes_of(torn, sizeof torn), files.bytes, NULL));
    must(file_close(&file));
    must(letters_rig_open(&rig));
    for (uint32_t id = 0; id < 10; id++) {
        must(dead_letters_next_replay(rig.letters, &letter, &rig.why));
        must(letters_rig_settle(&rig, id, id % 2 == 0, 1)); /* some are written again, at the end */
    }
    must(dead_letters_sync(rig.letters, &rig.why));
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_sum(rig.moved.lost), 0);
    assert_int_equal(letters_sum(rig.moved.replaying), 5);
    assert_int_equal(letters_rig_counts(&rig).damaged, 0);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_unwritten_letters_are_kept_when_a_replay_ends)
{
    struct letters_rig rig;
    struct dead_letter letter;
    uint64_t count;
    letters_rig_init(&rig, 47);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 10);
    letters_rig_add_many(
        &rig, 0, 1); /* both have one identity: the second waits until the first is settled */
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    must(letters_rig_tend(&rig));
    for (uint32_t id = 0; id < 10; id++) {
        must(dead_letters_next_replay(rig.letters, &letter, &rig.why));
    }
    must(letters_rig_add(&rig, 20, 1));
    assert_int_equal(dead_letters_next_replay(rig.letters, &letter, &rig.why), ERR_MISSING);
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_sum(rig.moved.lost), 0);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 1);
    assert_int_equal(letters_rig_counts(&rig).damaged, 0);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_letters_of_a_newer_version_are_left_alone)
{
    struct letters_rig rig;
    uint64_t count;
    uint8_t header[20];
    struct file file;
    letters_rig_init(&rig, 42);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 3);
    letters_rig_close(&rig);
    must(file_open(rig.env, letters_rig_files(&rig).last, FILE_UPDATE, &file, NULL));
    must(file_read_at(&file, header, sizeof header, 0, NULL));
    store_le32(header + 8, 7);
    store_le32(header + 12, 6);
    store_le32(header + 16, crc32c(0, bytes_of(header, 16)));
    must(file_write_at(&file, bytes_of(header, sizeof header), 0, NULL));
    must(file_close(&file));
    assert_int_equal(letters_rig_open(&rig), ERR_UNSUPPORTED);
    assert_non_null(strstr(rig.why.text, "version 7 (minimum reader 6) is newer than version"));
    assert_int_equal(
        dead_letters_each(rig.env, LETTERS_DIR, NULL, letters_rig_note, &rig, NULL, &rig.why),
        ERR_UNSUPPORTED);
    assert_int_equal(letters_rig_request(&rig, DEAD_LETTERS_DROP, NULL, &count), ERR_UNSUPPORTED);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_a_file_that_is_gone_takes_its_letters_along)
{
    struct letters_rig rig;
    uint64_t count;
    letters_rig_init(&rig, 43);
    rig.options.max_bytes = 32 * 1024;
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 60); /* two files */
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_rig_files(&rig).count, 2);
    must(env_unlink(rig.env, "/relay/east/dead-letters/00000001.letters", NULL));
    uint32_t first = next_id(&rig), left = 60 - first;
    assert_in_range(first, 20, 50);
    assert_int_equal(letters_rig_counts(&rig).damaged, 1);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), left);
    must(letters_rig_tend(&rig));
    letters_rig_restart(&rig);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), left);
    must(env_unlink(rig.env, letters_rig_files(&rig).last,
                    NULL)); /* the file that is being written */
    letters_rig_add_many(&rig, 60, 3);
    letters_rig_restart(&rig);
    assert_true(letters_rig_counts(&rig).damaged > 0);
    letters_rig_look(&rig);
    letters_rig_check(&rig, 60, 3, KEPT);
    letters_rig_fini(&rig);
}

/* A letter that was read at the start cannot be read any more. */
UNIT_TEST(test_a_letter_damaged_while_it_is_replayed_goes_and_is_counted)
{
    struct letters_rig rig;
    uint64_t count;
    struct dead_letter letter;
    letters_rig_init(&rig, 44);
    must(letters_rig_open(&rig));
    letters_rig_add_many(&rig, 0, 2000);
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    must(letters_rig_tend(&rig));
    for (uint32_t id = 0; id < 2000; id++) {
        assert_int_equal(next_id(&rig), id);
    }
    must(sim_env_damage(rig.sim, letters_rig_files(&rig).last, 50));
    assert_int_equal(
        dead_letters_load(rig.letters, made_letter_pos(0), made_letter_index(0), &letter, &rig.why),
        ERR_MISSING);
    assert_int_equal(letters_rig_settle(&rig, 0, false, 0), ERR_MISSING);
    assert_int_equal(letters_rig_counts(&rig).damaged, 1);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 1999);
    must(letters_rig_settle(&rig, 1, false, 0));
    must(dead_letters_sync(rig.letters, &rig.why));
    letters_rig_restart(&rig);
    assert_int_equal(letters_rig_counts(&rig).damaged, 1);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 1998);
    letters_rig_fini(&rig);
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, letters_rig_tell_seed)
    const struct CMUnitTest tests[] = {
        claim(test_letters_of_every_kind_come_back_whole_and_are_counted),
        claim(test_nothing_is_made_before_the_first_letter),
        claim(test_a_letter_is_durable_with_the_next_sync_only),
        claim(test_many_letters_go_to_several_files_and_memory_stays_flat),
        claim(test_a_letter_added_again_after_a_restart_counts_once),
        claim(test_a_letter_too_long_is_refused),
        claim(test_replayed_letters_come_oldest_first_and_go_or_stay),
        claim(test_replaying_letters_are_returned_again_after_a_restart),
        claim(test_a_replaying_letter_that_is_added_again_is_kept_once),
        claim(test_a_request_means_the_letters_of_its_time_and_reason),
        claim(test_a_second_replay_begins_with_the_oldest_again),
        claim(test_requests_wait_for_a_relay_that_is_not_at_work),
        claim(test_files_that_are_not_requests_do_no_harm),
        claim(test_the_oldest_files_go_for_the_budget),
        claim(test_no_budget_keeps_nothing_and_no_number_of_a_file_comes_twice),
        claim(test_letters_go_with_the_youngest_of_their_file),
        claim(test_files_without_a_letter_go_and_what_they_said_stays),
        claim(test_damage_costs_its_letter_and_is_counted),
        claim(test_an_end_that_a_crash_left_is_not_damage),
        claim(test_a_gap_that_a_crash_left_costs_its_letter_but_is_not_damage),
        claim(test_letters_written_over_torn_bytes_are_read_as_written),
        claim(test_unwritten_letters_are_kept_when_a_replay_ends),
        claim(test_letters_of_a_newer_version_are_left_alone),
        claim(test_a_file_that_is_gone_takes_its_letters_along),
        claim(test_a_letter_damaged_while_it_is_replayed_goes_and_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
