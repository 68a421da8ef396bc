/*
 * destination_answers.c - see relays.h. The work is done by relay/operate; this file
 * finds the destination's settings and writes results as JSON.
 *
 * Invariants of a list of dead letters:
 *  1. Each of its reasons, at most REASONS_MAX, has a letter, and no two have the same text.
 *  2. A reason has at most as many samples as letters, and `first_ms` <= `last_ms`.
 */
#include "app/destinations/relays.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/text/hex.h"
#include "base/text/time_text.h"
#include "base/version.h"
#include "config/lists/lists.h"
#include "model/labels.h"
#include "model/storage_layout.h"
#include "relay/letters/letters.h"
#include "relay/operate/operate.h"
#include "relay/state/state.h"
#include "wire/number.h"

enum {
    REASONS_MAX = 64,
    REASON_BYTES = 64,
    SAMPLES_PER_REASON = 3,
    SAMPLE_BYTES_MAX = 1 << 20,
    SERIES_BYTES_MAX = 4096,
    ANSWER_BYTES = 512,
    LIST_BYTES_MAX = 4 * 1024 * 1024, /* as much as an answer of the API may have */
    COMMAND_MS = 30 * 1000,           /* how long a request about dead letters may wait */
    COMMAND_POLL_MS = 10,
};

/* A test keeps its files in a directory of this name and a random text, beside those of
 * destinations, whose names do not begin with a dot. */
static const char test_prefix[] = ".test-";

static void
member_time(struct json *to, const char *key, int64_t t_ms)
{
    char text[TIME_TEXT_BYTES];
    json_member_text(to, key, time_print(t_ms, text));
}

/* --- dead letters ----------------------------------------------------------------------------- */

struct letter_reason {
    char reason[REASON_BYTES]; /* cut to its beginning */
    uint64_t kept, replaying;
    int64_t first_ms, last_ms;
    char answer[ANSWER_BYTES]; /* the answer to the last one */
    uint32_t sample_count;
    struct bytes samples[SAMPLES_PER_REASON]; /* JSON */
};

struct reason_list {
    struct budget *memory;
    struct arena arena; /* has the reasons and samples */
    const char *only;   /* this reason only; NULL: all */
    struct letter_reason *reasons;
    uint32_t count;
    uint64_t others; /* letters whose reason had no room */
};

static struct letter_reason *
find_reason(struct reason_list *list, struct bytes word)
{
    char text[REASON_BYTES];
    snprintf(text, sizeof text, "%.*s", (int)word.size, (const char *)word.at);
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->reasons[i].reason, text) == 0) return &list->reasons[i];
    assert(list->count <= REASONS_MAX); /* invariant 1 */
    if (list->count == REASONS_MAX) return NULL;
    struct letter_reason *r = &list->reasons[list->count++];
    memcpy(r->reason, text, sizeof text);
    r->first_ms = INT64_MAX;
    r->last_ms = INT64_MIN;
    return r;
}

static void
print_value(struct json *to, const struct item *item)
{
    char text[NUMBER_TEXT_BYTES];
    if (item->kind == ITEM_HISTOGRAM || item->kind == ITEM_METADATA) return;
    json_key(to, "value");
    json_put_bytes(to, bytes_of(text, number_print_exact(item->bits, text)));
}

static void
print_sample(struct json *to, const struct dead_letter *letter, struct buf *scratch)
{
    const struct item *item = &letter->item;
    json_object_open(to);
    json_members(to, JSON("tenant", item->tenant), JSON("kind", item_kind_word(item->kind)));
    buf_clear(scratch);
    if (item->kind == ITEM_METADATA)
        buf_put_bytes(scratch, item->family);
    else
        labels_print_selector(scratch, item->labels);
    struct bytes series = buf_bytes(scratch);
    if (series.size > SERIES_BYTES_MAX) series.size = SERIES_BYTES_MAX;
    json_member_bytes(to, "series", series);
    if (item->kind != ITEM_METADATA) member_time(to, "time", item->t_ms);
    print_value(to, item);
    json_member_bytes(to, "answer", letter->answer);
    json_object_close(to);
}

static enum err
keep_sample(struct reason_list *list, struct letter_reason *r, const struct dead_letter *letter)
{
    struct buf scratch, text;
    struct json j;
    buf_init(&scratch, list->memory, SAMPLE_BYTES_MAX);
    buf_init(&text, list->memory, SAMPLE_BYTES_MAX);
    json_init(&j, &text);
    print_sample(&j, letter, &scratch);
    enum err e = err_first(buf_error(&scratch), buf_error(&text));
    assert(r->sample_count < r->kept + r->replaying); /* invariant 2 */
    if (e == OK) {
        struct bytes *sample = &r->samples[r->sample_count];
        *sample = arena_copy(&list->arena, buf_bytes(&text));
        if (sample->at == NULL) e = ERR_NOMEM;
        r->sample_count += sample->at != NULL;
    }
    buf_fini(&text);
    buf_fini(&scratch);
    return e == ERR_LIMIT ? OK : e;
}

static enum err
note_letter(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    struct reason_list *list = context;
    (void)line;
    if (list->only != NULL && !bytes_equal_text(letter->reason, list->only)) return OK;
    struct letter_reason *r = find_reason(list, letter->reason);
    if (r == NULL) {
        list->others++;
        return OK;
    }
    r->kept += !again;
    r->replaying += again;
    if (letter->failed_ms < r->first_ms) r->first_ms = letter->failed_ms;
    if (letter->failed_ms > r->last_ms) r->last_ms = letter->failed_ms;
    snprintf(r->answer, sizeof r->answer, "%.*s", (int)letter->answer.size,
             (const char *)letter->answer.at);
    return r->sample_count < SAMPLES_PER_REASON ? keep_sample(list, r, letter) : OK;
}

static void
print_reason(struct json *to, const struct letter_reason *r)
{
    assert(r->kept + r->replaying > 0); /* invariant 1 */
    assert(r->first_ms <= r->last_ms);  /* invariant 2 */
    json_object_open(to);
    json_members(to, JSON("reason", r->reason), JSON("kept", r->kept),
                 JSON("replaying", r->replaying));
    member_time(to, "first", r->first_ms);
    member_time(to, "last", r->last_ms);
    json_member_text(to, "answer", r->answer);
    json_member_array(to, "samples");
    for (uint32_t i = 0; i < r->sample_count; i++)
        json_put_raw(to, r->samples[i]);
    json_array_close(to);
    json_object_close(to);
}

static enum err
list_letters(const struct destination_answers_options *o, const char *dir,
             const struct destination_question *q, struct json *to, struct why *why)
{
    struct reason_list list = {.memory = q->memory, .only = q->reason};
    struct dead_letters_report *report = mem_new(q->memory, sizeof *report);
    arena_init(&list.arena, q->memory, LIST_BYTES_MAX, 0);
    list.reasons = arena_new(&list.arena, REASONS_MAX * sizeof *list.reasons);
    enum err e = OK;
    if (report == NULL || list.reasons == NULL)
        e = why_set(why, ERR_NOMEM, "not enough memory for the dead letters");
    if (e == OK) e = dead_letters_each(o->env, dir, q->memory, note_letter, &list, report, why);
    if (e == ERR_MISSING) e = OK; /* it never had any */
    if (e == OK) {
        json_object_open(to);
        json_member_array(to, "reasons");
        for (uint32_t i = 0; i < list.count; i++)
            print_reason(to, &list.reasons[i]);
        json_array_close(to);
        json_members(to, JSON("others", list.others), JSON("lost", report->lost),
                     JSON("damage", report->text));
        json_object_close(to);
    }
    arena_fini(&list.arena);
    mem_free(q->memory, report, sizeof *report);
    return e;
}

/* Asks the destination's thread, and waits until its decision is durable. */
static enum err
command_letters(const struct destination_answers_options *o, const struct destination_question *q,
                struct json *to, struct why *why)
{
    uint64_t count = 0, number;
    bool done = false, drop = q->ask == DESTINATION_LETTERS_DROP;
    int64_t end_ns = env_monotonic_ns(o->env) + COMMAND_MS * NS_PER_MS;
    enum err e = relays_letters_want(o->relays, q->name, drop, &number, why);
    while (e == OK && !done) {
        e = relays_letters_done(o->relays, q->name, number, &done, &count, why);
        if (e || done) break;
        if (atomic_load(q->stop)) return why_set(why, ERR_CANCELED, "the server stops");
        if (env_monotonic_ns(o->env) > end_ns) {
            return why_set(why, ERR_AGAIN,
                           "the destination has not carried out the request so far; see its "
                           "lastError in /api/v1/status/destinations");
        }
        env_sleep(o->env, COMMAND_POLL_MS * NS_PER_MS);
    }
    if (e) return e;
    json_put_object(to, JSON("letters", count));
    return OK;
}

/* --- a test ----------------------------------------------------------------------------------- */

static void
print_finding(void *context, const struct trial_finding *f)
{
    struct json *to = context;
    json_put_object(to, JSON("what", f->what), JSON("ok", f->ok), JSON("reason", f->reason),
                    JSON("said", f->said), JSON("advice", f->advice));
}

static enum err
test_it(const struct destination_answers_options *o, const struct destination_question *q,
        const struct destination_settings *given, struct json *to, struct why *why)
{
    struct env *env = o->env;
    struct destination_settings settings = *given;
    char dir[RELAY_DIR_BYTES],
        instance[33] = ""; /* random, so that objects collide with no others */
    uint8_t random[16];
    uint32_t failed = 0;
    settings.dry_run = false;
    enum err e = env_random(env, random, sizeof random);
    if (e) return why_set(why, e, "cannot get random numbers");
    hex_print(bytes_of(random, sizeof random), instance);
    int size = snprintf(dir, sizeof dir, "%s/" STORAGE_RELAY "/%s%s", o->storage_path, test_prefix,
                        instance);
    if (size < 0 || size >= (int)sizeof dir)
        return why_set(why, ERR_LIMIT, "--storage.path: path is too long");
    e = env_mkdir(env, dir, why);
    if (e) return e;
    const struct trial_options options = {
        .env = env,
        .memory = q->memory,
        .settings = &settings,
        .writer = writer_class_of(settings.type),
        .dir = dir,
        .instance = instance,
        .user_agent = "Firekeep/" FIREKEEP_VERSION,
        .write = q->write,
        .stop = q->stop,
        .each = print_finding,
        .context = to,
    };
    json_object_open(to);
    json_member_array(to, "findings");
    e = trial_run(&options, &failed, why);
    json_array_close(to);
    json_member_bool(to, "ok", e == OK && failed == 0);
    json_object_close(to);
    err_ignore(env_remove_tree(env, dir, NULL), "it is a temporary one");
    return e;
}

/* The context of sweep_one(). */
struct test_sweep {
    struct env *env;
    const char *dir;
};

static enum err
sweep_one(void *context, const char *name, bool is_dir)
{
    const struct test_sweep *sweep = context;
    char path[RELAY_DIR_BYTES];
    if (!is_dir || strncmp(name, test_prefix, sizeof test_prefix - 1) != 0) return OK;
    enum err e = path_join(path, sizeof path, sweep->dir, name);
    return e ? e : env_remove_tree(sweep->env, path, NULL);
}

enum err
destination_tests_sweep(struct env *env, const char *storage_path, struct why *why)
{
    char dir[RELAY_DIR_BYTES];
    struct test_sweep sweep = {env, dir};
    enum err e = path_join(dir, sizeof dir, storage_path, STORAGE_RELAY);
    if (e == OK) e = env_listdir(env, dir, sweep_one, &sweep, why);
    return e == ERR_MISSING ? OK : e;
}

/* --- all -------------------------------------------------------------------------------------- */

enum err
destination_answer(const struct destination_answers_options *o,
                   const struct destination_question *q, struct json *to, struct why *why)
{
    struct destinations *all = relays_borrow(o->relays);
    const struct destination_settings *settings = NULL;
    char dir[RELAY_DIR_BYTES];
    for (uint32_t i = 0; i < all->count && settings == NULL; i++)
        if (bytes_equal_text(q->name, all->items[i].name)) settings = &all->items[i];
    enum err e = settings == NULL ? why_set(why, ERR_MISSING, "destination not found") : OK;
    if (e == OK && storage_relay_path(dir, sizeof dir, o->storage_path, settings->name) != OK)
        e = why_set(why, ERR_LIMIT, "--storage.path: path is too long");
    if (e == OK && q->ask == DESTINATION_TEST)
        e = test_it(o, q, settings, to, why);
    else if (e == OK && q->ask == DESTINATION_LETTERS)
        e = list_letters(o, dir, q, to, why);
    else if (e == OK)
        e = command_letters(o, q, to, why);
    relays_return(all);
    return e;
}
