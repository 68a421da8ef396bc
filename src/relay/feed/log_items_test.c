/*
 * log_items_test.c - every item of the log is read with its labels, in order, also when its record
 * is loaded again, with any segments, pages and memory.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"

#include "lib/seeds.h"
#include "model/labels.h"
#include "relay/feed/log_items.h"

enum { SERIES = 3000, RECORDS_MAX = 4000 };

struct rig {
    struct machine m;
    struct destination_settings settings;
    struct selection *selection;
    struct log_items *log;
    struct chunk chunk;
    struct chunk again;
    struct budget memory;
};

static void
rig_init(struct rig *rig, uint64_t seed, size_t cache_bytes)
{
    memset(rig, 0, sizeof *rig);
    machine_init(&rig->m, shifted_seed(seed));
    machine_must_open(&rig->m);
    budget_init(&rig->memory, "log_items", 0, NULL);
    chunk_init(&rig->chunk, &rig->memory);
    chunk_init(&rig->again, &rig->memory);
    must(selection_new(&rig->settings, &rig->selection, &rig->m.why));
    struct log_items_options options = {
        .wal = tsdb_wal(rig->m.db),
        .name = "test",
        .selection = rig->selection,
        .memory = &rig->memory,
        .cache_bytes = cache_bytes,
    };
    must(log_items_open(&options, 0, &rig->log, &rig->m.why));
}

static void
rig_fini(struct rig *rig)
{
    log_items_close(rig->log);
    chunk_fini(&rig->chunk);
    chunk_fini(&rig->again);
    selection_free(rig->selection);
    assert_int_equal(budget_used(&rig->memory), 0);
    machine_fini(&rig->m);
}

static void
check_item(const struct item *item, uint32_t number)
{
    char name[32];
    snprintf(name, sizeof name, "s%u", number % SERIES);
    assert_int_equal(item->kind, ITEM_FLOAT);
    assert_int_equal((uint32_t)bits_double(item->bits), number);
    assert_int_equal(item->t_ms, SIM_BEGIN + number);
    assert_true(bytes_equal_text(item->tenant, "anonymous"));
    assert_true(bytes_equal_text(labels_get(item->labels, text("name")), name));
}

/* Logs samples `from` to `to`, each of the series of its number. */
static void
log_samples(struct rig *rig, uint32_t from, uint32_t to)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (uint32_t i = from; i < to; i++) {
        char labels[64];
        snprintf(labels, sizeof labels, "__name__=m,name=s%u", i % SERIES);
        rq_series(&rq, labels);
        rq_float(&rq, SIM_BEGIN + i, double_bits(i), 0);
    }
    must(machine_send(&rig->m, "anonymous", &rq));
    machine_commit(&rig->m);
    must(tsdb_maintain(rig->m.db, &rig->m.why));
    rq_fini(&rq);
}

struct seen {
    uint64_t pos[RECORDS_MAX];
    uint64_t segment[RECORDS_MAX];
    uint32_t first[RECORDS_MAX]; /* number of its first item */
    uint32_t count[RECORDS_MAX];
    uint32_t records;
};

static struct seen seen;

UNIT_TEST(test_items_come_with_their_labels_and_come_again)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rig rig;
        struct rng rng = {shifted_seed(seed)};
        struct item item;
        uint32_t logged = 0, read = 0;
        memset(&seen, 0, sizeof seen);
        rig_init(&rig, seed, seed % 2 == 0 ? 0 : 1 << 20);
        while (logged < 30000) {
            uint32_t more = 1 + (uint32_t)rng_below(&rng, 700);
            log_samples(&rig, logged, logged + more);
            logged += more;
            for (enum err e = OK; e == OK;) {
                e = log_items_next(rig.log, &rig.chunk, &rig.m.why);
                if (e) {
                    assert_int_equal(e, ERR_AGAIN);
                    break;
                }
                struct seen *s = &seen;
                s->pos[s->records] = rig.chunk.pos;
                s->segment[s->records] = rig.chunk.segment;
                s->first[s->records] = read;
                s->count[s->records++] = rig.chunk.count;
                assert_true(rig.chunk.realtime_ms >= SIM_BEGIN);
                for (uint32_t i = 0; i < rig.chunk.count; i++) {
                    assert_true(log_items_takes(rig.log, &rig.chunk, i));
                    must(log_items_item(rig.log, &rig.chunk, i, &item, &rig.m.why));
                    check_item(&item, read++);
                }
            }
            assert_int_equal(read, logged);
            /* One of the last twenty records is read again. */
            uint32_t back = (uint32_t)rng_below(&rng, seen.records < 20 ? seen.records : 20);
            uint32_t at = seen.records - 1 - back;
            must(log_items_load(rig.log, seen.pos[at], &rig.again, &rig.m.why));
            assert_int_equal(rig.again.count, seen.count[at]);
            for (uint32_t i = 0; i < rig.again.count; i++) {
                must(log_items_item(rig.log, &rig.again, i, &item, &rig.m.why));
                check_item(&item, seen.first[at] + i);
            }
            if (seen.records <= 20) continue;
            at = seen.records - 20;
            log_items_pass(rig.log, seen.pos[at], seen.segment[at]);
        }
        assert_true(seen.segment[seen.records - 1] > seen.segment[0]);
        rig_fini(&rig);
    }
}

UNIT_TEST(test_each_kind_of_item_is_given)
{
    struct rig rig;
    struct rq rq;
    struct item item;
    struct hist_span span = {2, 1};
    int64_t delta = 3;
    struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_INT,
        .count = 3,
        .sum_bits = double_bits(9),
        .positive = {.spans = &span, .span_count = 1, .bucket_count = 1, .deltas = &delta},
    };
    rig_init(&rig, 1, 0);
    rq_init(&rq, RW_V2);
    rq_series(&rq, "__name__=f");
    rq_float(&rq, SIM_BEGIN, STALE_NAN_BITS, SIM_BEGIN - 5);
    rq_exemplar(&rq, SIM_BEGIN + 1, double_bits(7), "trace_id=x");
    rq_metadata(&rq, METRIC_GAUGE, "f", "what it is", "bytes");
    rq_series(&rq, "__name__=h");
    rq_histogram(&rq, SIM_BEGIN + 2, &h, SIM_BEGIN - 6);
    must(machine_send(&rig.m, "team", &rq));
    machine_commit(&rig.m);
    rq_fini(&rq);
    bool had[ITEM_KIND_COUNT] = {false};
    while (log_items_next(rig.log, &rig.chunk, &rig.m.why) == OK) {
        assert_int_equal(rig.chunk.count, 1);
        assert_true(log_items_takes(rig.log, &rig.chunk, 0));
        must(log_items_item(rig.log, &rig.chunk, 0, &item, &rig.m.why));
        assert_true(bytes_equal_text(item.tenant, "team"));
        had[item.kind] = true;
        switch (item.kind) {
        case ITEM_FLOAT:
            assert_int_equal(item.bits, STALE_NAN_BITS);
            assert_int_equal(item.t_ms, SIM_BEGIN);
            assert_int_equal(item.start_ms, SIM_BEGIN - 5);
            break;
        case ITEM_HISTOGRAM:
            assert_true(histogram_equal(item.histogram, &h));
            assert_int_equal(item.t_ms, SIM_BEGIN + 2);
            assert_int_equal(item.start_ms, SIM_BEGIN - 6);
            assert_true(bytes_equal_text(labels_get(item.labels, text("__name__")), "h"));
            break;
        case ITEM_EXEMPLAR:
            assert_true(bytes_equal_text(labels_get(item.exemplar_labels, text("trace_id")), "x"));
            assert_int_equal(item.t_ms, SIM_BEGIN + 1);
            assert_int_equal(item.bits, double_bits(7));
            break;
        default:
            assert_true(bytes_equal_text(item.family, "f"));
            assert_true(bytes_equal_text(item.help, "what it is"));
            assert_true(bytes_equal_text(item.unit, "bytes"));
            assert_int_equal(item.family_type, METRIC_GAUGE);
            break;
        }
    }
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
        assert_true(had[kind]);
    rig_fini(&rig);
}

UNIT_TEST(test_items_are_returned_again_after_a_failed_allocation)
{
    for (uint64_t nth = 1; nth < 60; nth++) {
        struct rig rig;
        struct item item;
        uint32_t read = 0;
        rig_init(&rig, nth, 0);
        log_samples(&rig, 0, 50);
        log_samples(&rig, 50, 120);
        mem_fail_nth(nth, false);
        for (unsigned tries = 0; tries < 20 && read < 120; tries++) {
            enum err e = log_items_next(rig.log, &rig.chunk, &rig.m.why);
            if (e) {
                assert_true(e == ERR_NOMEM || e == ERR_AGAIN);
                continue;
            }
            for (uint32_t i = 0; i < rig.chunk.count;) {
                e = log_items_item(rig.log, &rig.chunk, i, &item, &rig.m.why);
                if (e) {
                    assert_int_equal(e, ERR_NOMEM);
                    continue;
                }
                check_item(&item, read++);
                i++;
            }
        }
        mem_fail_nth(0, false);
        assert_int_equal(read, 120);
        rig_fini(&rig);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_items_come_with_their_labels_and_come_again, tell_seed),
        cmocka_unit_test_teardown(test_each_kind_of_item_is_given, tell_seed),
        cmocka_unit_test_teardown(test_items_are_returned_again_after_a_failed_allocation,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
