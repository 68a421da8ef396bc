/* fence.c - see fence.h. */
#include "api/request/fence.h"

#include <assert.h>

#include "auth/gate.h"
#include "base/text/quote.h"

enum { WORD_BYTES_MAX = 64 << 20 };

static const char *const filter_names[] = {"extra_filters[]", "extra_filters"};
static const char label_name[] = "extra_label";
static const char extra_prefix[] = "extra_"; /* of all of them */

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* A request whose fence is read. */
struct fence_reading {
    struct fence *to;
    struct form *form;
    struct budget *budget;
    struct query_control *control;
    struct buf *error;
    struct why *why;
};

static void
add_clause(struct permitted *p, const struct matcher_set *sets, uint32_t count)
{
    assert(p->count < PERMITTED_CLAUSES_MAX);
    assert(count > 0);
    p->clauses[p->count++] = (struct permitted_clause){sets, count};
}

static void
add_user(struct fence *p, const struct user *user)
{
    if (user == NULL || user->read_set_count == 0) return;
    p->users = users_hold(user->set);
    add_clause(&p->permitted, user->read_sets, user->read_set_count);
}

/* --- parameters ------------------------------------------------------------------------------- */

static enum err
read_filter(struct fence_reading *r, struct match *to, const char *name, const char *text)
{
    uint32_t before = to->set_count;
    buf_printf(r->error, "invalid parameter \"%s\": ", name);
    enum err e = match_add(to, text, promql_parse_alternatives, r->form, r->budget, r->control,
                           r->error, r->why);
    if (e) return e;
    for (uint32_t i = before; i < to->set_count; i++) {
        if (to->sets[i].count > 0) continue;
        buf_put_text(r->error, "it must contain at least one matcher");
        return ERR_INPUT;
    }
    buf_clear(r->error);
    return OK;
}

static enum err
read_filters(struct fence_reading *r, enum form_place place, struct match *to)
{
    for (unsigned i = 0; i < sizeof filter_names / sizeof filter_names[0]; i++) {
        struct form_walk walk = {0};
        const char *text;
        while ((text = form_next_of(r->form, place, filter_names[i], &walk)) != NULL) {
            enum err e = read_filter(r, to, filter_names[i], text);
            if (e) return e;
        }
    }
    return OK;
}

/* Adds the matcher of "name=value". */
static enum err
read_label(struct fence_reading *r, const char *text)
{
    struct fence *p = r->to;
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        enum err e = form_invalid(r->error, label_name, "expected name=value, got ");
        quote_text(r->error, bytes_of_text(text));
        return e;
    }
    struct matcher **labels =
        arena_push(&r->form->arena, p->labels, p->label_count, sizeof *labels);
    if (labels == NULL) return no_memory(r->why);
    p->labels = labels;
    enum err e = matcher_new(MATCH_EQUAL, bytes_of(text, (size_t)(equals - text)),
                             bytes_of_text(equals + 1), r->budget, &labels[p->label_count], r->why);
    if (e == ERR_INPUT) return form_invalid(r->error, label_name, "%s", why_text(r->why, e));
    if (e == OK) p->label_count++;
    return e;
}

static enum err
read_labels(struct fence_reading *r, enum form_place place)
{
    struct form_walk walk = {0};
    const char *text;
    enum err e = OK;
    while (e == OK && (text = form_next_of(r->form, place, label_name, &walk)) != NULL) {
        e = read_label(r, text);
    }
    return e;
}

/* Adds the filters of a place as a clause, and keeps its labels. */
static enum err
read_place(struct fence_reading *r, enum form_place place)
{
    struct fence *p = r->to;
    struct match *filters = &p->filters[place];
    enum err e = read_filters(r, place, filters);
    if (e == OK) e = read_labels(r, place);
    if (e == OK && filters->set_count > 0)
        add_clause(&p->permitted, filters->sets, filters->set_count);
    return e;
}

/* The labels of all places are one clause: all of them must match. */
static enum err
add_labels(struct fence_reading *r)
{
    struct fence *p = r->to;
    if (p->label_count == 0) return OK;
    struct matcher_set *all = arena_new(&r->form->arena, sizeof *all);
    if (all == NULL) return no_memory(r->why);
    *all = (struct matcher_set){p->labels, p->label_count};
    add_clause(&p->permitted, all, 1);
    return OK;
}

static enum err
make_word(struct fence_reading *r)
{
    struct buf key;
    buf_init(&key, r->budget, WORD_BYTES_MAX);
    permitted_put_key(&r->to->permitted, &key);
    enum err e = buf_error(&key) ? no_memory(r->why) : OK;
    if (e == OK) r->to->word = arena_copy(&r->form->arena, buf_bytes(&key));
    if (e == OK && r->to->word.at == NULL) e = no_memory(r->why);
    buf_fini(&key);
    return e;
}

enum err
fence_read(struct fence *p, struct form *form, struct budget *budget, struct query_control *control,
           struct buf *error, struct why *why)
{
    struct fence_reading r = {p, form, budget, control, error, why};
    if (http_query_drops(form->request, extra_prefix)) {
        buf_printf(error, "malformed parameter %s...: %s", extra_prefix,
                   http_query_wrong(form->request));
        return ERR_INPUT;
    }
    add_user(p, gate_user(form->request));
    enum err e = read_place(&r, FORM_URL);
    if (e == OK) e = read_place(&r, FORM_BODY);
    if (e == OK) e = add_labels(&r);
    if (e == OK && p->permitted.count > 0) e = make_word(&r);
    return e;
}

void
fence_fini(struct fence *p)
{
    for (unsigned i = 0; i < FORM_PLACES; i++) {
        match_fini(&p->filters[i]);
    }
    for (uint32_t i = 0; i < p->label_count; i++) {
        matcher_free(p->labels[i]);
    }
    users_release(p->users);
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
