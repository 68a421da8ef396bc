/*
 * readers.h - the configured sources of a server, and an answerer that reads the store, if there is
 * one, and the sources as one.
 *
 * A view has the sources that were configured when it was opened; a reload does not change it.
 *
 * Threads: the answerer, readers_count() and the functions that print are for any; the others for
 * the thread that owns the server or, one at a time, reloads it.
 */
#ifndef APP_READERS_H
#define APP_READERS_H

#include "backend/source_settings.h"
#include "base/metric.h"
#include "base/text/json.h"
#include "model/select.h"
#include "sys/env.h"

struct readers;
struct readers_options {
    struct env *env;
    struct answerer *local; /* NULL if this server stores nothing */
    struct budget *memory;
};

/* Begins without sources. ERR_NOMEM; ERR_AGAIN: a thread cannot be started. */
MUST_CHECK enum err readers_new(const struct readers_options *options, struct readers **ret_readers,
                                struct why *why);
/* Needs all views to be closed. */
void readers_free(struct readers *readers);

/* Changes the sources in two steps: the first does all that can fail, and changes nothing; the
 * second cannot fail. The list is taken, also on an error. Sources with unchanged settings are
 * kept, and every source keeps the counts of its name. ERR_NOMEM; ERR_INPUT, ERR_MISSING: the
 * settings of a source are invalid. */
struct readers_change;
MUST_CHECK enum err readers_prepare(struct readers *readers, struct sources *list,
                                    struct readers_change **ret_change, struct why *why);
void readers_commit(struct readers_change *change);
/* Drops the change instead. Accepts NULL. */
void readers_abandon(struct readers_change *change);

/* Answers from the store and all sources; a view keeps the sources of the moment at which it is
 * opened. Lives as long as the readers. Any thread. */
struct answerer *readers_answerer(struct readers *readers);
/* Returns the number of sources. Any thread. */
uint32_t readers_count(struct readers *readers);
/* Prints all sources as an array, for the API. */
void readers_print(struct readers *readers, struct json *to);
/* Prints an array of names and types: the store, without a name, and the sources for one of the
 * tenants, `a|b`. */
void readers_print_names(struct readers *readers, struct bytes tenants, struct json *to);
/* Prints the list in the format of the configuration file. */
void readers_print_yaml(struct readers *readers, struct buf *to);

#endif
