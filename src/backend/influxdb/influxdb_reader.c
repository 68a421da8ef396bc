/*
 * influxdb_reader.c - a source of type influxdb: see influxdb_reader.h.
 *
 * The first request of a select is made when its first series is asked for.
 *
 * Names and values of labels are found out of the series, but for one label without matchers: then
 * each of its values is told once.
 */
#include "backend/influxdb/influxdb_reader.h"

#include "model/labels.h"

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- series ----------------------------------------------------------------------------------- */

/* The labels of a series, of its tags; texts are in `room`, or are the tags'. */
static enum err
make_labels(struct influx_question *q, uint32_t metric, const struct label *tags, uint32_t count,
            struct buf *room, struct label *labels, uint32_t *ret_count, struct why *why)
{
    size_t most = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        most += tags[i].name.size + tags[i].value.size;
    }
    buf_clear(room);
    if (!buf_reserve(room, most)) return no_memory(why); /* what grows would move the views */
    labels[n++] = (struct label){bytes_of_text("__name__"), q->metrics[metric].name};
    for (uint32_t i = 0; i < count; i++) {
        struct label label = tags[i];
        if (label.value.size == 0 || bytes_equal_text(label.name, "__name__")) continue;
        if (n == FINAL_LABELS_MAX) {
            return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
        }
        if (!q->of->telegraf) {
            size_t from = room->size;
            enum err e = stored_name_decode(tags[i].name, LINE_TAG_KEY, room);
            label.name = bytes_of(room->at + from, room->size - from);
            from = room->size;
            if (e == OK) e = stored_name_decode(tags[i].value, LINE_TAG_VALUE, room);
            label.value = bytes_of(room->at + from, room->size - from);
            if (e) return no_memory(why);
        }
        labels[n++] = label;
    }
    *ret_count = n;
    return OK;
}

/* Asks for the series of all metrics. */
static enum err
find_keys(struct influx_question *q, enum influx_grouping grouping, struct bytes label,
          const struct influx_key_sink *to, struct why *why)
{
    enum err e = OK;
    uint32_t count = 0;
    if (q->min_ms > q->max_ms) return OK;
    if (q->of->dialect->learns) return q->of->dialect->keys(q, 0, grouping, label, to, &count, why);
    for (uint32_t first = 0; first < q->metric_count && e == OK; first += count) {
        e = q->of->dialect->keys(q, first, grouping, label, to, &count, why);
    }
    return e;
}

/* --- samples ---------------------------------------------------------------------------------- */

struct influx_set {
    struct series_set set; /* first: it is handed out */
    struct fetch_view *view;
    struct influx_question question;
    struct series_blocks *blocks; /* NULL: nothing was asked yet */
    struct buf key, names;
};

static enum err
add_series(void *context, uint32_t metric, struct label *tags, uint32_t count, struct why *why)
{
    struct influx_set *s = context;
    struct label labels[FINAL_LABELS_MAX];
    uint32_t label_count;
    enum err e =
        make_labels(&s->question, metric, tags, count, &s->names, labels, &label_count, why);
    if (e) return e;
    buf_clear(&s->key);
    e = influx_key_put(&s->key, metric, tags, count);
    if (e) return no_memory(why);
    return series_blocks_add(s->blocks, labels, label_count, buf_bytes(&s->key), why);
}

static enum err
fetch_block(void *context, struct series_blocks *blocks, const struct series_block *block,
            struct why *why)
{
    struct influx_set *s = context;
    return s->question.of->dialect->samples(&s->question, blocks, block, why);
}

static enum err
begin(struct influx_set *s, struct why *why)
{
    struct influx_question *q = &s->question;
    const struct influx_key_sink sink = {add_series, s};
    struct series_blocks_options options = {.budget = q->budget,
                                            .external = q->of->external,
                                            .min_ms = q->min_ms,
                                            .max_ms = q->max_ms,
                                            .keys_max = q->of->dialect->keys_max,
                                            .fetch = fetch_block,
                                            .context = s};
    enum err e = series_blocks_new(&options, &s->blocks, why);
    if (e == OK) e = influx_question_list(q, why);
    if (e == OK) e = find_keys(q, GROUPED_BY_ALL, bytes_of(NULL, 0), &sink, why);
    influx_ask_end(&q->ask);
    return e;
}

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct influx_set *s = (struct influx_set *)set;
    *ret_labels = bytes_of(NULL, 0);
    enum err e = s->blocks == NULL ? begin(s, why) : OK;
    return e ? e : series_blocks_next(s->blocks, ret_labels, why);
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return series_blocks_batch(((struct influx_set *)set)->blocks, ret_batch, why);
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
    struct influx_set *s = (struct influx_set *)set;
    struct fetch_view *v = s->view;
    series_blocks_free(s->blocks);
    influx_question_fini(&s->question);
    buf_fini(&s->key);
    buf_fini(&s->names);
    mem_free(v->budget, s, sizeof *s);
    fetch_view_drop(v);
}

enum { NAMES_BYTES_MAX = 64 << 20 };

static enum err
select_series(struct view *view, const struct query_request *r, struct series_set **ret_set,
              struct why *why)
{
    static const struct series_set_ops ops = {
        .next = set_next, .batch = set_batch, .warning = set_warning, .free = set_free};
    struct fetch_view *v = (struct fetch_view *)view;
    struct influx_set *s = mem_new(v->budget, sizeof *s);
    if (s == NULL) return no_memory(why);
    s->set.ops = &ops;
    s->view = v;
    influx_question_init(&s->question, v);
    buf_init(&s->key, v->budget, NAMES_BYTES_MAX);
    buf_init(&s->names, v->budget, NAMES_BYTES_MAX);
    fetch_view_keep(v);
    enum err e = influx_question_begin(&s->question, r, why);
    if (e)
        set_free(&s->set);
    else
        *ret_set = &s->set;
    return e;
}

/* --- look-ups --------------------------------------------------------------------------------- */

struct influxdb_lookup {
    struct influx_question question;
    const struct text_sink *to;
    bool names; /* of metrics are looked for, or values */
    struct buf texts, labels;
};

static enum err
tell_series(void *context, uint32_t metric, struct label *tags, uint32_t count, struct why *why)
{
    struct influxdb_lookup *l = context;
    struct influx_question *q = &l->question;
    struct label labels[FINAL_LABELS_MAX];
    uint32_t label_count;
    enum err e = make_labels(q, metric, tags, count, &l->texts, labels, &label_count, why);
    if (e) return e;
    buf_clear(&l->labels);
    e = final_labels_build(&q->of->external, labels, label_count, &l->labels, why);
    return e ? e : l->to->each(l->to->context, buf_bytes(&l->labels));
}

static enum err
tell_value(void *context, uint32_t metric, struct label *tags, uint32_t count, struct why *why)
{
    struct influxdb_lookup *l = context;
    if (l->names) {
        struct bytes name = l->question.metrics[metric].name;
        return name.size == 0 ? OK : l->to->each(l->to->context, name);
    }
    if (count == 0 || tags[0].value.size == 0) return OK;
    buf_clear(&l->texts);
    enum err e = OK;
    if (l->question.of->telegraf)
        buf_put_bytes(&l->texts, tags[0].value);
    else
        e = stored_name_decode(tags[0].value, LINE_TAG_VALUE, &l->texts);
    if (e || buf_error(&l->texts)) return no_memory(why);
    return l->to->each(l->to->context, buf_bytes(&l->texts));
}

static enum err
look_up(struct view *view, const struct query_request *r, enum influx_grouping grouping,
        struct bytes label, const struct text_sink *to, struct why *why)
{
    struct influxdb_lookup l = {.to = to, .names = grouping == GROUPED_BY_NONE};
    struct fetch_view *v = (struct fetch_view *)view;
    const struct influx_key_sink sink = {grouping == GROUPED_BY_ALL ? tell_series : tell_value, &l};
    influx_question_init(&l.question, v);
    buf_init(&l.texts, v->budget, NAMES_BYTES_MAX);
    buf_init(&l.labels, v->budget, NAMES_BYTES_MAX);
    enum err e = influx_question_begin(&l.question, r, why);
    if (e == OK) e = influx_question_list(&l.question, why);
    if (e == OK) e = find_keys(&l.question, grouping, label, &sink, why);
    influx_question_fini(&l.question);
    buf_fini(&l.texts);
    buf_fini(&l.labels);
    return e;
}

static enum err
label_names(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    (void)view, (void)r, (void)to, (void)why;
    return ERR_UNSUPPORTED; /* they are those of the series */
}

/* Without matchers, of which some may not be asked for exactly. */
static enum err
label_values(struct view *view, const struct query_request *r, struct bytes name,
             const struct text_sink *to, struct why *why)
{
    const struct influx_reader *of = (const struct influx_reader *)((struct fetch_view *)view)->of;
    if (r->set_count > 0) return ERR_UNSUPPORTED;
    if (of->dialect->learns) return ERR_UNSUPPORTED;
    if (bytes_equal_text(name, "__name__")) {
        return look_up(view, r, GROUPED_BY_NONE, name, to, why);
    }
    if (!of->telegraf && line_text_is_coded(name, LINE_TAG_KEY)) return ERR_UNSUPPORTED;
    if (!of->dialect->can_group_by(name)) return ERR_UNSUPPORTED;
    return look_up(view, r, GROUPED_BY_ONE, name, to, why);
}

static enum err
list_series(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    return look_up(view, r, GROUPED_BY_ALL, bytes_of(NULL, 0), to, why);
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
    const struct influx_reader *reader = (struct influx_reader *)answerer;
    return fetch_view_open(reader->fetcher, answerer, &ops, sizeof(struct fetch_view), control,
                           ret_view, why);
}

/* --- the reader ------------------------------------------------------------------------------- */

static void
free_reader(struct answerer *answerer)
{
    struct influx_reader *reader = (struct influx_reader *)answerer;
    fetcher_free(reader->fetcher);
    mem_free(reader->options.memory, reader, sizeof *reader);
}

enum err
influxdb_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                    struct why *why)
{
    static const struct answerer_ops ops = {open_view, reader_any_time, free_reader};
    static const struct influx_dialect *const dialects[] = {
        [INFLUXDB_1] = &influxql_dialect,
        [INFLUXDB_2] = &flux_dialect,
        [INFLUXDB_3] = &sql_dialect,
    };
    const struct influxdb_read_settings *x = &options->settings->u.influxdb;
    struct influx_reader *reader = mem_new(options->memory, sizeof *reader);
    if (reader == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a source");
    reader->answerer = (struct answerer){
        .ops = &ops, .name = options->settings->name, .no_exemplars = true, .no_metadata = true};
    reader->options = *options;
    reader->external.texts = &options->settings->external_labels;
    reader->dialect = dialects[x->server.version];
    reader->telegraf = x->mapping == INFLUXDB_TELEGRAF;
    struct fetcher_options fetching = {*options, NULL};
    enum err e = fetcher_new(&fetching, &reader->fetcher, why);
    if (e)
        free_reader(&reader->answerer);
    else
        *ret_answerer = &reader->answerer;
    return e;
}
