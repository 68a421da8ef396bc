/*
 * timestream_reader.c - a source of type timestream: see reading.h.
 *
 * Series are asked for with one row each, which costs a scan of its own, but then samples come
 * without what all series of a block have in common, and in blocks that fit.
 *
 * The samples of a block are asked for in several pieces of time at once, since pages of one query
 * only come one after another.
 */
#include "backend/timestream/reading.h"

#include "base/hash.h"
#include "base/hex.h"
#include "base/table.h"
#include "wire/json/histogram_json.h"

enum {
    KEY_BYTES_MAX = 1 << 20,
    SELECTED_BYTES_MAX = 200 * 1024, /* of a statement of 256 KiB */
    SELECTED_MAX = 1000,             /* Trino refuses expressions of too many terms */
    PIECES = 4,
    PIECE_SAMPLES = 4000, /* less is not worth a query of its own */
    SERIES_AROUND = 4,    /* columns of a series' row beside dimensions */
    SAMPLE_AROUND = 3,
    ARENA_BYTES_MAX = 64 << 20,
    SCRATCH_BYTES_MAX = 64 << 20,
};
/* Times of Timestream: nanoseconds in 64 bits. */
#define TIME_MS_MAX 9223372036854

struct timestream_set {
    struct series_set set; /* first: it is handed out */
    struct timestream_question q;
    bool begun;
    struct series_blocks *blocks;
    uint64_t expected; /* samples of all series */
    uint32_t series;   /* that were added */
    bool takes_all;    /* no series that Timestream gave was left out here */
    int64_t first_ms, last_ms;
    struct buf key;
    struct arena scratch;

    /* Of a block. */
    struct timestream_varying varying;
    struct table numbers; /* of its keys, by hash */
    const struct series_block *block;
    struct timestream_key one, other;

    uint64_t junk; /* rows whose value Firekeep cannot have written */
    struct why warning;
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- a question ------------------------------------------------------------------------------- */

static void
question_init(struct timestream_question *q, struct timestream_view *v)
{
    *q = (struct timestream_question){
        .view = v, .of = timestream_reader_of(v), .budget = v->base.budget};
    arena_init(&q->arena, v->base.budget, ARENA_BYTES_MAX, 0);
}

/* Matchers live as long as the set; the array of them need not. */
static enum err
question_begin(struct timestream_question *q, const struct query_request *r, struct why *why)
{
    q->control = r->control;
    q->min_ms = r->min_ms < 0 ? 0 : r->min_ms; /* a negative time is an error there */
    q->max_ms = r->max_ms > TIME_MS_MAX - 1 ? TIME_MS_MAX - 1 : r->max_ms;
    if (r->set_count == 0) return OK;
    q->matcher_count = r->sets[0].count;
    q->matchers = arena_new(&q->arena, (q->matcher_count + 1) * sizeof *q->matchers);
    if (q->matchers == NULL) return no_memory(why);
    for (uint32_t i = 0; i < q->matcher_count; i++) {
        q->matchers[i] = r->sets[0].matchers[i];
    }
    return OK;
}

static enum err
take_column(void *context, const struct bytes *cells, struct why *why)
{
    struct buf *to = context;
    columns_put(to, cells);
    return buf_error(to) ? no_memory(why) : OK;
}

static enum err
describe(struct timestream_question *q, struct buf *to, struct why *why)
{
    struct timestream_reader *of = q->of;
    const struct page_sink sink = {take_column, to};
    struct timestream_asking a;
    asking_init(&a, q->view, q->control);
    statement_describe(&a.statement, &of->options.settings->u.timestream);
    int64_t asked_ns = env_monotonic_ns(of->options.env);
    enum err e = asking_all(&a, DESCRIBE_COLUMNS, &sink, why);
    asking_fini(&a);
    if (e) return e;
    lock_take(&of->lock);
    buf_clear(&of->columns);
    buf_put_bytes(&of->columns, buf_bytes(to));
    if (buf_error(&of->columns)) buf_clear(&of->columns);
    of->columns_asked_ns = asked_ns;
    lock_drop(&of->lock);
    return OK;
}

/* What columns there are. A new one would be a label that is missing in the answer, of rows of any
 * time: so each view asks, once. */
static enum err
learn(struct timestream_question *q, struct why *why)
{
    struct timestream_reader *of = q->of;
    struct buf kept;
    buf_init(&kept, q->budget, KEY_BYTES_MAX);
    lock_take(&of->lock);
    bool known = of->columns.size > 0 && of->columns_asked_ns >= q->view->opened_ns;
    if (known) buf_put_bytes(&kept, buf_bytes(&of->columns));
    lock_drop(&of->lock);
    enum err e = buf_error(&kept) ? no_memory(why) : OK;
    if (e == OK && !known) e = describe(q, &kept, why);
    if (e == OK) {
        e = columns_take(&q->columns, buf_bytes(&kept), &of->options.settings->u.timestream,
                         &q->arena, why);
    }
    buf_fini(&kept);
    return e;
}

static bool
selects(const struct timestream_question *q, const struct label *labels, uint32_t count)
{
    for (uint32_t i = 0; i < q->matcher_count; i++) {
        struct bytes value = bytes_of(NULL, 0), name = matcher_name(q->matchers[i]);
        for (uint32_t k = 0; k < count; k++) {
            if (bytes_equal(labels[k].name, name)) value = labels[k].value;
        }
        if (!matcher_matches(q->matchers[i], value)) return false;
    }
    return true;
}

/* A series as its row has it. */
struct found_series {
    struct bytes measure;
    const struct bytes *values; /* of all dimensions */
    struct label *labels;
    uint32_t count;
    uint64_t samples;
    int64_t first_ms, last_ms;
};

struct series_reading {
    struct timestream_question *q;
    enum err (*each)(void *context, struct found_series *series, bool selected, struct why *why);
    void *context;
    struct arena scratch;
};

static uint64_t
count_of(struct bytes text)
{
    uint64_t count = 0;
    for (size_t i = 0; i < text.size && text.at[i] >= '0' && text.at[i] <= '9'; i++) {
        if (count < UINT64_MAX / 20) count = count * 10 + (uint64_t)(text.at[i] - '0');
    }
    return count;
}

static enum err
take_series(void *context, const struct bytes *cells, struct why *why)
{
    struct series_reading *x = context;
    struct timestream_question *q = x->q;
    uint32_t after = q->columns.count + 1;
    struct label labels[FINAL_LABELS_MAX];
    struct found_series s = {.measure = cells[0], .values = cells + 1, .labels = labels};
    bool times = timestream_time_read(cells[after + 1], &s.first_ms) &&
                 timestream_time_read(cells[after + 2], &s.last_ms);
    if (!times || s.measure.at == NULL) {
        return why_set(why, ERR_CORRUPT, "a row about a series has no time or no measure");
    }
    s.samples = count_of(cells[after]);
    arena_reset(&x->scratch);
    enum err e =
        columns_labels(&q->columns, s.measure, s.values, &x->scratch, labels, &s.count, why);
    return e ? e : x->each(x->context, &s, selects(q, labels, s.count), why);
}

/* Which series there are. */
static enum err
read_series(struct timestream_question *q,
            enum err (*each)(void *context, struct found_series *series, bool selected,
                             struct why *why),
            void *context, struct why *why)
{
    struct series_reading x = {.q = q, .each = each, .context = context};
    const struct page_sink sink = {take_series, &x};
    struct timestream_asking a;
    if (q->min_ms > q->max_ms) return OK;
    enum err e = learn(q, why);
    if (e || !statement_may_select(q)) return e;
    arena_init(&x.scratch, q->budget, SCRATCH_BYTES_MAX, 0);
    asking_init(&a, q->view, q->control);
    statement_series(&a.statement, q);
    e = asking_all(&a, q->columns.count + SERIES_AROUND, &sink, why);
    asking_fini(&a);
    arena_fini(&x.scratch);
    return e;
}

/* --- keys: the measure, and each dimension that there is, by its number ------------------------
 */

static enum err
put_key(struct buf *to, const struct timestream_columns *c, const struct found_series *s,
        struct why *why)
{
    buf_clear(to);
    buf_put_le64(to, s->samples);
    buf_put_counted(to, s->measure);
    for (uint32_t i = 0; i < c->count; i++) {
        if (s->values[i].at == NULL) continue;
        buf_put_varint(to, i);
        buf_put_counted(to, s->values[i]);
    }
    return buf_error(to) ? no_memory(why) : OK;
}

/* *ret_samples: how many it has. */
static void
get_key(struct bytes text, const struct timestream_columns *c, struct timestream_key *ret,
        uint64_t *ret_samples)
{
    struct cursor at = cursor_of(text);
    *ret_samples = cursor_le64(&at);
    ret->measure = cursor_counted(&at);
    memset(ret->values, 0, c->count * sizeof *ret->values);
    while (cursor_left(&at) > 0) {
        uint64_t i = cursor_varint(&at);
        struct bytes value = cursor_counted(&at);
        if (i < c->count) ret->values[i] = value.at == NULL ? bytes_of("", 0) : value;
    }
}

static bool
same_value(struct bytes a, struct bytes b)
{
    return (a.at == NULL) == (b.at == NULL) && bytes_equal(a, b);
}

static uint64_t
hash_value(uint64_t hash, struct bytes value)
{
    return hash_mix(hash, value.at == NULL ? 1 : hash_bytes(value, 2));
}

/* Of what varies. */
static uint64_t
hash_key(const struct timestream_set *s, const struct timestream_key *key)
{
    uint64_t hash = s->varying.measure ? hash_value(0, key->measure) : 0;
    for (uint32_t i = 0; i < s->varying.count; i++) {
        hash = hash_value(hash, key->values[s->varying.dimensions[i]]);
    }
    return hash;
}

static struct bytes
key_at(const struct timestream_set *s, uint32_t number)
{
    return series_blocks_key(s->blocks, number);
}

/* In what the keys of a block differ; *ret_samples: what they have together. */
static void
compare_keys(struct timestream_set *s, uint64_t *ret_samples)
{
    const struct series_block *block = s->block;
    const struct timestream_columns *c = &s->q.columns;
    bool differs[TIMESTREAM_COLUMNS_MAX] = {false};
    uint64_t samples;
    get_key(key_at(s, block->first), c, &s->one, ret_samples);
    s->varying = (struct timestream_varying){.measure = false};
    for (uint32_t k = 1; k < block->count; k++) {
        get_key(key_at(s, block->first + k), c, &s->other, &samples);
        *ret_samples += samples;
        s->varying.measure |= !bytes_equal(s->one.measure, s->other.measure);
        for (uint32_t i = 0; i < c->count; i++) {
            differs[i] |= !same_value(s->one.values[i], s->other.values[i]);
        }
    }
    for (uint32_t i = 0; i < c->count; i++) {
        if (differs[i]) s->varying.dimensions[s->varying.count++] = i;
    }
}

static enum err
index_keys(struct timestream_set *s, struct why *why)
{
    const struct series_block *block = s->block;
    uint64_t samples;
    table_clear(&s->numbers);
    if (!table_reserve(&s->numbers, s->q.budget, block->count)) return no_memory(why);
    for (uint32_t k = 0; k < block->count; k++) {
        get_key(key_at(s, block->first + k), &s->q.columns, &s->other, &samples);
        table_add(&s->numbers, hash_key(s, &s->other), block->first + k);
    }
    return OK;
}

/* The series of a row, whose cells are those that vary; UINT32_MAX: it is not in the block. */
static uint32_t
find_key(struct timestream_set *s, const struct bytes *cells)
{
    const struct timestream_varying *varying = &s->varying;
    const struct bytes *values = cells + varying->measure;
    uint64_t hash = varying->measure ? hash_value(0, cells[0]) : 0, samples;
    for (uint32_t i = 0; i < varying->count; i++) {
        hash = hash_value(hash, values[i]);
    }
    for (uint32_t at = TABLE_START, id; table_next(&s->numbers, hash, &at, &id);) {
        get_key(key_at(s, id), &s->q.columns, &s->other, &samples);
        bool same = !varying->measure || bytes_equal(s->other.measure, cells[0]);
        for (uint32_t i = 0; i < varying->count && same; i++) {
            same = same_value(s->other.values[varying->dimensions[i]], values[i]);
        }
        if (same) return id;
    }
    return UINT32_MAX;
}

/* --- samples ---------------------------------------------------------------------------------- */

static enum err
put_histogram(struct timestream_set *s, uint32_t number, int64_t t_ms, struct bytes text,
              struct why *why)
{
    struct histogram histogram;
    arena_reset(&s->scratch);
    struct scan scan = scan_of(text, &s->scratch);
    histogram_json_scan(&scan, &histogram);
    scan_end(&scan);
    if (scan.bad != NULL && scan.error == ERR_NOMEM) return no_memory(why);
    enum err e = scan.bad != NULL
                     ? ERR_INPUT
                     : series_blocks_put_histogram(s->blocks, number, t_ms, &histogram, 0, why);
    if (e != ERR_INPUT) return e;
    s->junk++;
    return OK;
}

static enum err
put_value(struct timestream_set *s, uint32_t number, int64_t t_ms, struct bytes number_text,
          struct bytes text, struct why *why)
{
    uint64_t bits;
    if (number_text.at != NULL) {
        bool fine = number_parse((const char *)number_text.at, number_text.size, &bits);
        if (fine) return series_blocks_put_float(s->blocks, number, t_ms, bits, 0, why);
    } else if (text.size > 0 && text.at[0] == '{') {
        return put_histogram(s, number, t_ms, text, why);
    } else if (hex_parse_word(text, &bits)) {
        return series_blocks_put_float(s->blocks, number, t_ms, bits, 0, why);
    }
    s->junk++;
    return OK;
}

static enum err
take_sample(void *context, const struct bytes *cells, struct why *why)
{
    struct timestream_set *s = context;
    int64_t t_ms;
    if (!timestream_time_read(cells[0], &t_ms)) {
        return why_set(why, ERR_CORRUPT, "a row has no time");
    }
    uint32_t number = find_key(s, cells + SAMPLE_AROUND);
    return number == UINT32_MAX ? OK : put_value(s, number, t_ms, cells[1], cells[2], why);
}

/* What the series of the block have; nothing if they are all that the matchers select. */
static enum err
put_selected(struct timestream_set *s, struct buf *to, struct why *why)
{
    const struct series_block *block = s->block;
    bool all = block->count == s->series && s->takes_all && block->count > 1;
    uint64_t samples;
    if (all || (s->varying.count == 0 && !s->varying.measure)) return OK;
    for (uint32_t k = 0; k < block->count; k++) {
        get_key(key_at(s, block->first + k), &s->q.columns, &s->other, &samples);
        statement_selected_put(to, &s->q, &s->other, &s->varying);
        if ((to->size > SELECTED_BYTES_MAX || k >= SELECTED_MAX) && k > 0) {
            return why_set(why, ERR_FULL, "too many series for a request");
        }
    }
    return buf_error(to) ? no_memory(why) : OK;
}

/* All pages of all pieces; each is asked for its next page before the others are waited for. */
static enum err
read_pieces(struct timestream_set *s, struct timestream_asking *pieces, uint32_t count,
            struct why *why)
{
    const struct page_sink sink = {take_sample, s};
    enum err e = OK;
    for (bool more = true; more && e == OK;) {
        more = false;
        for (uint32_t i = 0; i < count && e == OK; i++) {
            if (!asking_has_more(&pieces[i])) continue;
            e = asking_page(&pieces[i], &sink, why);
            more = true;
        }
    }
    return e;
}

static enum err
fetch_pieces(struct timestream_set *s, struct bytes selected, uint64_t samples, struct why *why)
{
    const struct series_block *block = s->block;
    struct timestream_asking pieces[PIECES];
    uint64_t span = (uint64_t)block->max_ms - (uint64_t)block->min_ms + 1;
    uint32_t count =
        samples / PIECE_SAMPLES >= PIECES ? PIECES : (uint32_t)(samples / PIECE_SAMPLES) + 1;
    if (count > span) count = 1;
    uint32_t columns = SAMPLE_AROUND + s->varying.measure + s->varying.count;
    enum err e = OK;
    for (uint32_t i = 0; i < count; i++) {
        asking_init(&pieces[i], s->q.view, s->q.control);
        int64_t from = block->min_ms + (int64_t)(span / count * i);
        int64_t to =
            i + 1 == count ? block->max_ms : block->min_ms + (int64_t)(span / count * (i + 1)) - 1;
        if (e) continue;
        statement_samples(&pieces[i].statement, &s->q, &s->one, &s->varying, selected, from, to);
        e = asking_begin(&pieces[i], columns, why);
    }
    if (e == OK) e = read_pieces(s, pieces, count, why);
    for (uint32_t i = 0; i < count; i++) {
        asking_end(&pieces[i], e == ERR_LIMIT);
        asking_fini(&pieces[i]);
    }
    return e;
}

static enum err
fetch_block(void *context, struct series_blocks *blocks, const struct series_block *block,
            struct why *why)
{
    struct timestream_set *s = context;
    struct buf selected;
    uint64_t samples;
    (void)blocks;
    s->block = block;
    compare_keys(s, &samples);
    buf_init(&selected, s->q.budget, SELECTED_BYTES_MAX + KEY_BYTES_MAX);
    enum err e = put_selected(s, &selected, why);
    if (e == OK) e = index_keys(s, why);
    if (e == OK) e = fetch_pieces(s, buf_bytes(&selected), samples, why);
    buf_fini(&selected);
    return e;
}

/* --- the set ---------------------------------------------------------------------------------- */

static enum err
add_series(void *context, struct found_series *found, bool selected, struct why *why)
{
    struct timestream_set *s = context;
    s->takes_all &= selected;
    if (!selected) return OK;
    enum err e = put_key(&s->key, &s->q.columns, found, why);
    if (e == OK) {
        e = series_blocks_add(s->blocks, found->labels, found->count, buf_bytes(&s->key), why);
    }
    if (e) return e;
    series_blocks_expect(s->blocks, found->samples);
    s->series++;
    if (found->first_ms < s->first_ms) s->first_ms = found->first_ms;
    if (found->last_ms > s->last_ms) s->last_ms = found->last_ms;
    return OK;
}

static enum err
begin(struct timestream_set *s, struct why *why)
{
    struct series_blocks_options options = {.budget = s->q.budget,
                                            .external = s->q.of->external,
                                            .min_ms = s->q.min_ms,
                                            .max_ms = s->q.max_ms,
                                            .keys_max = UINT32_MAX,
                                            .fetch = fetch_block,
                                            .context = s};
    s->begun = true;
    enum err e = series_blocks_new(&options, &s->blocks, why);
    if (e) return e;
    s->takes_all = true;
    s->first_ms = INT64_MAX;
    s->last_ms = INT64_MIN;
    e = read_series(&s->q, add_series, s, why);
    if (e == OK && s->series > 0) series_blocks_narrow(s->blocks, s->first_ms, s->last_ms);
    return e;
}

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct timestream_set *s = (struct timestream_set *)set;
    *ret_labels = bytes_of(NULL, 0);
    enum err e = s->begun ? OK : begin(s, why);
    return e ? e : series_blocks_next(s->blocks, ret_labels, why);
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return series_blocks_batch(((struct timestream_set *)set)->blocks, ret_batch, why);
}

static const char *
set_warning(struct series_set *set, uint32_t index)
{
    struct timestream_set *s = (struct timestream_set *)set;
    if (index > 0 || s->junk == 0) return NULL;
    (void)why_set(&s->warning, ERR_CORRUPT,
                  "source %s: %llu rows have no value that can be read, and were left out",
                  s->q.of->answerer.name, (unsigned long long)s->junk);
    return s->warning.text;
}

static void
set_free(struct series_set *set)
{
    struct timestream_set *s = (struct timestream_set *)set;
    struct timestream_view *v = s->q.view;
    series_blocks_free(s->blocks);
    table_fini(&s->numbers, v->base.budget);
    arena_fini(&s->q.arena);
    arena_fini(&s->scratch);
    buf_fini(&s->key);
    mem_free(v->base.budget, s, sizeof *s);
    fetch_view_drop(&v->base);
}

static enum err
select_series(struct view *view, const struct query_request *r, struct series_set **ret_set,
              struct why *why)
{
    static const struct series_set_ops ops = {
        .next = set_next, .batch = set_batch, .warning = set_warning, .free = set_free};
    struct timestream_view *v = (struct timestream_view *)view;
    struct timestream_set *s = mem_new(v->base.budget, sizeof *s);
    if (s == NULL) return no_memory(why);
    s->set.ops = &ops;
    question_init(&s->q, v);
    buf_init(&s->key, v->base.budget, KEY_BYTES_MAX);
    arena_init(&s->scratch, v->base.budget, SCRATCH_BYTES_MAX, 0);
    fetch_view_keep(&v->base);
    enum err e = question_begin(&s->q, r, why);
    if (e)
        set_free(&s->set);
    else
        *ret_set = &s->set;
    return e;
}

/* --- look-ups --------------------------------------------------------------------------------- */

struct timestream_lookup {
    struct timestream_question q;
    const struct text_sink *to;
    struct buf labels;               /* of a series */
    struct bytes name;               /* of which the values are told, */
    struct timestream_wanted wanted; /* and where they are */
    struct arena scratch;
};

static enum err
tell_series(void *context, struct found_series *found, bool selected, struct why *why)
{
    struct timestream_lookup *l = context;
    if (!selected) return OK;
    buf_clear(&l->labels);
    enum err e =
        final_labels_build(&l->q.of->external, found->labels, found->count, &l->labels, why);
    return e ? e : l->to->each(l->to->context, buf_bytes(&l->labels));
}

static enum err
list_series(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    struct timestream_view *v = (struct timestream_view *)view;
    struct timestream_lookup *l = mem_new(v->base.budget, sizeof *l);
    if (l == NULL) return no_memory(why);
    l->to = to;
    question_init(&l->q, v);
    buf_init(&l->labels, v->base.budget, KEY_BYTES_MAX);
    enum err e = question_begin(&l->q, r, why);
    if (e == OK) e = read_series(&l->q, tell_series, l, why);
    arena_fini(&l->q.arena);
    buf_fini(&l->labels);
    mem_free(v->base.budget, l, sizeof *l);
    return e;
}

static bool
is_external(const struct timestream_reader *of, struct bytes name)
{
    const struct named_texts *texts = of->external.texts;
    for (uint32_t i = 0; i < texts->count; i++) {
        if (bytes_equal_text(name, texts->items[i].name)) return true;
    }
    return false;
}

/* A row of statement_filled(). */
static enum err
tell_names(void *context, const struct bytes *cells, struct why *why)
{
    struct timestream_lookup *l = context;
    const struct timestream_columns *c = &l->q.columns;
    struct label labels[FINAL_LABELS_MAX];
    uint32_t count;
    struct bytes measure = cells[0];
    if (measure.at == NULL) return OK; /* there are no rows */
    if (bytes_equal_text(measure, "U__")) measure = cells[1];
    arena_reset(&l->scratch);
    enum err e = columns_labels(c, measure, cells + 2, &l->scratch, labels, &count, why);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        if (is_external(l->q.of, labels[i].name)) continue;
        e = l->to->each(l->to->context, labels[i].name);
    }
    return e;
}

/* A row of statement_distinct(). */
static enum err
tell_value(void *context, const struct bytes *cells, struct why *why)
{
    struct timestream_lookup *l = context;
    const struct timestream_columns *c = &l->q.columns;
    struct label labels[FINAL_LABELS_MAX];
    struct bytes values[TIMESTREAM_COLUMNS_MAX];
    uint32_t count, at = 0;
    struct bytes measure = l->wanted.measure ? cells[at++] : bytes_of("U__", 3);
    if (measure.at == NULL) return why_set(why, ERR_CORRUPT, "a row has no measure");
    for (uint32_t i = 0; i < c->count; i++) {
        values[i] = l->wanted.dimensions[i] ? cells[at++] : bytes_of(NULL, 0);
    }
    arena_reset(&l->scratch);
    enum err e = columns_labels(c, measure, values, &l->scratch, labels, &count, why);
    if (e || !selects(&l->q, labels, count)) return e;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        if (bytes_equal(labels[i].name, l->name)) e = l->to->each(l->to->context, labels[i].value);
    }
    return e;
}

static enum err
look_up(struct view *view, const struct query_request *r, struct bytes name,
        const struct text_sink *to,
        enum err (*ask)(struct timestream_lookup *l, struct timestream_asking *a, struct why *why),
        struct why *why)
{
    struct timestream_view *v = (struct timestream_view *)view;
    struct timestream_lookup *l = mem_new(v->base.budget, sizeof *l);
    struct timestream_asking a;
    if (l == NULL) return no_memory(why);
    l->to = to;
    l->name = name;
    question_init(&l->q, v);
    arena_init(&l->scratch, v->base.budget, SCRATCH_BYTES_MAX, 0);
    asking_init(&a, v, r->control);
    enum err e = question_begin(&l->q, r, why);
    if (e == OK && l->q.min_ms <= l->q.max_ms) e = learn(&l->q, why);
    if (e == OK && statement_may_select(&l->q)) e = ask(l, &a, why);
    asking_fini(&a);
    arena_fini(&l->scratch);
    arena_fini(&l->q.arena);
    mem_free(v->base.budget, l, sizeof *l);
    return e;
}

/* Of dimensions whose names are shortened, rows have the names. */
static enum err
ask_names(struct timestream_lookup *l, struct timestream_asking *a, struct why *why)
{
    const struct timestream_columns *c = &l->q.columns;
    const struct page_sink sink = {tell_names, l};
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->dimensions[i].is_keeper) return ERR_UNSUPPORTED;
    }
    statement_filled(&a->statement, &l->q);
    return asking_all(a, c->count + 2, &sink, why);
}

static enum err
ask_values(struct timestream_lookup *l, struct timestream_asking *a, struct why *why)
{
    const struct page_sink sink = {tell_value, l};
    uint32_t columns = statement_wanted(&l->q, l->name, &l->wanted);
    if (columns == 0) return OK;
    statement_distinct(&a->statement, &l->q, &l->wanted);
    return asking_all(a, columns, &sink, why);
}

/* With matchers, found out of the series. */
static enum err
label_names(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    bool all = r->set_count == 0 || r->sets[0].count == 0;
    return all ? look_up(view, r, bytes_of(NULL, 0), to, ask_names, why) : ERR_UNSUPPORTED;
}

static enum err
label_values(struct view *view, const struct query_request *r, struct bytes name,
             const struct text_sink *to, struct why *why)
{
    return look_up(view, r, name, to, ask_values, why);
}

/* --- the view --------------------------------------------------------------------------------- */

static enum err
open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
          struct why *why)
{
    static const struct view_ops ops = {
        .select = select_series,
        .exemplars = reader_no_exemplars,
        .metadata = reader_no_metadata,
        .label_names = label_names,
        .label_values = label_values,
        .series = list_series,
        .free = fetch_view_free,
    };
    struct timestream_reader *reader = (struct timestream_reader *)answerer;
    enum err e = fetch_view_open(reader->fetcher, answerer, &ops, sizeof(struct timestream_view),
                                 control, ret_view, why);
    if (e == OK)
        ((struct timestream_view *)*ret_view)->opened_ns = env_monotonic_ns(reader->options.env);
    return e;
}

/* --- the reader ------------------------------------------------------------------------------- */

static void
free_reader(struct answerer *answerer)
{
    struct timestream_reader *reader = (struct timestream_reader *)answerer;
    fetcher_free(reader->fetcher);
    buf_fini(&reader->columns);
    lock_fini(&reader->lock);
    mem_free(reader->options.memory, reader, sizeof *reader);
}

static enum err
find_service(struct timestream_reader *reader, struct why *why)
{
    static const struct aws_service service = {"timestream", "query.timestream",
                                               "TIMESTREAM_QUERY"};
    const struct timestream_read_settings *x = &reader->options.settings->u.timestream;
    struct aws_setup setup = {reader->options.env, reader->options.memory, &x->aws,
                              &aws_variables_real};
    char region[AWS_REGION_BYTES];
    reader->is_fixed = x->query_endpoint != NULL ||
                       aws_variable(&setup, "AWS_ENDPOINT_URL_TIMESTREAM_QUERY") != NULL ||
                       aws_variable(&setup, "AWS_ENDPOINT_URL") != NULL;
    enum err e = aws_region(&setup, region, why);
    return e ? e : aws_endpoint(&setup, &service, x->query_endpoint, region, reader->service, why);
}

enum err
timestream_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                      struct why *why)
{
    static const struct answerer_ops ops = {open_view, reader_any_time, free_reader};
    const struct fetch_signing signing = {.aws = &options->settings->u.timestream.aws,
                                          .service = "timestream"};
    const struct fetcher_options fetching = {*options, &signing};
    struct timestream_reader *reader = mem_new(options->memory, sizeof *reader);
    if (reader == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a source");
    reader->answerer = (struct answerer){
        .ops = &ops, .name = options->settings->name, .no_exemplars = true, .no_metadata = true};
    reader->options = *options;
    reader->external.texts = &options->settings->external_labels;
    lock_init(&reader->lock, LOCK_RANK_SOURCE);
    buf_init(&reader->columns, options->memory, KEY_BYTES_MAX);
    enum err e = find_service(reader, why);
    if (e == OK) e = fetcher_new(&fetching, &reader->fetcher, why);
    if (e)
        free_reader(&reader->answerer);
    else
        *ret_answerer = &reader->answerer;
    return e;
}
