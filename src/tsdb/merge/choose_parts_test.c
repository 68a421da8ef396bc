/* choose_parts_test.c - plans of merges, carried out on parts that are only lists of times. */
#include "lib/test.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "tsdb/merge/parts.h"

#define HOUR_MS  INT64_C(3600000)
#define DAY_MS   (24 * HOUR_MS)
#define NOW0     INT64_C(1792065600000) /* 2026-10-15 12:00 UTC */
#define MONTH_MS (31 * DAY_MS)

enum { POINTS_MAX = 64, PARTS_MAX = 4000, PART_MEMORY = 10, POINT_MEMORY = 3 };

/* A sample, which counts as a byte; `arrival` identifies it. */
struct point {
    int64_t t_ms;
    uint64_t pos;
    uint64_t bytes;
};
struct fake {
    struct point *points;
    uint32_t count;
    struct plan_part part;
};

static struct fake parts[PARTS_MAX];
static uint32_t part_count;
static uint64_t written; /* points written by merges */
static struct merge_plan_options options;

static void
world_clear(void)
{
    for (uint32_t i = 0; i < part_count; i++)
        free(parts[i].points);
    part_count = 0;
    written = 0;
    options = (struct merge_plan_options){
        .now_ms = NOW0, .bytes_max = UINT64_MAX, .memory_max = UINT64_MAX};
}

static void
fake_measure(struct fake *f)
{
    f->part.time = (struct time_range){INT64_MAX, INT64_MIN};
    f->part.bytes = 0;
    f->part.memory = PART_MEMORY + (uint64_t)f->count * POINT_MEMORY;
    for (uint32_t i = 0; i < f->count; i++) {
        int64_t t = f->points[i].t_ms;
        if (t < f->part.time.min_ms) f->part.time.min_ms = t;
        if (t > f->part.time.max_ms) f->part.time.max_ms = t;
        f->part.bytes += f->points[i].bytes;
    }
}

static struct fake *
fake_add(uint64_t from_pos, uint64_t to_pos, uint32_t points_max)
{
    assert_true(part_count < PARTS_MAX);
    struct fake *f = &parts[part_count++];
    *f = (struct fake){.points = calloc(points_max + 1, sizeof *f->points)};
    f->part.from_pos = from_pos;
    f->part.to_pos = to_pos;
    return f;
}

/* Adds a flush whose samples are spread evenly between two times. */
static void
flush(uint64_t pos, int64_t min_ms, int64_t max_ms, uint32_t points, uint64_t bytes)
{
    struct fake *f = fake_add(pos, pos + 1, points);
    for (uint32_t i = 0; i < points; i++) {
        int64_t t = points == 1 ? max_ms : min_ms + (max_ms - min_ms) * i / (points - 1);
        f->points[f->count++] = (struct point){t, pos, bytes / points};
    }
    f->part.loose = true;
    fake_measure(f);
}

static int
by_pos(const void *a, const void *b)
{
    const struct plan_part *x = &((const struct fake *)a)->part,
                           *y = &((const struct fake *)b)->part;
    return (x->from_pos > y->from_pos) - (x->from_pos < y->from_pos);
}

/* Checks that the order of arrival is known for any two parts that share some time. */
static void
check_order(void)
{
    for (uint32_t i = 0; i < part_count; i++) {
        for (uint32_t k = i + 1; k < part_count; k++) {
            const struct plan_part *a = &parts[i].part, *b = &parts[k].part;
            if (!ranges_meet(a->time, b->time)) continue;
            assert_true(a->to_pos <= b->from_pos || b->to_pos <= a->from_pos);
        }
    }
}

static uint64_t
points_alive(void)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < part_count; i++)
        count += parts[i].count;
    return count;
}

static void
carry_out(const struct merge_plan *plan)
{
    uint64_t before = points_alive(), from = UINT64_MAX, to = 0, memory = 0;
    uint32_t capacity = 0, first_new = part_count;
    for (uint32_t i = 0; i < plan->input_count; i++) {
        const struct fake *f = &parts[plan->inputs[i]];
        assert_false(f->part.fixed);
        capacity += f->count;
        memory += f->part.memory;
        if (f->part.from_pos < from) from = f->part.from_pos;
        if (f->part.to_pos > to) to = f->part.to_pos;
    }
    assert_true(memory <= options.memory_max);
    for (uint32_t w = 0; w < plan->window_count; w++) {
        struct fake *out = fake_add(from, to, capacity);
        for (uint32_t i = 0; i < plan->input_count; i++) {
            const struct fake *f = &parts[plan->inputs[i]];
            for (uint32_t p = 0; p < f->count; p++) {
                int64_t t = f->points[p].t_ms;
                if (t < plan->windows[w].min_ms || t > plan->windows[w].max_ms) continue;
                out->points[out->count++] = f->points[p];
            }
        }
        fake_measure(out);
        out->part.loose = !plan->last;
        written += out->part.bytes;
        if (out->count == 0) free(parts[--part_count].points);
    }
    for (uint32_t i = plan->input_count; i-- > 0;) {
        free(parts[plan->inputs[i]].points);
        parts[plan->inputs[i]].count = 0;
        parts[plan->inputs[i]].points = NULL;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < part_count; i++)
        if (i >= first_new || parts[i].points != NULL) parts[kept++] = parts[i];
    part_count = kept;
    qsort(parts, part_count, sizeof *parts, by_pos);
    assert_int_equal(points_alive(), before);
    check_order();
}

/* Carries out plans until none is left; returns the number of merges. */
static uint32_t
settle(void)
{
    struct plan_part list[PARTS_MAX];
    for (uint32_t merges = 0;; merges++) {
        struct arena arena;
        struct merge_plan plan;
        for (uint32_t i = 0; i < part_count; i++)
            list[i] = parts[i].part;
        arena_init(&arena, NULL, 0, 0);
        assert_int_equal(merge_plan(list, part_count, &options, &arena, &plan), OK);
        bool done = plan.input_count == 0;
        if (!done) carry_out(&plan);
        arena_fini(&arena);
        if (done) return merges;
        assert_true(merges < 10000);
    }
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_partitions_are_days_then_months_then_all_the_rest)
{
    struct time_range r = partition_of(NOW0, NOW0);
    assert_int_equal(r.min_ms, NOW0 - 12 * HOUR_MS + 1);
    assert_int_equal(r.max_ms, NOW0 + 12 * HOUR_MS);
    r = partition_of(NOW0 - 40 * DAY_MS, NOW0); /* 5 September */
    assert_int_equal(r.max_ms - r.min_ms, DAY_MS - 1);
    r = partition_of(NOW0 - 46 * DAY_MS, NOW0); /* 30 August */
    assert_int_equal(r.max_ms - r.min_ms, 31 * DAY_MS - 1);
    r = partition_of(1, NOW0); /* January 1970 */
    assert_int_equal(r.min_ms, 1);
    assert_int_equal(r.max_ms, 31 * DAY_MS);
    r = partition_of(0, NOW0);
    assert_int_equal(r.min_ms, -31 * DAY_MS + 1);
    assert_int_equal(r.max_ms, 0);
    r = partition_of(INT64_MIN, NOW0);
    assert_int_equal(r.min_ms, INT64_MIN);
    assert_int_equal(partition_of(r.max_ms + 1, NOW0).min_ms, r.max_ms + 1);
    r = partition_of(INT64_MAX, NOW0);
    assert_int_equal(r.max_ms, INT64_MAX);
    assert_int_equal(partition_of(r.min_ms - 1, NOW0).max_ms, r.min_ms - 1);
    assert_int_equal(partition_of(r.min_ms, NOW0).max_ms, INT64_MAX);
    /* A month of days becomes one two hours after the end of the month that follows it. */
    const int64_t october = NOW0 - 14 * DAY_MS - 12 * HOUR_MS, over = october + 2 * HOUR_MS;
    r = partition_of(october - 60 * DAY_MS, over - 1);
    assert_int_equal(r.max_ms - r.min_ms, DAY_MS - 1);
    r = partition_of(october - 60 * DAY_MS, over);
    assert_int_equal(r.max_ms - r.min_ms, 31 * DAY_MS - 1);
}

UNIT_TEST(test_partitions_cover_time_without_gap_or_overlap)
{
    for (int64_t now = NOW0; now < NOW0 + 400 * DAY_MS; now += 17 * DAY_MS + 5 * HOUR_MS) {
        int64_t t = now - 500 * DAY_MS;
        struct time_range r = partition_of(t, now);
        while (t < now + 200 * DAY_MS) {
            assert_true(r.min_ms <= t && t <= r.max_ms);
            struct time_range same = partition_of(r.max_ms, now);
            assert_memory_equal(&same, &r, sizeof r);
            t = r.max_ms + 1;
            r = partition_of(t, now);
            assert_int_equal(r.min_ms, t);
        }
    }
}

/* A year passes, with a flush of the last twenty minutes at a time. One begins at midnight, whose
 * sample is of the day before. */
UNIT_TEST(test_a_year_settles_into_days_and_months_at_bounded_cost)
{
    world_clear();
    uint64_t pos = 0, flushed = 0;
    uint32_t most = 0;
    for (int64_t now = NOW0; now < NOW0 + 365 * DAY_MS; now += 20 * 60 * 1000) {
        flush(pos++, now - 20 * 60 * 1000, now - 1000, 3, 3 << 20);
        flushed += 3 << 20;
        options.now_ms = now;
        settle();
        if (part_count > most) most = part_count;
    }
    /* 62 days, 12 months, today's pieces. */
    assert_in_range(most, 20, 62 + 12 + 2 * 15 + 2 * 4);
    assert_in_range(written * 100 / flushed, 250, 300); /* run, day, month; in percent */
    world_clear();
}

UNIT_TEST(test_a_backfilled_year_is_split_and_leaves_todays_parts_alone)
{
    world_clear();
    uint64_t pos = 0;
    for (int i = 0; i < 5; i++)
        flush(pos++, NOW0 - HOUR_MS, NOW0 - 1, 4, 4 << 20);
    for (int i = 0; i < 40; i++) {
        flush(pos++, NOW0 - 365 * DAY_MS, NOW0 - 70 * DAY_MS, 60, 6 << 20);
        settle();
    }
    uint32_t today = 0;
    for (uint32_t i = 0; i < part_count; i++) {
        today += parts[i].part.time.max_ms >= NOW0 - DAY_MS;
        struct time_range p = partition_of(parts[i].part.time.min_ms, NOW0);
        assert_true(range_holds(p, parts[i].part.time));
    }
    assert_int_equal(today, 5);
    assert_in_range(part_count, 5 + 10, 5 + 11 * 8);
    world_clear();
}

/* A flush every two hours, of which one begins before midnight. */
UNIT_TEST(test_a_day_becomes_one_part_with_its_last_minutes)
{
    world_clear();
    uint64_t pos = 0;
    for (int64_t now = NOW0 + HOUR_MS; now < NOW0 + 5 * DAY_MS; now += 2 * HOUR_MS) {
        flush(pos++, now - 2 * HOUR_MS, now - 1000, 8, 8 << 20);
        options.now_ms = now;
        settle();
        struct time_range yesterday = partition_of(now - DAY_MS, now);
        if (now < NOW0 + DAY_MS || now - yesterday.max_ms <= 2 * HOUR_MS) continue;
        uint32_t count = 0;
        for (uint32_t i = 0; i < part_count; i++)
            count += ranges_meet(parts[i].part.time, yesterday);
        assert_int_equal(count, 1);
    }
    world_clear();
}

/* A sender that is always a day late makes every flush wide. */
UNIT_TEST(test_parts_across_midnight_are_split_several_at_once)
{
    world_clear();
    uint64_t pos = 0, flushed = 0;
    for (int64_t now = NOW0; now < NOW0 + 10 * DAY_MS; now += 10 * 60 * 1000) {
        flush(pos++, now - DAY_MS, now, 8, 8 << 20);
        flushed += 8 << 20;
        options.now_ms = now;
        settle();
        assert_in_range(part_count, 1, 11 * 16 + 4);
    }
    assert_in_range(written * 100 / flushed, 150, 500);
    world_clear();
}

UNIT_TEST(test_full_leaves_one_part_a_partition)
{
    world_clear();
    uint64_t pos = 0;
    for (int day = 0; day < 20; day++) {
        for (int i = 0; i < 5; i++) {
            int64_t begin = NOW0 - day * DAY_MS;
            flush(pos++, begin - HOUR_MS, begin, 4, 1 << (10 + i * 4));
        }
        flush(pos++, NOW0 - 100 * DAY_MS, NOW0, 50, 1 << 20);
    }
    options.full = true;
    settle();
    assert_in_range(part_count, 1, 62 + 3);
    for (uint32_t i = 0; i < part_count; i++) {
        for (uint32_t k = i + 1; k < part_count; k++) {
            struct time_range a = partition_of(parts[i].part.time.min_ms, NOW0);
            struct time_range b = partition_of(parts[k].part.time.min_ms, NOW0);
            assert_true(a.min_ms != b.min_ms);
        }
    }
    assert_int_equal(settle(), 0);
    world_clear();
}

UNIT_TEST(test_nothing_is_merged_across_a_border)
{
    const uint64_t borders[] = {30, 70};
    world_clear();
    for (uint64_t pos = 0; pos < 100; pos++)
        flush(pos, NOW0 - 3 * DAY_MS, NOW0 - 2 * DAY_MS, 4, 1 << 20);
    options.borders = borders;
    options.border_count = 2;
    options.full = true;
    settle();
    uint32_t between = 0;
    for (uint32_t i = 0; i < part_count; i++) {
        for (uint32_t b = 0; b < 2; b++) {
            const struct plan_part *p = &parts[i].part;
            assert_true(p->to_pos <= borders[b] || p->from_pos >= borders[b]);
        }
        between += parts[i].part.from_pos >= 30 && parts[i].part.to_pos <= 70;
    }
    assert_in_range(between, 1, 2); /* two days, at the largest size */
    options.border_count = 0;
    settle();
    assert_in_range(part_count, 1, 2);
    world_clear();
}

UNIT_TEST(test_full_rewrites_a_lone_flush_once)
{
    world_clear();
    flush(1, NOW0 - HOUR_MS, NOW0, 10, 1 << 20);
    assert_int_equal(settle(), 0);
    options.full = true;
    options.bytes_max = 1000; /* no room */
    assert_int_equal(settle(), 0);
    options.bytes_max = UINT64_MAX;
    assert_int_equal(settle(), 1);
    assert_int_equal(settle(), 0);
    flush(2, NOW0 - 2 * DAY_MS, NOW0, 10, 1 << 20); /* across midnight: written at once */
    assert_in_range(settle(), 1, 4);
    assert_int_equal(settle(), 0);
    world_clear();
}

UNIT_TEST(test_a_fixed_part_stays_and_nothing_is_merged_across_it)
{
    world_clear();
    for (uint64_t pos = 0; pos < 21; pos++)
        flush(pos, NOW0 - 5 * DAY_MS, NOW0 - 5 * DAY_MS + HOUR_MS, 4, 1 << 20);
    parts[10].part.fixed = true;
    settle();
    assert_int_equal(part_count, 3);
    assert_true(parts[1].part.fixed);
    assert_int_equal(parts[0].part.to_pos, 10);
    assert_int_equal(parts[2].part.from_pos, 11);
    world_clear();
}

UNIT_TEST(test_a_trickle_into_a_large_day_does_not_write_it_again_each_time)
{
    world_clear();
    int64_t day = partition_of(NOW0 - 3 * DAY_MS, NOW0).min_ms;
    flush(0, day, day + DAY_MS - 1, 4, UINT64_C(1) << 30); /* all of it */
    for (uint64_t pos = 1; pos <= 1000; pos++) {
        flush(pos, day + HOUR_MS, day + 2 * HOUR_MS, 2, 64 << 10);
        settle();
        assert_in_range(part_count, 1, 1 + 4 * 8);
    }
    assert_in_range(written, 1, UINT64_C(1) << 30); /* 62 MiB came in */
    world_clear();
}

UNIT_TEST(test_a_merge_that_would_be_too_large_is_not_planned)
{
    world_clear();
    options.bytes_max = 10 << 20;
    for (uint64_t pos = 0; pos < 8; pos++)
        flush(pos, NOW0 - 5 * DAY_MS, NOW0 - 5 * DAY_MS + HOUR_MS, 4, 4 << 20);
    settle();
    assert_int_equal(part_count, 4);                             /* two and two */
    flush(8, NOW0 - 9 * DAY_MS, NOW0 - 7 * DAY_MS, 4, 20 << 20); /* to be split, but too large */
    assert_int_equal(settle(), 0);
    flush(9, NOW0 - 9 * DAY_MS, NOW0 - 8 * DAY_MS, 4, 8 << 20); /* keeps no other waiting */
    assert_int_equal(settle(), 1);
    world_clear();
}

UNIT_TEST(test_parts_without_samples_are_left_alone)
{
    world_clear();
    for (uint64_t pos = 0; pos < 20; pos++)
        flush(pos, 0, 0, 0, 0);
    options.full = true;
    assert_int_equal(settle(), 0);
    world_clear();
}

/* Adds parts of the same time one after another; returns the highest number of parts. */
static uint32_t
flood(uint32_t count, uint32_t points, uint64_t pos)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        flush(pos + i, options.now_ms - HOUR_MS, options.now_ms, points, (uint64_t)points << 10);
        settle();
        if (part_count > most) most = part_count;
    }
    return most;
}

/* A merge has memory for 20 of these: each remaining part has about half of them, or more. */
UNIT_TEST(test_parts_that_exceed_the_memory_of_a_merge_become_few)
{
    for (unsigned over = 0; over < 2; over++) {
        world_clear();
        options.memory_max = 20 * (PART_MEMORY + 30 * POINT_MEMORY);
        assert_in_range(flood(1000, 30, 0), 20, 1000 / 9 + 10);
        if (over) options.now_ms += 2 * DAY_MS;
        settle();
        assert_in_range(part_count, 40, over ? 1000 / 15 : 1000 / 9 + 10);
        options.full = true;
        settle();
        assert_in_range(part_count, 40, 1000 / 15);
        assert_int_equal(settle(), 0);
    }
    world_clear();
}

/* If two parts fit, they are merged before there are enough for a run. */
UNIT_TEST(test_parts_of_which_two_fill_memory_are_merged_by_two)
{
    world_clear();
    options.memory_max = 2 * (PART_MEMORY + 30 * POINT_MEMORY) + 5;
    assert_in_range(flood(100, 30, 0), 50, 52);
    assert_in_range(written, 1, 100 * (30 << 10));
    world_clear();
}

UNIT_TEST(test_small_parts_are_merged_beside_one_that_is_too_large)
{
    for (unsigned full = 0; full < 2; full++) {
        world_clear();
        int64_t day = partition_of(NOW0 - 3 * DAY_MS, NOW0).min_ms;
        options.memory_max = 1000;
        options.full = full;
        flush(0, day, day + HOUR_MS, 40, 1 << 20);
        for (uint64_t pos = 1; pos < 30; pos++) {
            uint32_t points = pos == 15 ? 400 : pos == 22 ? 320 : 8;
            flush(pos, day, day + HOUR_MS, points, points << 10);
        }
        settle();
        /* Parts merge before the one that never fits, between both, and after the one that fits
         * alone; the first merge is not worth it unless a full merge was requested. */
        assert_int_equal(part_count, full ? 5 : 6);
        assert_int_equal(settle(), 0);
    }
    world_clear();
}

/* Neither do parts of other days, nor parts across midnight. */
UNIT_TEST(test_a_part_too_large_for_memory_keeps_no_other_from_being_merged)
{
    world_clear();
    options.memory_max = 500;
    flush(0, NOW0 - 9 * DAY_MS, NOW0 - 6 * DAY_MS, 600, 1 << 20); /* across midnight */
    for (uint64_t pos = 1; pos <= 4; pos++)
        flush(pos, NOW0 - 5 * DAY_MS, NOW0 - 3 * DAY_MS, 10, 1 << 20);
    for (uint64_t pos = 5; pos < 15; pos++)
        flush(pos, NOW0 - 2 * DAY_MS, NOW0 - 2 * DAY_MS + HOUR_MS, 10, 1 << 20);
    settle();
    assert_int_equal(parts[0].count, 600);
    for (uint32_t i = 1; i < part_count; i++) {
        struct time_range p = partition_of(parts[i].part.time.min_ms, NOW0);
        assert_true(range_holds(p, parts[i].part.time));
    }
    assert_in_range(part_count, 1 + 3 + 1, 1 + 3 + 2);
    world_clear();
}

/* Any input is possible: the order stays known, nothing is lost, and the merges end. */
/* The number of inputs of the next merge of parts that differ in bytes and memory only. */
static uint32_t
planned(uint32_t count, const uint64_t *bytes, const uint64_t *memory, struct time_range time)
{
    struct plan_part list[32];
    struct arena arena;
    struct merge_plan plan;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = (struct plan_part){.from_pos = i,
                                     .to_pos = i + 1,
                                     .time = time,
                                     .bytes = bytes[i],
                                     .memory = memory[i],
                                     .loose = true};
    }
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(merge_plan(list, count, &options, &arena, &plan), OK);
    count = plan.input_count;
    arena_fini(&arena);
    return count;
}

UNIT_TEST(test_limits_of_bytes_and_memory_may_be_reached)
{
    const struct time_range old = {NOW0 - 5 * DAY_MS, NOW0 - 5 * DAY_MS + HOUR_MS};
    const uint64_t ones[] = {1, 1}, sizes[] = {300, 100}, more[] = {300, 101};
    world_clear();
    options.full = true;
    options.memory_max = 400;
    assert_int_equal(planned(2, ones, sizes, old), 2);
    assert_int_equal(planned(2, ones, more, old), 1);
    assert_int_equal(planned(1, ones, &(uint64_t){400}, old), 1);
    assert_int_equal(planned(1, ones, &(uint64_t){401}, old), 0);
    options.memory_max = UINT64_MAX;
    options.bytes_max = 400;
    assert_int_equal(planned(2, sizes, ones, old), 2);
    assert_int_equal(planned(2, more, ones, old), 1);
    assert_int_equal(planned(1, &(uint64_t){400}, ones, old), 1);
    assert_int_equal(planned(1, &(uint64_t){401}, ones, old), 0);
    world_clear();
}

UNIT_TEST(test_a_merge_is_worth_it_from_its_limits_on)
{
    const struct time_range old = {NOW0 - 5 * DAY_MS, NOW0 - 5 * DAY_MS + HOUR_MS};
    const struct time_range today = {NOW0 - HOUR_MS, NOW0};
    uint64_t bytes[17], memory[17];
    world_clear();
    for (unsigned i = 0; i < 17; i++)
        bytes[i] = memory[i] = 1;
    /* A day that is over: small parts of a quarter of the largest. */
    bytes[0] = 4000;
    bytes[1] = 1000;
    assert_int_equal(planned(2, bytes, memory, old), 2);
    bytes[1] = 999;
    assert_int_equal(planned(2, bytes, memory, old), 0);
    /* Sixteen parts of today, none of which is more than a quarter of all. */
    bytes[0] = 5;
    bytes[1] = 1;
    assert_int_equal(planned(16, bytes, memory, today), 16);
    assert_int_equal(planned(15, bytes, memory, today), 0);
    bytes[0] = 6;
    assert_int_equal(planned(16, bytes, memory, today), 0);
    /* Two parts of half of the memory, before a third that does not fit beside them. */
    bytes[0] = 1;
    options.memory_max = 40;
    memory[0] = memory[1] = 10;
    memory[2] = 21;
    assert_int_equal(planned(3, bytes, memory, today), 2);
    memory[1] = 9;
    memory[2] = 22;
    assert_int_equal(planned(3, bytes, memory, today), 0);
    world_clear();
}

UNIT_TEST(test_a_day_is_over_two_hours_after_its_end)
{
    const struct time_range day = partition_of(NOW0 - DAY_MS, NOW0);
    const uint64_t ones[] = {1, 1};
    world_clear();
    options.now_ms = day.max_ms + 2 * HOUR_MS;
    assert_int_equal(planned(2, ones, ones, day), 0);
    options.now_ms++;
    assert_int_equal(planned(2, ones, ones, day), 2);
    world_clear();
}

UNIT_TEST(test_parts_that_reach_into_today_wait_for_three_more)
{
    const struct time_range today = partition_of(NOW0, NOW0);
    const struct time_range before = {today.min_ms - DAY_MS - 1, today.min_ms - 1};
    const struct time_range into = {today.min_ms - 1, today.min_ms};
    const uint64_t ones[] = {1, 1, 1, 1};
    world_clear();
    assert_int_equal(planned(1, ones, ones, before), 1);
    assert_int_equal(planned(1, ones, ones, into), 0);
    assert_int_equal(planned(3, ones, ones, into), 0);
    assert_int_equal(planned(4, ones, ones, into), 4);
    world_clear();
}

UNIT_TEST(test_random_arrivals_settle_in_order)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        world_clear();
        uint64_t n = 0;
        for (uint64_t pos = 0; pos < 120; pos++) {
            uint64_t r = hash_mix(seed, ++n), size = hash_mix(seed, ++n);
            int64_t end =
                NOW0 - (int64_t)(r % 7 == 0 ? size % (300 * DAY_MS) : size % (3 * DAY_MS));
            int64_t begin =
                end - (int64_t)(hash_mix(seed, ++n) % (r % 5 == 0 ? 90 * DAY_MS : HOUR_MS));
            flush(pos, begin, end, 1 + (uint32_t)(r % 20), 1024 << (size % 12));
            parts[part_count - 1].part.fixed = r % 31 == 0;
            if (hash_mix(seed, ++n) % 3 == 0) settle();
            options.now_ms += (int64_t)(hash_mix(seed, ++n) % DAY_MS);
            options.full = hash_mix(seed, ++n) % 20 == 0;
            options.memory_max = seed % 2 == 0 ? UINT64_MAX : hash_mix(seed, ++n) % 1000;
        }
        if (part_count == 0) fail_msg("seed %" PRIu64, seed);
    }
    world_clear();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_partitions_are_days_then_months_then_all_the_rest),
        cmocka_unit_test(test_partitions_cover_time_without_gap_or_overlap),
        cmocka_unit_test(test_a_year_settles_into_days_and_months_at_bounded_cost),
        cmocka_unit_test(test_a_backfilled_year_is_split_and_leaves_todays_parts_alone),
        cmocka_unit_test(test_a_day_becomes_one_part_with_its_last_minutes),
        cmocka_unit_test(test_parts_across_midnight_are_split_several_at_once),
        cmocka_unit_test(test_full_leaves_one_part_a_partition),
        cmocka_unit_test(test_nothing_is_merged_across_a_border),
        cmocka_unit_test(test_full_rewrites_a_lone_flush_once),
        cmocka_unit_test(test_a_fixed_part_stays_and_nothing_is_merged_across_it),
        cmocka_unit_test(test_a_trickle_into_a_large_day_does_not_write_it_again_each_time),
        cmocka_unit_test(test_a_merge_that_would_be_too_large_is_not_planned),
        cmocka_unit_test(test_parts_without_samples_are_left_alone),
        cmocka_unit_test(test_parts_that_exceed_the_memory_of_a_merge_become_few),
        cmocka_unit_test(test_parts_of_which_two_fill_memory_are_merged_by_two),
        cmocka_unit_test(test_small_parts_are_merged_beside_one_that_is_too_large),
        cmocka_unit_test(test_a_part_too_large_for_memory_keeps_no_other_from_being_merged),
        cmocka_unit_test(test_limits_of_bytes_and_memory_may_be_reached),
        cmocka_unit_test(test_a_merge_is_worth_it_from_its_limits_on),
        cmocka_unit_test(test_a_day_is_over_two_hours_after_its_end),
        cmocka_unit_test(test_parts_that_reach_into_today_wait_for_three_more),
        cmocka_unit_test(test_random_arrivals_settle_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
