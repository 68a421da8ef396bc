/*
 * letters_old_test.c - dead letters of an earlier version are converted once, whatever was decided
 * about them, with the power failing at every call. The files are written here, byte by byte, as
 * docs/format/relay.md describes them.
 */

#include "lib/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash/crc32c.h"
#include "model/labels.h"
#include "relay/letters/letters.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)
#define DIR        "there"

/* A file of entries. */
struct old_writer {
    struct buf file;
};

static void
put_entry(struct old_writer *w, struct bytes payload)
{
    uint8_t head[12];
    store_le32(head, (uint32_t)payload.size);
    store_le32(head + 4, (uint32_t)w->file.size);
    store_le32(head + 8, crc32c(crc32c(0, bytes_of(head, 8)), payload));
    buf_put(&w->file, head, sizeof head);
    buf_put_bytes(&w->file, payload);
}

static void
begin_file(struct old_writer *w)
{
    uint8_t head[20] = "FKLETTER";
    buf_init(&w->file, NULL, 1 << 24);
    store_le32(head + 8, 1);
    store_le32(head + 12, 1);
    store_le32(head + 16, crc32c(0, bytes_of(head, 16)));
    buf_put(&w->file, head, sizeof head);
}

static void
end_file(struct old_writer *w, struct env *env, uint32_t number)
{
    char name[32];
    snprintf(name, sizeof name, "%08x.letters", number);
    must(env_write_whole(env, DIR "/dead-letters", name, buf_bytes(&w->file), NULL));
    buf_fini(&w->file);
}

/* A float at `pos` of the log, whose value is its position. */
static void
put_letter(struct old_writer *w, uint32_t number, uint64_t pos, uint32_t replaced_file,
           uint32_t replaced_number, const char *reason)
{
    uint8_t bytes[64];
    struct buf labels = {.at = bytes, .capacity = sizeof bytes, .limit = sizeof bytes}, p;
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text("up")});
    buf_init(&p, NULL, 4096);
    buf_put_u8(&p, 1);
    buf_put_le32(&p, number);
    buf_put_varint(&p, replaced_file);
    if (replaced_file != 0) buf_put_varint(&p, replaced_number);
    buf_put_varint(&p, pos);
    buf_put_varint(&p, 0);
    buf_put_zigzag(&p, 5000);
    buf_put_counted(&p, bytes_of_text(reason));
    buf_put_counted(&p, bytes_of_text("no"));
    buf_put_u8(&p, ITEM_FLOAT);
    buf_put_counted(&p, bytes_of_text("team"));
    buf_put_counted(&p, buf_bytes(&labels));
    buf_put_le64(&p, 77);
    buf_put_zigzag(&p, 123456);
    buf_put_zigzag(&p, 0);
    buf_put_le64(&p, double_bits((double)pos));
    put_entry(w, buf_bytes(&p));
    buf_fini(&p);
}

/* Marks `count` letters from `first` on. */
static void
put_mark(struct old_writer *w, uint8_t mark, uint32_t file, uint32_t first, uint32_t count)
{
    struct buf p;
    buf_init(&p, NULL, 4096);
    buf_put_u8(&p, 2);
    buf_put_u8(&p, mark);
    buf_put_varint(&p, file);
    buf_put_varint(&p, first);
    buf_put_varint(&p, count);
    put_entry(w, buf_bytes(&p));
    buf_fini(&p);
}

static void
put_request(struct env *env, const char *made, bool drop, uint32_t file, uint64_t offset,
            const char *reason)
{
    char name[64];
    struct buf p, all;
    uint8_t head[24] = "FKLETREQ";
    buf_init(&p, NULL, 4096);
    buf_init(&all, NULL, 4096);
    buf_put_u8(&p, drop);
    buf_put_varint(&p, file);
    buf_put_varint(&p, offset);
    buf_put_counted(&p, bytes_of_text(reason));
    store_le32(head + 8, 1);
    store_le32(head + 12, 1);
    store_le32(head + 16, (uint32_t)p.size);
    store_le32(head + 20, crc32c(crc32c(0, bytes_of(head, 20)), buf_bytes(&p)));
    buf_put(&all, head, sizeof head);
    buf_put_bytes(&all, buf_bytes(&p));
    snprintf(name, sizeof name, "%s0123456789abcdef.request", made);
    must(env_write_whole(env, DIR "/dead-letters", name, buf_bytes(&all), NULL));
    buf_fini(&p);
    buf_fini(&all);
}

enum { CURSOR = 1000 };

/*
 * Two files. What becomes of the letters at these positions, in the state's order:
 *   100..109  kept; 101 dropped by a waiting request for its reason
 *   110..114  being sent again; 111 was delivered after the state, 112 refused again
 *   115       dropped by the operator after the state
 *   116       revoked
 *   117       gone before the state
 *   2000      after the cursor: its item is read again
 */
static struct relay_state
make_old(struct env *env, struct buf *texts)
{
    struct old_writer w;
    must(env_mkdir(env, DIR, NULL));
    must(env_mkdir(env, DIR "/dead-letters", NULL));
    begin_file(&w);
    for (uint32_t i = 0; i < 18; i++)
        put_letter(&w, i, 100 + i, 0, 0, i == 1 ? "bad" : "conflict");
    put_letter(&w, 18, 2000, 0, 0, "conflict");
    put_mark(&w, 1, 1, 10, 5);
    put_mark(&w, 4, 1, 16, 1);
    put_mark(&w, 2, 1, 17, 1);
    put_entry(&w, bytes_of("\3", 1));
    uint64_t size = w.file.size;
    end_file(&w, env, 1);
    begin_file(&w);
    put_mark(&w, 2, 1, 11, 1);
    put_mark(&w, 3, 1, 15, 1);
    put_letter(&w, 0, 112, 1, 12, "again");
    buf_put_text(&w.file, "torn");
    end_file(&w, env, 2);
    put_request(env, "0000000000000002", false, 1, size, "again");
    put_request(env, "0000000000000001", true, 1, size, "bad");

    buf_clear(texts); /* the mark of the state: at the end of the first file */
    buf_put_u8(texts, 1);
    buf_put_varint(texts, 1);
    buf_put_varint(texts, size);
    buf_put_varint(texts, 19);
    buf_put_varint(texts, 1);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        buf_put_varint(texts, kind == ITEM_FLOAT ? 17 : 0);
        buf_put_varint(texts, kind == ITEM_FLOAT ? 5 : 0); /* sent again */
    }
    buf_put_le64(texts, 0);
    buf_put_varint(texts, 0);
    struct relay_state s = {.cursor.pos = CURSOR, .letters = buf_bytes(texts)};
    s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED] = 11; /* 100..109, 115 */
    s.fates.count[ITEM_FLOAT][FATE_DELIVERED] = 50;
    s.taken[ITEM_FLOAT] = s.counted[ITEM_FLOAT] = 11 + 5 + 50;
    return s;
}

struct found {
    uint32_t kept, again;
    bool seen[200];
};

static enum err
note(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    struct found *f = context;
    (void)line;
    uint64_t pos = letter->item.pos;
    assert_in_range(pos, 100, 199);
    assert_int_equal(letter->item.bits, double_bits((double)pos));
    assert_false(f->seen[pos]);
    f->seen[pos] = true;
    f->kept += !again;
    f->again += again;
    assert_int_equal(again, pos == 110 || pos == 113 || pos == 114);
    return OK;
}

static void
check_converted(struct env *env, const struct relay_state *s)
{
    struct found f = {0};
    struct dead_letters_report report;
    must(dead_letters_each(env, DIR, NULL, note, &f, &report, NULL));
    assert_int_equal(report.lost, 0);
    assert_int_equal(f.kept, 10); /* 100, 102 to 109, and 112 as refused again */
    assert_int_equal(f.again, 3);
    const uint64_t *fates = s->fates.count[ITEM_FLOAT];
    assert_int_equal(fates[FATE_DEAD_LETTERED], 13);
    assert_int_equal(fates[FATE_DELIVERED], 51);
    assert_int_equal(fates[FATE_DROPPED + DROP_BY_OPERATOR], 2);
    assert_int_equal(fates[FATE_DROPPED + DROP_DAMAGED], 0);
    assert_int_equal(s->taken[ITEM_FLOAT], fates_settled(&s->fates, ITEM_FLOAT));
}

UNIT_TEST(test_every_letter_is_converted_as_was_decided)
{
    struct sim_env *sim;
    struct buf texts, list, scratch;
    uint64_t counts[ITEM_KIND_COUNT];
    must(sim_env_new(1, &sim));
    struct env *env = sim_env_env(sim);
    buf_init(&texts, NULL, 4096);
    buf_init(&list, NULL, 4096);
    buf_init(&scratch, NULL, 1 << 16);
    struct relay_state s = make_old(env, &texts);
    must(letters_old_count(env, DIR, NULL, &s, counts, NULL));
    assert_int_equal(counts[ITEM_FLOAT], 13);
    must(letters_old_convert(env, DIR, NULL, &s, true, &list, NULL));
    must(relay_state_write(env, DIR, &scratch, &s, NULL));
    check_converted(env, &s);
    buf_fini(&texts);
    buf_fini(&list);
    buf_fini(&scratch);
    sim_env_free(sim);
}

/* A conversion that was interrupted is made again; nothing of the old files is changed by it. */
UNIT_TEST(test_a_conversion_may_be_interrupted_at_every_call)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct sim_env *sim;
        struct fault_env *fe;
        struct buf texts, list, scratch;
        must(sim_env_new(nth, &sim));
        must(fault_env_new(sim_env_env(sim), &fe));
        struct env *env = fault_env_env(fe);
        buf_init(&texts, NULL, 4096);
        buf_init(&list, NULL, 4096);
        buf_init(&scratch, NULL, 1 << 16);
        struct relay_state old = make_old(env, &texts), s = old;
        must(env_syncdir(env, ".", NULL));
        must(env_syncdir(env, DIR, NULL));
        must(relay_state_write(env, DIR, &scratch, &old, NULL));
        fault_env_arm(fe, (struct fault){.kind = FAULT_EIO, .nth = nth, .forever = true});
        enum err e = letters_old_convert(env, DIR, NULL, &s, true, &list, NULL);
        if (e == OK) e = relay_state_write(env, DIR, &scratch, &s, NULL);
        fired = fault_env_fired(fe);
        fault_env_disarm(fe);
        sim_env_power_loss(sim);
        must(relay_state_read(env, DIR, &texts, &s, NULL));
        if (letter_list_is_old(s.letters)) {
            assert_true(e != OK);
            must(letters_old_convert(env, DIR, NULL, &s, true, &list, NULL));
            must(relay_state_write(env, DIR, &scratch, &s, NULL));
        }
        check_converted(env, &s);
        buf_fini(&texts);
        buf_fini(&list);
        buf_fini(&scratch);
        fault_env_free(fe);
        sim_env_free(sim);
    }
}

UNIT_TEST(test_every_allocation_of_a_conversion_may_fail)
{
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        struct sim_env *sim;
        struct buf texts, list;
        must(sim_env_new(1, &sim));
        struct env *env = sim_env_env(sim);
        buf_init(&texts, NULL, 4096);
        buf_init(&list, NULL, 4096);
        struct relay_state s = make_old(env, &texts);
        mem_fail_nth(nth, false);
        enum err e = letters_old_convert(env, DIR, NULL, &s, true, &list, NULL);
        mem_fail_nth(0, false);
        failed = e != OK;
        if (failed) assert_true(e == ERR_NOMEM);
        if (failed) must(letters_old_convert(env, DIR, NULL, &s, true, &list, NULL));
        buf_fini(&texts);
        buf_fini(&list);
        sim_env_free(sim);
    }
}

/* Damaged bytes cost what they hold; the account has it as dropped. */
UNIT_TEST(test_damaged_letters_are_dropped_and_the_rest_is_converted)
{
    for (uint64_t at = 20; at < 1400; at += 7) {
        struct sim_env *sim;
        struct buf texts, list;
        must(sim_env_new(1, &sim));
        struct env *env = sim_env_env(sim);
        buf_init(&texts, NULL, 4096);
        buf_init(&list, NULL, 4096);
        struct relay_state s = make_old(env, &texts);
        must(sim_env_damage(sim, DIR "/dead-letters/00000001.letters", at));
        must(letters_old_convert(env, DIR, NULL, &s, true, &list, NULL));
        assert_int_equal(s.taken[ITEM_FLOAT], fates_settled(&s.fates, ITEM_FLOAT));
        buf_fini(&texts);
        buf_fini(&list);
        sim_env_free(sim);
    }
}

UNIT_TEST(test_files_of_a_newer_version_are_left_alone)
{
    struct sim_env *sim;
    struct buf texts, list;
    uint8_t head[20] = "FKLETTER";
    must(sim_env_new(1, &sim));
    struct env *env = sim_env_env(sim);
    buf_init(&texts, NULL, 4096);
    buf_init(&list, NULL, 4096);
    struct relay_state s = make_old(env, &texts);
    store_le32(head + 8, 2);
    store_le32(head + 12, 2);
    store_le32(head + 16, crc32c(0, bytes_of(head, 16)));
    must(env_write_whole(env, DIR "/dead-letters", "00000003.letters", bytes_of(head, 20), NULL));
    assert_int_equal(letters_old_convert(env, DIR, NULL, &s, true, &list, NULL), ERR_UNSUPPORTED);
    buf_fini(&texts);
    buf_fini(&list);
    sim_env_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_letter_is_converted_as_was_decided),
        cmocka_unit_test(test_a_conversion_may_be_interrupted_at_every_call),
        cmocka_unit_test(test_every_allocation_of_a_conversion_may_fail),
        cmocka_unit_test(test_damaged_letters_are_dropped_and_the_rest_is_converted),
        cmocka_unit_test(test_files_of_a_newer_version_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
