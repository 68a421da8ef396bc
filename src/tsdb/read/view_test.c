/*
 * view_test.c - a question sees each commit whole or not at all, however long it is being answered
 * and whatever is written, committed, flushed, merged, deleted or undone meanwhile.
 *
 * Rows: a request has one sample of each of some series, all at one time, and is one commit or a
 * part of one. So all series of an answer have the same times: those of the rows that were
 * committed before the question was asked, and no later ones.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"
#include "model/selector.h"

enum { SERIES = 12, ROWS = 400, READERS = 5 };

#define T0      (SIM_BEGIN - 300 * MINUTE_MS)
#define STEP_MS 15000

enum row_state { ROW_NOT, ROW_PENDING, ROW_DURABLE, ROW_DELETED };

/* A question that is being answered, a few series at a time. */
struct reader {
    struct question question;
    struct view *view;
    struct series_set *set; /* NULL: no query is open */
    uint8_t at_begin[ROWS]; /* enum row_state at the time of the question */
    uint8_t now[ROWS];      /* rows found in the current series */
    uint32_t series;
    bool undone; /* something was undone since */
};

static struct machine m;
static struct rng rng;
static uint8_t rows[ROWS];
static struct reader readers[READERS];

static int64_t
time_of(uint32_t row)
{
    return T0 + (int64_t)row * STEP_MS;
}

static void
set_rows(enum row_state from, enum row_state to)
{
    for (uint32_t i = 0; i < ROWS; i++)
        if (rows[i] == from) rows[i] = (uint8_t)to;
}

/* --- events ----------------------------------------------------------------------------------- */

static void
put_row_sample(struct rq *rq, uint32_t series, uint32_t row)
{
    static const uint64_t deltas[] = {3, 1};
    static const struct hist_span span = {0, 2};
    if (series % 4 != 3) {
        rq_float(rq, time_of(row), double_bits(row * 1.5 + series), 0);
        return;
    }
    struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_INT,
        .count = 7,
        .sum_bits = double_bits(row),
        .positive = {
            .spans = &span, .span_count = 1, .deltas = (const int64_t *)deltas, .bucket_count = 2}};
    rq_histogram(rq, time_of(row), &h, 0);
}

/* Sends mostly the next row; else one that was left out, which is late for its series. */
static void
send_row(void)
{
    uint32_t next = ROWS, left_out = ROWS;
    for (uint32_t i = ROWS; i-- > 0 && rows[i] == ROW_NOT;)
        next = i;
    for (uint32_t i = 0; i < next; i++)
        if (rows[i] == ROW_NOT && (left_out == ROWS || rng_below(&rng, 3) == 0)) left_out = i;
    uint32_t row = next;
    if (left_out != ROWS && rng_below(&rng, 3) == 0)
        row = left_out;
    else if (rng_below(&rng, 3) == 0)
        row += (uint32_t)rng_below(&rng, 4);
    if (row >= ROWS) return;
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (uint32_t i = 0; i < SERIES; i++) {
        char labels[40];
        snprintf(labels, sizeof labels, "__name__=row,i=%u", i);
        rq_series(&rq, labels);
        put_row_sample(&rq, i, row);
    }
    enum err e = machine_send(&m, "anonymous", &rq);
    rq_fini(&rq);
    if (tsdb_is_down(m.db)) {
        assert_int_equal(e, ERR_AGAIN);
        return;
    }
    must(e);
    assert_int_equal(m.result.rejected_total, 0);
    rows[row] = ROW_PENDING;
}

static void
note_undone(void)
{
    set_rows(ROW_PENDING, ROW_NOT);
    for (uint32_t i = 0; i < READERS; i++)
        readers[i].undone = true;
}

static void
commit(bool fails)
{
    if (fails) fault_env_arm(m.fe, (struct fault){FAULT_SYNC, 1, false});
    enum err e = tsdb_commit(m.db, &m.why);
    fault_env_disarm(m.fe);
    if (e == OK && !tsdb_is_down(m.db)) {
        set_rows(ROW_PENDING, ROW_DURABLE);
        return;
    }
    note_undone();
    must(tsdb_reopen(m.db, &m.why));
}

static void
commit_now(void *context)
{
    (void)context;
    commit(rng_below(&rng, 30) == 0);
}

static void
flush(void)
{
    tsdb_want_cut(m.db);
    commit(false);
    must(tsdb_flush(m.db, &m.why));
}

static void
merge(void)
{
    struct tsdb_merge_options options = {.mode = (enum tsdb_merge_mode)rng_below(&rng, 3)};
    struct tsdb_merge_result result;
    must(tsdb_merge(m.db, &options, &result, &m.why));
}

/* Deletes rows that are in parts. */
static void delete (void)
{
    uint32_t from = (uint32_t)rng_below(&rng, ROWS), to = from + (uint32_t)rng_below(&rng, 5);
    struct selector selector = {.count = 1};
    struct tsdb_deletion deletion;
    flush();
    must(
        matcher_new(MATCH_EQUAL, text("__name__"), text("row"), NULL, &selector.matchers[0], NULL));
    must(tsdb_delete(m.db, text("anonymous"), &selector, 1, time_of(from), time_of(to), &deletion,
                     &m.why));
    for (uint32_t i = from; i <= to && i < ROWS; i++)
        if (rows[i] == ROW_DURABLE) rows[i] = ROW_DELETED;
}

/* --- readers ---------------------------------------------------------------------------------- */

static void
reader_begin(struct reader *r)
{
    memset(r, 0, sizeof *r);
    question_init(&r->question, "anonymous", every_series, 1, T0, time_of(ROWS));
    r->view = machine_view(&m);
    must(view_select(r->view, &r->question.request, &r->set, &m.why));
    memcpy(r->at_begin, rows, sizeof rows);
}

static void
reader_end(struct reader *r)
{
    if (r->set == NULL) return;
    series_set_free(r->set);
    view_free(r->view);
    question_fini(&r->question);
    r->set = NULL;
}

static void
check_series(const struct reader *r)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        if (r->now[i] == (r->at_begin[i] == ROW_DURABLE)) continue;
        fail_msg("row %u, state %u when it was asked, is %s in series %u", i, r->at_begin[i],
                 r->now[i] ? "there" : "not there", r->series);
    }
}

static enum err
count_text(void *context, struct bytes text)
{
    uint32_t *count = context;
    *count += text.size > 0;
    return OK;
}

/* Asks the view the previous question again, and for labels of single rows. */
static void
ask_again(struct reader *r)
{
    uint32_t row = (uint32_t)rng_below(&rng, ROWS), count = 0;
    struct query_request request = r->question.request;
    struct text_sink to = {count_text, &count};
    request.min_ms = request.max_ms = time_of(row);
    enum err e = view_series(r->view, &request, &to, &m.why);
    if (e == ERR_AGAIN && r->undone) return;
    must(e);
    bool there = r->at_begin[row] == ROW_DURABLE;
    if (there) assert_int_equal(count, SERIES); /* chunks do not show single times */
    if (rng_below(&rng, 3) > 0) return;
    struct series_set *another;
    must(view_select(r->view, &r->question.request, &another, &m.why));
    series_set_free(r->set);
    r->set = another;
    r->series = 0;
}

static void
reader_step(struct reader *r)
{
    struct bytes labels;
    struct sample_batch b = {.count = 1};
    enum err e = series_set_next(r->set, &labels, &m.why);
    memset(r->now, 0, sizeof r->now);
    while (e == OK && labels.at != NULL && b.count > 0) {
        e = series_set_batch(r->set, &b, &m.why);
        for (uint32_t i = 0; e == OK && i < b.count; i++) {
            uint64_t row = (uint64_t)(b.times_ms[i] - T0) / STEP_MS;
            assert_true(row < ROWS);
            r->now[row] = 1;
        }
    }
    if (e == ERR_AGAIN && r->undone) { /* samples that it may have read are gone */
        reader_end(r);
        return;
    }
    must(e);
    bool some = memchr(r->at_begin, ROW_DURABLE, sizeof r->at_begin) != NULL;
    if (labels.at == NULL) {
        assert_true(r->series == SERIES || (r->series == 0 && !some));
        reader_end(r);
        return;
    }
    check_series(r);
    r->series++;
}

static void
reader_goes_on(void)
{
    struct reader *r = &readers[rng_below(&rng, READERS)];
    if (r->set == NULL) {
        reader_begin(r);
        return;
    }
    for (uint64_t steps = 1 + rng_below(&rng, 3); steps > 0 && r->set != NULL; steps--)
        reader_step(r);
    if (r->set != NULL && rng_below(&rng, 4) == 0) ask_again(r);
}

/* --- the claim -------------------------------------------------------------------------------- */

static void
something_happens(void)
{
    uint64_t what = rng_below(&rng, 200);
    if (what < 70)
        send_row();
    else if (what < 120)
        commit(false);
    else if (what < 190)
        reader_goes_on();
    else if (what < 192)
        commit(true);
    else if (what < 196)
        flush();
    else if (what < 198)
        merge();
    else
        delete ();
}

static void
see_each_commit_whole(uint64_t seed, bool ack_memory)
{
    machine_init(&m, seed);
    m.options.ack_memory = ack_memory;
    m.options.commit_now = commit_now;
    machine_must_open(&m);
    rng.state = seed;
    memset(rows, 0, sizeof rows);
    for (uint32_t i = 0; i < 1500; i++)
        something_happens();
    for (uint32_t i = 0; i < READERS; i++)
        while (readers[i].set != NULL)
            reader_step(&readers[i]);
    machine_fini(&m);
}

UNIT_TEST(test_a_question_sees_each_commit_whole_or_not_at_all)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        see_each_commit_whole(seed, false);
}

UNIT_TEST(test_where_memory_acknowledges_it_does_so_too)
{
    for (uint64_t seed = 101; seed <= 140; seed++)
        see_each_commit_whole(seed, true);
}

/* --- one that is held for long ---------------------------------------------------------------- */

enum { MANY_SERIES = 4000, MANY_ROWS = 120, ROWS_AT_ONCE = 4 };

static void
send_many(uint32_t row)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (uint32_t i = 0; i < MANY_SERIES; i++) {
        char labels[40];
        snprintf(labels, sizeof labels, "__name__=row,i=%u", i);
        rq_series(&rq, labels);
        rq_float(&rq, time_of(row), double_bits(row), 0);
    }
    must(machine_send(&m, "anonymous", &rq));
    rq_fini(&rq);
    commit(false);
}

/* Asks for everything; during the answer, more is committed than chunks can distinguish. */
static void
ask_for_many(uint32_t rows_before)
{
    struct reader r;
    struct bytes labels;
    uint64_t found = 0;
    reader_begin(&r);
    for (uint32_t series = 0;; series++) {
        must(series_set_next(r.set, &labels, &m.why));
        if (labels.at == NULL) break;
        for (struct sample_batch b = {.count = 1}; b.count > 0; found += b.count)
            must(series_set_batch(r.set, &b, &m.why));
        for (uint32_t i = 0; series == MANY_SERIES / 2 && i < ROWS_AT_ONCE; i++)
            send_many(rows_before + i);
    }
    assert_int_equal(found, (uint64_t)MANY_SERIES * rows_before);
    reader_end(&r);
}

UNIT_TEST(test_a_view_held_for_long_is_lost_before_those_that_come_and_go)
{
    struct reader slow;
    struct bytes labels;
    machine_init(&m, 7);
    m.options.head_bytes_max = 16 << 20; /* an eighth of it for views */
    m.options.head_samples_max = 1 << 30;
    machine_must_open(&m);
    send_many(0);
    reader_begin(&slow);
    for (uint32_t row = 1; row < MANY_ROWS; row += ROWS_AT_ONCE)
        ask_for_many(row);
    struct tsdb_stats stats;
    tsdb_stats(m.db, &stats);
    assert_int_equal(stats.views_lost_total, 1);
    enum err e = series_set_next(slow.set, &labels, &m.why);
    assert_int_equal(e, ERR_AGAIN);
    reader_end(&slow);
    machine_fini(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_question_sees_each_commit_whole_or_not_at_all, tell_seed),
        cmocka_unit_test_teardown(test_where_memory_acknowledges_it_does_so_too, tell_seed),
        cmocka_unit_test(test_a_view_held_for_long_is_lost_before_those_that_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
