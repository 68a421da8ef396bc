/*
 * backlog.c - see backlog.h.
 *
 * A directory has a state, and files of dead letters; the log has the items that the state has not
 * settled. The state is read whole, letters up to a limit of bytes, and of the log the totals of
 * its segments. A directory that is removed meanwhile is left out.
 */
#include "relay/operate/backlog.h"

#include <inttypes.h>
#include <string.h>

#include "relay/feed/fill.h"

#include "relay/operate/dead_letters_command.h"
#include "relay/operate/examine_log.h"
#include "relay/state/directory.h"

enum { TRIES_MAX = 5 };

struct backlog_listing {
    const struct backlog_options *options;
    struct examined_log *log;
    struct why log_why; /* why it is NULL */
};

bool
relay_backlog_is_none(const struct relay_backlog *b)
{
    return b->unreadable.text[0] == '\0' && b->letters_problem.text[0] == '\0' && b->queued_known &&
           !b->filling && b->samples == 0 && b->exemplars == 0 && b->letters_known &&
           b->letters == 0 && b->own_files.objects == 0 && b->own_files.files == 0;
}

/* --- one destination -------------------------------------------------------------------------- */

/* An earlier version's letters that are sent again are not among them. */
static uint64_t
letters_of(const struct relay_state *s)
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        sum += s->fates.count[kind][FATE_DEAD_LETTERED];
    }
    return sum;
}

static uint64_t
expected_of(const struct relay_state *s, enum item_kind kind)
{
    return s->expected.until_pos > 0 && s->expected.count[kind] > 0
               ? (uint64_t)s->expected.count[kind]
               : 0;
}

/*
 * After the position up to which items were counted, if they were, only the items that the log has
 * accepted are known. While the store is read and nothing was counted, the position is the end of
 * the range that is read.
 */
static enum err
count_queued(struct backlog_listing *l, const struct relay_state *s, struct relay_backlog *b,
             struct why *why)
{
    const struct log_count unknown = {.known = false};
    uint64_t accepted[LEDGER_KIND_COUNT];
    uint64_t begin = s->fill.active ? s->fill.to_pos : s->cursor.pos;
    uint64_t pos = s->expected.until_pos > begin ? s->expected.until_pos : begin;
    bool at_cursor = !s->fill.active && pos == begin;
    b->filling = s->fill.active && s->expected.until_pos == 0;
    b->log_bytes = examined_log_bytes_from(l->log, begin);
    enum err e =
        examined_log_accepted(l->log, pos, at_cursor ? &s->log_count : &unknown, accepted, why);
    if (e) return e;
    b->queued_known = true;
    b->samples = accepted[LEDGER_FLOAT] + accepted[LEDGER_HISTOGRAM] + expected_of(s, ITEM_FLOAT) +
                 expected_of(s, ITEM_HISTOGRAM);
    b->exemplars = accepted[LEDGER_EXEMPLAR] + expected_of(s, ITEM_EXEMPLAR);
    return OK;
}

static enum err
look_at_queued(struct backlog_listing *l, const struct relay_state *s, struct relay_backlog *b)
{
    struct why why = {""};
    if (l->log == NULL) {
        b->unreadable = l->log_why;
        return OK;
    }
    bool in_log = !s->fill.active && s->cursor.pos != 0;
    b->gone = in_log && s->cursor.pos < examined_log_begin(l->log);
    if (examined_log_end(l->log) == 0 && kinds_sum(s->taken) > 0) {
        return why_set(&b->unreadable, OK, "no log in %s", l->options->log_dir);
    }
    enum err e = count_queued(l, s, b, &why);
    if (e == ERR_NOMEM) return e;
    if (e && e != ERR_MISSING) b->unreadable = why;
    return OK;
}

/* Reads the backlog of one name. ERR_MISSING: it was removed meanwhile. */
static enum err
look_at(struct backlog_listing *l, const char *name, bool is_file, struct relay_backlog *b,
        struct why *why)
{
    const struct backlog_options *o = l->options;
    char dir[RELAY_DIR_BYTES];
    struct buf memory;
    struct relay_state state;
    *b = (struct relay_backlog){.type = DESTINATION_TYPE_COUNT};
    enum err e = path_in(dir, sizeof dir, o->dir, name, why);
    if (e) return e;
    if (is_file) {
        b->condition = BACKLOG_FILE;
        e = relay_directory_look(o->env, dir, &b->unreadable);
        return e == OK ? ERR_MISSING : e == ERR_INPUT ? OK : e;
    }
    buf_init(&memory, o->memory, RELAY_STATE_BYTES_MAX);
    e = relay_state_read(o->env, dir, &memory, &state, &b->unreadable);
    bool readable = e == OK, gone = e == ERR_MISSING;
    b->condition = e == ERR_CORRUPT                      ? BACKLOG_CLOSED
                   : e == ERR_IO || e == ERR_UNSUPPORTED ? BACKLOG_BLOCKED
                                                         : BACKLOG_RESTING;
    struct own_files_options own_files = {.env = o->env, .memory = o->memory, .dir = dir};
    if (readable) {
        b->destination_known = state.destination_known;
        if (state.destination_known) b->type = state.type;
        b->place = state.place;
        b->selection_known = state.expected.until_pos > 0;
        b->selection = state.expected.selection;
        b->letters_known = true;
        b->letters = letters_of(&state);
        own_files.saved = state.writer;
        own_files.has_saved = true;
        e = look_at_queued(l, &state, b);
    } else if (e != ERR_NOMEM) {
        e = OK; /* `unreadable` says so */
    }
    struct why own_why = {""};
    if (e == OK && own_files_count_backlog(&own_files, b->type, &b->own_files, &own_why) != OK)
        b->unreadable = own_why;
    buf_fini(&memory);
    return gone ? ERR_MISSING : e;
}

/* --- dead letters ----------------------------------------------------------------------------- */

static enum err
count_letter(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    (void)letter;
    (void)again;
    uint64_t *bytes_left = context;
    if (line.size > *bytes_left) return ERR_LIMIT;
    *bytes_left -= line.size;
    return OK;
}

void
relay_backlog_count_letters(const struct backlog_options *o, const char *name, uint64_t *bytes_left,
                            struct relay_backlog *b)
{
    char dir[RELAY_DIR_BYTES];
    struct why *problem = &b->letters_problem, why = {""};
    uint64_t left = *bytes_left;
    struct dead_letters_report report;
    if (path_in(dir, sizeof dir, o->dir, name, problem) != OK) return;
    enum err e = dead_letters_each(o->env, dir, o->memory, count_letter, &left, &report, &why);
    if (e == ERR_UNSUPPORTED && b->letters_known) return; /* the state says how many there are */
    if (e == ERR_LIMIT) {
        why_set(problem, e, "the dead letters are too many to read: %s",
                b->letters_known ? "using the number in the state of the destination"
                                 : "their number is not known");
        return;
    }
    *bytes_left = left;
    b->letters_known = e == OK || e == ERR_MISSING;
    b->letters = b->letters_known ? kinds_sum(report.lines) : 0;
    if (e && e != ERR_MISSING)
        *problem = why;
    else if (report.lost > 0)
        why_set(problem, ERR_CORRUPT, "%s", report.text);
}

/* --- all destinations ------------------------------------------------------------------------- */

/* True if the name is not a directory. */
static bool
is_file(const struct backlog_listing *l, const char *name)
{
    char path[RELAY_DIR_BYTES];
    struct file_facts facts;
    return path_join(path, sizeof path, l->options->dir, name) == OK &&
           env_facts(l->options->env, path, &facts, NULL) == OK && facts.kind != FILE_KIND_DIR;
}

/* Opens the log, several times if need be: a running server removes files meanwhile. */
static enum err
open_log(struct backlog_listing *l)
{
    enum err e = ERR_MISSING;
    for (unsigned i = 0; i < TRIES_MAX && (e == ERR_MISSING || e == ERR_CORRUPT); i++) {
        l->log_why.text[0] = '\0';
        e = examined_log_open(l->options->env, l->options->log_dir, l->options->memory, &l->log,
                              &l->log_why);
    }
    if (e && l->log_why.text[0] == '\0') e = why_set(&l->log_why, e, "%s", err_word(e));
    return e == ERR_NOMEM ? e : OK;
}

enum err
relay_backlogs(const struct backlog_options *o, struct why *why)
{
    struct backlog_listing l = {.options = o};
    struct relay_backlog backlog;
    struct relay_names names = {.env = o->env};
    const struct relay_name *at;
    enum err e = relay_directory_look(o->env, o->dir, why);
    if (e == OK) e = relay_names_read(&names, o->env, o->dir, o->memory, why);
    for (size_t i = 0; e == OK && (at = relay_name_at(&names, i)) != NULL; i++) {
        const char *name = at->text; /* names of unfinished directories begin with a dot */
        if (name[0] == '.' || strlen(name) > DESTINATION_NAME_BYTES_MAX) continue;
        bool file = !at->is_dir && is_file(&l, name);
        if (file && !o->files) continue;
        if (o->wanted != NULL && !o->wanted(o->context, name)) continue;
        if (l.log == NULL && l.log_why.text[0] == '\0') e = open_log(&l);
        if (e)
            why_set(why, e, "%s", l.log_why.text);
        else
            e = look_at(&l, name, file, &backlog, why);
        if (e == OK)
            e = o->each(o->context, name, &backlog);
        else if (e == ERR_MISSING)
            e = OK;
    }
    examined_log_free(l.log);
    buf_fini(&names.all);
    return e == ERR_MISSING ? OK : e;
}

const char *
relay_backlog_fate(bool stored, bool gone)
{
    if (!stored && gone) {
        return "some queued samples are lost for this destination: they were removed from the log";
    }
    return stored ? "a destination configured under this name continues from there"
                  : "the log is no longer kept for it, queued samples are lost";
}
