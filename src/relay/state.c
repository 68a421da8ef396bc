/*
 * state.c - see state.h. Format: docs/format/relay.md.
 *
 * A state is one file with a checksum, written beside the one that is there and renamed over it, so
 * that there is always one that is whole; the one before it is kept as a second name. Fields are
 * only ever added, at the end: an older version's state ends earlier, and what is not in it has a
 * value that says so. The directory of a new destination appears with its first state in it: one
 * without a state is damage.
 */
#include "relay/state.h"

#include <stdio.h>

#include "base/framed.h"
#include "relay/directory.h"

static const char NAME[] = "state", PREVIOUS[] = "state.previous", DAMAGED[] = "state.damaged";
static const uint8_t MAGIC[8] = {'F', 'K', 'R', 'E', 'L', 'A', 'Y', 0};

enum { VERSION = 1 };

static void
put_rest(struct buf *to, const struct relay_state *s)
{
    buf_put_varint(to, s->fill_count);
    buf_put_u8(to, s->fill.active);
    if (s->fill.active) {
        buf_put_varint(to, s->fill.from_pos);
        buf_put_varint(to, s->fill.to_pos);
        buf_put_zigzag(to, s->fill.since_ms);
        buf_put_counted(to, s->fill.place);
    }
    buf_put_varint(to, s->expected.until_pos);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && s->expected.until_pos > 0; kind++) {
        buf_put_zigzag(to, s->expected.count[kind]);
    }
    if (s->expected.until_pos > 0) buf_put_le64(to, s->expected.selection);
    buf_put_varint(to, s->gone.deleted);
    buf_put_varint(to, s->gone.expired);
    buf_put_varint(to, s->gone.superseded);
    buf_put_zigzag(to, s->begin_ms);
    buf_put_varint(to, s->begin_pos);
    buf_put_varint(to, s->drop_pos);
    buf_put_varint(to, s->repeats_total);
    letters_mark_put(to, &s->letters);
    buf_put_u8(to, (uint8_t)s->drop_reason);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        buf_put_varint(to, s->taken[kind]);
        buf_put_varint(to, s->expected.margin[kind]);
    }
    buf_put_u8(to, s->log_count.known);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        buf_put_varint(to, s->log_count.of[kind]);
    }
    buf_put_varint(to, s->gone.damaged);
    buf_put_varint(to, s->gone_exemplars.damaged);
    buf_put_varint(to, s->gone_exemplars.deleted);
    buf_put_varint(to, s->gone_exemplars.expired);
    buf_put_varint(to, s->gone_exemplars.superseded);
    buf_put_varint(to, s->left_out.beaten);
    buf_put_varint(to, s->left_out.deleted);
    buf_put_varint(to, 0); /* expired ones, which are given as long as they are there */
    buf_put_varint(to, s->left_out.exemplars_beaten);
    buf_put_varint(to, s->left_out.exemplars_deleted);
    fates_put(to, &s->beside);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        buf_put_varint(to, s->counted[kind]);
    }
    buf_put_u8(to, s->destination_known);
    if (s->destination_known) {
        buf_put_counted(to, bytes_of_text(destination_type_word(s->type)));
        buf_put_le64(to, s->place);
    }
    fates_put(to, &s->ahead);
    buf_put_counted(to, bytes_of_text(s->name));
    buf_put_varint(to, s->counted_pos);
    buf_put_le64(to, s->selection);
    buf_put_u8(to, s->log_totals.known);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        buf_put_varint(to, s->log_totals.of[kind]);
    }
    buf_put_u8(to, s->log_lost);
}

/* What was added since; an older version left it out. */
static void
get_added(struct cursor *c, struct relay_state *s)
{
    s->drop_reason = DROP_LOG_BUDGET;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        s->taken[kind] = fates_settled(&s->fates, kind);
    }
    memcpy(s->counted, s->taken, sizeof s->counted);
    if (cursor_left(c) == 0) return;
    uint8_t reason = cursor_u8(c);
    if (reason >= DROP_COUNT) c->bad = true;
    s->drop_reason = (enum drop)reason;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        s->taken[kind] = cursor_varint(c);
        s->expected.margin[kind] = cursor_varint(c);
    }
    s->log_count.known = cursor_u8(c) != 0;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        s->log_count.of[kind] = cursor_varint(c);
    }
    s->gone.damaged = cursor_varint(c);
    s->gone_exemplars.damaged = cursor_varint(c);
    s->gone_exemplars.deleted = cursor_varint(c);
    s->gone_exemplars.expired = cursor_varint(c);
    s->gone_exemplars.superseded = cursor_varint(c);
    s->left_out.beaten = cursor_varint(c);
    s->left_out.deleted = cursor_varint(c);
    cursor_varint(c);
    s->left_out.exemplars_beaten = cursor_varint(c);
    s->left_out.exemplars_deleted = cursor_varint(c);
    memcpy(s->counted, s->taken, sizeof s->counted);
    if (c->bad || cursor_left(c) == 0) return;
    if (fates_get(c, &s->beside) != OK) c->bad = true;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        s->counted[kind] = cursor_varint(c);
    }
    s->destination_known = cursor_left(c) > 0 && cursor_u8(c) != 0;
    if (s->destination_known) {
        s->type = destination_type_of(cursor_counted(c));
        s->place = cursor_le64(c);
    }
    if (c->bad || cursor_left(c) == 0) return;
    if (fates_get(c, &s->ahead) != OK) c->bad = true;
    if (c->bad || cursor_left(c) == 0) return;
    struct bytes name = cursor_counted(c);
    if (name.size >= sizeof s->name) c->bad = true;
    if (!c->bad) memcpy(s->name, name.at, name.size);
    s->counted_pos = cursor_varint(c);
    s->selection = cursor_le64(c);
    s->log_totals.known = cursor_u8(c) != 0;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        s->log_totals.of[kind] = cursor_varint(c);
    }
    s->log_lost = cursor_u8(c) != 0;
}

static void
get_rest(struct cursor *c, struct relay_state *s)
{
    uint64_t fills = cursor_varint(c);
    if (fills > UINT32_MAX) c->bad = true;
    s->fill_count = (uint32_t)fills;
    uint8_t active = cursor_u8(c);
    if (active > 1) c->bad = true;
    s->fill.active = active == 1;
    if (s->fill.active) {
        s->fill.from_pos = cursor_varint(c);
        s->fill.to_pos = cursor_varint(c);
        s->fill.since_ms = cursor_zigzag(c);
        s->fill.place = cursor_counted(c);
    }
    s->expected.until_pos = cursor_varint(c);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && s->expected.until_pos > 0; kind++) {
        s->expected.count[kind] = cursor_zigzag(c);
    }
    if (s->expected.until_pos > 0) s->expected.selection = cursor_le64(c);
    s->gone.deleted = cursor_varint(c);
    s->gone.expired = cursor_varint(c);
    s->gone.superseded = cursor_varint(c);
    s->begin_ms = cursor_zigzag(c);
    s->begin_pos = cursor_varint(c);
    s->drop_pos = cursor_varint(c);
    s->repeats_total = cursor_varint(c);
    if (letters_mark_get(c, &s->letters) != OK) c->bad = true;
    get_added(c, s);
}

/* A second name for the state that is replaced next: it is never away. */
static void
keep_previous(struct env *env, const char *dir)
{
    char state[256], previous[256];
    enum err e = path_join(state, sizeof state, dir, NAME);
    if (e == OK) e = path_join(previous, sizeof previous, dir, PREVIOUS);
    if (e == OK) e = env_unlink(env, previous, NULL);
    if (e == OK) e = env_link(env, state, previous, NULL);
    err_ignore(e, "the new state matters more; some file systems have no links");
}

static enum err
state_pack(const struct relay_state *state, const char *dir, struct buf *scratch, struct why *why)
{
    buf_clear(scratch);
    framed_begin(scratch);
    buf_put(scratch, state->log_id, sizeof state->log_id);
    buf_put_varint(scratch, state->cursor.pos);
    buf_put_varint(scratch, state->cursor.index);
    fates_put(scratch, &state->fates);
    buf_put_u8(scratch, (uint8_t)state->wish);
    buf_put_counted(scratch, state->writer);
    put_rest(scratch, state);
    if (buf_error(scratch)) return why_set(why, buf_error(scratch), "%s/%s", dir, NAME);
    framed_end(scratch, MAGIC, VERSION);
    return OK;
}

enum err
relay_state_write(struct env *env, const char *dir, struct buf *scratch,
                  const struct relay_state *state, struct why *why)
{
    enum err e = state_pack(state, dir, scratch, why);
    if (e) return e;
    keep_previous(env, dir);
    return env_write_whole(env, dir, NAME, buf_bytes(scratch), why);
}

enum err
relay_state_make(struct env *env, const char *parent, const char *name, struct buf *scratch,
                 const struct relay_state *state, struct why *why)
{
    char dir[256], making[256]; /* no destination's name begins with a dot */
    enum err e = path_join(dir, sizeof dir, parent, name);
    if (e == OK &&
        snprintf(making, sizeof making, "%s/.%s.new", parent, name) >= (int)sizeof making) {
        e = ERR_LIMIT;
    }
    if (e) return why_set(why, e, "%s/%s: path is too long", parent, name);
    e = env_mkdir(env, making, why);
    if (e == OK) e = state_pack(state, making, scratch, why);
    if (e == OK) e = env_write_whole(env, making, NAME, buf_bytes(scratch), why);
    if (e == OK) e = env_rename(env, making, dir, why);
    if (e) return e;
    e = env_syncdir(env, parent, why);
    /* After a failed sync a later one says nothing, unless something is renamed once more. */
    if (e) err_ignore(env_rename(env, dir, making, NULL), "it is made anew where it is");
    return e;
}

enum err
relay_state_put_aside(struct env *env, const char *dir, struct why *why)
{
    char state[256], aside[256];
    enum err e = path_join(state, sizeof state, dir, NAME);
    if (e == OK) e = path_in(aside, sizeof aside, dir, DAMAGED, why);
    if (e) return e;
    e = env_rename(env, state, aside, why);
    return e == ERR_MISSING ? OK : e;
}

/* What a newer version appended behind what we know is left alone. */
static enum err
state_unpack(struct bytes payload, struct relay_state *ret_state)
{
    struct relay_state s = {.wish = RELAY_WISH_NONE};
    struct cursor c = cursor_of(payload);
    struct bytes log_id = cursor_bytes(&c, sizeof s.log_id);
    if (c.bad) return ERR_CORRUPT;
    memcpy(s.log_id, log_id.at, sizeof s.log_id);
    s.cursor.pos = cursor_varint(&c);
    uint64_t index = cursor_varint(&c);
    s.cursor.index = (uint32_t)index;
    enum err e = fates_get(&c, &s.fates);
    s.wish = (enum relay_wish)cursor_u8(&c);
    s.writer = cursor_counted(&c);
    get_rest(&c, &s);
    if (e == OK && (c.bad || index > UINT32_MAX || s.wish > RELAY_WISH_RESUME)) e = ERR_CORRUPT;
    if (e == OK) *ret_state = s;
    return e;
}

static enum err
read_file(struct env *env, const char *dir, const char *name, struct buf *memory,
          struct relay_state *ret_state, struct why *why)
{
    char path[FILE_PATH_BYTES];
    struct bytes payload;
    enum err e = path_join(path, sizeof path, dir, name);
    buf_clear(memory);
    if (e == OK) e = env_read_whole(env, path, memory, why);
    if (e == ERR_LIMIT) {
        return why_set(why, ERR_CORRUPT,
                       "%s is not the state of a destination: the file is too large", path);
    }
    if (e) return e;
    e = framed_open(buf_bytes(memory), MAGIC, VERSION, &payload);
    if (e == ERR_CORRUPT) {
        return why_set(why, e, "%s is damaged: its header or its checksum is wrong", path);
    }
    if (e) {
        return why_set(why, e, "%s: version %u needs a reader of version %u", path,
                       load_le32(memory->at + 8), load_le32(memory->at + 12));
    }
    e = state_unpack(payload, ret_state);
    return e ? why_set(why, e, "%s is damaged: its content is inconsistent", path) : OK;
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
