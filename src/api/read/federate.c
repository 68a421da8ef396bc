/*
 * federate.c - /federate: the latest sample of each selected series, for servers that scrape
 * another server. Samples older than the look-back, and series that ended, are left out.
 *
 * Families come one after another, so series are needed in the order of their names. The store
 * returns them in that order, unless a label sorts before "__name__", as labels with a capital do:
 * then each name is selected separately. Either way samples are written as they come, and sent in
 * pieces.
 */
#include "api/routes.h"

#include <stdio.h>

#include "api/request/read_request.h"
#include "base/text/texts.h"
#include "model/usage.h"
#include "wire/number.h"

/* --- the form of the answer ------------------------------------------------------------------- */

/*
 * A clause of Accept is a type, its parameters, and a quality. The first clause that asks for a
 * supported form decides; the last `escaping` up to there, of any type, says how names are escaped.
 * Other clients get text.
 *
 * Clauses are sorted like in Prometheus: its comparison puts a type without '*' before one with,
 * whatever their qualities, which is not an order, so the result depends on insertion sort.
 */

enum { CLAUSES_MAX = 32 }; /* further clauses are ignored */

struct clause {
    struct bytes type, subtype;
    struct bytes parameters; /* with the semicolons between them */
    double quality;
};

/* Finds the last parameter of that name; its value is not trimmed. False: it is absent. */
static bool
find_parameter(const struct clause *c, const char *name, struct bytes *ret)
{
    bool found = false;
    for (struct bytes rest = c->parameters; rest.size > 0;) {
        struct bytes value = text_cut(&rest, ';'), key = text_cut(&value, '=');
        if (value.at == NULL || !bytes_equal_text(text_trim(key), name)) continue;
        *ret = value;
        found = true;
    }
    return found;
}

static bool
parameter_is(const struct clause *c, const char *name, const char *wanted)
{
    struct bytes value;
    return find_parameter(c, name, &value) && bytes_equal_text(text_trim(value), wanted);
}

static bool
read_clause(struct bytes text, struct clause *ret)
{
    struct bytes rest = text_trim(text), type = text_cut(&rest, ';');
    *ret = (struct clause){.parameters = rest, .quality = 1};
    ret->type = text_trim(text_cut(&type, '/'));
    bool slash = type.at != NULL;
    ret->subtype = text_trim(type);
    if (!slash && !bytes_equal_text(ret->type, "*")) return false;
    if (!slash) ret->subtype = ret->type;
    if (ret->subtype.size > 0 && memchr(ret->subtype.at, '/', ret->subtype.size) != NULL)
        return false;
    struct bytes quality;
    uint64_t bits = 0;
    if (find_parameter(ret, "q", &quality)) { /* 0 if it is not a number */
        bool valid = number_parse((const char *)quality.at, quality.size, &bits);
        ret->quality = valid ? bits_double(bits) : 0;
    }
    return true;
}

static bool
goes_before(const struct clause *a, const struct clause *b)
{
    bool a_any = bytes_equal_text(a->type, "*"), b_any = bytes_equal_text(b->type, "*");
    bool a_all = bytes_equal_text(a->subtype, "*"), b_all = bytes_equal_text(b->subtype, "*");
    return a->quality > b->quality || (!a_any && b_any) || (!a_all && b_all);
}

static unsigned
read_clauses(const char *accept, struct clause clauses[CLAUSES_MAX])
{
    unsigned count = 0;
    for (struct bytes rest = bytes_of_text(accept); rest.size > 0 && count < CLAUSES_MAX;) {
        struct clause c;
        if (!read_clause(text_cut(&rest, ','), &c)) continue;
        unsigned at = count++;
        for (; at > 0 && goes_before(&c, &clauses[at - 1]); at--)
            clauses[at] = clauses[at - 1];
        clauses[at] = c;
    }
    return count;
}

static bool
asks_for_messages(const struct clause *c)
{
    return bytes_equal_text(c->type, "application") &&
           bytes_equal_text(c->subtype, "vnd.google.protobuf") &&
           parameter_is(c, "proto", "io.prometheus.client.MetricFamily") &&
           parameter_is(c, "encoding", "delimited");
}

static bool
asks_for_text(const struct clause *c)
{
    struct bytes version;
    return bytes_equal_text(c->type, "text") && bytes_equal_text(c->subtype, "plain") &&
           (!find_parameter(c, "version", &version) || text_trim(version).size == 0 ||
            bytes_equal_text(text_trim(version), "0.0.4"));
}

struct negotiated
negotiate(const char *accept)
{
    static const char *const types[] = {
        [FAMILY_FORM_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
        [FAMILY_FORM_MESSAGES] = "application/vnd.google.protobuf; "
                                 "proto=io.prometheus.client.MetricFamily; encoding=delimited"};
    struct negotiated n = {.form = FAMILY_FORM_TEXT, .escaping = ESCAPE_UNDERSCORES};
    struct clause clauses[CLAUSES_MAX];
    unsigned count = accept == NULL ? 0 : read_clauses(accept, clauses);
    for (unsigned i = 0; i < count; i++) {
        struct bytes escaping;
        if (find_parameter(&clauses[i], "escaping", &escaping))
            (void)name_escaping_parse(text_trim(escaping), &n.escaping);
        if (asks_for_messages(&clauses[i])) n.form = FAMILY_FORM_MESSAGES;
        if (n.form == FAMILY_FORM_MESSAGES || asks_for_text(&clauses[i])) break;
    }
    snprintf(n.content_type, sizeof n.content_type, "%s; escaping=%s", types[n.form],
             name_escaping_word(n.escaping));
    return n;
}

enum { PIECE_BYTES = 256 * 1024 };

struct federation {
    struct read_request r; /* first member */
    struct negotiated form_of;
    struct family_writer writer;

    /* The latest sample of the present series; a histogram is in the arena. */
    struct buf labels;
    enum sample_kind kind;
    int64_t t_ms;
    uint64_t bits;
    struct histogram histogram;
    struct arena arena;

    bool looked;         /* `mixed` is known */
    bool mixed;          /* series do not come in the order of their names */
    struct bytes *names; /* the names to select, if it is mixed */
    uint32_t name_count;
};

static enum err
no_memory(struct federation *f)
{
    return why_set(&f->r.why, ERR_NOMEM, "not enough memory for the query");
}

/* --- parameters ------------------------------------------------------------------------------- */

/* --- samples ---------------------------------------------------------------------------------- */

static enum err
send_piece(struct federation *f)
{
    enum err e = family_writer_error(&f->writer);
    if (e) return why_set(&f->r.why, e, "not enough memory for the response");
    return read_request_send(&f->r, QUEUE_READS, f->form_of.content_type);
}

/* Finds the last sample of the series. *ret_any false: it has none, or the series ended. */
static enum err
find_latest(struct federation *f, struct series_set *set, bool *ret_any)
{
    *ret_any = false;
    for (;;) {
        struct sample_batch b;
        enum err e = series_set_batch(set, &b, &f->r.why);
        if (e || b.count == 0) return e;
        uint32_t last = b.count - 1;
        f->kind = b.kind;
        f->t_ms = b.times_ms[last];
        if (b.kind == SAMPLE_FLOAT) {
            f->bits = b.value_bits[last];
            *ret_any = f->bits != STALE_NAN_BITS;
            continue;
        }
        arena_reset(&f->arena);
        *ret_any = b.histograms[last].sum_bits != STALE_NAN_BITS;
        if (histogram_copy(&b.histograms[last], &f->arena, &f->histogram)) return no_memory(f);
    }
}

static enum err
federation_put(struct federation *f, struct series_set *set, struct bytes labels)
{
    bool any;
    buf_clear(&f->labels); /* the view of the labels ends with the next call */
    buf_put_bytes(&f->labels, labels);
    if (buf_error(&f->labels)) return no_memory(f);
    labels = buf_bytes(&f->labels);
    usage_note_series(&f->r.control, f->r.query.tenant, labels);
    if (labels_get(labels, bytes_of_text("__name__")).size == 0) return OK;
    enum err e = find_latest(f, set, &any);
    if (e || !any) return e;
    if (f->kind == SAMPLE_FLOAT)
        family_writer_float(&f->writer, labels, f->t_ms, f->bits);
    else
        family_writer_histogram(&f->writer, labels, f->t_ms, &f->histogram);
    return f->r.text.size < PIECE_BYTES ? OK : send_piece(f);
}

static enum err
put_selected(struct federation *f, const struct query_request *query)
{
    struct series_set *set;
    usage_note(query);
    enum err e = view_select(f->r.view, query, &set, &f->r.why);
    if (e) return e;
    struct bytes labels = bytes_of("", 0);
    e = series_set_is_whole(set, &f->r.why); /* the text has no place for a warning */
    while (e == OK && labels.at != NULL) {
        e = series_set_next(set, &labels, &f->r.why);
        if (e == OK && labels.at != NULL) e = federation_put(f, set, labels);
        if (e == OK) e = query_control_check(&f->r.control, &f->r.why);
    }
    if (e == OK) e = series_set_is_whole(set, &f->r.why);
    series_set_free(set);
    return e;
}

/* --- the order of names ----------------------------------------------------------------------- */

/* Decides by the first name of a label whether the order is mixed. */
static enum err
look_at_first(void *context, struct bytes name)
{
    struct federation *f = context;
    f->looked = true;
    f->mixed = bytes_compare(name, bytes_of_text("__name__")) < 0;
    return ERR_CANCELED;
}

static enum err
keep_name(void *context, struct bytes name)
{
    struct federation *f = context;
    struct arena *arena = &f->r.form.arena;
    struct bytes *names = arena_push(arena, f->names, f->name_count, sizeof *names);
    if (names == NULL) return no_memory(f);
    f->names = names;
    names[f->name_count] = arena_copy(arena, name);
    return names[f->name_count++].at == NULL ? no_memory(f) : OK;
}

/* Copies the requested sets, each with room for one more matcher at its end. */
static enum err
extend_sets(struct federation *f, struct matcher_set *sets)
{
    for (uint32_t i = 0; i < f->r.query.set_count; i++) {
        const struct matcher_set *from = &f->r.match.sets[i];
        struct matcher **matchers =
            arena_alloc(&f->r.form.arena, (from->count + 1) * sizeof(struct matcher *));
        if (matchers == NULL) return no_memory(f);
        memcpy(matchers, from->matchers, from->count * sizeof(struct matcher *));
        sets[i] = (struct matcher_set){matchers, from->count + 1};
    }
    return OK;
}

static enum err
put_name(struct federation *f, struct bytes name, struct matcher_set *sets)
{
    struct matcher *matcher;
    struct query_request query = f->r.query;
    enum err e = matcher_new(MATCH_EQUAL, bytes_of_text("__name__"), name, &f->r.budget, &matcher,
                             &f->r.why);
    if (e) return e;
    for (uint32_t i = 0; i < query.set_count; i++)
        ((struct matcher **)(uintptr_t)sets[i].matchers)[sets[i].count - 1] = matcher;
    query.sets = sets;
    e = put_selected(f, &query);
    matcher_free(matcher);
    return e;
}

static enum err
put_by_name(struct federation *f)
{
    struct text_sink to = {.each = keep_name, .context = f};
    struct matcher_set *sets =
        arena_alloc(&f->r.form.arena, f->r.query.set_count * sizeof(struct matcher_set));
    enum err e = sets == NULL ? no_memory(f) : extend_sets(f, sets);
    if (e == OK)
        e = view_label_values(f->r.view, &f->r.query, bytes_of_text("__name__"), &to, &f->r.why);
    for (uint32_t i = 0; e == OK && i < f->name_count; i++)
        e = put_name(f, f->names[i], sets);
    return e;
}

/* --- the request ------------------------------------------------------------------------------ */

static enum err
federate_answer(struct federation *f)
{
    /* Reads the selectors, which may select everything, unlike those of look-ups. */
    struct form_walk walk = {0};
    const char *match;
    enum err e = form_check_query(&f->r.form, &f->r.why);
    while (e == OK && (match = form_next(&f->r.form, "match[]", &walk)) != NULL)
        e = read_request_match(&f->r, &f->r.match, match, promql_parse_selector);
    if (e == OK) e = read_request_scope(&f->r);
    f->r.query.max_ms = env_realtime_ms(f->r.api->options.env);
    f->r.query.min_ms = f->r.query.max_ms - api_limits_now(f->r.api).query.lookback_ms;
    if (e || f->r.query.set_count == 0) return e; /* without sets, all series would be selected */
    e = read_request_open(&f->r, &f->r.control, &f->r.view, &f->r.why);
    if (e) return e;
    struct text_sink first = {.each = look_at_first, .context = f};
    e = view_label_names(f->r.view, &f->r.query, &first, &f->r.why);
    if (e == ERR_CANCELED && f->looked) e = OK;
    if (e == OK) e = f->mixed ? put_by_name(f) : put_selected(f, &f->r.query);
    if (e) return e;
    family_writer_end(&f->writer);
    e = family_writer_error(&f->writer);
    if (e) return why_set(&f->r.why, e, "not enough memory for the response");
    return f->r.begun ? send_piece(f) : OK;
}

static void
federate_end(struct federation *f, enum err e)
{
    struct http_answer answer = {
        .status = 200, .content_type = f->form_of.content_type, .body = buf_bytes(&f->r.text)};
    if (f->r.begun) {
        http_stream_end(f->r.request, e == OK);
        return;
    }
    if (e == ERR_INPUT && f->r.error.size > 0) {
        buf_put_u8(&f->r.error, '\n');
        answer = (struct http_answer){.status = 400,
                                      .content_type = "text/plain; charset=utf-8",
                                      .body = buf_bytes(&f->r.error)};
        e = OK;
    }
    if (e)
        reply_error(f->r.request, FOR_QUERY, memory_verdict(e, &f->r.budget), &f->r.why);
    else
        http_reply(f->r.request, &answer);
}

void
federate_run(struct api *api, struct http_request *request)
{
    struct federation f = {.form_of = negotiate(http_header(request, "Accept"))};
    read_request_begin(&f.r, api, request);
    buf_init(&f.labels, &f.r.budget, (size_t)1 << 26);
    arena_init(&f.arena, &f.r.budget, 0, 0);
    family_writer_init(&f.writer, f.form_of.form, f.form_of.escaping, &f.r.budget, &f.r.text);
    enum err e = read_request_arguments(&f.r);
    if (f.r.refused != 0)
        http_reply_text(request, f.r.refused, "%s\n", f.r.why.text);
    else
        federate_end(&f, e ? e : federate_answer(&f));
    family_writer_fini(&f.writer);
    arena_fini(&f.arena);
    buf_fini(&f.labels);
    read_request_end(&f.r);
}
