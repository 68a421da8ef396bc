/*
 * tsdb_model.c - see tsdb_model.h.
 *
 * Before a request is sent, foretell() predicts the verdict on each item from the values that the
 * cell may hold and the head holds; afterwards the prediction and the store's counts must agree. A
 * request that fails leaves its values in `may`. A commit makes pending values `won`; a reading
 * after a crash decides which of the values of `may` survived, and it must be one of them.
 */
#include "lib/tsdb/tsdb_model.h"

const char *const model_tenants[TENANTS] = {"anonymous", "b"};

static struct cell *
cell_at(struct model *x, uint32_t tenant, uint32_t series, uint64_t slot)
{
    uint64_t at = (tenant * SERIES + series) * SLOTS + slot;
    x->used[at / 64] |= UINT64_C(1) << at % 64;
    return &x->cells[at];
}

struct cell *
model_cell_from(struct model *x, uint32_t at)
{
    for (uint32_t word = at / 64; word < CELLS / 64; word++) {
        uint64_t bits = x->used[word] & (word == at / 64 ? ~UINT64_C(0) << at % 64 : ~UINT64_C(0));
        if (bits != 0) return &x->cells[word * 64 + (uint32_t)__builtin_ctzll(bits)];
    }
    return NULL;
}

static struct spark *
spark_at(struct model *x, uint32_t tenant, uint32_t series, uint32_t index)
{
    return &x->sparks[(tenant * SERIES + series) * EXEMPLARS + index];
}

int64_t
slot_time(uint32_t slot)
{
    return SIM_BEGIN + ((int64_t)slot - SLOTS / 2) * SLOT_MS;
}

/* Writes labels in another order than the canonical one. */
static void
series_text(uint32_t series, char *to, size_t size)
{
    static const char *const jobs[] = {"node", "api", "", "\xc3\xa9t\xc3\xa9"};
    snprintf(to, size, "job=%s,i=%u,__name__=m%u", jobs[series % 4], series, series % 3);
}

static void
spark_text(uint32_t index, char *to, size_t size)
{
    to[0] = '\0';
    if (index % 3 != 0) snprintf(to, size, "trace_id=%u", index);
}

static uint64_t
spark_bits(uint32_t index)
{
    return double_bits(index * 0.5);
}

static int64_t
spark_time(uint32_t index)
{
    return slot_time(index * (SLOTS / EXEMPLARS)) + 7;
}

void
model_init(struct model *x, struct machine *m)
{
    for_each_cell(x, c)
    {
        *c = (struct cell){0};
    }
    memset(x, 0, offsetof(struct model, cells));
    x->m = m;
    x->gen = 1;
    arena_init(&x->arena, NULL, 0, 0);
    for (uint32_t s = 0; s < SERIES; s++) {
        char given[100];
        struct label list[4];
        uint32_t count = 0;
        buf_init(&x->labels[s], NULL, 1 << 16);
        series_text(s, given, sizeof given);
        for (const char *p = given; *p != '\0';) {
            size_t name = strcspn(p, "="), all = strcspn(p, ",");
            list[count].name = bytes_of(p, name);
            list[count++].value = bytes_of(p + name + 1, all - name - 1);
            p += all + (p[all] == ',');
        }
        struct labels_limits limits = {16, 100, 100};
        assert_int_equal(labels_build(list, count, &limits, &x->labels[s]), REJECT_NONE);
    }
}

void
model_fini(struct model *x)
{
    arena_fini(&x->arena);
    for (uint32_t s = 0; s < SERIES; s++)
        buf_fini(&x->labels[s]);
}

static struct histogram
value_histogram(struct model *x, const struct value *v)
{
    struct rng rng = {v->bits};
    if (v->bits % 8 == 0) return stale_histogram(v->kind);
    for (;;) {
        struct histogram h = random_histogram(&rng, &x->arena, v->kind);
        if (histogram_check(&h, NULL) == OK) return h;
    }
}

static bool
value_equal(struct model *x, const struct value *a, const struct value *b)
{
    if (a->kind != b->kind) return false;
    if (a->kind == SAMPLE_FLOAT || a->bits == b->bits) return a->bits == b->bits;
    arena_reset(&x->arena);
    struct histogram h = value_histogram(x, a), g = value_histogram(x, b);
    return histogram_equal(&h, &g);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* WILL_REPEAT_PART: a part holds the value, and the head does not. */
enum verdict {
    WILL_ACCEPT,
    WILL_REPEAT,
    WILL_REPEAT_PART,
    WILL_CONFLICT,
    WILL_BE_TOO_NEW,
    WILL_WHAT
};

static void
cell_may(struct model *x, struct cell *c, const struct value *v, bool voided)
{
    if (c->has_won) return;
    for (uint32_t i = 0; i < c->may_count; i++) {
        if (!value_equal(x, &c->may[i], v) || c->may[i].start_ms != v->start_ms) continue;
        if (!voided) c->voided &= (uint8_t) ~(1u << i);
        return;
    }
    assert_true(c->may_count < MAY);
    c->may[c->may_count] = *v;
    if (voided) c->voided |= (uint8_t)(1u << c->may_count);
    c->may_count++;
}

static bool
cell_is_sure(const struct cell *c)
{
    return c->in_head != HEAD_UNKNOWN && (c->has_won || c->voided == (1u << c->may_count) - 1);
}

static enum verdict
foretell_spark(struct model *x, const struct item *item)
{
    int64_t latest = env_realtime_ms(x->m->env) + x->m->limits.max_future_ms;
    return spark_time(item->slot) > latest ? WILL_BE_TOO_NEW : WILL_ACCEPT;
}

static enum verdict
foretell(struct model *x, struct cell *c, const struct item *item)
{
    if (slot_time(item->slot) > env_realtime_ms(x->m->env) + x->m->limits.max_future_ms)
        return WILL_BE_TOO_NEW;
    if (!cell_is_sure(c)) return WILL_WHAT;
    if (c->in_head == HEAD_NO) {
        c->in_head = HEAD_YES;
        c->head = item->v;
        c->head_gen = x->gen;
        c->has_pending = true;
        c->pending = item->v;
        c->pending_epoch = UINT64_MAX;
        return WILL_ACCEPT;
    }
    if (value_equal(x, &c->head, &item->v)) return WILL_REPEAT;
    return c->has_won && value_equal(x, &c->won, &item->v) ? WILL_REPEAT_PART : WILL_CONFLICT;
}

static void
build_request(struct model *x, struct rq *rq, const struct item *items, uint32_t count)
{
    char labels[100];
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || items[i].series != items[i - 1].series) {
            series_text(items[i].series, labels, sizeof labels);
            rq_series(rq, labels);
        }
        int64_t t = slot_time(items[i].slot);
        const struct value *v = &items[i].v;
        if (items[i].is_spark) {
            spark_text(items[i].slot, labels, sizeof labels);
            rq_exemplar(rq, spark_time(items[i].slot), spark_bits(items[i].slot), labels);
        } else if (v->kind == SAMPLE_FLOAT) {
            rq_float(rq, t, v->bits, v->start_ms);
        } else {
            arena_reset(&x->arena);
            struct histogram h = value_histogram(x, v);
            rq_histogram(rq, t, &h, v->start_ms);
        }
    }
}

/* Notes that `v` may be in the head now. */
static void
cell_maybe(struct model *x, struct cell *c, const struct value *v)
{
    c->in_head = HEAD_UNKNOWN;
    c->head_gen = x->gen;
    cell_may(x, c, v, false);
}

/* Notes that the request failed: an unknown part of it was applied. */
static void
send_failed(struct model *x, const struct item *items, const enum verdict *verdicts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct item *item = &items[i];
        if (item->is_spark) {
            struct spark *s = spark_at(x, items[0].tenant, item->series, item->slot);
            if (s->fate == FATE_NONE) *s = (struct spark){.fate = FATE_MAY};
            s->voided = false;
            continue;
        }
        struct cell *c = cell_at(x, items[0].tenant, item->series, item->slot);
        if (verdicts[i] == WILL_ACCEPT) {
            c->has_pending = false;
            c->in_head = HEAD_UNKNOWN;
            c->head_gen = x->gen;
        }
        if (verdicts[i] == WILL_ACCEPT || verdicts[i] == WILL_WHAT || c->in_head == HEAD_UNKNOWN)
            cell_maybe(x, c, &item->v);
    }
}

static void
spark_sent(struct model *x, struct spark *s)
{
    uint64_t wait = x->m->result.wait_epoch;
    if (s->fate == FATE_WON || (s->fate == FATE_PENDING && s->sure)) return;
    bool sure = s->fate == FATE_NONE || s->voided;
    *s = (struct spark){.fate = FATE_PENDING, .epoch = wait, .sure = sure};
    if (wait <= x->durable) s->fate = FATE_WON;
}

/* Notes that `v` is in the head now, whether or not it was before. */
static void
cell_promised(struct model *x, struct cell *c, const struct value *v)
{
    uint64_t wait = x->m->result.wait_epoch;
    cell_maybe(x, c, v); /* its start time and its generation are not known */
    if (wait <= x->durable) c->must = !c->has_won;
}

/* Checks the counts; `failed`: reading parts failed. */
static void
check_counts(struct model *x, const enum verdict *verdicts, uint32_t count, bool failed,
             uint32_t *ret_unsure)
{
    uint64_t written = 0, rejected = 0, unsure = 0;
    for (uint32_t i = 0; i < count; i++)
        if (verdicts[i] == WILL_WHAT || (failed && verdicts[i] == WILL_REPEAT_PART))
            unsure++;
        else
            *(verdicts[i] < WILL_CONFLICT ? &written : &rejected) += 1;
    const struct ingest_result *r = &x->m->result;
    uint64_t got = 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        got += r->written[k];
    if (got + r->rejected_total != count || r->rejected_total < rejected ||
        r->rejected_total > rejected + unsure) {
        print_error("%llu written and %llu refused, not %llu and %llu (unsure: %llu): %s\n",
                    (unsigned long long)got, (unsigned long long)r->rejected_total,
                    (unsigned long long)written, (unsigned long long)rejected,
                    (unsigned long long)unsure, r->text);
    }
    assert_int_equal(got + r->rejected_total, count);
    assert_in_range(got, written, written + unsure);
    assert_in_range(r->rejected_total, rejected, rejected + unsure);
    assert_int_equal(r->text[0] == '\0', r->rejected_total == 0);
    *ret_unsure = (uint32_t)(r->rejected_total - rejected);
}

enum err
model_send(struct model *x, enum rw_version version, const struct item *items, uint32_t count)
{
    struct rq rq;
    enum verdict verdicts[ITEMS_MAX];
    uint32_t refused_unsure;
    struct tsdb *db = x->m->db;
    assert_true(count <= ITEMS_MAX);
    rq_init(&rq, version);
    build_request(x, &rq, items, count);
    for (uint32_t i = 0; i < count; i++) {
        struct cell *c = cell_at(x, items[0].tenant, items[i].series, items[i].slot);
        verdicts[i] = items[i].is_spark ? foretell_spark(x, &items[i]) : foretell(x, c, &items[i]);
    }
    uint64_t hits = fault_env_hits(x->m->fe);
    enum err e = machine_send(x->m, model_tenants[items[0].tenant], &rq);
    bool failed = fault_env_hits(x->m->fe) != hits || x->m->memory_fails;
    rq_fini(&rq);
    if (e) {
        send_failed(x, items, verdicts, count);
        return e;
    }
    check_counts(x, verdicts, count, failed, &refused_unsure);
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].is_spark && verdicts[i] == WILL_BE_TOO_NEW) continue;
        if (items[i].is_spark) {
            spark_sent(x, spark_at(x, items[0].tenant, items[i].series, items[i].slot));
            continue;
        }
        struct cell *c = cell_at(x, items[0].tenant, items[i].series, items[i].slot);
        if (verdicts[i] == WILL_ACCEPT) {
            c->pending_epoch = x->m->result.wait_epoch;
            assert_true(c->pending_epoch > wal_durable_epoch(tsdb_wal(db)));
        } else if (verdicts[i] == WILL_REPEAT && c->has_pending) {
            assert_true(x->m->result.wait_epoch >= c->pending_epoch);
        } else if (verdicts[i] == WILL_WHAT) {
            if (refused_unsure == 0)
                cell_promised(x, c, &items[i].v);
            else
                cell_maybe(x, c, &items[i].v);
        }
    }
    return OK;
}

/* --- committing and flushing ------------------------------------------------------------------ */

#define for_each_spark(x, s) \
    for (struct spark *s = (x)->sparks; s < (x)->sparks + TENANTS * SERIES * EXEMPLARS; s++)

static void
cell_win(struct model *x, struct cell *c, const struct value *v)
{
    c->has_won = true;
    c->won = *v;
    c->must = false;
    c->may_count = 0;
    c->voided = 0;
    x->samples_won++;
}

static void
cell_drop_voided(struct cell *c)
{
    uint8_t kept = 0;
    for (uint32_t i = 0; i < c->may_count; i++)
        if ((c->voided >> i & 1) == 0) c->may[kept++] = c->may[i];
    c->may_count = kept;
    c->voided = 0;
    c->ghost = false;
}

static void
model_committed(struct model *x)
{
    uint64_t durable = wal_durable_epoch(tsdb_wal(x->m->db));
    bool moved = durable != x->durable;
    x->durable = durable;
    for_each_cell(x, c)
    {
        if (moved) cell_drop_voided(c);
        if (!c->has_pending || c->pending_epoch > durable) continue;
        c->has_pending = false;
        if (!c->has_won) cell_win(x, c, &c->pending);
    }
    for_each_spark(x, s)
    {
        if (moved && s->fate == FATE_MAY && s->voided) s->fate = FATE_NONE;
        if (s->fate == FATE_PENDING && s->epoch <= durable) s->fate = FATE_WON;
    }
    if (tsdb_has_frozen(x->m->db) && !x->frozen) {
        x->frozen = true;
        x->gen++;
    }
}

void
model_commit_failed(struct model *x)
{
    uint64_t durable = wal_durable_epoch(tsdb_wal(x->m->db));
    assert_int_equal(durable, x->durable);
    for_each_cell(x, c)
    {
        if (!c->has_pending) continue;
        c->has_pending = false;
        c->in_head = HEAD_NO;
        c->ghost = c->has_won;
        cell_may(x, c, &c->pending, true);
    }
    for_each_spark(x, s)
    {
        if (s->fate == FATE_PENDING) *s = (struct spark){.fate = FATE_MAY, .voided = s->sure};
    }
}

enum err
model_commit(struct model *x)
{
    enum err e = step(x->m, tsdb_commit(x->m->db, &x->m->why));
    if (e)
        model_commit_failed(x);
    else
        model_committed(x);
    if (e) assert_true(tsdb_is_down(x->m->db));
    return e;
}

enum err
model_flush(struct model *x)
{
    enum err e = step(x->m, tsdb_flush(x->m->db, &x->m->why));
    if (!x->frozen) return e;
    if (tsdb_has_frozen(x->m->db)) {
        assert_int_not_equal(e, OK);
        x->doubt = true;
        return e;
    }
    x->frozen = x->doubt = false;
    for_each_cell(x, c)
    {
        if (c->in_head != HEAD_NO && c->head_gen < x->gen) c->in_head = HEAD_NO;
    }
    return e;
}

enum err
model_merge(struct model *x, enum tsdb_merge_mode mode)
{
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result result = {.input_count = 1};
    enum err e = step(x->m, tsdb_expire(x->m->db, &result, &x->m->why));
    if (e) return e;
    do {
        e = step(x->m, tsdb_merge(x->m->db, &options, &result, &x->m->why));
    } while (e == OK && result.input_count > 0);
    if (e == ERR_CORRUPT) fail_msg("merge: %s", x->m->why.text);
    return e;
}

void
model_delete(struct model *x, uint32_t tenant, uint32_t series, uint32_t first, uint32_t last)
{
    struct selector selector = {.count = 1};
    struct tsdb_deletion deletion;
    char number[12];
    uint64_t won = 0;
    snprintf(number, sizeof number, "%u", series);
    must(matcher_new(MATCH_EQUAL, text("i"), text(number), NULL, &selector.matchers[0], NULL));
    must(tsdb_delete(x->m->db, text(model_tenants[tenant]), &selector, 1, slot_time(first),
                     slot_time(last) + SLOT_MS - 1, &deletion, &x->m->why));
    for (uint32_t slot = first; slot <= last; slot++) {
        struct cell *c = cell_at(x, tenant, series, slot);
        won += c->has_won;
        *c = (struct cell){.seen = c->seen};
    }
    assert_true(deletion.samples >= won);
    assert_int_equal(deletion.series, deletion.samples > 0);
    for (uint32_t i = 0; i < EXEMPLARS; i++) {
        struct spark *s = spark_at(x, tenant, series, i);
        bool within = spark_time(i) >= slot_time(first) && spark_time(i) < slot_time(last + 1);
        if (within) *s = (struct spark){.seen = s->seen};
    }
}

/* --- comparing -------------------------------------------------------------------------------- */

uint32_t
model_series(const struct model *x, struct bytes labels)
{
    for (uint32_t s = 0; s < SERIES; s++)
        if (bytes_equal(labels, buf_bytes(&x->labels[s]))) return s;
    fail_msg("a series that nobody sent");
    return 0;
}

bool
reads_as(struct model *x, const struct value *v, const struct sample_batch *b, uint32_t i)
{
    if (v->kind != b->kind) return false;
    if (v->start_ms != (b->starts_ms == NULL ? 0 : b->starts_ms[i])) return false;
    if (v->kind == SAMPLE_FLOAT) return v->bits == b->value_bits[i];
    arena_reset(&x->arena);
    struct histogram h = value_histogram(x, v);
    return same_histogram_bits(&h, &b->histograms[i]);
}

void
model_saw(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    struct reading *r = context;
    struct model *x = r->x;
    uint32_t series = model_series(x, labels);
    int64_t ahead = b->times_ms[i] - slot_time(0);
    assert_int_equal(ahead % SLOT_MS, 0);
    assert_in_range(ahead / SLOT_MS, 0, SLOTS - 1);
    struct cell *c = cell_at(x, r->tenant, series, (uint64_t)ahead / SLOT_MS);
    assert_int_not_equal(c->seen, x->reading);
    c->seen = x->reading;
    if (c->has_won) {
        if (reads_as(x, &c->won, b, i)) return;
        arena_reset(&x->arena);
        struct histogram h = value_histogram(x, &c->won);
        fail_msg("tenant %u, series %u, slot %u: kind %d, not %d; bits %llx, not %llx; start %lld, "
                 "not %lld",
                 r->tenant, series, (unsigned)(ahead / SLOT_MS), b->kind, c->won.kind,
                 (unsigned long long)(b->kind == SAMPLE_FLOAT ? b->value_bits[i]
                                                              : b->histograms[i].sum_bits),
                 (unsigned long long)(b->kind == SAMPLE_FLOAT ? c->won.bits : h.sum_bits),
                 (long long)(b->starts_ms == NULL ? 0 : b->starts_ms[i]),
                 (long long)c->won.start_ms);
    }
    for (uint32_t k = 0; k < c->may_count; k++) {
        if (!reads_as(x, &c->may[k], b, i)) continue;
        if (r->after_crash) {
            struct value v = c->may[k];
            cell_win(x, c, &v);
        } else if (c->voided >> k & 1) {
            continue;
        }
        return;
    }
    fail_msg("tenant %u, series %u, slot %u: a value that was not to be seen", r->tenant, series,
             (unsigned)(ahead / SLOT_MS));
}

static void
check_unseen(struct model *x, bool after_crash)
{
    for_each_cell(x, c)
    {
        if (c->seen == x->reading) continue;
        uint32_t at = (uint32_t)(c - x->cells);
        if (c->has_won || c->must) {
            fail_msg("tenant %u, series %u, slot %u: an acknowledged sample is lost",
                     at / SLOTS / SERIES, at / SLOTS % SERIES, at % SLOTS);
        }
        if (!after_crash) continue;
        c->may_count = c->voided = 0;
        c->in_head = HEAD_NO;
    }
}

static enum err
model_saw_spark(void *context, const struct exemplar *e)
{
    struct reading *r = context;
    struct model *x = r->x;
    char given[50];
    uint32_t series = model_series(x, e->series_labels);
    uint32_t index = (uint32_t)((e->t_ms - 7 - slot_time(0)) / SLOT_MS / (SLOTS / EXEMPLARS));
    assert_true(index < EXEMPLARS);
    assert_int_equal(e->t_ms, spark_time(index));
    assert_int_equal(e->value_bits, spark_bits(index));
    spark_text(index, given, sizeof given);
    const char *value = strchr(given, '=');
    assert_true(
        bytes_equal(labels_get(e->labels, text("trace_id")), text(value == NULL ? "" : value + 1)));
    struct spark *s = spark_at(x, r->tenant, series, index);
    assert_int_not_equal(s->seen, x->reading);
    s->seen = x->reading;
    if (s->fate == FATE_WON) return OK;
    if (r->after_crash) {
        assert_int_not_equal(s->fate, FATE_NONE);
        s->fate = FATE_WON;
    } else {
        assert_true((s->fate == FATE_MAY && !s->voided) || (s->fate == FATE_PENDING && !s->sure));
    }
    return OK;
}

static void
check_unseen_sparks(struct model *x, bool after_crash)
{
    for_each_spark(x, s)
    {
        if (s->seen == x->reading) continue;
        if (s->fate == FATE_WON) fail_msg("an acknowledged exemplar is lost");
        if (after_crash) s->fate = FATE_NONE;
    }
}

void
model_compare(struct model *x, bool after_crash)
{
    struct machine *m = x->m;
    bool with_chunks = ++x->compared % 4 == 0;
    x->reading++;
    for (uint32_t t = 0; t < TENANTS; t++) {
        struct question q;
        struct reading r = {x, t, after_crash};
        question_init(&q, model_tenants[t], every_series, 1, slot_time(0), slot_time(SLOTS) + 10);
        enum err e = machine_select(m, &q, model_saw, &r);
        if (e) print_error("select: %s: %s\n", err_word(e), m->why.text);
        must(e);
        if (with_chunks) check_streamed(m, &q);
        must(machine_exemplars(m, &q.request, model_saw_spark, &r));
        question_fini(&q);
    }
    check_unseen(x, after_crash);
    check_unseen_sparks(x, after_crash);
    machine_ledger(m, NULL);
}

void
model_crashed(struct model *x)
{
    for_each_cell(x, c)
    {
        if (c->has_pending) {
            c->has_pending = false;
            c->in_head = HEAD_UNKNOWN;
            cell_may(x, c, &c->pending, false);
        }
        if (x->doubt && c->in_head == HEAD_YES && c->head_gen < x->gen) c->in_head = HEAD_UNKNOWN;
        if (c->voided != 0 || c->ghost) c->in_head = HEAD_UNKNOWN;
        c->voided = 0;
        c->ghost = false;
        c->head_gen = x->gen; /* all that is in the log comes back as one generation */
    }
    for_each_spark(x, s)
    {
        if (s->fate == FATE_PENDING) s->fate = FATE_MAY;
        s->voided = false;
    }
    x->frozen = x->doubt = false;
    x->durable = 0; /* epochs start again */
}

void
model_opened(struct model *x)
{
    x->durable = wal_durable_epoch(tsdb_wal(x->m->db));
    if (x->m->opening.replayed_parts == 0) return;
    for_each_cell(x, c)
    {
        c->in_head = HEAD_NO;
    }
}
