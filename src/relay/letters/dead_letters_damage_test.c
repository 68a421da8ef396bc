/*
 * dead_letters_damage_test.c - files of dead letters beside a state that knows what they held:
 * damage is reported wherever it is, lost and returned letters are counted once, no letter is sent
 * twice without a request, and the effects of a crash are not damage.
 */
#include "lib/relay/letters_rig.h"
#include "lib/test.h"
#include "relay/operate/examine.h"

enum { MANY = 1 << 20 };
static const char FIRST[] = "/relay/east/dead-letters/00000001.letters";
static const char SECOND[] = "/relay/east/dead-letters/00000002.letters";
static const char LETTERS[] = "/relay/east/dead-letters";

/* Opens with all letters before the cursor, so that the account includes them. */
static void
open_behind(struct letters_rig *rig)
{
    must(letters_rig_open_at(rig, made_letter_pos(MANY), 0));
}

static void
reopen(struct letters_rig *rig)
{
    letters_rig_close(rig);
    open_behind(rig);
}

static struct bytes
load(const struct letters_rig *rig, const char *path, struct buf *to)
{
    struct file file;
    uint64_t size;
    must(file_open(sim_env_env(rig->sim), path, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    buf_clear(to);
    assert_true(buf_reserve(to, size + 1));
    must(file_read_at(&file, to->at, size, 0, NULL));
    to->size = size;
    must(file_close(&file));
    return buf_bytes(to);
}

static void
store(const struct letters_rig *rig, const char *path, struct bytes content)
{
    struct file file;
    must(file_open(sim_env_env(rig->sim), path, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, content, 0, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
    must(env_syncdir(sim_env_env(rig->sim), LETTERS, NULL));
}

static uint64_t
size_of(const struct letters_rig *rig, const char *path)
{
    struct file file;
    uint64_t size;
    must(file_open(sim_env_env(rig->sim), path, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_close(&file));
    return size;
}

/* Checks that the account agrees with the content of the files. */
static void
check_balance(const struct letters_rig *rig)
{
    const struct letters_account *a = dead_letters_account(rig->letters);
    struct dead_letters_counts counts = letters_rig_counts(rig);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t before = rig->state.fates.count[kind][FATE_DEAD_LETTERED] +
                          rig->state.letters.replaying[kind] - a->delivered[kind] -
                          a->dropped[kind] - a->dropped_full[kind];
        assert_int_equal(a->dead_lettered[kind], counts.letters[kind]);
        assert_int_equal(a->replaying[kind], counts.replaying[kind]);
        assert_int_equal(before, a->dead_lettered[kind] + a->replaying[kind] + a->lost[kind] -
                                     a->back[kind]);
    }
}

static void
check_account(const struct letters_rig *rig, uint64_t lost, uint64_t back)
{
    const struct letters_account *a = dead_letters_account(rig->letters);
    check_balance(rig);
    assert_int_equal(letters_sum(a->lost), lost);
    assert_int_equal(letters_sum(a->back), back);
    assert_int_equal(a->differs, lost + back > 0);
}

/* Checks that an operator's report says the same, and changes nothing. */
static void
check_report(struct letters_rig *rig, const char *text, uint64_t lost, uint64_t back)
{
    letters_rig_look(rig);
    assert_int_equal(rig->report.lost, lost);
    assert_int_equal(rig->report.back, back);
    assert_true(rig->damaged > 0);
    assert_true(rig->report.text_count > 0);
    if (strstr(rig->report.texts[0], text) == NULL) fail_msg("%s", rig->report.texts[0]);
}

/* Checks that the account is corrected: the next start finds nothing new. */
static void
check_put_right(struct letters_rig *rig)
{
    struct dead_letter letter;
    enum err e = dead_letters_next_replay(rig->letters, &letter, &rig->why);
    bool differs = dead_letters_account(rig->letters)->differs;
    if (differs) assert_int_equal(e, ERR_MISSING);
    must(letters_rig_tend(rig));
    if (differs) assert_int_equal(letters_sum(letters_rig_counts(rig).replaying), 0);
    must(letters_rig_save(rig));
    reopen(rig);
    check_account(rig, 0, 0);
}

/* --- one file --------------------------------------------------------------------------------- */

enum { LIFE = 24, ENDS = LIFE + 3, REPLAYING_MARKS = LIFE, DELIVERED_MARKS, LAST_MARKS };

struct life {
    struct letters_rig rig;
    struct buf whole;         /* content of the file */
    struct relay_state saved; /* the state that knows it */
    uint64_t ends[ENDS];      /* ends of its batches */
};

/*
 * Adds letters, each in a batch of its own, then marks: letters with the first reason are replayed
 * and delivered, those with the second are being replayed.
 */
static void
life_begin(struct life *life, uint64_t seed)
{
    struct letters_rig *rig = &life->rig;
    struct dead_letter letter;
    uint64_t count;
    letters_rig_init(rig, seed);
    buf_init(&life->whole, NULL, 1 << 20);
    open_behind(rig);
    for (uint32_t id = 0; id < LIFE; id++) {
        letters_rig_add_many(rig, id, 1);
        life->ends[id] = size_of(rig, FIRST);
    }
    must(letters_rig_request(rig, DEAD_LETTERS_REPLAY, letter_reasons[0], &count));
    must(letters_rig_tend(rig));
    life->ends[REPLAYING_MARKS] = size_of(rig, FIRST);
    while (dead_letters_next_replay(rig->letters, &letter, &rig->why) == OK) {
        must(letters_rig_settle(rig, made_letter_check(&letter), true, 0));
    }
    must(dead_letters_sync(rig->letters, &rig->why));
    life->ends[DELIVERED_MARKS] = size_of(rig, FIRST);
    must(letters_rig_request(rig, DEAD_LETTERS_REPLAY, letter_reasons[1], &count));
    must(letters_rig_tend(rig));
    life->ends[LAST_MARKS] = size_of(rig, FIRST);
    must(letters_rig_save(rig));
    assert_int_equal(letters_sum(letters_rig_counts(rig).letters), LIFE / REASONS);
    assert_int_equal(letters_sum(letters_rig_counts(rig).replaying), LIFE / REASONS);
    letters_rig_close(rig);
    load(rig, FIRST, &life->whole);
    assert_int_equal(life->whole.size, life->ends[LAST_MARKS]);
    life->saved = rig->state;
}

/* Restores everything, with another file. */
static void
life_set(struct life *life, struct bytes content)
{
    struct env *env = sim_env_env(life->rig.sim);
    life->rig.state = life->saved;
    must(env_remove_tree(env, LETTERS, NULL));
    must(env_mkdir(env, LETTERS, NULL));
    must(env_syncdir(env, LETTERS_DIR, NULL));
    store(&life->rig, FIRST, content);
}

static void
life_end(struct life *life)
{
    buf_fini(&life->whole);
    letters_rig_fini(&life->rig);
}

UNIT_TEST(test_each_changed_byte_is_reported_and_costs_its_letters)
{
    static struct life life;
    struct letters_rig *rig = &life.rig;
    life_begin(&life, 1);
    uint32_t batch = 0;
    for (size_t at = 0; at < life.whole.size; at++) {
        uint8_t bit = (uint8_t)(1u << letters_rig_random(rig, 8));
        if (at == life.ends[batch]) batch++;
        bool header = at < LETTER_FILE_HEADER_BYTES;
        uint64_t lost = batch < LIFE && batch % REASONS != 0 && !header;
        uint64_t back = batch == DELIVERED_MARKS; /* an entry for each letter */
        life.whole.at[at] ^= bit;
        life_set(&life, buf_bytes(&life.whole));
        life.whole.at[at] ^= bit;
        check_report(rig, "/00000001.letters: ", lost, back);
        open_behind(rig);
        assert_true(letters_rig_counts(rig).damaged > 0);
        check_balance(rig);
        const struct letters_account *a = dead_letters_account(rig->letters);
        if (letters_sum(a->lost) != lost || letters_sum(a->back) != back) {
            fail_msg("at %zu: %llu lost, %llu back", at, (unsigned long long)letters_sum(a->lost),
                     (unsigned long long)letters_sum(a->back));
        }
        /* Marks about replaying letters may be lost, too. */
        assert_int_equal(a->differs, lost + back > 0 || batch == LAST_MARKS);
        check_put_right(rig);
        assert_true(letters_rig_counts(rig).damaged > 0); /* while the file exists */
        letters_rig_close(rig);
    }
    assert_int_equal(batch, LAST_MARKS);
    life_end(&life);
}

/* Changes the start of a batch: the first byte of the letter's or the mark's entry. */
static void
change_batch(struct life *life, uint32_t batch)
{
    life->whole.at[life->ends[batch - 1] + LETTER_ENTRY_HEADER_BYTES + 2] ^= 1;
}

/* A lost letter does not hide one that is back, as its number is missing; a letter that was gone
 * before is not lost. */
UNIT_TEST(test_a_lost_letter_does_not_hide_a_returned_one)
{
    static struct life life;
    struct letters_rig *rig = &life.rig;
    static const struct {
        uint32_t letter;
        uint64_t lost;
    } cases[] = {{4, 1}, {3, 0}};
    for (unsigned i = 0; i < 2; i++) {
        life_begin(&life, 5 + i);
        change_batch(&life, cases[i].letter);
        change_batch(&life, DELIVERED_MARKS); /* the mark of the first letter */
        life_set(&life, buf_bytes(&life.whole));
        open_behind(rig);
        check_balance(rig);
        const struct letters_account *a = dead_letters_account(rig->letters);
        assert_int_equal(letters_sum(a->lost), cases[i].lost);
        assert_int_equal(letters_sum(a->back), 1);
        /* Lost letters cannot be given up, or lost, again. */
        uint64_t alive = letters_sum(letters_rig_counts(rig).letters) +
                         letters_sum(letters_rig_counts(rig).replaying);
        must(letters_rig_tend(rig));
        must(letters_rig_save(rig));
        const struct relay_state after = rig->state;
        reopen(rig);
        check_account(rig, 0, 0);
        assert_int_equal(dead_letters_found(rig->letters)->missing, 0);
        letters_rig_close(rig);
        rig->state = life.saved;
        rig->options.max_age_ms = 1;
        open_behind(rig);
        rig->state = after;
        must(letters_rig_tend_at(rig, INT64_MAX / 2));
        assert_int_equal(letters_sum(rig->moved.dropped_full), alive);
        assert_int_equal(letters_sum(rig->moved.lost), 0);
        assert_int_equal(letters_sum(letters_rig_counts(rig).letters) +
                             letters_sum(letters_rig_counts(rig).replaying),
                         0);
        life_end(&life);
    }
}

UNIT_TEST(test_a_file_truncated_anywhere_is_reported_and_its_loss_counted)
{
    static struct life life;
    struct letters_rig *rig = &life.rig;
    life_begin(&life, 2);
    uint32_t batch = 0;
    for (size_t size = 0; size < life.whole.size; size++) {
        if (size == life.ends[batch]) batch++;
        uint64_t lost = 0, back = 0;
        for (uint32_t id = 0; id < LIFE; id++) {
            bool there = batch > id;
            bool delivered = id % REASONS == 0;
            if (!there && !delivered) lost++;
            if (there && delivered && batch < DELIVERED_MARKS) back++;
        }
        life_set(&life, bytes_of(life.whole.at, size));
        letters_rig_look(rig);
        assert_true(rig->damaged > 0);
        open_behind(rig);
        check_balance(rig);
        const struct letters_account *a = dead_letters_account(rig->letters);
        assert_true(a->differs);
        if (batch != DELIVERED_MARKS) {
            /* It is unknown which letters after the end were gone: as many as possible
             * are assumed. */
            assert_int_equal(letters_sum(a->lost) - letters_sum(a->back), lost - back);
            assert_true(letters_sum(a->lost) >= lost);
            if (batch >= LIFE) assert_int_equal(letters_sum(a->lost), 0);
        }
        check_put_right(rig);
        letters_rig_close(rig);
    }
    life_end(&life);
}

/* Damage after the end that the state knows does not count: letters there belong to items that are
 * read again. */
UNIT_TEST(test_a_torn_write_after_the_saved_end_is_not_damage)
{
    static struct life life;
    struct letters_rig *rig = &life.rig;
    life_begin(&life, 3);
    open_behind(rig);
    letters_rig_add_many(rig, LIFE, 6);
    letters_rig_close(rig);
    struct buf longer;
    buf_init(&longer, NULL, 1 << 20);
    load(rig, FIRST, &longer);
    for (size_t size = life.whole.size; size <= longer.size; size++) {
        for (unsigned changed = 0; changed < 2; changed++) {
            size_t at = life.whole.size +
                        letters_rig_random(rig, (uint32_t)(longer.size - life.whole.size));
            if (changed) longer.at[at] ^= 4;
            life_set(&life, bytes_of(longer.at, size));
            if (changed) longer.at[at] ^= 4;
            open_behind(rig);
            assert_int_equal(letters_rig_counts(rig).damaged, 0);
            assert_false(dead_letters_account(rig->letters)->differs);
            must(letters_rig_save(rig));
            /* The file is continued, and can be read from then on. */
            letters_rig_add_many(rig, LIFE + 10, 2);
            assert_int_equal(letters_rig_files(rig).count, 1);
            must(letters_rig_save(rig));
            reopen(rig);
            check_account(rig, 0, 0);
            assert_int_equal(letters_rig_counts(rig).damaged, 0);
            letters_rig_look(rig);
            assert_int_equal(rig->damaged, 0);
            letters_rig_check(rig, LIFE + 10, 2, KEPT);
            letters_rig_close(rig);
        }
    }
    buf_fini(&longer);
    life_end(&life);
}

/* A state of an older version has only the number of letters. */
UNIT_TEST(test_an_older_state_still_shows_what_is_lost)
{
    static struct life life;
    struct letters_rig *rig = &life.rig;
    life_begin(&life, 4);
    life_set(&life, buf_bytes(&life.whole));
    rig->state.letters = (struct letters_mark){.known = false};
    open_behind(rig);
    assert_false(dead_letters_account(rig->letters)->differs);
    assert_int_equal(letters_sum(dead_letters_account(rig->letters)->dead_lettered),
                     LIFE / REASONS);
    letters_rig_close(rig);
    life_set(&life, bytes_of(life.whole.at, life.ends[9] - 1));
    rig->state.letters = (struct letters_mark){.known = false};
    open_behind(rig);
    const struct letters_account *a = dead_letters_account(rig->letters);
    assert_int_equal(letters_sum(a->dead_lettered), 9); /* with those that were delivered */
    assert_int_equal(letters_sum(a->lost) - letters_sum(a->back), LIFE / REASONS - 9 + 0ull);
    letters_rig_close(rig);
    life_end(&life);
}

/* --- several files ---------------------------------------------------------------------------- */

/* Makes files with some letters each, all alive, and saves the state. */
static void
make_files(struct letters_rig *rig, uint64_t seed, uint32_t count)
{
    letters_rig_init(rig, seed);
    rig->options.max_bytes = 64 * 1024; /* files of 8 KiB */
    open_behind(rig);
    letters_rig_add_many(rig, 0, count);
    must(letters_rig_save(rig));
    assert_true(letters_rig_files(rig).count >= 3);
    letters_rig_close(rig);
}

static uint64_t
found_in_files(struct letters_rig *rig)
{
    letters_rig_look(rig);
    return rig->found_count;
}

UNIT_TEST(test_a_file_that_is_missing_is_named_and_its_letters_are_counted)
{
    struct letters_rig rig;
    char path[128], name[32];
    for (uint32_t file = 1; file <= 4; file++) {
        make_files(&rig, 10 + file, 200);
        uint32_t last = letters_rig_files(&rig).count;
        uint32_t number = file < 4 ? file : last;
        snprintf(name, sizeof name, "/%08x.letters: ", number);
        snprintf(path, sizeof path, "%s/%08x.letters", LETTERS, number);
        must(env_unlink(rig.env, path, NULL));
        uint64_t lost = 200 - found_in_files(&rig);
        assert_true(lost > 10);
        check_report(&rig, name, lost, 0);
        open_behind(&rig);
        check_account(&rig, lost, 0);
        letters_rig_add_many(&rig, 200, 3); /* a number is not used again */
        assert_true(strcmp(letters_rig_files(&rig).last, path) >= (file == 4 ? 1 : 0));
        check_put_right(&rig);
        letters_rig_look(&rig);
        assert_int_equal(rig.damaged, 0);
        letters_rig_check(&rig, 200, 3, KEPT);
        letters_rig_fini(&rig);
    }
}

UNIT_TEST(test_a_missing_directory_is_reported_and_counted)
{
    struct letters_rig rig;
    make_files(&rig, 20, 200);
    must(env_remove_tree(sim_env_env(rig.sim), LETTERS, NULL));
    check_report(&rig, "/00000001.letters: the file is missing", 200, 0);
    uint64_t count;
    struct dead_letters_report report = {0};
    assert_int_equal(dead_letters_request(rig.env, LETTERS_DIR, NULL, DEAD_LETTERS_REPLAY, NULL,
                                          &count, &report, &rig.why),
                     ERR_MISSING);
    assert_int_equal(report.lost, 200);
    uint32_t last = 0;
    open_behind(&rig);
    check_account(&rig, 200, 0);
    check_put_right(&rig);
    letters_rig_show_state(&rig);
    assert_int_equal(
        dead_letters_each(rig.env, LETTERS_DIR, NULL, letters_rig_note, &rig, NULL, &rig.why),
        ERR_MISSING);
    letters_rig_add_many(&rig, 0, 1);
    assert_int_equal(sscanf(letters_rig_files(&rig).last, "/relay/east/dead-letters/%x.", &last),
                     1);
    assert_true(last > 3); /* a number is not used again */
    check_put_right(&rig);
    letters_rig_fini(&rig);
}

/* The state has the file since which files end properly: no later start takes an earlier end as the
 * remains of a crash. */
UNIT_TEST(test_since_when_files_end_as_they_should_is_remembered)
{
    struct letters_rig rig;
    make_files(&rig, 25, 200);
    assert_int_equal(rig.state.letters.whole_from, 1);
    open_behind(&rig);
    must(letters_rig_save(&rig));
    assert_int_equal(rig.state.letters.whole_from, 1);
    letters_rig_close(&rig);
    rig.state.letters = (struct letters_mark){.known = false};
    open_behind(&rig);
    must(letters_rig_save(&rig));
    assert_int_equal(rig.state.letters.whole_from, letters_rig_files(&rig).count);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_an_end_that_is_missing_is_damage_though_no_letter_is)
{
    for (unsigned how = 0; how < 3; how++) {
        struct letters_rig rig;
        struct buf content;
        make_files(&rig, 30 + how, 200);
        buf_init(&content, NULL, 1 << 20);
        struct bytes bytes = load(&rig, FIRST, &content);
        if (how == 0) bytes.size -= LETTER_ENTRY_HEADER_BYTES + 1;
        if (how == 1) bytes.size--;
        if (how == 2) content.at[bytes.size - 1] ^= 1;
        store(&rig, FIRST, bytes);
        check_report(&rig, "/00000001.letters: ", 0, 0);
        open_behind(&rig);
        check_account(&rig, 0, 0);
        assert_true(letters_rig_counts(&rig).damaged > 0);
        check_put_right(&rig);
        buf_fini(&content);
        letters_rig_fini(&rig);
    }
}

/* --- copies ----------------------------------------------------------------------------------- */

/*
 * Restores a copy in which all letters are being replayed, although they were delivered since. With
 * `more`, as many others came since, so that the number is the same.
 */
static void
bring_back_a_copy(uint64_t seed, uint32_t more)
{
    struct letters_rig rig;
    struct buf copy;
    struct dead_letter letter;
    uint64_t count;
    letters_rig_init(&rig, seed);
    buf_init(&copy, NULL, 1 << 20);
    open_behind(&rig);
    letters_rig_add_many(&rig, 0, 8);
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    must(letters_rig_tend(&rig));
    load(&rig, FIRST, &copy);
    while (dead_letters_next_replay(rig.letters, &letter, &rig.why) == OK) {
        must(letters_rig_settle(&rig, made_letter_check(&letter), true, 0));
    }
    letters_rig_add_many(&rig, 8, more);
    must(letters_rig_save(&rig));
    letters_rig_close(&rig);
    store(&rig, FIRST, buf_bytes(&copy));
    check_report(&rig, "/00000001.letters: ends at offset", more, 8);
    open_behind(&rig);
    check_account(&rig, more, 8);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 8);
    assert_int_equal(dead_letters_next_replay(rig.letters, &letter, &rig.why), ERR_MISSING);
    must(letters_rig_tend(&rig));
    assert_int_equal(rig.moved.called_off, 8);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 0);
    assert_int_equal(dead_letters_next_replay(rig.letters, &letter, &rig.why), ERR_MISSING);
    must(letters_rig_save(&rig));
    reopen(&rig);
    check_account(&rig, 0, 0);
    letters_rig_look(&rig);
    letters_rig_check(&rig, 0, 8, KEPT);
    letters_rig_check(&rig, 8, more, ABSENT);
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    assert_int_equal(count, 8);
    must(letters_rig_tend(&rig));
    assert_int_equal(dead_letters_next_replay(rig.letters, &letter, &rig.why), OK);
    buf_fini(&copy);
    letters_rig_fini(&rig);
}

UNIT_TEST(test_letters_of_an_older_copy_are_sent_only_on_request)
{
    bring_back_a_copy(40, 0);
    bring_back_a_copy(41, 8); /* the numbers of lost and returned letters are equal */
    bring_back_a_copy(42, 3);
}

/* Cancels replays with any fault, and possibly a power loss. */
static bool
call_off_with_fault(struct fault fault, bool power)
{
    static struct life life;
    struct letters_rig *rig = &life.rig;
    life_begin(&life, 50 + fault.nth % 5);
    life_set(&life, bytes_of(life.whole.at, life.ends[DELIVERED_MARKS] - 2));
    open_behind(rig); /* one letter is back; those with the second reason are kept in this copy */
    check_account(rig, 0, 1);
    fault_env_arm(rig->fe, fault);
    enum err e = letters_rig_tend(rig);
    bool fired = fault_env_fired(rig->fe);
    assert_true(fired || e == OK);
    struct dead_letter letter;
    if (e) assert_int_equal(dead_letters_next_replay(rig->letters, &letter, NULL), ERR_MISSING);
    fault_env_disarm(rig->fe);
    if (power) sim_env_power_loss(rig->sim);
    if (!power) sim_env_kill(rig->sim);
    reopen(rig);
    assert_int_equal(dead_letters_next_replay(rig->letters, &letter, &rig->why), ERR_MISSING);
    check_account(rig, 0, 1);
    check_put_right(rig);
    letters_rig_look(rig);
    assert_int_equal(rig->found_count, 2 * LIFE / REASONS + 1);
    life_end(&life);
    return fired;
}

UNIT_TEST(test_replays_are_called_off_whatever_fails)
{
    for (enum fault_kind kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (kind == FAULT_THREAD) continue;
        for (uint64_t nth = 1;; nth++) {
            bool fired = false;
            for (unsigned how = 0; how < 4; how++) {
                fired |= call_off_with_fault((struct fault){kind, nth, how % 2 == 0}, how < 2);
            }
            if (!fired) break;
        }
    }
}

/* --- at work ---------------------------------------------------------------------------------- */

UNIT_TEST(test_damage_during_operation_is_counted_once)
{
    for (unsigned how = 0; how < 3; how++) {
        struct letters_rig rig;
        uint64_t count;
        make_files(&rig, 60 + how, 200);
        open_behind(&rig);
        uint64_t before = letters_sum(letters_rig_counts(&rig).letters);
        if (how == 0) must(sim_env_damage(rig.sim, FIRST, 300));
        if (how == 1) must(env_unlink(sim_env_env(rig.sim), FIRST, NULL));
        if (how == 2) must(sim_env_damage(rig.sim, FIRST, size_of(&rig, FIRST) - 40));
        must(letters_rig_request(&rig, how == 0 ? DEAD_LETTERS_DROP : DEAD_LETTERS_REPLAY, NULL,
                                 &count));
        must(letters_rig_tend(&rig));
        uint64_t lost = letters_sum(rig.moved.lost);
        if (how != 1) assert_int_equal(lost, 1);
        if (how == 1) assert_true(lost > 20);
        assert_non_null(strstr(rig.moved.lost_at, "/00000001.letters: "));
        assert_int_equal(letters_sum(rig.moved.dropped) + letters_sum(rig.moved.replaying) + lost,
                         before);
        assert_int_equal(letters_sum(letters_rig_counts(&rig).letters), 0);
        memset(&rig.moved, 0, sizeof rig.moved);
        must(letters_rig_tend(&rig));
        assert_int_equal(letters_sum(rig.moved.lost), 0);
        must(letters_rig_save(&rig));
        reopen(&rig);
        check_account(&rig, 0, 0);
        letters_rig_fini(&rig);
    }
}

UNIT_TEST(test_letters_that_cannot_be_replayed_are_counted)
{
    struct letters_rig rig;
    uint64_t count;
    struct dead_letter letter;
    uint32_t given = 0;
    make_files(&rig, 70, 200);
    open_behind(&rig);
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    must(letters_rig_tend(&rig));
    must(sim_env_damage(rig.sim, FIRST, size_of(&rig, FIRST) - 40));
    while (dead_letters_next_replay(rig.letters, &letter, &rig.why) == OK) {
        given++;
    }
    assert_int_equal(given, 199);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 199);
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_sum(rig.moved.lost), 1);
    letters_rig_fini(&rig);
}

/* An account with one loss counts all letters that are not found as lost, wherever they were. */
UNIT_TEST(test_an_account_with_a_loss_counts_all_lost_letters)
{
    struct letters_rig rig;
    uint64_t count;
    struct dead_letter letter;
    make_files(&rig, 71, 200);
    open_behind(&rig);
    must(letters_rig_request(&rig, DEAD_LETTERS_REPLAY, NULL, &count));
    must(letters_rig_tend(&rig));
    must(sim_env_damage(rig.sim, FIRST, 300));
    must(sim_env_damage(rig.sim, SECOND, 300));
    while (letters_sum(letters_rig_counts(&rig).replaying) ==
           200) { /* until the first file was read */
        must(dead_letters_next_replay(rig.letters, &letter, &rig.why));
    }
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 199);
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_sum(rig.moved.lost), 2);
    assert_int_equal(letters_sum(letters_rig_counts(&rig).replaying), 198);
    letters_rig_fini(&rig);
}

/* A file may be removed only when the current state and the one before it know that. */
UNIT_TEST(test_a_file_that_went_is_not_missed_by_the_last_two_states)
{
    struct letters_rig rig;
    uint64_t count;
    make_files(&rig, 80, 200);
    open_behind(&rig);
    must(letters_rig_request(&rig, DEAD_LETTERS_DROP, NULL, &count));
    const struct relay_state first = rig.state;
    uint32_t files = letters_rig_files(&rig).count;
    must(dead_letters_tend(rig.letters, 2000000, &rig.moved, &rig.why));
    assert_true(rig.moved.waits);
    assert_true(letters_rig_files(&rig).count >= files);
    must(letters_rig_save(&rig));
    const struct relay_state second = rig.state;
    must(dead_letters_tend(rig.letters, 2000000, &rig.moved, &rig.why));
    assert_true(rig.moved.waits);
    assert_true(letters_rig_files(&rig).count >= files);
    letters_rig_close(&rig);
    /* The destination may return to either state. */
    rig.state = first;
    open_behind(&rig);
    assert_false(dead_letters_account(rig.letters)->differs);
    assert_int_equal(letters_sum(dead_letters_account(rig.letters)->dropped), 200);
    assert_int_equal(letters_sum(dead_letters_account(rig.letters)->dead_lettered), 0);
    letters_rig_close(&rig);
    rig.state = second;
    open_behind(&rig);
    check_account(&rig, 0, 0);
    assert_int_equal(letters_sum(dead_letters_account(rig.letters)->dropped), 0);
    must(letters_rig_tend(&rig));
    assert_int_equal(letters_rig_files(&rig).count, 1);
    reopen(&rig);
    check_account(&rig, 0, 0);
    letters_rig_fini(&rig);
}

/* --- the account over crashes ----------------------------------------------------------------- */

/*
 * A destination that refuses all items, one after another: each item before the state's cursor is a
 * letter, delivered or dropped, and nothing else.
 */
struct course {
    struct letters_rig rig;
    uint32_t next;                     /* next item */
    uint32_t saved_next;               /* next item when the state was saved */
    uint64_t delivered, dropped, full; /* results so far, */
    uint64_t saved_delivered, saved_dropped, saved_full;
};

static void
course_save(struct course *l)
{
    l->rig.state.cursor =
        (struct relay_cursor){made_letter_pos(l->next), made_letter_index(l->next)};
    if (letters_rig_save(&l->rig) != OK) return;
    l->saved_next = l->next;
    l->saved_delivered = l->delivered;
    l->saved_dropped = l->dropped;
    l->saved_full = l->full;
}

static void
course_check(struct course *l)
{
    struct dead_letters_counts counts = letters_rig_counts(&l->rig);
    uint64_t letters = letters_sum(counts.letters) + letters_sum(counts.replaying);
    assert_int_equal(counts.damaged, 0);
    assert_int_equal(letters + l->delivered + l->dropped + l->full, l->next);
}

/* Opens the letters as letters_begin() does. */
static void
course_open(struct course *l)
{
    struct letters_rig *rig = &l->rig;
    enum err e =
        letters_rig_open_at(rig, made_letter_pos(l->saved_next), made_letter_index(l->saved_next));
    if (e) fail_msg("%s", rig->why.text);
    const struct letters_account *a = dead_letters_account(rig->letters);
    assert_false(a->differs);
    l->next = l->saved_next;
    l->delivered = l->saved_delivered + letters_sum(a->delivered);
    l->dropped = l->saved_dropped + letters_sum(a->dropped);
    l->full = l->saved_full + letters_sum(a->dropped_full);
    must(dead_letters_revoke_known(rig->letters, &rig->why));
    struct dead_letters_counts counts = letters_rig_counts(rig);
    assert_int_equal(letters_sum(a->dead_lettered), letters_sum(counts.letters));
    assert_int_equal(letters_sum(a->replaying), letters_sum(counts.replaying));
    course_check(l);
}

static void
course_step(struct course *l)
{
    struct letters_rig *rig = &l->rig;
    struct dead_letter letter;
    uint64_t count;
    switch (letters_rig_random(rig, 10)) {
    case 0:
        course_save(l);
        break;
    case 1:
        err_ignore(letters_rig_request(rig, DEAD_LETTERS_REPLAY,
                                       letter_reasons[letters_rig_random(rig, REASONS)], &count),
                   "there may be none");
        break;
    case 2:
        if (letters_rig_random(rig, 3) > 0) break;
        err_ignore(letters_rig_request(rig, DEAD_LETTERS_DROP,
                                       letter_reasons[letters_rig_random(rig, REASONS)], &count),
                   "there may be none");
        break;
    case 3:
        memset(&rig->moved, 0, sizeof rig->moved);
        must(dead_letters_tend(rig->letters, made_letter_failed_ms(l->next), &rig->moved,
                               &rig->why));
        l->dropped += letters_sum(rig->moved.dropped);
        l->full += letters_sum(rig->moved.dropped_full);
        break;
    case 4:
    case 5:
        if (dead_letters_next_replay(rig->letters, &letter, &rig->why) != OK) break;
        bool arrives = letters_rig_random(rig, 3) > 0;
        must(letters_rig_settle(rig, made_letter_check(&letter), arrives, 1));
        l->delivered += arrives;
        break;
    default:
        if (l->next == LETTERS_MAX - 8) break;
        must(letters_rig_add(rig, l->next, l->next % REASONS));
        l->next++;
    }
    course_check(l);
}

UNIT_TEST(test_the_account_is_right_after_each_crash)
{
    static struct course l;
    uint64_t full = 0;
    for (uint64_t seed = 100; seed < 160; seed++) {
        memset(&l, 0, sizeof l);
        letters_rig_init(&l.rig, seed);
        l.rig.options.max_bytes = seed % 2 == 0 ? 8 * 1024 : 40 * 1024;
        if (seed % 3 == 0) l.rig.options.max_age_ms = 30;
        course_open(&l);
        course_save(&l);
        for (unsigned turn = 0; turn < 20; turn++) {
            unsigned steps = letters_rig_random(&l.rig, 60);
            for (unsigned i = 0; i < steps; i++) {
                course_step(&l);
            }
            if (turn % 3 == 0) course_save(&l);
            if (turn % 2 == 0) sim_env_power_loss(l.rig.sim);
            if (turn % 2 != 0) sim_env_kill(l.rig.sim);
            letters_rig_close(&l.rig);
            course_open(&l);
        }
        full += l.full;
        letters_rig_fini(&l.rig);
    }
    assert_true(full > 100);
}

/* The number of letters is right, but some are others: the kinds of the missing ones
 * are unknown. */
UNIT_TEST(test_as_many_are_lost_and_back_as_numbers_are_missing)
{
    struct letters_known k = {.mark = {.known = true, .print = 1}};
    struct letters_found f = {.print = 2, .missing = 5};
    struct letters_account a;
    static const uint64_t kept[ITEM_KIND_COUNT] = {3, 4, 6, 1};
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        k.dead_lettered[kind] = kept[kind];
        k.mark.live[kind] = f.live[kind] = f.kept[kind] = kept[kind];
    }
    letters_compare(&k, &f, &a);
    static const uint64_t lost[ITEM_KIND_COUNT] = {3, 2, 0, 0};
    assert_true(a.differs);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        assert_int_equal(a.lost[kind], lost[kind]);
        assert_int_equal(a.back[kind], lost[kind]);
        assert_int_equal(a.taken[kind], lost[kind]);
        assert_int_equal(a.dead_lettered[kind], kept[kind]);
    }
}

/* Letters that were sent again were not in any of its counts. */
UNIT_TEST(test_letters_that_an_older_state_left_out_are_taken)
{
    struct letters_known k = {.mark = {.known = false}};
    struct letters_found f = {.kept = {7}, .replaying = {5}};
    struct letters_account a;
    k.dead_lettered[ITEM_FLOAT] = 10;
    letters_compare(&k, &f, &a);
    assert_int_equal(a.dead_lettered[ITEM_FLOAT], 7);
    assert_int_equal(a.replaying[ITEM_FLOAT], 5);
    assert_int_equal(a.lost[ITEM_FLOAT] + a.back[ITEM_FLOAT], 0);
    assert_int_equal(a.taken[ITEM_FLOAT], 7 + 5 - 10);
}

/* The older state took them from the fewer letters before the cursor: a count of letters is
 * never below 0. */
UNIT_TEST(test_letters_that_an_older_state_took_from_others_are_taken)
{
    for (unsigned differs = 0; differs < 2; differs++) {
        struct relay_state s = {.letters = {.known = true, .live = {12}, .replaying = {5}}};
        struct letters_found f = {.kept = {5}, .replaying = {4}, .live = {12}, .print = differs};
        struct letters_account a;
        f.moved[ITEM_FLOAT][MARK_DELIVERED] = 1;
        f.moved[ITEM_FLOAT][MARK_GONE] = 2;
        s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED] = (uint64_t)-9;
        s.fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DEAD_LETTERS_FULL] = 30;
        s.taken[ITEM_FLOAT] = 30 - 9 + 5;
        struct letters_known k = relay_state_letters(&s);
        letters_compare(&k, &f, &a);
        assert_int_equal(a.lost[ITEM_FLOAT] + a.back[ITEM_FLOAT], 0);
        struct relay_equation q = relay_equation_of(&s, &f, &a, ITEM_FLOAT);
        assert_int_equal(q.dead_lettered, 5);
        assert_int_equal(q.taken, 1 + 5 + 4 + 32);
        assert_true(q.holds);
    }
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, letters_rig_tell_seed)
    const struct CMUnitTest tests[] = {
        claim(test_each_changed_byte_is_reported_and_costs_its_letters),
        claim(test_a_lost_letter_does_not_hide_a_returned_one),
        claim(test_a_file_truncated_anywhere_is_reported_and_its_loss_counted),
        claim(test_a_torn_write_after_the_saved_end_is_not_damage),
        claim(test_an_older_state_still_shows_what_is_lost),
        claim(test_a_file_that_is_missing_is_named_and_its_letters_are_counted),
        claim(test_a_missing_directory_is_reported_and_counted),
        claim(test_since_when_files_end_as_they_should_is_remembered),
        claim(test_an_end_that_is_missing_is_damage_though_no_letter_is),
        claim(test_letters_of_an_older_copy_are_sent_only_on_request),
        claim(test_replays_are_called_off_whatever_fails),
        claim(test_damage_during_operation_is_counted_once),
        claim(test_letters_that_cannot_be_replayed_are_counted),
        claim(test_an_account_with_a_loss_counts_all_lost_letters),
        claim(test_a_file_that_went_is_not_missed_by_the_last_two_states),
        claim(test_the_account_is_right_after_each_crash),
        cmocka_unit_test(test_as_many_are_lost_and_back_as_numbers_are_missing),
        cmocka_unit_test(test_letters_that_an_older_state_left_out_are_taken),
        cmocka_unit_test(test_letters_that_an_older_state_took_from_others_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
