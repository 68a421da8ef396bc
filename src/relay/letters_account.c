/*
 * letters_account.c - the account of a destination and its dead letters, which are two things on a
 * disk: what became of letters after the state was written is added when they are opened, and what
 * is lost or back is counted and told.
 */
#include "base/log.h"
#include "relay/letters/letters_found.h"
#include "relay/relay_private.h"

static uint64_t
sum_of(const uint64_t counts[ITEM_KIND_COUNT])
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        sum += counts[kind];
    }
    return sum;
}

/* Each place by itself: an error if letters are lost with it, or back. */
static void
log_damage(const struct relay *r, const struct letters_found *found, bool differs)
{
    char dir[sizeof r->dir + 16], text[DEAD_LETTERS_TEXT_BYTES];
    err_ignore(path_join(dir, sizeof dir, r->dir, LETTER_FILES_DIR), "it fits");
    for (uint32_t i = 0; i < found->first_count; i++) {
        letter_damage_print(&found->first[i], dir, text);
        if (differs) {
            log_error("relay: a file of dead letters is damaged",
                      KV("destination", r->settings->name), KV("place", text));
        } else {
            log_warn("relay: a file of dead letters is damaged, no further letter is missing",
                     KV("destination", r->settings->name), KV("place", text));
        }
    }
}

static void
log_account(const struct relay *r, const struct letters_found *found,
            const struct letters_account *a)
{
    uint64_t lost = sum_of(a->lost), back = sum_of(a->back);
    log_damage(r, found, a->differs);
    if (!a->differs) return;
    log_error("relay: dead letters are lost, and counted as dropped; replays are called off",
              KV("destination", r->settings->name), KV("letters", lost),
              KV("damaged_places", found->damaged));
    if (back == 0) return;
    log_error("relay: dead letters that were gone are back, and counted as taken once more: they "
              "may have been delivered, replay or drop them",
              KV("destination", r->settings->name), KV("back", back));
}

/* Into the account of what is before the run. */
static void
count_account(struct relay *r, const struct letters_account *a)
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t *count = r->base.count[kind];
        r->dirty |= count[FATE_DEAD_LETTERED] != a->dead_lettered[kind];
        count[FATE_DEAD_LETTERED] = a->dead_lettered[kind];
        count[FATE_DELIVERED] += a->delivered[kind];
        count[FATE_DROPPED + DROP_BY_OPERATOR] += a->dropped[kind];
        count[FATE_DROPPED + DROP_DEAD_LETTERS_FULL] += a->dropped_full[kind];
        count[FATE_DROPPED + DROP_DAMAGED] += a->lost[kind];
        r->base_taken[kind] += a->taken[kind];
        r->taken[kind] += a->taken[kind];
    }
    r->dirty |= a->differs;
}

void
letters_opened(struct relay *r)
{
    if (r->settings->dry_run) return;
    const struct letters_account *account = dead_letters_account(r->letters);
    log_account(r, dead_letters_found(r->letters), account);
    count_account(r, account);
}

/* Those of items behind the cursor come by again, and are queued then. */
void
letters_remember(struct relay *r, const struct fates *before, struct letters_mark *ret_mark)
{
    const struct fates *all = window_fates(r->window);
    dead_letters_mark(r->letters, ret_mark);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t ahead = all->count[kind][FATE_REPLAYING] - before->count[kind][FATE_REPLAYING];
        ret_mark->replaying[kind] = r->replaying[kind] - ahead;
    }
}

void
letters_taken_back(struct relay *r, struct letters_mark *ret_mark)
{
    dead_letters_mark(r->letters, ret_mark);
    memcpy(ret_mark->replaying, r->replaying, sizeof ret_mark->replaying);
}

void
letters_tended(struct relay *r, const struct dead_letters_moved *moved)
{
    uint64_t lost = sum_of(moved->lost);
    if (lost > 0) {
        log_error("relay: dead letters cannot be read any more, they are counted as dropped",
                  KV("destination", r->settings->name), KV("letters", lost),
                  KV("place", moved->lost_at));
    }
    if (moved->called_off > 0) {
        log_warn("relay: replays are called off, what was sent again is dead letters again",
                 KV("destination", r->settings->name), KV("letters", moved->called_off));
    }
    if (moved->requests_damaged > 0) {
        log_error("relay: what was asked for dead letters cannot be read and is forgotten, ask "
                  "again",
                  KV("destination", r->settings->name), KV("requests", moved->requests_damaged));
    }
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        r->base.count[kind][FATE_DROPPED + DROP_DAMAGED] +=
            moved->lost[kind] - moved->counted_lost[kind];
    }
    r->dirty |= lost > 0 || moved->called_off > 0 || moved->waits;
}
