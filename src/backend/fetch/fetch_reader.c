/*
 * fetch_reader.c - see fetch_reader.h.
 *
 * A set of series is a question that is handed out; a look-up makes a question and frees it. Both
 * are users of their view, since a set may outlive it.
 *
 * Invariants
 *  1. A view has at least one user until it is freed.
 *  2. Only a question with the purpose FETCH_SAMPLES has blocks; only a look-up has a sink.
 */
#include "backend/fetch/fetch_reader.h"

#include <assert.h>

#include "backend/common/http_common.h"
#include "base/hash/hash.h"
#include "wire/json/sample_json.h"
#include "wire/proto.h"
#include "wire/remote/remote_write.h"

enum { LABELS_BYTES_MAX = 64 << 20, URL_BYTES_MAX = 256 * 1024 };

static void
drop_view(struct fetch_reader_view *v)
{
    uint32_t users = atomic_fetch_sub_explicit(&v->users, 1, memory_order_acq_rel);
    assert(users > 0); /* invariant 1 */
    if (users > 1) return;
    fetch_session_close(v->session);
    mem_free(v->budget, v, sizeof *v);
}

/* --- labels ----------------------------------------------------------------------------------- */

enum err
final_labels_build(const struct external_labels *external, struct label *labels, uint32_t count,
                   struct buf *to, struct why *why)
{
    static const struct labels_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    const struct named_texts *texts = external->texts;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool replaced = false;
        for (uint32_t k = 0; k < texts->count && !replaced; k++)
            replaced = bytes_equal_text(labels[i].name, texts->items[k].name);
        if (labels[i].name.size == 0)
            return why_set(why, ERR_CORRUPT, "a series has a label without a name");
        if (!replaced && labels[i].value.size > 0) labels[kept++] = labels[i];
    }
    if (kept + texts->count > FINAL_LABELS_MAX)
        return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
    for (uint32_t k = 0; k < texts->count; k++) {
        labels[kept++] = (struct label){bytes_of_text(texts->items[k].name),
                                        bytes_of_text(texts->items[k].value)};
    }
    enum reject reject = labels_build(labels, kept, &none, to);
    if (buf_error(to)) return why_set(why, ERR_NOMEM, "not enough memory for labels");
    /* Empty values may have removed all labels. */
    if (reject == REJECT_NONE || reject == REJECT_EMPTY_LABELS) return OK;
    return why_set(why, ERR_CORRUPT, "a series has invalid labels: %s", reject_word(reject));
}

/* `only`: other fields are an error. */
static enum err
read_fields(struct bytes message, bool only, struct label *labels, uint32_t *ret_count,
            struct why *why)
{
    uint32_t count = 0;
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag != PROTO_TAG(1, PROTO_BYTES)) {
            if (only) cursor_fail(&c);
            proto_skip(&c, tag, PROTO_KNOWN(1));
            continue;
        }
        if (count == FINAL_LABELS_MAX)
            return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
        if (!rw_label_read(proto_bytes(&c), &labels[count++])) cursor_fail(&c);
    }
    if (c.bad) return why_set(why, ERR_CORRUPT, "a series has labels that cannot be read");
    *ret_count = count;
    return OK;
}

enum err
label_fields_read(struct bytes message, struct label *labels, uint32_t *ret_count, struct why *why)
{
    return read_fields(message, false, labels, ret_count, why);
}

enum err
final_labels_put(const struct external_labels *external, struct bytes fields, struct buf *to,
                 struct why *why)
{
    struct label labels[FINAL_LABELS_MAX];
    uint32_t count;
    enum err e = read_fields(fields, true, labels, &count, why);
    return e ? e : final_labels_build(external, labels, count, to, why);
}

/* --- series ----------------------------------------------------------------------------------- */

bool
fetch_is_of_name(const struct matcher *m)
{
    return bytes_equal_text(matcher_name(m), "__name__");
}

bool
fetch_is_positive(const struct matcher *m)
{
    return matcher_type(m) == MATCH_EQUAL || matcher_type(m) == MATCH_REGEX;
}

bool
fetch_question_selects_name(const struct fetch_question *q, struct bytes name)
{
    for (uint32_t i = 0; i < q->matcher_count; i++)
        if (fetch_is_of_name(q->matchers[i]) && !matcher_matches(q->matchers[i], name))
            return false;
    return true;
}

static struct bytes
value_of(const struct fetch_series *s, struct bytes name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (bytes_equal(s->labels[i].name, name)) return s->labels[i].value;
    return bytes_of(NULL, 0);
}

bool
fetch_question_selects(const struct fetch_question *q, const struct fetch_series *s)
{
    for (uint32_t i = 0; i < q->matcher_count; i++) {
        const struct matcher *m = q->matchers[i];
        if (!matcher_matches(m, value_of(s, matcher_name(m)))) return false;
    }
    return true;
}

static enum err
add_series(struct fetch_question *q, const struct fetch_series *s, struct why *why)
{
    assert(q->blocks != NULL); /* invariant 2 */
    enum err e = series_blocks_add(q->blocks, s->labels, s->count, s->key, why);
    if (e) return e;
    if (s->samples != FETCH_UNKNOWN) series_blocks_expect(q->blocks, s->samples);
    q->series_count++;
    if (s->first_ms < q->first_ms) q->first_ms = s->first_ms;
    if (s->last_ms > q->last_ms) q->last_ms = s->last_ms;
    return OK;
}

/* Series repeat the same few names. */
static enum err
give_name(struct fetch_question *q, struct bytes name, struct why *why)
{
    uint64_t hash = hash_bytes(name, 0);
    const struct named_texts *texts = q->of->external.texts;
    for (uint32_t i = 0; i < texts->count; i++)
        if (bytes_equal_text(name, texts->items[i].name)) return OK;
    for (uint32_t at = TABLE_START, id; table_next(&q->names_given, hash, &at, &id);) {
        struct cursor c = cursor_of(bytes_of(q->names.at + id, q->names.size - id));
        if (bytes_equal(cursor_counted(&c), name)) return OK;
    }
    uint32_t at = (uint32_t)q->names.size;
    buf_put_counted(&q->names, name);
    if (buf_error(&q->names) || !table_reserve(&q->names_given, q->budget, 1))
        return fetch_no_memory(why);
    table_add(&q->names_given, hash, at);
    return q->to->each(q->to->context, name);
}

enum err
fetch_question_take(struct fetch_question *q, const struct fetch_series *s, struct why *why)
{
    enum err e = OK;
    if (!fetch_question_selects(q, s)) {
        q->takes_all = false;
        return OK;
    }
    if (q->purpose == FETCH_SAMPLES) return add_series(q, s, why);
    assert(q->to != NULL); /* invariant 2 */
    if (q->purpose == FETCH_SERIES) {
        buf_clear(&q->labels);
        e = final_labels_build(&q->of->external, s->labels, s->count, &q->labels, why);
        return e ? e : q->to->each(q->to->context, buf_bytes(&q->labels));
    }
    for (uint32_t i = 0; i < s->count && e == OK; i++)
        if (q->purpose == FETCH_NAMES)
            e = give_name(q, s->labels[i].name, why);
        else if (bytes_equal(s->labels[i].name, q->name))
            e = q->to->each(q->to->context, s->labels[i].value);
    return e;
}

enum err
fetch_question_put_histogram(struct fetch_question *q, uint32_t number, int64_t t_ms,
                             int64_t start_ms, struct bytes json, struct why *why)
{
    struct histogram histogram;
    struct scan s = scan_of(json, &q->scratch);
    histogram_json_scan(&s, &histogram);
    scan_end(&s);
    if (s.bad != NULL && s.error == ERR_NOMEM) return fetch_no_memory(why);
    if (s.bad != NULL) return why_set(why, ERR_CORRUPT, "a histogram cannot be read: %s", s.bad);
    enum err e = series_blocks_put_histogram(q->blocks, number, t_ms, &histogram, start_ms, why);
    return e == ERR_INPUT ? ERR_CORRUPT : e;
}

/* --- sets ------------------------------------------------------------------------------------- */

/* Calls a function of the type that asks for something, unless there is no time to ask about. */
static enum err
run(struct fetch_question *q, enum err (*step)(struct fetch_question *q, struct why *why),
    struct why *why)
{
    enum err e = q->min_ms > q->max_ms ? OK : step(q, why);
    return e == ERR_FULL ? ERR_LIMIT : e;
}

static enum err
fetch_samples(void *context, struct series_blocks *blocks, const struct series_block *block,
              struct why *why)
{
    struct fetch_question *q = context;
    (void)blocks;
    return q->of->type->samples(q, block, why);
}

static enum err
begin_blocks(struct fetch_question *q, struct why *why)
{
    struct series_blocks_options options = {.budget = q->budget,
                                            .external = q->of->external,
                                            .min_ms = q->min_ms,
                                            .max_ms = q->max_ms,
                                            .keys_max = q->keys_max,
                                            .fetch = fetch_samples,
                                            .context = q};
    enum err e = series_blocks_new(&options, &q->blocks, why);
    if (e == OK) e = run(q, q->of->type->find, why);
    if (e == OK && q->series_count > 0) series_blocks_narrow(q->blocks, q->first_ms, q->last_ms);
    return e;
}

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct fetch_question *q = (struct fetch_question *)set;
    const struct fetch_type *type = q->of->type;
    *ret_labels = bytes_of(NULL, 0);
    if (type->next != NULL) return type->next(q, ret_labels, why);
    enum err e = q->blocks == NULL ? begin_blocks(q, why) : OK;
    return e ? e : series_blocks_next(q->blocks, ret_labels, why);
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct fetch_question *q = (struct fetch_question *)set;
    const struct fetch_type *type = q->of->type;
    return type->batch != NULL ? type->batch(q, ret_batch, why)
                               : series_blocks_batch(q->blocks, ret_batch, why);
}

static const char *
set_warning(struct series_set *set, uint32_t index)
{
    struct fetch_question *q = (struct fetch_question *)set;
    const struct fetch_type *type = q->of->type;
    return type->warning != NULL ? type->warning(q, index) : NULL;
}

static void
set_free(struct series_set *set)
{
    struct fetch_question *q = (struct fetch_question *)set;
    const struct fetch_type *type = q->of->type;
    struct fetch_reader_view *v = q->view;
    series_blocks_free(q->blocks);
    if (type->fini != NULL) type->fini(q);
    arena_fini(&q->arena);
    arena_fini(&q->scratch);
    buf_fini(&q->text);
    buf_fini(&q->labels);
    buf_fini(&q->names);
    table_fini(&q->names_given, q->budget);
    mem_free(q->budget, q, type->question_bytes);
    drop_view(v);
}

/* --- questions -------------------------------------------------------------------------------- */

/* The array of matchers need not live as long as the question. */
static enum err
copy_matchers(struct fetch_question *q, struct why *why)
{
    const struct query_request *r = &q->request;
    q->matcher_count = r->set_count == 0 ? 0 : r->sets[0].count;
    q->matchers = arena_new(&q->arena, (q->matcher_count + 1) * sizeof *q->matchers);
    if (q->matchers == NULL) return fetch_no_memory(why);
    for (uint32_t i = 0; i < q->matcher_count; i++)
        q->matchers[i] = r->sets[0].matchers[i];
    q->matcher_set = (struct matcher_set){q->matchers, q->matcher_count};
    q->request.sets = &q->matcher_set;
    q->request.set_count = q->matcher_count > 0;
    return OK;
}

static enum err
new_question(struct view *view, const struct query_request *r, enum fetch_purpose purpose,
             struct fetch_question **ret_question, struct why *why)
{
    static const struct series_set_ops ops = {
        .next = set_next, .batch = set_batch, .warning = set_warning, .free = set_free};
    struct fetch_reader_view *v = (struct fetch_reader_view *)view;
    const struct fetch_type *type = v->of->type;
    struct fetch_question *q = mem_new(v->budget, type->question_bytes);
    if (q == NULL) return fetch_no_memory(why);
    q->set.ops = &ops;
    q->purpose = purpose;
    q->view = v;
    q->of = v->of;
    q->budget = v->budget;
    q->control = r->control;
    q->request = *r;
    q->min_ms = r->min_ms > type->min_ms ? r->min_ms : type->min_ms;
    q->max_ms = r->max_ms < type->max_ms ? r->max_ms : type->max_ms;
    q->keys_max = UINT32_MAX;
    q->takes_all = true;
    q->first_ms = INT64_MAX;
    q->last_ms = INT64_MIN;
    arena_init(&q->arena, q->budget, type->arena_bytes_max, 0);
    arena_init(&q->scratch, q->budget, type->scratch_bytes_max, 0);
    if (type->text_bytes_max > 0) buf_init(&q->text, q->budget, type->text_bytes_max);
    buf_init(&q->labels, q->budget, LABELS_BYTES_MAX);
    buf_init(&q->names, q->budget, LABELS_BYTES_MAX);
    if (type->init != NULL) type->init(q);
    atomic_fetch_add_explicit(&v->users, 1, memory_order_relaxed);
    enum err e = copy_matchers(q, why);
    if (e)
        set_free(&q->set);
    else
        *ret_question = q;
    return e;
}

static enum err
select_series(struct view *view, const struct query_request *r, struct series_set **ret_set,
              struct why *why)
{
    struct fetch_question *q;
    enum err e = new_question(view, r, FETCH_SAMPLES, &q, why);
    if (e) return e;
    if (q->of->type->begin != NULL) e = q->of->type->begin(q, why);
    if (e)
        set_free(&q->set);
    else
        *ret_set = &q->set;
    return e;
}

/* --- look-ups --------------------------------------------------------------------------------- */

static enum err
look_up(struct view *view, enum lookup_kind kind, const struct query_request *r, struct bytes name,
        const struct text_sink *to, struct why *why)
{
    static const enum fetch_purpose purposes[] = {[LOOKUP_NAMES] = FETCH_NAMES,
                                                  [LOOKUP_VALUES] = FETCH_VALUES,
                                                  [LOOKUP_SERIES] = FETCH_SERIES};
    const struct fetch_type *type = ((struct fetch_reader_view *)view)->of->type;
    enum err (*const steps[])(struct fetch_question * q, struct why * why) = {
        [LOOKUP_NAMES] = type->names,
        [LOOKUP_VALUES] = type->values,
        [LOOKUP_SERIES] = type->series != NULL ? type->series : type->find,
    };
    struct fetch_question *q;
    if (steps[kind] == NULL) return ERR_UNSUPPORTED;
    enum err e = new_question(view, r, purposes[kind], &q, why);
    if (e) return e;
    q->to = to;
    q->name = name;
    e = run(q, steps[kind], why);
    set_free(&q->set);
    return e;
}

/* --- requests --------------------------------------------------------------------------------- */

void
fetch_exchange_init(struct fetch_exchange *x, struct fetch_question *q, size_t body_bytes_max)
{
    *x = (struct fetch_exchange){.q = q};
    buf_init(&x->url, q->budget, URL_BYTES_MAX);
    buf_init(&x->body, q->budget, body_bytes_max);
}

void
fetch_exchange_end(struct fetch_exchange *x)
{
    fetch_close(x->fetch);
    x->fetch = NULL;
}

void
fetch_exchange_fini(struct fetch_exchange *x)
{
    fetch_exchange_end(x);
    buf_fini(&x->url);
    buf_fini(&x->body);
}

void
fetch_exchange_begin(struct fetch_exchange *x, const char *base, const char *path)
{
    fetch_exchange_end(x);
    x->base = base;
    buf_clear(&x->url);
    buf_clear(&x->body);
    http_url_begin(&x->url, base, path);
}

enum err
fetch_exchange_send(struct fetch_exchange *x, const struct fetch_request *how, struct why *why)
{
    struct fetch_request request = *how;
    assert(x->fetch == NULL); /* fetch_exchange_begin() ended the request before */
    http_url_end(&x->url, x->base);
    enum err e = err_first(buf_error(&x->url), buf_error(&x->body));
    if (e == ERR_LIMIT) return why_set(why, e, "the request is too large");
    if (e) return fetch_no_request_memory(why);
    request.method = x->body.size > 0 ? "POST" : "GET";
    request.url = (const char *)x->url.at;
    request.body = buf_bytes(&x->body);
    return fetch_open(x->q->view->session, x->q->control, &request, &x->fetch, why);
}

enum err
fetch_exchange_await(struct fetch_exchange *x, const struct http_call_answer **ret_answer,
                     struct why *why)
{
    *ret_answer = NULL;
    enum err e = fetch_await(x->fetch, ret_answer, why);
    return e ? e : fetch_expect_ok(x->fetch, why);
}

enum err
fetch_exchange_more(void *exchange, struct bytes *ret_piece, struct why *why)
{
    return fetch_read(((struct fetch_exchange *)exchange)->fetch, ret_piece, why);
}

enum err
fetch_exchange_failed(struct fetch_exchange *x, enum err e, struct why *why)
{
    return fetch_failed(x->fetch, e, why);
}

/* --- views and the reader --------------------------------------------------------------------- */

static void
free_view(struct view *view)
{
    drop_view((struct fetch_reader_view *)view);
}

static enum err
open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
          struct why *why)
{
    static const struct view_ops ops = {
        .select = select_series,
        .look_up = look_up,
        .free = free_view,
    };
    struct fetch_reader *reader = (struct fetch_reader *)answerer;
    struct budget *budget = control == NULL ? NULL : control->budget;
    struct fetch_reader_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return fetch_no_memory(why);
    v->view.ops = &ops;
    v->of = reader;
    v->budget = budget;
    v->opened_ns = env_monotonic_ns(reader->options.env);
    atomic_init(&v->users, 1);
    enum err e = fetch_session_open(reader->fetcher, budget, &v->session, why);
    if (e)
        drop_view(v);
    else
        *ret_view = &v->view;
    return e;
}

static void
free_reader(struct answerer *answerer)
{
    struct fetch_reader *reader = (struct fetch_reader *)answerer;
    const struct fetch_type *type = reader->type;
    fetcher_free(reader->fetcher);
    if (type->close != NULL) type->close(reader);
    lock_fini(&reader->lock);
    mem_free(reader->options.memory, reader, type->reader_bytes);
}

enum err
fetch_reader_new(const struct fetch_type *type, const struct reader_options *options,
                 const struct fetch_signing *signing, struct answerer **ret_answerer,
                 struct why *why)
{
    static const struct answerer_ops ops = {open_view, reader_any_time, free_reader};
    const struct fetcher_options fetching = {*options, signing};
    struct fetch_reader *reader = mem_new(options->memory, type->reader_bytes);
    if (reader == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a source");
    reader->answerer = (struct answerer){.ops = &ops, .name = options->settings->name};
    reader->type = type;
    reader->options = *options;
    reader->external.texts = &options->settings->external_labels;
    lock_init(&reader->lock, LOCK_RANK_SOURCE);
    enum err e = type->open != NULL ? type->open(reader, why) : OK;
    if (e == OK) e = fetcher_new(&fetching, &reader->fetcher, why);
    if (e)
        free_reader(&reader->answerer);
    else
        *ret_answerer = &reader->answerer;
    return e;
}
