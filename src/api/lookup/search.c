/*
 * search.c - /api/v1/search/metric_names, label_names and label_values: names that match search
 * terms, as lines of JSON.
 *
 *     {"results":[{"name":"up"},...]}              at most batch_size results; the first line comes
 *                                                  always; for label_values {"value":"node"}
 *     {"status":"success","has_more":false}        the last line, or a line with an error
 *
 * The store returns names in ascending order. If that is wanted they are sent as they come; for
 * another order the best so far are kept in a heap, the worst of them first, and sent in the end.
 *
 * Invariants:
 *
 * 1. At most `limit` results are written, and at most `batch_size` of them to a line.
 * 2. The heap has at most one result more than `limit`, which shows that there are more.
 */
#include "api/lookup/lookup.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/answer.h"
#include "api/lookup/search_score.h"
#include "api/request/form.h"
#include "api/request/match.h"
#include "api/request/replica_choice.h"
#include "base/array.h"
#include "base/heap.h"
#include "base/text/quote.h"
#include "base/warnings.h"
#include "wire/number.h"

enum {
    LIMIT = 100, /* default of `limit` and `batch_size` */
    BATCH_MAX = 10000,
    TERMS_MAX = 32, /* as in Prometheus */
};

enum search_order { BY_NAME, BY_NAME_DOWN, BY_SCORE };

struct search_result {
    double score;
    struct bytes name; /* allocated from the budget */
};

struct name_search {
    struct api *api;
    struct http_request *request;
    struct form form;
    struct budget budget;
    struct query_control control;
    struct match match;
    struct search_filter filter;
    enum search_order order;
    uint32_t terms_given; /* including empty ones, which are ignored */
    bool with_score;
    bool with_metadata;
    bool described;     /* the present metric has its metadata */
    struct bytes label; /* the label whose values are searched; empty: names of labels are */
    const char *key;    /* member of a result that has the name */
    uint64_t limit;
    uint64_t batch_size;
    struct query_request query;
    struct replica_choice replicas;
    struct fence fence;
    struct view *view;
    struct search_result *best; /* a heap: invariant 2 */
    size_t best_count, best_capacity;
    uint64_t given;    /* results written */
    uint64_t in_batch; /* results in the open batch */
    bool batch_open;
    bool first_batch_done;
    bool has_more;
    uint32_t warnings_put;
    struct warnings warnings;
    struct buf text;
    struct json json;
    bool begun; /* the answer is a stream */
    struct buf error;
    struct why why;
};

static enum err
no_memory(struct name_search *s)
{
    return why_set(&s->why, ERR_NOMEM, "not enough memory for the search");
}

/* --- parameters ------------------------------------------------------------------------------- */

/* Reads a time. Its error names the parameter itself. */
static enum err
read_time(struct name_search *s, const char *name, int64_t *ret_ms)
{
    const char *text = form_given(&s->form, name);
    if (text == NULL || form_parse_time(text, ret_ms)) return OK;
    buf_printf(&s->error, "invalid time value for '%s': cannot parse ", name);
    quote_text(&s->error, bytes_of_text(text));
    buf_put_text(&s->error, " to a valid timestamp");
    return ERR_INPUT;
}

/* Writes the error `invalid NAME "text": must be ...`. */
static enum err
refuse(struct name_search *s, const char *name, const char *text, const char *must)
{
    buf_printf(&s->error, "invalid %s ", name);
    quote_text(&s->error, bytes_of_text(text));
    buf_printf(&s->error, "%s", must);
    return ERR_INPUT;
}

static enum err
read_flag(struct name_search *s, const char *name, bool *ret)
{
    struct buf unwanted;
    buf_init(&unwanted, NULL, SENTENCE_BYTES_MAX);
    enum err e = form_bool(&s->form, name, ret, &unwanted);
    buf_fini(&unwanted);
    return e ? refuse(s, name, form_given(&s->form, name), ": must be boolean") : OK;
}

static enum err
read_count(struct name_search *s, const char *name, uint64_t *ret)
{
    int64_t count = 0;
    const char *text = form_given(&s->form, name);
    if (text == NULL) return OK;
    if (form_whole(text, 64, &count) != NULL || count < 0) {
        return refuse(s, name, text, ": must be non-negative integer");
    }
    if (count > 0) *ret = (uint64_t)count;
    return OK;
}

static enum err
read_filter(struct name_search *s)
{
    int64_t threshold = 0;
    bool exact_case = true;
    const char *text = form_given(&s->form, "fuzz_threshold");
    if (text != NULL &&
        (form_whole(text, 64, &threshold) != NULL || threshold < 0 || threshold > 100)) {
        return refuse(s, "fuzz_threshold", text, ": must be 0-100");
    }
    s->filter.threshold = (double)threshold / 100.0;
    text = form_given(&s->form, "fuzz_alg");
    if (text != NULL && strcmp(text, "jarowinkler") == 0) {
        s->filter.algorithm = SEARCH_JARO_WINKLER;
    } else if (text != NULL && strcmp(text, "subsequence") != 0) {
        buf_put_text(&s->error, "unsupported fuzz_alg ");
        quote_text(&s->error, bytes_of_text(text));
        buf_put_text(&s->error, ": must be one of [subsequence jarowinkler]");
        return ERR_INPUT;
    }
    enum err e = read_flag(s, "case_sensitive", &exact_case);
    s->filter.any_case = !exact_case;
    struct form_walk walk = {0};
    while (e == OK && (text = form_next(&s->form, "search[]", &walk)) != NULL) {
        if (text[0] == '\0') continue;
        if (search_filter_add(&s->filter, bytes_of_text(text))) e = no_memory(s);
    }
    return e;
}

static enum err
count_terms(struct name_search *s)
{
    struct form_walk walk = {0};
    while (form_next(&s->form, "search[]", &walk) != NULL) {
        s->terms_given++;
    }
    if (s->terms_given <= TERMS_MAX) return OK;
    buf_printf(&s->error, "too many search[] terms: got %" PRIu32 ", maximum is %d", s->terms_given,
               TERMS_MAX);
    return ERR_INPUT;
}

static enum err
read_limit(struct name_search *s)
{
    uint64_t max = api_limits_now(s->api).search_results_max;
    s->limit = max > 0 && max < LIMIT ? max : LIMIT;
    enum err e = read_count(s, "limit", &s->limit);
    if (e || max == 0 || s->limit <= max) return e;
    buf_printf(&s->error,
               "limit %" PRIu64 " exceeds the configured maximum (%" PRIu64
               ", see --web.search-max-limit)",
               s->limit, max);
    return ERR_INPUT;
}

static enum err
read_order(struct name_search *s)
{
    const char *by = form_given(&s->form, "sort_by"), *dir = form_given(&s->form, "sort_dir");
    bool by_score = by != NULL && strcmp(by, "score") == 0;
    if (dir != NULL && by == NULL) {
        buf_put_text(&s->error, "sort_dir is only valid when sort_by is set");
        return ERR_INPUT;
    }
    if (dir != NULL && by_score) {
        buf_put_text(&s->error, "sort_dir is not supported for sort_by=score");
        return ERR_INPUT;
    }
    if (dir != NULL && strcmp(dir, "asc") != 0 && strcmp(dir, "dsc") != 0) {
        return refuse(s, "sort_dir", dir, ": must be \"asc\" or \"dsc\"");
    }
    if (by_score && s->terms_given == 0) {
        buf_put_text(&s->error, "sort_by=score requires search[] to be set");
        return ERR_INPUT;
    }
    if (by_score) s->order = BY_SCORE;
    if (dir != NULL && strcmp(dir, "dsc") == 0) s->order = BY_NAME_DOWN;
    return OK;
}

static enum err
check_sort_by(struct name_search *s, const char *what)
{
    char must[80];
    const char *by = form_given(&s->form, "sort_by");
    if (by == NULL || strcmp(by, "alpha") == 0 || strcmp(by, "score") == 0) return OK;
    snprintf(must, sizeof must, " for %s: must be \"alpha\" or \"score\"", what);
    return refuse(s, "sort_by", by, must);
}

static enum err
read_times(struct name_search *s)
{
    s->query.max_ms = env_realtime_ms(s->api->options.env);
    s->query.min_ms = s->query.max_ms - 3600 * 1000;
    enum err e = read_time(s, "start", &s->query.min_ms);
    if (e == OK) e = read_time(s, "end", &s->query.max_ms);
    if (e || s->query.max_ms >= s->query.min_ms) return e;
    buf_put_text(&s->error, "end timestamp must not be before start timestamp");
    return ERR_INPUT;
}

/* Reads the parameters in the order in which Prometheus checks them. `what` names the searched
 * kind.
 */
static enum err
read_common(struct name_search *s, const char *what)
{
    s->batch_size = LIMIT;
    s->query.partial = true;
    s->key = "name";
    s->control.source = form_nth(&s->form, "source", 0);
    enum err e = read_times(s);
    if (e == OK) e = match_read(&s->match, &s->form, &s->budget, &s->control, &s->error, &s->why);
    if (e == OK) e = count_terms(s);
    if (e == OK) e = read_filter(s);
    if (e == OK) e = read_flag(s, "include_score", &s->with_score);
    if (e == OK) e = read_order(s);
    if (e == OK) e = read_limit(s);
    if (e == OK) e = read_count(s, "batch_size", &s->batch_size);
    if (e == OK) e = check_sort_by(s, what);
    if (e == OK) e = form_bool(&s->form, "partial_response", &s->query.partial, &s->error);
    s->query.shows_warnings = s->query.partial;
    if (e == OK) {
        e = replica_choice_read(s->api, &s->form, &s->form.arena, &s->replicas, &s->error, &s->why);
    }
    if (e == OK) {
        e = fence_read(&s->fence, &s->form, &s->budget, &s->control, &s->error, &s->why);
    }
    s->query.sets = s->match.sets;
    s->query.set_count = s->match.set_count;
    if (s->batch_size > BATCH_MAX) s->batch_size = BATCH_MAX;
    /* If all names are accepted in their order, the store need not return more. */
    if (s->order == BY_NAME && s->filter.term_count == 0) s->query.hints.limit = s->limit;
    return e;
}

static enum err
read_metric_names(struct name_search *s)
{
    enum err e = read_common(s, "metric_names");
    if (e == OK) e = read_flag(s, "include_metadata", &s->with_metadata);
    s->label = bytes_of_text("__name__");
    return e;
}

static enum err
read_label_names(struct name_search *s)
{
    return read_common(s, "label_names");
}

static enum err
read_label_values(struct name_search *s)
{
    enum err e = read_common(s, "label_values");
    const char *label = form_given(&s->form, "label");
    if (e == OK && label == NULL) {
        buf_put_text(&s->error, "missing required parameter \"label\"");
        e = ERR_INPUT;
    }
    if (label != NULL) s->label = bytes_of_text(label);
    s->key = "value";
    return e;
}

/* --- lines ------------------------------------------------------------------------------------ */

static void
begin_line(struct name_search *s)
{
    json_init(&s->json, &s->text);
    json_object_open(&s->json);
}

static void
end_line(struct name_search *s)
{
    json_object_close(&s->json);
    buf_put_u8(&s->text, '\n');
}

static enum err
send_lines(struct name_search *s)
{
    if (!s->begun) {
        struct http_answer answer = {.status = 200,
                                     .content_type = "application/x-ndjson; charset=utf-8"};
        enum err e = buf_error(&s->text);
        if (e == OK) e = http_stream_begin(s->request, &answer, UINT64_MAX, &s->why);
        if (e) return e == ERR_NOMEM ? no_memory(s) : e;
        s->begun = true;
        limit_stream(s->api, QUEUE_READS, s->request, &s->control);
    }
    return reply_piece(s->api, QUEUE_READS, s->request, &s->control, &s->text, &s->begun, &s->why);
}

static void
put_warnings(struct name_search *s)
{
    const char *sentence = warnings_at(&s->warnings, 0);
    if (sentence == NULL) return;
    json_member_array(&s->json, "warnings");
    for (s->warnings_put = 0; sentence != NULL;) {
        json_put_text(&s->json, sentence);
        sentence = warnings_at(&s->warnings, ++s->warnings_put);
    }
    json_array_close(&s->json);
}

static enum err
end_batch(struct name_search *s)
{
    assert(s->batch_open);
    assert(s->in_batch <= s->batch_size); /* invariant 1 */
    json_array_close(&s->json);
    if (!s->first_batch_done) put_warnings(s);
    end_line(s);
    s->batch_open = false;
    s->first_batch_done = true;
    s->in_batch = 0;
    return send_lines(s);
}

static void
begin_batch(struct name_search *s)
{
    if (s->batch_open) return;
    begin_line(s);
    json_member_array(&s->json, "results");
    s->batch_open = true;
}

static enum err
put_metadata(void *context, const struct metadata *m)
{
    struct name_search *s = context;
    if (s->described) return OK; /* another tenant has described it */
    s->described = true;
    json_member_text(&s->json, "type", metric_type_word(m->type));
    if (m->help.size > 0) json_member_bytes(&s->json, "help", m->help);
    if (m->unit.size > 0) json_member_bytes(&s->json, "unit", m->unit);
    return OK;
}

static enum err
put_result(struct name_search *s, struct bytes name, double score)
{
    char digits[NUMBER_TEXT_BYTES];
    enum err e = OK;
    assert(s->given < s->limit); /* invariant 1 */
    begin_batch(s);
    json_object_open(&s->json);
    json_member_bytes(&s->json, s->key, name);
    if (s->with_score) {
        json_key(&s->json, "score");
        json_put_raw(&s->json, bytes_of(digits, number_print_json(double_bits(score), digits)));
    }
    if (s->with_metadata) {
        struct query_request query = {.tenant = s->query.tenant, .control = &s->control};
        s->described = false;
        e = view_metadata(s->view, &query, name, put_metadata, s, &s->why);
    }
    if (e) return e;
    json_object_close(&s->json);
    s->given++;
    return ++s->in_batch < s->batch_size ? OK : end_batch(s);
}

/* --- the search ------------------------------------------------------------------------------- */

/* Says whether `a` comes after `b` in the answer. */
static bool
is_worse(const struct name_search *s, const struct search_result *a, const struct search_result *b)
{
    int order = bytes_compare(a->name, b->name);
    if (s->order == BY_NAME_DOWN) return order < 0;
    return a->score != b->score ? a->score < b->score : order > 0;
}

static void
result_free(struct name_search *s, const struct search_result *f)
{
    mem_free(&s->budget, (void *)(uintptr_t)f->name.at, f->name.size + 1);
}

static enum err
search_keep(struct name_search *s, struct bytes name, double score)
{
    struct search_result found = {score, name};
    bool full = s->best_count > s->limit;
    assert(!full || s->best_count - s->limit == 1); /* invariant 2 */
    if (full && is_worse(s, &found, &s->best[0])) return OK;
    uint8_t *copy = mem_alloc(&s->budget, name.size + 1);
    if (copy == NULL) return no_memory(s);
    memcpy(copy, name.at, name.size);
    found.name.at = copy;
    if (full) {
        result_free(s, &s->best[0]);
        heap_down(s->best, s->best_count, 0, found, is_worse(s, a, b));
        return OK;
    }
    if (!array_reserve(&s->budget, &s->best, &s->best_capacity, s->best_count + 1)) {
        result_free(s, &found);
        return no_memory(s);
    }
    heap_up(s->best, s->best_count, found, is_worse(s, a, b));
    s->best_count++;
    return OK;
}

static enum err
search_look(void *context, struct bytes name)
{
    struct name_search *s = context;
    double score;
    bool accepted;
    enum err e = search_score(&s->filter, name, &score, &accepted, &s->why);
    if (e == ERR_NOMEM) return no_memory(s);
    if (e == OK) e = query_control_check(&s->control, &s->why);
    if (e || !accepted) return e;
    if (s->order != BY_NAME) return search_keep(s, name, score);
    s->has_more = s->given == s->limit;
    return s->has_more ? ERR_CANCELED : put_result(s, name, score);
}

static enum err
keep_warning(void *context, const char *sentence)
{
    struct name_search *s = context;
    struct why place;
    snprintf(place.text, sizeof place.text, "%s", sentence);
    return warnings_add(&s->warnings, &place);
}

/* Writes the kept results, the best first: a heap that is taken apart ends in that order. */
static enum err
give_best(struct name_search *s)
{
    enum err e = OK;
    size_t count = s->best_count;
    for (size_t left = count; left > 1;) {
        struct search_result last = s->best[--left], worst = s->best[0];
        heap_down(s->best, left, 0, last, is_worse(s, a, b));
        s->best[left] = worst;
    }
    if (count > s->limit) {
        s->has_more = true;
        count--;
    }
    for (size_t i = 0; i < count && e == OK; i++) {
        e = put_result(s, s->best[i].name, s->best[i].score);
    }
    return e;
}

static enum err
search_ask(struct name_search *s)
{
    struct text_sink to = {.each = search_look, .context = s, .warning = keep_warning};
    enum err e =
        replica_choice_open(s->api, &s->replicas, &s->fence, &s->control, &s->view, &s->why);
    if (e) return e;
    if (s->label.size > 0)
        e = view_label_values(s->view, &s->query, s->label, &to, &s->why);
    else
        e = view_label_names(s->view, &s->query, &to, &s->why);
    if (e == ERR_CANCELED && s->has_more) e = OK;
    return e ? e : give_best(s);
}

static void
search_end(struct name_search *s, enum err e)
{
    if (e == OK) {
        if (s->batch_open || !s->first_batch_done) {
            begin_batch(s);
            e = end_batch(s);
        }
        begin_line(s);
        json_member_text(&s->json, "status", "success");
        json_member_bool(&s->json, "has_more", s->has_more);
        if (warnings_at(&s->warnings, s->warnings_put) != NULL) put_warnings(s);
        end_line(s);
        if (e == OK) e = send_lines(s);
    } else if (s->begun) {
        /* Drops the batch that is incomplete. */
        buf_clear(&s->text);
        begin_line(s);
        json_member_text(&s->json, "status", "error");
        json_member_text(&s->json, "errorType", problem_type_of(FOR_QUERY, e));
        json_member_text(&s->json, "error", why_text(&s->why, e));
        end_line(s);
        /* Without a check of the deadline, which the line may report. */
        e = err_first(buf_error(&s->text),
                      http_stream_write(s->request, buf_bytes(&s->text), &s->why));
    }
    if (s->begun)
        http_stream_end(s->request, e == OK);
    else
        reply_problem_of(s->request, FOR_QUERY, memory_verdict(e, &s->budget), &s->why);
}

static void
search_fini(struct name_search *s)
{
    for (size_t i = 0; i < s->best_count; i++) {
        result_free(s, &s->best[i]);
    }
    array_free(&s->budget, s->best, s->best_capacity);
    view_free(s->view);
    match_fini(&s->match);
    fence_fini(&s->fence);
    search_filter_fini(&s->filter);
    form_fini(&s->form);
    buf_fini(&s->text);
    buf_fini(&s->error);
    warnings_fini(&s->warnings);
}

static void
search_run(struct api *api, struct http_request *request, enum err (*read)(struct name_search *s))
{
    struct name_search *s = mem_new(&api->read_budget, sizeof *s);
    if (s == NULL) {
        reply_problem_of(request, FOR_QUERY, ERR_NOMEM,
                         &(struct why){"not enough memory for the search"});
        return;
    }
    s->api = api;
    s->request = request;
    budget_init(&s->budget, "query", 0, &api->read_budget);
    buf_init(&s->text, &s->budget, (size_t)1 << 30);
    buf_init(&s->error, NULL, SENTENCE_BYTES_MAX);
    search_filter_init(&s->filter, &s->budget);
    s->filter.control = &s->control;
    warnings_init(&s->warnings, &s->budget);
    query_control_begin(api, request, &s->budget, &s->control);
    s->query.control = &s->control;
    unsigned refused;
    enum err e =
        read_arguments(api, request, &s->budget, &s->form, &s->query.tenant, &refused, &s->why);
    if (e == OK && refused == 0) e = read(s);
    if (!reply_refusal(request, refused, e, &s->error, &s->why)) search_end(s, search_ask(s));
    search_fini(s);
    mem_free(&api->read_budget, s, sizeof *s);
}

void
search_metric_names_run(struct api *api, struct http_request *request)
{
    search_run(api, request, read_metric_names);
}

void
search_label_names_run(struct api *api, struct http_request *request)
{
    search_run(api, request, read_label_names);
}

void
search_label_values_run(struct api *api, struct http_request *request)
{
    search_run(api, request, read_label_values);
}
