/*
 * rules_replay.c - `firekeep rules replay`: works in slices of time. In each slice, several workers
 * evaluate groups that do not depend on each other, and then those that read what the first ones
 * recorded.
 *
 *     worker: view of the target -> group -> write requests -> target
 *
 * Each worker has a connection of its own to a server; a directory is opened once, and one worker
 * at a time writes to it.
 *
 * With --overwrite the state has a character for each group, which is durable before the next step:
 *
 *     .  evaluated into a file, which is durable before what is stored is deleted
 *     d  deleted: the results in the file are written
 *     c  done, without the file
 *
 * A file of a group in state '.' is worthless, because nothing of the group was deleted that could
 * not be evaluated again. A group that must find its own new results, or records a name that
 * another one records, is evaluated only as a check, then the results of all such groups are
 * deleted, and they are evaluated again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash/hash.h"
#include "base/text/time_text.h"
#include "cli/cli.h"
#include "cli/lib/query.h"
#include "cli/lib/resume.h"
#include "cli/rules/rules.h"
#include "rules/replay/replay.h"
#include "sys/env.h"
#include "views/stack.h"
#include "wire/number.h"

#define WAKE_NS (NS_PER_S / 10)
enum {
    SHOWN_MAX = 20,
    SHOWN_BYTES_MAX = 64 << 10,
    QUESTION_BYTES_MAX = 16 << 20,
    SELECTORS_BYTES_MAX = 1 << 20,
    SELECTORS_MAX = 256,         /* of a deletion */
    RESULTS_BYTES_MAX = 1 << 30, /* of a group, with --overwrite */
};

/* Kinds of lines, each of which is printed a limited number of times, and then only counted. */
enum { SHOWN_FAILURES, SHOWN_DIFFERENCES, SHOWN_KINDS };

struct replay_worker {
    struct replaying *of;
    struct target *target;
    bool is_own; /* false: the target is shared by all workers */
    struct rw_request request;
    struct rules_host host;
    struct rules_terms terms;
    struct replay replay;
    struct replay_counts counts;
    struct buf results; /* collected with replay.overwrites: messages with their sizes */
    char path[FILE_PATH_BYTES + 16];
    struct env_thread *thread;
    enum err error;
    struct why why;
};

struct replaying {
    struct rules_command *command;
    struct target *target;
    struct found_rules found;
    struct group **groups; /* groups to replay */
    uint32_t *rounds;
    uint32_t count, round_count;
    bool *deleted_first;      /* groups that --overwrite deletes before it evaluates them */
    bool begun;               /* after an error, missing evaluations are left to another run */
    struct slice_state state; /* of slices of time; with --overwrite, of groups */
    char state_path[64];      /* with --overwrite, without --resume */
    struct buf question;
    struct bytes replicas[REPLICA_LABELS_MAX];
    uint32_t replica_count;
    struct replay_worker *workers;
    uint32_t worker_count;
    _Atomic(const char *) canceled;
    struct lock writing; /* LOCK_RANK_APP; held while writing to a directory, or the state */

    struct lock lock; /* LOCK_RANK_LEAF; guards the rest */
    struct cond cond; /* a worker has ended */
    uint32_t round, next, running;
    int64_t min_ns, max_ns;
    bool failed;
    uint64_t shown[SHOWN_KINDS];
    uint64_t deleted;     /* samples, by --overwrite */
    uint64_t evaluations; /* done in this run */
    uint64_t groups_done; /* in all slices */
};

/* --- the host of the rules -------------------------------------------------------------------- */

static enum err
write_message(void *context, struct bytes tenant, struct bytes message, struct rules_written *ret,
              struct why *why)
{
    struct replay_worker *w = context;
    struct target_result result;
    (void)tenant;
    *ret = (struct rules_written){.ticket = 0};
    if (w->replay.overwrites) {
        uint32_t size = (uint32_t)message.size;
        buf_put(&w->results, &size, sizeof size);
        buf_put_bytes(&w->results, message);
        if (buf_error(&w->results) == OK) return OK;
        return why_set(why, ERR_NOMEM,
                       "not enough memory for the results of a group: replay less time");
    }
    enum err e = rw_decode(&w->request, RW_V1, message, 0, why); /* for the counts */
    struct target_counts counts = {{w->request.float_count, w->request.histogram_count, 0}};
    rw_request_clear(&w->request);
    if (e) return e;
    if (!w->is_own) lock_take(&w->of->writing);
    e = target_write(w->target, RW_V1, message, (struct bytes){NULL, 0}, &counts, &result, why);
    if (!w->is_own) lock_drop(&w->of->writing);
    if (e == OK && result.too_large) e = why_set(why, ERR_LIMIT, "%s", result.text);
    if (e) return e;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        ret->rejected += result.rejected.of[kind];
    snprintf(ret->text, sizeof ret->text, "%.*s", (int)sizeof ret->text - 1, result.text);
    return OK;
}

static enum err
replay_open_view(void *context, struct query_control *control, struct view **ret_view,
                 struct why *why)
{
    const struct replay_worker *w = context;
    const struct replaying *r = w->of;
    struct view_stack stack = {.answerer = w->target->answerer,
                               .replicas = r->replicas,
                               .replica_count = r->replica_count};
    return view_stack_open(&stack, control, ret_view, why);
}

/* --- evaluations by the server ---------------------------------------------------------------- */

/* The result of a query of the server: all of it is floats. */
struct server_result {
    struct query_sink sink; /* first */
    struct replay_part *to;
};

static enum err
result_begin(struct query_sink *sink, enum promql_type type, struct why *why)
{
    (void)sink, (void)type, (void)why;
    return OK;
}

static enum err
result_series(struct query_sink *sink, struct bytes labels, struct why *why)
{
    enum err e = replay_take_series(((struct server_result *)(void *)sink)->to, labels);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the rule") : e;
}

static enum err
result_point(struct query_sink *sink, const struct query_point *point, struct why *why)
{
    if (point->histogram != NULL) {
        return why_set(why, ERR_INPUT,
                       "the result is a native histogram of downsampled samples, which a server "
                       "does not return as it would be stored: stop it, and use --storage.path");
    }
    return replay_take_float(((struct server_result *)(void *)sink)->to, point->t_ms, point->value,
                             why);
}

static void
result_note(struct query_sink *sink, enum promql_note kind, struct bytes sentence)
{
    (void)kind;
    replay_take_note(((struct server_result *)(void *)sink)->to, sentence);
}

static enum err
evaluate_on_server(void *context, const char *expression, int64_t first_ms, int64_t last_ms,
                   int64_t step_ms, struct replay_part *to, struct buf *error, struct why *why)
{
    static const struct query_sink_ops ops = {
        .begin = result_begin, .series = result_series, .point = result_point, .note = result_note};
    const struct replay_worker *w = context;
    struct server_result result = {.sink = {&ops}, .to = to};
    struct query_parameters asked = {.expression = bytes_of_text(expression),
                                     .first_ms = first_ms,
                                     .last_ms = last_ms,
                                     .step_ms = step_ms};
    struct query_failure failure = {.bad_question = false};
    buf_init(&failure.sentence, &w->of->command->memory, SHOWN_BYTES_MAX);
    enum err e = target_query(w->target, &asked, &result.sink, &failure, why);
    if (e == ERR_INPUT) {
        struct bytes sentence = buf_bytes(&failure.sentence);
        buf_put_cut(error, sentence.size > 0 ? sentence : bytes_of_text(why->text));
    }
    buf_fini(&failure.sentence);
    return e;
}

/* Prints a line about a rule at a time, up to SHOWN_MAX of each kind. */
static void
show_line(struct replay_worker *w, int kind, const struct group *group, const struct rule *rule,
          int64_t t_ms, struct bytes text)
{
    static const char *const kinds[] = {"failures", "differences"};
    struct replaying *r = w->of;
    const struct rule_group *of = &group->text;
    char time[TIME_TEXT_BYTES];
    lock_take(&r->lock);
    uint64_t shown = ++r->shown[kind];
    lock_drop(&r->lock);
    if (shown > SHOWN_MAX) return;
    progress_say(&r->command->progress, "%s: group '%s', rule '%s', %s: %.*s", of->file, of->name,
                 rule->name, time_print(t_ms, time), (int)text.size, (const char *)text.at);
    if (shown == SHOWN_MAX)
        progress_say(&r->command->progress, "more %s are counted but not shown", kinds[kind]);
}

static void
show_failure(void *context, const struct group *group, const struct rule *rule, int64_t at_ns,
             struct bytes sentence)
{
    show_line(context, SHOWN_FAILURES, group, rule, at_ns / NS_PER_MS, sentence);
}

static void
put_replay_value(struct buf *to, const struct replay_value *value, const char *histogram)
{
    char number[NUMBER_TEXT_BYTES];
    if (value->is_histogram)
        buf_put_text(to, histogram);
    else if (value->bits == STALE_NAN_BITS)
        buf_put_text(to, "a staleness marker");
    else
        buf_put(to, number, number_print_exact(value->bits, number));
}

static void
show_difference(void *context, const struct group *group, const struct rule *rule,
                const struct replay_difference *d)
{
    struct replay_worker *w = context;
    struct buf text;
    buf_init(&text, &w->of->command->memory, SHOWN_BYTES_MAX);
    labels_print(&text, d->labels);
    buf_put_text(&text, " is stored as ");
    put_replay_value(&text, &d->stored, "a histogram");
    buf_put_text(&text, ", computed as ");
    put_replay_value(&text, &d->computed,
                     d->stored.is_histogram ? "another histogram" : "a histogram");
    show_line(w, SHOWN_DIFFERENCES, group, rule, d->t_ms, buf_bytes(&text));
    buf_fini(&text);
}

/* --- workers ---------------------------------------------------------------------------------- */

static enum err
worker_init(struct replaying *r, struct replay_worker *w)
{
    const struct settings *s = &r->found.settings;
    w->of = r;
    w->host = (struct rules_host){
        .env = env_real(),
        .memory = &r->command->memory,
        .seed = (uint64_t)env_monotonic_ns(env_real()),
        .all_canceled = &r->canceled,
        .write = write_message,
        .context = w,
    };
    w->terms = (struct rules_terms){
        .open = replay_open_view,
        .open_context = w,
        .lookback_ms = s->query_lookback_delta_ms,
        .subquery_step_ms = s->global_evaluation_interval_ms,
        .held_max = s->query_max_samples,
        .series_max = s->query_max_series,
        .samples_read_max = s->query_max_samples_read,
        .bytes_max = s->query_max_bytes,
        .fetched_max = s->query_max_fetched_bytes,
        .features = promql_features_of(s->query_features),
    };
    w->replay = (struct replay){
        .host = &w->host,
        .terms = &w->terms,
        .is_exact = !r->command->allow_approximate,
        .evaluate = r->command->target.url != NULL ? evaluate_on_server : NULL,
        .failed = show_failure,
        .differs = show_difference,
        .context = w,
    };
    buf_init(&w->results, &r->command->memory, RESULTS_BYTES_MAX);
    return rw_request_init(&w->request, &r->command->memory);
}

static enum err
open_workers(struct replaying *r, struct why *why)
{
    struct rules_command *a = r->command;
    enum err e = OK;
    r->worker_count = (uint32_t)a->concurrency;
    r->workers = mem_new(&a->memory, r->worker_count * sizeof *r->workers);
    if (r->workers == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    for (uint32_t i = 0; e == OK && i < r->worker_count; i++) {
        struct replay_worker *w = &r->workers[i];
        e = worker_init(r, w);
        if (e) return why_set(why, e, "not enough memory");
        w->target = r->target;
        if (a->target.url == NULL) continue;
        struct target_options options = a->target;
        options.like = r->target;
        e = target_open(&options, &w->target, why);
        w->is_own = e == OK;
    }
    return e;
}

/* --- overwriting a group ---------------------------------------------------------------------- */

static const char *
results_path(struct replay_worker *w, uint32_t group)
{
    snprintf(w->path, sizeof w->path, "%s.%" PRIu32, w->of->state.path, group);
    return w->path;
}

/* Makes a state of the group durable. */
static enum err
note_group(struct replay_worker *w, uint32_t i, char state)
{
    struct replaying *r = w->of;
    if (!r->command->overwrite) return OK;
    lock_take(&r->writing);
    r->state.slices[i] = state;
    enum err e = slice_state_save(&r->state, true, &w->why);
    lock_drop(&r->writing);
    if (e == OK && state == 'c')
        err_ignore(env_unlink(env_real(), results_path(w, i), NULL), "swept at the end");
    return e;
}

/* Deletes what the group recorded, as a whole or not at all, and notes it. */
static enum err
delete_recorded(struct replay_worker *w, uint32_t i)
{
    struct replaying *r = w->of;
    struct buf text;
    struct bytes selectors[SELECTORS_MAX];
    int64_t min_ms, max_ms;
    uint64_t samples = 0;
    buf_init(&text, &r->command->memory, SELECTORS_BYTES_MAX);
    const uint32_t count = replay_recorded(r->groups[i], &text);
    enum err e = buf_error(&text);
    if (e) why_set(&w->why, e, "not enough memory for selectors");
    const char *at = (const char *)text.at;
    for (uint32_t k = 0; e == OK && k < count; k++, at += strlen(at) + 1)
        selectors[k] = bytes_of_text(at);
    if (!w->is_own) lock_take(&r->writing);
    if (e == OK && replay_times(r->groups[i], r->min_ns, r->max_ns, &min_ms, &max_ms))
        e = target_delete(w->target, selectors, count, min_ms, max_ms, &samples, &w->why);
    if (!w->is_own) lock_drop(&r->writing);
    if (e == ERR_LIMIT) {
        why_set(&w->why, e,
                "group '%.64s' is not overwritten: of at most %d deletions that can be held, it "
                "needs %" PRIu32 ": wait until delete.hold has passed, or POST "
                "/api/v1/admin/tsdb/clean_tombstones%s, after which no deletion can be undone, and "
                "run the same command again",
                r->groups[i]->text.name, SELECTORS_MAX, count,
                r->command->target.url != NULL ? "" : " to a server that uses the directory");
    }
    lock_take(&r->lock);
    r->deleted += samples;
    lock_drop(&r->lock);
    buf_fini(&text);
    return e ? e : note_group(w, i, 'd');
}

/* Evaluates the group without writing its results. No evaluation may fail: what is
 * stored would be deleted, and nothing recorded instead. */
static enum err
collect_group(struct replay_worker *w, uint32_t i)
{
    const struct replaying *r = w->of;
    struct replay_from item = replay_from(r->groups[i], r->min_ns);
    const int64_t slice_ns = r->command->slice_ns;
    uint64_t failed = w->counts.failed;
    enum err e = OK;
    buf_clear(&w->results);
    w->replay.overwrites = true;
    for (int64_t to_ns = r->min_ns; e == OK && to_ns < r->max_ns;) {
        to_ns = r->max_ns - to_ns > slice_ns ? to_ns + slice_ns : r->max_ns;
        e = replay_group(&w->replay, &item, to_ns, &w->counts, &w->why);
    }
    w->replay.overwrites = false;
    if (e || w->counts.failed == failed) return e;
    return why_set(&w->why, ERR_INPUT,
                   "group '%s' is not overwritten, because evaluations of its rules failed",
                   r->groups[i]->text.name);
}

/* Writes the collected results. */
static enum err
write_results(struct replay_worker *w, const char *path)
{
    struct rules_written written;
    enum err e = OK;
    uint32_t size = 0;
    for (size_t at = 0; e == OK && at < w->results.size; at += sizeof size + size) {
        size_t left = w->results.size - at;
        if (left >= sizeof size) memcpy(&size, w->results.at + at, sizeof size);
        if (left < sizeof size || left - sizeof size < size)
            return why_set(&w->why, ERR_CORRUPT,
                           "%s is damaged: remove it, and run the same command again", path);
        struct bytes message = bytes_of(w->results.at + at + sizeof size, size);
        e = write_message(w, (struct bytes){NULL, 0}, message, &written, &w->why);
        if (e == OK) w->counts.rejected += written.rejected;
    }
    return e;
}

static enum err
overwrite_group(struct replay_worker *w, uint32_t i)
{
    const struct replaying *r = w->of;
    const struct replay_counts before = w->counts;
    const char *path = results_path(w, i);
    enum err e = ERR_MISSING;
    buf_clear(&w->results);
    if (r->state.slices[i] == 'd') e = env_read_whole(env_real(), path, &w->results, &w->why);
    if (e == ERR_MISSING) {
        e = collect_group(w, i);
        if (e == OK) e = resume_text_write(path, buf_bytes(&w->results), &w->why);
        if (e == OK) e = delete_recorded(w, i);
    }
    if (e == OK) e = write_results(w, path);
    if (e) w->counts = before;
    return e;
}

/* Removes files of results that nothing will read, and, without --resume, the state if it has
 * nothing to continue. */
static void
sweep(struct replaying *r, bool is_done)
{
    struct env *env = env_real();
    char lock[sizeof r->state_path + 8];
    for (uint32_t i = 0; i < r->state.count; i++) {
        if (r->state.slices[i] == 'd') continue;
        err_ignore(env_unlink(env, results_path(&r->workers[0], i), NULL),
                   "the next run replaces it");
    }
    if (r->command->resume != NULL || (!is_done && slice_state_in(&r->state, "cd") > 0)) return;
    snprintf(lock, sizeof lock, "%s.lock", r->state_path);
    err_ignore(env_unlink(env, r->state_path, NULL), "the next run replaces it");
    err_ignore(env_unlink(env, lock, NULL), "the next run replaces it");
}

/* --- rounds ----------------------------------------------------------------------------------- */

static bool
group_is_done(const struct replaying *r, uint32_t group)
{
    return r->command->overwrite && r->state.slices[group] == 'c';
}

/* Finds the next group of the round. False: at its end, or after an error. */
static bool
take_group(struct replaying *r, uint32_t *ret_group)
{
    bool found = false;
    lock_take(&r->lock);
    while (!r->failed && !found && r->next < r->count) {
        *ret_group = r->next++;
        found = r->rounds[*ret_group] == r->round && !group_is_done(r, *ret_group);
    }
    lock_drop(&r->lock);
    return found;
}

static void
note_done(struct replaying *r, uint64_t evaluations, uint32_t groups)
{
    lock_take(&r->lock);
    r->evaluations += evaluations;
    r->groups_done += groups;
    lock_drop(&r->lock);
}

static void
worker_end(struct replay_worker *w)
{
    struct replaying *r = w->of;
    lock_take(&r->lock);
    r->failed |= w->error != OK;
    r->running--;
    cond_wake_all(&r->cond);
    lock_drop(&r->lock);
}

static void
worker_run(void *context)
{
    struct replay_worker *w = context;
    struct replaying *r = w->of;
    uint32_t i;
    while (w->error == OK && take_group(r, &i)) {
        uint64_t before = w->counts.made;
        struct replay_from item = replay_from(r->groups[i], r->min_ns);
        w->error = r->command->overwrite && !r->deleted_first[i]
                       ? overwrite_group(w, i)
                       : replay_group(&w->replay, &item, r->max_ns, &w->counts, &w->why);
        if (w->error == OK) w->error = note_group(w, i, 'c');
        note_done(r, w->counts.made - before, 1);
    }
    worker_end(w);
}

/* Evaluates, on one worker, all groups that depend on each other. */
static void
worker_run_together(void *context)
{
    struct replay_worker *w = context;
    struct replaying *r = w->of;
    struct budget *memory = &r->command->memory;
    size_t bytes = r->count * sizeof(struct replay_from);
    struct replay_from *items = mem_alloc(memory, bytes);
    uint64_t before = w->counts.made;
    uint32_t count = 0;
    for (uint32_t i = 0; items != NULL && i < r->count; i++)
        if (r->rounds[i] == REPLAY_TOGETHER && !group_is_done(r, i))
            items[count++] = replay_from(r->groups[i], r->min_ns);
    w->error = items == NULL
                   ? why_set(&w->why, ERR_NOMEM, "not enough memory")
                   : replay_together(&w->replay, items, count, r->max_ns, &w->counts, &w->why);
    mem_free(memory, items, bytes);
    for (uint32_t i = 0; w->error == OK && i < r->count; i++)
        if (r->rounds[i] == REPLAY_TOGETHER) w->error = note_group(w, i, 'c');
    note_done(r, w->counts.made - before, count);
    worker_end(w);
}

static void
await_workers(struct replaying *r)
{
    lock_take(&r->lock);
    while (r->running > 0) {
        cond_wait_until(&r->cond, &r->lock, env_monotonic_ns(env_real()) + WAKE_NS);
        if (atomic_load_explicit(r->command->stop, memory_order_relaxed))
            atomic_store(&r->canceled, "stopped");
        uint64_t evaluations = r->evaluations, done = r->groups_done;
        lock_drop(&r->lock);
        progress_show(&r->command->progress, evaluations, done,
                      r->command->overwrite ? r->count : (uint64_t)r->state.count * r->count);
        lock_take(&r->lock);
    }
    lock_drop(&r->lock);
}

/* Runs workers until all have ended. */
static enum err
run_workers(struct replaying *r, uint32_t count, void (*run)(void *worker), struct why *why)
{
    uint32_t started = 0;
    enum err e = OK;
    r->next = 0;
    r->running = count;
    while (e == OK && started < count) {
        struct replay_worker *w = &r->workers[started];
        e = env_thread_start(env_real(), "replay", run, w, &w->thread);
        started += e == OK;
    }
    if (e) {
        lock_take(&r->lock);
        r->running -= count - started;
        lock_drop(&r->lock);
        /* Fewer workers suffice. */
        e = started > 0 ? OK : why_set(why, e, "cannot start a thread");
    }
    await_workers(r);
    for (uint32_t i = 0; i < started; i++) {
        env_thread_join(env_real(), r->workers[i].thread);
        if (e == OK && r->workers[i].error != OK) {
            e = r->workers[i].error;
            *why = r->workers[i].why;
        }
    }
    return e;
}

/* --- overwriting ------------------------------------------------------------------------------ */

/* Returns a group other than `g` that records the same name and is replayed, or is not; NULL
 * without one. */
static const struct rule_group *
other_recorder(const struct replaying *r, const struct rule_group *g, const char *name,
               bool is_replayed)
{
    for (uint32_t i = 0; i < r->found.count; i++) {
        const struct rule_group *other = &r->found.items[i];
        if (rules_is_wanted(r->command, other->file, other->name) != is_replayed) continue;
        if (strcmp(other->name, g->name) == 0 && strcmp(other->file, g->file) == 0) continue;
        for (uint32_t k = 0; k < other->rule_count; k++) {
            const struct rule *rule = &other->rules[k];
            if (rule->kind == RULE_RECORDING && strcmp(rule->name, name) == 0) return other;
        }
    }
    return NULL;
}

/* Overwriting would also delete series that another group records under the same name, without
 * restoring them. Finds the groups that are deleted first. */
static enum err
check_overwrite(struct replaying *r, struct why *why)
{
    r->deleted_first = mem_new(&r->command->memory, (r->found.count + 1) * sizeof(bool));
    if (r->deleted_first == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    for (uint32_t i = 0; i < r->count; i++) {
        const struct rule_group *g = &r->groups[i]->text;
        struct buf text;
        buf_init(&text, &r->command->memory, SELECTORS_BYTES_MAX);
        const uint32_t deletions = replay_recorded(r->groups[i], &text);
        buf_fini(&text);
        if (deletions > SELECTORS_MAX) {
            return why_set(why, ERR_INPUT,
                           "--overwrite: group '%.64s' needs %" PRIu32 " deletions, one for each "
                           "rule with labels, and at most %d can be made at once: split the group",
                           g->name, deletions, SELECTORS_MAX);
        }
        r->deleted_first[i] = r->rounds[i] == REPLAY_TOGETHER || r->groups[i]->reads_back;
        for (uint32_t k = 0; k < g->rule_count; k++) {
            const char *name = g->rules[k].name;
            if (g->rules[k].kind != RULE_RECORDING) continue;
            const struct rule_group *other = other_recorder(r, g, name, false);
            if (other != NULL) {
                return why_set(why, ERR_INPUT,
                               "--overwrite: group '%.64s' records '%.128s', too: replay both",
                               other->name, name);
            }
            r->deleted_first[i] |= other_recorder(r, g, name, true) != NULL;
        }
    }
    return OK;
}

/* --- slices ----------------------------------------------------------------------------------- */

/* Adds the counts of the workers to the state. */
static void
gather_counts(struct replaying *r, struct replay_counts *all)
{
    for (uint32_t i = 0; i < r->worker_count; i++) {
        struct replay_counts *c = &r->workers[i].counts;
        r->state.counts[0] += c->failed + c->different + c->rejected;
        all->made += c->made;
        all->failed += c->failed;
        all->samples += c->samples;
        all->stored_before += c->stored_before;
        all->different += c->different;
        all->rejected += c->rejected;
        *c = (struct replay_counts){0};
    }
}

/* Deletes the results of groups that can only be evaluated without them, if all of
 * these groups can be evaluated. */
static enum err
delete_first(struct replaying *r, struct why *why)
{
    struct replay_worker *w = &r->workers[0];
    const struct replay_counts before = w->counts;
    enum err e = OK;
    for (int deletes = 0; deletes < 2; deletes++) {
        for (uint32_t i = 0; e == OK && i < r->count; i++) {
            if (!r->deleted_first[i] || r->state.slices[i] != '.') continue;
            e = deletes ? delete_recorded(w, i) : collect_group(w, i);
        }
        w->counts = before; /* they are evaluated again */
    }
    if (e) *why = w->why;
    return e;
}

static enum err
replay_slice(struct replaying *r, uint32_t slice, struct why *why)
{
    int64_t min_ms, max_ms;
    slice_state_times(&r->state, slice, &min_ms, &max_ms);
    r->min_ns = min_ms * NS_PER_MS;
    r->max_ns = max_ms * NS_PER_MS + NS_PER_MS - 1;
    enum err e = r->command->overwrite ? delete_first(r, why) : OK;
    for (r->round = 0; e == OK && r->round < r->round_count; r->round++)
        e = run_workers(r, r->worker_count, worker_run, why);
    return e ? e : run_workers(r, 1, worker_run_together, why);
}

/* The client does not retry an answer that broke off; the whole slice is retried. */
static bool
may_retry(struct replaying *r, enum err e, int64_t *began_ns, const struct why *why)
{
    const struct rules_command *a = r->command;
    struct env *env = env_real();
    bool passes = a->target.url != NULL && (e == ERR_AGAIN || e == ERR_IO);
    if (!passes || atomic_load_explicit(a->stop, memory_order_relaxed)) return false;
    if (*began_ns == 0) *began_ns = env_monotonic_ns(env);
    if (env_monotonic_ns(env) - *began_ns > a->target.retry_ns) return false;
    progress_say(&r->command->progress, "%s; retrying in 1 s", why->text);
    sleep(1);
    r->failed = false;
    for (uint32_t i = 0; i < r->worker_count; i++)
        r->workers[i].error = OK;
    return true;
}

static enum err
replay_slices(struct replaying *r, struct replay_counts *all, struct why *why)
{
    struct slice_state *s = &r->state;
    const bool overwrites = r->command->overwrite; /* all groups have the same time */
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < (overwrites ? 1 : s->count); i++) {
        int64_t began_ns = 0;
        if (!overwrites && s->slices[i] == 'c') continue;
        do {
            r->groups_done = overwrites ? slice_state_in(s, "c") : (uint64_t)i * r->count;
            e = replay_slice(r, i, why);
            gather_counts(r, all);
        } while (e && may_retry(r, e, &began_ns, why));
        if (e || overwrites) break;
        s->slices[i] = 'c';
        e = slice_state_save(s, false, why);
    }
    return err_first(e, slice_state_save(s, true, e ? NULL : why));
}

/* --- the command ------------------------------------------------------------------------------ */

/* Orders all groups that were found: results of groups that are not replayed may be stored. */
static enum err
make_groups(struct replaying *r, struct why *why)
{
    struct rules_command *a = r->command;
    struct found_rules *f = &r->found;
    struct rules_host host = {
        .env = env_real(), .memory = &a->memory, .seed = (uint64_t)env_monotonic_ns(env_real())};
    struct group_defaults defaults = {f->settings.global_evaluation_interval_ms,
                                      f->settings.global_rule_query_offset_ms};
    enum err e = OK;
    r->groups = mem_new(&a->memory, (f->count + 1) * sizeof(struct group *));
    r->rounds = mem_new(&a->memory, (f->count + 1) * sizeof *r->rounds);
    if (r->groups == NULL || r->rounds == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    uint32_t made = 0;
    while (e == OK && made < f->count) {
        e = group_new(&host, target_tenant(r->target), &f->items[made], &defaults, &r->groups[made],
                      why);
        made += e == OK;
    }
    if (e == OK && replay_rounds(r->groups, made, r->rounds, &r->round_count))
        e = why_set(why, ERR_NOMEM, "not enough memory for rules");
    for (uint32_t i = 0; i < made; i++) { /* frees those that are not replayed */
        struct group *group = r->groups[i];
        r->groups[i] = NULL;
        if (group->records && rules_is_wanted(a, group->text.file, group->text.name)) {
            r->rounds[r->count] = r->rounds[i];
            r->groups[r->count++] = group;
        } else {
            group_free(group);
        }
    }
    if (e) return e;
    return r->count > 0 ? OK : why_set(why, ERR_INPUT, "there are no recording rules");
}

/* Omits times before the store's retention: each of their evaluations would be refused. */
static enum err
leave_out_expired(struct replaying *r, struct why *why)
{
    struct slice_state *s = &r->state;
    int64_t oldest_ms = env_realtime_ms(env_real()) - r->found.settings.retention_time_ms;
    char shown[TIME_TEXT_BYTES];
    if (r->command->config_file == NULL || s->min_ms >= oldest_ms) return OK;
    time_print(oldest_ms, shown);
    if (s->max_ms < oldest_ms) {
        return why_set(why, ERR_INPUT,
                       "--end is before %s: older samples are not kept "
                       "(retention.time)",
                       shown);
    }
    progress_say(&r->command->progress, "begins at %s: older samples are not kept (retention.time)",
                 shown);
    s->min_ms = oldest_ms;
    return OK;
}

/* Says where an earlier run is continued. */
static void
say_continued(struct replaying *r)
{
    const struct slice_state *s = &r->state;
    const bool overwrites = r->command->overwrite;
    char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES], age[TIME_TEXT_BYTES];
    struct stat st;
    if (slice_state_in(s, "cd") == 0 || stat(s->path, &st) != 0) return;
    int64_t age_ms = env_realtime_ms(env_real()) - st.st_mtim.tv_sec * 1000;
    progress_say(&r->command->progress,
                 "continuing: %" PRIu32 " of %" PRIu32 " %s are done, from %s to %s, %s ago%s",
                 slice_state_in(s, "c"), s->count, overwrites ? "groups" : "slices",
                 time_print(s->min_ms, from), time_print(s->max_ms, to),
                 time_print_duration(age_ms > 0 ? age_ms / 1000 * 1000 : 0, age),
                 overwrites ? "; if samples arrived since, overwrite once more" : "");
}

/* The state depends on everything that decides what is written. */
static enum err
load_state(struct replaying *r, struct why *why)
{
    const struct rules_command *a = r->command;
    struct slice_state *s = &r->state;
    struct bytes tenant = target_tenant(r->target);
    struct buf *to = &r->question;
    buf_printf(to, "firekeep rules replay 2\nto %s\ntenant %.*s\nasked %s %s %" PRId64 "%s%s\n",
               r->target->name, (int)tenant.size, (const char *)tenant.at, a->start.word,
               a->end.word, (int64_t)(a->slice_ns / NS_PER_MS), a->overwrite ? " overwrite" : "",
               a->allow_approximate ? " approximate" : "");
    for (uint32_t i = 0; i < r->count; i++) {
        const struct rule_group *g = &r->groups[i]->text;
        buf_printf(to, "group %016" PRIx64 " %s;%s\n", g->hash, g->file, g->name);
    }
    if (buf_error(to)) return why_set(why, ERR_NOMEM, "not enough memory for the groups");
    snprintf(r->state_path, sizeof r->state_path, "firekeep-replay-%016" PRIx64,
             hash_bytes(buf_bytes(to), 0));
    s->path = a->resume == NULL && a->overwrite ? r->state_path : a->resume;
    s->question = buf_bytes(to);
    s->min_ms = a->start.ms;
    s->max_ms = a->end.ms;
    s->count = a->overwrite ? r->count : 0;
    s->slice_ms = a->overwrite ? 0 : a->slice_ns / NS_PER_MS;
    enum err e = leave_out_expired(r, why);
    const int64_t min_ms = s->min_ms, max_ms = s->max_ms;
    if (e == OK) e = resume_lock(s->path, why);
    if (e == OK) e = slice_state_load(s, why);
    if (e == OK && a->resume == NULL && slice_state_in(s, "cd") == 0) { /* nothing to continue */
        s->min_ms = min_ms;
        s->max_ms = max_ms;
    }
    if (e == OK && s->path != NULL) say_continued(r);
    return e;
}

static void
print_result(const struct replaying *r, const struct replay_counts *c)
{
    double seconds = progress_seconds(&r->command->progress);
    progress_clear(&r->command->progress);
    fprintf(stderr, "%" PRIu64 " evaluation%s of %" PRIu32 " group%s, %" PRIu64 " sample%s; %.1f s",
            c->made, plural(c->made), r->count, plural(r->count), c->samples, plural(c->samples),
            seconds);
    if (c->stored_before > 0) fprintf(stderr, "; %" PRIu64 " stored already", c->stored_before);
    if (c->different > 0)
        fprintf(stderr, "; %" PRIu64 " differ%s from what is stored", c->different,
                c->different == 1 ? "s" : "");
    if (c->failed > 0)
        fprintf(stderr, "; %" PRIu64 " evaluation%s of a rule failed", c->failed,
                plural(c->failed));
    if (c->rejected > 0)
        fprintf(stderr, "; %" PRIu64 " sample%s refused", c->rejected, plural(c->rejected));
    fputc('\n', stderr);
}

static enum err
replay_run(struct replaying *r, struct replay_counts *counts, struct why *why)
{
    struct rules_command *a = r->command;
    enum err e = rules_find(a, r->target, &r->found, why);
    if (e == OK) {
        r->replica_count = replica_labels_of(r->found.settings.query_replica_labels, r->replicas);
        e = make_groups(r, why);
    }
    if (e == OK) target_warn_unread(&a->target);
    if (e == OK && a->overwrite) e = check_overwrite(r, why);
    if (e == OK) e = load_state(r, why);
    if (e == OK) e = open_workers(r, why);
    if (e == OK && a->overwrite) e = slice_state_save(&r->state, true, why);
    if (e) return e;
    r->begun = true;
    e = replay_slices(r, counts, why);
    if (a->overwrite) sweep(r, e == OK);
    if (e == OK) e = target_finish(r->target, why);
    if (r->deleted > 0)
        progress_say(&a->progress, "deleted %" PRIu64 " sample%s", r->deleted, plural(r->deleted));
    print_result(r, counts);
    return e;
}

enum err
rules_replay(struct rules_command *a, struct target *target, bool *ret_well, struct why *why)
{
    struct replaying r = {.command = a, .target = target};
    struct replay_counts counts = {0};
    lock_init(&r.writing, LOCK_RANK_APP);
    lock_init(&r.lock, LOCK_RANK_LEAF);
    cond_init(&r.cond);
    buf_init(&r.question, &a->memory, QUESTION_BYTES_MAX);
    enum err e = replay_run(&r, &counts, why);
    *ret_well = r.state.counts[0] == 0;
    bool is_refused = e == ERR_INPUT || e == ERR_UNSUPPORTED || e == ERR_LIMIT;
    if (e && r.begun && (slice_state_in(&r.state, "d") > 0 || !is_refused))
        fprintf(stderr, "run the same command again to continue\n");
    for (uint32_t i = 0; r.workers != NULL && i < r.worker_count; i++) {
        struct replay_worker *w = &r.workers[i];
        if (w->of != NULL) rw_request_fini(&w->request);
        if (w->of != NULL) buf_fini(&w->results);
        if (w->is_own) target_free(w->target);
    }
    mem_free(&r.command->memory, r.workers, r.worker_count * sizeof *r.workers);
    for (uint32_t i = 0; r.groups != NULL && i < r.count; i++)
        group_free(r.groups[i]);
    mem_free(&a->memory, r.groups, (r.found.count + 1) * sizeof(struct group *));
    mem_free(&a->memory, r.rounds, (r.found.count + 1) * sizeof *r.rounds);
    mem_free(&a->memory, r.deleted_first, (r.found.count + 1) * sizeof(bool));
    slice_state_fini(&r.state);
    buf_fini(&r.question);
    rules_found_fini(&r.found);
    cond_fini(&r.cond);
    lock_fini(&r.lock);
    lock_fini(&r.writing);
    return e;
}
