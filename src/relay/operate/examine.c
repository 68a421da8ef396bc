/*
 * examine.c - see operate.h. Every name below relay/ belongs to the relay (states, an operator's
 * decisions), to dead letters, or to the destination's type (backend/writer.h). Other names are
 * reported and left alone.
 *
 * The state of a destination is read first, since it says which dead letters there should be, then
 * these, then the other names. Then the position of the state is looked up in the log: its segments
 * are listed once, with the positions at which each begins and ends. The account is checked last,
 * as it needs all of these: the state, the dead letters, and the items queued in the log, which is
 * read as a relay reads it.
 *
 * A finding is one line, and is counted; the check continues. An error of the device or of memory
 * ends it; an error of the device in one destination's directory only skips the rest of that one.
 */
#include "relay/operate/operate.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend/writer.h"
#include "relay/feed/fill.h"
#include "relay/feed/log_items.h"
#include "relay/letters/letters.h"
#include "relay/state/directory.h"

enum {
    PATH_BYTES = FILE_PATH_BYTES,
    SEGMENTS_BYTES_MAX = 64 * 1024 * 1024,
    LABEL_CACHE_BYTES = 1024 * 1024,
    BATCH_BYTES = 1024 * 1024,
};

static const char *const kind_words[ITEM_KIND_COUNT] = {"floats", "histograms", "exemplars",
                                                        "metadata"};

struct log_extent {
    uint64_t number;
    uint64_t base_pos;
    uint64_t end_pos;
    uint64_t totals[LEDGER_KIND_COUNT]; /* accepted before it */
};

struct examining {
    const struct examine_options *o;
    struct examine_report *report;
    bool has_log;       /* false if the log cannot be read, which the check of the log reports */
    struct buf extents; /* struct log_extent of live segments, by position */
    struct wal *wal;    /* opened when something is to be counted */
    const char *name;   /* the current destination */
    char dir[PATH_BYTES];
    struct buf state_bytes; /* the bytes that `state` has views of */
    struct relay_state state;
    bool has_state;
    bool is_old; /* an earlier version wrote the dead letters */
    struct dead_letters_report letters;
    uint32_t unread; /* destinations that cannot be read */
};

static const struct destination_settings *
find_settings(const struct examining *x)
{
    const struct destinations *all = x->o->destinations;
    for (uint32_t i = 0; all != NULL && i < all->count; i++)
        if (strcmp(all->items[i].name, x->name) == 0) return &all->items[i];
    return NULL;
}

/* --- reporting -------------------------------------------------------------------------------- */

/* A note, or something that an operator has to act on. */
enum finding { NOTE, WRONG };

PRINTF_LIKE(3, 4)
static void
report(struct examining *x, enum finding finding, const char *format, ...)
{
    char line[1024];
    int size = 0;
    va_list args;
    if (x->name != NULL) size = snprintf(line, sizeof line, "destination %.128s: ", x->name);
    va_start(args, format);
    vsnprintf(line + size, sizeof line - (size_t)size, format, args);
    va_end(args);
    x->report->wrong += finding == WRONG;
    x->o->say(x->o->context, line);
}

/* Reports an error as a finding, unless it makes further checks impossible: then it is returned. */
static enum err
report_error(struct examining *x, enum err e, const struct why *why, const char *remedy,
             struct why *ret)
{
    if (e == ERR_NOMEM || e == ERR_IO || e == ERR_LIMIT) return why_set(ret, e, "%s", why->text);
    const char *text = why->text[0] != '\0' ? why->text : err_word(e);
    if (e == ERR_UNSUPPORTED)
        report(x, WRONG, "%s", text); /* the text names the version that can read it */
    else if (e)
        report(x, WRONG, "damaged: %s; %s", text, remedy);
    return OK;
}

/* --- files of other origin -------------------------------------------------------------------- */

static bool
ends_in(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);
    return size > end_size && strcmp(name + size - end_size, end) == 0;
}

static void
report_stray(struct examining *x, const char *dir, const struct relay_name *name)
{
    const char *slash = name->is_dir ? "/" : "";
    if (ends_in(name->text, ".tmp")) {
        report(x, NOTE, "%s/%s%s: unfinished file of an interrupted write, harmless", dir,
               name->text, slash);
    } else {
        report(x, NOTE, "%s/%s%s: unknown, not written by Firekeep: left alone", dir, name->text,
               slash);
    }
}

/* --- states ----------------------------------------------------------------------------------- */

static enum err
examine_state(struct examining *x, struct why *why)
{
    struct why reason = {""};
    struct env *env = x->o->env;
    char remedy[256];
    snprintf(remedy, sizeof remedy,
             "choose where the destination resumes: firekeep destinations reset %s "
             "--from=previous|oldest|now|TIME",
             x->name);
    enum err e = relay_state_read(env, x->dir, &x->state_bytes, &x->state, &reason);
    x->has_state = e == OK;
    if (e == ERR_MISSING) e = why_set(&reason, ERR_CORRUPT, "%s/state is missing", x->dir);
    e = report_error(x, e, &reason, remedy, why);
    if (e) return e;
    struct buf memory;
    struct relay_state previous;
    buf_init(&memory, x->o->memory, RELAY_STATE_BYTES_MAX);
    e = relay_state_read_previous(env, x->dir, &memory, &previous, &reason);
    buf_fini(&memory);
    if (e == ERR_MISSING) return OK;
    return report_error(x, e, &reason, "remove it; the next state replaces it", why);
}

/* Checks the fields of a state that apply while the store is read. */
static void
examine_fill(struct examining *x)
{
    const struct relay_state *s = &x->state;
    const struct relay_fill *fill = &s->fill;
    const char *wrong = NULL;
    bool filling = is_fill_pos(s->cursor.pos);
    if (filling != fill->active)
        wrong = "the position is in the store and in the log at the same time";
    else if (filling && fill_number(s->cursor.pos) != (s->fill_count & 0xffff))
        wrong = "the position does not belong to its last read of the store";
    else if (filling && (fill->from_pos > fill->to_pos || s->cursor.index != 0))
        wrong = "the range of the log that is read from the store ends before it begins";
    else if (filling && !fill_place_is_one(fill->place))
        wrong = "the place in the store is invalid";
    else if (filling && s->expected.until_pos != 0 && s->expected.until_pos < fill->to_pos)
        wrong = "the queue was counted up to a position before the end of that range";
    if (wrong == NULL) return;
    report(x, WRONG,
           "%s/state: %s; restore the state from a copy, or move the directory away to start again",
           x->dir, wrong);
}

/* --- the log ---------------------------------------------------------------------------------- */

static const struct log_extent *
extents(const struct examining *x, size_t *ret_count)
{
    *ret_count = x->extents.size / sizeof(struct log_extent);
    return (const struct log_extent *)(const void *)x->extents.at;
}

static enum err
note_segment(void *context, const struct wal_segment_info *info)
{
    struct examining *x = context;
    struct log_extent extent = {info->number, info->base_pos, info->end_pos, {0}};
    memcpy(extent.totals, info->totals, sizeof extent.totals);
    if (info->state != WAL_SEGMENT_LIVE) return OK;
    buf_put(&x->extents, &extent, sizeof extent);
    return buf_error(&x->extents);
}

/* Returns the position after the last record; 0 if nothing was ever written. */
static uint64_t
log_end(const struct examining *x)
{
    size_t count;
    const struct log_extent *all = extents(x, &count);
    return count == 0 ? 0 : all[count - 1].end_pos;
}

struct log_look {
    uint64_t pos;
    bool there;
};

static enum err
look_at_record(void *context, const struct wal_record_info *info)
{
    struct log_look *l = context;
    uint64_t pos = info->record.pos;
    l->there |= l->pos == pos || l->pos == pos + info->record_bytes;
    return OK;
}

/* A position within damage may be one of a record. */
static void
look_at_damage(void *context, uint64_t pos, uint64_t bytes, const char *text)
{
    struct log_look *l = context;
    (void)text;
    l->there |= l->pos >= pos && l->pos <= pos + bytes;
}

/* The position at which the destination continues in the log, now or after reading the store. */
static struct relay_cursor
log_cursor(const struct relay_state *s)
{
    if (s->fill.active) return (struct relay_cursor){.pos = s->fill.to_pos};
    return s->cursor;
}

/*
 * Reports how many samples the log had accepted between a position that it no longer has and its
 * begin, if the state knows how many there were at the position. It does not count as wrong for a
 * destination that is not configured, whose removal was logged.
 */
static void
examine_gone(struct examining *x, uint64_t pos)
{
    static const enum ledger_kind kinds[] = {LEDGER_FLOAT, LEDGER_HISTOGRAM};
    const struct log_count *count = &x->state.log_count;
    size_t extent_count;
    uint64_t lost = 0;
    char text[64] = "an unknown number of samples";
    if (x->o->stored) {
        report(x, NOTE,
               "position %" PRIu64
               " is no longer in the log: samples that it has not taken are read from the store",
               pos);
        return;
    }
    if (count->known) {
        const uint64_t *begin = extents(x, &extent_count)->totals;
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (begin[kinds[i]] > count->of[kinds[i]])
                lost += begin[kinds[i]] - count->of[kinds[i]];
        if (lost == 0) return;
        snprintf(text, sizeof text, "at most %" PRIu64 " samples", lost);
    }
    if (x->o->destinations == NULL || find_settings(x) != NULL) x->report->wrong++;
    report(x, NOTE,
           "position %" PRIu64
           " is no longer in the log, and there is no store: %s that it has not "
           "taken are lost for it; it resumes at the oldest record of the log",
           pos, text);
}

/* Looks up the position of the state in the log. */
static enum err
examine_place(struct examining *x, struct why *why)
{
    const struct examine_options *o = x->o;
    uint64_t pos = log_cursor(&x->state).pos, end = log_end(x);
    size_t count, i = 0;
    const struct log_extent *all = extents(x, &count);
    if (end == 0) {
        uint64_t taken = kinds_sum(x->state.taken);
        if (taken == 0) return OK; /* a new destination has a position before anything is logged */
        if (o->stored && pos <= o->store_pos) return OK; /* restored from a snapshot */
        report(x, WRONG,
               "%s/state: %" PRIu64 " items were taken from a log that is missing; restore the "
               "state and the log from the same copy",
               x->dir, taken);
        return OK;
    }
    if (pos == 0) return OK; /* the oldest record */
    if (pos < all[0].base_pos) {
        examine_gone(x, pos);
        return OK;
    }
    if (pos > end) {
        report(x, WRONG,
               "%s/state: position %" PRIu64 " is after the end of the log, %" PRIu64
               ": the log was restored from an older copy or has lost its end; the destination "
               "resumes at the end of the log",
               x->dir, pos, end);
        return OK;
    }
    while (all[i].end_pos < pos)
        i++;
    struct log_look looking = {pos, pos == all[i].base_pos || pos == all[i].end_pos};
    if (pos > all[i].base_pos && !looking.there) { /* there may be gaps between segments */
        struct wal_inspector inspector = {
            .record = look_at_record, .damage = look_at_damage, .context = &looking};
        struct wal_inspection inspection;
        enum err e =
            wal_inspect(o->env, o->log_dir, all[i].number, o->memory, &inspector, &inspection, why);
        if (e == ERR_CORRUPT || e == ERR_UNSUPPORTED || e == ERR_MISSING)
            return OK; /* a finding of the check of the log */
        if (e) return e;
    }
    if (looking.there) return OK;
    report(x, WRONG,
           "%s/state: no record of the log begins or ends at position %" PRIu64
           ": the state belongs to another log; restore the state and the log from the same copy",
           x->dir, pos);
    return OK;
}

/* --- dead letters ----------------------------------------------------------------------------- */

/* Counts the dead letters in the files, and reports names that are not theirs. */
static enum err
examine_letters(struct examining *x, struct why *why)
{
    const struct examine_options *o = x->o;
    char dir[PATH_BYTES];
    struct why reason = {""};
    x->is_old = x->has_state && letter_list_is_old(x->state.letters);
    memset(&x->letters, 0, sizeof x->letters);
    enum err e = path_in(dir, sizeof dir, x->dir, RELAY_LETTERS_NAME, why);
    if (e) return e;
    if (x->is_old)
        e = letters_old_count(o->env, x->dir, o->memory, &x->state, x->letters.lines, &reason);
    else
        e = dead_letters_each(o->env, x->dir, o->memory, NULL, NULL, &x->letters, &reason);
    if (e == ERR_MISSING || (e == ERR_UNSUPPORTED && !x->has_state)) e = OK; /* reported before */
    e = report_error(x, e, &reason, "see docs/destinations/README.md", why);
    if (e) return e;
    if (x->letters.lost > 0) {
        report(x, WRONG,
               "damaged: %s; %" PRIu64 " dead letters count as dropped (damaged) when the "
               "destination is opened or sends them again",
               x->letters.text, x->letters.lost);
    }
    struct relay_names names;
    const struct relay_name *name;
    e = relay_names_read(&names, o->env, dir, o->memory, why);
    if (e) return e == ERR_MISSING ? OK : e;
    for (size_t i = 0; (name = relay_name_at(&names, i)) != NULL; i++) {
        uint32_t number;
        bool packed, is_ours = !name->is_dir && letter_name_number(name->text, &number, &packed);
        bool of_old = x->is_old && !name->is_dir &&
                      (ends_in(name->text, ".letters") || ends_in(name->text, ".request"));
        x->report->files += !name->is_dir;
        if (!is_ours && !of_old) report_stray(x, dir, name);
    }
    buf_fini(&names.all);
    return OK;
}

/* --- the account ------------------------------------------------------------------------------ */

static enum err
open_wal(struct examining *x, struct why *why)
{
    struct wal_damage damage;
    struct wal_options options = {
        .env = x->o->env,
        .dir = x->o->log_dir,
        .segment_bytes = WAL_SEGMENT_BYTES_MIN,
        .batch_bytes_max = BATCH_BYTES,
        .read_only = true,
        .memory = x->o->memory,
    };
    if (x->wal != NULL) return OK;
    enum err e = wal_open(&options, &x->wal, why);
    /* Damage is reported by the check of the log. */
    if (e == OK) e = wal_recover(x->wal, log_end(x), NULL, NULL, &damage, why);
    if (e) {
        wal_free(x->wal);
        x->wal = NULL;
    }
    return e;
}

/*
 * Counts the items that are queued in the log, as the destination's relay would, without metadata,
 * which only some types take. `ret_counted` is false if that is unknown.
 */
static enum err
count_waiting(struct examining *x, uint64_t waiting[ITEM_KIND_COUNT], bool *ret_counted,
              struct why *why)
{
    const struct destination_settings *settings = find_settings(x);
    const struct relay_state *s = &x->state;
    struct relay_cursor from = log_cursor(s);
    struct selection *selection = NULL;
    struct log_items *items = NULL;
    struct chunk chunk;
    struct why reason = {""};
    bool damaged = false;
    *ret_counted = settings != NULL && x->has_log;
    if (!*ret_counted || x->extents.size == 0) return OK;
    chunk_init(&chunk, x->o->memory);
    enum err e = open_wal(x, &reason);
    if (e == OK) e = selection_new(settings, &selection, &reason);
    if (e == OK) {
        struct log_items_options options = {
            .wal = x->wal,
            .name = settings->name,
            .selection = selection,
            .memory = x->o->memory,
            .cache_bytes = LABEL_CACHE_BYTES,
        };
        e = log_items_open(&options, from.pos, &items, &reason);
    }
    while (e == OK || e == ERR_CORRUPT) {
        e = log_items_next(items, &chunk, &reason);
        damaged |= e == ERR_CORRUPT;
        if (e) continue;
        /* Counts what the feed would deliver: see feed_count_wanted() and feed_settled_before(). */
        uint32_t i = chunk.pos == from.pos ? from.index : 0;
        if (chunk.pos < from.pos || chunk.kind == ITEM_METADATA) i = chunk.count;
        for (; i < chunk.count; i++) {
            bool old = chunk.pos < s->begin_pos && chunk_time_ms(&chunk, i) < s->begin_ms;
            waiting[chunk.kind] += !old && log_items_takes(items, &chunk, i);
        }
        log_items_pass(items, chunk.pos, chunk.segment);
    }
    if (e == ERR_AGAIN) e = damaged ? ERR_CORRUPT : OK;
    log_items_close(items);
    selection_free(selection);
    chunk_fini(&chunk);
    *ret_counted = e == OK;
    if (e == ERR_MISSING) return OK; /* reported with its directory */
    return report_error(x, e, &reason, "the queue in the log cannot be counted", why);
}

/* Reports items that were counted as queued and are not in the log. */
static void
report_missing(struct examining *x, enum item_kind kind, uint64_t found)
{
    const struct relay_state *s = &x->state;
    bool same = s->selection == destination_selection_hash(find_settings(x));
    bool known = s->counted_pos != 0 && !s->fill.active && s->expected.until_pos == 0;
    if (!known || s->counted[kind] <= found) return;
    if (!same) {
        report(x, NOTE, "%s: %" PRIu64 " queued items are no longer selected", kind_words[kind],
               s->counted[kind] - found);
        return;
    }
    report(x, WRONG,
           "%s: %" PRIu64
           " queued items are no longer in the log; those that are not in the store are "
           "counted as dropped at the next start",
           kind_words[kind], s->counted[kind] - found);
}

static enum err
examine_account(struct examining *x, struct why *why)
{
    uint64_t waiting[ITEM_KIND_COUNT] = {0};
    bool counted;
    enum err e = count_waiting(x, waiting, &counted, why);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && e == OK; kind++) {
        const struct relay_state *s = &x->state;
        const uint64_t *fates = s->fates.count[kind];
        uint64_t taken = s->taken[kind], dropped = fates_dropped(&s->fates, kind);
        uint64_t counted_letters = x->letters.lines[kind];
        bool holds =
            taken == fates_settled(&s->fates, kind) && counted_letters == fates[FATE_DEAD_LETTERED];
        holds |= x->is_old; /* the files say more than the state */
        char text[64] = "";
        if (counted && kind != ITEM_METADATA)
            snprintf(text, sizeof text, "; %" PRIu64 " queued in the log", waiting[kind]);
        if (taken == 0 && holds && waiting[kind] == 0 && s->counted[kind] == 0) continue;
        if (!holds) x->report->wrong++;
        if (counted && kind != ITEM_METADATA)
            report_missing(x, (enum item_kind)kind, taken + waiting[kind]);
        report(x, NOTE,
               "%s: taken %" PRIu64 " = delivered %" PRIu64 " + dead-lettered %" PRIu64
               " (counted %" PRIu64 ") + dropped %" PRIu64 ": %s%s",
               kind_words[kind], taken, fates[FATE_DELIVERED], fates[FATE_DEAD_LETTERED],
               counted_letters, dropped,
               x->is_old ? "converted at the next start"
               : holds   ? "balanced"
                         : "DOES NOT BALANCE",
               text);
    }
    return e;
}

/* --- destinations ----------------------------------------------------------------------------- */

static void
say_own_file(void *context, enum own_file_verdict verdict, const char *text)
{
    struct examining *x = context;
    bool damaged = verdict == OWN_FILE_DAMAGED;
    report(x, damaged ? WRONG : NOTE, damaged ? "damaged: %s" : "%s", text);
}

static enum err
examine_names(struct examining *x, struct why *why)
{
    struct relay_names names;
    const struct relay_name *name;
    enum err e = relay_names_read(&names, x->o->env, x->dir, x->o->memory, why);
    if (e) return e;
    for (size_t i = 0; (name = relay_name_at(&names, i)) != NULL && e == OK; i++) {
        enum relay_entry entry = relay_entry_of(name->text);
        if (entry == RELAY_ENTRY_LOCK) continue; /* nothing is in it */
        if (entry == RELAY_ENTRY_OTHER) {
            uint64_t files = 0; /* of the destination's type */
            struct own_files_options options = {
                .env = x->o->env,
                .memory = x->o->memory,
                .dir = x->dir,
                .saved = x->has_state ? x->state.writer : bytes_of(NULL, 0),
                .has_saved = x->has_state,
                .say = say_own_file,
                .context = x,
            };
            e = own_files_examine(&options, name->text, name->is_dir, &files, why);
            x->report->files += files;
            continue;
        }
        x->report->files += !name->is_dir;
        if (entry == RELAY_ENTRY_RESET) {
            struct reset decided;
            struct why reason = {""};
            e = reset_read(x->o->env, x->dir, &decided, &reason);
            if (e == OK)
                report(x, NOTE, "%s/reset: the destination resumes from %s when it is next opened",
                       x->dir, reset_word(decided.from));
            e = report_error(x, e, &reason, "the destination is kept closed until then", why);
        } else if (entry == RELAY_ENTRY_DAMAGED) {
            report(x, NOTE, "%s/%s: set aside when an operator reset the destination", x->dir,
                   name->text);
        } else if (entry == RELAY_ENTRY_UNFINISHED) {
            report_stray(x, x->dir, name);
        }
    }
    buf_fini(&names.all);
    return e;
}

static enum err
examine_destination(struct examining *x, const char *name, struct why *why)
{
    struct buf *bytes = &x->state_bytes;
    x->name = name;
    x->report->destinations++;
    buf_init(bytes, x->o->memory, RELAY_STATE_BYTES_MAX);
    enum err e = examine_state(x, why);
    if (e == OK) e = examine_letters(x, why);
    if (e == OK) e = examine_names(x, why);
    if (x->o->destinations != NULL && find_settings(x) == NULL) {
        report(x, NOTE,
               "not in the configuration, so no log is kept for it; configure it again to resume "
               "where it stopped, or remove its directory to forget it");
    }
    if (e == OK && x->has_state) {
        examine_fill(x);
        if (x->has_log) e = examine_place(x, why);
        if (e == OK) e = examine_account(x, why);
    }
    buf_fini(bytes);
    x->name = NULL;
    return e;
}

/* Reports a destination that cannot be read; the others are still checked. */
static enum err
note_unread(struct examining *x, const char *name, enum err e, const struct why *reason,
            struct why *why)
{
    if (e != ERR_IO) return why_set(why, e, "%s", reason->text);
    x->name = name;
    report(x, NOTE, "cannot be read: %s; its other files were not checked", reason->text);
    x->name = NULL;
    if (x->unread++ == 0) why_set(why, e, "%s", reason->text);
    return OK;
}

/* Reports something that is not a directory: an unknown file, or one in place of a destination. */
static enum err
examine_non_directory(struct examining *x, const struct relay_name *name, struct why *why)
{
    struct why reason = {""};
    enum err e = relay_directory_look(x->o->env, x->dir, &reason);
    x->name = name->text;
    bool in_the_way = e == ERR_CORRUPT || (e == ERR_INPUT && find_settings(x) != NULL);
    if (in_the_way) report(x, WRONG, "%s", reason.text);
    x->name = NULL;
    if (e == ERR_INPUT && !in_the_way) report_stray(x, x->o->dir, name);
    bool is_reported = e == OK || e == ERR_MISSING || e == ERR_INPUT || e == ERR_CORRUPT;
    return is_reported ? OK : note_unread(x, name->text, e, &reason, why);
}

static enum err
examine_all(struct examining *x, const struct relay_names *names, struct why *why)
{
    const char *relay_dir = x->o->dir;
    const struct relay_name *name;
    enum err e = OK;
    for (size_t i = 0; (name = relay_name_at(names, i)) != NULL && e == OK; i++) {
        struct why reason = {""};
        x->report->files += !name->is_dir;
        if (name->is_dir && name->text[0] == '.' && ends_in(name->text, ".new")) {
            report(x, NOTE, "%s/%s: a destination that was being created, harmless", relay_dir,
                   name->text);
            continue;
        }
        if (name->text[0] == '.' || (!name->is_dir && ends_in(name->text, ".tmp"))) {
            report_stray(x, relay_dir, name);
            continue;
        }
        e = path_in(x->dir, sizeof x->dir, relay_dir, name->text, why);
        if (e) return e;
        if (!name->is_dir) {
            e = examine_non_directory(x, name, why);
            continue;
        }
        e = examine_destination(x, name->text, &reason);
        if (e) e = note_unread(x, name->text, e, &reason, why);
    }
    return e;
}

/* Reports configured destinations without a state: a server would begin them as new ones. */
static enum err
examine_missing(struct examining *x, struct why *why)
{
    const struct destinations *all = x->o->destinations;
    for (uint32_t i = 0; all != NULL && i < all->count; i++) {
        const struct destination_settings *d = &all->items[i];
        enum err e = path_in(x->dir, sizeof x->dir, x->o->dir, d->name, why);
        if (e) return e;
        if (d->dry_run || relay_directory_look(x->o->env, x->dir, NULL) != ERR_MISSING) continue;
        x->name = d->name;
        report(x, NOTE,
               "%s is missing: it starts as a new destination; if it ran before, restore the "
               "directory before the next start",
               x->dir);
        x->name = NULL;
    }
    return OK;
}

enum err
relay_examine(const struct examine_options *options, struct examine_report *ret_report,
              struct why *why)
{
    struct examining x = {.o = options, .report = ret_report};
    struct relay_names names;
    struct why reason = {""};
    memset(ret_report, 0, sizeof *ret_report);
    enum err e = relay_names_read(&names, options->env, options->dir, options->memory, &reason);
    if (e == ERR_MISSING || e == ERR_IO) {
        /* Something else is in place of the directory of destinations. */
        struct why place = {""};
        enum err other = relay_directory_look(options->env, options->dir, &place);
        if (other == ERR_MISSING) {
            other = examine_missing(&x, why);
        } else if (other != ERR_INPUT && other != ERR_CORRUPT) {
            return why_set(why, other, "%s", place.text);
        } else {
            report(&x, WRONG, "%s", place.text);
            other = OK;
        }
        return other || e == ERR_MISSING || ret_report->wrong > 0
                   ? other
                   : why_set(why, e, "%s", reason.text);
    }
    if (e) return why_set(why, e, "%s", reason.text);
    buf_init(&x.extents, options->memory, SEGMENTS_BYTES_MAX);
    e = wal_segments(options->env, options->log_dir, options->memory, note_segment, &x, &reason);
    if (e == ERR_MISSING && x.extents.size == 0) e = OK; /* else a file was removed meanwhile */
    x.has_log = e == OK;
    if (e == ERR_CORRUPT || e == ERR_UNSUPPORTED) e = OK; /* reported by the check of the log */
    if (e) why_set(why, e, "%s", reason.text);
    if (e == OK) e = examine_all(&x, &names, why);
    if (e == OK) e = examine_missing(&x, why);
    if (e == OK && x.unread > 0) e = ERR_IO;
    wal_free(x.wal);
    buf_fini(&x.extents);
    buf_fini(&names.all);
    return e;
}
