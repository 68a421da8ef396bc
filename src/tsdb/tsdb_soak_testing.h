/*
 * tsdb_soak_testing.h - what was sent to a store over days, and what may be read of it: wide enough
 * for thousands of series and millions of samples. For tests only.
 *
 * A mark is one time of one series. Values are not kept: they follow from series, time and a code,
 * one of eight with which the time may have been sent. Of a mark is known
 *
 *   may    codes of which one may be read; the first arrival wins, so it never changes once seen
 *   must   one of them has to be read: it was acknowledged
 *   sent   all codes ever sent; where a part is dropped, a later arrival may come to light
 *
 * A reading narrows `may` to what it saw. Marks that expired, or whose fate a crash has hidden,
 * lose their `must` until they are seen again; what is deleted is forgotten as if never sent.
 */
#ifndef TSDB_TSDB_SOAK_TESTING_H
#define TSDB_TSDB_SOAK_TESTING_H

#include "base/hash.h"
#include "lib/tsdb_machine.h"
#include "tsdb/store/store.h"

#define HOUR_MS (60 * MINUTE_MS)

/* Bits of a code. */
enum { CODE_PLAIN = 0, CODE_OTHER = 1, CODE_OTHER_KIND = 2, CODE_STALE = 3, CODE_START = 4 };
enum metric_class { CONSTANT, COUNTER, GAUGE, NOISE, HISTOGRAM_OF_INTS, HISTOGRAM_OF_FLOATS };
enum what { SAMPLES, EXEMPLARS, WHAT_COUNT };

enum { SOAK_TENANTS = 3, SOAK_BUCKETS = 6, SOAK_HELPS = 8 };
static const char *const soak_tenants[SOAK_TENANTS] = {"small", "anonymous", "big"};

struct soak_metric {
    const char *name;
    enum metric_class class;
    const char *more; /* labels */
};
static const struct soak_metric soak_metrics[] = {
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
enum { SOAK_METRICS = sizeof soak_metrics / sizeof soak_metrics[0] };

struct mark {
    int64_t t_ms;
    uint32_t gen; /* the generation of the head that took it last */
    uint8_t may;
    uint8_t sent;
    bool must;
    bool pending;
};

struct marks {
    struct mark *at;
    uint32_t count;
    uint32_t capacity;
};

struct soak_series {
    uint32_t tenant;
    enum metric_class class;
    uint64_t seed;
    uint64_t hash;
    uint32_t reading; /* that met it last */
    char text[200];   /* as requests give it */
    struct bytes labels;
    struct marks marks[WHAT_COUNT];
};

struct soak_item {
    uint32_t series;
    uint8_t what;
    uint8_t code;
    int64_t t_ms;
};

/* Of one tenant; items of one series stand together. */
struct soak_request {
    uint32_t tenant;
    enum rw_version version;
    struct soak_item *items;
    uint32_t count;
    uint32_t capacity;
    uint32_t help; /* 1 + which metadata comes along; 0: none */
};

struct soak {
    struct machine m;
    struct rng rng;
    uint64_t step; /* for messages */
    struct soak_series *series;
    uint32_t series_count;
    uint32_t series_capacity;
    uint32_t *table; /* of series, by hash; 0: none, else 1 + number */
    uint32_t table_size;
    struct buf names; /* canonical labels, of the series at hand */
    struct arena arena;
    struct soak_item *pending;
    uint32_t pending_count;
    uint32_t pending_capacity;
    uint64_t wait_epoch; /* the highest that a pending item waits for */
    uint32_t gen;
    uint32_t reading;
    uint64_t durable;
    int64_t expired_ms; /* merges may have dropped what is older */
    bool frozen;
    bool doubt;   /* of samples, what is stored will show only after a commit or a restart */
    bool limited; /* new series may be refused */
    /* Metadata: help texts of each tenant's families that may be there; bits. */
    uint8_t helps[SOAK_TENANTS][SOAK_METRICS];
    uint8_t helps_sent[SOAK_TENANTS];
    bool helps_must[SOAK_TENANTS];
    uint8_t helps_pending[SOAK_TENANTS]; /* 1 + number */
    uint64_t acked, narrowed, read, refused, no_memory;
};

#define soak_fail(x, ...)                                              \
    do {                                                               \
        print_error("seed %lld, step %llu: ", (long long)machine_seed, \
                    (unsigned long long)(x)->step);                    \
        fail_msg(__VA_ARGS__);                                         \
    } while (0)

static inline void
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

static inline uint64_t
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

static inline void
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

/* The value that a series has at a time when it is sent with this code. */
static inline void
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

static inline bool
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

static inline void *
soak_grow(void *at, uint32_t count, uint32_t *capacity, size_t each)
{
    if (count < *capacity) return at;
    *capacity = *capacity == 0 ? 8 : 2 * *capacity;
    at = realloc(at, *capacity * each);
    assert_non_null(at);
    return at;
}

static inline void
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

static inline void
soak_fini(struct soak *x)
{
    for (uint32_t i = 0; i < x->series_count; i++) {
        for (unsigned w = 0; w < WHAT_COUNT; w++) {
            free(x->series[i].marks[w].at);
        }
    }
    free(x->series);
    free(x->table);
    free(x->pending);
    buf_fini(&x->names);
    arena_fini(&x->arena);
    machine_fini(&x->m);
}

static inline uint32_t *
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

static inline void
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

/* The number of the series with these labels; made if it is new. */
static inline uint32_t
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

/* The first mark at or after a time. */
static inline uint32_t
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

static inline struct mark *
mark_find(struct soak *x, const struct soak_item *item)
{
    struct marks *m = &x->series[item->series].marks[item->what];
    uint32_t at = marks_from(m, item->t_ms);
    return at < m->count && m->at[at].t_ms == item->t_ms ? &m->at[at] : NULL;
}

static inline struct mark *
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

static inline uint64_t
spark_value(int64_t t_ms)
{
    return double_bits((double)(t_ms % 997) / 8);
}

static inline void
soak_add(struct soak_request *r, uint32_t series, enum what what, int64_t t_ms, uint8_t code)
{
    r->items = soak_grow(r->items, r->count, &r->capacity, sizeof *r->items);
    r->items[r->count++] =
        (struct soak_item){.series = series, .what = (uint8_t)what, .code = code, .t_ms = t_ms};
}

static inline void
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

/* min_ms: oldest time that is taken, before and after the request. */
static inline enum foretold
soak_foretell(struct soak *x, const struct soak_item *item, const int64_t min_ms[2])
{
    const struct mark *m = mark_find(x, item);
    unsigned variant = 0x11u << (item->code & 3), variants;
    if (item->t_ms < min_ms[0]) return WILL_BE_REFUSED;
    if (item->t_ms > env_realtime_ms(x->m.env) + x->m.limits.max_future_ms) return WILL_BE_REFUSED;
    if (item->t_ms < min_ms[1] || x->limited) return WILL_SHOW;
    variants = m == NULL ? 0 : m->sent;
    if ((variants & ~variant) == 0) return WILL_BE_WRITTEN;
    /* In the head for certain, and nothing but one other value. */
    bool one = false;
    for (unsigned k = 0; k < 4; k++) {
        one |= (variants & ~(0x11u << k)) == 0;
    }
    return m->must && one && m->gen == x->gen && !m->pending ? WILL_BE_REFUSED : WILL_SHOW;
}

static inline void
mark_ack(struct soak *x, const struct soak_item *item)
{
    struct mark *m = mark_make(x, item);
    m->pending = false;
    if (m->must) return;
    m->may |= (uint8_t)(1u << item->code);
    m->must = true;
    x->acked++;
}

/* It may have been stored. */
static inline void
mark_maybe(struct soak *x, const struct soak_item *item)
{
    struct mark *m = mark_make(x, item);
    m->sent |= (uint8_t)(1u << item->code);
    if (m->must || m->pending) return;
    m->may |= (uint8_t)(1u << item->code);
    x->doubt = true;
}

static inline void
soak_taken(struct soak *x, const struct soak_item *item)
{
    struct mark *m = mark_make(x, item);
    m->sent |= (uint8_t)(1u << item->code);
    m->gen = x->gen;
    if (x->m.result.wait_epoch <= x->durable) {
        if (!m->pending) mark_ack(x, item); /* else the one before it is first */
        return;
    }
    m->pending = true;
    x->pending = soak_grow(x->pending, x->pending_count, &x->pending_capacity, sizeof *item);
    x->pending[x->pending_count++] = *item;
    if (x->m.result.wait_epoch > x->wait_epoch) x->wait_epoch = x->m.result.wait_epoch;
}

static inline void
soak_metadata_sent(struct soak *x, const struct soak_request *r, bool ok)
{
    if (r->help == 0 || r->version != RW_V1) return;
    for (uint32_t i = 0; i < SOAK_METRICS; i++) {
        x->helps[r->tenant][i] |= (uint8_t)(1u << (r->help - 1));
    }
    x->helps_sent[r->tenant] |= (uint8_t)(1u << (r->help - 1));
    x->helps_must[r->tenant] = false;
    x->helps_pending[r->tenant] = ok ? (uint8_t)r->help : 0;
}

static inline int64_t
soak_oldest_taken(struct soak *x)
{
    struct tsdb_stats s;
    tsdb_stats(x->m.db, &s);
    assert_true(s.retention_now_ms <= env_realtime_ms(x->m.env));
    bool none = s.retention_now_ms < INT64_MIN + x->m.limits.retention_ms;
    return none ? INT64_MIN : s.retention_now_ms - x->m.limits.retention_ms;
}

static inline void
soak_judged(struct soak *x, const struct soak_request *r, const int64_t min_ms[2])
{
    const struct ingest_result *result = &x->m.result;
    uint64_t written = 0, count[3] = {0}, refused = result->rejected_total;
    enum foretold *foretold = malloc((r->count + 1) * sizeof *foretold);
    assert_non_null(foretold);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        written += result->written[k];
    }
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

static inline enum err
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
        for (uint32_t i = 0; i < r->count; i++) {
            mark_maybe(x, &r->items[i]);
        }
        x->no_memory += e == ERR_NOMEM;
        return e;
    }
    min_ms[1] = soak_oldest_taken(x);
    soak_judged(x, r, min_ms);
    return OK;
}

/* --- commits, flushes, deaths ----------------------------------------------------------------- */

/* What was pending is in doubt now. */
static inline void
soak_voided(struct soak *x)
{
    for (uint32_t i = 0; i < x->pending_count; i++) {
        mark_make(x, &x->pending[i])->pending = false;
    }
    for (uint32_t i = 0; i < x->pending_count; i++) {
        mark_maybe(x, &x->pending[i]);
    }
    x->pending_count = 0;
    x->wait_epoch = 0;
    x->gen++;
    x->doubt = true;
    memset(x->helps_pending, 0, sizeof x->helps_pending);
}

static inline void
soak_committed(struct soak *x)
{
    uint64_t durable = tsdb_durable_epoch(x->m.db);
    if (durable < x->wait_epoch) soak_fail(x, "a commit that does not reach what waits for it");
    if (durable != x->durable) x->doubt = false;
    x->durable = durable;
    x->wait_epoch = 0;
    for (uint32_t i = 0; i < x->pending_count; i++) {
        mark_ack(x, &x->pending[i]);
    }
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

static inline enum err
soak_try_commit(struct soak *x)
{
    enum err e = step(&x->m, tsdb_commit(x->m.db, &x->m.why));
    if (e)
        soak_voided(x);
    else
        soak_committed(x);
    return e;
}

static inline void
soak_commit(struct soak *x)
{
    soak_must(x, soak_try_commit(x), "commit");
}

/* Nothing is left in the head. */
static inline void
soak_flush(struct soak *x)
{
    for (unsigned i = 0; i < 2; i++) { /* one that is frozen already goes first */
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

/* What lies in that time may be gone, or what came second may show. */
static inline void
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

/* Call before anything that merges: what is beyond retention may go. */
static inline void
soak_may_expire(struct soak *x)
{
    int64_t oldest = soak_oldest_taken(x);
    if (oldest > x->expired_ms) x->expired_ms = oldest;
    if (oldest > INT64_MIN) soak_forget(x, INT64_MIN, oldest - 1);
}

/* The process is gone, and the store freed. */
static inline void
soak_died(struct soak *x)
{
    soak_voided(x);
    if (x->expired_ms > INT64_MIN) soak_forget(x, INT64_MIN, x->expired_ms - 1);
    x->frozen = false;
}

#endif
