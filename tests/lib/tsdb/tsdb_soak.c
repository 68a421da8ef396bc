/*
 * tsdb_soak.c - see tsdb_soak.h.
 *
 * A reading walks the marks of a series and the samples of the answer together, both by time: a
 * sample without a mark, or with a code that is not in `may`, fails, and so does a mark with `must`
 * that is passed over. Series are found by a hash of their labels, in an open table.
 */
#include "lib/tsdb/tsdb_soak.h"

const char *const soak_tenants[SOAK_TENANTS] = {"small", "anonymous", "big"};

const struct soak_metric soak_metrics[SOAK_METRICS] = {
    {"up", CONSTANT, ""},
    {"build_info", CONSTANT, ",version=1.2"},
    {"cpu_seconds_total", COUNTER, ",mode=user"},
    {"cpu_seconds_total", COUNTER, ",mode=system"},
    {"cpu_seconds_total", COUNTER, ",mode=idle"},
    {"requests_total", COUNTER, ",code=200"},
    {"requests_total", COUNTER, ",code=404"},
    {"requests_total", COUNTER, ",code=500"},
    {"memory_bytes", GAUGE, ",kind=free"},
    {"memory_bytes", GAUGE, ",kind=used"},
    {"queue_length", GAUGE, ",queue=\xc3\xa9t\xc3\xa9"},
    {"queue_length", GAUGE, ",queue=b"},
    {"limit", CONSTANT, ""},
    {"noise", NOISE, ""},
    {"latency_seconds", HISTOGRAM_OF_INTS, ",path=/"},
    {"latency_seconds", HISTOGRAM_OF_INTS, ",path=/write"},
    {"size_bytes", HISTOGRAM_OF_FLOATS, ""},
};

void
soak_must(struct soak *x, enum err e, const char *what)
{
    if (e) soak_fail(x, "%s: %s: %s", what, err_word(e), x->m.why.text);
}

/* --- values ----------------------------------------------------------------------------------- */

struct soak_value {
    enum sample_kind kind;
    uint64_t bits;
    int64_t start_ms;
    struct histogram h;
    struct hist_span spans[2];
    int64_t deltas[SOAK_BUCKETS];
    uint64_t counts[SOAK_BUCKETS];
};

static uint64_t
soak_float(const struct soak_series *s, int64_t t_ms)
{
    struct rng r = {s->seed ^ (uint64_t)t_ms};
    int64_t age = (t_ms - SIM_BEGIN) / 1000;
    switch (s->class) {
    case CONSTANT:
        return double_bits((double)(s->seed % 10));
    case COUNTER:
        return double_bits((double)(age * (int64_t)(1 + s->seed % 5) + (int64_t)rng_below(&r, 3)));
    case NOISE:
        return random_value(&r, (unsigned)rng_below(&r, 11), 0);
    default:
        return double_bits((double)rng_below(&r, 1000000) / 1000);
    }
}

static void
soak_histogram(const struct soak_series *s, int64_t t_ms, bool other, struct soak_value *v)
{
    struct rng r = {s->seed ^ (uint64_t)t_ms};
    uint64_t total = 0, before = 0, age = (uint64_t)(t_ms - SIM_BEGIN + 400 * DAY_MS) / 15000;
    v->spans[0] = (struct hist_span){(int32_t)(s->seed % 7) - 3, 4};
    v->spans[1] = (struct hist_span){2, 2};
    for (uint32_t i = 0; i < SOAK_BUCKETS; i++) {
        uint64_t n = age * (i + 1) % 5000 + rng_below(&r, 2);
        v->deltas[i] = (int64_t)(n - before);
        v->counts[i] = double_bits((double)n / 4);
        before = n;
        total += n;
    }
    bool ints = v->kind == SAMPLE_HISTOGRAM_INT;
    v->h = (struct histogram){
        .kind = v->kind,
        .schema = (int32_t)(s->seed % 5),
        .zero_threshold_bits = double_bits(0x1p-128),
        .zero_count = ints ? age % 9 : double_bits((double)(age % 9)),
        .sum_bits = double_bits((double)total * 1.5 + other),
        .positive = {.spans = v->spans, .span_count = 2, .bucket_count = SOAK_BUCKETS},
    };
    v->h.count = ints ? total + age % 9 : double_bits((double)total / 4 + (double)(age % 9));
    if (ints)
        v->h.positive.deltas = v->deltas;
    else
        v->h.positive.counts = v->counts;
}

/* Computes the value of a series at a time when it is sent with this code. */
static void
soak_value(const struct soak_series *s, int64_t t_ms, uint8_t code, struct soak_value *v)
{
    unsigned variant = code & 3u;
    bool is_float = s->class < HISTOGRAM_OF_INTS;
    if (variant == CODE_OTHER_KIND) is_float = !is_float;
    v->kind = is_float                          ? SAMPLE_FLOAT
              : s->class == HISTOGRAM_OF_FLOATS ? SAMPLE_HISTOGRAM_FLOAT
                                                : SAMPLE_HISTOGRAM_INT;
    v->start_ms = (code & CODE_START) != 0 ? t_ms - 1000 - (int64_t)(s->seed % 1000) : 0;
    v->bits = 0;
    if (!is_float) {
        if (variant == CODE_STALE)
            v->h = stale_histogram(v->kind);
        else
            soak_histogram(s, t_ms, variant == CODE_OTHER, v);
        return;
    }
    v->bits = soak_float(s, t_ms);
    if (v->bits == STALE_NAN_BITS) v->bits = NORMAL_NAN_BITS;
    if (variant == CODE_OTHER) v->bits ^= 1u << 20;
    if (variant == CODE_STALE) v->bits = STALE_NAN_BITS;
}

/* Says whether a sample is the one that follows from series, time and code. */
static bool
soak_reads_as(const struct soak_series *s, int64_t t_ms, uint8_t code, const struct sample_batch *b,
              uint32_t i)
{
    struct soak_value v;
    soak_value(s, t_ms, code, &v);
    if (v.kind != b->kind) return false;
    if (v.start_ms != (b->starts_ms == NULL ? 0 : b->starts_ms[i])) return false;
    if (v.kind == SAMPLE_FLOAT) return v.bits == b->value_bits[i];
    return same_histogram_bits(&v.h, &b->histograms[i]);
}

/* --- series and marks ------------------------------------------------------------------------- */

static void *
soak_grow(void *at, uint32_t count, uint32_t *capacity, size_t each)
{
    if (count < *capacity) return at;
    *capacity = *capacity == 0 ? 8 : 2 * *capacity;
    at = realloc(at, *capacity * each);
    assert_non_null(at);
    return at;
}

void
soak_init(struct soak *x, uint64_t seed)
{
    memset(x, 0, sizeof *x);
    machine_init(&x->m, seed);
    x->rng.state = seed;
    x->gen = 1;
    x->expired_ms = INT64_MIN;
    x->table_size = 1 << 17;
    x->table = calloc(x->table_size, sizeof *x->table);
    assert_non_null(x->table);
    arena_init(&x->arena, NULL, 0, 0);
    buf_init(&x->names, NULL, 1 << 16);
}

void
soak_fini(struct soak *x)
{
    for (uint32_t i = 0; i < x->series_count; i++)
        for (unsigned w = 0; w < WHAT_COUNT; w++)
            free(x->series[i].marks[w].at);
    free(x->series);
    free(x->table);
    free(x->pending);
    buf_fini(&x->names);
    arena_fini(&x->arena);
    machine_fini(&x->m);
}

/* Returns the slot in x->table of the series with these labels, or the free slot for it. */
static uint32_t *
soak_slot(struct soak *x, uint32_t tenant, struct bytes labels)
{
    uint64_t hash = hash_bytes(labels, tenant);
    for (uint32_t at = (uint32_t)hash % x->table_size;; at = (at + 1) % x->table_size) {
        uint32_t *slot = &x->table[at];
        if (*slot == 0) return slot;
        const struct soak_series *s = &x->series[*slot - 1];
        if (s->hash == hash && s->tenant == tenant && bytes_equal(s->labels, labels)) return slot;
    }
}

static void
soak_canonical(struct soak *x, const char *given)
{
    struct label list[8];
    uint32_t count = 0;
    struct labels_limits limits = {16, 100, 100};
    for (const char *p = given; *p != '\0';) {
        size_t name = strcspn(p, "="), all = strcspn(p, ",");
        list[count].name = bytes_of(p, name);
        list[count++].value = bytes_of(p + name + 1, all - name - 1);
        p += all + (p[all] == ',');
    }
    buf_clear(&x->names);
    assert_int_equal(labels_build(list, count, &limits, &x->names), REJECT_NONE);
}

uint32_t
soak_series_of(struct soak *x, uint32_t tenant, const char *given, enum metric_class class)
{
    soak_canonical(x, given);
    uint32_t *slot = soak_slot(x, tenant, buf_bytes(&x->names));
    if (*slot != 0) return *slot - 1;
    x->series = soak_grow(x->series, x->series_count, &x->series_capacity, sizeof *x->series);
    assert_true(x->series_count < x->table_size / 2);
    struct soak_series *s = &x->series[x->series_count++];
    memset(s, 0, sizeof *s);
    s->tenant = tenant;
    s->class = class;
    snprintf(s->text, sizeof s->text, "%s", given);
    s->labels = arena_copy(&x->arena, buf_bytes(&x->names));
    s->hash = hash_bytes(s->labels, tenant);
    s->seed = hash_bytes(text(given), 7);
    *slot = x->series_count;
    return x->series_count - 1;
}

uint32_t
marks_from(const struct marks *m, int64_t t_ms)
{
    uint32_t low = 0, high = m->count;
    if (high > 0 && m->at[high - 1].t_ms < t_ms) return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->at[middle].t_ms < t_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct mark *
mark_find(struct soak *x, const struct soak_item *item)
{
    struct marks *m = &x->series[item->series].marks[item->what];
    uint32_t at = marks_from(m, item->t_ms);
    return at < m->count && m->at[at].t_ms == item->t_ms ? &m->at[at] : NULL;
}

static struct mark *
mark_make(struct soak *x, const struct soak_item *item)
{
    struct marks *m = &x->series[item->series].marks[item->what];
    uint32_t at = marks_from(m, item->t_ms);
    if (at < m->count && m->at[at].t_ms == item->t_ms) return &m->at[at];
    m->at = soak_grow(m->at, m->count, &m->capacity, sizeof *m->at);
    memmove(&m->at[at + 1], &m->at[at], (m->count - at) * sizeof *m->at);
    m->count++;
    m->at[at] = (struct mark){.t_ms = item->t_ms};
    return &m->at[at];
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Returns the value of an exemplar. */
static uint64_t
spark_value(int64_t t_ms)
{
    return double_bits((double)(t_ms % 997) / 8);
}

void
soak_add(struct soak_request *r, uint32_t series, enum what what, int64_t t_ms, uint8_t code)
{
    r->items = soak_grow(r->items, r->count, &r->capacity, sizeof *r->items);
    r->items[r->count++] =
        (struct soak_item){.series = series, .what = (uint8_t)what, .code = code, .t_ms = t_ms};
}

static void
soak_build(struct soak *x, const struct soak_request *r, struct rq *rq)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct soak_item *item = &r->items[i];
        const struct soak_series *s = &x->series[item->series];
        struct soak_value v;
        if (i == 0 || item->series != r->items[i - 1].series) rq_series(rq, s->text);
        if (item->what == EXEMPLARS) {
            char labels[40];
            snprintf(labels, sizeof labels, "trace_id=%llx", (long long)item->t_ms);
            rq_exemplar(rq, item->t_ms, spark_value(item->t_ms), labels);
            continue;
        }
        soak_value(s, item->t_ms, item->code, &v);
        if (v.kind == SAMPLE_FLOAT)
            rq_float(rq, item->t_ms, v.bits, v.start_ms);
        else
            rq_histogram(rq, item->t_ms, &v.h, v.start_ms);
    }
    for (uint32_t i = 0; r->help != 0 && rq->version == RW_V1 && i < SOAK_METRICS; i++) {
        char help[20];
        snprintf(help, sizeof help, "help %u", r->help - 1);
        rq_metadata(rq, METRIC_COUNTER, soak_metrics[i].name, help, "");
    }
}

enum foretold { WILL_BE_WRITTEN, WILL_BE_REFUSED, WILL_SHOW };

/* Predicts the verdict on an item. min_ms: oldest accepted times, before and after the request. */
static enum foretold
soak_foretell(struct soak *x, const struct soak_item *item, const int64_t min_ms[2])
{
    const struct mark *m = mark_find(x, item);
    unsigned variant = 0x11u << (item->code & 3), variants;
    if (item->t_ms < min_ms[0]) return WILL_BE_REFUSED;
    if (item->t_ms > env_realtime_ms(x->m.env) + x->m.limits.max_future_ms) return WILL_BE_REFUSED;
    if (item->t_ms < min_ms[1] || x->limited) return WILL_SHOW;
    variants = m == NULL ? 0 : m->sent;
    if ((variants & ~variant) == 0) return WILL_BE_WRITTEN;
    /* It is refused for certain only if the head holds one value, which is another one. */
    bool one = false;
    for (unsigned k = 0; k < 4; k++)
        one |= (variants & ~(0x11u << k)) == 0;
    return m->must && one && m->gen == x->gen && !m->pending ? WILL_BE_REFUSED : WILL_SHOW;
}

static void
mark_ack(struct soak *x, const struct soak_item *item)
{
    struct mark *m = mark_make(x, item);
    m->pending = false;
    if (m->must) return;
    m->may |= (uint8_t)(1u << item->code);
    m->must = true;
    x->acked++;
}

/* Notes that the item may have been stored. */
static void
mark_maybe(struct soak *x, const struct soak_item *item)
{
    struct mark *m = mark_make(x, item);
    m->sent |= (uint8_t)(1u << item->code);
    if (m->must || m->pending) return;
    m->may |= (uint8_t)(1u << item->code);
    x->doubt = true;
}

static void
soak_taken(struct soak *x, const struct soak_item *item)
{
    struct mark *m = mark_make(x, item);
    m->sent |= (uint8_t)(1u << item->code);
    m->gen = x->gen;
    if (x->m.result.wait_epoch <= x->durable) {
        if (!m->pending) mark_ack(x, item); /* else the pending one comes first */
        return;
    }
    m->pending = true;
    x->pending = soak_grow(x->pending, x->pending_count, &x->pending_capacity, sizeof *item);
    x->pending[x->pending_count++] = *item;
    if (x->m.result.wait_epoch > x->wait_epoch) x->wait_epoch = x->m.result.wait_epoch;
}

static void
soak_metadata_sent(struct soak *x, const struct soak_request *r, bool ok)
{
    if (r->help == 0 || r->version != RW_V1) return;
    for (uint32_t i = 0; i < SOAK_METRICS; i++)
        x->helps[r->tenant][i] |= (uint8_t)(1u << (r->help - 1));
    x->helps_sent[r->tenant] |= (uint8_t)(1u << (r->help - 1));
    x->helps_must[r->tenant] = false;
    x->helps_pending[r->tenant] = ok ? (uint8_t)r->help : 0;
}

static int64_t
soak_oldest_taken(struct soak *x)
{
    struct tsdb_stats s;
    tsdb_stats(x->m.db, &s);
    assert_true(s.retention_now_ms <= env_realtime_ms(x->m.env));
    bool none = s.retention_now_ms < INT64_MIN + x->m.limits.retention_ms;
    return none ? INT64_MIN : s.retention_now_ms - x->m.limits.retention_ms;
}

static void
soak_judged(struct soak *x, const struct soak_request *r, const int64_t min_ms[2])
{
    const struct ingest_result *result = &x->m.result;
    uint64_t written = 0, count[3] = {0}, refused = result->rejected_total;
    enum foretold *foretold = malloc((r->count + 1) * sizeof *foretold);
    assert_non_null(foretold);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        written += result->written[k];
    for (uint32_t i = 0; i < r->count; i++) {
        foretold[i] = soak_foretell(x, &r->items[i], min_ms);
        count[foretold[i]]++;
    }
    if (written + refused != r->count || refused < count[WILL_BE_REFUSED] ||
        written < count[WILL_BE_WRITTEN]) {
        soak_fail(x, "%llu written and %llu refused, expected %llu and %llu, unsure %llu: %s",
                  (unsigned long long)written, (unsigned long long)refused,
                  (unsigned long long)count[WILL_BE_WRITTEN],
                  (unsigned long long)count[WILL_BE_REFUSED], (unsigned long long)count[WILL_SHOW],
                  result->text);
    }
    x->refused += refused;
    bool all = refused == count[WILL_BE_REFUSED], none = written == count[WILL_BE_WRITTEN];
    for (uint32_t i = 0; i < r->count; i++) {
        if (foretold[i] == WILL_BE_REFUSED) continue;
        if (foretold[i] == WILL_BE_WRITTEN || all)
            soak_taken(x, &r->items[i]);
        else if (!none)
            mark_maybe(x, &r->items[i]);
    }
    free(foretold);
}

enum err
soak_send(struct soak *x, const struct soak_request *r)
{
    struct rq rq;
    int64_t min_ms[2] = {soak_oldest_taken(x)};
    if (r->count == 0) return OK;
    rq_init(&rq, r->version);
    soak_build(x, r, &rq);
    enum err e = machine_send(&x->m, soak_tenants[r->tenant], &rq);
    rq_fini(&rq);
    soak_metadata_sent(x, r, e == OK);
    if (e) {
        for (uint32_t i = 0; i < r->count; i++)
            mark_maybe(x, &r->items[i]);
        x->no_memory += e == ERR_NOMEM;
        return e;
    }
    min_ms[1] = soak_oldest_taken(x);
    soak_judged(x, r, min_ms);
    return OK;
}

/* --- commits, flushes, deaths ----------------------------------------------------------------- */

/* Notes that pending values are uncertain now. */
static void
soak_voided(struct soak *x)
{
    for (uint32_t i = 0; i < x->pending_count; i++)
        mark_make(x, &x->pending[i])->pending = false;
    for (uint32_t i = 0; i < x->pending_count; i++)
        mark_maybe(x, &x->pending[i]);
    x->pending_count = 0;
    x->wait_epoch = 0;
    x->gen++;
    x->doubt = true;
    memset(x->helps_pending, 0, sizeof x->helps_pending);
}

static void
soak_committed(struct soak *x)
{
    uint64_t durable = wal_durable_epoch(tsdb_wal(x->m.db));
    if (durable < x->wait_epoch) soak_fail(x, "a commit that does not reach what waits for it");
    if (durable != x->durable) x->doubt = false;
    x->durable = durable;
    x->wait_epoch = 0;
    for (uint32_t i = 0; i < x->pending_count; i++)
        mark_ack(x, &x->pending[i]);
    x->pending_count = 0;
    for (uint32_t t = 0; t < SOAK_TENANTS; t++) {
        if (x->helps_pending[t] == 0) continue;
        memset(x->helps[t], 1 << (x->helps_pending[t] - 1), sizeof x->helps[t]);
        x->helps_must[t] = true;
        x->helps_pending[t] = 0;
    }
    bool frozen = tsdb_has_frozen(x->m.db);
    if (frozen && !x->frozen) x->gen++;
    x->frozen = frozen;
}

enum err
soak_try_commit(struct soak *x)
{
    enum err e = step(&x->m, tsdb_commit(x->m.db, &x->m.why));
    if (e)
        soak_voided(x);
    else
        soak_committed(x);
    return e;
}

void
soak_commit(struct soak *x)
{
    soak_must(x, soak_try_commit(x), "commit");
}

void
soak_flush(struct soak *x)
{
    for (unsigned i = 0; i < 2; i++) { /* a frozen generation goes first */
        soak_must(x, tsdb_flush(x->m.db, &x->m.why), "flush");
        x->frozen = false;
        tsdb_want_cut(x->m.db);
        soak_commit(x);
    }
    soak_must(x, tsdb_flush(x->m.db, &x->m.why), "flush");
    x->frozen = false;
    soak_commit(x);
    soak_must(x, tsdb_maintain(x->m.db, &x->m.why), "maintain");
    if (tsdb_has_frozen(x->m.db)) soak_fail(x, "still frozen after a flush");
}

void
soak_forget(struct soak *x, int64_t min_ms, int64_t max_ms)
{
    for (uint32_t i = 0; i < x->series_count; i++) {
        for (unsigned w = 0; w < WHAT_COUNT; w++) {
            struct marks *m = &x->series[i].marks[w];
            for (uint32_t k = marks_from(m, min_ms); k < m->count && m->at[k].t_ms <= max_ms; k++) {
                if (m->at[k].may == 0) continue;
                m->at[k].may |= m->at[k].sent;
                m->at[k].must = false;
            }
        }
    }
}

void
soak_may_expire(struct soak *x)
{
    int64_t oldest = soak_oldest_taken(x);
    if (oldest > x->expired_ms) x->expired_ms = oldest;
    if (oldest > INT64_MIN) soak_forget(x, INT64_MIN, oldest - 1);
}

void
soak_died(struct soak *x)
{
    soak_voided(x);
    if (x->expired_ms > INT64_MIN) soak_forget(x, INT64_MIN, x->expired_ms - 1);
    x->frozen = false;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct soak_reading {
    struct soak *x;
    uint32_t tenant;
    enum what what;
    bool adopt; /* a value that is missing now never appears again */
    int64_t min_ms;
    int64_t max_ms;
    struct matcher *const *matchers;
    uint32_t matcher_count;
    struct soak_series *series; /* current series; NULL before the first */
    uint32_t next;              /* its next mark */
};

bool
soak_selects(const struct soak_series *s, struct matcher *const *matchers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        /* Matchers have tests of their own. */
        if (!matcher_matches(matchers[i], labels_get(s->labels, matcher_name(matchers[i]))))
            return false;
    }
    return true;
}

/* Passes over the current series' marks before t_ms, which the answer lacks. */
static void
soak_skip(struct soak_reading *r, int64_t t_ms, bool to_end)
{
    struct marks *m = &r->series->marks[r->what];
    for (; r->next < m->count; r->next++) {
        struct mark *k = &m->at[r->next];
        if (k->t_ms > r->max_ms || (!to_end && k->t_ms >= t_ms)) return;
        if (k->must) {
            soak_fail(r->x, "tenant %s, {%s}: the acknowledged sample at %lld is lost",
                      soak_tenants[r->tenant], r->series->text, (long long)k->t_ms);
        }
        if (r->adopt) k->may = 0;
    }
}

static struct mark *
soak_meet(struct soak_reading *r, struct bytes labels, int64_t t_ms)
{
    struct soak *x = r->x;
    if (r->series == NULL || !bytes_equal(r->series->labels, labels)) {
        if (r->series != NULL) soak_skip(r, 0, true);
        uint32_t slot = *soak_slot(x, r->tenant, labels);
        if (slot == 0) soak_fail(x, "a series that nobody sent");
        r->series = &x->series[slot - 1];
        r->series->reading = x->reading;
        r->next = marks_from(&r->series->marks[r->what], r->min_ms);
        if (!soak_selects(r->series, r->matchers, r->matcher_count))
            soak_fail(x, "{%s} does not match", r->series->text);
    }
    soak_skip(r, t_ms, false);
    const struct marks *m = &r->series->marks[r->what];
    if (r->next == m->count || m->at[r->next].t_ms != t_ms) {
        soak_fail(x, "tenant %s, {%s}: a sample at %lld that nobody sent", soak_tenants[r->tenant],
                  r->series->text, (long long)t_ms);
    }
    x->read++;
    return &m->at[r->next++];
}

static void
soak_saw(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    struct soak_reading *r = context;
    struct mark *k = soak_meet(r, labels, b->times_ms[i]);
    for (uint8_t code = 0; code < 8; code++) {
        if ((k->may >> code & 1) == 0) continue;
        if (!soak_reads_as(r->series, k->t_ms, code, b, i)) continue;
        r->x->narrowed += k->may != 1u << code;
        k->may = (uint8_t)(1u << code);
        k->must = true;
        return;
    }
    unsigned read_as = 0;
    for (uint8_t code = 0; code < 8; code++)
        if (soak_reads_as(r->series, k->t_ms, code, b, i)) read_as |= 1u << code;
    soak_fail(r->x,
              "tenant %s, {%s} at %lld: codes %x expected (sent: %x%s), found kind %d, bits %llx, "
              "which are codes %x",
              soak_tenants[r->tenant], r->series->text, (long long)k->t_ms, k->may, k->sent,
              k->pending ? ", pending" : "", b->kind,
              (unsigned long long)(b->kind == SAMPLE_FLOAT ? b->value_bits[i]
                                                           : b->histograms[i].sum_bits),
              read_as);
}

static enum err
soak_saw_exemplar(void *context, const struct exemplar *e)
{
    struct soak_reading *r = context;
    char id[20];
    struct mark *k = soak_meet(r, e->series_labels, e->t_ms);
    snprintf(id, sizeof id, "%llx", (long long)e->t_ms);
    bool same = bytes_equal(labels_get(e->labels, text("trace_id")), text(id));
    if (k->may == 0 || !same || e->value_bits != spark_value(e->t_ms))
        soak_fail(r->x, "{%s}: a wrong exemplar at %lld", r->series->text, (long long)e->t_ms);
    k->must = true;
    return OK;
}

/* Checks that series that were not in the answer hold nothing that must be read. */
static void
soak_end_reading(struct soak_reading *r)
{
    struct soak *x = r->x;
    if (r->series != NULL) soak_skip(r, 0, true);
    for (uint32_t i = 0; i < x->series_count; i++) {
        struct soak_series *s = &x->series[i];
        if (s->tenant != r->tenant || s->reading == x->reading) continue;
        if (!soak_selects(s, r->matchers, r->matcher_count)) continue;
        r->series = s;
        r->next = marks_from(&s->marks[r->what], r->min_ms);
        soak_skip(r, 0, true);
    }
}

void
soak_ask(struct soak *x, enum what what, uint32_t tenant, const struct matcher_text *matchers,
         uint32_t count, int64_t min_ms, int64_t max_ms, bool adopt)
{
    struct question q;
    question_init(&q, soak_tenants[tenant], matchers, count, min_ms, max_ms);
    struct soak_reading r = {.x = x,
                             .tenant = tenant,
                             .what = what,
                             .adopt = adopt,
                             .min_ms = min_ms,
                             .max_ms = max_ms,
                             .matchers = q.made,
                             .matcher_count = count};
    x->reading++;
    enum err e = what == SAMPLES ? machine_select(&x->m, &q, soak_saw, &r)
                                 : machine_exemplars(&x->m, &q.request, soak_saw_exemplar, &r);
    soak_must(x, e, "select");
    soak_end_reading(&r);
    question_fini(&q);
}

struct soak_families {
    struct soak *x;
    uint32_t tenant;
    uint32_t count;
};

static enum err
soak_saw_family(void *context, const struct metadata *m)
{
    struct soak_families *f = context;
    for (uint32_t i = 0; i < SOAK_METRICS; i++) {
        if (!bytes_equal_text(m->family, soak_metrics[i].name)) continue;
        f->count++;
        for (unsigned help = 0; help < SOAK_HELPS; help++) {
            char words[20];
            snprintf(words, sizeof words, "help %u", help);
            if ((f->x->helps[f->tenant][i] >> help & 1) != 0 && bytes_equal_text(m->help, words))
                return OK;
        }
        break;
    }
    soak_fail(f->x, "metadata that was not to be seen: %.*s: %.*s", (int)m->family.size,
              (const char *)m->family.at, (int)m->help.size, (const char *)m->help.at);
    return OK;
}

static void
soak_look_at_metadata(struct soak *x, uint32_t tenant)
{
    uint32_t distinct = 0;
    struct soak_families f = {x, tenant, 0};
    soak_must(x, machine_metadata(&x->m, soak_tenants[tenant], "", soak_saw_family, &f),
              "metadata");
    for (uint32_t i = 0; i < SOAK_METRICS; i++)
        distinct += i == 0 || strcmp(soak_metrics[i].name, soak_metrics[i - 1].name) != 0;
    if (x->helps_must[tenant] && f.count != distinct) {
        soak_fail(x, "tenant %s has metadata of %u families, not of %u", soak_tenants[tenant],
                  f.count, distinct);
    }
}

void
soak_look(struct soak *x, bool restarted)
{
    bool adopt = restarted || !x->doubt;
    for (uint32_t t = 0; t < SOAK_TENANTS; t++) {
        for (unsigned w = 0; w < WHAT_COUNT; w++) {
            soak_ask(x, (enum what)w, t, every_series, 1, SIM_BEGIN - 400 * DAY_MS,
                     SIM_BEGIN + 4000 * DAY_MS, adopt);
        }
        soak_look_at_metadata(x, t);
    }
    machine_ledger(&x->m, NULL);
    if (restarted) x->doubt = false;
}
