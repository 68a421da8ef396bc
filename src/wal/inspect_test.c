/*
 * inspect_test.c - descriptions of single segments account for every byte, whatever the segment
 * holds, and give the right end.
 */
#include "lib/test.h"
#include "lib/wal_rig.h"

struct looked {
    struct wal_inspection result;
    uint64_t commits;
    uint64_t commit_bytes;
    uint64_t records; /* except commit records */
    uint64_t record_bytes;
    uint64_t floats;
    uint64_t damage_bytes;
    uint64_t damage_places;
    uint64_t salvaged;
    char first[400];
};

static enum err
see_commit(void *context, const struct wal_commit_info *c)
{
    struct looked *l = context;
    l->commits++;
    l->commit_bytes += c->bytes;
    l->floats += c->accepted[LEDGER_FLOAT];
    return OK;
}

static enum err
see_record(void *context, const struct wal_record_info *r)
{
    struct looked *l = context;
    l->record_bytes += r->record_bytes;
    l->salvaged += r->record.salvaged;
    if (r->record.type == WAL_COMMIT || r->record.type == WAL_PADDING) return OK;
    l->records++;
    assert_int_equal(r->record_bytes, record_size(r->payload_bytes));
    if (r->record.type != WAL_SERIES) check_record(&r->record);
    if (!r->packed) assert_int_equal(r->payload_bytes, r->record.payload.size);
    return OK;
}

static void
see_damage(void *context, uint64_t pos, uint64_t bytes, const char *text)
{
    struct looked *l = context;
    (void)pos;
    if (l->damage_places++ == 0) snprintf(l->first, sizeof l->first, "%s", text);
    l->damage_bytes += bytes;
}

/* Describes a segment: records and damage cover it from the first position to the end,
 * without gaps. */
static struct looked
look(struct wal_rig *rig, uint64_t number)
{
    struct looked l = {.commits = 0};
    struct wal_inspector inspector = {see_commit, see_record, see_damage, &l};
    struct budget budget;
    budget_init(&budget, "inspect", 0, NULL);
    must(wal_inspect(rig->env, "/wal", number, &budget, &inspector, &l.result, &rig->why));
    assert_int_equal(budget_used(&budget), 0);
    assert_int_equal(l.damage_bytes, l.result.damaged_bytes);
    assert_int_equal(l.record_bytes + l.damage_bytes, l.result.end_pos - l.result.segment.base_pos);
    return l;
}

static enum err
list_one(void *context, const struct wal_segment_info *info)
{
    struct segment_list *list = context;
    must(segment_list_reserve(list, NULL));
    list->items[list->count++] = (struct segment){.number = info->number,
                                                  .base_pos = info->base_pos,
                                                  .end_pos = info->end_pos,
                                                  .file_bytes = info->file_bytes,
                                                  .copy_damaged = info->copy_damaged};
    return OK;
}

UNIT_TEST(test_every_segment_is_accounted_for_to_the_byte_and_nothing_is_changed)
{
    struct wal_rig rig;
    struct segment newest;
    struct segment_list list = {0};
    uint64_t records = 0, floats = 0, commits = 0, model = 0;
    wal_rig_make_long_log(&rig, 11, 4, &newest);
    uint64_t before = dir_sum(&rig, NULL);
    must(wal_segments(rig.env, "/wal", NULL, list_one, &list, &rig.why));
    assert_int_equal(list.count, 5);
    for (uint32_t i = 0; i < list.count; i++) {
        struct looked l = look(&rig, list.items[i].number);
        assert_int_equal(l.result.segment.state, WAL_SEGMENT_LIVE);
        assert_int_equal(l.result.segment.base_pos, list.items[i].base_pos);
        assert_int_equal(l.result.segment.totals[LEDGER_FLOAT], floats);
        assert_int_equal(l.commit_bytes, l.record_bytes);
        assert_int_equal(l.damage_places, 0);
        assert_int_equal(l.result.torn_bytes, 0);
        if (i + 1 < list.count) {
            assert_int_equal(l.result.end, WAL_END_NEXT);
            assert_int_equal(l.result.end_pos, list.items[i].end_pos);
        }
        records += l.records;
        commits += l.commits;
        floats += l.floats;
    }
    for (uint32_t i = 0; i < rig.commit_count; i++)
        model += rig.commits[i].count;
    assert_int_equal(commits, rig.commit_count);
    assert_int_equal(floats, wal_rig_floats(&rig));
    assert_true(records >= model); /* with definitions of series */
    assert_true(before == dir_sum(&rig, NULL));
    segment_list_fini(&list, NULL);
    wal_rig_fini(&rig);
}

/* Makes one commit in segment 1; returns the file, and its size in `ret_size`. */
static uint8_t *
make_one_commit(struct wal_rig *rig, size_t *ret_size)
{
    wal_rig_init(rig, 5);
    must(wal_rig_open(rig));
    must(wal_prepare(rig->wal, NULL));
    wal_rig_put_many(rig, 3);
    must(wal_rig_commit(rig));
    wal_rig_put_many(rig, 3);
    must(wal_rig_commit(rig));
    wal_rig_close(rig);
    return wal_rig_read_file(rig, segment_file(1), ret_size);
}

UNIT_TEST(test_the_end_of_the_segment_is_reported)
{
    struct wal_rig rig;
    size_t size;
    uint8_t *at = make_one_commit(&rig, &size);
    struct looked whole = look(&rig, 1);
    assert_int_equal(whole.result.end, WAL_END_ZERO);
    assert_int_equal(whole.commits, 2);
    size_t end = (size_t)(whole.result.end_pos - whole.result.segment.base_pos) + 8192;

    wal_rig_write_file(&rig, segment_file(1), at, end);
    assert_int_equal(look(&rig, 1).result.end, WAL_END_FILE);

    wal_rig_write_file(&rig, segment_file(1), at, end - 8);
    struct looked cut = look(&rig, 1);
    assert_int_equal(cut.result.end, WAL_END_TORN);
    assert_int_equal(cut.commits, 1);
    assert_true(cut.result.torn_bytes > 0);

    wal_rig_write_file(&rig, segment_file(1), at, size);
    wal_rig_patch_file(&rig, segment_file(1), "an older life of the file", 24, end);
    struct looked old = look(&rig, 1);
    assert_int_equal(old.result.end, WAL_END_OTHER);
    assert_int_equal(old.commits, 2);
    assert_int_equal(old.result.torn_bytes, 0);
    free(at);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_damage_is_reported_with_its_position_and_the_rest_is_read)
{
    struct wal_rig rig;
    struct segment segment;
    wal_rig_make_long_log(&rig, 12, 1, &segment);
    struct looked before = look(&rig, segment.number);
    uint64_t middle = (segment.end_pos - segment.base_pos) / 2;
    wal_rig_patch_file(&rig, segment_file(segment.number), "\xff\xff\xff\xff\xff\xff\xff\xff", 8,
                       SEGMENT_HEADER_BYTES + middle);
    struct looked l = look(&rig, segment.number);
    assert_true(l.damage_places >= 1);
    assert_non_null(strstr(l.first, segment_file(segment.number)));
    assert_true(l.result.damaged_bytes > 0);
    assert_true(l.result.damaged_bytes < (segment.end_pos - segment.base_pos) / 4);
    assert_true(l.records + 2 >= before.records);
    assert_int_equal(l.result.end, WAL_END_NEXT);
    assert_int_equal(l.result.end_pos, segment.end_pos);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_any_byte_flipped_leaves_the_sums_right)
{
    struct wal_rig rig;
    size_t size;
    uint8_t *at = make_one_commit(&rig, &size);
    uint64_t used = look(&rig, 1).result.end_pos - look(&rig, 1).result.segment.base_pos;
    for (size_t i = SEGMENT_HEADER_BYTES; i < SEGMENT_HEADER_BYTES + used + 16; i++) {
        uint8_t flipped = at[i] ^ (uint8_t)(1u << wal_rig_random(&rig, 8));
        wal_rig_patch_file(&rig, segment_file(1), &flipped, 1, i);
        struct looked l = look(&rig, 1);
        assert_true(l.commits <= 2);
        wal_rig_patch_file(&rig, segment_file(1), &at[i], 1, i);
    }
    free(at);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_file_that_is_not_a_segment_of_the_log_is_reported)
{
    struct wal_rig rig;
    size_t size;
    uint8_t zeros[8192] = {0};
    struct wal_inspection result;
    uint8_t *at = make_one_commit(&rig, &size);
    static const struct wal_inspector nobody = {0};
    wal_rig_write_file(&rig, segment_file(7), zeros, sizeof zeros);
    assert_int_equal(look(&rig, 7).result.segment.state, WAL_SEGMENT_BLANK);
    wal_rig_write_file(&rig, segment_file(7), at, size); /* another number's header */
    assert_int_equal(look(&rig, 7).result.segment.state, WAL_SEGMENT_BLANK);
    wal_rig_write_file(&rig, segment_file(7), "nonsense", 8);
    assert_int_equal(look(&rig, 7).result.segment.state, WAL_SEGMENT_DAMAGED);
    assert_int_equal(wal_inspect(rig.env, "/wal", 9, NULL, &nobody, &result, &rig.why),
                     ERR_MISSING);
    assert_true(strlen(rig.why.text) > 0);
    free(at);
    wal_rig_fini(&rig);
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, wal_print_seed)
    const struct CMUnitTest tests[] = {
        claim(test_every_segment_is_accounted_for_to_the_byte_and_nothing_is_changed),
        claim(test_the_end_of_the_segment_is_reported),
        claim(test_damage_is_reported_with_its_position_and_the_rest_is_read),
        claim(test_any_byte_flipped_leaves_the_sums_right),
        claim(test_a_file_that_is_not_a_segment_of_the_log_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
