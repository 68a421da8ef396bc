/*
 * dead_letters_command.c - see dead_letters_command.h. The state says which lines exist; a relay
 * that runs meanwhile only appends, and removes whole files, which are skipped then.
 */
#include "relay/operate/dead_letters_command.h"

#include <inttypes.h>
#include <stdio.h>

#include "relay/state/directory.h"
#include "relay/state/saving.h"

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

struct line_sink {
    enum err (*each)(void *context, const struct dead_letter *letter, struct bytes line,
                     bool again);
    void *context;
    bool again;
    struct dead_letters_report *report;
    uint64_t lines;
};

static enum err
give_line(void *context, const struct dead_letter *letter, struct bytes line)
{
    struct line_sink *sink = context;
    sink->lines++;
    sink->report->lines[letter->item.kind]++;
    return sink->each(sink->context, letter, line, sink->again);
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
dead_letters_each(struct env *env, const char *dir, struct budget *memory,
                  enum err (*each)(void *context, const struct dead_letter *letter,
                                   struct bytes line, bool again),
                  void *context, struct dead_letters_report *ret_report, struct why *why)
{
    struct buf bytes;
    struct relay_state state;
    struct letter_list list = {.memory = memory};
    struct dead_letters_report own, *report = ret_report == NULL ? &own : ret_report;
    struct line_sink sink = {.each = each, .context = context, .report = report};
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
                                           .number = file->number,
                                           .from = i == 0 ? list.replay_at : 0,
                                           .to = file->bytes,
                                           .each = give_line,
                                           .context = &sink};
        uint64_t end, lines = kinds_sum(file->lines);
        sink.again = letter_list_replays(&list, i);
        sink.lines = 0;
        e = letter_range_each(&range, &end, why);
        if (e || sink.lines >= lines) continue;
        if (!is_still_listed(env, dir, memory, file->number)) continue;
        if (report->lost == 0) {
            snprintf(report->text, sizeof report->text,
                     "%s/%08" PRIx32 ".ndjson: %" PRIu64 " of %" PRIu64 " dead letters cannot be "
                     "read",
                     path, file->number, lines - sink.lines, lines);
        }
        report->lost += lines - sink.lines;
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
