/*
 * answer_cache.c - see answer_cache.h. Each question has a list of its cached answers in a file.
 * Two threads that change it at the same time may lose an entry, whose times are requested again.
 *
 * Invariants:
 *
 * 1. A list has at most RUNS_MAX runs, all of them valid when it was read.
 * 2. Each step of a plan uses another run, so it has at most two parts for each of them; the times
 *    to request do not overlap them.
 * 3. A set that caches has `pending` samples of its present series only.
 */
#include "views/answer_cache.h"

#include <assert.h>

#include "base/framed.h"
#include "views/answer_file.h"
#include "views/gather.h"
#include "views/merged_set.h"

#define MINUTE_MS ((int64_t)60 * 1000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)
#define YOUNG_MS  (10 * MINUTE_MS)
/* Times beyond are not those of samples; they are not widened. */
#define EVEN_MS_MAX ((int64_t)1 << 53)

static const uint8_t list_magic[8] = {'F', 'K', 'A', 'N', 'L', 'I', 'S', 'T'};
enum { LIST_VERSION = 1, LIST_BYTES_MAX = 128 * 1024, RUNS_MAX = 64, CLOCK_MS = 60 * 1000 };

struct answer_cache {
    struct answerer answerer; /* first: callers get it */
    struct answer_cache_options options;
    struct file_cache *files;
};

struct answer_cache_view {
    struct view view; /* first: callers get it */
    struct answer_cache *of;
    struct view *below;
    struct budget *budget;
};

/* A cached answer: for these times, both inclusive, as the store had it at as_of_ms. */
struct kept_run {
    int64_t min_ms;
    int64_t max_ms;
    int64_t as_of_ms;
};

struct kept_runs {
    struct kept_run items[RUNS_MAX];
    uint32_t count;
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- questions -------------------------------------------------------------------------------- */

/* Writes all that determines the answer, but the times. */
static void
put_question(const struct answer_cache *m, const struct query_request *r, struct buf *to)
{
    const struct matcher_set *set = r->set_count == 0 ? NULL : r->sets;
    buf_put_le64(to, m->options.store);
    buf_put_counted(to, r->tenant);
    for (uint32_t i = 0; set != NULL && i < set->count; i++) {
        const struct matcher *matcher = set->matchers[i];
        buf_put_u8(to, (uint8_t)matcher_type(matcher));
        buf_put_counted(to, matcher_name(matcher));
        buf_put_counted(to, matcher_pattern(matcher));
    }
}

static struct file_key
list_key(struct bytes question)
{
    return file_key_of(question, 0);
}

static struct file_key
run_key(struct bytes question, const struct kept_run *run)
{
    struct file_key times = file_key_of(bytes_of(run, sizeof *run), 1);
    return file_key_of(question, times.low);
}

/* Says whether a cached answer is still valid. */
static bool
is_fresh(const struct answer_cache *m, const struct kept_run *run, int64_t now_ms)
{
    int64_t life_ms = m->options.max_age_ms;
    if (run->min_ms > run->max_ms || run->max_ms >= run->as_of_ms) return false;
    if (run->max_ms >= run->as_of_ms - life_ms) life_ms = run->as_of_ms - run->max_ms;
    return run->as_of_ms <= now_ms + CLOCK_MS && now_ms - run->as_of_ms <= life_ms;
}

/* --- the list of a question ------------------------------------------------------------------- */

static bool
get_run(struct cursor *c, struct kept_run *run)
{
    run->min_ms = cursor_zigzag(c);
    run->max_ms = cursor_zigzag(c);
    run->as_of_ms = cursor_zigzag(c);
    return !c->bad && run->as_of_ms > 0 && run->as_of_ms < EVEN_MS_MAX;
}

/* Reads the list: the runs that are valid. */
static void
load_runs(const struct answer_cache *m, struct bytes question, int64_t now_ms,
          struct budget *budget, struct kept_runs *runs)
{
    struct buf file;
    struct bytes piece;
    struct kept_run run;
    runs->count = 0;
    buf_init(&file, budget, LIST_BYTES_MAX);
    if (file_cache_read(m->files, list_key(question), &file) &&
        framed_open(buf_bytes(&file), list_magic, LIST_VERSION, &piece, NULL) == OK) {
        struct cursor c = cursor_of(piece);
        bool same = bytes_equal(cursor_counted(&c), question);
        while (same && cursor_left(&c) > 0 && runs->count < RUNS_MAX && get_run(&c, &run)) {
            if (is_fresh(m, &run, now_ms)) runs->items[runs->count++] = run;
        }
    }
    buf_fini(&file);
}

static void
remove_run(struct kept_runs *runs, uint32_t index)
{
    assert(index < runs->count);
    runs->items[index] = runs->items[--runs->count];
}

/* Adds a run to the list, and removes those that it includes, or the oldest if the list is full. */
static void
add_run(const struct answer_cache *m, struct bytes question, const struct kept_run *run,
        struct budget *budget)
{
    struct kept_runs runs;
    struct buf file;
    uint32_t oldest = 0;
    load_runs(m, question, env_realtime_ms(m->options.env), budget, &runs);
    for (uint32_t i = runs.count; i-- > 0;) {
        const struct kept_run *x = &runs.items[i];
        if (x->min_ms >= run->min_ms && x->max_ms <= run->max_ms) remove_run(&runs, i);
    }
    for (uint32_t i = 1; i < runs.count; i++) {
        if (runs.items[i].as_of_ms < runs.items[oldest].as_of_ms) oldest = i;
    }
    if (runs.count == RUNS_MAX) remove_run(&runs, oldest);
    assert(runs.count < RUNS_MAX); /* invariant 1 */
    runs.items[runs.count++] = *run;
    buf_init(&file, budget, LIST_BYTES_MAX);
    framed_begin(&file);
    buf_put_counted(&file, question);
    for (uint32_t i = 0; i < runs.count; i++) {
        buf_put_zigzag(&file, runs.items[i].min_ms);
        buf_put_zigzag(&file, runs.items[i].max_ms);
        buf_put_zigzag(&file, runs.items[i].as_of_ms);
    }
    framed_end(&file, list_magic, LIST_VERSION);
    if (buf_error(&file) == OK) {
        bool kept = file_cache_store(m->files, list_key(question), buf_bytes(&file));
        (void)kept; /* if it is lost, its times are requested again */
    }
    buf_fini(&file);
}

/* --- times ------------------------------------------------------------------------------------ */

/* Returns the unit to which times of a question are widened, which is also the shortest answer
 * worth caching: at most a tenth of it, but at least a minute. */
static int64_t
unit_of(const struct query_request *r)
{
    static const int64_t units[] = {30 * DAY_MS, 7 * DAY_MS,     DAY_MS,   6 * HOUR_MS,
                                    HOUR_MS,     10 * MINUTE_MS, MINUTE_MS};
    enum { COUNT = sizeof units / sizeof *units };
    uint64_t span = (uint64_t)r->max_ms - (uint64_t)r->min_ms;
    for (unsigned i = 0; i < COUNT; i++) {
        if ((uint64_t)units[i] * 20 <= span) return units[i];
    }
    return MINUTE_MS;
}

/* Returns the last even time that is not after t_ms. */
static int64_t
even_before(int64_t t_ms, int64_t unit_ms)
{
    if (t_ms < -EVEN_MS_MAX || t_ms > EVEN_MS_MAX) return t_ms;
    int64_t over = t_ms % unit_ms;
    return t_ms - (over < 0 ? over + unit_ms : over);
}

/* Returns the last time before the first even time that is after t_ms. */
static int64_t
even_after(int64_t t_ms, int64_t unit_ms)
{
    if (t_ms < -EVEN_MS_MAX || t_ms > EVEN_MS_MAX) return t_ms;
    return even_before(t_ms, unit_ms) + unit_ms - 1;
}

/* The times for which cached answers are used, and those for which the store is asked. */
struct reuse_plan {
    struct reuse_part {
        struct kept_run run;
        int64_t min_ms, max_ms;
    } parts[2 * RUNS_MAX];
    uint32_t count;
    int64_t min_ms, max_ms; /* times to request; min > max: none */
};

/* Finds the run that has the time, and reaches the farthest from there; or NULL. */
static const struct kept_run *
find_run(const struct kept_runs *runs, int64_t t_ms, bool forward)
{
    const struct kept_run *best = NULL;
    for (uint32_t i = 0; i < runs->count; i++) {
        const struct kept_run *x = &runs->items[i];
        if (x->min_ms > t_ms || x->max_ms < t_ms) continue;
        bool farther =
            best == NULL || (forward ? x->max_ms > best->max_ms : x->min_ms < best->min_ms);
        if (farther) best = x;
    }
    return best;
}

static void
make_plan(const struct kept_runs *runs, const struct query_request *r, struct reuse_plan *plan)
{
    const struct kept_run *x;
    plan->count = 0;
    plan->min_ms = r->min_ms;
    plan->max_ms = r->max_ms;
    /* Each step uses up a run, which reaches no farther: invariant 2. */
    while (plan->min_ms <= plan->max_ms && (x = find_run(runs, plan->min_ms, true)) != NULL) {
        int64_t to = x->max_ms < r->max_ms ? x->max_ms : r->max_ms;
        assert(plan->count < 2 * RUNS_MAX); /* invariant 2 */
        plan->parts[plan->count++] = (struct reuse_part){*x, plan->min_ms, to};
        plan->min_ms = to + 1; /* a run ends before it was asked for: it does not overflow */
    }
    while (plan->min_ms <= plan->max_ms && (x = find_run(runs, plan->max_ms, false)) != NULL) {
        int64_t from = x->min_ms > plan->min_ms ? x->min_ms : plan->min_ms;
        assert(plan->count < 2 * RUNS_MAX); /* invariant 2 */
        plan->parts[plan->count++] = (struct reuse_part){*x, from, plan->max_ms};
        plan->max_ms = from - 1;
    }
}

/* --- requests, whose answers are cached ------------------------------------------------------- */

struct keeping_set {
    struct series_set set; /* first: callers get it */
    const struct answer_cache *of;
    struct budget *budget;
    struct series_set *below;
    struct answer_writer *writer; /* NULL: the answer is not cached */
    struct buf question;
    struct kept_run run;    /* the cached answer */
    int64_t min_ms, max_ms; /* times of the returned samples */
    struct buf labels;
    bool in_series; /* the present series may have more samples below */
    struct sample_batch pending;
};

/* Reads more samples of the series: writes those to be cached, and makes those to be returned
 * pending.
 */
static enum err
take_batch(struct keeping_set *s, struct why *why)
{
    struct sample_batch b;
    /* Invariant 3: keeping_drain() drops pending samples. */
    assert(s->pending.count == 0 || s->writer != NULL);
    enum err e = series_set_batch(s->below, &b, why);
    s->pending.count = 0;
    s->in_series = e == OK && b.count > 0;
    if (!s->in_series) return e;
    uint32_t keep = b.count, from = 0, to = b.count;
    while (keep > 0 && b.times_ms[keep - 1] > s->run.max_ms)
        keep--;
    if (s->writer != NULL && keep > 0) {
        struct sample_batch kept = sample_batch_part(&b, 0, keep);
        answer_writer_samples(s->writer, &kept);
    }
    while (from < to && b.times_ms[from] < s->min_ms)
        from++;
    while (to > from && b.times_ms[to - 1] > s->max_ms)
        to--;
    s->pending = sample_batch_part(&b, from, to - from);
    return OK;
}

/* Caches the rest of a series that the caller did not read. */
static enum err
keeping_drain(struct keeping_set *s, struct why *why)
{
    enum err e = OK;
    while (e == OK && s->in_series && s->writer != NULL)
        e = take_batch(s, why);
    s->in_series = false;
    s->pending.count = 0;
    return e;
}

/* Caches the answer after its end, unless it has a warning about missing data. */
static void
keeping_end(struct keeping_set *s)
{
    struct answer_writer *writer = s->writer;
    s->writer = NULL;
    if (writer == NULL) return;
    if (series_set_warning(s->below, 0) != NULL) {
        answer_writer_drop(writer);
    } else if (answer_writer_keep(writer)) {
        add_run(s->of, buf_bytes(&s->question), &s->run, s->budget);
    }
}

static enum err
keeping_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct keeping_set *s = (struct keeping_set *)set;
    struct bytes labels;
    *ret_labels = bytes_of(NULL, 0);
    enum err e = keeping_drain(s, why);
    while (e == OK && s->pending.count == 0) {
        e = series_set_next(s->below, &labels, why);
        if (e == OK && labels.at == NULL) {
            keeping_end(s);
            return OK;
        }
        if (e) break;
        buf_clear(&s->labels);
        buf_put_bytes(&s->labels, labels);
        if (buf_error(&s->labels)) return no_memory(why);
        if (s->writer != NULL) answer_writer_series(s->writer, labels);
        do {
            e = take_batch(s, why);
        } while (e == OK && s->in_series && s->pending.count == 0);
    }
    if (e == OK) *ret_labels = buf_bytes(&s->labels);
    return e;
}

static enum err
keeping_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct keeping_set *s = (struct keeping_set *)set;
    enum err e = OK;
    while (e == OK && s->in_series && s->pending.count == 0)
        e = take_batch(s, why);
    *ret_batch = e ? (struct sample_batch){.count = 0} : s->pending;
    s->pending.count = 0;
    return e;
}

static const char *
keeping_warning(struct series_set *set, uint32_t index)
{
    return series_set_warning(((struct keeping_set *)set)->below, index);
}

static void
keeping_free(struct series_set *set)
{
    struct keeping_set *s = (struct keeping_set *)set;
    answer_writer_drop(s->writer);
    series_set_free(s->below);
    buf_fini(&s->question);
    buf_fini(&s->labels);
    mem_free(s->budget, s, sizeof *s);
}

/* Requests the times of the plan from the store. The answer is cached if it is long enough. */
static enum err
ask_store(const struct answer_cache_view *v, const struct query_request *r,
          const struct reuse_plan *plan, struct bytes question, int64_t now_ms,
          struct series_set **ret_set, struct why *why)
{
    static const struct series_set_ops ops = {.next = keeping_next,
                                              .batch = keeping_batch,
                                              .warning = keeping_warning,
                                              .free = keeping_free};
    int64_t unit_ms = unit_of(r), young_ms = now_ms - YOUNG_MS;
    struct query_request below = *r;
    below.hints.times_only = false;    /* the next question may need the values */
    below.hints.rollups = ROLLUP_NONE; /* files have samples; sources give no windows */
    below.min_ms = plan->min_ms;
    below.max_ms = plan->max_ms;
    /* Widens the question's own ends, but not the ends of cached answers. */
    if (plan->min_ms == r->min_ms) below.min_ms = even_before(plan->min_ms, unit_ms);
    if (plan->max_ms == r->max_ms) {
        int64_t wide = even_after(plan->max_ms, unit_ms);
        if (wide < young_ms) below.max_ms = wide;
    }
    struct keeping_set *s = mem_new(v->budget, sizeof *s);
    if (s == NULL) return no_memory(why);
    s->set.ops = &ops;
    s->of = v->of;
    s->budget = v->budget;
    s->min_ms = plan->min_ms;
    s->max_ms = plan->max_ms;
    s->run = (struct kept_run){below.min_ms, below.max_ms < young_ms ? below.max_ms : young_ms - 1,
                               now_ms};
    buf_init(&s->question, v->budget, ANSWER_QUESTION_BYTES_MAX);
    buf_init(&s->labels, v->budget, GATHERED_LABEL_BYTES_MAX);
    buf_put_bytes(&s->question, question);
    enum err e = buf_error(&s->question) ? no_memory(why) : OK;
    if (e == OK) e = view_select(v->below, &below, &s->below, why);
    if (e) {
        keeping_free(&s->set);
        return e;
    }
    if (s->run.min_ms < s->run.max_ms &&
        (uint64_t)s->run.max_ms - (uint64_t)s->run.min_ms >= (uint64_t)unit_ms - 1) {
        struct answer_about about = {question, s->run.min_ms, s->run.max_ms, s->run.as_of_ms};
        s->writer = answer_writer_new(v->of->files, run_key(question, &s->run), &about, v->budget);
    }
    *ret_set = &s->set;
    return OK;
}

/* --- series with their samples ---------------------------------------------------------------- */

/* The sets of one answer. */
struct opened_sets {
    struct series_set *sets[2 * RUNS_MAX + 1];
    uint32_t count;
};

static void
drop_gathered(struct opened_sets *g)
{
    while (g->count > 0)
        series_set_free(g->sets[--g->count]);
}

/* Opens the cached answers of the plan. *ret_bad: a run whose file is missing or damaged; the plan
 * has to be made again without it. */
static enum err
open_parts(const struct answer_cache_view *v, const struct reuse_plan *plan, struct bytes question,
           struct opened_sets *g, const struct kept_run **ret_bad, struct why *why)
{
    *ret_bad = NULL;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct reuse_part *p = &plan->parts[i];
        struct answer_about about = {question, p->run.min_ms, p->run.max_ms, p->run.as_of_ms};
        struct file file;
        enum err e = file_cache_open(v->of->files, run_key(question, &p->run), &file)
                         ? answer_file_open(&file, &about, p->min_ms, p->max_ms, v->budget,
                                            &g->sets[g->count], why)
                         : ERR_CORRUPT;
        if (e == ERR_CORRUPT) {
            *ret_bad = &p->run;
            return OK;
        }
        if (e) return e;
        g->count++;
        assert(g->count <= 2 * RUNS_MAX); /* invariant 2 */
    }
    return OK;
}

static void
forget_run(struct kept_runs *runs, const struct kept_run *run)
{
    for (uint32_t i = runs->count; i-- > 0;) {
        if (memcmp(&runs->items[i], run, sizeof *run) == 0) remove_run(runs, i);
    }
}

/* Memory for a question; on the heap, since it is large. */
struct answering {
    struct kept_runs runs;
    struct reuse_plan plan;
    struct opened_sets sets;
    struct buf question;
};

static enum err
cached_answer(const struct answer_cache_view *v, const struct query_request *r, struct answering *a,
              struct series_set **ret_set, struct why *why)
{
    const struct answer_cache_options *x = &v->of->options;
    int64_t now_ms = env_realtime_ms(x->env);
    const struct kept_run *bad;
    put_question(v->of, r, &a->question);
    enum err e = buf_error(&a->question);
    if (e == ERR_NOMEM) return no_memory(why);
    /* Does not cache questions that are too long, or about the last ten minutes. */
    if (e || r->min_ms >= now_ms - YOUNG_MS) return view_select(v->below, r, ret_set, why);
    struct bytes question = buf_bytes(&a->question);
    load_runs(v->of, question, now_ms, v->budget, &a->runs);
    do {
        drop_gathered(&a->sets);
        make_plan(&a->runs, r, &a->plan);
        e = open_parts(v, &a->plan, question, &a->sets, &bad, why);
        if (e) return e;
        if (bad != NULL) forget_run(&a->runs, bad);
    } while (bad != NULL);
    atomic_fetch_add_explicit(x->hits, a->plan.count, memory_order_relaxed);
    if (a->plan.min_ms <= a->plan.max_ms) {
        atomic_fetch_add_explicit(x->misses, 1, memory_order_relaxed);
        e = ask_store(v, r, &a->plan, question, now_ms, &a->sets.sets[a->sets.count], why);
        if (e) return e;
        a->sets.count++;
    }
    uint32_t count = a->sets.count;
    a->sets.count = 0; /* the merged set takes them */
    assert(count > 0);
    return merged_set_new(a->sets.sets, count, v->budget, ret_set, why);
}

static enum err
select_series(struct view *view, const struct query_request *r, struct series_set **ret_set,
              struct why *why)
{
    struct answer_cache_view *v = (struct answer_cache_view *)view;
    if (r->set_count > 1 || r->min_ms > r->max_ms) {
        return view_select(v->below, r, ret_set, why);
    }
    struct answering *a = mem_new(v->budget, sizeof *a);
    if (a == NULL) return no_memory(why);
    buf_init(&a->question, v->budget, ANSWER_QUESTION_BYTES_MAX);
    enum err e = cached_answer(v, r, a, ret_set, why);
    drop_gathered(&a->sets);
    buf_fini(&a->question);
    mem_free(v->budget, a, sizeof *a);
    return e;
}

/* --- forwarded to the other answerer ---------------------------------------------------------- */

static enum err
look_up(struct view *view, enum lookup_kind kind, const struct query_request *r, struct bytes name,
        const struct text_sink *to, struct why *why)
{
    return view_look_up(((struct answer_cache_view *)view)->below, kind, r, name, to, why);
}

static void
free_view(struct view *view)
{
    struct answer_cache_view *v = (struct answer_cache_view *)view;
    view_free(v->below);
    mem_free(v->budget, v, sizeof *v);
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
    struct answer_cache *m = (struct answer_cache *)answerer;
    struct budget *budget = control == NULL ? NULL : control->budget;
    struct answer_cache_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return no_memory(why);
    v->view.ops = &ops;
    v->of = m;
    v->budget = budget;
    enum err e = view_open(m->options.answers, control, &v->below, why);
    if (e)
        mem_free(budget, v, sizeof *v);
    else
        *ret_view = &v->view;
    return e;
}

static void
find_range(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    struct answerer *answers = ((struct answer_cache *)answerer)->options.answers;
    answers->ops->range(answers, ret_min_ms, ret_max_ms);
}

static void
free_answer_cache(struct answerer *answerer)
{
    struct answer_cache *m = (struct answer_cache *)answerer;
    m->options.answers->ops->free(m->options.answers);
    file_cache_free(m->files);
    mem_free(m->options.memory, m, sizeof *m);
}

enum err
answer_cache_new(const struct answer_cache_options *options, struct answerer **ret_answerer,
                 struct why *why)
{
    static const struct answerer_ops ops = {open_view, find_range, free_answer_cache};
    struct answer_cache *m = mem_new(options->memory, sizeof *m);
    if (m == NULL) {
        options->answers->ops->free(options->answers);
        return no_memory(why);
    }
    m->options = *options;
    m->answerer = *options->answers;
    m->answerer.ops = &ops;
    struct file_cache_options files = {options->env, options->memory, options->path,
                                       options->max_bytes};
    enum err e = file_cache_new(&files, &m->files);
    if (e)
        free_answer_cache(&m->answerer);
    else
        *ret_answerer = &m->answerer;
    return e ? no_memory(why) : OK;
}
