/*
 * letters_tend.c - decides about whole files of dead letters: what an operator wants, size and age,
 * and that closed files are packed. See letters.h.
 *
 * A decision changes the list and the account, which become durable with the next state; the files
 * are removed after it. The file that is being sent again is left alone: some of its lines may have
 * been delivered.
 *
 * Without a server, a decision changes the state. It says which lines exist; a relay that runs
 * while they are read only appends, and removes whole files, which are skipped then.
 */
#include "relay/letters/letters.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "backend/common/pack.h"
#include "base/log.h"
#include "relay/state/directory.h"
#include "relay/state/saving.h"

enum { PACK_BYTES = 256 * 1024, AGES_OF_FILE = 8 };

/* Gives up the lines of a file, for this reason. Returns their number. */
static uint64_t
give_up(struct letters *l, uint32_t at, enum drop reason)
{
    const struct letter_file *file = &l->list.files[at];
    uint64_t lines = kinds_sum(file->lines);
    assert(file->number != l->replay.number);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        account_move(l->account, kind, FATE_DEAD_LETTERED, FATE_DROPPED + reason,
                     file->lines[kind]);
    }
    letters_remove_file(l, at);
    save_want(l->saving, SAVE_SOON);
    return lines;
}

uint64_t
letters_decide(struct letters *l, enum letters_wish wish)
{
    uint64_t lines = 0;
    if (!l->is_open) return 0;
    save_want(l->saving, SAVE_SOON);
    if (wish == LETTERS_REPLAY) return letter_list_replay(&l->list);
    letter_list_close(&l->list);
    for (uint32_t i = l->list.count; i-- > 0 && !letter_list_replays(&l->list, i);)
        lines += give_up(l, i, DROP_BY_OPERATOR);
    return lines;
}

static bool
is_older(int64_t then_ms, int64_t now_ms, int64_t age_ms)
{
    int64_t age;
    if (__builtin_sub_overflow(now_ms, then_ms, &age)) return now_ms > then_ms;
    return age > age_ms;
}

static uint64_t
bytes_of_file(const struct letters *l, uint32_t number)
{
    uint64_t bytes = 0;
    for (int packed = 0; packed < 2; packed++) {
        char name[LETTER_NAME_BYTES], path[FILE_PATH_BYTES];
        struct file_facts facts;
        letter_name(number, packed == 1, name);
        if (path_join(path, sizeof path, l->dir, name) != OK) continue;
        if (env_facts(l->context->options.env, path, &facts, NULL) == OK) bytes += facts.size_bytes;
    }
    return bytes;
}

/* Gives up the oldest files as long as all have too many bytes, or they are too old. */
static void
give_up_oldest(struct letters *l)
{
    const struct destination_settings *s = l->context->settings;
    const struct relay_options *o = &l->context->options;
    /* Not later than the time at which the process began plus the time since: letters do not become
     * old by a clock that jumps ahead. A clock that is set back makes them younger. */
    int64_t now_ms = env_realtime_ms(o->env), age_ms = s->dead_letters_max_age_ms;
    int64_t most_ms = o->epoch_ms + (env_monotonic_ns(o->env) - o->epoch_ns) / NS_PER_MS;
    if (now_ms > most_ms) now_ms = most_ms;
    struct letter_list *list = &l->list;
    uint64_t lines = 0;
    /* The sizes of files change when they are packed and removed; only then they are looked up. */
    if (!l->looked) l->bytes = 0;
    for (uint32_t at = 0; at < list->count && !l->looked; at++)
        l->bytes += bytes_of_file(l, list->files[at].number);
    l->looked = true;
    uint64_t bytes = l->bytes;
    for (uint32_t at = 0; at < list->count;) {
        const struct letter_file *file = &list->files[at];
        if (file->number == l->replay.number) {
            at++;
            continue;
        }
        bool too_old = age_ms > 0 && is_older(file->last_ms, now_ms, age_ms);
        if (bytes <= s->dead_letters_max_bytes && !too_old) break;
        if (file->number == list->number) letter_list_close(list);
        uint64_t gone = bytes_of_file(l, file->number);
        bytes -= gone < bytes ? gone : bytes;
        lines += give_up(l, at, DROP_DEAD_LETTERS_FULL);
    }
    if (lines == 0) return;
    log_error("relay: oldest dead letters removed: dead_letters.max_bytes or dead_letters.max_age "
              "is reached",
              KV("destination", s->name), KV("letters", lines));
}

/* --- packing ---------------------------------------------------------------------------------- */

/* Writes the packed text of an open file, `size` bytes, in pieces that are gzip members. */
static enum err
pack_text(struct letters *l, struct file *from, uint64_t size, struct file *to, struct why *why)
{
    struct packer *packer = NULL;
    struct buf text, packed;
    uint64_t at = 0, written = 0;
    buf_init(&text, l->context->options.memory, PACK_BYTES);
    buf_init(&packed, l->context->options.memory, 2 * PACK_BYTES);
    enum err e = packer_new(COMPRESSION_GZIP, &packer);
    if (e == OK && !buf_reserve(&text, PACK_BYTES)) e = ERR_NOMEM;
    if (e) why_set(why, e, "not enough memory to pack dead letters");
    while (e == OK && at < size) {
        text.size = size - at < PACK_BYTES ? (size_t)(size - at) : PACK_BYTES;
        e = file_read_at(from, text.at, text.size, at, why);
        buf_clear(&packed);
        if (e == OK) e = pack(packer, buf_bytes(&text), &packed);
        if (e == OK) e = file_write_at(to, buf_bytes(&packed), written, why);
        at += text.size;
        written += packed.size;
    }
    if (e == OK) e = file_datasync(to, why);
    packer_free(packer);
    buf_fini(&text);
    buf_fini(&packed);
    return e;
}

/* Replaces a file by a packed one. */
static enum err
pack_file(struct letters *l, const struct letter_file *file, const char *plain, struct why *why)
{
    struct env *env = l->context->options.env;
    char name[LETTER_NAME_BYTES], making[FILE_PATH_BYTES], packed[FILE_PATH_BYTES];
    struct file from = FILE_CLOSED, to = FILE_CLOSED;
    letter_name(file->number, true, name);
    enum err e = path_in(making, sizeof making, l->dir, "packed.tmp", why);
    if (e == OK) e = path_in(packed, sizeof packed, l->dir, name, why);
    if (e == OK) e = file_open(env, plain, FILE_READ, &from, why);
    if (e == OK) e = file_open(env, making, FILE_REPLACE, &to, why);
    if (e == OK) e = pack_text(l, &from, file->bytes, &to, why);
    err_ignore(file_close(&from), "only read");
    e = err_first(e, file_close(&to));
    if (e == OK) e = env_rename(env, making, packed, why);
    if (e == OK) e = env_syncdir(env, l->dir, why);
    if (e == OK) e = env_unlink(env, plain, why);
    l->looked = false;
    return e;
}

/* Packs the oldest file that is closed in the durable state and not packed. */
static enum err
pack_one(struct letters *l, struct why *why)
{
    for (uint32_t i = 0; i < l->list.count; i++) {
        const struct letter_file *file = &l->list.files[i];
        char name[LETTER_NAME_BYTES], path[FILE_PATH_BYTES];
        struct file_facts facts;
        if (file->number < l->packed_below) continue;
        if (file->number >= l->saved_number) return OK;
        letter_name(file->number, false, name);
        enum err e = path_in(path, sizeof path, l->dir, name, why);
        if (e == OK) e = env_facts(l->context->options.env, path, &facts, why);
        bool plain = e == OK && file->number != l->replay.number;
        if (plain) e = pack_file(l, file, path, why);
        if (e && e != ERR_MISSING) return e;
        l->packed_below = file->number + 1;
        if (plain) return OK;
    }
    return OK;
}

enum err
letters_tend(struct letters *l, struct why *why)
{
    if (!l->is_open) return OK;
    /* A file whose lines differ in age ends, so that it does not keep old ones for young ones. */
    int64_t age_ms = l->context->settings->dead_letters_max_age_ms;
    const struct letter_file *file = letter_list_find(&l->list, l->list.number);
    bool differs = file != NULL && age_ms != 0 &&
                   is_older(file->first_ms, file->last_ms, age_ms / AGES_OF_FILE);
    if (differs) {
        letter_list_close(&l->list);
        save_want(l->saving, SAVE_SOON);
    }
    give_up_oldest(l);
    return pack_one(l, why);
}

/* --- without a server ------------------------------------------------------------------------- */

/* Reads the state; `bytes` holds it. */
static enum err
read_state(struct env *env, const char *dir, struct buf *bytes, struct relay_state *ret_state,
           struct why *why)
{
    enum err e = relay_state_read(env, dir, bytes, ret_state, why);
    if (e || !letter_list_is_old(ret_state->letters)) return e;
    return why_set(why, ERR_UNSUPPORTED,
                   "%s/" RELAY_LETTERS_NAME
                   ": an earlier version wrote the dead letters; start the "
                   "server, which converts them",
                   dir);
}

/* True if the state on disk still has the file: a relay may have removed it meanwhile. */
static bool
is_still_listed(struct env *env, const char *dir, struct budget *memory, uint32_t number)
{
    struct buf bytes;
    struct relay_state state;
    struct letter_list list = {.memory = memory};
    buf_init(&bytes, memory, RELAY_STATE_BYTES_MAX);
    enum err e = read_state(env, dir, &bytes, &state, NULL);
    if (e == OK) e = letter_list_get(&list, state.letters);
    bool is = e != OK || letter_list_find(&list, number) != NULL;
    letter_list_fini(&list);
    buf_fini(&bytes);
    return is;
}

enum err
dead_letters_each(struct env *env, const char *dir, struct budget *memory, dead_letter_taker each,
                  void *context, struct dead_letters_report *ret_report, struct why *why)
{
    struct buf bytes;
    struct relay_state state;
    struct letter_list list = {.memory = memory};
    struct dead_letters_report own, *report = ret_report == NULL ? &own : ret_report;
    char path[FILE_PATH_BYTES];
    memset(report, 0, sizeof *report);
    buf_init(&bytes, memory, RELAY_STATE_BYTES_MAX);
    enum err e = path_in(path, sizeof path, dir, RELAY_LETTERS_NAME, why);
    if (e == OK) e = read_state(env, dir, &bytes, &state, why);
    if (e == OK)
        e = letter_list_get(&list, state.letters);
    else if (e == ERR_CORRUPT)
        e = letters_recount(env, dir, memory, &list, why);
    for (uint32_t i = 0; i < list.count && e == OK; i++) {
        const struct letter_file *file = &list.files[i];
        const struct letter_range range = {.env = env,
                                           .dir = path,
                                           .memory = memory,
                                           .from = i == 0 ? list.replay_at : 0,
                                           .to = file->bytes,
                                           .each = each,
                                           .context = context,
                                           .again = letter_list_replays(&list, i)};
        struct letter_file read = {.number = file->number};
        e = letter_range_each(&range, &read, why);
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
            report->lines[kind] += read.lines[kind];
        uint64_t lines = kinds_sum(file->lines), found = kinds_sum(read.lines);
        if (e || found >= lines) continue;
        if (!is_still_listed(env, dir, memory, file->number)) continue;
        if (report->lost == 0) {
            snprintf(report->text, sizeof report->text,
                     "%s/%08" PRIx32 ".ndjson: %" PRIu64 " of %" PRIu64 " dead letters cannot be "
                     "read",
                     path, file->number, lines - found, lines);
        }
        report->lost += lines - found;
    }
    letter_list_fini(&list);
    buf_fini(&bytes);
    return e;
}

enum err
dead_letters_decide(struct env *env, const char *dir, struct budget *memory, enum letters_wish wish,
                    uint64_t *ret_count, struct why *why)
{
    struct buf bytes, put, scratch;
    struct relay_state state;
    struct letter_list list = {.memory = memory};
    *ret_count = 0;
    buf_init(&bytes, memory, RELAY_STATE_BYTES_MAX);
    buf_init(&put, memory, RELAY_STATE_BYTES_MAX);
    buf_init(&scratch, memory, RELAY_STATE_BYTES_MAX);
    enum err e = read_state(env, dir, &bytes, &state, why);
    if (e == OK) e = letter_list_get(&list, state.letters);
    struct relay_state before = state;
    if (e == OK && wish == LETTERS_REPLAY) *ret_count = letter_list_replay(&list);
    if (e == OK && wish == LETTERS_DROP) letter_list_close(&list);
    for (uint32_t i = list.count; e == OK && wish == LETTERS_DROP && i-- > 0;) {
        if (letter_list_replays(&list, i)) break;
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            uint64_t lines = list.files[i].lines[kind];
            state.fates.count[kind][FATE_DEAD_LETTERED] -= lines;
            state.fates.count[kind][FATE_DROPPED + DROP_BY_OPERATOR] += lines;
            *ret_count += lines;
        }
        letter_list_remove(&list, i); /* the next start removes the file */
    }
    if (e == OK && *ret_count > 0) {
        letter_list_put(&list, &put);
        state.letters = buf_bytes(&put);
        shown_keep(&state, &before);
        e = buf_error(&put);
        if (e == OK) e = relay_state_write(env, dir, &scratch, &state, why);
    }
    letter_list_fini(&list);
    buf_fini(&bytes);
    buf_fini(&put);
    buf_fini(&scratch);
    return e;
}
