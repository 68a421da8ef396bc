/* read_request.c - see read_request.h. */
#include "api/request/read_request.h"

#include <assert.h>
#include <stdlib.h>

#include "api/handler.h"
#include "auth/gate.h"
#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "views/stack.h"

enum { WORD_BYTES_MAX = 64 << 20 };

static enum err
no_memory(struct read_request *r)
{
    return why_set(&r->why, ERR_NOMEM, "not enough memory for the query");
}

void
read_request_begin(struct read_request *r, struct api *api, struct http_request *request)
{
    *r = (struct read_request){
        .api = api,
        .request = request,
        .form = {.request = request},
        .query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX, .control = &r->control},
    };
    budget_init(&r->budget, "query", 0, &api->read_budget);
    arena_init(&r->form.arena, &r->budget, 0, 0);
    buf_init(&r->text, &r->budget, (size_t)1 << 30);
    buf_init(&r->error, NULL, SENTENCE_BYTES_MAX);
    warnings_init(&r->warnings, &r->budget);
    query_control_begin(api, request, &r->budget, &r->control);
}

static void
match_fini(struct match *m)
{
    for (uint32_t i = 0; i < m->tree_count; i++)
        promql_free(m->trees[i]);
}

void
read_request_end(struct read_request *r)
{
    view_free(r->view);
    match_fini(&r->match);
    for (unsigned i = 0; i < FORM_PLACES; i++)
        match_fini(&r->fence.filters[i]);
    for (uint32_t i = 0; i < r->fence.label_count; i++)
        matcher_free(r->fence.labels[i]);
    users_release(r->fence.users);
    form_fini(&r->form);
    buf_fini(&r->text);
    buf_fini(&r->error);
    warnings_fini(&r->warnings);
}

enum err
read_request_arguments(struct read_request *r)
{
    struct bytes tenant;
    r->refused = tenant_named(r->api, r->request, &tenant, &r->why);
    if (r->refused != 0) return ERR_INPUT;
    enum err e = form_read(r->request, &r->budget, &r->form, &r->why);
    if (e) return e;
    r->query.tenant = arena_copy(&r->form.arena, tenant);
    return r->query.tenant.at == NULL ? no_memory(r) : OK;
}

/* --- selectors -------------------------------------------------------------------------------- */

enum err
read_request_match(struct read_request *r, struct match *m, const char *text,
                   enum err (*parse)(struct bytes text, struct budget *budget,
                                     struct query_control *control, struct promql_tree **ret_tree,
                                     struct buf *error))
{
    struct arena *arena = &r->form.arena;
    enum err e = query_control_check(&r->control, &r->why);
    if (e) return e;
    struct promql_tree **trees = arena_push(arena, m->trees, m->tree_count, sizeof(void *));
    if (trees == NULL) return no_memory(r);
    m->trees = trees;
    e = parse(bytes_of_text(text), &r->budget, &r->control, &trees[m->tree_count], &r->error);
    if (e == ERR_CANCELED) return query_control_check(&r->control, &r->why);
    if (e) return e == ERR_INPUT || e == ERR_LIMIT ? ERR_INPUT : no_memory(r);
    uint32_t count;
    const struct matcher_set *added = promql_selectors(trees[m->tree_count++], &count);
    for (uint32_t i = 0; i < count; i++) {
        struct matcher_set *sets = arena_push(arena, m->sets, m->set_count, sizeof *sets);
        if (sets == NULL) return no_memory(r);
        m->sets = sets;
        sets[m->set_count++] = added[i];
    }
    r->query.sets = r->match.sets;
    r->query.set_count = r->match.set_count;
    return OK;
}

enum err
read_request_matches(struct read_request *r)
{
    struct form_walk walk = {0};
    const char *text;
    while ((text = form_next(&r->form, "match[]", &walk)) != NULL) {
        enum err e = read_request_match(r, &r->match, text, promql_parse_selector);
        if (e) return e;
    }
    for (uint32_t i = 0; i < r->match.set_count; i++) {
        const struct matcher_set *set = &r->match.sets[i];
        bool passes_all = true; /* a series without labels */
        for (uint32_t k = 0; k < set->count; k++)
            passes_all &= matcher_matches_empty(set->matchers[k]);
        if (!passes_all) continue;
        buf_put_text(&r->error, "match[] must contain at least one non-empty matcher");
        return ERR_INPUT;
    }
    return OK;
}

enum err
read_request_partial(struct read_request *r)
{
    r->query.partial = true;
    r->control.source = form_nth(&r->form, "source", 0);
    enum err e = form_bool(&r->form, "partial_response", &r->query.partial, &r->error);
    r->query.shows_warnings = r->query.partial;
    return e;
}

/* --- the fence -------------------------------------------------------------------------------- */

static const char *const filter_names[] = {"extra_filters[]", "extra_filters"};
static const char label_name[] = "extra_label";
static const char extra_prefix[] = "extra_"; /* of all of them */

static void
add_clause(struct permitted *p, const struct matcher_set *sets, uint32_t count)
{
    assert(p->count < PERMITTED_CLAUSES_MAX);
    assert(count > 0);
    p->clauses[p->count++] = (struct permitted_clause){sets, count};
}

static enum err
read_filter(struct read_request *r, struct match *to, const char *name, const char *text)
{
    uint32_t before = to->set_count;
    buf_printf(&r->error, "invalid parameter \"%s\": ", name);
    enum err e = read_request_match(r, to, text, promql_parse_alternatives);
    if (e) return e;
    for (uint32_t i = before; i < to->set_count; i++) {
        if (to->sets[i].count > 0) continue;
        buf_put_text(&r->error, "it must contain at least one matcher");
        return ERR_INPUT;
    }
    buf_clear(&r->error);
    return OK;
}

/* Adds the matcher of "name=value". */
static enum err
read_label(struct read_request *r, const char *text)
{
    struct fence *p = &r->fence;
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        enum err e = form_invalid(&r->error, label_name, "expected name=value, got ");
        quote_text(&r->error, bytes_of_text(text));
        return e;
    }
    struct matcher **labels = arena_push(&r->form.arena, p->labels, p->label_count, sizeof *labels);
    if (labels == NULL) return no_memory(r);
    p->labels = labels;
    enum err e =
        matcher_new(MATCH_EQUAL, bytes_of(text, (size_t)(equals - text)), bytes_of_text(equals + 1),
                    &r->budget, &labels[p->label_count], &r->why);
    if (e == ERR_INPUT) return form_invalid(&r->error, label_name, "%s", why_text(&r->why, e));
    if (e == OK) p->label_count++;
    return e;
}

/* Adds the filters of a place as a clause, and keeps its labels. */
static enum err
read_place(struct read_request *r, enum form_place place)
{
    struct match *filters = &r->fence.filters[place];
    struct form_walk walk;
    const char *text;
    enum err e = OK;
    for (unsigned i = 0; i < sizeof filter_names / sizeof filter_names[0]; i++) {
        walk = (struct form_walk){0};
        while (e == OK && (text = form_next_of(&r->form, place, filter_names[i], &walk)) != NULL)
            e = read_filter(r, filters, filter_names[i], text);
    }
    walk = (struct form_walk){0};
    while (e == OK && (text = form_next_of(&r->form, place, label_name, &walk)) != NULL)
        e = read_label(r, text);
    if (e == OK && filters->set_count > 0)
        add_clause(&r->fence.permitted, filters->sets, filters->set_count);
    return e;
}

/* The labels of all places are one clause: all of them must match. */
static enum err
add_labels(struct read_request *r)
{
    struct fence *p = &r->fence;
    if (p->label_count == 0) return OK;
    struct matcher_set *all = arena_new(&r->form.arena, sizeof *all);
    if (all == NULL) return no_memory(r);
    *all = (struct matcher_set){p->labels, p->label_count};
    add_clause(&p->permitted, all, 1);
    return OK;
}

enum err
read_request_fence(struct read_request *r)
{
    struct fence *p = &r->fence;
    const struct user *user = gate_user(r->request);
    if (http_query_drops(r->request, extra_prefix)) {
        buf_printf(&r->error, "malformed parameter %s...: %s", extra_prefix,
                   http_query_wrong(r->request));
        return ERR_INPUT;
    }
    if (fence_of_user(r->request)) {
        p->users = users_hold(user->set);
        add_clause(&p->permitted, user->read_sets, user->read_set_count);
    }
    enum err e = read_place(r, FORM_URL);
    if (e == OK) e = read_place(r, FORM_BODY);
    if (e == OK) e = add_labels(r);
    if (e || p->permitted.count == 0) return e;
    struct buf key;
    buf_init(&key, &r->budget, WORD_BYTES_MAX);
    permitted_put_key(&p->permitted, &key);
    if (buf_error(&key) == OK) p->word = arena_copy(&r->form.arena, buf_bytes(&key));
    buf_fini(&key);
    return p->word.at == NULL ? no_memory(r) : OK;
}

bool
fence_of_user(const struct http_request *request)
{
    const struct user *user = gate_user(request);
    return user != NULL && user->read_set_count > 0;
}

bool
fence_of_url(const struct http_request *request)
{
    uint32_t at = 0;
    bool any = http_query_drops(request, extra_prefix) ||
               http_argument_next(request, label_name, &at) != NULL;
    for (unsigned i = 0; i < sizeof filter_names / sizeof filter_names[0] && !any; i++) {
        at = 0;
        any = http_argument_next(request, filter_names[i], &at) != NULL;
    }
    return any;
}

/* --- replicas --------------------------------------------------------------------------------- */

static int
compare_names(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* An empty name adds none. */
static enum err
add_replica(struct read_request *r, struct bytes name)
{
    static const char argument[] = "replicaLabels[]";
    bool is_known = name.size == 0;
    if (!utf8_valid(name)) {
        enum err e = form_invalid(&r->error, argument, "invalid label name: ");
        quote_text(&r->error, name);
        return e;
    }
    for (uint32_t i = 0; i < r->replica_count; i++)
        is_known |= bytes_equal(r->replicas[i], name);
    if (is_known) return OK;
    if (r->replica_count == REPLICA_LABELS_MAX)
        return form_invalid(&r->error, argument, "at most %d are allowed", REPLICA_LABELS_MAX);
    struct bytes copy = arena_copy(&r->form.arena, name);
    if (copy.at == NULL) return no_memory(r);
    r->replicas[r->replica_count++] = copy;
    return OK;
}

enum err
read_request_scope(struct read_request *r)
{
    struct api_limits limits = api_limits_now(r->api);
    struct bytes names[REPLICA_LABELS_MAX]; /* of the setting, which was checked */
    uint32_t count = replica_labels_of(limits.query.replica_labels, names);
    struct form_walk walk = {0};
    bool dedup = true;
    const char *text;
    r->counts_usage = true;
    enum err e = form_bool(&r->form, "dedup", &dedup, &r->error);
    if (e == OK) e = form_bool(&r->form, "count_usage", &r->counts_usage, &r->error);
    if (form_nth(&r->form, "replicaLabels[]", 0) != NULL) count = 0;
    while (e == OK && (text = form_next(&r->form, "replicaLabels[]", &walk)) != NULL)
        e = add_replica(r, bytes_of_text(text));
    for (uint32_t i = 0; i < count && e == OK; i++)
        e = add_replica(r, names[i]);
    if (!dedup) r->replica_count = 0;
    qsort(r->replicas, r->replica_count, sizeof *r->replicas, compare_names);
    return e ? e : read_request_fence(r);
}

enum err
read_request_open(const struct read_request *r, struct query_control *control,
                  struct view **ret_view, struct why *why)
{
    struct answerer *answerer = r->api->options.answerer;
    bool restricts = r->fence.permitted.count > 0;
    if (restricts && !answerer->restricts) {
        return why_set(why, ERR_UNSUPPORTED, "%s cannot restrict answers to permitted series",
                       answerer->name);
    }
    control->permitted = restricts ? &r->fence.permitted : NULL;
    control->usage = r->counts_usage ? r->api->options.usage : NULL;
    struct view_stack stack = {
        .answerer = answerer, .replicas = r->replicas, .replica_count = r->replica_count};
    return view_stack_open(&stack, control, ret_view, why);
}

/* --- the answer ------------------------------------------------------------------------------- */

enum err
read_request_warn(void *request, const char *sentence)
{
    struct read_request *r = request;
    struct why place;
    (void)why_set(&place, ERR_CORRUPT, "%s", sentence);
    return warnings_add(&r->warnings, &place);
}

bool
read_request_refuse(struct read_request *r, enum err e)
{
    if (r->refused != 0)
        reply_problem(r->request, r->refused, "bad_data", r->why.text);
    else if (e == ERR_INPUT && r->error.size > 0)
        reply_sentence(r->request, 400, "bad_data", buf_bytes(&r->error));
    else if (e)
        reply_problem_of(r->request, FOR_QUERY, e, &r->why);
    return e != OK;
}

enum err
read_request_send(struct read_request *r, enum queue_name queue, const char *content_type)
{
    assert(queue < QUEUE_COUNT);
    enum err e = err_first(buf_error(&r->text), query_control_check(&r->control, &r->why));
    if (e == OK && !r->begun) {
        struct http_answer answer = {.status = 200, .content_type = content_type};
        e = http_stream_begin(r->request, &answer, UINT64_MAX, &r->why);
        r->begun = e == OK;
        if (e == OK) limit_stream(r->api, queue, r->request, &r->control);
    }
    if (e == OK) e = http_stream_write(r->request, buf_bytes(&r->text), &r->why);
    buf_clear(&r->text);
    return e;
}
