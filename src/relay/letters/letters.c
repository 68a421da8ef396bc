/*
 * letters.c - see letters.h.
 *
 *     letters_add()            letters_write()          letters_saved()
 *        |---> [ahead] -- the cursor passes, fsync --> [line] -- state with file and length
 *                 ^                                      |
 *                 |  refused again                       v  handed back
 *                 +------------------------------- [given] -- delivered, and a state: gone
 *
 * Only the current file, whose number is list.number, is appended to. What lies beyond the length
 * in the durable state is cut at the start, so a crash repeats nothing: the items of these lines
 * are after its cursor, and are read again. A file is removed only after a state without it is
 * durable; the start removes files that its state does not know.
 *
 * Lines ahead of the cursor are of no use after a restart, so their text is in memory, and beyond
 * some size in a file that is never synced.
 *
 * Invariants:
 * 1. The lines of the list are durable, and of items before the cursor.
 * 2. list.files[].lines of all files are the account's dead letters before the cursor, once
 *    letters_write() and the next state are done.
 * 3. A file number is used once: files up to list.number exist or have existed.
 */
#include "relay/letters/letters.h"

#include <assert.h>

#include "base/array.h"
#include "base/log.h"
#include "relay/state/directory.h"

enum {
    READ_BYTES = 64 * 1024, /* of replayed text */
    GIVEN_MAX = 1 << 20,
    AHEAD_BYTES = 64 * 1024,  /* text of waiting lines in memory */
    WRITE_BYTES = 256 * 1024, /* lines that are written at once */
    FILE_BYTES_MIN = 4 * 1024,
    FILE_BYTES_MAX = 16 << 20, /* a file of this size ends */
    FILES_OF_BUDGET = 8,       /* so that a small budget is freed in steps */
};

#define SPILL_NAME "ahead.tmp"
#define TEXT_NAME  "replayed.tmp"

static const uint64_t no_lines[ITEM_KIND_COUNT];

void
letters_init(struct letters *l, const struct relay_context *context, struct account *account,
             struct saving *saving)
{
    struct budget *memory = context->options.memory;
    *l = (struct letters){.context = context,
                          .account = account,
                          .saving = saving,
                          .file = FILE_CLOSED,
                          .spill = FILE_CLOSED,
                          .list.memory = memory,
                          .replay.text = FILE_CLOSED};
    buf_init(&l->lines, memory, LETTER_LINE_BYTES_MAX + AHEAD_BYTES);
    buf_init(&l->leaving, memory, RELAY_STATE_BYTES_MAX);
    buf_init(&l->replay.line, memory, LETTER_LINE_BYTES_MAX);
}

/* Closes and removes a file that a restart does not need. */
static void
close_scratch(struct file *file)
{
    if (file->handle < 0) return;
    err_ignore(file_close(file), "it is of no use any more");
    err_ignore(env_unlink(file->env, file->path, NULL), "the next start removes it");
}

/* --- a run begins ----------------------------------------------------------------------------- */

/* Lines of a file are missing or cannot be read, all but those `there`: they count as dropped. */
static void
lose(struct letters *l, struct letter_file *file, const uint64_t there[ITEM_KIND_COUNT])
{
    uint64_t lost = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        if (there[kind] >= file->lines[kind]) continue;
        uint64_t less = file->lines[kind] - there[kind];
        file->lines[kind] -= less;
        account_move(l->account, kind, FATE_DEAD_LETTERED, FATE_DROPPED + DROP_DAMAGED, less);
        lost += less;
    }
    if (lost == 0) return;
    save_want(l->saving, SAVE_SOON);
    log_error("relay: dead letters are lost, counting them as dropped (reason damaged)",
              KV("destination", l->context->settings->name), KV("letters", lost),
              KV("directory", l->dir), KV("file", file->number));
}

/* Counts the lines of a file, up to the first place that cannot be read. */
static enum err
count_lines(struct env *env, const char *dir, struct budget *memory, uint64_t to,
            struct letter_file *counted, struct why *why)
{
    const struct letter_range range = {.env = env, .dir = dir, .memory = memory, .to = to};
    return letter_range_each(&range, counted, why);
}

enum err
letters_recount(struct env *env, const char *dir, struct budget *memory, struct letter_list *list,
                struct why *why)
{
    char path[FILE_PATH_BYTES];
    struct relay_names names;
    const struct relay_name *name;
    *list = (struct letter_list){.memory = memory, .number = 1};
    enum err e = path_in(path, sizeof path, dir, RELAY_LETTERS_NAME, why);
    if (e == OK) e = relay_names_read(&names, env, path, memory, why);
    if (e) return e == ERR_MISSING ? OK : e;
    for (size_t i = 0; e == OK && (name = relay_name_at(&names, i)) != NULL; i++) {
        uint32_t number;
        bool packed;
        if (name->is_dir || !letter_name_number(name->text, &number, &packed)) continue;
        if (letter_list_find(list, number) != NULL) continue; /* packed and not */
        list->number = number;                                /* names ascend */
        struct letter_file *file = letter_list_current(list);
        e = file == NULL ? ERR_NOMEM : count_lines(env, path, memory, UINT64_MAX, file, why);
        list->number++;
    }
    buf_fini(&names.all);
    return e;
}

/* Removes what the state does not know: the remains of a crash, and files that were converted. */
static enum err
sweep(void *context, const char *name, bool is_dir)
{
    struct letters *l = context;
    char path[FILE_PATH_BYTES];
    uint32_t number;
    bool packed, is_ours = letter_name_number(name, &number, &packed);
    const char *dot = strrchr(name, '.');
    bool is_old =
        !is_ours && dot != NULL &&
        (strcmp(dot, ".letters") == 0 || strcmp(dot, ".request") == 0 || strcmp(dot, ".tmp") == 0);
    if (is_dir || (!is_ours && !is_old)) return OK;
    struct letter_file *file = is_ours ? letter_list_find(&l->list, number) : NULL;
    if (file != NULL) {
        file->is_there = true;
        return OK;
    }
    enum err e = path_join(path, sizeof path, l->dir, name);
    if (is_ours) {
        log_info("relay: removing a file of dead letters that the state does not have: it was sent "
                 "again or dropped, or its samples are sent again",
                 KV("destination", l->context->settings->name), KV("file", path));
    }
    return e ? e : env_unlink(l->context->options.env, path, NULL);
}

/* Opens the current file, or creates it. ERR_MISSING: the state's file does not exist. */
static enum err
open_current(struct letters *l, struct why *why)
{
    struct env *env = l->context->options.env;
    char name[LETTER_NAME_BYTES], path[FILE_PATH_BYTES];
    bool is_new = letter_list_length(&l->list) == 0;
    if (l->open_number == l->list.number) return OK;
    err_ignore(file_close(&l->file), "its lines are synced");
    l->open_number = 0;
    letter_name(l->list.number, false, name);
    enum err e = path_in(path, sizeof path, l->dir, name, why);
    if (e == OK && is_new) e = env_mkdir(env, l->dir, why);
    if (e == OK && is_new) e = env_syncdir(env, l->context->dir, why);
    if (e == OK) e = file_open(env, path, is_new ? FILE_REPLACE : FILE_UPDATE, &l->file, why);
    if (e == OK && is_new) e = env_syncdir(env, l->dir, why);
    if (e == OK) {
        l->open_number = l->list.number;
        return OK;
    }
    err_ignore(file_close(&l->file), "nothing was written");
    if (!is_new) return e;
    /* After a failed sync a later one proves nothing about the old names: they are made again. */
    err_ignore(env_unlink(env, path, NULL), "it is made again");
    err_ignore(env_rmdir(env, l->dir, NULL), "the same, if it is empty");
    return e;
}

/* Cuts the current file to the lines that the state knows. */
static enum err
cut_current(struct letters *l, struct why *why)
{
    struct letter_list *list = &l->list;
    struct letter_file *file = letter_list_find(list, list->number);
    uint64_t size = 0;
    if (file == NULL) return OK;
    struct letter_file there = {.number = file->number};
    enum err e = open_current(l, why);
    if (e == ERR_MISSING) {
        /* A copy of the directory may have it packed, as it was closed while it was copied, or
         * after the state that is used now. What it has beyond file->bytes is no line. */
        letter_list_close(list);
        return OK;
    }
    if (e == OK) e = file_size(&l->file, &size, why);
    if (e == OK && size > file->bytes) e = file_truncate(&l->file, file->bytes, why);
    if (e || size >= file->bytes) return e;
    e = count_lines(l->context->options.env, l->dir, list->memory, file->bytes, &there, why);
    if (e == OK) e = file_truncate(&l->file, there.bytes, why);
    if (e) return e;
    file->bytes = there.bytes;
    lose(l, file, there.lines);
    if (file->bytes == 0) letter_list_remove(list, (uint32_t)(file - list->files));
    return e;
}

enum err
letters_begin(struct letters *l, const struct relay_state *state, struct why *why)
{
    const struct relay_context *c = l->context;
    struct env *env = c->options.env;
    if (c->settings->dry_run) return OK;
    enum err e = path_in(l->dir, sizeof l->dir, c->dir, RELAY_LETTERS_NAME, why);
    if (e == OK) e = letter_list_get(&l->list, state->letters);
    if (e) return why_set(why, e, "%s/" RELAY_STATE_NAME ": the list of dead letters", c->dir);
    l->is_open = true;
    l->saved_number = l->list.number;
    e = env_listdir(env, l->dir, sweep, l, why);
    bool has_dir = e == OK;
    if (e == ERR_MISSING) e = OK;
    for (uint32_t i = l->list.count; i-- > 0 && e == OK;) {
        struct letter_file *file = &l->list.files[i];
        if (file->is_there) continue;
        lose(l, file, no_lines);
        letter_list_remove(&l->list, i);
    }
    if (e == OK) e = cut_current(l, why);
    if (e == OK && has_dir) e = env_syncdir(env, l->dir, why);
    return e;
}

/* --- ahead of the cursor ---------------------------------------------------------------------- */

/* Moves the text of waiting lines from memory to a file. */
static enum err
spill(struct letters *l, struct why *why)
{
    char path[FILE_PATH_BYTES];
    struct env *env = l->context->options.env;
    enum err e = OK;
    if (l->spill.handle < 0) {
        e = env_mkdir(env, l->dir, why);
        if (e == OK) e = path_in(path, sizeof path, l->dir, SPILL_NAME, why);
        if (e == OK) e = file_open(env, path, FILE_REPLACE, &l->spill, why);
    }
    if (e == OK) e = file_write_at(&l->spill, buf_bytes(&l->lines), l->lines_at, why);
    if (e) return e;
    l->lines_at += l->lines.size;
    buf_clear(&l->lines);
    return OK;
}

enum err
letters_add(struct letters *l, const struct dead_letter *letter, bool replayed,
            struct relay_cursor at, struct why *why)
{
    enum err e = OK;
    assert(l->is_open);
    if (l->lines.size >= AHEAD_BYTES) e = spill(l, why);
    if (e) return e;
    if (!array_reserve(l->context->options.memory, &l->ahead, &l->ahead_capacity,
                       l->ahead_count + 1))
        return why_set(why, ERR_NOMEM, "not enough memory for a dead letter");
    size_t before = l->lines.size;
    letter_line_put(&l->lines, letter);
    e = buf_error(&l->lines);
    l->lines.failed = OK;
    if (e) return why_set(why, e, "not enough memory for a dead letter");
    l->ahead[l->ahead_count++] = (struct letter_ahead){
        .at = l->lines_at + before,
        .size = (uint32_t)(l->lines.size - before),
        .replayed = replayed,
        .kind = (uint8_t)letter->item.kind,
        .failed_ms = letter->failed_ms,
        .cursor = at,
    };
    return OK;
}

/* --- replay ----------------------------------------------------------------------------------- */

/*
 * Sends again the files of dead letters that an operator has handed back, the oldest first, one at
 * a time. They have a lane of their own beside those of the log: later samples of their series were
 * sent long ago, so there is no order to keep.
 *
 * The text of the file is unpacked into a file of its own, because the lanes read lines again. In
 * calls lines have the record number REPLAY_RECORD, and as index their number since the run began.
 * A line stays a dead letter until it and all lines before it are settled; then the list moves its
 * position in the file, in the same state as the account. After a crash, lines after that position
 * are sent again, and new lines of theirs do not exist.
 *
 * Invariants:
 * 1. given[0] begins at list.replay_at of the lowest file, whose number is replay.number.
 * 2. Each index in a call is of a line in `given`.
 */

/* Unpacks the lines of a file into replay.text, up to the first place that cannot be read. A
 * missing file is empty. */
static enum err
copy_text(struct letters *l, const struct letter_file *from, struct why *why)
{
    struct env *env = l->context->options.env;
    struct letters_replay *p = &l->replay;
    struct letter_text text;
    struct bytes line;
    struct buf some;
    char path[FILE_PATH_BYTES];
    p->end = 0;
    enum err e = path_in(path, sizeof path, l->dir, TEXT_NAME, why);
    if (e == OK) e = file_open(env, path, FILE_REPLACE, &p->text, why);
    if (e) return e;
    buf_init(&some, l->context->options.memory, LETTER_LINE_BYTES_MAX + WRITE_BYTES);
    e = letter_text_open(&text, env, l->dir, from->number, l->context->options.memory, why);
    while (e == OK && p->end + some.size < from->bytes &&
           (e = letter_text_line(&text, &line, why)) == OK) {
        buf_put_bytes(&some, line);
        e = buf_error(&some);
        if (e || some.size < WRITE_BYTES) continue;
        e = file_write_at(&p->text, buf_bytes(&some), p->end, why);
        p->end += some.size;
        buf_clear(&some);
    }
    letter_text_close(&text);
    if (e == ERR_MISSING || e == ERR_CORRUPT) e = OK; /* what can be read is there */
    if (e == OK) e = file_write_at(&p->text, buf_bytes(&some), p->end, why);
    p->end += some.size;
    buf_fini(&some);
    if (e) err_ignore(file_close(&p->text), "it is written again");
    return e;
}

/* Reads the line at an offset. */
static enum err
read_line(struct letters_replay *p, uint64_t at, size_t size_known, struct why *why)
{
    size_t wanted = size_known > 0 ? size_known : READ_BYTES;
    for (;;) {
        size_t size = 0;
        buf_clear(&p->line);
        if (!buf_reserve(&p->line, wanted))
            return why_set(why, ERR_NOMEM, "not enough memory for a dead letter");
        enum err e = file_read_some(&p->text, p->line.at, wanted, at, &size, why);
        if (e) return e;
        const uint8_t *end = memchr(p->line.at, '\n', size);
        p->line.size = end == NULL ? size : (size_t)(end + 1 - p->line.at);
        if (end != NULL || size < wanted) return OK;
        wanted *= 2;
    }
}

/* Reads the line at next_at into `given`. ERR_MISSING: the file ends. */
static enum err
give_line(struct letters *l, struct why *why)
{
    struct letters_replay *p = &l->replay;
    struct dead_letter letter;
    if (p->next_at >= p->end || p->count == GIVEN_MAX) return ERR_MISSING;
    if (!array_reserve(l->context->options.memory, &p->given, &p->capacity, p->count + 1))
        return ERR_NOMEM;
    enum err e = read_line(p, p->next_at, 0, why);
    if (e) return e;
    e = letter_reader_line(p->reader, buf_bytes(&p->line), &letter);
    if (e && e != ERR_CORRUPT) return e;
    p->given[p->count] = (struct letter_given){
        .at = p->next_at,
        .size = (uint32_t)p->line.size,
        .kind = e == OK ? (uint8_t)letter.item.kind : ITEM_KIND_COUNT,
        .fate = e == OK ? FATE_OPEN : FATE_DROPPED,
    };
    p->count++;
    p->waits = e == OK;
    p->next_at += p->line.size;
    return OK;
}

/* The number of the first line that is not settled: lines before it may be written, and counted. */
static uint32_t
letters_replay_cursor(const struct letters *l)
{
    const struct letters_replay *p = &l->replay;
    uint32_t n = 0, end = p->count - p->waits;
    while (n < end && p->given[n].fate != FATE_OPEN)
        n++;
    return p->first + n;
}

enum err
letters_replay_next(struct letters *l, struct dead_letter *ret_letter, uint32_t *ret_index,
                    struct why *why)
{
    struct letters_replay *p = &l->replay;
    enum err e = l->is_open ? OK : ERR_MISSING;
    if (e == OK && p->number == 0) { /* begins with the lowest file that is handed back */
        if (!letter_list_replays(&l->list, 0)) return ERR_MISSING;
        if (p->reader == NULL) e = letter_reader_new(l->context->options.memory, &p->reader);
        if (e == OK) e = copy_text(l, &l->list.files[0], why);
        if (e) return e;
        p->number = l->list.files[0].number;
        p->next_at = l->list.replay_at;
    }
    while (e == OK && !p->waits)
        e = give_line(l, why);
    if (e == ERR_MISSING && p->number != 0 && letters_replay_cursor(l) == p->first + p->count)
        save_want(l->saving, SAVE_SOON); /* all of the file is settled */
    if (e) return e;
    *ret_index = p->first + p->count - 1;
    e = letters_replay_load(l, *ret_index, ret_letter, why);
    if (e == ERR_MISSING) p->waits = false;
    return e;
}

void
letters_replay_handed_on(struct letters *l)
{
    l->replay.waits = false;
}

enum err
letters_replay_load(struct letters *l, uint32_t index, struct dead_letter *ret_letter,
                    struct why *why)
{
    struct letters_replay *p = &l->replay;
    assert(index - p->first < p->count); /* invariant 2 of the replay */
    struct letter_given *g = &p->given[index - p->first];
    enum err e = read_line(p, g->at, g->size, why);
    if (e) return e;
    e = letter_reader_line(p->reader, buf_bytes(&p->line), ret_letter);
    if (e != ERR_CORRUPT) return e;
    g->fate = FATE_DROPPED; /* it is counted when the file ends */
    return ERR_MISSING;
}

enum err
letters_replay_settle(struct letters *l, uint32_t index, uint32_t count, bool delivered,
                      const char *reason, const char *answer)
{
    struct letters_replay *p = &l->replay;
    assert(count <= p->count);
    assert(index - p->first <= p->count - count); /* invariant 2 of the replay */
    for (uint32_t i = index; i < index + count; i++) {
        struct letter_given *g = &p->given[i - p->first];
        if (g->fate != FATE_OPEN) continue; /* settled by a call that failed later */
        if (delivered) {
            g->fate = FATE_DELIVERED;
            continue;
        }
        struct dead_letter letter;
        enum err e = letters_replay_load(l, i, &letter, NULL);
        if (e == ERR_MISSING) continue; /* it cannot be read any more */
        letter.reason = bytes_of_text(reason);
        letter.answer = bytes_of_text(answer);
        letter.failed_ms = env_realtime_ms(l->context->options.env);
        if (e == OK) e = letters_add(l, &letter, true, (struct relay_cursor){.pos = i}, NULL);
        if (e) return e;
        g->fate = FATE_DEAD_LETTERED;
    }
    save_want(l->saving, SAVE_SOON);
    return OK;
}

/* Counts the lines before that number, whose successors are written. */
static void
letters_replay_count(struct letters *l, uint32_t cursor)
{
    struct letters_replay *p = &l->replay;
    if (p->number == 0) return;
    struct letter_file *file = &l->list.files[0];
    assert(file->number == p->number); /* invariant 1 of the replay */
    uint32_t passed = cursor - p->first;
    assert(passed <= p->count);
    for (uint32_t i = 0; i < passed; i++) {
        const struct letter_given *g = &p->given[i];
        l->list.replay_at = g->at + g->size;
        if (g->fate == FATE_DROPPED || file->lines[g->kind] == 0) continue;
        file->lines[g->kind]--;
        if (g->fate == FATE_DELIVERED)
            account_move(l->account, g->kind, FATE_DEAD_LETTERED, FATE_DELIVERED, 1);
    }
    memmove(p->given, p->given + passed, (p->count - passed) * sizeof *p->given);
    p->count -= passed;
    p->first += passed;
    if (p->count > 0 || p->next_at < p->end) return;
    lose(l, file, no_lines); /* the file ends: lines that could not be read are lost */
    letters_remove_file(l, 0);
    close_scratch(&p->text);
    p->first = p->number = 0;
}

/* --- lines ------------------------------------------------------------------------------------ */

static bool
is_passed(const struct letter_ahead *a, struct relay_cursor cursor, uint32_t replayed)
{
    if (a->replayed) return a->cursor.pos < replayed;
    return a->cursor.pos < cursor.pos ||
           (a->cursor.pos == cursor.pos && a->cursor.index < cursor.index);
}

/* The size at which a file ends. */
static uint64_t
file_bytes_max(const struct letters *l)
{
    uint64_t bytes = l->context->settings->dead_letters_max_bytes / FILES_OF_BUDGET;
    if (bytes < FILE_BYTES_MIN) bytes = FILE_BYTES_MIN;
    return bytes < FILE_BYTES_MAX ? bytes : FILE_BYTES_MAX;
}

/*
 * Appends lines that are passed, from ahead[from] on, to the current file, and syncs it; nothing is
 * counted before that. `ret_next`: the first line that was not looked at.
 */
static enum err
write_some(struct letters *l, uint32_t from, struct relay_cursor cursor, uint32_t replayed,
           struct buf *text, uint32_t *ret_next, struct why *why)
{
    struct letter_list *list = &l->list;
    if (letter_list_length(list) >= file_bytes_max(l)) letter_list_close(list);
    struct letter_file *file = letter_list_current(list);
    if (file == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a dead letter");
    struct letter_file counted = *file;
    uint64_t room = file_bytes_max(l) - file->bytes;
    enum err e = OK;
    uint32_t i = from;
    buf_clear(text);
    for (; i < l->ahead_count && e == OK && text->size < room && text->size < WRITE_BYTES; i++) {
        const struct letter_ahead *a = &l->ahead[i];
        if (!is_passed(a, cursor, replayed)) continue;
        if (!buf_reserve(text, a->size)) {
            e = why_set(why, ERR_NOMEM, "not enough memory for a line");
        } else if (a->at >= l->lines_at) {
            buf_put(text, l->lines.at + (a->at - l->lines_at), a->size);
        } else {
            e = file_read_at(&l->spill, text->at + text->size, a->size, a->at, why);
            if (e == OK) text->size += a->size;
        }
        letter_file_count(&counted, a->kind, a->failed_ms);
    }
    *ret_next = i;
    bool any = text->size > 0;
    if (e == OK && any) e = open_current(l, why);
    if (e == OK && any) e = file_write_at(&l->file, buf_bytes(text), file->bytes, why);
    if (e == OK && any) e = file_datasync(&l->file, why);
    if (e == OK && any) {
        counted.bytes += text->size;
        *file = counted; /* invariant 1 */
        l->bytes += text->size;
    }
    if (file->bytes == 0) list->count--; /* it has no line */
    if (e == OK) return e;
    /* After a failed sync another one proves nothing: the lines go to another file. */
    err_ignore(file_close(&l->file), "its lines are written again");
    l->open_number = 0;
    letter_list_close(list);
    return e;
}

enum err
letters_write(struct letters *l, struct relay_cursor cursor, struct why *why)
{
    enum err e = OK;
    uint32_t next = 0, replayed = letters_replay_cursor(l);
    bool any = false;
    for (uint32_t i = 0; i < l->ahead_count && !any; i++)
        any = is_passed(&l->ahead[i], cursor, replayed);
    if (any) {
        struct buf text;
        buf_init(&text, l->context->options.memory, LETTER_LINE_BYTES_MAX + WRITE_BYTES);
        while (next < l->ahead_count && e == OK) {
            uint32_t end = next;
            e = write_some(l, next, cursor, replayed, &text, &end, why);
            if (e == OK) next = end;
        }
        buf_fini(&text);
        uint32_t kept = 0;
        for (uint32_t i = 0; i < l->ahead_count; i++) { /* the others are written */
            bool stays = i >= next || !is_passed(&l->ahead[i], cursor, replayed);
            if (stays) l->ahead[kept++] = l->ahead[i];
        }
        l->ahead_count = kept;
    }
    if (any && l->ahead_count == 0) {
        buf_clear(&l->lines);
        l->lines_at = 0;
        if (l->spill.handle >= 0) err_ignore(file_truncate(&l->spill, 0, NULL), "overwritten");
    }
    if (e == OK) letters_replay_count(l, replayed);
    return e;
}

void
letters_saved(struct letters *l)
{
    if (!l->is_open) return;
    l->saved_number = l->list.number;
    for (size_t i = 0; i < l->leaving.size; i += 4) {
        for (int packed = 0; packed < 2; packed++) {
            char name[LETTER_NAME_BYTES], path[FILE_PATH_BYTES];
            letter_name(load_le32(l->leaving.at + i), packed == 1, name);
            enum err e = path_join(path, sizeof path, l->dir, name);
            if (e == OK) e = env_unlink(l->context->options.env, path, NULL);
            err_ignore(e, "the next start removes it");
        }
    }
    buf_clear(&l->leaving);
}

void
letters_remove_file(struct letters *l, uint32_t at)
{
    buf_put(&l->leaving, &l->list.files[at].number, sizeof(uint32_t));
    l->leaving.failed = OK; /* without memory, the next start removes it */
    l->looked = false;
    letter_list_remove(&l->list, at);
}

void
letters_end(struct letters *l)
{
    struct budget *memory = l->context->options.memory;
    struct letters_replay *p = &l->replay;
    close_scratch(&p->text);
    array_free(memory, p->given, p->capacity);
    letter_reader_free(p->reader);
    buf_fini(&p->line);
    letter_list_fini(&l->list);
    err_ignore(file_close(&l->file), "its lines are synced");
    close_scratch(&l->spill);
    array_free(memory, l->ahead, l->ahead_capacity);
    buf_fini(&l->lines);
    buf_fini(&l->leaving);
    letters_init(l, l->context, l->account, l->saving);
}
