/*
 * dead_letters_command.c - see dead_letters_command.h. A relay may write the files meanwhile.
 *
 * Requests are listed before the files are read: if the relay executes one meanwhile, the files
 * show its effect, and it selects no more letters. The state is read before the files too: the
 * relay removes a file once two later states no longer need it, so if letters seem lost and there
 * is a later state, everything is read again.
 */
#include "relay/operate/dead_letters_command.h"

#include "relay/letters/letter_index.h"
#include "relay/letters/letter_request.h"
#include "relay/operate/command_lock.h"
#include "relay/state/directory.h"
#include "relay/state/state.h"

enum { TRIES_MAX = 8, PATH_BYTES = sizeof(((struct file *)0)->path) };

struct letters_view {
    struct env *env;
    struct budget *memory;
    const char *dir;
    char path[PATH_BYTES];
    struct letters_known known; /* letters that the destination's state knows, if `has_state` */
    bool has_state;             /* the state can be read */
    struct letter_requests requests;
    struct letter_index index;
    struct letters_account account;
};

static void
letters_view_close(struct letters_view *view)
{
    letter_requests_fini(&view->requests);
    letter_index_fini(&view->index);
}

/* Reads the letters that the state knows. *ret_is is false if the state cannot be read. */
static enum err
read_state(const struct letters_view *view, struct letters_known *ret_known, bool *ret_is,
           struct why *why)
{
    struct buf bytes;
    struct relay_state state;
    buf_init(&bytes, view->memory, RELAY_STATE_BYTES_MAX);
    enum err e = relay_state_read(view->env, view->dir, &bytes, &state, why);
    *ret_is = e == OK;
    if (e == OK) *ret_known = relay_state_letters(&state);
    buf_fini(&bytes);
    return e == ERR_MISSING || e == ERR_CORRUPT || e == ERR_UNSUPPORTED ? OK : e;
}

/* ERR_AGAIN: letters seem lost because the relay removed files since the state was read. */
static enum err
check_again(const struct letters_view *view, struct why *why)
{
    struct letters_known now;
    bool is;
    enum err e = read_state(view, &now, &is, why);
    if (e || !is) return e;
    const struct letters_mark *a = &now.mark, *b = &view->known.mark;
    if (a->file == b->file && a->offset == b->offset && a->print == b->print) return OK;
    return why_set(why, ERR_AGAIN, "%s: dead letters were removed while they were read, retry",
                   view->path);
}

static enum err
letters_view_try(struct letters_view *view, struct why *why)
{
    enum err e = letter_requests_read(&view->requests, view->env, view->path, view->memory, why);
    bool none = e == ERR_MISSING;
    if (e && !none) return e;
    letter_index_init(&view->index, view->memory);
    e = read_state(view, &view->known, &view->has_state, why);
    if (e == OK) {
        const struct letters_known *known = view->has_state ? &view->known : NULL;
        e = letter_index_read(&view->index, view->env, view->path, known, why);
        none = e == ERR_MISSING;
    }
    memset(&view->account, 0, sizeof view->account);
    if ((e == OK || none) && view->has_state) {
        letters_compare(&view->known, &view->index.found, &view->account);
    }
    bool gone = view->account.differs || view->index.found.missing_files > 0;
    if ((e == OK || none) && gone) e = check_again(view, why);
    if (none && e == OK && !gone) e = why_set(why, ERR_MISSING, "%s: no dead letters", view->path);
    if (e) letters_view_close(view);
    return e;
}

static enum err
letters_view_open(struct letters_view *view, struct env *env, const char *dir,
                  struct budget *memory, struct why *why)
{
    *view = (struct letters_view){.env = env, .memory = memory, .dir = dir};
    enum err e = path_in(view->path, sizeof view->path, dir, RELAY_LETTERS_NAME, why);
    if (e) return e;
    unsigned tries = 0;
    do {
        e = letters_view_try(view, why);
    } while (e == ERR_AGAIN && ++tries < TRIES_MAX);
    return e;
}

static void
view_report(const struct letters_view *view, struct dead_letters_report *ret)
{
    const struct letters_found *found = &view->index.found;
    if (ret == NULL) return;
    memset(ret, 0, sizeof *ret);
    ret->damaged = found->damaged;
    for (uint32_t i = 0; i < found->first_count; i++) {
        letter_damage_print(&found->first[i], view->path, ret->texts[ret->text_count++]);
    }
    if (view->account.differs) {
        ret->lost += kinds_sum(view->account.lost);
        ret->back += kinds_sum(view->account.back);
    }
}

typedef enum err view_each(void *context, const struct letter_volume *volume,
                           const struct letter_entry *entry, enum letter_state state);

/* Calls `each` for the letters of one file that are not gone. */
static enum err
view_walk_volume(const struct letters_view *view, const struct letter_volume *v, view_each *each,
                 void *context, struct why *why)
{
    char name[LETTER_FILE_NAME_BYTES], path[PATH_BYTES];
    struct letter_scan scan;
    const struct letter_entry *entry;
    letter_file_name(v->number, name);
    enum err e = path_in(path, sizeof path, view->path, name, why);
    if (e) return e;
    e = letter_scan_open(&scan, view->env, path, view->memory, why);
    if (e) return e == ERR_MISSING ? OK : e; /* all of its letters were decided about meanwhile */
    letter_scan_seek(&scan, LETTER_FILE_HEADER_BYTES, v->whole_bytes);
    enum err said = OK;
    while (said == OK && (e = letter_scan_next(&scan, &entry, why)) == OK) {
        if (entry->type != ENTRY_LETTER) continue;
        /* The state of the letter after the pending requests. */
        enum letter_state state = letter_volume_state(v, entry->number);
        for (uint32_t i = 0; i < view->requests.count && state == LETTER_KEPT; i++) {
            const struct letter_request *r = &view->requests.items[i];
            if (!letter_request_means(r, v->number, entry->offset, entry->letter.reason)) continue;
            state = r->wish == DEAD_LETTERS_DROP ? LETTER_GONE : LETTER_REPLAYING;
        }
        if (state != LETTER_GONE) said = each(context, v, entry, state);
    }
    letter_scan_close(&scan);
    return said ? said : e == ERR_MISSING ? OK : e;
}

static enum err
view_walk(const struct letters_view *view, view_each *each, void *context, struct why *why)
{
    for (uint32_t i = 0; i < view->index.count; i++) {
        const struct letter_volume *v = &view->index.volumes[i];
        if (letter_volume_live(v) == 0) continue;
        enum err e = view_walk_volume(view, v, each, context, why);
        if (e) return e;
    }
    return OK;
}

/* --- listing letters -------------------------------------------------------------------------- */

struct letter_sink {
    enum err (*each)(void *context, const struct dead_letter *letter, enum dead_letter_state state);
    void *context;
};

static enum err
give_letter(void *context, const struct letter_volume *v, const struct letter_entry *entry,
            enum letter_state state)
{
    const struct letter_sink *t = context;
    (void)v;
    return t->each(t->context, &entry->letter,
                   state == LETTER_KEPT ? DEAD_LETTER_KEPT : DEAD_LETTER_REPLAYING);
}

enum err
dead_letters_each(struct env *env, const char *dir, struct budget *memory,
                  enum err (*each)(void *context, const struct dead_letter *letter,
                                   enum dead_letter_state state),
                  void *context, struct dead_letters_report *ret_report, struct why *why)
{
    struct letters_view view;
    struct letter_sink sink = {each, context};
    enum err e = letters_view_open(&view, env, dir, memory, why);
    if (e) return e;
    e = view_walk(&view, give_letter, &sink, why);
    if (e == OK) view_report(&view, ret_report);
    letters_view_close(&view);
    return e;
}

/* --- requests --------------------------------------------------------------------------------- */

struct counting {
    const struct letter_request *request;
    uint64_t count;
};

static enum err
count_meant(void *context, const struct letter_volume *v, const struct letter_entry *entry,
            enum letter_state state)
{
    struct counting *c = context;
    c->count += state == LETTER_KEPT &&
                letter_request_means(c->request, v->number, entry->offset, entry->letter.reason);
    return OK;
}

/*
 * Makes the letters that the request selects durable: if a power loss removed the end of the file,
 * the relay would write other letters to the same offsets.
 */
static enum err
make_durable(const struct letters_view *view, const struct letter_volume *v, struct why *why)
{
    char name[LETTER_FILE_NAME_BYTES], path[PATH_BYTES];
    struct file file;
    letter_file_name(v->number, name);
    enum err e = path_in(path, sizeof path, view->path, name, why);
    if (e) return e;
    e = file_open(view->env, path, FILE_READ, &file, why);
    if (e) return e == ERR_MISSING ? OK : e; /* a newer file was begun, and this one removed */
    e = file_datasync(&file, why);
    err_ignore(file_close(&file), "only read");
    return e;
}

enum err
dead_letters_request(struct env *env, const char *dir, struct budget *memory,
                     enum dead_letters_wish wish, const char *reason, uint64_t *ret_count,
                     struct dead_letters_report *ret_report, struct why *why)
{
    struct letters_view view;
    struct letter_request request = {.wish = wish};
    struct counting counting = {&request, 0};
    if (reason != NULL && strlen(reason) >= sizeof request.reason) {
        return why_set(why, ERR_INPUT, "the reason is too long");
    }
    if (reason != NULL) memcpy(request.reason, reason, strlen(reason));
    struct file lock;
    enum err e = command_lock(env, dir, &lock, why);
    if (e) return e;
    e = letters_view_open(&view, env, dir, memory, why);
    if (e) {
        err_ignore(file_close(&lock), "nothing was written");
        return e;
    }
    view_report(&view, ret_report);
    const struct letter_volume *newest = letter_index_newest(&view.index);
    if (newest == NULL) {
        e = why_set(why, ERR_MISSING, "%s: no dead letters", view.path);
        goto out;
    }
    request.file = newest->number;
    request.offset = (uint32_t)newest->whole_bytes;
    e = view_walk(&view, count_meant, &counting, why);
    if (e) goto out;
    if (counting.count > 0 && view.requests.count == LETTER_REQUESTS_MAX) {
        e = why_set(why, ERR_LIMIT, "%s: too many requests wait for the destination, retry later",
                    view.path);
        goto out;
    }
    if (counting.count > 0) e = make_durable(&view, newest, why);
    if (e == OK && counting.count > 0) e = letter_request_write(env, view.path, &request, why);
    if (e == OK) *ret_count = counting.count;
out:
    letters_view_close(&view);
    err_ignore(file_close(&lock), "nothing was written");
    return e;
}
