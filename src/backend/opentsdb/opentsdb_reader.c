/*
 * opentsdb_reader.c - a source of type opentsdb: see opentsdb_reader.h.
 *
 * The first request of a select is made when its first series is asked for.
 *
 * Names of metrics and of labels are those that OpenTSDB ever had; all else is found out of the
 * series. /api/search/lookup is not asked: it knows only series that were written while
 * tsd.core.meta.enable_tsuid_tracking was on, or reads the whole table.
 */
#include "backend/opentsdb/opentsdb_reader.h"

#include "backend/opentsdb/stored_text.h"
#include "model/labels.h"

enum { NAMES_BYTES_MAX = 1 << 20 };

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- samples ---------------------------------------------------------------------------------- */

struct opentsdb_set {
    struct series_set set; /* first: it is handed out */
    struct fetch_view *view;
    struct opentsdb_question question;
    struct series_blocks *blocks; /* NULL: nothing was asked yet */
};

static enum err
fetch_block(void *context, struct series_blocks *blocks, const struct series_block *block,
            struct why *why)
{
    struct opentsdb_set *s = context;
    return opentsdb_question_samples(&s->question, blocks, block, why);
}

static enum err
add_series(struct opentsdb_set *s, uint32_t found, struct why *why)
{
    struct label labels[FINAL_LABELS_MAX];
    uint32_t count = 0;
    struct cursor c = cursor_of(opentsdb_question_labels(&s->question, found));
    while (count < FINAL_LABELS_MAX && labels_next(&c, &labels[count])) {
        count++;
    }
    struct bytes key = bytes_of((const uint8_t *)&found, sizeof found);
    enum err e = series_blocks_add(s->blocks, labels, count, key, why);
    if (e == OK) series_blocks_expect(s->blocks, s->question.found[found].points);
    return e;
}

static enum err
begin(struct opentsdb_set *s, struct why *why)
{
    struct opentsdb_question *q = &s->question;
    struct series_blocks_options options = {.budget = q->budget,
                                            .external = q->of->external,
                                            .min_ms = q->min_ms,
                                            .max_ms = q->max_ms,
                                            .keys_max = UINT32_MAX,
                                            .fetch = fetch_block,
                                            .context = s};
    enum err e = series_blocks_new(&options, &s->blocks, why);
    if (e == OK) e = opentsdb_question_find(q, why);
    for (uint32_t i = 0; i < q->found_count && e == OK; i++) {
        e = add_series(s, i, why);
    }
    return e;
}

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct opentsdb_set *s = (struct opentsdb_set *)set;
    *ret_labels = bytes_of(NULL, 0);
    enum err e = s->blocks == NULL ? begin(s, why) : OK;
    return e ? e : series_blocks_next(s->blocks, ret_labels, why);
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return series_blocks_batch(((struct opentsdb_set *)set)->blocks, ret_batch, why);
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
    struct opentsdb_set *s = (struct opentsdb_set *)set;
    struct fetch_view *v = s->view;
    series_blocks_free(s->blocks);
    opentsdb_question_fini(&s->question);
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
    struct opentsdb_set *s = mem_new(v->budget, sizeof *s);
    if (s == NULL) return no_memory(why);
    s->set.ops = &ops;
    s->view = v;
    opentsdb_question_init(&s->question, v);
    fetch_view_keep(v);
    enum err e = opentsdb_question_begin(&s->question, r, why);
    if (e)
        set_free(&s->set);
    else
        *ret_set = &s->set;
    return e;
}

/* --- look-ups --------------------------------------------------------------------------------- */

struct opentsdb_naming {
    struct opentsdb_question question;
    const struct text_sink *to;
    struct buf text;
    bool is_of_labels;
    bool any;
};

static enum err
tell_name(void *context, struct bytes stored, struct why *why)
{
    struct opentsdb_naming *n = context;
    buf_clear(&n->text);
    enum err e = n->is_of_labels ? opentsdb_label_name_get(&n->question, &n->text, stored)
                                 : stored_value_get(&n->text, stored);
    if (e) return no_memory(why);
    n->any = true;
    return n->text.size == 0 ? OK : n->to->each(n->to->context, buf_bytes(&n->text));
}

/* All names of metrics, or of labels. */
static enum err
tell_names(struct view *view, const struct query_request *r, bool is_of_labels,
           const struct text_sink *to, struct why *why)
{
    struct fetch_view *v = (struct fetch_view *)view;
    struct opentsdb_naming n = {.to = to, .is_of_labels = is_of_labels};
    opentsdb_question_init(&n.question, v);
    buf_init(&n.text, v->budget, NAMES_BYTES_MAX);
    enum err e = opentsdb_question_begin(&n.question, r, why);
    if (e == OK && n.question.min_ms <= n.question.max_ms) {
        e = opentsdb_question_names(&n.question, is_of_labels ? "tagk" : "metrics",
                                    bytes_of(NULL, 0), tell_name, &n, why);
    }
    if (e == OK && n.any && is_of_labels) e = to->each(to->context, bytes_of_text("__name__"));
    opentsdb_question_fini(&n.question);
    buf_fini(&n.text);
    return e;
}

static enum err
label_names(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    return r->set_count > 0 ? ERR_UNSUPPORTED : tell_names(view, r, true, to, why);
}

static enum err
label_values(struct view *view, const struct query_request *r, struct bytes name,
             const struct text_sink *to, struct why *why)
{
    if (r->set_count > 0 || !bytes_equal_text(name, "__name__")) return ERR_UNSUPPORTED;
    return tell_names(view, r, false, to, why);
}

static enum err
list_series(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    struct fetch_view *v = (struct fetch_view *)view;
    struct opentsdb_question q;
    struct buf labels;
    opentsdb_question_init(&q, v);
    buf_init(&labels, v->budget, NAMES_BYTES_MAX);
    enum err e = opentsdb_question_begin(&q, r, why);
    if (e == OK) e = opentsdb_question_find(&q, why);
    for (uint32_t i = 0; i < q.found_count && e == OK; i++) {
        buf_clear(&labels);
        e = final_labels_put(&q.of->external, opentsdb_question_labels(&q, i), &labels, why);
        if (e == OK) e = to->each(to->context, buf_bytes(&labels));
    }
    opentsdb_question_fini(&q);
    buf_fini(&labels);
    return e;
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
    const struct opentsdb_reader *reader = (struct opentsdb_reader *)answerer;
    return fetch_view_open(reader->fetcher, answerer, &ops, sizeof(struct fetch_view), control,
                           ret_view, why);
}

/* --- the reader ------------------------------------------------------------------------------- */

/* Nothing tells it. */
static void
free_reader(struct answerer *answerer)
{
    struct opentsdb_reader *reader = (struct opentsdb_reader *)answerer;
    fetcher_free(reader->fetcher);
    mem_free(reader->options.memory, reader, sizeof *reader);
}

enum err
opentsdb_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                    struct why *why)
{
    static const struct answerer_ops ops = {open_view, reader_any_time, free_reader};
    struct opentsdb_reader *reader = mem_new(options->memory, sizeof *reader);
    if (reader == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a source");
    reader->answerer = (struct answerer){
        .ops = &ops, .name = options->settings->name, .no_exemplars = true, .no_metadata = true};
    reader->options = *options;
    reader->external.texts = &options->settings->external_labels;
    struct fetcher_options fetching = {*options, NULL};
    enum err e = fetcher_new(&fetching, &reader->fetcher, why);
    if (e)
        free_reader(&reader->answerer);
    else
        *ret_answerer = &reader->answerer;
    return e;
}
