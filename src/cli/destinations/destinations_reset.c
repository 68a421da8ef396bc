/*
 * destinations_reset.c - `firekeep destinations reset NAME --from=...`: the operator decides where
 * a destination with an unreadable state continues. The decision is left in its directory; a server
 * applies it when it next opens the destination, which a running one tries every ten seconds.
 */
#include <stdio.h>
#include <string.h>

#include "base/text/time_text.h"
#include "cli/destinations/destinations_private.h"
#include "relay/operate/command_lock.h"
#include "relay/operate/reset.h"
#include "relay/state/state.h"

static enum err
reset_parse_from(const char *word, struct reset *ret_reset, struct why *why)
{
    static const enum reset_from words[] = {RESET_NOW, RESET_OLDEST, RESET_PREVIOUS};
    if (word == NULL) {
        return why_set(why, ERR_INPUT, "--from is required: previous, oldest, now or a time");
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, reset_word(words[i])) != 0) continue;
        *ret_reset = (struct reset){.from = words[i]};
        return OK;
    }
    *ret_reset = (struct reset){.from = RESET_TIME};
    enum err e =
        time_parse(bytes_of_text(word), env_realtime_ms(env_real()), &ret_reset->from_ms, why);
    if (e) return why_prefix(why, e, "--from");
    if (ret_reset->from_ms <= env_realtime_ms(env_real())) return OK;
    return why_set(why, ERR_INPUT,
                   "--from: %s is in the future; to drop the queued samples, use now", word);
}

/* Allows a reset only if the state cannot be read, or belongs to another destination. */
static enum err
check_states(const char *dir, const char *name, const struct reset *reset, struct why *why)
{
    struct buf memory;
    struct relay_state state;
    struct why damage = {""};
    buf_init(&memory, NULL, RELAY_STATE_BYTES_MAX);
    enum err e = relay_state_read(env_real(), dir, &memory, &state, &damage);
    bool own = e == OK && (state.name[0] == '\0' || strcmp(state.name, name) == 0);
    if (own) {
        e = why_set(why, ERR_INPUT,
                    "the state of destination %s is readable and needs no reset; to send stored "
                    "samples again, use POST /api/v1/admin/destinations/%s/replay?from=TIME",
                    name, name);
    } else if (e == ERR_MISSING) {
        why_set(why, e, "%s: destination not found", dir);
    } else if (e && e != ERR_CORRUPT) {
        why_set(why, e, "%s", damage.text);
    } else {
        e = OK;
    }
    if (e == OK && reset->from == RESET_PREVIOUS) {
        e = relay_state_read_previous(env_real(), dir, &memory, &state, why);
        if (e) why_prefix(why, e, "cannot continue from the previous state; choose another --from");
    }
    buf_fini(&memory);
    return e;
}

enum err
destinations_reset(const struct destinations_command *a, const char *name, struct why *why)
{
    char dir[RELAY_DIR_BYTES];
    struct reset reset;
    enum err e = reset_parse_from(a->from_word, &reset, why);
    if (e) return e;
    int size = snprintf(dir, sizeof dir, "%s/relay/%s", a->storage, name);
    if (size >= (int)sizeof dir || strchr(name, '/') != NULL) {
        return why_set(why, ERR_INPUT, "%s/relay/%.64s: not a valid path of a destination",
                       a->storage, name);
    }
    struct file lock = FILE_CLOSED;
    e = check_states(dir, name, &reset, why);
    if (e == OK) e = command_lock(env_real(), dir, &lock, why);
    if (e == OK) e = reset_put(env_real(), dir, &reset, why);
    err_ignore(file_close(&lock), "nothing was written");
    if (e) return e;
    printf("%s continues from %s: a running server applies this within 10 seconds, a stopped one "
           "when it starts\n",
           name, a->from_word);
    return OK;
}
