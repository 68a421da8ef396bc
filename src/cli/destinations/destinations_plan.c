/* destinations_plan.c - `firekeep destinations plan`: see destinations.c. */
#include <stdio.h>
#include <string.h>

#include "backend/settings.h"
#include "base/text/time_text.h"
#include "cli/destinations/destinations_private.h"
#include "cli/lib/progress.h"
#include "cli/lib/target/target.h"
#include "relay/operate/plan.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"

enum { EXAMPLE_BYTES = PLAN_EXAMPLE_BYTES + TIME_TEXT_BYTES + 3 };
static const int64_t DAY_MS = 24LL * 3600 * 1000;
static const int64_t SPAN_MS_MIN = 60LL * 1000; /* a shorter span says too little about a day */

/* --- the store -------------------------------------------------------------------------------- */

static enum err
plan_open_store(const struct destinations_command *a, struct target **ret_target, struct why *why)
{
    const char *storage = a->storage == NULL ? a->settings.storage_path : a->storage;
    struct target_options options = {
        .storage = storage,
        .config_file = a->config_file,
        .stop = interrupt_watch(),
    };
    enum err e = target_open(&options, ret_target, why);
    if (e != ERR_AGAIN) return e;
    return why_set(
        why, e,
        "a running server uses %s; stop it, or give a snapshot as --storage.path: POST "
        "/api/v1/admin/tsdb/snapshot creates one in %s/snapshots (--web.enable-admin-api)",
        storage, storage);
}

static enum err
find_from(const struct destinations_command *a, struct tsdb *tsdb, int64_t *ret_from_ms,
          int64_t *ret_to_ms, struct why *why)
{
    struct tsdb_stats stats;
    tsdb_stats(tsdb, &stats);
    int64_t newest_ms =
        stats.head_max_ms > stats.part_max_ms ? stats.head_max_ms : stats.part_max_ms;
    *ret_to_ms = newest_ms;
    *ret_from_ms = newest_ms < INT64_MIN + DAY_MS ? INT64_MIN : newest_ms - DAY_MS + 1;
    if (a->from_word == NULL) return OK;
    if (strcmp(a->from_word, "beginning") == 0) {
        *ret_from_ms = INT64_MIN;
        return OK;
    }
    enum err e =
        time_parse(bytes_of_text(a->from_word), env_realtime_ms(env_real()), ret_from_ms, why);
    return e ? why_prefix(why, e, "--from") : OK;
}

static enum err
find_shards(const struct destinations_command *a, uint32_t *ret_shards, struct why *why)
{
    if (a->shards > 0 && a->destination->type != DESTINATION_KINESIS) {
        return why_set(
            why, ERR_INPUT,
            "--shards is only valid with type kinesis; destination '%s' has another type",
            a->destination->name);
    }
    if (a->shards > KINESIS_SHARDS_MAX) {
        return why_set(why, ERR_INPUT, "--shards must be at most %d", KINESIS_SHARDS_MAX);
    }
    *ret_shards = a->shards == 0 ? 1 : (uint32_t)a->shards;
    return OK;
}

/* --- printing --------------------------------------------------------------------------------- */

static struct report_value
per_day(uint64_t count, const struct plan *p)
{
    int64_t span_ms;
    bool unknown = __builtin_sub_overflow(p->last_ms, p->first_ms, &span_ms);
    if (unknown || span_ms < SPAN_MS_MIN) return value_none();
    return value_count((uint64_t)((double)count * (double)DAY_MS / (double)span_ms));
}

static struct report_value
example_of(const struct plan_example *example, char text[EXAMPLE_BYTES])
{
    char time[TIME_TEXT_BYTES];
    bool timed = example->has_time;
    snprintf(text, EXAMPLE_BYTES, "%s%s%s", example->text, timed ? " @ " : "",
             timed ? time_print(example->t_ms, time) : "");
    return value_text(text);
}

static void
print_taken(struct report *r, const struct plan *p)
{
    bool any = p->first_ms <= p->last_ms;
    uint64_t samples = p->taken[ITEM_FLOAT] + p->taken[ITEM_HISTOGRAM];
    report_section(r, "given", "What it would receive");
    report_field(r, "stored", "samples stored", value_count(p->seen));
    report_field(r, "samples", "samples it would receive", value_count(samples));
    report_field(r, "floats", "of these, floats", value_count(p->taken[ITEM_FLOAT]));
    report_field(r, "histograms", "native histograms", value_count(p->taken[ITEM_HISTOGRAM]));
    report_field(r, "exemplars", "exemplars", value_count(p->taken[ITEM_EXEMPLAR]));
    report_field(r, "metadata", "metadata entries", value_count(p->taken[ITEM_METADATA]));
    report_field(r, "series", "series at a time (max)", value_count(p->series));
    report_field(r, "first", "first", any ? value_time(p->first_ms) : value_none());
    report_field(r, "last", "last", any ? value_time(p->last_ms) : value_none());
    report_field(r, "samplesPerDay", "samples per day", per_day(samples, p));
    report_section_end(r);
}

static void
print_cost(struct report *r, const struct plan *p)
{
    bool billed = p->unit != NULL;
    report_section(r, "cost", "What it would cost");
    report_field(r, "calls", "requests", value_count(p->calls));
    report_field(r, "callsPerDay", "requests per day", per_day(p->calls, p));
    report_field(r, "bytes", p->bytes_are_exact ? "bytes sent" : "bytes sent (estimate)",
                 value_size(p->bytes));
    report_field(r, "bytesPerDay", "bytes per day", per_day(p->bytes, p));
    report_field(r, "unit", "billed by", billed ? value_text(p->unit) : value_none());
    report_field(r, "units", "units", billed ? value_count(p->units) : value_none());
    report_field(r, "unitsPerDay", "units per day", billed ? per_day(p->units, p) : value_none());
    report_section_end(r);
}

static void
print_dead(struct report *r, const struct plan *p, const char *fate)
{
    report_table(r, "unrepresentable", fate, "floats|histograms|exemplars|metadata|why|example");
    for (uint32_t i = 0; i < p->dead_count; i++) {
        const struct plan_dead *d = &p->dead[i];
        char text[EXAMPLE_BYTES];
        report_row(r, value_count(d->count[ITEM_FLOAT]), value_count(d->count[ITEM_HISTOGRAM]),
                   value_count(d->count[ITEM_EXEMPLAR]), value_count(d->count[ITEM_METADATA]),
                   value_text(d->why), example_of(&d->example, text));
    }
    report_table_end(r, p->dead_others);
}

static void
print_mapped(struct report *r, const struct plan *p)
{
    report_table(r, "mapped", "Written in another, reversible form", "what|samples|example");
    for (uint32_t kind = 0; kind < PLAN_MAPPED_COUNT; kind++) {
        const struct plan_mapped *m = &p->mapped[kind];
        char text[EXAMPLE_BYTES];
        if (m->samples == 0) continue;
        report_row(r, value_text(plan_mapped_word(kind)), value_count(m->samples),
                   example_of(&m->example, text));
    }
    report_table_end(r, 0);
}

static void
print_plan(const struct destinations_command *a, const struct plan *p, uint32_t shards)
{
    const struct destination_settings *d = a->destination;
    bool drops = d->unrepresentable == UNREPRESENTABLE_DROP;
    struct report *r = a->report;
    uint64_t dead = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        dead += p->dead_total[kind];
    }
    report_section(r, "destination", "Destination");
    report_field(r, "name", "name", value_text(d->name));
    report_field(r, "type", "type", value_text(destination_type_word(d->type)));
    if (d->type == DESTINATION_KINESIS && d->u.kinesis.format != KINESIS_NDJSON) {
        /* Requests depend on the number of shards. */
        report_field(r, "shards", "shards (--shards)", value_count(shards));
    }
    report_section_end(r);
    print_taken(r, p);
    report_field(r, drops ? "dropped" : "deadLetters",
                 drops ? "would be dropped" : "would be dead letters", value_count(dead));
    print_cost(r, p);
    print_dead(r, p, drops ? "Would be dropped" : "Would be dead letters");
    print_mapped(r, p);
    if (p->damaged > 0) {
        fprintf(stderr, "firekeep destinations: the result is incomplete: %s\n", p->damage);
    }
}

/* --- the command ------------------------------------------------------------------------------ */

enum err
destinations_plan(struct destinations_command *a, bool *ret_well, struct why *why)
{
    struct plan *plan = mem_new(NULL, sizeof *plan);
    struct target *target = NULL;
    struct plan_options options = {
        .env = env_real(),
        .memory = &a->memory,
        .settings = a->destination,
        .writer = writer_class_of(a->destination->type),
        .stop = interrupt_watch(),
    };
    enum err e = plan == NULL ? why_set(why, ERR_NOMEM, "not enough memory for the plan") : OK;
    if (e == OK) e = find_shards(a, &options.shards, why);
    if (e == OK) e = plan_open_store(a, &target, why);
    if (e == OK) {
        options.tsdb = target_store(target);
        options.answerer = target_answerer(target);
        e = find_from(a, options.tsdb, &options.from_ms, &options.to_ms, why);
    }
    if (e == OK) e = plan_run(&options, plan, why);
    if (e == OK) {
        *ret_well = plan->damaged == 0 && target_damage(target) == NULL;
        print_plan(a, plan, options.shards);
    }
    target_free(target);
    mem_free(NULL, plan, sizeof *plan);
    return e;
}
