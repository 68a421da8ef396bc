/*
 * timestream.c - destination type `timestream`: Amazon Timestream for LiveAnalytics, one record
 * per sample.
 *
 * A call is one WriteRecords: at most 100 records of one table, one of each series, so that a
 * sample never overtakes an earlier one when some records are refused. Timestream stores the
 * records that it does not name as refused; the named ones become dead letters, each with its own
 * reason. A refusal of the whole call may be about a single record: the call is halved until it is
 * found.
 *
 * A repeated record has the same version: Timestream accepts it silently.
 *
 * If versions are used, the version is the moment when the destination first began, in
 * milliseconds, plus one for each replay of stored samples. So all of a replay has one version,
 * also after restarts, and each replay overwrites the ones before it; later samples from the log
 * keep the version of the last replay, since a lower version would be refused. A later destination
 * of the same table begins later, and so with a higher version.
 */
#include "backend/timestream/timestream.h"

#include <stdio.h>

#include "backend/aws/aws.h"
#include "model/labels.h"

enum {
    LANES = 16,
    BODY_BYTES = 1 << 20,
    TIMESTREAM_BODY_BYTES_MAX = 16 << 20, /* more than the largest records, all escaped */
    CHECK_BYTES_MAX = 4096,
    SAVED_FORM = 1,
};

struct timestream_writer {
    struct writer_base base;
    const struct timestream_settings *settings;
    struct timestream_client *client;
    struct timestream_form form;
    struct timestream_scratch scratch;
    bool by_item;         /* database or table are templates */
    bool is_version_kept; /* the version is durable; nothing is sent before */
    struct timestream_tables *tables;
    bool asks_tables; /* state of a running preparation: the client is prepared */

    /* State of a running check. */
    struct timestream_ticket check_ticket;
    struct buf check_body;
};

struct table_name {
    char text[TIMESTREAM_NAME_BYTES_MAX + 1];
};

struct timestream_call {
    struct timestream_batch batch;
    struct table_name database; /* if they are templates */
    struct table_name table;
    int64_t oldest_ms; /* time of the oldest item from the store; INT64_MAX without such items */
    struct buf body;
    bool made;     /* the body has all records */
    bool was_sent; /* it may have arrived */
    struct timestream_ticket ticket;
    struct timestream_rejections rejections;
};

/* --- names of tables -------------------------------------------------------------------------- */

static bool
is_template(const char *text)
{
    return strstr(text, "${") != NULL;
}

static enum err
check_name(const char *name, const char *configured, struct why *why)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t size = strlen(name);
    if (size > 0 && size <= TIMESTREAM_NAME_BYTES_MAX && strspn(name, allowed) == size) return OK;
    return why_set(why, ERR_INPUT,
                   "'%.256s' does not make a valid Timestream name: expected 1 to %d letters, "
                   "digits, '_', '-' and '.'",
                   configured, TIMESTREAM_NAME_BYTES_MAX);
}

/* Expands a piece of a template, and advances to the next. */
static struct bytes
expand_piece(const char **at, const struct item *item)
{
    const char *from = *at, *end = strncmp(from, "${", 2) == 0 ? strchr(from, '}') : NULL;
    if (end == NULL) {
        *at = from + 1 + strcspn(from + 1, "$");
        return bytes_of(from, (size_t)(*at - from));
    }
    struct bytes label = bytes_of(from + 2, (size_t)(end - from - 2));
    *at = end + 1;
    return bytes_equal_text(label, "tenant") ? item->tenant : labels_get(item->labels, label);
}

static enum err
expand(const char *template, const struct item *item, struct table_name *to, struct why *why)
{
    size_t used = 0;
    for (const char *at = template; *at != '\0';) {
        const char *from = at;
        struct bytes piece = expand_piece(&at, item);
        if (piece.size == 0) {
            return why_set(why, ERR_INPUT, "the series has no label for %.*s in the table name",
                           (int)(at - from < 256 ? at - from : 256), from);
        }
        bool fits = piece.size <= TIMESTREAM_NAME_BYTES_MAX - used &&
                    memchr(piece.at, '\0', piece.size) == NULL;
        if (!fits) return check_name("", template, why);
        memcpy(to->text + used, piece.at, piece.size);
        used += piece.size;
    }
    to->text[used] = '\0';
    return check_name(to->text, template, why);
}

static const char *
database_of(const struct timestream_writer *w, const struct timestream_call *c)
{
    return w->by_item ? c->database.text : w->settings->database;
}

static const char *
table_of(const struct timestream_writer *w, const struct timestream_call *c)
{
    return w->by_item ? c->table.text : w->settings->table;
}

/* --- the writer ------------------------------------------------------------------------------- */

/* Saves the moment when it first began; the relay remembers the rest. */
static void
choose_version(struct timestream_writer *w)
{
    struct cursor c = cursor_of(w->base.options.saved);
    if (!w->settings->overwrite) return;
    bool is_ours = cursor_u8(&c) == SAVED_FORM;
    uint64_t began_ms = cursor_varint(&c);
    int64_t now_ms = env_realtime_ms(w->base.options.env);
    bool is_known = is_ours && !c.bad && began_ms > 0 && began_ms <= INT64_MAX - UINT32_MAX;
    if (!is_known) began_ms = now_ms > 0 ? (uint64_t)now_ms : 1;
    w->is_version_kept = is_known;
    w->form.version = began_ms + w->base.options.fills;
}

static void
timestream_save(const struct writer *writer, struct buf *to)
{
    const struct timestream_writer *w = (const struct timestream_writer *)writer;
    if (w->form.version == 0) return;
    buf_put_u8(to, SAVED_FORM);
    buf_put_varint(to, w->form.version - w->base.options.fills);
}

static enum err
timestream_saved(struct writer *writer, struct why *why)
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    (void)why;
    w->is_version_kept = true;
    return OK;
}

static void
timestream_fini(struct writer *writer)
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    timestream_tables_free(w->tables);
    timestream_client_free(w->client);
    timestream_scratch_fini(&w->scratch);
    buf_fini(&w->check_body);
}

static enum err
timestream_init(struct writer *writer, struct why *why)
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    const struct writer_options *options = &w->base.options;
    const struct timestream_settings *settings = &options->settings->u.timestream;
    w->base.limits = (struct writer_limits){
        .one_of_a_series = true,
        .throttles_parts = true,
        .concurrency = LANES,
        .samples = TIMESTREAM_RECORDS_MAX,
        .bytes = BODY_BYTES,
        .samples_max = TIMESTREAM_RECORDS_MAX,
        .bytes_max = BODY_BYTES,
        .unit = "write_kib",
        .mapped = WRITER_MAPPED_FLOAT | WRITER_MAPPED_HISTOGRAM,
    };
    w->settings = settings;
    w->by_item = is_template(settings->database) || is_template(settings->table);
    w->form.keep_colons = settings->measure_name_colon == TIMESTREAM_COLON_KEEP;
    choose_version(w);
    timestream_scratch_init(&w->scratch, options->memory);
    buf_init(&w->check_body, options->memory, CHECK_BYTES_MAX);
    enum err e = OK;
    if (!is_template(settings->database))
        e = check_name(settings->database, settings->database, why);
    if (e == OK && !is_template(settings->table))
        e = check_name(settings->table, settings->table, why);
    if (e == OK) e = timestream_client_new(options, &w->client, why);
    return e ? e : timestream_tables_new(options, w->client, &w->tables);
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
timestream_call_init(struct writer *writer, struct writer_call *call)
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    struct timestream_call *c = (struct timestream_call *)call;
    timestream_batch_init(&c->batch, w->base.options.memory);
    buf_init(&c->body, w->base.options.memory, TIMESTREAM_BODY_BYTES_MAX);
    timestream_rejections_init(&c->rejections, w->base.options.memory);
    c->oldest_ms = INT64_MAX;
    return OK;
}

static void
timestream_call_fini(struct writer *writer, struct writer_call *call)
{
    (void)writer;
    struct timestream_call *c = (struct timestream_call *)call;
    timestream_batch_fini(&c->batch);
    buf_fini(&c->body);
    timestream_rejections_fini(&c->rejections);
}

static void
timestream_call_clear(struct writer *writer, struct writer_call *call)
{
    struct timestream_call *c = (struct timestream_call *)call;
    (void)writer;
    timestream_batch_clear(&c->batch);
    buf_clear(&c->body);
    c->made = c->was_sent = false;
    c->oldest_ms = INT64_MAX;
}

/* Finds out whether the table accepts samples of that age, as far as that is known. */
static enum err
is_taken(struct timestream_writer *w, const char *database, const char *table, int64_t t_ms,
         bool *ret_taken)
{
    int64_t oldest_ms;
    enum err e = timestream_tables_oldest(w->tables, database, table, &oldest_ms);
    if (e == OK) *ret_taken = t_ms >= oldest_ms;
    return e;
}

/* Finds the table of an item, and whether it accepts the item. */
static enum writer_add
find_table(struct timestream_writer *w, const struct item *item, struct table_name *database,
           struct table_name *table, struct why *why)
{
    bool taken = true;
    if (w->by_item) {
        enum err e = expand(w->settings->database, item, database, why);
        if (e == OK) e = expand(w->settings->table, item, table, why);
        if (e) return WRITER_UNFIT;
    }
    if (!is_fill_pos(item->pos)) return WRITER_ADDED;
    enum err e = is_taken(w, w->by_item ? database->text : w->settings->database,
                          w->by_item ? table->text : w->settings->table, item->t_ms, &taken);
    if (e) return WRITER_NO_MEMORY;
    return taken ? WRITER_ADDED : WRITER_TOO_OLD;
}

static enum writer_add
timestream_add(struct writer *writer, struct writer_call *call, const struct item *item,
               uint32_t *ret_entry, struct why *why)
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    struct timestream_call *c = (struct timestream_call *)call;
    struct table_name database, table;
    if (!item_is_sample(item)) return writer_unfit(why, "Timestream cannot store exemplars");
    enum writer_add added = find_table(w, item, &database, &table, why);
    if (added != WRITER_ADDED) return added;
    bool other =
        w->by_item && c->batch.count > 0 &&
        (strcmp(database.text, c->database.text) != 0 || strcmp(table.text, c->table.text) != 0);
    if (other) return WRITER_FULL;
    uint32_t entry = c->batch.count;
    added = timestream_batch_add(&c->batch, &w->scratch, &w->form, item, why);
    if (added != WRITER_ADDED) return added;
    if (w->by_item && entry == 0) {
        c->database = database;
        c->table = table;
    }
    if (is_fill_pos(item->pos) && item->t_ms < c->oldest_ms) c->oldest_ms = item->t_ms;
    *ret_entry = entry;
    return WRITER_ADDED;
}

static uint64_t
timestream_bytes(const struct writer *writer, const struct writer_call *call)
{
    const struct timestream_call *c = (const struct timestream_call *)call;
    (void)writer;
    return c->made ? c->body.size : timestream_batch_bytes(&c->batch);
}

static uint64_t
timestream_units(const struct writer *writer, const struct writer_call *call)
{
    const struct timestream_call *c = (const struct timestream_call *)call;
    (void)writer;
    return timestream_batch_kib(&c->batch);
}

/* --- requests and answers --------------------------------------------------------------------- */

static enum err
make_body(struct timestream_writer *w, struct timestream_call *c)
{
    if (c->made) return OK;
    buf_clear(&c->body);
    enum err e = timestream_batch_put(&c->batch, database_of(w, c), table_of(w, c), &c->body);
    c->made = e == OK;
    return e;
}

static bool
timestream_maps(struct writer *writer, enum writer_mapped role, struct bytes text)
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    struct buf *to = &w->check_body;
    if (role == WRITER_MAPPED_LABEL_VALUE) return false;
    buf_clear(to);
    if (role == WRITER_MAPPED_METRIC)
        timestream_measure_name_put(to, text, w->form.keep_colons);
    else
        timestream_dimension_name_put(to, text);
    return !bytes_equal(buf_bytes(to), text);
}

/* True if items of the call are too old for their table: they aged since they were added, or its
 * retention was not known then. A call that was sent once may have arrived: it is sent again, and
 * Timestream decides. */
static bool
has_too_old(struct timestream_writer *w, const struct timestream_call *c, struct writer_step *step)
{
    bool all_taken = true;
    if (c->oldest_ms == INT64_MAX || c->was_sent) return false;
    if (is_taken(w, database_of(w, c), table_of(w, c), c->oldest_ms, &all_taken) != OK) {
        step_no_memory(step, "a table");
        return true;
    }
    if (!all_taken) {
        step_done(step, VERDICT_REBUILD, "outside_table_retention",
                  "some samples are too old for the table");
    }
    return !all_taken;
}

static void
timestream_begin(struct writer *writer, struct writer_call *call, struct writer_step *step)
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    struct timestream_call *c = (struct timestream_call *)call;
    if (w->form.version != 0 && !w->is_version_kept) {
        step->next = WRITER_SAVE;
        return;
    }
    if (has_too_old(w, c, step)) return;
    if (make_body(w, c) != OK) {
        step_no_memory(step, "a request");
        return;
    }
    timestream_client_begin(w->client, "WriteRecords", buf_bytes(&c->body), &c->ticket, step);
    if (step->next != WRITER_SEND) return;
    step->http.answer_bytes_max = TIMESTREAM_ANSWER_BYTES_MAX;
    c->was_sent = true;
}

static void
timestream_judge(struct writer *writer, struct writer_call *call,
                 const struct http_call_answer *answer, struct writer_step *step)
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    struct timestream_call *c = (struct timestream_call *)call;
    struct aws_error error;
    timestream_client_judge(w->client, answer, &c->ticket, step);
    if (step->verdict == VERDICT_BLOCKED && answer->failure == HTTP_CALL_ANSWERED)
        timestream_table_named(database_of(w, c), table_of(w, c), step);
    if (step->verdict == VERDICT_DELIVERED && !timestream_is_answer(answer->body)) {
        /* A proxy may respond with 200 without the service. */
        step_done(step, VERDICT_RETRY, "damaged", "got status 200 without a Timestream response");
    }
    if (step->verdict != VERDICT_DEAD) return;
    aws_json_error(answer, &error);
    if (answer->status == 419 || strcmp(error.code, "RejectedRecordsException") == 0) {
        /* Some records were refused, and the response says which. */
        snprintf(step->reason, sizeof step->reason, "rejected");
        enum err e = ERR_INPUT;
        if (!answer->body_cut)
            e = timestream_rejections_read(&c->rejections, answer->body, c->batch.count);
        if (e == OK)
            step->verdict = VERDICT_MIXED;
        else if (e == ERR_INPUT)
            step->verdict = VERDICT_SOME_DEAD;
        else
            step_no_memory(step, "a response");
        return;
    }
    step->verdict = VERDICT_SOME_DEAD;
    if (strcmp(error.code, "ValidationException") == 0)
        snprintf(step->reason, sizeof step->reason, "validation");
}

static void
timestream_entry(const struct writer *writer, const struct writer_call *call, uint32_t entry,
                 struct writer_entry *ret_entry)
{
    const struct timestream_call *c = (const struct timestream_call *)call;
    (void)writer;
    const struct timestream_rejections *r = &c->rejections;
    *ret_entry = (struct writer_entry){.verdict = VERDICT_DELIVERED};
    if (r->of[entry].reason == NULL) return;
    ret_entry->verdict = VERDICT_DEAD;
    snprintf(ret_entry->reason, sizeof ret_entry->reason, "%s", r->of[entry].reason);
    snprintf(ret_entry->answer, sizeof ret_entry->answer, "%.*s", (int)r->of[entry].size,
             (const char *)r->texts.at + r->of[entry].from);
}

/* --- preparation and permission check --------------------------------------------------------- */

static bool
timestream_need_prepare(struct writer *writer)
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    return timestream_client_due(w->client) || timestream_tables_due(w->tables);
}

static void
timestream_prepare(struct writer *writer, const struct http_call_answer *answer,
                   struct writer_step *ret_step)
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    if (answer == NULL) w->asks_tables = false;
    if (!w->asks_tables) {
        timestream_client_prepare(w->client, answer, ret_step);
        if (ret_step->next == WRITER_SEND || ret_step->verdict != VERDICT_DELIVERED) return;
        answer = NULL;
    }
    w->asks_tables = true;
    timestream_tables_prepare(w->tables, answer, ret_step);
}

/* Begins a request with the names of the table and `more`. */
static void
begin_check(struct timestream_writer *w, const char *operation, const char *more,
            struct writer_step *step)
{
    buf_clear(&w->check_body);
    if (timestream_table_request_put(&w->check_body, w->settings->database, w->settings->table,
                                     more) != OK) {
        step_no_memory(step, "a request");
        return;
    }
    timestream_client_begin(w->client, operation, buf_bytes(&w->check_body), &w->check_ticket,
                            step);
}

static void
judge_table(struct timestream_writer *w, const struct http_call_answer *answer,
            struct writer_step *step)
{
    struct timestream_table table;
    timestream_client_judge(w->client, answer, &w->check_ticket, step);
    if (strcmp(step->reason, "access_denied") == 0) {
        /* The permission is only needed to skip samples that are too old. */
        char said[WRITER_ANSWER_BYTES];
        snprintf(said, sizeof said, "%s", step->answer);
        step_done(step, VERDICT_DELIVERED, "", "");
        snprintf(
            step->answer, sizeof step->answer,
            "the optional permission timestream:DescribeTable is missing: samples from the store "
            "that are too old for the table would become dead letters: %.250s",
            said);
        return;
    }
    if (step->verdict != VERDICT_DELIVERED) return;
    if (timestream_table_read(answer->body, &table) != OK) {
        step_done(step, VERDICT_RETRY, "answer", "the response does not describe a table");
        return;
    }
    step_done(step, VERDICT_DELIVERED, "", table.text);
    if (table.is_active) return;
    step->verdict = VERDICT_BLOCKED;
    snprintf(step->reason, sizeof step->reason, "not_active");
}

static bool
timestream_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
                 struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES])
{
    struct timestream_writer *w = (struct timestream_writer *)writer;
    if (number > (w->by_item ? 0 : 1)) return false;
    if (w->by_item) { /* the tables of a template are not known */
        snprintf(what, WRITER_ANSWER_BYTES,
                 "credentials and endpoint address (timestream:DescribeEndpoints)");
        timestream_client_prepare(w->client, answer, ret_step);
    } else if (number == 0) {
        snprintf(what, WRITER_ANSWER_BYTES, "table %s of database %s (timestream:DescribeTable)",
                 w->settings->table, w->settings->database);
        if (answer != NULL)
            judge_table(w, answer, ret_step);
        else
            begin_check(w, "DescribeTable", "", ret_step);
    } else {
        snprintf(what, WRITER_ANSWER_BYTES,
                 "permission to write, checked with an empty request (timestream:WriteRecords)");
        /* Without records: the response distinguishes a missing permission from an invalid request.
         */
        if (answer == NULL) {
            begin_check(w, "WriteRecords", ",\"Records\":[]", ret_step);
        } else {
            timestream_client_judge(w->client, answer, &w->check_ticket, ret_step);
            aws_judge_empty(ret_step);
        }
    }
    return true;
}

const struct writer_class timestream_writer = {
    .type = DESTINATION_TIMESTREAM,
    .writer_bytes = sizeof(struct timestream_writer),
    .call_bytes = sizeof(struct timestream_call),
    .init = timestream_init,
    .fini = timestream_fini,
    .call_init = timestream_call_init,
    .call_fini = timestream_call_fini,
    .call_clear = timestream_call_clear,
    .add = timestream_add,
    .bytes = timestream_bytes,
    .units = timestream_units,
    .maps = timestream_maps,
    .begin = timestream_begin,
    .judge = timestream_judge,
    .entry = timestream_entry,
    .need_prepare = timestream_need_prepare,
    .prepare = timestream_prepare,
    .save = timestream_save,
    .saved = timestream_saved,
    .check = timestream_check,
};
