/*
 * relay_letters_test.c - dead letters of a whole relay: power that fails at every call of the
 * machine, calls and allocations that fail, replays, bounds, packed files, and files that are gone.
 * At every moment the account of the state on disk has as many dead letters as its files have
 * lines, and no sample has two.
 */
#include "lib/test.h"

#include <inttypes.h>

#include "base/hash/crc32c.h"
#include "base/log.h"
#include "lib/relay/relay_rig.h"
#include "model/labels.h"

#define LETTERS "relay/there/dead-letters"

static enum err
note_line(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    struct world *w = context;
    uint32_t number = (uint32_t)bits_double(letter->item.bits);
    (void)line;
    (void)again;
    assert_true(number < w->count);
    if (w->sent[number].dead) fail_msg("sample %u has two lines", number);
    w->sent[number].dead = true;
    w->letters++;
    return OK;
}

/* Reads all lines, and compares their number with the state on disk. */
static void
check_lines(struct world *w)
{
    struct dead_letters_report report;
    w->letters = 0;
    for (uint32_t i = 0; i < w->count; i++)
        w->sent[i].dead = false;
    enum err e = dead_letters_each(w->m.env, "relay/there", NULL, note_line, w, &report, &w->m.why);
    assert_true(e == OK || e == ERR_MISSING);
    assert_int_equal(report.lost, 0);
    struct relay_state s = world_state(w);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], w->letters);
}

/* Each sample was delivered, or has a line, or an operator dropped it. */
static void
check_all(struct world *w, uint64_t dropped)
{
    uint64_t missing = 0;
    world_turn_until_settled(w);
    world_turn(w, 60);
    check_lines(w);
    for (uint32_t i = 0; i < w->count; i++)
        missing += !w->sent[i].delivered && !w->sent[i].dead;
    struct relay_status s = world_status(w);
    assert_int_equal(missing, dropped);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], w->letters);
    assert_int_equal(fates_dropped(&s.fates, ITEM_FLOAT), dropped);
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DELIVERED], w->count - dropped - w->letters);
}

static void
want(struct world *w, enum letters_wish wish)
{
    uint64_t number;
    must(relay_letters_want(w->relay, wish == LETTERS_DROP, &number, &w->m.why));
}

/* The destination accepts a half of what it refused. */
static void
heal_half(struct world *w)
{
    for (uint32_t i = 0; i < w->count; i += 2)
        w->sent[i].poison = false;
}

static void
begin_with(struct world *w, uint64_t seed, uint64_t max_bytes)
{
    world_init(w, seed);
    w->refusal |= REFUSAL_OF_CALL;
    w->drops = true; /* what is sent again is out of order */
    w->settings.dead_letters_max_bytes = max_bytes;
    world_open(w);
    world_log(w, 600, 15);
    world_turn_until_settled(w);
    world_turn(w, 30);
    check_lines(w);
    assert_true(w->letters > 50);
}

static void
begin(struct world *w, uint64_t seed)
{
    begin_with(w, seed, 128 * 1024); /* files of 16 KiB */
}

/* The part of a life that is disturbed: letters are written, sent again, refused again, packed. */
static void
begin_replay(struct world *w, uint64_t seed)
{
    begin(w, seed);
    heal_half(w);
    world_log(w, 300, 15);
    want(w, LETTERS_REPLAY);
}

static void
live(struct world *w)
{
    world_turn(w, 120);
}

UNIT_TEST(test_power_may_fail_at_every_call_and_no_line_is_lost_or_repeated)
{
    struct world *w = &the_world;
    bool fired = true;
    for (uint64_t nth = 1; fired; nth += 1 + nth / 30) {
        begin_replay(w, nth);
        fault_env_arm(w->m.fe, (struct fault){.kind = FAULT_EIO, .nth = nth, .forever = true});
        live(w);
        fired = fault_env_fired(w->m.fe);
        fault_env_disarm(w->m.fe);
        world_crash(w);
        check_lines(w);
        check_all(w, 0);
        world_fini(w);
    }
}

UNIT_TEST(test_each_call_may_fail_once_and_the_account_is_right)
{
    static const enum fault_kind kinds[] = {FAULT_EIO,   FAULT_ENOSPC, FAULT_EINTR,
                                            FAULT_SHORT, FAULT_TORN,   FAULT_SYNC};
    struct world *w = &the_world;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth += 1 + nth / 8) {
            begin_replay(w, nth + 1000 * i);
            fault_env_arm(w->m.fe, (struct fault){.kind = kinds[i], .nth = nth});
            live(w);
            fired = fault_env_fired(w->m.fe);
            fault_env_disarm(w->m.fe);
            if (nth % 2 == 0) check_all(w, 0);
            world_crash(w);
            check_all(w, 0);
            world_fini(w);
        }
    }
}

UNIT_TEST(test_each_allocation_may_fail_while_letters_are_sent_again)
{
    struct world *w = &the_world;
    for (uint64_t nth = 1; nth < 3000; nth += 1 + nth / 20) {
        begin_replay(w, nth);
        mem_fail_nth(nth, nth % 2 == 0);
        live(w);
        mem_fail_nth(0, false);
        if (nth % 3 == 0) world_crash(w);
        check_all(w, 0);
        world_fini(w);
    }
}

UNIT_TEST(test_letters_refused_again_are_new_lines_the_rest_is_delivered)
{
    struct world *w = &the_world;
    begin(w, 1);
    uint64_t before = w->letters;
    heal_half(w);
    assert_int_equal(world_decide(w, LETTERS_REPLAY), before);
    check_all(w, 0);
    assert_in_range(w->letters, before / 4, before * 3 / 4);
    assert_int_equal(world_status(w).replaying, 0);
    uint64_t after = w->letters;
    assert_int_equal(world_decide(w, LETTERS_DROP), after);
    check_all(w, after);
    assert_int_equal(w->letters, 0);
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_BY_OPERATOR],
                     after);
    assert_int_equal(world_decide(w, LETTERS_DROP), 0);
    world_fini(w);
}

/* A destination that is paused sends nothing again; what it refuses meanwhile can be dropped. */
UNIT_TEST(test_a_drop_spares_what_is_being_sent_again)
{
    struct world *w = &the_world;
    begin(w, 2);
    uint64_t before = w->letters;
    w->moods.blocked = 100;
    assert_int_equal(world_decide(w, LETTERS_REPLAY), before);
    assert_int_equal(world_decide(w, LETTERS_DROP), 0);
    assert_int_equal(world_status(w).replaying, before);
    world_crash(w); /* the decision outlives it */
    assert_int_equal(world_status(w).replaying, before);
    for (uint32_t i = 0; i < w->count; i++)
        w->sent[i].poison = false;
    w->moods.blocked = 0;
    check_all(w, 0);
    assert_int_equal(w->letters, 0);
    world_fini(w);
}

UNIT_TEST(test_a_decision_without_a_server_is_carried_out_at_the_next_start)
{
    struct world *w = &the_world;
    for (unsigned drop = 0; drop < 2; drop++) {
        begin(w, 3);
        uint64_t before = w->letters;
        world_remove(w);
        heal_half(w);
        assert_int_equal(world_decide(w, drop ? LETTERS_DROP : LETTERS_REPLAY), before);
        check_lines(w);
        world_open(w);
        check_all(w, drop ? before : 0);
        if (drop) assert_int_equal(w->letters, 0);
        world_fini(w);
    }
}

/* --- files ------------------------------------------------------------------------------------ */

struct names {
    uint32_t plain, packed, others;
    char first[64];
};

static enum err
note_name(void *context, const char *name, bool is_dir)
{
    struct names *n = context;
    uint32_t number;
    bool packed = false;
    assert_false(is_dir);
    bool ours = letter_name_number(name, &number, &packed);
    n->plain += ours && !packed;
    n->packed += ours && packed;
    n->others += !ours;
    if (ours && (n->first[0] == '\0' || strcmp(name, n->first) < 0))
        snprintf(n->first, sizeof n->first, "%s", name);
    return OK;
}

static struct names
names_of(struct world *w)
{
    struct names n = {0};
    enum err e = env_listdir(w->m.env, LETTERS, note_name, &n, NULL);
    assert_true(e == OK || e == ERR_MISSING);
    return n;
}

UNIT_TEST(test_closed_files_are_packed_and_sent_again)
{
    struct world *w = &the_world;
    begin(w, 4);
    for (unsigned i = 0; i < 4; i++) {
        world_log(w, 500, 15);
        world_turn_until_settled(w);
        world_turn(w, 60);
    }
    struct names n = names_of(w);
    assert_int_equal(n.plain, 1);
    assert_true(n.packed >= 3);
    check_lines(w);
    world_crash(w);
    check_lines(w);
    for (uint32_t i = 0; i < w->count; i++)
        w->sent[i].poison = false;
    assert_true(world_decide(w, LETTERS_REPLAY) > 300);
    check_all(w, 0);
    n = names_of(w);
    assert_int_equal(n.packed, 0);
    assert_int_equal(n.plain, 1); /* samples without a form are refused again */
    world_fini(w);
}

/* Beyond the budget the oldest lines go; too old ones, too. They count as dropped. */
UNIT_TEST(test_a_full_budget_and_age_remove_the_oldest_files)
{
    struct world *w = &the_world;
    begin(w, 5);
    w->settings.dead_letters_max_bytes = 32 * 1024;
    for (unsigned i = 0; i < 8; i++) {
        world_log(w, 500, 15);
        world_turn_until_settled(w);
        world_turn(w, 60);
        if (i == 4) world_crash(w);
    }
    uint64_t full = world_status(w).fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DEAD_LETTERS_FULL];
    assert_true(full > 100);
    check_all(w, full);
    uint64_t kept = w->letters;
    w->settings.dead_letters_max_age_ms = 60000;
    sim_env_advance_ns(w->m.sim, 61 * NS_PER_S);
    world_turn(w, 60);
    check_all(w, full + kept);
    assert_int_equal(w->letters, 0);
    assert_int_equal(world_status(w).taken[ITEM_FLOAT], w->count);
    world_fini(w);
}

/* Files that are gone, or shorter than the state says, cost their lines once. */
UNIT_TEST(test_lines_that_are_gone_count_once_as_damaged)
{
    struct world *w = &the_world;
    for (unsigned how = 0; how < 3; how++) {
        begin(w, 6);
        for (unsigned i = 0; i < 3; i++) {
            world_log(w, 500, 15);
            world_turn_until_settled(w);
            world_turn(w, 60);
        }
        check_lines(w);
        uint64_t before = w->letters;
        struct names n = names_of(w);
        char path[128];
        world_remove(w);
        snprintf(path, sizeof path, LETTERS "/%s", n.first);
        if (how == 0) must(env_unlink(w->m.env, path, NULL));
        if (how == 1) must(env_remove_tree(w->m.env, LETTERS, NULL));
        if (how == 2) {
            struct relay_state s = world_state(w);
            struct letter_list list = {.memory = NULL};
            struct buf memory;
            struct file file;
            buf_init(&memory, NULL, RELAY_STATE_BYTES_MAX);
            must(relay_state_read(w->m.env, "relay/there", &memory, &s, NULL));
            must(letter_list_get(&list, s.letters));
            snprintf(path, sizeof path, LETTERS "/%08x.ndjson", list.number);
            must(file_open(w->m.env, path, FILE_UPDATE, &file, NULL));
            must(file_truncate(&file, 1000, NULL));
            must(file_sync(&file, NULL));
            must(file_close(&file));
            letter_list_fini(&list);
            buf_fini(&memory);
        }
        uint64_t errors = log_count(LOG_ERROR);
        world_open(w);
        assert_true(log_count(LOG_ERROR) > errors);
        world_turn(w, 60);
        uint64_t lost = world_status(w).fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DAMAGED];
        assert_in_range(lost, 1, before);
        if (how == 1) assert_int_equal(lost, before);
        check_all(w, lost);
        world_crash(w);
        check_all(w, lost);
        world_fini(w);
    }
}

/* A line that cannot be read is found when it is to be sent, and costs only itself. */
UNIT_TEST(test_a_damaged_line_costs_only_itself_in_a_replay)
{
    struct world *w = &the_world;
    begin_with(w, 7, 64 << 20);
    struct file file;
    world_turn(w, 60);
    must(file_open(w->m.env, LETTERS "/00000001.ndjson", FILE_UPDATE, &file, NULL));
    must(file_write_at(&file, bytes_of_text("x"), 300, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
    for (uint32_t i = 0; i < w->count; i++)
        w->sent[i].poison = false;
    world_decide(w, LETTERS_REPLAY);
    check_all(w, 1);
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DAMAGED], 1);
    assert_int_equal(w->letters, 0);
    world_fini(w);
}

/* One call fails again and again, so the cursor rests: the lines of later items are of no use after
 * a restart, and there may be many of them. */
UNIT_TEST(test_lines_ahead_of_a_resting_cursor_wait_and_go_with_a_crash)
{
    struct world *w = &the_world;
    for (unsigned crash = 0; crash < 2; crash++) {
        world_init(w, 8);
        w->limits.concurrency = 4;
        w->holds_first = true;
        w->drops = true;
        world_open(w);
        for (unsigned i = 0; i < 40; i++) {
            world_log(w, 900, 15);
            world_turn(w, 100);
        }
        uint64_t dead = world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED];
        assert_true(dead > 500); /* more lines than are kept in memory */
        check_lines(w);
        assert_in_range(w->letters, 0, 300);
        assert_int_equal(names_of(w).others, 1); /* the text of these lines */
        if (crash) world_crash(w);
        if (crash) assert_int_equal(names_of(w).others, 0);
        if (crash) check_lines(w);
        w->holds_first = false;
        check_all(w, 0);
        world_fini(w);
    }
}

/* --- an earlier version ----------------------------------------------------------------------- */

/* Writes a file of an earlier version with letters of the first samples, and a state that has it.
 */
static void
make_old(struct world *w, uint32_t count)
{
    struct buf file, payload, mark, memory, scratch;
    uint8_t head[20] = "FKLETTER", entry[12], bytes[64];
    struct buf labels = {.at = bytes, .capacity = sizeof bytes, .limit = sizeof bytes};
    struct relay_state s;
    buf_init(&file, NULL, 1 << 20);
    buf_init(&payload, NULL, 1 << 20);
    buf_init(&mark, NULL, 1 << 20);
    buf_init(&memory, NULL, RELAY_STATE_BYTES_MAX);
    buf_init(&scratch, NULL, RELAY_STATE_BYTES_MAX);
    store_le32(head + 8, 1);
    store_le32(head + 12, 1);
    store_le32(head + 16, crc32c(0, bytes_of(head, 16)));
    buf_put(&file, head, sizeof head);
    for (uint32_t i = 0; i < count; i++) {
        char metric[16], series[16];
        snprintf(metric, sizeof metric, "m%u", world_metric_of(w->sent[i].series));
        snprintf(series, sizeof series, "s%u", w->sent[i].series);
        buf_clear(&labels);
        labels_put(&labels, (struct label){text("__name__"), text(metric)});
        labels_put(&labels, (struct label){text("name"), text(series)});
        buf_clear(&payload);
        buf_put_u8(&payload, 1);
        buf_put_le32(&payload, i);
        buf_put_varint(&payload, 0);
        buf_put_varint(&payload, 1); /* position and index: before any cursor */
        buf_put_varint(&payload, i);
        buf_put_zigzag(&payload, 5000);
        buf_put_counted(&payload, text("bad"));
        buf_put_counted(&payload, text("no"));
        buf_put_u8(&payload, ITEM_FLOAT);
        buf_put_counted(&payload, text("anonymous"));
        buf_put_counted(&payload, buf_bytes(&labels));
        buf_put_le64(&payload, 1);
        buf_put_zigzag(&payload, world_sent_ms(i));
        buf_put_zigzag(&payload, 0);
        buf_put_le64(&payload, double_bits(i));
        store_le32(entry, (uint32_t)payload.size);
        store_le32(entry + 4, 0);
        store_le32(entry + 8, crc32c(crc32c(0, bytes_of(entry, 8)), buf_bytes(&payload)));
        buf_put(&file, entry, sizeof entry);
        buf_put_bytes(&file, buf_bytes(&payload));
    }
    must(env_mkdir(w->m.env, LETTERS, NULL));
    must(env_syncdir(w->m.env, "relay/there", NULL));
    must(env_write_whole(w->m.env, LETTERS, "00000001.letters", buf_bytes(&file), NULL));
    must(relay_state_read(w->m.env, "relay/there", &memory, &s, NULL));
    buf_put_u8(&mark, 1);
    buf_put_varint(&mark, 1);
    buf_put_varint(&mark, file.size);
    buf_put(&mark, (uint8_t[12]){0}, 12); /* none are sent again, and what no reader needs */
    s.letters = buf_bytes(&mark);
    s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED] = count;
    s.fates.count[ITEM_FLOAT][FATE_DELIVERED] -= count;
    must(relay_state_write(w->m.env, "relay/there", &scratch, &s, NULL));
    buf_fini(&file);
    buf_fini(&payload);
    buf_fini(&mark);
    buf_fini(&memory);
    buf_fini(&scratch);
}

UNIT_TEST(test_letters_of_an_earlier_version_are_lines_after_the_first_start)
{
    struct world *w = &the_world;
    enum err e = ERR_IO;
    for (uint64_t nth = 1; e; nth += 1 + nth / 20) {
        world_init(w, nth);
        world_open(w);
        world_log(w, 900, 0);
        world_turn_until_settled(w);
        world_turn(w, 60);
        world_remove(w);
        make_old(w, 40);
        w->forgets_shown = w->drops = true; /* the state was made here */
        world_options(w);
        must(relay_guard_new(&w->options, NULL, &w->guard, &w->m.why));
        w->options.guard = w->guard;
        fault_env_arm(w->m.fe, (struct fault){.kind = FAULT_EIO, .nth = nth, .forever = true});
        e = relay_open(&w->options, &w->relay, &w->m.why);
        fault_env_disarm(w->m.fe);
        if (e) w->relay = NULL;
        world_crash(w); /* the power fails during the conversion, or after it */
        check_lines(w);
        assert_int_equal(w->letters, 40);
        assert_int_equal(names_of(w).others, 0); /* the old file is gone */
        assert_int_equal(world_decide(w, LETTERS_REPLAY), 40);
        check_all(w, 0);
        world_fini(w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_power_may_fail_at_every_call_and_no_line_is_lost_or_repeated,
                                  tell_seed),
        cmocka_unit_test_teardown(test_each_call_may_fail_once_and_the_account_is_right, tell_seed),
        cmocka_unit_test_teardown(test_each_allocation_may_fail_while_letters_are_sent_again,
                                  tell_seed),
        cmocka_unit_test(test_letters_refused_again_are_new_lines_the_rest_is_delivered),
        cmocka_unit_test(test_a_drop_spares_what_is_being_sent_again),
        cmocka_unit_test(test_a_decision_without_a_server_is_carried_out_at_the_next_start),
        cmocka_unit_test(test_closed_files_are_packed_and_sent_again),
        cmocka_unit_test(test_a_full_budget_and_age_remove_the_oldest_files),
        cmocka_unit_test(test_lines_that_are_gone_count_once_as_damaged),
        cmocka_unit_test(test_a_damaged_line_costs_only_itself_in_a_replay),
        cmocka_unit_test(test_lines_ahead_of_a_resting_cursor_wait_and_go_with_a_crash),
        cmocka_unit_test_teardown(
            test_letters_of_an_earlier_version_are_lines_after_the_first_start, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
