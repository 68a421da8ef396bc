/*
 * clickhouse_reader.c - a source of type clickhouse: see clickhouse_reader.h.
 *
 * The first request of a select is made when its first series is asked for. One statement for all
 * samples, in order, was measured against blocks of series: of 10 million samples on 18.16 it takes
 * 7.8 s, 1.4 GB of the server's memory and 1 GB of answer, as each row repeats its labels; blocks
 * take 5 s, some MB, and 160 MB.
 */
#include "backend/clickhouse/question.h"

#include "base/hash.h"
#include "model/labels.h"

enum { KEY_BYTES_MAX = 64 << 20 };

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- samples ---------------------------------------------------------------------------------- */

struct clickhouse_set {
    struct series_set set; /* first: it is handed out */
    struct fetch_view *view;
    struct clickhouse_question question;
    struct series_blocks *blocks; /* NULL: nothing was asked yet */
    int64_t first_ms, last_ms;    /* of all series */
    struct buf key;
};

static enum err
add_series(void *context, const struct clickhouse_series *series, struct why *why)
{
    struct clickhouse_set *s = context;
    struct clickhouse_question *q = &s->question;
    if (!clickhouse_question_selects(q, series->labels, series->count)) {
        q->takes_all = false;
        return OK;
    }
    buf_clear(&s->key);
    enum err e = clickhouse_key_put(&s->key, series->metric, series->text);
    if (e) return no_memory(why);
    e = series_blocks_add(s->blocks, series->labels, series->count, buf_bytes(&s->key), why);
    if (e) return e;
    series_blocks_expect(s->blocks, series->samples);
    q->keys_count++;
    if (series->first_ms < s->first_ms) s->first_ms = series->first_ms;
    if (series->last_ms > s->last_ms) s->last_ms = series->last_ms;
    return OK;
}

static enum err
fetch_block(void *context, struct series_blocks *blocks, const struct series_block *block,
            struct why *why)
{
    return clickhouse_question_samples(&((struct clickhouse_set *)context)->question, blocks, block,
                                       why);
}

static enum err
begin(struct clickhouse_set *s, struct why *why)
{
    struct clickhouse_question *q = &s->question;
    const struct clickhouse_series_sink sink = {add_series, s};
    struct series_blocks_options options = {.budget = q->budget,
                                            .external = q->of->external,
                                            .min_ms = q->min_ms,
                                            .max_ms = q->max_ms,
                                            .keys_max = UINT32_MAX,
                                            .fetch = fetch_block,
                                            .context = s};
    enum err e = series_blocks_new(&options, &s->blocks, why);
    if (e) return e;
    s->first_ms = INT64_MAX;
    s->last_ms = INT64_MIN;
    q->takes_all = true;
    e = clickhouse_question_series(q, SUBJECT_SERIES, bytes_of(NULL, 0), &sink, why);
    if (e == OK && q->keys_count > 0) series_blocks_narrow(s->blocks, s->first_ms, s->last_ms);
    return e;
}

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct clickhouse_set *s = (struct clickhouse_set *)set;
    *ret_labels = bytes_of(NULL, 0);
    enum err e = s->blocks == NULL ? begin(s, why) : OK;
    return e ? e : series_blocks_next(s->blocks, ret_labels, why);
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return series_blocks_batch(((struct clickhouse_set *)set)->blocks, ret_batch, why);
}

static const char *
set_warning(struct series_set *set, uint32_t index)
{
    (void)set, (void)index;
    return NULL;
}

static void
set_free(struct series_set *set)
{
    struct clickhouse_set *s = (struct clickhouse_set *)set;
    struct fetch_view *v = s->view;
    series_blocks_free(s->blocks);
    clickhouse_question_fini(&s->question);
    buf_fini(&s->key);
    mem_free(v->budget, s, sizeof *s);
    fetch_view_drop(v);
}

static enum err
select_series(struct view *view, const struct query_request *r, struct series_set **ret_set,
              struct why *why)
{
    static const struct series_set_ops ops = {
        .next = set_next, .batch = set_batch, .warning = set_warning, .free = set_free};
    struct fetch_view *v = (struct fetch_view *)view;
    struct clickhouse_set *s = mem_new(v->budget, sizeof *s);
    if (s == NULL) return no_memory(why);
    s->set.ops = &ops;
    s->view = v;
    clickhouse_question_init(&s->question, v);
    buf_init(&s->key, v->budget, KEY_BYTES_MAX);
    fetch_view_keep(v);
    enum err e = clickhouse_question_begin(&s->question, r, why);
    if (e)
        set_free(&s->set);
    else
        *ret_set = &s->set;
    return e;
}

/* --- look-ups --------------------------------------------------------------------------------- */

struct clickhouse_lookup {
    struct clickhouse_question question;
    const struct text_sink *to;
    struct bytes name; /* of which the values are told */
    struct buf labels;
    struct buf told;         /* names, each counted */
    struct table told_names; /* where they are in `told`, by hash */
};

static bool
is_external(const struct clickhouse_question *q, struct bytes name)
{
    const struct named_texts *texts = q->of->external.texts;
    for (uint32_t i = 0; i < texts->count; i++) {
        if (bytes_equal_text(name, texts->items[i].name)) return true;
    }
    return false;
}

static enum err
tell_series(void *context, const struct clickhouse_series *series, struct why *why)
{
    struct clickhouse_lookup *l = context;
    struct clickhouse_question *q = &l->question;
    if (!clickhouse_question_selects(q, series->labels, series->count)) return OK;
    buf_clear(&l->labels);
    enum err e =
        final_labels_build(&q->of->external, series->labels, series->count, &l->labels, why);
    return e ? e : l->to->each(l->to->context, buf_bytes(&l->labels));
}

/* Rows repeat the same few names. */
static enum err
tell_name(struct clickhouse_lookup *l, struct bytes name, struct why *why)
{
    struct clickhouse_question *q = &l->question;
    uint64_t hash = hash_bytes(name, 0);
    if (is_external(q, name)) return OK;
    for (uint32_t at = TABLE_START, id; table_next(&l->told_names, hash, &at, &id);) {
        struct cursor c = cursor_of(bytes_of(l->told.at + id, l->told.size - id));
        if (bytes_equal(cursor_counted(&c), name)) return OK;
    }
    uint32_t at = (uint32_t)l->told.size;
    buf_put_counted(&l->told, name);
    if (buf_error(&l->told) || !table_reserve(&l->told_names, q->budget, 1)) return no_memory(why);
    table_add(&l->told_names, hash, at);
    return l->to->each(l->to->context, name);
}

static enum err
tell_names(void *context, const struct clickhouse_series *series, struct why *why)
{
    struct clickhouse_lookup *l = context;
    enum err e = OK;
    if (!clickhouse_question_selects(&l->question, series->labels, series->count)) return OK;
    for (uint32_t i = 0; i < series->count && e == OK; i++) {
        e = tell_name(l, series->labels[i].name, why);
    }
    return e;
}

static enum err
tell_value(void *context, const struct clickhouse_series *series, struct why *why)
{
    struct clickhouse_lookup *l = context;
    enum err e = OK;
    (void)why;
    if (!clickhouse_question_selects(&l->question, series->labels, series->count)) return OK;
    for (uint32_t i = 0; i < series->count && e == OK; i++) {
        if (!bytes_equal(series->labels[i].name, l->name)) continue;
        e = l->to->each(l->to->context, series->labels[i].value);
    }
    return e;
}

/* Whether each matcher is about the metric's name. */
static bool
is_about_metric(const struct query_request *r)
{
    for (uint32_t i = 0; r->set_count > 0 && i < r->sets[0].count; i++) {
        if (!bytes_equal_text(matcher_name(r->sets[0].matchers[i]), "__name__")) return false;
    }
    return true;
}

static enum err
look_up(struct view *view, const struct query_request *r, enum clickhouse_subject subject,
        struct bytes name, const struct text_sink *to,
        enum err (*each)(void *context, const struct clickhouse_series *series, struct why *why),
        struct why *why)
{
    struct clickhouse_lookup l = {.to = to, .name = name};
    struct fetch_view *v = (struct fetch_view *)view;
    const struct clickhouse_series_sink sink = {each, &l};
    clickhouse_question_init(&l.question, v);
    buf_init(&l.labels, v->budget, KEY_BYTES_MAX);
    buf_init(&l.told, v->budget, KEY_BYTES_MAX);
    enum err e = clickhouse_question_begin(&l.question, r, why);
    struct bytes label = bytes_equal_text(name, "__name__") ? bytes_of("", 0) : name;
    if (e == OK) e = clickhouse_question_series(&l.question, subject, label, &sink, why);
    clickhouse_question_fini(&l.question);
    buf_fini(&l.labels);
    buf_fini(&l.told);
    table_fini(&l.told_names, v->budget);
    return e;
}

static enum err
label_names(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    enum clickhouse_subject subject = r->set_count == 0 ? SUBJECT_LABELS : SUBJECT_SERIES;
    return look_up(view, r, subject, bytes_of("", 0), to, tell_names, why);
}

static enum err
label_values(struct view *view, const struct query_request *r, struct bytes name,
             const struct text_sink *to, struct why *why)
{
    bool is_metric = bytes_equal_text(name, "__name__");
    enum clickhouse_subject subject = r->set_count == 0 ? SUBJECT_LABELS : SUBJECT_SERIES;
    if (is_metric && is_about_metric(r)) subject = SUBJECT_METRICS;
    return look_up(view, r, subject, name, to, tell_value, why);
}

static enum err
list_series(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    return look_up(view, r, SUBJECT_SERIES, bytes_of("", 0), to, tell_series, why);
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
    const struct clickhouse_reader *reader = (struct clickhouse_reader *)answerer;
    return fetch_view_open(reader->fetcher, answerer, &ops, sizeof(struct fetch_view), control,
                           ret_view, why);
}

/* --- the reader ------------------------------------------------------------------------------- */

static void
free_reader(struct answerer *answerer)
{
    struct clickhouse_reader *reader = (struct clickhouse_reader *)answerer;
    fetcher_free(reader->fetcher);
    lock_fini(&reader->lock);
    mem_free(reader->options.memory, reader, sizeof *reader);
}

enum err
clickhouse_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                      struct why *why)
{
    static const struct answerer_ops ops = {open_view, reader_any_time, free_reader};
    struct clickhouse_reader *reader = mem_new(options->memory, sizeof *reader);
    if (reader == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a source");
    reader->answerer = (struct answerer){
        .ops = &ops, .name = options->settings->name, .no_exemplars = true, .no_metadata = true};
    reader->options = *options;
    reader->external.texts = &options->settings->external_labels;
    lock_init(&reader->lock, LOCK_RANK_SOURCE);
    struct fetcher_options fetching = {*options, NULL};
    enum err e = fetcher_new(&fetching, &reader->fetcher, why);
    if (e)
        free_reader(&reader->answerer);
    else
        *ret_answerer = &reader->answerer;
    return e;
}
