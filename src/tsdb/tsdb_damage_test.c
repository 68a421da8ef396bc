/*
 * tsdb_damage_test.c - flips every byte of a part in turn and queries the store: it gives the right
 * answer or names the damaged part. It never returns a wrong sample, and never a later arrival
 * instead of a damaged first one, unless the client requested partial answers.
 */
#include "base/hash/hash.h"
#include "lib/test.h"
#include "lib/tsdb/tsdb_streamed.h"
#include "model/histogram.h"
#include "model/selector.h"
#include "tsdb/store/store.h"

#define T0      (SIM_BEGIN - 60 * MINUTE_MS)
#define PART    "0000000000000001"
#define PATH    STORE_DIR "/parts/" PART "/part"
#define DAMAGED STORE_DIR "/parts/" PART ".damaged"

static const char *const tenants[] = {"a", "b"};

static const struct {
    uint32_t count;
    int64_t min_ms, max_ms;
    struct matcher_text matchers[2];
} questions[] = {
    {1, INT64_MIN / 2, INT64_MAX / 2, {{MATCH_NOT_EQUAL, "nobody-has-this", "x"}}},
    {1, T0 + 2000, T0 + 4000, {{MATCH_EQUAL, "__name__", "gauge"}}},
    {2, T0, INT64_MAX / 2, {{MATCH_REGEX, "__name__", "g.*|latency"}, {MATCH_EQUAL, "x", "1"}}},
    {2, T0 - 1000, T0 + 60000, {{MATCH_NOT_REGEX, "x", "1|2"}, {MATCH_REGEX, "__name__", ".+"}}},
    {1, T0, T0, {{MATCH_EQUAL, "x", ""}}},
};
enum { QUESTIONS = sizeof questions / sizeof questions[0], TENANTS = 2 };

/* Answers as lines. */
struct answers {
    struct buf samples[TENANTS][QUESTIONS];
    struct buf exemplars[TENANTS];
    struct buf metadata[TENANTS];
};

static void
answers_init(struct answers *a)
{
    for (uint32_t t = 0; t < TENANTS; t++) {
        for (uint32_t i = 0; i < QUESTIONS; i++)
            buf_init(&a->samples[t][i], NULL, 1 << 20);
        buf_init(&a->exemplars[t], NULL, 1 << 20);
        buf_init(&a->metadata[t], NULL, 1 << 20);
    }
}

static void
answers_fini(struct answers *a)
{
    for (uint32_t t = 0; t < TENANTS; t++) {
        for (uint32_t i = 0; i < QUESTIONS; i++)
            buf_fini(&a->samples[t][i]);
        buf_fini(&a->exemplars[t]);
        buf_fini(&a->metadata[t]);
    }
}

/* --- stored samples --------------------------------------------------------------------------- */

static void
add_histogram(struct rq *rq, struct arena *arena, uint64_t seed, int64_t t_ms)
{
    struct rng rng = {seed};
    struct histogram h;
    do {
        h = random_histogram(&rng, arena, SAMPLE_HISTOGRAM_INT + seed % 2);
    } while (histogram_check(&h, NULL) != OK);
    rq_histogram(rq, t_ms, &h, t_ms - 5000);
}

/* Sends the same times of the same series with each variant, and a time of its own. */
static void
send(struct machine *m, uint32_t variant)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    for (uint32_t t = 0; t < TENANTS; t++) {
        struct rq rq;
        rq_init(&rq, RW_V2);
        for (uint32_t x = 0; x < 4; x++) {
            char labels[60];
            snprintf(labels, sizeof labels, "__name__=gauge,x=%u", x);
            rq_series(&rq, labels);
            rq_metadata(&rq, METRIC_GAUGE, "", "help", "");
            for (uint32_t i = 0; i < 8; i++)
                rq_float(&rq, T0 + i * 1000, double_bits(i + variant * 0.25 + t), 0);
            rq_float(&rq, T0 - 1000 + variant, double_bits(x), 0);
            rq_exemplar(&rq, T0 + variant, double_bits(x), "trace_id=abc");
        }
        for (uint32_t x = 1; x < 3; x++) {
            char labels[60];
            snprintf(labels, sizeof labels, "__name__=latency,x=%u", x);
            rq_series(&rq, labels);
            for (uint32_t i = 0; i < 3; i++)
                add_histogram(&rq, &arena, 2 * (1 + i + 10 * variant) + x % 2, T0 + i * 1000);
        }
        must(machine_send(m, tenants[t], &rq));
        rq_fini(&rq);
    }
    machine_commit(m);
    arena_fini(&arena);
}

/* --- queries ---------------------------------------------------------------------------------- */

static void
put_sample(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    struct buf *to = context, bytes;
    buf_init(&bytes, NULL, 1 << 20);
    if (b->kind == SAMPLE_FLOAT)
        buf_put_le64(&bytes, b->value_bits[i]);
    else
        histogram_put(&bytes, &b->histograms[i]);
    must(buf_error(&bytes));
    labels_print(to, labels);
    buf_printf(to, " %lld %d %llx %lld\n", (long long)b->times_ms[i], b->kind,
               (unsigned long long)hash_bytes(buf_bytes(&bytes), 1),
               (long long)(b->starts_ms == NULL ? 0 : b->starts_ms[i]));
    buf_fini(&bytes);
}

/* Asks; a series that ends in an error is cut short, and `to` has the lines before it. */
static enum err
ask(struct machine *m, uint32_t tenant, uint32_t question, bool partial, bool *ret_warned,
    struct buf *to)
{
    struct question q;
    struct series_set *set;
    buf_clear(to);
    question_init(&q, tenants[tenant], questions[question].matchers, questions[question].count,
                  questions[question].min_ms, questions[question].max_ms);
    q.request.partial = partial;
    enum err e = select_streamed(m, &q, put_sample, to, &set);
    *ret_warned = e == OK && series_set_warning(set, 0) != NULL;
    if (*ret_warned) assert_non_null(strstr(series_set_warning(set, 0), PART));
    series_set_free(set);
    question_fini(&q);
    return e;
}

static enum err
put_exemplar(void *context, const struct exemplar *x)
{
    labels_print(context, x->series_labels);
    buf_printf(context, " %lld %llx ", (long long)x->t_ms, (unsigned long long)x->value_bits);
    labels_print(context, x->labels);
    buf_put_text(context, "\n");
    return OK;
}

struct exemplars_answer {
    struct buf *lines;
    uint64_t count;
    unsigned warnings;
};

static enum err
put_exemplar_line(void *context, const struct exemplar *x)
{
    struct exemplars_answer *a = context;
    a->count++;
    return a->lines == NULL ? OK : put_exemplar(a->lines, x);
}

static enum err
count_exemplars_warning(void *context, const char *sentence)
{
    struct exemplars_answer *a = context;
    a->warnings++;
    assert_non_null(strstr(sentence, PART));
    return OK;
}

static enum err
read_exemplars(struct machine *m, uint32_t tenant, bool partial, struct exemplars_answer *to)
{
    struct question q;
    struct view *view = machine_view(m);
    struct exemplar_sink sink = {put_exemplar_line, to, count_exemplars_warning};
    question_init(&q, tenants[tenant], every_series, 1, INT64_MIN, INT64_MAX);
    q.request.partial = partial;
    enum err e = view_exemplars(view, &q.request, &sink, &m->why);
    view_free(view);
    question_fini(&q);
    return e;
}

static enum err
ask_exemplars(struct machine *m, uint32_t tenant, bool partial, bool *ret_warned, struct buf *to)
{
    struct exemplars_answer answer = {.lines = to};
    buf_clear(to);
    enum err e = read_exemplars(m, tenant, partial, &answer);
    *ret_warned = answer.warnings > 0;
    return e;
}

static enum err
put_metadata(void *context, const struct metadata *x)
{
    buf_printf(context, "%.*s %s %.*s\n", (int)x->family.size, (const char *)x->family.at,
               metric_type_word(x->type), (int)x->help.size, (const char *)x->help.at);
    return OK;
}

static enum err
ask_metadata(struct machine *m, uint32_t tenant, struct buf *to)
{
    buf_clear(to);
    return machine_metadata(m, tenants[tenant], "", put_metadata, to);
}

static void
ask_all(struct machine *m, struct answers *to)
{
    bool warned;
    for (uint32_t t = 0; t < TENANTS; t++) {
        for (uint32_t i = 0; i < QUESTIONS; i++) {
            must(ask(m, t, i, false, &warned, &to->samples[t][i]));
            assert_false(warned);
        }
        must(ask_exemplars(m, t, false, &warned, &to->exemplars[t]));
        assert_false(warned);
        must(ask_metadata(m, t, &to->metadata[t]));
        assert_true(to->metadata[t].size > 0);
    }
}

/* --- comparing -------------------------------------------------------------------------------- */

static bool
same_lines(const struct buf *a, const struct buf *b)
{
    return bytes_equal(buf_bytes(a), buf_bytes(b));
}

static bool
has_line(const struct buf *lines, const char *line, size_t size)
{
    return size == 0 || (lines->size >= size && memmem(lines->at, lines->size, line, size) != NULL);
}

/* Checks that each line is one from before the damage, or from the second arrival. */
static void
check_lines(const struct buf *lines, const struct buf *right, const struct buf *later)
{
    const char *at = (const char *)lines->at, *end = at + lines->size;
    while (lines->size > 0 && at < end) {
        size_t size = (size_t)((const char *)memchr(at, '\n', (size_t)(end - at)) - at) + 1;
        if (!has_line(right, at, size) && !has_line(later, at, size))
            fail_msg("a sample that nobody sent: %.*s", (int)size, at);
        at += size;
    }
}

struct tally {
    uint64_t aside;   /* flips that put the part aside */
    uint64_t refused; /* flips that some question noticed */
    uint64_t silent;  /* flips in metadata, or in bytes that no query reads */
};

/* Returns true if the error names the part; otherwise the answer must be the right one. */
static bool
is_refused(struct machine *m, enum err e, const struct buf *found, const struct buf *right)
{
    if (e == OK) {
        assert_true(same_lines(found, right));
        return false;
    }
    assert_int_equal(e, ERR_CORRUPT);
    if (strstr(m->why.text, PART) == NULL) fail_msg("which part? %s", m->why.text);
    return true;
}

/* Checks that samples of a part that was set aside are missing only with a warning. */
static void
check_warning(bool aside, bool warned, const struct buf *found, const struct buf *right)
{
    if (aside && !same_lines(found, right)) assert_true(warned);
    if (!aside) assert_false(warned);
}

static void
ask_beside_damage(struct machine *m, const struct answers *right, const struct answers *later,
                  struct tally *tally)
{
    bool aside = m->opening.parts_set_aside > 0, refused = false;
    struct buf found;
    buf_init(&found, NULL, 1 << 20);
    if (aside) assert_non_null(strstr(m->opening.first_damage, PART));
    for (uint32_t t = 0; t < TENANTS; t++) {
        for (uint32_t i = 0; i < QUESTIONS; i++) {
            bool warned, lost = aside;
            const struct buf *all = &right->samples[t][i];
            enum err e = ask(m, t, i, false, &warned, &found);
            check_warning(aside, warned, &found, all);
            if (aside) {
                must(e);
                assert_true(same_lines(&found, &later->samples[t][i]));
            } else {
                lost = is_refused(m, e, &found, all);
                refused |= lost;
            }
            check_lines(&found, all, &later->samples[t][i]); /* also before an error */
            must(ask(m, t, i, true, &warned, &found));
            check_lines(&found, all, &later->samples[t][i]);
            if (aside)
                check_warning(aside, warned, &found, all);
            else
                assert_int_equal(warned, lost);
        }
        bool warned, lost = aside;
        enum err e = ask_exemplars(m, t, false, &warned, &found);
        check_warning(aside, warned, &found, &right->exemplars[t]);
        check_lines(&found, &right->exemplars[t], &later->exemplars[t]);
        if (aside)
            must(e);
        else
            refused |= lost = is_refused(m, e, &found, &right->exemplars[t]);
        must(ask_exemplars(m, t, true, &warned, &found));
        check_lines(&found, &right->exemplars[t], &later->exemplars[t]);
        if (!aside) assert_int_equal(warned, lost);
        must(ask_metadata(m, t, &found)); /* senders repeat metadata, so its loss is harmless */
        assert_true(found.size == 0 || same_lines(&found, &right->metadata[t]));
    }
    tally->aside += aside;
    tally->refused += !aside && refused;
    tally->silent += !aside && !refused;
    buf_fini(&found);
}

/* --- the tests -------------------------------------------------------------------------------- */

static void
flip(struct machine *m, uint64_t at)
{
    struct file file;
    uint8_t byte;
    must(file_open(m->env, PATH, FILE_UPDATE, &file, NULL));
    must(file_read_at(&file, &byte, 1, at, NULL));
    byte ^= (uint8_t)(1u << at % 8);
    must(file_write_at(&file, bytes_of(&byte, 1), at, NULL));
    must(file_close(&file));
}

static uint64_t
part_size(struct machine *m)
{
    struct file file;
    uint64_t size;
    must(file_open(m->env, PATH, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_close(&file));
    return size;
}

/* Makes a store of two parts and a head; without `first`, as if the first part were missing. */
static void
fill(struct machine *m, bool first)
{
    machine_init(m, 1);
    machine_must_open(m);
    if (first) {
        send(m, 0);
        machine_flush(m);
    }
    send(m, 1);
    machine_flush(m);
    send(m, 2);
}

UNIT_TEST(test_no_flipped_byte_of_a_part_gives_a_wrong_answer)
{
    struct machine m;
    struct answers right, later;
    struct tally tally = {0};
    answers_init(&right);
    answers_init(&later);
    fill(&m, false);
    ask_all(&m, &later);
    machine_fini(&m);
    fill(&m, true);
    ask_all(&m, &right);
    assert_false(same_lines(&right.samples[0][0], &later.samples[0][0]));
    machine_close(&m);
    uint64_t size = part_size(&m);
    for (uint64_t at = 0; at < size; at++) {
        flip(&m, at);
        machine_must_open(&m);
        ask_beside_damage(&m, &right, &later, &tally);
        bool aside = m.opening.parts_set_aside > 0;
        machine_close(&m);
        if (aside) must(env_rename(m.env, DAMAGED, STORE_DIR "/parts/" PART, NULL));
        flip(&m, at);
    }
    print_message("%llu bytes: %llu times put aside, %llu times refused, %llu times unseen\n",
                  (unsigned long long)size, (unsigned long long)tally.aside,
                  (unsigned long long)tally.refused, (unsigned long long)tally.silent);
    assert_true(tally.refused + tally.aside > size / 10 * 9);
    machine_must_open(&m); /* the store is whole again */
    bool warned;
    struct buf found;
    buf_init(&found, NULL, 1 << 20);
    must(ask(&m, 0, 0, false, &warned, &found));
    assert_true(same_lines(&found, &right.samples[0][0]));
    buf_fini(&found);
    machine_fini(&m);
    answers_fini(&right);
    answers_fini(&later);
}

/* --- back again ------------------------------------------------------------------------------- */

static void
add_damaged(void *context, struct bytes tenant, const struct ledger *l)
{
    uint64_t *sum = context;
    (void)tenant;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        *sum += l->count[k][LEDGER_DAMAGED];
}

static uint64_t
damaged_samples(struct machine *m)
{
    uint64_t sum = 0;
    tsdb_ledgers(m->db, add_damaged, &sum);
    return sum;
}

static void
say_nothing(void *context, const char *line)
{
    (void)context;
    (void)line;
}

UNIT_TEST(test_a_part_that_was_put_aside_comes_back_under_its_name)
{
    struct machine m;
    struct answers right;
    struct tsdb_report report;
    bool warned;
    struct buf found;
    buf_init(&found, NULL, 1 << 20);
    answers_init(&right);
    fill(&m, true);
    ask_all(&m, &right);
    machine_close(&m);
    uint64_t at = part_size(&m) - 1;
    flip(&m, at);
    for (unsigned i = 0; i < 2; i++) { /* it stays aside while manifests are written */
        machine_must_open(&m);
        assert_int_equal(m.opening.parts_set_aside, 1);
        assert_true(damaged_samples(&m) > 0);
        machine_flush(&m);
        machine_close(&m);
        assert_int_equal(tsdb_verify(m.env, STORE_DIR, say_nothing, NULL, &report, &m.why),
                         ERR_CORRUPT);
    }
    must(env_rename(m.env, DAMAGED, STORE_DIR "/parts/" PART, NULL));
    flip(&m, at);
    must(tsdb_verify(m.env, STORE_DIR, say_nothing, NULL, &report, &m.why));
    for (unsigned i = 0; i < 2; i++) {
        machine_must_open(&m);
        assert_int_equal(m.opening.parts_set_aside, 0);
        assert_int_equal(damaged_samples(&m), 0);
        must(ask(&m, 0, 0, false, &warned, &found));
        assert_true(same_lines(&found, &right.samples[0][0])); /* the first arrival again */
        send(&m, 3 + i);
        machine_flush(&m);
        must(ask(&m, 0, 0, false, &warned, &right.samples[0][0]));
        machine_close(&m);
        must(tsdb_verify(m.env, STORE_DIR, say_nothing, NULL, &report, &m.why));
    }
    buf_fini(&found);
    machine_fini(&m);
    answers_fini(&right);
}

static uint64_t
part_samples(struct machine *m)
{
    struct tsdb_stats stats;
    struct tsdb_merge_options clean = {.mode = TSDB_MERGE_CLEAN};
    struct tsdb_merge_result r;
    must(tsdb_merge(m->db, &clean, &r, &m->why));
    tsdb_stats(m->db, &stats);
    return stats.part_samples;
}

UNIT_TEST(test_deletions_apply_to_parts_that_were_set_aside_meanwhile)
{
    struct machine m;
    struct selector all;
    struct tsdb_deletion d;
    machine_init(&m, 1);
    machine_must_open(&m);
    send(&m, 0);
    machine_flush(&m);
    uint64_t before = part_samples(&m), at = part_size(&m) - 1;
    machine_close(&m);
    flip(&m, at);
    machine_must_open(&m);
    assert_int_equal(m.opening.parts_set_aside, 1);
    must(selector_parse(text("{__name__!=\"\"}"), &all, &m.why));
    must(tsdb_delete(m.db, text(tenants[0]), &all, 1, INT64_MIN, INT64_MAX, &d, &m.why));
    assert_int_equal(d.samples, 0); /* the part that can be read */
    machine_close(&m);
    must(env_rename(m.env, DAMAGED, STORE_DIR "/parts/" PART, NULL));
    flip(&m, at);
    machine_must_open(&m);
    assert_int_equal(m.opening.parts_set_aside, 0);
    assert_int_equal(part_samples(&m), before / TENANTS);
    machine_fini(&m);
}

UNIT_TEST(test_a_damaged_page_stops_no_deletion)
{
    struct machine m;
    struct selector all;
    struct tsdb_deletion made, hidden;
    const uint64_t at = 100; /* in the first page of samples */
    machine_init(&m, 1);
    machine_must_open(&m);
    send(&m, 0);
    machine_flush(&m);
    uint64_t before = part_samples(&m);
    machine_close(&m);
    flip(&m, at);
    machine_must_open(&m);
    m.limits.deletion_hold_ms = DAY_MS;
    tsdb_set_limits(m.db, &m.limits);
    must(selector_parse(text("{__name__!=\"\"}"), &all, &m.why));
    must(tsdb_delete(m.db, text(tenants[0]), &all, 1, INT64_MIN, INT64_MAX, &made, &m.why));
    must(tsdb_deletion_hidden(m.db, made.id, NULL, &hidden, &m.why));
    assert_int_equal(hidden.samples, made.samples);
    machine_close(&m);
    flip(&m, at);
    machine_must_open(&m);
    must(tsdb_deletion_hidden(m.db, made.id, NULL, &hidden, &m.why));
    assert_true(hidden.samples > made.samples);
    assert_int_equal(part_samples(&m), before - hidden.samples);
    machine_fini(&m);
}

UNIT_TEST(test_a_deletion_from_after_the_end_of_the_parts_is_damage)
{
    struct machine m;
    struct selector all;
    struct tsdb_deletion d;
    struct manifest manifest;
    struct arena arena;
    machine_init(&m, 1);
    machine_must_open(&m);
    send(&m, 0);
    machine_flush(&m);
    must(selector_parse(text("{__name__!=\"\"}"), &all, &m.why));
    must(tsdb_delete(m.db, text(tenants[0]), &all, 1, INT64_MIN, INT64_MAX, &d, &m.why));
    machine_close(&m);
    arena_init(&arena, NULL, 0, 0);
    must(manifest_read(m.env, STORE_DIR, &arena, &manifest, &m.why));
    assert_int_equal(manifest.tombstone_count, 1);
    manifest.tombstones[0].pos = manifest.store_pos + 1;
    must(manifest_write(m.env, STORE_DIR, &manifest, NULL, &m.why));
    assert_int_equal(machine_open(&m), ERR_CORRUPT);
    manifest.tombstones[0].pos = manifest.store_pos;
    must(manifest_write(m.env, STORE_DIR, &manifest, NULL, &m.why));
    machine_must_open(&m);
    arena_fini(&arena);
    machine_fini(&m);
}

/* --- loss by a page --------------------------------------------------------------------------- */

enum { MANY = 6000, EACH = 4 };

/* Counts the samples of a partial answer to a query for everything, and its warnings. */
static uint64_t
count_partial(struct machine *m, uint32_t *ret_warnings)
{
    static const struct matcher_text all[] = {{MATCH_NOT_EQUAL, "nobody-has-this", "x"}};
    struct question q;
    struct series_set *set = NULL;
    struct answerer *a = tsdb_answerer(m->db);
    uint64_t count = 0;
    question_init(&q, "a", all, 1, INT64_MIN / 2, INT64_MAX / 2);
    q.request.partial = true;
    must(answerer_select(a, &q.request, &set, &m->why));
    for (;;) {
        struct bytes labels;
        must(series_set_next(set, &labels, &m->why));
        if (labels.at == NULL) break;
        for (struct sample_batch b = {.count = 1}; b.count > 0;) {
            must(series_set_batch(set, &b, &m->why));
            count += b.count;
        }
    }
    *ret_warnings = 0;
    while (series_set_warning(set, *ret_warnings) != NULL)
        ++*ret_warnings;
    series_set_free(set);
    question_fini(&q);
    return count;
}

struct looked_up {
    uint32_t texts;
    uint32_t warnings;
};

static enum err
count_text(void *context, struct bytes text)
{
    (void)text;
    ((struct looked_up *)context)->texts++;
    return OK;
}

static enum err
count_warning(void *context, const char *sentence)
{
    assert_non_null(strstr(sentence, PART));
    ((struct looked_up *)context)->warnings++;
    return OK;
}

/* Looks up names, values or series, of all series or with a matcher that selects all. */
static enum err
look_up(struct machine *m, unsigned what, bool partial, struct looked_up *ret)
{
    static const struct matcher_text all[] = {{MATCH_REGEX, "__name__", "m.*"}};
    struct text_sink to = {count_text, ret, count_warning};
    struct question q;
    struct view *view;
    *ret = (struct looked_up){0};
    question_init(&q, "a", all, 1, INT64_MIN / 2, INT64_MAX / 2);
    q.request.partial = partial;
    if (what % 2 == 0) q.request.set_count = 0;
    must(view_open(tsdb_answerer(m->db), NULL, &view, &m->why));
    enum err e = what / 2 == 0 ? view_label_names(view, &q.request, &to, &m->why)
                 : what / 2 == 1
                     ? view_label_values(view, &q.request, bytes_of_text("__name__"), &to, &m->why)
                     : view_series(view, &q.request, &to, &m->why);
    view_free(view);
    question_fini(&q);
    return e;
}

/* Checks that the result is whole, or that an error or warnings name the missing part. */
static void
check_lookups(struct machine *m, uint32_t *ret_partial)
{
    static const uint32_t right[] = {2, MANY, MANY};
    for (unsigned what = 0; what < 6; what++) {
        struct looked_up found;
        enum err e = look_up(m, what, false, &found);
        if (e == OK) assert_int_equal(found.texts, right[what / 2]);
        if (e) assert_int_equal(e, ERR_CORRUPT);
        assert_int_equal(found.warnings, 0);
        must(look_up(m, what, true, &found));
        assert_int_equal(found.warnings > 0, e != OK);
        assert_in_range(found.texts, 0, right[what / 2]);
        if (found.warnings == 0) assert_int_equal(found.texts, right[what / 2]);
        *ret_partial += found.warnings > 0;
    }
}

/* Checks exemplars in the same way. *ret_least: the least number found with warnings. */
static void
check_exemplars(struct machine *m, uint64_t *ret_least)
{
    struct exemplars_answer whole = {.count = 0}, partial = {.count = 0};
    enum err e = read_exemplars(m, 0, false, &whole);
    assert_int_equal(whole.warnings, 0);
    assert_true(e == ERR_CORRUPT || (e == OK && whole.count == MANY));
    must(read_exemplars(m, 0, true, &partial));
    assert_int_equal(partial.warnings > 0, e != OK);
    assert_true(partial.warnings > 0 ? partial.count <= MANY : partial.count == MANY);
    if (partial.warnings > 0 && partial.count < *ret_least) *ret_least = partial.count;
}

static void
collect_line(void *context, const char *line)
{
    buf_printf(context, "%s\n", line);
}

/* Checks that the check of a closed store finds the damage and goes on to the ledger. */
static void
check_verify(struct machine *m)
{
    struct tsdb_report report;
    struct buf said;
    buf_init(&said, NULL, 1 << 20);
    enum err e = tsdb_verify(m->env, STORE_DIR, collect_line, &said, &report, &m->why);
    buf_put_u8(&said, '\0');
    assert_int_equal(e, ERR_CORRUPT);
    assert_true(report.damaged_places > 0);
    assert_non_null(strstr((char *)said.at, "damaged: "));
    assert_non_null(strstr((char *)said.at, "\nledger: tenant a, exemplar"));
    buf_fini(&said);
}

UNIT_TEST(test_a_damaged_page_costs_what_is_in_it_and_no_more)
{
    struct machine m;
    struct rq rq;
    struct rng rng = {7};
    machine_init(&m, 1);
    machine_must_open(&m);
    rq_init(&rq, RW_V2);
    for (uint32_t s = 0; s < MANY; s++) {
        char labels[100];
        snprintf(labels, sizeof labels, "__name__=m%04u,instance=i%016llx%016llx", s,
                 (unsigned long long)rng_next(&rng), (unsigned long long)rng_next(&rng));
        rq_series(&rq, labels);
        for (uint32_t i = 0; i < EACH; i++)
            rq_float(&rq, T0 + (int64_t)(rng_next(&rng) % 1000) + i * 1000, rng_next(&rng), 0);
        snprintf(labels, sizeof labels, "trace=%016llx%016llx", (unsigned long long)rng_next(&rng),
                 (unsigned long long)rng_next(&rng));
        rq_exemplar(&rq, T0 + s, rng_next(&rng), labels);
    }
    must(machine_send(&m, "a", &rq));
    rq_fini(&rq);
    machine_commit(&m);
    machine_flush(&m);
    uint32_t warnings, served = 0, refused = 0, partial = 0;
    assert_int_equal(count_partial(&m, &warnings), MANY * EACH);
    assert_int_equal(warnings, 0);
    machine_close(&m);
    uint64_t size = part_size(&m), worst = MANY * EACH, least = MANY;
    for (uint64_t at = 1000; at < size - 1000; at += size / 97) {
        flip(&m, at);
        machine_must_open(&m);
        assert_int_equal(m.opening.parts_set_aside, 0);
        uint64_t count = count_partial(&m, &warnings);
        assert_true(warnings == 0 ? count == MANY * EACH : count <= MANY * EACH);
        check_lookups(&m, &partial);
        check_exemplars(&m, &least);
        served += count >= MANY * EACH / 2;
        refused += count < MANY * EACH / 2;
        if (count < worst) worst = count;
        machine_close(&m);
        check_verify(&m);
        flip(&m, at);
    }
    print_message("%llu bytes: at least half is served %u times, less %u times, at worst %llu\n",
                  (unsigned long long)size, served, refused, (unsigned long long)worst);
    print_message("%u look-ups had warnings, of exemplars %llu were left at least\n", partial,
                  (unsigned long long)least);
    assert_in_range(least, worst / EACH, MANY - 1); /* no more is lost than of samples */
    assert_true(served > 20 * refused && partial > 10);
    machine_fini(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_no_flipped_byte_of_a_part_gives_a_wrong_answer, tell_seed),
        cmocka_unit_test_teardown(test_a_part_that_was_put_aside_comes_back_under_its_name,
                                  tell_seed),
        cmocka_unit_test_teardown(test_deletions_apply_to_parts_that_were_set_aside_meanwhile,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_damaged_page_stops_no_deletion, tell_seed),
        cmocka_unit_test_teardown(test_a_deletion_from_after_the_end_of_the_parts_is_damage,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_damaged_page_costs_what_is_in_it_and_no_more, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
