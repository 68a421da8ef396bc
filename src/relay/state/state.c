/*
 * state.c - see state.h. Format: docs/format/relay.md.
 *
 * A state is one file with a checksum, written beside the current one and renamed over it, so that
 * there is always a whole one; the previous one is kept under a second name. Fields are only ever
 * appended: an older version's state ends earlier, and missing fields have a value that says so.
 * The directory of a new destination appears with its first state in it: one without a state is
 * damage.
 *
 * Invariants, which the writer asserts and the reader verifies: enumerations are in range, and the
 * name ends within its array.
 */
#include "relay/state/state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"
#include "base/fields.h"
#include "base/text/hex.h"
#include "relay/state/directory.h"

/* Format: docs/format/relay.md. */

/* Earlier versions began with 0 or 1. */
enum { LIST_VERSION = 2, FILES_MAX = 1 << 20 };

bool
letter_list_is_old(struct bytes from)
{
    return from.size == 0 || from.at[0] < LIST_VERSION;
}

static void
list_fields(const struct fields *f, struct letter_list *list)
{
    uint8_t version = LIST_VERSION;
    field_u8(f, &version);
    fields_check(f, version == LIST_VERSION);
    field_u32(f, &list->number);
    field_u32(f, &list->replay_to);
    field_varint(f, &list->replay_at);
    field_u32(f, &list->count);
    fields_check(f, list->count <= FILES_MAX);
}

static void
file_fields(const struct fields *f, struct letter_file *file)
{
    field_u32(f, &file->number);
    field_varints(f, file->lines, ITEM_KIND_COUNT);
    field_varint(f, &file->bytes);
    field_zigzag(f, &file->first_ms);
    field_zigzag(f, &file->last_ms);
}

enum err
letter_list_get(struct letter_list *list, struct bytes from)
{
    struct cursor c = cursor_of(from);
    const struct fields fields = {.from = &c};
    struct letter_list head = {.number = 1};
    if (!letter_list_is_old(from)) list_fields(&fields, &head);
    if (c.bad) return ERR_CORRUPT;
    uint32_t count = head.count;
    head.memory = list->memory;
    head.count = 0;
    *list = head;
    for (uint32_t i = 0; i < count; i++) {
        if (!array_reserve(list->memory, &list->files, &list->capacity, i + 1)) return ERR_NOMEM;
        struct letter_file *file = &list->files[i];
        file->is_there = false;
        file_fields(&fields, file);
        uint32_t before = i == 0 ? 0 : file[-1].number;
        if (c.bad || file->number <= before || file->number > list->number) return ERR_CORRUPT;
        list->count++;
    }
    return OK;
}

void
letter_list_put(const struct letter_list *list, struct buf *to)
{
    const struct fields fields = {.to = to};
    struct letter_list head = *list;
    list_fields(&fields, &head);
    for (uint32_t i = 0; i < list->count; i++)
        file_fields(&fields, &list->files[i]);
}

void
letter_list_fini(struct letter_list *list)
{
    array_free(list->memory, list->files, list->capacity);
    *list = (struct letter_list){.memory = list->memory};
}

struct letter_file *
letter_list_find(const struct letter_list *list, uint32_t number)
{
    for (uint32_t i = list->count; i-- > 0;)
        if (list->files[i].number == number) return &list->files[i];
    return NULL;
}

struct letter_file *
letter_list_current(struct letter_list *list)
{
    struct letter_file *file = letter_list_find(list, list->number);
    if (file != NULL) return file;
    if (!array_reserve(list->memory, &list->files, &list->capacity, list->count + 1)) return NULL;
    file = &list->files[list->count++];
    *file = (struct letter_file){list->number, {0}, 0, INT64_MAX, INT64_MIN};
    return file;
}

void
letter_file_count(struct letter_file *file, enum item_kind kind, int64_t failed_ms)
{
    file->lines[kind]++;
    if (failed_ms < file->first_ms) file->first_ms = failed_ms;
    if (failed_ms > file->last_ms) file->last_ms = failed_ms;
}

uint64_t
letter_list_length(const struct letter_list *list)
{
    const struct letter_file *file = letter_list_find(list, list->number);
    return file == NULL ? 0 : file->bytes;
}

void
letter_list_close(struct letter_list *list)
{
    list->number += letter_list_length(list) > 0;
}

void
letter_list_remove(struct letter_list *list, uint32_t at)
{
    assert(at < list->count);
    if (list->files[at].number == list->number) letter_list_close(list);
    memmove(&list->files[at], &list->files[at + 1], (list->count - at - 1) * sizeof list->files[0]);
    list->count--;
    if (at == 0) list->replay_at = 0;
}

void
letter_list_lines(const struct letter_list *list, uint64_t counts[ITEM_KIND_COUNT])
{
    for (uint32_t i = 0; i < list->count; i++)
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
            counts[kind] += list->files[i].lines[kind];
}

bool
letter_list_replays(const struct letter_list *list, uint32_t at)
{
    return at < list->count && list->files[at].number <= list->replay_to;
}

uint64_t
letter_list_replaying(const struct letter_list *list)
{
    uint64_t lines = 0;
    for (uint32_t i = 0; letter_list_replays(list, i); i++)
        lines += kinds_sum(list->files[i].lines);
    return lines;
}

uint64_t
letter_list_replay(struct letter_list *list)
{
    uint64_t before = letter_list_replaying(list);
    letter_list_close(list);
    list->replay_to = list->number - 1;
    return letter_list_replaying(list) - before;
}

void
letter_name(uint32_t number, bool packed, char to[LETTER_NAME_BYTES])
{
    snprintf(to, LETTER_NAME_BYTES, "%08" PRIx32 ".ndjson%s", number, packed ? ".gz" : "");
}

bool
letter_name_number(const char *name, uint32_t *ret_number, bool *ret_packed)
{
    uint64_t number;
    const char *rest = hex_name_number(name, 8, &number);
    if (rest == NULL || number == 0) return false;
    *ret_number = (uint32_t)number;
    *ret_packed = strcmp(rest, ".ndjson.gz") == 0;
    return *ret_packed || strcmp(rest, ".ndjson") == 0;
}

const char *
item_kind_word(enum item_kind kind)
{
    static const char *const words[ITEM_KIND_COUNT] = {
        [ITEM_FLOAT] = "float",
        [ITEM_HISTOGRAM] = "histogram",
        [ITEM_EXEMPLAR] = "exemplar",
        [ITEM_METADATA] = "metadata",
    };
    assert(kind < ITEM_KIND_COUNT);
    return words[kind];
}

const char *
drop_word(enum drop reason)
{
    static const char *const words[DROP_COUNT] = {
        [DROP_UNREPRESENTABLE] = "unrepresentable",
        [DROP_DAMAGED] = "damaged",
        [DROP_LOG_BUDGET] = "log_budget",
        [DROP_DEAD_LETTERS_FULL] = "dead_letters_full",
        [DROP_DELETED] = "deleted",
        [DROP_EXPIRED] = "expired",
        [DROP_SUPERSEDED] = "superseded",
        [DROP_OUTSIDE_TABLE_RETENTION] = "outside_table_retention",
        [DROP_BY_OPERATOR] = "operator",
        [DROP_REFUSED] = "refused",
        [DROP_WITHDRAWN] = "withdrawn",
    };
    assert(reason < DROP_COUNT);
    return words[reason];
}

void
fates_add(struct fates *to, const struct fates *change)
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
        for (unsigned fate = 0; fate < FATE_COUNT; fate++)
            to->count[kind][fate] += change->count[kind][fate];
}

uint64_t
fates_dropped(const struct fates *fates, enum item_kind kind)
{
    uint64_t sum = 0;
    for (unsigned reason = 0; reason < DROP_COUNT; reason++)
        sum += fates->count[kind][FATE_DROPPED + reason];
    return sum;
}

bool
fate_is_term(unsigned fate)
{
    return fate == FATE_DELIVERED || fate == FATE_DEAD_LETTERED || fate >= FATE_DROPPED;
}

uint64_t
fates_settled(const struct fates *fates, enum item_kind kind)
{
    return fates->count[kind][FATE_DELIVERED] + fates->count[kind][FATE_DEAD_LETTERED] +
           fates_dropped(fates, kind);
}

static const char NAME[] = RELAY_STATE_NAME, PREVIOUS[] = RELAY_PREVIOUS_NAME,
                  DAMAGED[] = RELAY_DAMAGED_NAME;
static const uint8_t STATE_MAGIC[8] = {'F', 'K', 'R', 'E', 'L', 'A', 'Y', 0};

/* 1: dead letters were in files that the state described otherwise. */
enum { STATE_VERSION = 2 };

_Static_assert(RELAY_WISH_RESUME == 2, "docs/format/relay.md: wishes are stored");
_Static_assert(FATE_DROPPED == 16, "docs/format/relay.md: fates are stored");
_Static_assert(ITEM_KIND_COUNT == 4, "docs/format/relay.md: fields have one value for each kind");

static void
log_count_fields(const struct fields *f, struct log_count *count)
{
    field_bool(f, &count->known);
    field_varints(f, count->of, LEDGER_KIND_COUNT);
}

/* Counts without zeros. Reading adds them. */
static void
fates_fields(const struct fields *f, struct fates *fates)
{
    if (f->to != NULL) {
        uint64_t nonzero = 0;
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
            for (unsigned fate = FATE_DELIVERED; fate < FATE_COUNT; fate++)
                nonzero += fates->count[kind][fate] > 0;
        buf_put_varint(f->to, nonzero);
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            for (unsigned fate = FATE_DELIVERED; fate < FATE_COUNT; fate++) {
                if (fates->count[kind][fate] == 0) continue;
                buf_put_u8(f->to, (uint8_t)kind);
                buf_put_u8(f->to, (uint8_t)fate);
                buf_put_varint(f->to, fates->count[kind][fate]);
            }
        }
        return;
    }
    uint64_t count = cursor_varint(f->from);
    for (uint64_t i = 0; i < count && !f->from->bad; i++) {
        uint8_t kind = cursor_u8(f->from), fate = cursor_u8(f->from);
        uint64_t n = cursor_varint(f->from);
        bool known = kind < ITEM_KIND_COUNT && fate >= FATE_DELIVERED && fate < FATE_COUNT;
        fields_check(f, known);
        if (!f->from->bad) fates->count[kind][fate] += n;
    }
}

/* Fields that were appended later; an older version's state does not have them. */
static void
added_fields(const struct fields *f, struct relay_state *s)
{
    uint8_t reason = (uint8_t)s->drop_reason;
    uint64_t expired = 0; /* no longer used: expired samples are given as long as they exist */
    if (!fields_follow(f)) return;
    field_u8(f, &reason);
    fields_check(f, reason < DROP_COUNT);
    s->drop_reason = (enum drop)reason;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        field_varint(f, &s->taken[kind]);
        field_varint(f, &s->expected.margin[kind]);
    }
    log_count_fields(f, &s->log_count);
    field_varint(f, &s->gone.damaged);
    field_varint(f, &s->gone_exemplars.damaged);
    field_varint(f, &s->gone_exemplars.deleted);
    field_varint(f, &s->gone_exemplars.expired);
    field_varint(f, &s->gone_exemplars.superseded);
    field_varint(f, &s->left_out.superseded);
    field_varint(f, &s->left_out.deleted);
    field_varint(f, &expired);
    field_varint(f, &s->left_out.exemplars_superseded);
    field_varint(f, &s->left_out.exemplars_deleted);
    if (f->to == NULL) memcpy(s->counted, s->taken, sizeof s->counted);
    if (!fields_follow(f)) return;
    fates_fields(f, &s->beside);
    field_varints(f, s->counted, ITEM_KIND_COUNT);
    if (!fields_follow(f)) return;
    field_bool(f, &s->destination_known);
    if (s->destination_known) {
        struct bytes type = {NULL, 0};
        if (f->to != NULL) type = bytes_of_text(destination_type_word(s->type));
        field_counted(f, &type);
        s->type = destination_type_of(type);
        field_le64(f, &s->place);
    }
    if (!fields_follow(f)) return;
    fates_fields(f, &s->ahead);
    if (!fields_follow(f)) return;
    field_text(f, s->name, sizeof s->name);
    field_varint(f, &s->counted_pos);
    field_le64(f, &s->selection);
    log_count_fields(f, &s->log_totals);
    field_bool(f, &s->log_lost);
    if (!fields_follow(f)) return;
    log_count_fields(f, &s->expected.log_count);
    if (!fields_follow(f)) return;
    field_varint(f, &s->fill.again.pos);
    field_u32(f, &s->fill.again.index);
}

static void
state_fields(const struct fields *f, struct relay_state *s)
{
    uint8_t wish = (uint8_t)s->wish;
    field_fixed(f, s->log_id, sizeof s->log_id);
    field_varint(f, &s->cursor.pos);
    field_u32(f, &s->cursor.index);
    fates_fields(f, &s->fates);
    field_u8(f, &wish);
    fields_check(f, wish <= RELAY_WISH_RESUME);
    s->wish = (enum relay_wish)wish;
    field_counted(f, &s->writer);
    field_u32(f, &s->fill_count);
    field_bool(f, &s->fill.active);
    if (s->fill.active) {
        field_varint(f, &s->fill.from_pos);
        field_varint(f, &s->fill.to_pos);
        field_zigzag(f, &s->fill.since_ms);
        field_counted(f, &s->fill.place);
    }
    field_varint(f, &s->expected.until_pos);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && s->expected.until_pos > 0; kind++)
        field_zigzag(f, &s->expected.count[kind]);
    if (s->expected.until_pos > 0) field_le64(f, &s->expected.selection);
    field_varint(f, &s->gone.deleted);
    field_varint(f, &s->gone.expired);
    field_varint(f, &s->gone.superseded);
    field_zigzag(f, &s->begin_ms);
    field_varint(f, &s->begin_pos);
    field_varint(f, &s->drop_pos);
    field_varint(f, &s->repeats_total);
    if (fields_follow(f)) field_counted(f, &s->letters);
    if (f->to == NULL) {
        s->drop_reason = DROP_LOG_BUDGET;
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
            s->taken[kind] = s->counted[kind] = fates_settled(&s->fates, kind);
    }
    added_fields(f, s);
}

static enum err
state_pack(const struct relay_state *state, const char *dir, struct buf *scratch, struct why *why)
{
    struct relay_state s = *state;
    const struct fields fields = {.to = scratch};
    assert(s.wish <= RELAY_WISH_RESUME);
    assert(s.drop_reason < DROP_COUNT);
    assert(memchr(s.name, '\0', sizeof s.name) != NULL);
    buf_clear(scratch);
    framed_begin(scratch);
    state_fields(&fields, &s);
    if (buf_error(scratch)) return why_set(why, buf_error(scratch), "%s/%s", dir, NAME);
    framed_end(scratch, STATE_MAGIC, STATE_VERSION);
    return OK;
}

bool
relay_state_is_missing(struct env *env, const char *dir)
{
    char path[256];
    struct file_facts facts;
    if (path_join(path, sizeof path, dir, NAME) != OK) return false;
    return env_facts(env, path, &facts, NULL) == ERR_MISSING;
}

enum err
relay_state_write(struct env *env, const char *dir, struct buf *scratch,
                  const struct relay_state *state, struct why *why)
{
    enum err e = state_pack(state, dir, scratch, why);
    if (e) return e;
    char current[256], previous[256];
    e = path_join(current, sizeof current, dir, NAME);
    if (e == OK) e = path_join(previous, sizeof previous, dir, PREVIOUS);
    if (e == OK) e = env_unlink(env, previous, NULL);
    if (e == OK) e = env_link(env, current, previous, NULL);
    err_ignore(e, "the new state matters more; some file systems have no links");
    return env_write_whole(env, dir, NAME, buf_bytes(scratch), why);
}

enum err
relay_state_make(struct env *env, const char *parent, const char *name, struct buf *scratch,
                 const struct relay_state *state, struct why *why)
{
    char dir[256], making[256]; /* no destination's name begins with a dot */
    enum err e = path_join(dir, sizeof dir, parent, name);
    if (e == OK &&
        snprintf(making, sizeof making, "%s/.%s.new", parent, name) >= (int)sizeof making)
        e = ERR_LIMIT;
    if (e) return why_set(why, e, "%s/%s: path is too long", parent, name);
    e = env_mkdir(env, making, why);
    if (e == OK) e = state_pack(state, making, scratch, why);
    if (e == OK) e = env_write_whole(env, making, NAME, buf_bytes(scratch), why);
    if (e == OK) e = env_rename(env, making, dir, why);
    if (e) return e;
    e = env_syncdir(env, parent, why);
    /* After a failed sync a later one proves nothing, unless something is renamed once more. */
    if (e) err_ignore(env_rename(env, dir, making, NULL), "the next attempt makes it again");
    return e;
}

enum err
relay_state_put_aside(struct env *env, const char *dir, struct why *why)
{
    char state[256], aside[256];
    enum err e = path_in(state, sizeof state, dir, NAME, why);
    if (e == OK) e = path_in(aside, sizeof aside, dir, DAMAGED, why);
    if (e) return e;
    e = env_rename(env, state, aside, why);
    return e == ERR_MISSING ? OK : e;
}

static enum err
read_file(struct env *env, const char *dir, const char *name, struct buf *memory,
          struct relay_state *ret_state, struct why *why)
{
    char path[FILE_PATH_BYTES];
    struct bytes payload;
    enum err e = path_in(path, sizeof path, dir, name, why);
    if (e) return e;
    buf_clear(memory);
    e = env_read_whole(env, path, memory, why);
    if (e == ERR_LIMIT) {
        return why_set(why, ERR_CORRUPT,
                       "%s is not the state of a destination: the file is too large", path);
    }
    if (e) return e;
    e = framed_open(buf_bytes(memory), STATE_MAGIC, STATE_VERSION, &payload, why);
    if (e) return why_prefix(why, e, "%s", path);
    /* The fields that this version knows; a newer version's later fields are ignored. */
    struct relay_state s = {.wish = RELAY_WISH_NONE};
    struct cursor c = cursor_of(payload);
    state_fields(&(const struct fields){.from = &c}, &s);
    if (c.bad)
        return why_set(why, ERR_CORRUPT, "%s: the file is damaged: its content is inconsistent",
                       path);
    *ret_state = s;
    return OK;
}

enum err
relay_state_read(struct env *env, const char *dir, struct buf *memory,
                 struct relay_state *ret_state, struct why *why)
{
    enum err e = read_file(env, dir, NAME, memory, ret_state, why);
    if (e != ERR_MISSING && e != ERR_IO) return e;
    struct why place = {""};
    enum err there = relay_directory_look(env, dir, &place);
    if (there == ERR_INPUT || there == ERR_CORRUPT) return why_set(why, ERR_IO, "%s", place.text);
    if (e == ERR_IO) return e;
    return there
               ? why_set(why, there, "%s", place.text)
               : why_set(why, ERR_CORRUPT, "%s/%s is missing, but its directory exists", dir, NAME);
}

bool
relay_state_is_foreign(const struct relay_state *s, const struct destination_settings *settings)
{
    bool other = s->name[0] != '\0' && strcmp(s->name, settings->name) != 0;
    return other && (s->type != settings->type || s->place != destination_place_hash(settings));
}

enum err
relay_state_read_own(struct env *env, const char *dir, const struct destination_settings *settings,
                     struct buf *memory, struct relay_state *ret_state, struct why *why)
{
    struct relay_state s;
    enum err e = relay_state_read(env, dir, memory, &s, why);
    if (e) return e;
    if (relay_state_is_foreign(&s, settings)) {
        return why_set(why, ERR_CORRUPT,
                       "%s/%s belongs to destination %s, which writes elsewhere: restore the state "
                       "of this destination",
                       dir, NAME, s.name);
    }
    *ret_state = s;
    return OK;
}

enum err
relay_state_read_previous(struct env *env, const char *dir, struct buf *memory,
                          struct relay_state *ret_state, struct why *why)
{
    return read_file(env, dir, PREVIOUS, memory, ret_state, why);
}
