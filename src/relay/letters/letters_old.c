/*
 * letters_old.c - see letters.h.
 *
 * All files are read twice: first to learn what became of each letter, as marks about it may be in
 * later files, then to write those that are there. A file is read whole. After bytes that are no
 * entry every offset is tried as the beginning of one. What is missing by the state's account, and
 * was not moved by a mark that is younger than the state, is lost, and counts as dropped.
 */

#include "relay/letters/letters.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"
#include "base/fields.h"
#include "base/hash/crc32c.h"
#include "base/log.h"
#include "base/text/hex.h"
#include "base/text/texts.h"
#include "model/labels.h"
#include "relay/state/directory.h"
#include "relay/state/state.h"

enum {
    OLD_FILE_BYTES_MAX = 64 << 20,
    HEADER_BYTES = 20,
    ENTRY_BYTES = 12,
    LETTER_BYTES_MIN = 32,
    OLD_WRITE_BYTES = 1 << 20,
    LINE_FILE_BYTES = 16 << 20,
    REQUESTS_MAX = 1024,
    REASON_BYTES = 128,
};

enum entry_type { ENTRY_LETTER = 1, ENTRY_MARKS = 2, ENTRY_END = 3, ENTRY_HOLE = 4 };
enum old_mark { MARK_REPLAYING = 1, MARK_DELIVERED, MARK_DROPPED, MARK_REVOKED, MARK_GONE };

/* A letter has one byte: these bits, and its kind in the lowest two. */
enum { IS_THERE = 4, IS_AGAIN = 8, IS_COUNTED = 16 };

struct old_file {
    uint32_t number;
    uint8_t *letters; /* by number */
    uint32_t count, capacity;
};

struct old_request {
    bool drop;
    uint32_t file;
    uint64_t offset;
    char reason[REASON_BYTES];
};

struct old_letters {
    struct env *env;
    struct budget *memory;
    const struct relay_state *state; /* NULL: it says nothing about letters */
    char dir[FILE_PATH_BYTES];
    uint32_t mark_file; /* where the files ended when the state was written */
    uint64_t mark_offset;
    uint64_t replaying[ITEM_KIND_COUNT]; /* by the state */
    struct old_file *files;
    uint32_t count, capacity;
    struct old_request requests[REQUESTS_MAX];
    uint32_t request_count;
    struct buf bytes; /* a file */
    struct arena arena;
    struct histogram histogram;
    /* Letters counted by the state that a mark after it removed, by the kind of mark. */
    uint64_t moved[MARK_GONE + 1][ITEM_KIND_COUNT];
    uint64_t dropped[ITEM_KIND_COUNT]; /* by requests that wait */
};

/* --- entries ---------------------------------------------------------------------------------- */

struct old_entry {
    enum entry_type type;
    uint64_t offset;
    uint32_t number, replaced_file, replaced_number;
    struct dead_letter letter;
    enum old_mark mark;
    uint32_t file;
    struct cursor runs;
};

static void
letter_fields(const struct fields *f, struct old_letters *o, struct old_entry *entry)
{
    struct item *item = &entry->letter.item;
    uint8_t kind, type = METRIC_UNKNOWN;
    field_u32(f, &entry->replaced_file);
    if (entry->replaced_file != 0) field_u32(f, &entry->replaced_number);
    field_varint(f, &item->pos);
    field_u32(f, &item->index);
    field_zigzag(f, &entry->letter.failed_ms);
    field_counted(f, &entry->letter.reason);
    field_counted(f, &entry->letter.answer);
    field_u8(f, &kind);
    field_counted(f, &item->tenant);
    field_counted(f, &item->labels);
    field_le64(f, &item->series_hash);
    field_zigzag(f, &item->t_ms);
    field_zigzag(f, &item->start_ms);
    fields_check(f, kind < ITEM_KIND_COUNT);
    item->kind = (enum item_kind)kind;
    if (kind == ITEM_FLOAT || kind == ITEM_EXEMPLAR) field_le64(f, &item->bits);
    if (kind == ITEM_EXEMPLAR) field_counted(f, &item->exemplar_labels);
    if (kind == ITEM_METADATA) {
        field_counted(f, &item->family);
        field_u8(f, &type);
        field_counted(f, &item->help);
        field_counted(f, &item->unit);
        fields_check(f, type < METRIC_TYPE_COUNT);
        item->family_type = (enum metric_type)type;
    }
    if (kind == ITEM_HISTOGRAM && !f->from->bad) {
        arena_reset_to(&o->arena, OLD_WRITE_BYTES);
        fields_check(f, histogram_get(f->from, &o->arena, &o->histogram) == OK);
        item->histogram = &o->histogram;
    }
    fields_check(f, cursor_left(f->from) == 0);
}

static bool
unpack(struct old_letters *o, struct bytes payload, struct old_entry *entry)
{
    struct cursor c = cursor_of(payload);
    const struct fields fields = {.from = &c};
    entry->letter = (struct dead_letter){.failed_ms = 0};
    entry->type = (enum entry_type)cursor_u8(&c);
    if (entry->type == ENTRY_LETTER) {
        entry->number = cursor_le32(&c);
        letter_fields(&fields, o, entry);
        const struct item *item = &entry->letter.item;
        return !c.bad && entry->number <= entry->offset / LETTER_BYTES_MIN &&
               labels_valid(item->labels) && labels_valid(item->exemplar_labels);
    }
    if (entry->type != ENTRY_MARKS) return true;
    entry->mark = (enum old_mark)cursor_u8(&c);
    entry->file = (uint32_t)cursor_varint(&c);
    entry->runs = c;
    return !c.bad && entry->mark >= MARK_REPLAYING && entry->mark <= MARK_GONE;
}

/* Gives the next entry of o->bytes at or after *offset, which then is its end. False: the end. */
static bool
next_entry(struct old_letters *o, uint64_t *offset, struct old_entry *ret_entry)
{
    struct bytes all = buf_bytes(&o->bytes);
    for (uint64_t at = *offset; at + ENTRY_BYTES < all.size; at++) {
        const uint8_t *head = all.at + at;
        uint32_t size = load_le32(head);
        if (size == 0 || size > all.size - at - ENTRY_BYTES || load_le32(head + 4) > at) continue;
        struct bytes payload = bytes_of(head + ENTRY_BYTES, size);
        if (crc32c(crc32c(0, bytes_of(head, 8)), payload) != load_le32(head + 8)) continue;
        ret_entry->offset = at;
        *offset = at + ENTRY_BYTES + size;
        if (unpack(o, payload, ret_entry)) return true;
        at = *offset - 1;
    }
    return false;
}

/* --- what became of them ---------------------------------------------------------------------- */

static bool
is_before(uint64_t pos, uint32_t index, struct relay_cursor cursor)
{
    return pos < cursor.pos || (pos == cursor.pos && index < cursor.index);
}

/* True if the account of the state includes the letter: its item is not read again. */
static bool
is_counted(const struct relay_state *s, const struct item *item)
{
    if (s == NULL) return true;
    bool filling = is_fill_pos(s->cursor.pos),
         before = is_before(item->pos, item->index, s->cursor);
    if (is_fill_pos(item->pos)) return !filling || before;
    bool is_void = filling && s->fill.again.pos != 0 && item->pos < s->fill.to_pos &&
                   !is_before(item->pos, item->index, s->fill.again);
    if (is_void) return false;
    bool of_replay = item->pos < s->begin_pos;
    if (filling) return !of_replay || item->pos < s->fill.to_pos || item->t_ms < s->begin_ms;
    return before || (of_replay && item->t_ms < s->begin_ms);
}

static struct old_file *
find_file(struct old_letters *o, uint32_t number)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (o->files[i].number == number) return &o->files[i];
    return NULL;
}

static enum err
note_letter(struct old_letters *o, struct old_file *file, const struct old_entry *entry)
{
    const struct item *item = &entry->letter.item;
    uint32_t count = entry->number + 1;
    if (!array_reserve(o->memory, &file->letters, &file->capacity, count)) return ERR_NOMEM;
    if (count > file->count) memset(file->letters + file->count, 0, count - file->count);
    if (count > file->count) file->count = count;
    bool counted = is_counted(o->state, item);
    file->letters[entry->number] = (uint8_t)(item->kind | IS_THERE | (counted ? IS_COUNTED : 0));
    if (entry->replaced_file == 0) return OK;
    struct old_file *before = find_file(o, entry->replaced_file);
    if (before != NULL && entry->replaced_number < before->count)
        before->letters[entry->replaced_number] &= (uint8_t)~IS_THERE;
    return OK;
}

static void
note_marks(struct old_letters *o, uint32_t file, const struct old_entry *entry)
{
    struct cursor c = entry->runs;
    uint64_t end = 0;
    struct old_file *marked = find_file(o, entry->file);
    bool younger = file > o->mark_file || (file == o->mark_file && entry->offset >= o->mark_offset);
    while (cursor_left(&c) > 0 && marked != NULL) {
        uint64_t first = end + cursor_varint(&c), count = cursor_varint(&c);
        end = first + count;
        if (c.bad || end < first || first > marked->count) return;
        for (uint64_t i = first; i < end && i < marked->count; i++) {
            uint8_t *letter = &marked->letters[i];
            if ((*letter & IS_THERE) == 0) continue;
            if (entry->mark == MARK_REPLAYING) {
                *letter |= IS_AGAIN;
                continue;
            }
            bool counted = younger && (*letter & IS_COUNTED) != 0;
            if (counted) o->moved[entry->mark][*letter & 3]++;
            *letter &= (uint8_t)~IS_THERE;
        }
    }
}

static enum err
read_file(struct old_letters *o, const struct old_file *file, struct why *why)
{
    static const uint8_t MAGIC[8] = {'F', 'K', 'L', 'E', 'T', 'T', 'E', 'R'};
    char name[32], path[FILE_PATH_BYTES];
    snprintf(name, sizeof name, "%08" PRIx32 ".letters", file->number);
    buf_clear(&o->bytes);
    enum err e = path_in(path, sizeof path, o->dir, name, why);
    if (e == OK) e = env_read_whole(o->env, path, &o->bytes, why);
    if (e || o->bytes.size < HEADER_BYTES) return e;
    bool good = memcmp(o->bytes.at, MAGIC, sizeof MAGIC) == 0 &&
                load_le32(o->bytes.at + 16) == crc32c(0, bytes_of(o->bytes.at, 16));
    if (good && load_le32(o->bytes.at + 12) > 1)
        return why_set(why, ERR_UNSUPPORTED, "%s: a newer version wrote it", path);
    return OK;
}

/* Calls `each` for every entry of every file. */
static enum err
each_entry(struct old_letters *o,
           enum err (*each)(struct old_letters *o, struct old_file *file,
                            const struct old_entry *entry, void *context, struct why *why),
           void *context, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < o->count && e == OK; i++) {
        struct old_entry entry = {.number = 0};
        uint64_t offset = HEADER_BYTES;
        e = read_file(o, &o->files[i], why);
        while (e == OK && next_entry(o, &offset, &entry))
            e = each(o, &o->files[i], &entry, context, why);
    }
    return e;
}

static enum err
learn(struct old_letters *o, struct old_file *file, const struct old_entry *entry, void *context,
      struct why *why)
{
    (void)context;
    if (entry->type == ENTRY_MARKS) note_marks(o, file->number, entry);
    if (entry->type != ENTRY_LETTER || note_letter(o, file, entry) == OK) return OK;
    return why_set(why, ERR_NOMEM, "not enough memory to convert dead letters");
}

/* Carries out the requests that wait. */
static enum err
carry_out(struct old_letters *o, struct old_file *file, const struct old_entry *entry,
          void *context, struct why *why)
{
    (void)context;
    (void)why;
    if (entry->type != ENTRY_LETTER) return OK;
    uint8_t *letter = &file->letters[entry->number];
    for (uint32_t i = 0; i < o->request_count; i++) {
        const struct old_request *r = &o->requests[i];
        if ((*letter & (IS_THERE | IS_AGAIN)) != IS_THERE) return OK;
        if (file->number > r->file || (file->number == r->file && entry->offset >= r->offset))
            continue;
        if (r->reason[0] != '\0' && !bytes_equal_text(entry->letter.reason, r->reason)) continue;
        if (!r->drop) {
            *letter |= IS_AGAIN;
            continue;
        }
        *letter &= (uint8_t)~IS_THERE;
        if ((*letter & IS_COUNTED) != 0) o->dropped[*letter & 3]++;
    }
    return OK;
}

/* --- the directory ---------------------------------------------------------------------------- */

static void
read_request(struct old_letters *o, const char *name)
{
    static const uint8_t MAGIC[8] = {'F', 'K', 'L', 'E', 'T', 'R', 'E', 'Q'};
    char path[FILE_PATH_BYTES];
    struct bytes payload, reason;
    struct old_request r = {.drop = false};
    if (o->request_count == REQUESTS_MAX || path_join(path, sizeof path, o->dir, name) != OK)
        return;
    buf_clear(&o->bytes);
    if (env_read_whole(o->env, path, &o->bytes, NULL) != OK) return;
    if (framed_open(buf_bytes(&o->bytes), MAGIC, 1, &payload, NULL) != OK) return;
    struct cursor c = cursor_of(payload);
    r.drop = cursor_u8(&c) != 0;
    r.file = (uint32_t)cursor_varint(&c);
    r.offset = cursor_varint(&c);
    reason = cursor_counted(&c);
    if (c.bad || reason.size >= sizeof r.reason) return;
    if (reason.size > 0) memcpy(r.reason, reason.at, reason.size);
    o->requests[o->request_count++] = r;
}

/* The mark of an earlier version: where its files ended, and how many letters were sent again. */
static void
read_mark(struct old_letters *o, struct bytes from)
{
    struct cursor c = cursor_of(from);
    if (from.size == 0 || cursor_u8(&c) == 0) return;
    o->mark_file = (uint32_t)cursor_varint(&c);
    o->mark_offset = cursor_varint(&c);
    cursor_varint(&c); /* the next number */
    cursor_varint(&c); /* the first file that ends with an entry */
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        cursor_varint(&c); /* letters */
        o->replaying[kind] = cursor_varint(&c);
    }
}

/* Learns what became of each letter. Call old_close() in any case. */
static enum err
old_open(struct old_letters **ret_letters, struct env *env, const char *dir, struct budget *memory,
         const struct relay_state *state, struct why *why)
{
    struct old_letters *o = mem_new(memory, sizeof *o);
    struct relay_names names;
    const struct relay_name *name;
    *ret_letters = o;
    if (o == NULL) return why_set(why, ERR_NOMEM, "not enough memory to convert dead letters");
    o->env = env;
    o->memory = memory;
    o->state = state;
    o->mark_file = UINT32_MAX;
    buf_init(&o->bytes, memory, OLD_FILE_BYTES_MAX);
    arena_init(&o->arena, memory, OLD_FILE_BYTES_MAX, 0);
    if (state != NULL) read_mark(o, state->letters);
    enum err e = path_in(o->dir, sizeof o->dir, dir, RELAY_LETTERS_NAME, why);
    if (e == OK) e = relay_names_read(&names, env, o->dir, memory, why);
    if (e) return e == ERR_MISSING ? OK : e;
    for (size_t i = 0; e == OK && (name = relay_name_at(&names, i)) != NULL; i++) {
        uint64_t number; /* files and requests are in their order */
        const char *rest = hex_name_number(name->text, 8, &number);
        if (name->is_dir) continue;
        if (text_ends_with(name->text, ".request")) read_request(o, name->text);
        if (rest == NULL || strcmp(rest, ".letters") != 0) continue;
        if (array_reserve(memory, &o->files, &o->capacity, o->count + 1))
            o->files[o->count++] = (struct old_file){.number = (uint32_t)number};
        else
            e = ERR_NOMEM;
    }
    buf_fini(&names.all);
    if (e == OK) e = each_entry(o, learn, NULL, why);
    if (e == OK && o->request_count > 0) e = each_entry(o, carry_out, NULL, why);
    return e;
}

static void
old_close(struct old_letters *o)
{
    if (o == NULL) return;
    for (uint32_t i = 0; i < o->count; i++)
        array_free(o->memory, o->files[i].letters, o->files[i].capacity);
    array_free(o->memory, o->files, o->capacity);
    buf_fini(&o->bytes);
    arena_fini(&o->arena);
    mem_free(o->memory, o, sizeof *o);
}

static void
count_there(const struct old_letters *o, uint64_t counts[ITEM_KIND_COUNT])
{
    enum { WANTED = IS_THERE | IS_COUNTED };
    for (uint32_t i = 0; i < o->count; i++) {
        for (uint32_t k = 0; k < o->files[i].count; k++) {
            uint8_t letter = o->files[i].letters[k];
            counts[letter & 3] += (letter & WANTED) == WANTED;
        }
    }
}

enum err
letters_old_count(struct env *env, const char *dir, struct budget *memory,
                  const struct relay_state *state, uint64_t ret_count[ITEM_KIND_COUNT],
                  struct why *why)
{
    struct old_letters *o;
    memset(ret_count, 0, ITEM_KIND_COUNT * sizeof *ret_count);
    enum err e = old_open(&o, env, dir, memory, state, why);
    if (e == OK) count_there(o, ret_count);
    old_close(o);
    return e;
}

/* --- lines ------------------------------------------------------------------------------------ */

struct line_writer {
    struct letter_list list;
    bool again; /* those that are sent again are written, or the others */
    struct file file;
    struct buf text; /* not written so far */
};

static enum err
flush_lines(struct old_letters *o, struct line_writer *w, struct why *why)
{
    struct letter_file *file = letter_list_find(&w->list, w->list.number);
    if (w->text.size == 0) return OK;
    enum err e = OK;
    if (w->file.handle < 0) {
        char name[LETTER_NAME_BYTES], path[FILE_PATH_BYTES];
        letter_name(w->list.number, false, name);
        e = path_in(path, sizeof path, o->dir, name, why);
        if (e == OK) e = file_open(o->env, path, FILE_REPLACE, &w->file, why);
    }
    if (e == OK) e = file_write_at(&w->file, buf_bytes(&w->text), file->bytes, why);
    if (e == OK) file->bytes += w->text.size;
    buf_clear(&w->text);
    return e;
}

/* Ends the file, durably. */
static enum err
end_lines(struct old_letters *o, struct line_writer *w, struct why *why)
{
    enum err e = flush_lines(o, w, why);
    if (e == OK && w->file.handle >= 0) e = file_datasync(&w->file, why);
    e = err_first(e, file_close(&w->file));
    letter_list_close(&w->list);
    return e;
}

static enum err
write_line(struct old_letters *o, struct old_file *file, const struct old_entry *entry,
           void *context, struct why *why)
{
    struct line_writer *w = context;
    if (entry->type != ENTRY_LETTER) return OK;
    uint8_t letter = file->letters[entry->number];
    uint8_t wanted = (uint8_t)(IS_THERE | IS_COUNTED | (w->again ? IS_AGAIN : 0));
    if ((letter & (IS_THERE | IS_COUNTED | IS_AGAIN)) != wanted) return OK;
    struct letter_file *lines = letter_list_current(&w->list);
    if (lines == NULL) return why_set(why, ERR_NOMEM, "not enough memory to convert dead letters");
    letter_line_put(&w->text, &entry->letter);
    enum err e = buf_error(&w->text);
    if (e) return why_set(why, e, "not enough memory to convert dead letters");
    letter_file_count(lines, entry->letter.item.kind, entry->letter.failed_ms);
    if (w->text.size >= OLD_WRITE_BYTES) e = flush_lines(o, w, why);
    return e == OK && lines->bytes >= LINE_FILE_BYTES ? end_lines(o, w, why) : e;
}

/* Makes the account include the letters that are there. */
static void
convert_account(const struct old_letters *o, struct relay_state *s, bool is_known,
                const uint64_t there[ITEM_KIND_COUNT])
{
    uint64_t lost = 0, back = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t *fates = s->fates.count[kind];
        uint64_t had = fates[FATE_DEAD_LETTERED] + o->replaying[kind];
        uint64_t delivered = o->moved[MARK_DELIVERED][kind];
        uint64_t dropped = o->moved[MARK_DROPPED][kind] + o->dropped[kind];
        uint64_t full = o->moved[MARK_GONE][kind];
        uint64_t now = there[kind] + delivered + dropped + full;
        fates[FATE_DEAD_LETTERED] = there[kind];
        if (!is_known) continue;
        fates[FATE_DELIVERED] += delivered;
        fates[FATE_DROPPED + DROP_BY_OPERATOR] += dropped;
        fates[FATE_DROPPED + DROP_DEAD_LETTERS_FULL] += full;
        int64_t more = (int64_t)(now - had);
        if (more < 0) fates[FATE_DROPPED + DROP_DAMAGED] += (uint64_t)-more;
        if (more > 0) s->taken[kind] += (uint64_t)more;
        if (more > 0) s->counted[kind] += (uint64_t)more;
        lost += more < 0 ? (uint64_t)-more : 0;
        back += more > 0 ? (uint64_t)more : 0;
    }
    if (lost > 0 || back > 0) {
        log_error("relay: dead letters were lost, or are back, counting them as dropped (reason "
                  "damaged) or as taken again",
                  KV("directory", o->dir), KV("lost", lost), KV("back", back));
    }
}

enum err
letters_old_convert(struct env *env, const char *dir, struct budget *memory,
                    struct relay_state *state, bool is_known, struct buf *list, struct why *why)
{
    struct old_letters *o;
    struct line_writer w = {.list = {.memory = memory}, .again = true, .file = FILE_CLOSED};
    uint64_t there[ITEM_KIND_COUNT] = {0};
    buf_init(&w.text, memory, LETTER_LINE_BYTES_MAX + OLD_WRITE_BYTES);
    enum err e = letter_list_get(&w.list, bytes_of(NULL, 0));
    enum err opened = old_open(&o, env, dir, memory, is_known ? state : NULL, why);
    e = err_first(e, opened);
    if (e == OK) e = each_entry(o, write_line, &w, why);
    if (e == OK) e = end_lines(o, &w, why);
    w.list.replay_to = w.list.number - 1;
    w.again = false;
    if (e == OK) e = each_entry(o, write_line, &w, why);
    if (e == OK) e = end_lines(o, &w, why);
    if (e == OK && w.list.count > 0) e = env_syncdir(env, o->dir, why);
    if (e == OK) {
        count_there(o, there);
        convert_account(o, state, is_known, there);
        if (o->count > 0) {
            log_info("relay: converted the dead letters of an earlier version",
                     KV("directory", o->dir), KV("letters", kinds_sum(there)));
        }
        buf_clear(list);
        letter_list_put(&w.list, list);
        state->letters = buf_bytes(list);
        e = buf_error(list);
    }
    err_ignore(file_close(&w.file), "it is written again");
    letter_list_fini(&w.list);
    buf_fini(&w.text);
    old_close(o);
    return e;
}
