/*
 * target_destination.c - a destination of a configuration, as a target for writing only: requests
 * become durable in a log of its own, and a relay delivers them, as in a server without a store. So
 * a destination works as in a server: parallel calls, throttling, splitting of refused requests,
 * dead letters. The directory of the log keeps all state; the next run delivers what this one could
 * not.
 *
 *     target_write() -> target_directory.c: the log -> relay, run by the writer -> destination
 */
#include <stdio.h>

#include "base/version.h"
#include "cli/lib/target/target.h"
#include "cli/lib/terminal.h"
#include "model/storage_layout.h"
#include "relay/relay.h"
#include "tsdb/tsdb.h"

/* Limit of the log's backlog; above it, writing waits. */
#define BEHIND_BYTES_MAX                    ((uint64_t)256 << 20)
#define LOG_BUDGET_BYTES                    ((uint64_t)64 << 30) /* high enough never to be reached */
#define TARGET_DESTINATION_MEMORY_BYTES_MAX ((uint64_t)512 << 20)
#define CLOSE_WAIT_NS_MAX                   (30 * NS_PER_S)

enum { DIR_BYTES = 256, STEP_MS = 100, CALL_AGE_MS = 200 };

struct target_destination {
    struct target target;
    struct target *log; /* a target of a directory */
    struct destination_settings settings;
    char dir[DIR_BYTES];
    struct budget memory;
    struct relay_options options;
    struct relay *relay;      /* NULL: not open */
    struct relay_status last; /* status of this relay, or of the one before */
    /* Number of settled items, and when it last grew. */
    uint64_t settled;
    int64_t settled_ns;
    bool reported; /* the stall was reported */
};

static struct target_destination *
destination_of(struct target *target)
{
    return (struct target_destination *)(void *)target; /* the first member */
}

/* --- delivery --------------------------------------------------------------------------------- */

/* Fails if nothing was settled for `retry_ns`. */
static enum err
check_going(struct target_destination *d, const struct relay_status *status, struct why *why)
{
    const struct target_options *o = &d->target.options;
    int64_t now_ns = env_monotonic_ns(env_real());
    uint64_t settled = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        settled += fates_settled(&status->fates, kind);
        settled += status->fates.count[kind][FATE_NOT_TAKEN];
    }
    bool moved = settled != d->settled || status->error[0] == '\0';
    if (moved) {
        d->settled = settled;
        d->settled_ns = now_ns;
        d->reported = false;
        return OK;
    }
    if (now_ns - d->settled_ns >= o->retry_ns)
        return why_set(why, ERR_AGAIN, "destination %s: %s", d->settings.name, status->error);
    if (!d->reported && o->progress != NULL && now_ns - d->settled_ns > NS_PER_S) {
        progress_say(o->progress, "destination %s: %s; retrying", d->settings.name, status->error);
        d->reported = true;
    }
    return OK;
}

/* Runs the relay until at most `behind_bytes` wait in the log. */
static enum err
deliver_until(struct target_destination *d, uint64_t behind_bytes, struct why *why)
{
    const atomic_bool *stop = d->target.options.stop;
    for (;;) {
        int wait_ms = relay_step(d->relay);
        relay_status(d->relay, &d->last);
        if (d->last.behind_bytes <= behind_bytes) return OK;
        if (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed))
            return why_set(why, ERR_CANCELED, "stopped");
        enum err e = check_going(d, &d->last, why);
        if (e) return e;
        relay_wait(d->relay, wait_ms < STEP_MS ? wait_ms : STEP_MS);
    }
}

static enum err
open_relay(struct target_destination *d, struct why *why)
{
    if (d->relay != NULL) return OK;
    d->settled_ns = env_monotonic_ns(env_real());
    return relay_open(&d->options, &d->relay, why);
}

/* Completes pending calls, and makes their results durable. */
static enum err
close_relay(struct target_destination *d, struct why *why)
{
    struct relay *relay = d->relay;
    int64_t until_ns = env_monotonic_ns(env_real()) + CLOSE_WAIT_NS_MAX;
    if (relay == NULL) return OK;
    relay_stop(relay);
    while (!relay_is_idle(relay) && env_monotonic_ns(env_real()) < until_ns) {
        int wait_ms = relay_step(relay);
        relay_wait(relay, wait_ms < STEP_MS ? wait_ms : STEP_MS);
    }
    relay_status(relay, &d->last);
    d->relay = NULL;
    return relay_close(relay, why);
}

static enum err
destination_write(struct target *target, enum rw_version version, struct bytes message,
                  struct bytes packed, const struct target_counts *counts,
                  struct target_result *result, struct why *why)
{
    struct target_destination *d = destination_of(target);
    enum err e = target_write(d->log, version, message, packed, counts, result, why);
    if (e == OK) e = open_relay(d, why);
    return e ? e : deliver_until(d, BEHIND_BYTES_MAX, why);
}

/* Files of destinations are completed when the relay ends. */
static enum err
destination_finish(struct target *target, struct why *why)
{
    struct target_destination *d = destination_of(target);
    enum err e = open_relay(d, why);
    if (e) return e;
    relay_drain(d->relay);
    e = deliver_until(d, 0, why);
    return e ? e : close_relay(d, why);
}

bool
target_delivery(struct target *target, struct relay_status *ret_status)
{
    if (target->options.destination == NULL) return false;
    *ret_status = destination_of(target)->last;
    return true;
}

/* --- opening ---------------------------------------------------------------------------------- */

static void
destination_free(struct target *target)
{
    struct target_destination *d = destination_of(target);
    struct why why = {""};
    if (close_relay(d, &why) != OK) {
        fprintf(stderr, "warning: destination %s: %s; what was delivered last is sent again\n",
                d->settings.name, why.text);
    }
    relay_guard_free(d->options.guard);
    target_free(d->log);
    mem_free(NULL, d, sizeof *d);
}

static const struct target_ops destination_ops = {
    .write = destination_write,
    .finish = destination_finish,
    .free = destination_free,
};

static enum err
destination_open_log(struct target_destination *d, struct why *why)
{
    struct target_options options = d->target.options;
    options.writing = true;
    enum err e = target_directory_open(&options, &d->log, why);
    if (e) return e;
    struct tsdb *tsdb = d->log->store;
    int size = snprintf(d->dir, sizeof d->dir, "%s/" STORAGE_RELAY, options.storage);
    if (size >= (int)sizeof d->dir) return why_set(why, ERR_INPUT, "%s: path is too long", d->dir);
    e = env_mkdir(env_real(), d->dir, why);
    if (e) return e;
    budget_init(&d->memory, "relay", TARGET_DESTINATION_MEMORY_BYTES_MAX, NULL);
    d->options = (struct relay_options){
        .env = env_real(),
        .wal = tsdb_wal(tsdb),
        .dir = d->dir,
        .memory = &d->memory,
        .settings = &d->settings,
        .writer = writer_class_of(d->settings.type),
        .instance = tsdb_name_id(tsdb),
        .user_agent = "Firekeep/" FIREKEEP_VERSION,
    };
    return relay_guard_new(&d->options, NULL, &d->options.guard, why);
}

enum err
target_destination_open(const struct target_options *options, struct target **ret_target,
                        struct why *why)
{
    struct target_destination *d = mem_new(NULL, sizeof *d);
    if (d == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    d->target.ops = &destination_ops;
    d->target.options = *options;
    /* Adapts the settings: delivers everything in the log from the beginning, paused or not. */
    d->settings = *d->target.options.destination;
    d->settings.start = START_BEGINNING;
    d->settings.on_full = ON_FULL_BLOCK;
    d->settings.log_budget_bytes = LOG_BUDGET_BYTES;
    d->settings.paused = d->settings.dry_run = false;
    d->settings.batch.max_age_ms = CALL_AGE_MS; /* a batch that is not full is the last */
    d->target.name = d->settings.name;
    enum err e = destination_open_log(d, why);
    if (e == OK) e = open_relay(d, why);
    if (e) {
        destination_free(&d->target);
        return e;
    }
    *ret_target = &d->target;
    return OK;
}
