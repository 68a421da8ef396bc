/* tenants_test.c - several tenants read as one, over series in memory. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/label_text.h"
#include "lib/views/asked_matchers.h"
#include "model/labels.h"
#include "views/stack.h"

enum { SERIES_MAX = 200 };

/* --- an answerer of what it was given --------------------------------------------------------- */

struct kept_series {
    struct bytes tenant, labels;
    int64_t t_ms; /* time of its sample and its exemplar */
};

struct kept {
    struct answerer answerer; /* first */
    struct arena arena;
    struct kept_series series[SERIES_MAX]; /* sorted for each question */
    unsigned count, selects, views, sets;
    const char *warning; /* returned with every answer; may be NULL */
    enum err error;      /* returned for every question */
};

struct kept_view {
    struct view view;
    struct kept *of;
};

struct kept_set {
    struct series_set set;
    struct kept *of;
    struct kept_series *found[SERIES_MAX];
    unsigned count, next;
    bool given;
    struct series_cost spent;
    struct asked_with asked;
};

static bool
is_selected(const struct kept_series *s, const struct query_request *r)
{
    if (!bytes_equal(s->tenant, r->tenant)) return false;
    for (uint32_t i = 0; i < r->set_count; i++) {
        uint32_t k = 0;
        while (k < r->sets[i].count &&
               matcher_matches(r->sets[i].matchers[k],
                               labels_get(s->labels, matcher_name(r->sets[i].matchers[k]))))
            k++;
        if (k == r->sets[i].count) return true;
    }
    return r->set_count == 0;
}

static int
compare_kept(const void *a, const void *b)
{
    return labels_compare(((const struct kept_series *)a)->labels,
                          ((const struct kept_series *)b)->labels);
}

static enum err
kept_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct kept_set *s = (struct kept_set *)set;
    (void)why;
    asked_with_check(&s->asked);
    bool any = s->next < s->count;
    *ret_labels = any ? s->found[s->next++]->labels : bytes_of(NULL, 0);
    s->spent.series += any;
    s->given = false;
    return OK;
}

static enum err
kept_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    static const uint64_t bits = 0;
    struct kept_set *s = (struct kept_set *)set;
    (void)why;
    *ret = (struct sample_batch){
        .count = s->given ? 0 : 1, .times_ms = &s->found[s->next - 1]->t_ms, .value_bits = &bits};
    series_cost_add(&s->spent, &(struct series_cost){0, ret->count, ret->count, 9 * ret->count});
    s->given = true;
    return OK;
}

static const char *
kept_warning(struct series_set *set, uint32_t index)
{
    return index == 0 ? ((struct kept_set *)set)->of->warning : NULL;
}

static struct series_cost
kept_spent(const struct series_set *set)
{
    return ((const struct kept_set *)set)->spent;
}

static void
kept_set_free(struct series_set *set)
{
    asked_with_check(&((struct kept_set *)set)->asked);
    ((struct kept_set *)set)->of->sets--;
    mem_free(NULL, set, sizeof(struct kept_set));
}

static const struct series_set_ops kept_set_ops = {.next = kept_next,
                                                   .batch = kept_batch,
                                                   .warning = kept_warning,
                                                   .spent = kept_spent,
                                                   .free = kept_set_free};

static enum err
kept_select(struct view *view, const struct query_request *r, struct series_set **ret,
            struct why *why)
{
    struct kept *k = ((struct kept_view *)view)->of;
    if (k->error) return why_set(why, k->error, "as told");
    struct kept_set *s = mem_new(NULL, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    s->set.ops = &kept_set_ops;
    s->of = k;
    asked_with_keep(&s->asked, r);
    k->selects++;
    k->sets++;
    for (unsigned i = 0; i < k->count; i++)
        if (is_selected(&k->series[i], r)) s->found[s->count++] = &k->series[i];
    *ret = &s->set;
    return OK;
}

static enum err
kept_series(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    struct kept *k = ((struct kept_view *)view)->of;
    enum err e = why_set(why, k->error, "as told");
    for (unsigned i = 0; i < k->count && e == OK; i++)
        if (is_selected(&k->series[i], r)) e = to->each(to->context, k->series[i].labels);
    if (e == OK && k->warning != NULL && to->warning != NULL)
        e = to->warning(to->context, k->warning);
    return e;
}

/* Returns each name, or each value of `name`, in order. */
static enum err
give_texts(struct kept *k, const struct query_request *r, const struct bytes *name,
           const struct text_sink *to)
{
    struct bytes before = bytes_of("", 0);
    for (;;) {
        struct bytes least = bytes_of(NULL, 0);
        for (unsigned i = 0; i < k->count; i++) {
            struct cursor c = cursor_of(k->series[i].labels);
            if (!is_selected(&k->series[i], r)) continue;
            for (struct label label; labels_next(&c, &label);) {
                struct bytes text = name == NULL ? label.name : label.value;
                if (name != NULL && !bytes_equal(label.name, *name)) continue;
                if (bytes_compare(text, before) <= 0) continue;
                if (least.at == NULL || bytes_compare(text, least) < 0) least = text;
            }
        }
        if (least.at == NULL) return OK;
        enum err e = to->each(to->context, least);
        if (e) return e;
        before = least;
    }
}

static enum err
kept_look_up(struct view *view, enum lookup_kind kind, const struct query_request *r,
             struct bytes name, const struct text_sink *to, struct why *why)
{
    if (kind == LOOKUP_SERIES) return kept_series(view, r, to, why);
    return give_texts(((struct kept_view *)view)->of, r, kind == LOOKUP_VALUES ? &name : NULL, to);
}

static enum err
kept_exemplars(struct view *view, const struct query_request *r, const struct exemplar_sink *to,
               struct why *why)
{
    struct kept *k = ((struct kept_view *)view)->of;
    enum err e = OK;
    (void)why;
    for (unsigned i = 0; i < k->count && e == OK; i++) {
        struct exemplar x = {.series_labels = k->series[i].labels, .t_ms = k->series[i].t_ms};
        if (is_selected(&k->series[i], r)) e = to->each(to->context, &x);
        x.t_ms += 1000;
        if (e == OK && is_selected(&k->series[i], r)) e = to->each(to->context, &x);
    }
    return e;
}

/* Tenants agree about the metadata of "up", and differ about "down". */
static enum err
kept_metadata(struct view *view, const struct query_request *r, struct bytes family,
              enum err (*each)(void *context, const struct metadata *m), void *context,
              struct why *why)
{
    struct metadata down = {bytes_of_text("down"), METRIC_GAUGE, r->tenant, bytes_of("", 0)};
    struct metadata up = {bytes_of_text("up"), METRIC_GAUGE, bytes_of_text("Up."), bytes_of("", 0)};
    (void)view, (void)family, (void)why;
    enum err e = each(context, &down);
    return e ? e : each(context, &up);
}

static void
kept_view_free(struct view *view)
{
    ((struct kept_view *)view)->of->views--;
    mem_free(NULL, view, sizeof(struct kept_view));
}

static enum err
kept_open(struct answerer *answerer, struct query_control *control, struct view **ret,
          struct why *why)
{
    static const struct view_ops ops = {
        .select = kept_select,
        .exemplars = kept_exemplars,
        .metadata = kept_metadata,
        .look_up = kept_look_up,
        .free = kept_view_free,
    };
    struct kept *k = (struct kept *)answerer;
    struct kept_view *v = mem_new(NULL, sizeof *v);
    (void)control, (void)why;
    if (v == NULL) return ERR_NOMEM;
    qsort(k->series, k->count, sizeof *k->series, compare_kept);
    k->views++;
    *v = (struct kept_view){{&ops}, k};
    *ret = &v->view;
    return OK;
}

/* --- the rig ---------------------------------------------------------------------------------- */

struct rig {
    struct kept kept;
    struct answerer *answerer;
    struct view *view;
    struct buf said; /* one line each */
};

static struct rig *
rig_new(void)
{
    static const struct answerer_ops ops = {.open = kept_open};
    struct rig *rig = mem_new(NULL, sizeof *rig);
    assert_non_null(rig);
    rig->kept.answerer.ops = &ops;
    arena_init(&rig->kept.arena, NULL, 0, 0);
    buf_init(&rig->said, NULL, 1 << 20);
    assert_int_equal(tenants_answerer_new(&rig->kept.answerer, &rig->answerer), OK);
    return rig;
}

static void
rig_free(struct rig *rig)
{
    view_free(rig->view);
    assert_int_equal(rig->kept.views, 0);
    assert_int_equal(rig->kept.sets, 0);
    rig->answerer->ops->free(rig->answerer);
    arena_fini(&rig->kept.arena);
    buf_fini(&rig->said);
    mem_free(NULL, rig, sizeof *rig);
}

static void
keep(struct rig *rig, const char *tenant, const char *labels, int64_t t_ms)
{
    struct kept *k = &rig->kept;
    assert_true(k->count < SERIES_MAX);
    k->series[k->count++] =
        (struct kept_series){bytes_of_text(tenant), labels_of_text(labels, &k->arena), t_ms};
    assert_true(labels_valid(k->series[k->count - 1].labels));
}

static enum err
say(void *context, struct bytes text)
{
    struct rig *rig = context;
    buf_put_bytes(&rig->said, text);
    buf_put_u8(&rig->said, '\n');
    return OK;
}

static enum err
say_labels(void *context, struct bytes labels)
{
    struct rig *rig = context;
    labels_print(&rig->said, labels);
    buf_put_u8(&rig->said, '\n');
    return OK;
}

static enum err
say_warning(void *context, const char *sentence)
{
    return say(context, bytes_of_text(sentence));
}

static enum err
say_exemplar(void *context, const struct exemplar *x)
{
    struct rig *rig = context;
    labels_print(&rig->said, x->series_labels);
    buf_printf(&rig->said, " %d\n", (int)x->t_ms);
    return OK;
}

static enum err
say_metadata(void *context, const struct metadata *m)
{
    struct rig *rig = context;
    buf_put_bytes(&rig->said, m->family);
    buf_put_u8(&rig->said, ' ');
    return say(rig, m->help);
}

/* Prints series with the times of their samples, and then the warnings. */
static enum err
say_set(struct rig *rig, struct series_set *set, struct why *why)
{
    struct bytes labels;
    enum err e;
    while ((e = series_set_next(set, &labels, why)) == OK && labels.at != NULL) {
        struct sample_batch b = {.count = 1};
        labels_print(&rig->said, labels);
        while (e == OK && b.count > 0) {
            e = series_set_batch(set, &b, why);
            if (e == OK && b.count > 0) buf_printf(&rig->said, " %d", (int)b.times_ms[0]);
        }
        if (e) return e;
        buf_put_u8(&rig->said, '\n');
    }
    const char *sentence;
    for (uint32_t i = 0; e == OK && (sentence = series_set_warning(set, i)) != NULL; i++)
        e = say(rig, bytes_of_text(sentence));
    return e;
}

static void
begin(struct rig *rig)
{
    view_free(rig->view);
    rig->view = NULL;
    buf_clear(&rig->said);
    assert_int_equal(view_open(rig->answerer, NULL, &rig->view, NULL), OK);
}

static void
expect_texts(struct rig *rig, const char *expected)
{
    buf_put_u8(&rig->said, '\0');
    assert_int_equal(buf_error(&rig->said), OK);
    assert_string_equal((const char *)rig->said.at, expected);
}

static struct query_request
request_of(const char *tenant)
{
    return (struct query_request){
        .tenant = bytes_of_text(tenant), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
}

static void
expect_series(struct rig *rig, const struct query_request *request, const char *expected)
{
    struct series_set *set;
    begin(rig);
    assert_int_equal(view_select(rig->view, request, &set, NULL), OK);
    view_free(rig->view); /* the set goes on */
    rig->view = NULL;
    assert_int_equal(say_set(rig, set, NULL), OK);
    series_set_free(set);
    expect_texts(rig, expected);
}

static struct text_sink
sink_of(struct rig *rig, enum err (*each)(void *context, struct bytes text))
{
    return (struct text_sink){.each = each, .context = rig, .warning = say_warning};
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_series_say_whose_they_are)
{
    struct rig *rig = rig_new();
    keep(rig, "a", "__name__=up job=x", 1);
    keep(rig, "b", "__name__=up job=w", 2);
    keep(rig, "b", "__name__=down job=x", 3);
    keep(rig, "c", "__name__=up job=x", 4);
    struct query_request r = request_of("b|a|b");
    expect_series(rig, &r,
                  "{__name__=\"down\", __tenant_id__=\"b\", job=\"x\"} 3\n"
                  "{__name__=\"up\", __tenant_id__=\"a\", job=\"x\"} 1\n"
                  "{__name__=\"up\", __tenant_id__=\"b\", job=\"w\"} 2\n");
    r = request_of("a");
    expect_series(rig, &r, "{__name__=\"up\", job=\"x\"} 1\n");
    r = request_of("a|a");
    expect_series(rig, &r, "{__name__=\"up\", job=\"x\"} 1\n");
    r = request_of("a|nobody");
    expect_series(rig, &r, "{__name__=\"up\", __tenant_id__=\"a\", job=\"x\"} 1\n");
    rig_free(rig);
}

UNIT_TEST(test_series_with_the_label_keep_its_value_elsewhere)
{
    struct rig *rig = rig_new();
    keep(rig, "a", "__tenant_id__=u z=1", 1);
    keep(rig, "a", "__tenant_id__=v a=1", 2);
    keep(rig, "a", "p=1", 3);
    struct query_request r = request_of("a|b");
    expect_series(rig, &r,
                  "{__tenant_id__=\"a\", a=\"1\", original___tenant_id__=\"v\"} 2\n"
                  "{__tenant_id__=\"a\", original___tenant_id__=\"u\", z=\"1\"} 1\n"
                  "{__tenant_id__=\"a\", p=\"1\"} 3\n");
    rig_free(rig);
}

UNIT_TEST(test_series_that_are_the_beginning_of_others_come_in_their_place)
{
    struct rig *rig = rig_new();
    keep(rig, "a", "__name__=up", 1);
    keep(rig, "a", "__name__=up __replica__=r", 2);
    keep(rig, "b", "__name__=up", 3);
    struct query_request r = request_of("a|b");
    expect_series(rig, &r,
                  "{__name__=\"up\", __replica__=\"r\", __tenant_id__=\"a\"} 2\n"
                  "{__name__=\"up\", __tenant_id__=\"a\"} 1\n"
                  "{__name__=\"up\", __tenant_id__=\"b\"} 3\n");
    assert_int_equal(rig->kept.selects, 5); /* all three series had to wait */
    rig_free(rig);
}

UNIT_TEST(test_the_cost_of_all_tenants_is_returned)
{
    struct rig *rig = rig_new();
    struct series_set *set;
    struct series_cost spent;
    keep(rig, "a", "__name__=up", 1);
    keep(rig, "a", "__name__=up __replica__=r", 2);
    keep(rig, "b", "__name__=up", 3);
    struct query_request r = request_of("a|b");
    begin(rig);
    assert_int_equal(view_select(rig->view, &r, &set, NULL), OK);
    assert_int_equal(say_set(rig, set, NULL), OK);
    assert_int_equal(rig->kept.selects, 5); /* all three series had to wait, and are counted once */
    assert_true(series_set_spent(set, &spent));
    assert_int_equal(spent.series, 3);
    assert_int_equal(spent.blocks, 3);
    assert_int_equal(spent.samples, 3);
    assert_int_equal(spent.bytes, 27);
    series_set_free(set);
    rig_free(rig);
}

UNIT_TEST(test_matchers_of_the_label_choose_tenants)
{
    struct rig *rig = rig_new();
    struct matcher *not_a, *is_u, *is_c;
    keep(rig, "a", "p=1", 1);
    keep(rig, "b", "__tenant_id__=u p=1", 2);
    keep(rig, "b", "p=1", 3);
    keep(rig, "c", "p=1", 4);
    struct bytes label = bytes_of_text(TENANT_LABEL), original = bytes_of_text(ORIGINAL_LABEL);
    assert_int_equal(matcher_new(MATCH_NOT_EQUAL, label, bytes_of_text("a"), NULL, &not_a, NULL),
                     OK);
    assert_int_equal(matcher_new(MATCH_EQUAL, original, bytes_of_text("u"), NULL, &is_u, NULL), OK);
    assert_int_equal(matcher_new(MATCH_REGEX, label, bytes_of_text("c|d"), NULL, &is_c, NULL), OK);
    struct matcher *first[] = {not_a, is_u};
    struct matcher_set sets[] = {{first, 2}, {&is_c, 1}};
    struct query_request r = request_of("a|b|c");
    r.sets = sets;
    r.set_count = 2;
    expect_series(rig, &r,
                  "{__tenant_id__=\"b\", original___tenant_id__=\"u\", p=\"1\"} 2\n"
                  "{__tenant_id__=\"c\", p=\"1\"} 4\n");
    r.set_count = 1;
    expect_series(rig, &r, "{__tenant_id__=\"b\", original___tenant_id__=\"u\", p=\"1\"} 2\n");
    matcher_free(not_a);
    matcher_free(is_u);
    matcher_free(is_c);
    rig_free(rig);
}

/* Covers tenants alone, and tenants besides matchers of other labels. */
UNIT_TEST(test_a_tenant_is_read_if_all_matchers_of_the_label_hold)
{
    struct rig *rig = rig_new();
    struct matcher *some, *not_t1, *is_p1;
    struct bytes label = bytes_of_text(TENANT_LABEL);
    keep(rig, "t1", "p=1", 1);
    keep(rig, "t2", "p=1", 2);
    keep(rig, "u", "p=1", 3);
    assert_int_equal(matcher_new(MATCH_REGEX, label, bytes_of_text("t.*"), NULL, &some, NULL), OK);
    assert_int_equal(matcher_new(MATCH_NOT_EQUAL, label, bytes_of_text("t1"), NULL, &not_t1, NULL),
                     OK);
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("p"), bytes_of_text("1"), NULL, &is_p1, NULL), OK);
    struct matcher *orders[][3] = {{some, not_t1, is_p1}, {not_t1, is_p1, some}};
    struct query_request r = request_of("t1|t2|u");
    struct text_sink to = sink_of(rig, say);
    for (unsigned i = 0; i < 2; i++) {
        struct matcher_set set = {orders[i], 3};
        r.sets = &set;
        r.set_count = 1;
        expect_series(rig, &r, "{__tenant_id__=\"t2\", p=\"1\"} 2\n");
        begin(rig);
        assert_int_equal(view_label_values(rig->view, &r, label, &to, NULL), OK);
        expect_texts(rig, "t2\n");
    }
    matcher_free(some);
    matcher_free(not_t1);
    matcher_free(is_p1);
    rig_free(rig);
}

UNIT_TEST(test_series_before_given_labels_are_left_out)
{
    struct rig *rig = rig_new();
    keep(rig, "a", "__name__=a", 1);
    keep(rig, "a", "__name__=b", 2);
    keep(rig, "b", "__name__=b", 3);
    keep(rig, "a", "__name__=c", 4);
    struct query_request r = request_of("a|b");
    r.hints.from_labels = labels_of_text("__name__=b __tenant_id__=b", &rig->kept.arena);
    expect_series(rig, &r,
                  "{__name__=\"b\", __tenant_id__=\"b\"} 3\n"
                  "{__name__=\"c\", __tenant_id__=\"a\"} 4\n");
    rig_free(rig);
}

UNIT_TEST(test_texts_are_in_one_order_and_each_once)
{
    struct rig *rig = rig_new();
    keep(rig, "a", "__tenant_id__=u job=x", 1);
    keep(rig, "b", "a=1 job=y", 2);
    keep(rig, "b", "job=x", 3);
    struct query_request r = request_of("b|a|c");
    struct text_sink to = sink_of(rig, say);
    begin(rig);
    assert_int_equal(view_label_names(rig->view, &r, &to, NULL), OK);
    expect_texts(rig, "__tenant_id__\na\njob\noriginal___tenant_id__\n");
    begin(rig);
    assert_int_equal(view_label_values(rig->view, &r, bytes_of_text("job"), &to, NULL), OK);
    expect_texts(rig, "x\ny\n");
    begin(rig);
    assert_int_equal(view_label_values(rig->view, &r, bytes_of_text(TENANT_LABEL), &to, NULL), OK);
    expect_texts(rig, "a\nb\n");
    begin(rig);
    assert_int_equal(view_label_values(rig->view, &r, bytes_of_text(ORIGINAL_LABEL), &to, NULL),
                     OK);
    expect_texts(rig, "u\n");
    to.each = say_labels;
    begin(rig);
    assert_int_equal(view_series(rig->view, &r, &to, NULL), OK);
    expect_texts(rig, "{__tenant_id__=\"a\", job=\"x\", original___tenant_id__=\"u\"}\n"
                      "{__tenant_id__=\"b\", a=\"1\", job=\"y\"}\n"
                      "{__tenant_id__=\"b\", job=\"x\"}\n");
    rig_free(rig);
}

UNIT_TEST(test_a_limit_leaves_one_more_than_is_wanted)
{
    struct rig *rig = rig_new();
    static const char *const labels[] = {"a=1", "a=3", "a=5", "a=2", "a=4", "a=6"};
    for (unsigned i = 0; i < 6; i++)
        keep(rig, i < 3 ? "a" : "b", labels[i], i);
    struct query_request r = request_of("a|b");
    struct text_sink to = sink_of(rig, say);
    r.hints.limit = 2;
    begin(rig);
    assert_int_equal(view_label_values(rig->view, &r, bytes_of_text("a"), &to, NULL), OK);
    expect_texts(rig, "1\n2\n3\n");
    rig_free(rig);
}

UNIT_TEST(test_exemplars_and_metadata_are_in_one_order)
{
    struct rig *rig = rig_new();
    keep(rig, "b", "__name__=up", 5);
    keep(rig, "a", "__name__=up", 7);
    keep(rig, "b", "__name__=down", 6);
    struct query_request r = request_of("b|a");
    struct exemplar_sink sink = {.each = say_exemplar, .context = rig};
    begin(rig);
    assert_int_equal(view_exemplars(rig->view, &r, &sink, NULL), OK);
    expect_texts(rig, "{__name__=\"down\", __tenant_id__=\"b\"} 6\n"
                      "{__name__=\"down\", __tenant_id__=\"b\"} 1006\n"
                      "{__name__=\"up\", __tenant_id__=\"a\"} 7\n"
                      "{__name__=\"up\", __tenant_id__=\"a\"} 1007\n"
                      "{__name__=\"up\", __tenant_id__=\"b\"} 5\n"
                      "{__name__=\"up\", __tenant_id__=\"b\"} 1005\n");
    begin(rig);
    assert_int_equal(view_metadata(rig->view, &r, bytes_of("", 0), say_metadata, rig, NULL), OK);
    expect_texts(rig, "down a\ndown b\nup Up.\n");
    rig_free(rig);
}

UNIT_TEST(test_warnings_and_errors_of_each_tenant_are_returned)
{
    struct rig *rig = rig_new();
    struct why why;
    struct series_set *set;
    struct query_request r = request_of("a|b");
    struct text_sink to = sink_of(rig, say_labels);
    keep(rig, "a", "__name__=up", 1);
    keep(rig, "a", "__name__=up __replica__=r", 2);
    rig->kept.warning = "page 7";
    r.partial = true;
    expect_series(rig, &r,
                  "{__name__=\"up\", __replica__=\"r\", __tenant_id__=\"a\"} 2\n"
                  "{__name__=\"up\", __tenant_id__=\"a\"} 1\n"
                  "page 7\n"); /* the pages of a, of b, and of a again */
    begin(rig);
    rig->kept.count = 0;
    assert_int_equal(view_series(rig->view, &r, &to, NULL), OK);
    expect_texts(rig, "page 7\npage 7\n");
    rig->kept.error = ERR_CORRUPT;
    assert_int_equal(view_select(rig->view, &r, &set, &why), ERR_CORRUPT);
    assert_string_equal(why.text, "as told");
    assert_int_equal(view_series(rig->view, &r, &to, &why), ERR_CORRUPT);
    rig_free(rig);
}

UNIT_TEST(test_lists_are_of_tenants_only)
{
    char many[2 * (TENANTS_AT_ONCE_MAX + 1)];
    struct why why;
    assert_int_equal(tenants_check(bytes_of_text("a"), NULL), OK);
    assert_int_equal(tenants_check(bytes_of_text("a|b|a"), NULL), OK);
    static const char *const wrong[] = {"", "|", "a|", "|a", "a||b", "a|b/c", "a|.."};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(tenants_check(bytes_of_text(wrong[i]), &why), ERR_INPUT);
    for (unsigned i = 0; i < sizeof many; i++)
        many[i] = i % 2 == 0 ? 'a' : '|';
    assert_int_equal(tenants_check(bytes_of(many, 2 * TENANTS_AT_ONCE_MAX - 1), &why), OK);
    assert_int_equal(tenants_check(bytes_of(many, 2 * TENANTS_AT_ONCE_MAX + 1), &why), ERR_INPUT);
    assert_string_equal(why.text, "at most 256 tenants can be read at once");
    assert_true(bytes_equal_text(tenants_first(bytes_of_text("b|a")), "b"));
    assert_true(bytes_equal_text(tenants_first(bytes_of_text("b")), "b"));
}

static unsigned
random_below(uint64_t *seed, unsigned below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33) % below;
}

/* Adds series with names on both sides of the label's, and with the label itself. */
static void
keep_random(struct rig *rig, uint64_t *seed, const char *tenant, int64_t t_ms)
{
    static const char *const names[] = {"Z", "__name__", "__replica__", TENANT_LABEL, "a", "z"};
    char text[200] = "";
    for (unsigned i = 0; i < 6; i++) {
        if (random_below(seed, 2) == 0) continue;
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "%s%s=%u", at == 0 ? "" : " ", names[i],
                 random_below(seed, 2));
    }
    if (text[0] == '\0') return;
    struct bytes labels = labels_of_text(text, &rig->kept.arena);
    for (unsigned i = 0; i < rig->kept.count; i++) {
        const struct kept_series *s = &rig->kept.series[i];
        if (bytes_equal_text(s->tenant, tenant) && bytes_equal(s->labels, labels)) return;
    }
    keep(rig, tenant, text, t_ms);
}

static void
check_shard(struct rig *rig, uint32_t shard, uint32_t count, bool *seen)
{
    struct query_request r = request_of("t1|t2|t3");
    struct series_set *set;
    struct sample_batch b;
    struct bytes labels;
    struct buf before, expected;
    buf_init(&before, NULL, 4096);
    buf_init(&expected, NULL, 4096);
    r.hints.shard = shard;
    r.hints.shard_count = count;
    begin(rig);
    assert_int_equal(view_select(rig->view, &r, &set, NULL), OK);
    while (series_set_next(set, &labels, NULL) == OK && labels.at != NULL) {
        assert_true(labels_valid(labels));
        if (before.size > 0) assert_true(labels_compare(buf_bytes(&before), labels) < 0);
        buf_clear(&before);
        buf_put_bytes(&before, labels);
        assert_int_equal(shard_of_labels(labels, count), shard);
        assert_int_equal(series_set_batch(set, &b, NULL), OK);
        assert_int_equal(b.count, 1);
        unsigned i = 0;
        while (rig->kept.series[i].t_ms != b.times_ms[0])
            i++;
        buf_clear(&expected);
        tenant_labels_put(&expected, rig->kept.series[i].labels, rig->kept.series[i].tenant);
        assert_true(bytes_equal(labels, buf_bytes(&expected)));
        assert_false(seen[i]);
        seen[i] = true;
        assert_int_equal(series_set_batch(set, &b, NULL), OK);
        assert_int_equal(b.count, 0);
    }
    series_set_free(set);
    buf_fini(&before);
    buf_fini(&expected);
}

UNIT_TEST(test_any_series_come_in_label_order_with_their_own_samples)
{
    static const char *const tenants[] = {"t1", "t2", "t3"};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t random = seed;
        struct rig *rig = rig_new();
        bool seen[SERIES_MAX] = {false};
        unsigned series = random_below(&random, 60);
        uint32_t shards = 1 + random_below(&random, 3);
        for (unsigned i = 0; i < series; i++)
            keep_random(rig, &random, tenants[random_below(&random, 3)], i);
        for (uint32_t shard = 0; shard < shards; shard++)
            check_shard(rig, shard, shards, seen);
        for (unsigned i = 0; i < rig->kept.count; i++)
            if (!seen[i]) fail_msg("seed %u: a series is missing", (unsigned)seed);
        rig_free(rig);
    }
}

/* Asks for everything; returns the first error. */
static enum err
ask_all(struct rig *rig, struct query_request *r)
{
    struct series_set *set = NULL;
    struct text_sink to = sink_of(rig, say);
    struct exemplar_sink sink = {.each = say_exemplar, .context = rig};
    enum err e = view_open(rig->answerer, NULL, &rig->view, NULL);
    if (e) return e;
    e = view_select(rig->view, r, &set, NULL);
    if (e == OK) e = say_set(rig, set, NULL);
    series_set_free(set);
    if (e == OK) e = view_label_names(rig->view, r, &to, NULL);
    if (e == OK) e = view_label_values(rig->view, r, bytes_of_text(TENANT_LABEL), &to, NULL);
    if (e == OK) e = view_label_values(rig->view, r, bytes_of_text("p"), &to, NULL);
    if (e == OK) e = view_series(rig->view, r, &to, NULL);
    if (e == OK) e = view_exemplars(rig->view, r, &sink, NULL);
    return e ? e : view_metadata(rig->view, r, bytes_of("", 0), say_metadata, rig, NULL);
}

UNIT_TEST(test_any_allocation_may_fail)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct rig *rig = rig_new();
        struct matcher *is_u;
        assert_int_equal(matcher_new(MATCH_NOT_EQUAL, bytes_of_text(ORIGINAL_LABEL),
                                     bytes_of_text("u"), NULL, &is_u, NULL),
                         OK);
        struct matcher_set set = {&is_u, 1};
        struct query_request r = request_of("a|b");
        r.sets = &set;
        r.set_count = 1;
        keep(rig, "a", "__name__=up", 1);
        keep(rig, "a", "__name__=up __replica__=r", 2);
        keep(rig, "b", "__tenant_id__=v p=1", 3);
        assert_true(buf_reserve(&rig->said, 4096));
        mem_fail_nth(nth, false);
        enum err e = ask_all(rig, &r);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        matcher_free(is_u);
        rig_free(rig);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_say_whose_they_are),
        cmocka_unit_test(test_series_with_the_label_keep_its_value_elsewhere),
        cmocka_unit_test(test_series_that_are_the_beginning_of_others_come_in_their_place),
        cmocka_unit_test(test_the_cost_of_all_tenants_is_returned),
        cmocka_unit_test(test_matchers_of_the_label_choose_tenants),
        cmocka_unit_test(test_a_tenant_is_read_if_all_matchers_of_the_label_hold),
        cmocka_unit_test(test_series_before_given_labels_are_left_out),
        cmocka_unit_test(test_texts_are_in_one_order_and_each_once),
        cmocka_unit_test(test_a_limit_leaves_one_more_than_is_wanted),
        cmocka_unit_test(test_exemplars_and_metadata_are_in_one_order),
        cmocka_unit_test(test_warnings_and_errors_of_each_tenant_are_returned),
        cmocka_unit_test(test_lists_are_of_tenants_only),
        cmocka_unit_test(test_any_series_come_in_label_order_with_their_own_samples),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
