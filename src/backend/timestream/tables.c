/*
 * tables.c - the maximum age of samples that a table accepts.
 *
 * A table keeps samples for some time in its memory store, and accepts older ones only if its
 * magnetic store may be written. A destination that replays stored samples would send a year of
 * samples that are all refused, one by one. So DescribeTable is called first for each table that
 * such a sample goes to, and again after an hour.
 *
 * The permission for that is optional. Without it all samples are sent, and those that are too old
 * are refused. The destination waits only for errors that pass, and for a missing table.
 *
 *     oldest() --> wanted -- prepare(NULL) --> asked -- response --> known for an hour
 *                    ^                           |
 *                    '---- the error passes -----'
 */
#include "backend/timestream/timestream.h"

#include <stdio.h>

#include "base/array.h"
#include "base/log.h"

enum { REQUEST_BYTES_MAX = 4096, KNOWN_S = 3600, TABLES_PUT_OFF_S = 60 };

struct known_table {
    char database[TIMESTREAM_NAME_BYTES_MAX + 1];
    char name[TIMESTREAM_NAME_BYTES_MAX + 1];
    bool is_known;
    bool is_wanted;   /* a query for it is due */
    int64_t takes_ms; /* accepted age; INT64_MAX if unlimited or unknown */
    int64_t due_ns;   /* time of the next query */
};

struct timestream_tables {
    struct writer_options options;
    struct timestream_client *client;
    struct known_table *tables;
    uint32_t count;
    uint32_t capacity;
    uint32_t wanted_count;
    bool was_warned;

    /* State of a running query. */
    uint32_t current; /* the table that is queried */
    struct timestream_ticket ticket;
    struct buf body;
};

/* --- life ------------------------------------------------------------------------------------- */

enum err
timestream_tables_new(const struct writer_options *options, struct timestream_client *client,
                      struct timestream_tables **ret_tables)
{
    struct timestream_tables *t = mem_new(options->memory, sizeof *t);
    if (t == NULL) return ERR_NOMEM;
    t->options = *options;
    t->client = client;
    buf_init(&t->body, options->memory, REQUEST_BYTES_MAX);
    *ret_tables = t;
    return OK;
}

void
timestream_tables_free(struct timestream_tables *t)
{
    if (t == NULL) return;
    struct budget *memory = t->options.memory;
    array_free(memory, t->tables, t->capacity);
    buf_fini(&t->body);
    mem_free(memory, t, sizeof *t);
}

/* --- list of tables --------------------------------------------------------------------------- */

/* Finds a table, or adds it. NULL: out of memory. */
static struct known_table *
find(struct timestream_tables *t, const char *database, const char *name)
{
    for (uint32_t i = 0; i < t->count; i++) {
        struct known_table *table = &t->tables[i];
        if (strcmp(table->name, name) == 0 && strcmp(table->database, database) == 0) return table;
    }
    if (!array_reserve(t->options.memory, &t->tables, &t->capacity, t->count + 1)) return NULL;
    struct known_table *table = &t->tables[t->count++];
    *table = (struct known_table){.takes_ms = INT64_MAX};
    snprintf(table->database, sizeof table->database, "%s", database);
    snprintf(table->name, sizeof table->name, "%s", name);
    return table;
}

enum err
timestream_tables_oldest(struct timestream_tables *t, const char *database, const char *name,
                         int64_t *ret_oldest_ms)
{
    struct known_table *table = find(t, database, name);
    if (table == NULL) return ERR_NOMEM;
    bool is_due = !table->is_known || env_monotonic_ns(t->options.env) >= table->due_ns;
    if (is_due && !table->is_wanted) {
        table->is_wanted = true;
        t->wanted_count++;
    }
    *ret_oldest_ms = table->takes_ms == INT64_MAX
                         ? INT64_MIN
                         : timestream_client_now_ms(t->client) - table->takes_ms;
    return OK;
}

/* --- requests --------------------------------------------------------------------------------- */

enum err
timestream_table_request_put(struct buf *to, const char *database, const char *table,
                             const char *more)
{
    buf_printf(to, "{\"DatabaseName\":\"%s\",\"TableName\":\"%s\"%s}", database, table, more);
    return buf_error(to);
}

void
timestream_table_named(const char *database, const char *table, struct writer_step *step)
{
    char said[WRITER_ANSWER_BYTES], named[3 * WRITER_ANSWER_BYTES];
    snprintf(said, sizeof said, "%s", step->answer);
    snprintf(named, sizeof named, "table %s of database %s: %s", table, database, said);
    step_answer(step, bytes_of_text(named));
}

static void
ask(struct timestream_tables *t, struct writer_step *step)
{
    const struct known_table *table = &t->tables[t->current];
    buf_clear(&t->body);
    if (timestream_table_request_put(&t->body, table->database, table->name, "") != OK) {
        step_no_memory(step, "a request");
        return;
    }
    timestream_client_begin(t->client, "DescribeTable", buf_bytes(&t->body), &t->ticket, step);
}

/* The table is not queried again for so long. */
static void
settle(struct timestream_tables *t, struct known_table *table, int64_t seconds)
{
    table->is_known = true;
    table->is_wanted = false;
    table->due_ns = env_monotonic_ns(t->options.env) + seconds * NS_PER_S;
    t->wanted_count--;
}

/* Without the permission, or the operation, all samples are sent. */
static void
do_without(struct timestream_tables *t, struct known_table *table, const struct writer_step *step)
{
    table->takes_ms = INT64_MAX;
    settle(t, table, KNOWN_S);
    if (t->was_warned) return;
    t->was_warned = true;
    log_warn("timestream: the age limit of a table is unknown, samples that are too old for it "
             "become dead letters; allow the action timestream:DescribeTable",
             KV("destination", t->options.settings->name), KV("database", table->database),
             KV("table", table->name), KV("reason", step->reason), KV("answer", step->answer));
}

/* Judges a response. WRITER_DONE and VERDICT_DELIVERED: the table is not queried any more. */
static void
take_answer(struct timestream_tables *t, const struct http_call_answer *answer,
            struct writer_step *step)
{
    struct known_table *table = &t->tables[t->current];
    timestream_client_judge(t->client, answer, &t->ticket, step);
    if (step->verdict == VERDICT_AGAIN) { /* the next request is signed with the right time */
        ask(t, step);
        return;
    }
    struct timestream_table described;
    if (step->verdict == VERDICT_DELIVERED) {
        if (!answer->body_cut && timestream_table_read(answer->body, &described) == OK) {
            table->takes_ms = described.takes_ms;
            settle(t, table, KNOWN_S);
        } else {
            step_done(step, VERDICT_RETRY, "answer", "the response does not describe a table");
        }
    }
    if (step->verdict == VERDICT_DELIVERED || step->verdict == VERDICT_UNPREPARED) return;
    bool will_pass = step->verdict == VERDICT_RETRY || step->verdict == VERDICT_THROTTLED;
    if (will_pass && table->is_known) { /* the properties of an hour ago are likely to be valid */
        settle(t, table, TABLES_PUT_OFF_S);
        step_done(step, VERDICT_DELIVERED, "", "");
        return;
    }
    bool is_missing = strcmp(step->reason, "not_found") == 0;
    if (!will_pass && !is_missing && answer->failure == HTTP_CALL_ANSWERED) {
        do_without(t, table, step);
        step_done(step, VERDICT_DELIVERED, "", "");
        return;
    }
    if (answer->failure == HTTP_CALL_ANSWERED)
        timestream_table_named(table->database, table->name, step);
}

bool
timestream_tables_due(const struct timestream_tables *t)
{
    return t->wanted_count > 0;
}

void
timestream_tables_prepare(struct timestream_tables *t, const struct http_call_answer *answer,
                          struct writer_step *ret_step)
{
    if (answer == NULL) step_done(ret_step, VERDICT_DELIVERED, "", "");
    if (answer != NULL) take_answer(t, answer, ret_step);
    if (ret_step->next == WRITER_SEND || ret_step->verdict != VERDICT_DELIVERED) return;
    for (t->current = 0; t->current < t->count; t->current++) {
        if (!t->tables[t->current].is_wanted) continue;
        ask(t, ret_step);
        return;
    }
}
