/*
 * wal_damage_test.c - recovery from bytes, headers and files that differ from what was written:
 * damage is distinguished from torn tails, and everything else is delivered.
 */
#include "lib/test.h"
#include "lib/wal_rig.h"

/* --- damage: every byte ----------------------------------------------------------------------- */

/* Makes a small log of three segments, each from its own life, so that they are short. */
static void
make_small_log(struct wal_rig *rig, uint64_t seed)
{
    wal_rig_init(rig, seed);
    for (unsigned life = 0; life < 3; life++) {
        must(wal_rig_open(rig));
        for (unsigned i = 0; i < 3; i++) {
            wal_rig_put_many(rig, 1 + (i + life) % 3);
            must(wal_rig_commit(rig));
        }
        wal_rig_close(rig);
    }
}

/* Checks that everything was found except commit `hit`, of which at most one record is missing. */
static void
check_all_but(struct wal_rig *rig, const struct findings *f, uint32_t hit)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < rig->commit_count; i++) {
        const struct model_commit *c = &rig->commits[i];
        uint32_t missing = 0;
        for (uint32_t k = 0; k < c->count; k++) {
            bool there = at < f->count && f->items[at].id == c->first_id + k;
            if (there) assert_int_equal(f->items[at].salvaged, i == hit);
            at += there;
            missing += !there;
        }
        if (i != hit) assert_int_equal(missing, 0);
        if (i == hit && i + 1 < rig->commit_count) assert_true(missing <= 1);
        if (i == hit && i + 1 == rig->commit_count) assert_int_equal(missing, c->count);
    }
    assert_int_equal(at, f->count);
}

static void
check_flip(struct wal_rig *rig, const struct segment *segment, uint64_t offset)
{
    struct seen s = wal_rig_verify(rig);
    uint64_t pos = segment->base_pos + offset - SEGMENT_HEADER_BYTES;
    uint32_t hit = 0;
    while (hit < rig->commit_count && rig->commits[hit].end_pos <= pos)
        hit++;
    if (offset < SEGMENT_HEADER_BYTES) { /* the other copy is used */
        assert_int_equal(s.damage.places, 1);
        check_all_but(rig, &s.f, UINT32_MAX);
        assert_int_equal(s.f.undefined_count, 0);
    } else if (hit + 1 < rig->commit_count) {
        assert_int_equal(s.damage.places, 1);
        assert_true(s.damage.bytes > 0);
        assert_int_equal(s.damage.torn_bytes, 0);
        assert_non_null(strstr(s.damage.first, segment_file(segment->number)));
        assert_int_equal(s.damage.samples[LEDGER_FLOAT], rig->commits[hit].floats);
        check_all_but(rig, &s.f, hit);
    } else { /* nothing shows that the last commit was ever durable */
        assert_int_equal(s.damage.places, 0);
        assert_int_equal(s.damage.samples[LEDGER_FLOAT], 0);
        check_all_but(rig, &s.f, hit);
    }
    findings_fini(&s.f);
}

UNIT_TEST(test_any_byte_flipped_costs_its_record_and_is_reported)
{
    struct wal_rig rig;
    make_small_log(&rig, 300);
    struct segment_list list;
    must(segment_list_read(rig.env, "/wal", NULL, &list, NULL));
    assert_int_equal(list.count, 3);
    unsigned flips = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        size_t size;
        uint8_t *at = wal_rig_read_file(&rig, segment_file(list.items[i].number), &size);
        for (size_t offset = 0; offset < size; offset++) {
            /* The space between the copies of the header is empty. */
            if (offset < SEGMENT_HEADER_BYTES && offset % SEGMENT_COPY_OFFSET >= SEGMENT_COPY_BYTES)
                continue;
            uint8_t flipped = at[offset] ^ (uint8_t)(1u << wal_rig_random(&rig, 8));
            wal_rig_patch_file(&rig, segment_file(list.items[i].number), &flipped, 1, offset);
            check_flip(&rig, &list.items[i], offset);
            wal_rig_patch_file(&rig, segment_file(list.items[i].number), &at[offset], 1, offset);
            flips++;
        }
        free(at);
    }
    assert_true(flips > 4000);
    segment_list_fini(&list, NULL);
    must(wal_rig_open(&rig)); /* restored */
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_log_cut_off_anywhere_is_torn_there_and_not_damaged)
{
    struct wal_rig rig;
    make_small_log(&rig, 301);
    struct segment_list list;
    must(segment_list_read(rig.env, "/wal", NULL, &list, NULL));
    const struct segment *newest = &list.items[2];
    uint64_t begin = segment_offset(newest, rig.commits[rig.commit_count - 2].end_pos);
    const char *path = segment_file(newest->number);
    for (uint64_t size = newest->file_bytes; size >= begin; size--) {
        struct file file;
        must(file_open(rig.env, path, FILE_UPDATE, &file, NULL));
        must(file_truncate(&file, size, NULL));
        must(file_close(&file));
        struct seen s = wal_rig_verify(&rig);
        assert_int_equal(s.damage.places, 0);
        check_all_but(&rig, &s.f, size == newest->file_bytes ? UINT32_MAX : rig.commit_count - 1);
        if (size < newest->file_bytes && size >= begin + COMMIT_RECORD_BYTES)
            assert_int_equal(s.damage.torn_bytes, newest->file_bytes - begin);
        findings_fini(&s.f);
    }
    segment_list_fini(&list, NULL);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_bytes_behind_the_end_do_not_matter)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 302);
    must(wal_rig_open(&rig));
    must(wal_prepare(rig.wal, NULL));
    wal_rig_fill(&rig, 5);
    const struct segment *s = wal_last_segment(rig.wal);
    for (unsigned i = 0; i < 50; i++) {
        uint64_t used = segment_offset(s, wal_end(rig.wal));
        must(sim_env_damage(rig.sim, segment_file(s->number),
                            used + wal_rig_random(&rig, s->file_bytes - used)));
        struct seen seen = wal_rig_verify(&rig);
        assert_int_equal(seen.damage.places, 0);
        assert_int_equal(seen.damage.torn_bytes, 0);
        findings_fini(&seen.f);
    }
    wal_rig_close(&rig);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 2);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

/* The end of such a log is after the damage; else the next start would not know of it. */
UNIT_TEST(test_damage_before_a_torn_tail_is_still_known_at_the_next_start)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 307);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 5);
    const struct model_commit *lost = &rig.commits[3];
    assert_true(lost->floats > 0);
    uint64_t number = wal_last_segment(rig.wal)->number;
    uint64_t from = segment_offset(wal_last_segment(rig.wal), rig.commits[2].end_pos);
    uint64_t last = segment_offset(wal_last_segment(rig.wal), rig.commits[4].end_pos) - 1;
    wal_rig_close(&rig);
    must(sim_env_damage(rig.sim, segment_file(number), from + 3)); /* the commit record itself */
    must(sim_env_damage(rig.sim, segment_file(number), last));
    for (unsigned life = 0; life < 3; life++) {
        struct findings f;
        must(wal_rig_open_finding(&rig, &f));
        assert_int_equal(rig.damage.places, 1);
        assert_int_equal(rig.damage.samples[LEDGER_FLOAT], lost->floats);
        if (life == 0) assert_true(rig.damage.torn_bytes > 0);
        findings_fini(&f);
        wal_rig_put_many(&rig, 1);
        must(wal_rig_commit(&rig));
        wal_rig_close(&rig);
    }
    wal_rig_fini(&rig);
}

/* The store has these samples already. */
UNIT_TEST(test_damage_before_the_wanted_position_is_not_reported)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 304);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 8);
    uint64_t number = wal_last_segment(rig.wal)->number;
    uint64_t at = segment_offset(wal_last_segment(rig.wal), rig.commits[1].end_pos);
    wal_rig_close(&rig);
    must(sim_env_damage(rig.sim, segment_file(number), at + 20));
    rig.store_pos = rig.commits[4].end_pos;
    struct findings f;
    must(wal_rig_open_finding(&rig, &f));
    assert_int_equal(rig.damage.places, 0);
    assert_int_equal(rig.damage.samples[LEDGER_FLOAT], 0);
    assert_int_equal(f.items[0].id, rig.commits[5].first_id);
    findings_fini(&f);
    wal_rig_fini(&rig);
}

/* --- damage: headers and whole files ---------------------------------------------------------- */

static uint64_t
floats_between(const struct wal_rig *rig, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < rig->commit_count; i++) {
        const struct model_commit *c = &rig->commits[i];
        if (c->fate == FATE_COMMITTED && c->end_pos > from && c->end_pos <= to) sum += c->floats;
    }
    return sum;
}

/* Checks that the commits that end in (from, to] are missing, and no others. */
static void
check_all_but_range(struct wal_rig *rig, struct findings *f, uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < rig->commit_count; i++) {
        struct model_commit *c = &rig->commits[i];
        if (c->end_pos > from && c->end_pos <= to) c->fate = FATE_VOID;
    }
    check_findings(rig, f);
}

static void
damage_headers(struct wal_rig *rig, uint64_t number)
{
    must(sim_env_damage(rig->sim, segment_file(number), wal_rig_random(rig, 512)));
    must(sim_env_damage(rig->sim, segment_file(number), 4096 + wal_rig_random(rig, 512)));
}

UNIT_TEST(test_a_segment_without_header_is_put_aside_and_all_others_serve)
{
    for (unsigned how = 0; how < 2; how++) {
        struct wal_rig rig;
        struct segment lost;
        wal_rig_make_long_log(&rig, 310 + how, 2, &lost);
        if (how == 0) damage_headers(&rig, lost.number);
        if (how == 1) must(env_unlink(rig.env, segment_file(lost.number), NULL));
        for (unsigned life = 0; life < 3; life++) {
            struct findings f;
            must(wal_rig_open_finding(&rig, &f));
            assert_int_equal(rig.damage.places, 1);
            assert_int_equal(rig.damage.bytes, lost.end_pos - lost.base_pos);
            if (life == 0) {
                assert_int_equal(rig.damage.samples[LEDGER_FLOAT],
                                 floats_between(&rig, lost.base_pos, lost.end_pos));
            }
            check_all_but_range(&rig, &f, lost.base_pos, lost.end_pos);
            findings_fini(&f);
            assert_false(wal_rig_file_exists(&rig, segment_file(lost.number)));
            char aside[80];
            snprintf(aside, sizeof aside, "%s.damaged", segment_file(lost.number));
            assert_int_equal(wal_rig_file_exists(&rig, aside), how == 0);
            wal_rig_fill(&rig, 2);
            wal_rig_close(&rig);
        }
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_a_lost_oldest_segment_is_damage_only_if_it_was_wanted)
{
    struct wal_rig rig;
    struct segment lost;
    wal_rig_make_long_log(&rig, 312, 0, &lost);
    must(env_unlink(rig.env, segment_file(lost.number), NULL));
    struct findings f;
    rig.store_pos = rig.commits[2].end_pos;
    must(wal_rig_open_finding(&rig, &f));
    assert_int_equal(rig.damage.places, 1);
    assert_int_equal(rig.damage.bytes, lost.end_pos - rig.store_pos);
    findings_fini(&f);
    wal_rig_close(&rig);
    rig.store_pos = lost.end_pos;
    must(wal_rig_open(&rig));
    wal_rig_fini(&rig);
}

/* Readers remember positions in the lost segment: new records need higher ones. */
UNIT_TEST(test_positions_of_a_lost_newest_segment_are_reported_and_not_reused)
{
    for (unsigned life = 0; life < 2; life++) {
        struct wal_rig rig;
        struct segment lost;
        wal_rig_make_long_log(&rig, 313 + life, 4, &lost);
        uint64_t end = rig.commits[rig.commit_count - 1].end_pos;
        damage_headers(&rig, lost.number);
        struct findings f;
        for (unsigned i = 0; i <= life; i++) { /* the first life may write nothing */
            must(wal_rig_open_finding(&rig, &f));
            assert_int_equal(rig.damage.places, 1);
            check_all_but_range(&rig, &f, lost.base_pos, end);
            findings_fini(&f);
            if (i < life) wal_rig_close(&rig);
        }
        assert_true(wal_filling(rig.wal).segment > lost.number);
        wal_rig_fill(&rig, 1);
        assert_true(wal_last_segment(rig.wal)->base_pos >= end);
        wal_rig_close(&rig);
        must(wal_rig_open(&rig)); /* from now on the lost segment has no effect */
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_one_damaged_copy_of_the_newest_header_is_mended)
{
    for (unsigned copy = 0; copy < 2; copy++) {
        struct wal_rig rig;
        struct segment newest;
        wal_rig_make_long_log(&rig, 315 + copy, 4, &newest);
        must(sim_env_damage(rig.sim, segment_file(newest.number), copy * 4096 + 100));
        struct findings f;
        must(wal_rig_open_finding(&rig, &f));
        assert_int_equal(rig.damage.places, 1);
        assert_non_null(strstr(rig.damage.first, "header"));
        check_findings(&rig, &f);
        findings_fini(&f);
        wal_rig_restart(&rig); /* no damage is left */
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_a_newest_segment_without_a_commit_ends_the_one_before)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 317);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 3);
    /* The commit's bytes reach the device, but its sync fails. */
    fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
    wal_rig_put_many(&rig, 3);
    assert_int_equal(wal_rig_commit(&rig), ERR_IO);
    must(wal_rig_reopen(&rig));
    assert_int_equal(rig.commits[3].fate, FATE_VOID);
    wal_rig_kill(&rig);
    for (unsigned life = 0; life < 3; life++) {
        must(wal_rig_open(&rig));
        wal_rig_power_loss(&rig);
    }
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 2);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, wal_print_seed)
    const struct CMUnitTest tests[] = {
        claim(test_any_byte_flipped_costs_its_record_and_is_reported),
        claim(test_a_log_cut_off_anywhere_is_torn_there_and_not_damaged),
        claim(test_bytes_behind_the_end_do_not_matter),
        claim(test_damage_before_a_torn_tail_is_still_known_at_the_next_start),
        claim(test_damage_before_the_wanted_position_is_not_reported),
        claim(test_a_segment_without_header_is_put_aside_and_all_others_serve),
        claim(test_a_lost_oldest_segment_is_damage_only_if_it_was_wanted),
        claim(test_positions_of_a_lost_newest_segment_are_reported_and_not_reused),
        claim(test_one_damaged_copy_of_the_newest_header_is_mended),
        claim(test_a_newest_segment_without_a_commit_ends_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
