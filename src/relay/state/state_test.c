/* state_test.c - the saved state of a destination is read as it was written, or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash/crc32c.h"
#include "lib/test.h"
#include "relay/state/state.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

struct rig {
    struct sim_env *sim;
    struct env *env;
    struct buf memory;
    struct buf scratch;
    struct why why;
};

static void
rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    must(sim_env_new(1, &rig->sim));
    rig->env = sim_env_env(rig->sim);
    must(env_mkdir(rig->env, "d", NULL));
    must(env_mkdir(rig->env, "all", NULL));
    must(env_syncdir(rig->env, ".", NULL));
    buf_init(&rig->memory, NULL, RELAY_STATE_BYTES_MAX);
    buf_init(&rig->scratch, NULL, RELAY_STATE_BYTES_MAX);
}

static void
rig_fini(struct rig *rig)
{
    buf_fini(&rig->memory);
    buf_fini(&rig->scratch);
    sim_env_free(rig->sim);
}

static struct relay_state
some_state(void)
{
    struct relay_state s = {
        .log_id = "0123456789abcde",
        .cursor = {.pos = 123456789012345, .index = 77},
        .wish = RELAY_WISH_PAUSE,
        .writer = bytes_of("what it learnt", 14),
    };
    s.fill_count = 3;
    s.fill = (struct relay_fill){
        .active = true,
        .from_pos = 7,
        .to_pos = 1ULL << 40,
        .since_ms = -5,
        .place = bytes_of("where it is", 11),
    };
    s.expected = (struct relay_expected){.until_pos = 99, .selection = 0x1234567890abcdef};
    s.expected.count[ITEM_FLOAT] = 1000;
    s.expected.count[ITEM_METADATA] = -2;
    s.expected.log_count.known = true;
    s.expected.log_count.of[LEDGER_HISTOGRAM] = 1ULL << 44;
    s.gone = (struct tsdb_gone){1, 2, 3};
    s.begin_ms = 1700000000000;
    s.begin_pos = 12345;
    s.drop_pos = 54321;
    s.drop_reason = DROP_BY_OPERATOR;
    s.repeats_total = 17;
    s.letters = bytes_of("\2the list of files", 18);
    s.destination_known = true;
    s.type = DESTINATION_KINESIS;
    s.place = 0x0123456789abcdef;
    memcpy(s.name, "there", sizeof "there");
    s.counted_pos = 1ULL << 33;
    s.selection = 0xabcdef9876543210;
    s.log_totals = (struct log_count){.known = true, .of = {7, 1ULL << 45, 9}};
    s.log_lost = true;
    s.fates.count[ITEM_FLOAT][FATE_DELIVERED] = 5;
    s.beside.count[ITEM_EXEMPLAR][FATE_DEAD_LETTERED] = 4;
    s.counted[ITEM_METADATA] = 1ULL << 50;
    s.ahead.count[ITEM_FLOAT][FATE_DELIVERED] = 6;
    s.fates.count[ITEM_HISTOGRAM][FATE_DEAD_LETTERED] = 1;
    s.fates.count[ITEM_EXEMPLAR][FATE_DROPPED + DROP_EXPIRED] = UINT64_MAX;
    return s;
}

/* Writes the file as given. */
static void
put_file(struct rig *rig, struct bytes content)
{
    must(env_write_whole(rig->env, "d", "state", content, &rig->why));
}

/* Writes the file with a header that has its size and checksum. */
static void
put_whole(struct rig *rig, uint8_t *file, size_t size)
{
    store_le32(file + 16, (uint32_t)size - 24);
    uint32_t crc = crc32c(0, bytes_of(file, 20));
    store_le32(file + 20, crc32c(crc, bytes_of(file + 24, size - 24)));
    put_file(rig, bytes_of(file, size));
}

UNIT_TEST(test_a_written_state_reads_back_equal)
{
    struct rig rig;
    rig_init(&rig);
    struct relay_state s = some_state(), got;
    must(relay_state_write(rig.env, "d", &rig.scratch, &s, &rig.why));
    sim_env_power_loss(rig.sim);
    must(relay_state_read(rig.env, "d", &rig.memory, &got, &rig.why));
    assert_memory_equal(got.log_id, s.log_id, sizeof s.log_id);
    assert_int_equal(got.cursor.pos, s.cursor.pos);
    assert_int_equal(got.cursor.index, s.cursor.index);
    assert_int_equal(got.wish, s.wish);
    assert_memory_equal(&got.fates, &s.fates, sizeof s.fates);
    assert_memory_equal(&got.beside, &s.beside, sizeof s.beside);
    assert_memory_equal(&got.ahead, &s.ahead, sizeof s.ahead);
    assert_memory_equal(got.counted, s.counted, sizeof s.counted);
    assert_true(bytes_equal(got.writer, s.writer));
    assert_int_equal(got.fill_count, s.fill_count);
    assert_true(got.fill.active);
    assert_int_equal(got.fill.from_pos, s.fill.from_pos);
    assert_int_equal(got.fill.to_pos, s.fill.to_pos);
    assert_int_equal(got.fill.since_ms, s.fill.since_ms);
    assert_true(bytes_equal(got.fill.place, s.fill.place));
    assert_memory_equal(&got.expected, &s.expected, sizeof s.expected);
    assert_memory_equal(&got.gone, &s.gone, sizeof s.gone);
    assert_int_equal(got.begin_ms, s.begin_ms);
    assert_int_equal(got.begin_pos, s.begin_pos);
    assert_int_equal(got.drop_pos, s.drop_pos);
    assert_int_equal(got.drop_reason, s.drop_reason);
    assert_int_equal(got.repeats_total, s.repeats_total);
    assert_true(bytes_equal(got.letters, s.letters));
    assert_true(got.destination_known);
    assert_int_equal(got.type, s.type);
    assert_int_equal(got.place, s.place);
    assert_string_equal(got.name, s.name);
    assert_int_equal(got.counted_pos, s.counted_pos);
    assert_int_equal(got.selection, s.selection);
    assert_true(got.log_totals.known);
    assert_memory_equal(got.log_totals.of, s.log_totals.of, sizeof s.log_totals.of);
    assert_true(got.log_lost);
    rig_fini(&rig);
}

/* The state of version 1, and one that ends before the list of letters, are read; additions of a
 * newer version are ignored. */
UNIT_TEST(test_a_state_of_an_earlier_version_is_read)
{
    struct rig rig;
    rig_init(&rig);
    struct relay_state s = some_state(), got;
    must(relay_state_write(rig.env, "d", &rig.scratch, &s, &rig.why));
    uint8_t file[512];
    size_t size = 0; /* up to the list */
    while (memcmp(rig.scratch.at + size, s.letters.at, s.letters.size) != 0) {
        size++;
        assert_true(size + s.letters.size <= rig.scratch.size);
    }
    size--; /* its size */
    memcpy(file, rig.scratch.at, size);
    assert_int_equal(load_le32(file + 12), 2); /* so that an earlier program refuses it */
    store_le32(file + 8, 1);
    store_le32(file + 12, 1);
    put_whole(&rig, file, size);
    must(relay_state_read(rig.env, "d", &rig.memory, &got, &rig.why));
    assert_int_equal(got.letters.size, 0);
    assert_true(letter_list_is_old(got.letters));
    assert_int_equal(got.repeats_total, s.repeats_total);
    assert_false(got.destination_known);

    memcpy(file + size, "\4\1old", 5);
    put_whole(&rig, file, size + 5);
    must(relay_state_read(rig.env, "d", &rig.memory, &got, &rig.why));
    assert_int_equal(got.letters.size, 4);
    assert_true(letter_list_is_old(got.letters));

    file[size] = 100; /* a wrong size */
    put_whole(&rig, file, size + 5);
    assert_int_equal(relay_state_read(rig.env, "d", &rig.memory, &got, &rig.why), ERR_CORRUPT);
    rig_fini(&rig);
}

UNIT_TEST(test_the_list_of_letters_reads_back_or_is_refused)
{
    struct letter_list list = {.number = 1}, got = {.memory = NULL};
    struct buf memory;
    buf_init(&memory, NULL, 1 << 20);
    assert_int_equal(letter_list_length(&list), 0);
    for (uint32_t i = 0; i < 40; i++) {
        struct letter_file *file = letter_list_current(&list);
        file->bytes = 1000 + i;
        letter_file_count(file, i % ITEM_KIND_COUNT, 5000 - (int64_t)i);
        letter_list_close(&list);
    }
    letter_list_close(&list); /* without lines it goes on */
    assert_int_equal(list.number, 41);
    assert_int_equal(letter_list_replay(&list), 40);
    list.replay_at = 77;
    letter_list_remove(&list, 5);
    letter_list_put(&list, &memory);
    must(letter_list_get(&got, buf_bytes(&memory)));
    assert_int_equal(got.count, 39);
    assert_int_equal(got.number, 41);
    assert_int_equal(got.replay_to, 40);
    assert_int_equal(got.replay_at, 77);
    assert_int_equal(letter_list_replaying(&got), 39);
    assert_null(letter_list_find(&got, 6));
    struct letter_file *file = letter_list_find(&got, 7), *same = letter_list_find(&list, 7);
    assert_memory_equal(file->lines, same->lines, sizeof file->lines);
    assert_int_equal(file->bytes, same->bytes);
    assert_int_equal(file->first_ms, same->first_ms);
    assert_int_equal(file->last_ms, same->last_ms);
    letter_list_remove(&got, 0);
    assert_int_equal(got.replay_at, 0);
    letter_list_fini(&got);
    for (size_t size = 1; size < memory.size; size++) {
        assert_int_equal(letter_list_get(&got, bytes_of(memory.at, size)), ERR_CORRUPT);
        letter_list_fini(&got);
    }
    memory.at[0] = 3; /* a newer version's */
    assert_int_equal(letter_list_get(&got, buf_bytes(&memory)), ERR_CORRUPT);
    letter_list_fini(&got);
    letter_list_fini(&list);
    buf_fini(&memory);
}

UNIT_TEST(test_each_damaged_byte_is_noticed)
{
    struct rig rig;
    rig_init(&rig);
    struct relay_state s = some_state(), got;
    must(relay_state_write(rig.env, "d", &rig.scratch, &s, &rig.why));
    uint8_t file[512];
    size_t size = rig.scratch.size;
    assert_true(size < sizeof file);
    memcpy(file, rig.scratch.at, size);
    for (size_t i = 0; i < size; i++) {
        file[i] ^= 0x41;
        put_file(&rig, bytes_of(file, size));
        enum err e = relay_state_read(rig.env, "d", &rig.memory, &got, &rig.why);
        assert_int_equal(e, ERR_CORRUPT);
        file[i] ^= 0x41;
        put_file(&rig, bytes_of(file, i));
        assert_int_equal(relay_state_read(rig.env, "d", &rig.memory, &got, &rig.why), ERR_CORRUPT);
    }
    rig_fini(&rig);
}

UNIT_TEST(test_a_newer_version_is_distinguished_from_damage)
{
    struct rig rig;
    rig_init(&rig);
    struct relay_state s = some_state(), got;
    must(relay_state_write(rig.env, "d", &rig.scratch, &s, &rig.why));
    uint8_t file[512];
    size_t size = rig.scratch.size;
    memcpy(file, rig.scratch.at, size);
    file[8] = 9;  /* its version */
    file[12] = 9; /* the version that can read it */
    uint32_t crc = crc32c(0, bytes_of(file, 20));
    store_le32(file + 20, crc32c(crc, bytes_of(file + 24, size - 24)));
    put_file(&rig, bytes_of(file, size));
    assert_int_equal(relay_state_read(rig.env, "d", &rig.memory, &got, &rig.why), ERR_UNSUPPORTED);
    assert_non_null(strstr(rig.why.text, "version 9"));
    rig_fini(&rig);
}

UNIT_TEST(test_a_missing_state_is_damage_a_missing_directory_is_new)
{
    struct rig rig;
    rig_init(&rig);
    struct relay_state got;
    assert_int_equal(relay_state_read(rig.env, "d", &rig.memory, &got, &rig.why), ERR_CORRUPT);
    assert_int_equal(relay_state_read(rig.env, "e", &rig.memory, &got, &rig.why), ERR_MISSING);
    /* A file in the place of the directory is no damage: nothing of it is set aside. */
    must(env_write_whole(rig.env, ".", "e", bytes_of_text("x"), &rig.why));
    assert_int_equal(relay_state_read(rig.env, "e", &rig.memory, &got, &rig.why), ERR_IO);
    assert_non_null(strstr(rig.why.text, "e is a file, expected a directory"));
    rig_fini(&rig);
}

UNIT_TEST(test_the_state_before_is_kept_beside)
{
    struct rig rig;
    rig_init(&rig);
    struct relay_state s = some_state(), got;
    for (uint64_t pos = 1; pos <= 3; pos++) {
        s.cursor.pos = pos;
        must(relay_state_write(rig.env, "d", &rig.scratch, &s, &rig.why));
        enum err e = relay_state_read_previous(rig.env, "d", &rig.memory, &got, &rig.why);
        assert_int_equal(e, pos == 1 ? ERR_MISSING : OK);
        if (e == OK) assert_int_equal(got.cursor.pos, pos - 1);
    }
    must(env_unlink(rig.env, "d/state", &rig.why));
    must(relay_state_write(rig.env, "d", &rig.scratch, &s, &rig.why));
    sim_env_power_loss(rig.sim);
    must(relay_state_read(rig.env, "d", &rig.memory, &got, &rig.why));
    rig_fini(&rig);
}

/* Each call fails once, then the power fails. */
UNIT_TEST(test_a_directory_is_never_there_without_a_state)
{
    bool finished = false;
    for (uint64_t nth = 1; !finished; nth++) {
        struct rig rig;
        rig_init(&rig);
        struct fault_env *fault;
        must(fault_env_new(rig.env, &fault));
        struct env *env = fault_env_env(fault);
        fault_env_arm(fault, (struct fault){FAULT_EIO, nth, false});
        struct relay_state s = some_state(), got;
        enum err e = relay_state_make(env, "all", "one", &rig.scratch, &s, &rig.why);
        finished = !fault_env_fired(fault);
        if (finished) must(e);
        sim_env_power_loss(rig.sim);
        enum err read = relay_state_read(rig.env, "all/one", &rig.memory, &got, &rig.why);
        assert_true(read == OK || (e != OK && read == ERR_MISSING));
        if (read != OK) { /* remains of the attempt do not disturb */
            must(relay_state_make(rig.env, "all", "one", &rig.scratch, &s, &rig.why));
            must(relay_state_read(rig.env, "all/one", &rig.memory, &got, &rig.why));
        }
        fault_env_free(fault);
        rig_fini(&rig);
    }
}

/* Names of destinations may have any ending. */
UNIT_TEST(test_a_directory_that_is_made_takes_no_other_ones_place)
{
    struct rig rig;
    rig_init(&rig);
    struct relay_state first = some_state(), second = some_state(), got;
    second.cursor.pos = 7;
    must(relay_state_make(rig.env, "all", "west.new", &rig.scratch, &first, &rig.why));
    must(relay_state_make(rig.env, "all", "west", &rig.scratch, &second, &rig.why));
    must(relay_state_read(rig.env, "all/west.new", &rig.memory, &got, &rig.why));
    assert_int_equal(got.cursor.pos, first.cursor.pos);
    must(relay_state_read(rig.env, "all/west", &rig.memory, &got, &rig.why));
    assert_int_equal(got.cursor.pos, 7);
    rig_fini(&rig);
}

UNIT_TEST(test_a_path_that_is_too_long_is_named)
{
    struct rig rig;
    struct relay_state got;
    char dir[FILE_PATH_BYTES] = "";
    rig_init(&rig);
    memset(dir, 'd', sizeof dir - 1);
    assert_int_equal(relay_state_read(rig.env, dir, &rig.memory, &got, &rig.why), ERR_LIMIT);
    assert_non_null(strstr(rig.why.text, "path is too long"));
    rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_written_state_reads_back_equal),
        cmocka_unit_test(test_a_state_of_an_earlier_version_is_read),
        cmocka_unit_test(test_the_list_of_letters_reads_back_or_is_refused),
        cmocka_unit_test(test_each_damaged_byte_is_noticed),
        cmocka_unit_test(test_a_newer_version_is_distinguished_from_damage),
        cmocka_unit_test(test_a_missing_state_is_damage_a_missing_directory_is_new),
        cmocka_unit_test(test_the_state_before_is_kept_beside),
        cmocka_unit_test(test_a_directory_is_never_there_without_a_state),
        cmocka_unit_test(test_a_directory_that_is_made_takes_no_other_ones_place),
        cmocka_unit_test(test_a_path_that_is_too_long_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
