/*
 * check_against.c - `firekeep check FILE --against DIR|URL`: reports what a configuration file
 * would change about a server's destinations.
 *
 * A running server returns its destinations, the backlog of each, and its configuration, which has
 * their addresses; it also reads the directories of destinations that are not open, as this file
 * does for a stopped server (closed_destinations.h). A storage directory has the states and dead
 * letters of all destinations that ever existed; of their settings, a state holds type and place.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "base/version.h"
#include "cli/check.h"
#include "cli/cli.h"
#include "cli/lib/client_access.h"
#include "cli/lib/query_answer.h"
#include "cli/rules/check_rules.h"
#include "config/lists/destinations.h"
#include "model/storage_layout.h"
#include "net/http_client.h"
#include "relay/operate/backlog.h"

enum { PATH_BYTES = 256, URL_BYTES = 1024, ANSWER_BYTES_MAX = 8 * 1024 * 1024 };
#define MEMORY_BYTES_MAX ((uint64_t)512 << 20)

/* A destination of the server. */
struct present {
    char name[DESTINATION_NAME_BYTES_MAX + 1];
    struct relay_backlog waits; /* a running server counts metadata entries in `exemplars`, too */
    bool at_most;               /* `waits` includes samples that may have been delivered */
    bool dry_run_known;
    bool dry_run;
    bool open; /* a running server has it open, so its counts are exact */
};

struct checking {
    const struct destinations *list; /* from the file */
    const char *against;             /* without user and password */
    struct client_access *access;    /* to a running server */
    const char *const *headers;
    bool running;               /* `against` is a running server, not a directory */
    bool stored;                /* with the file, a store keeps samples besides the log */
    bool was_stored;            /* the same with the server's configuration, or as its parts show */
    bool was_known;             /* false: `was_stored` is not known */
    char storage[PATH_BYTES];   /* the server's directory, for messages */
    struct rule_settings rules; /* rules of the server */
    struct alerting alerting;
    bool rules_known;
    struct budget memory;
    struct present *present;
    uint32_t count, capacity;
    bool backlog;
    uint32_t said;
};

static struct present *
find_present(const struct checking *x, const char *name)
{
    for (uint32_t i = 0; i < x->count; i++) {
        if (strcmp(x->present[i].name, name) == 0) return &x->present[i];
    }
    return NULL;
}

static enum err
add_present(struct checking *x, const struct present *p)
{
    if (!array_reserve(&x->memory, &x->present, &x->capacity, x->count + 1)) return ERR_NOMEM;
    x->present[x->count++] = *p;
    return OK;
}

/* --- backlogs in directories ------------------------------------------------------------------ */

/* Adds a backlog that was read from a directory. The server's own count is better; if the server
 * has none, its reason stays. */
static enum err
note_backlog(struct checking *x, const char *name, const struct relay_backlog *b)
{
    struct present *closed = find_present(x, name);
    if (closed != NULL && closed->open) return OK;
    struct present p = {
        .waits = *b,
        .at_most = true,
        .dry_run_known = b->destination_known, /* a dry run keeps no state */
    };
    snprintf(p.name, sizeof p.name, "%s", name);
    if (b->filling) {
        p.waits.queued_known = false;
        snprintf(p.waits.unreadable.text, sizeof p.waits.unreadable.text,
                 "it was reading stored samples; how many are left is not known");
    }
    if (closed == NULL) return add_present(x, &p);
    p.waits.type = closed->waits.type;
    if (b->condition == BACKLOG_FILE) p.waits.condition = BACKLOG_BLOCKED; /* the server has it */
    if (p.waits.unreadable.text[0] == '\0') p.waits.unreadable = closed->waits.unreadable;
    *closed = p;
    return OK;
}

/* --- a directory ------------------------------------------------------------------------------ */

struct reading_directory {
    struct checking *x;
    struct backlog_options options;
};

static enum err
note_directory(void *context, const char *name, const struct relay_backlog *found)
{
    struct reading_directory *r = context;
    struct relay_backlog b = *found;
    uint64_t all = UINT64_MAX;
    if (destinations_find(r->x->list, name) == NULL && !relay_backlog_is_blocked(&b)) {
        relay_backlog_count_letters(&r->options, name, &all, &b);
    }
    return note_backlog(r->x, name, &b);
}

static enum err
note_nothing(void *context, const char *name, bool is_dir)
{
    (void)is_dir;
    *(bool *)context |= strcmp(name, "FORMAT") == 0;
    return OK;
}

static enum err
note_part(void *context, const char *name, bool is_dir)
{
    struct checking *x = context;
    x->was_stored |= is_dir && name[0] != '.';
    return OK;
}

static enum err
read_directory(struct checking *x, const struct settings *settings, struct why *why)
{
    char dir[PATH_BYTES], log_dir[PATH_BYTES], parts_dir[PATH_BYTES];
    bool is_one = false;
    struct reading_directory reading = {.x = x};
    reading.options = (struct backlog_options){
        .env = env_real(),
        .dir = dir,
        .log_dir = log_dir,
        .memory = &x->memory,
        .files = true,
        .each = note_directory,
        .context = &reading,
    };
    x->stored = settings->storage_mode == STORAGE_LOCAL;
    enum err e = path_join(dir, sizeof dir, x->against, STORAGE_RELAY);
    if (e == OK) e = path_join(log_dir, sizeof log_dir, x->against, STORAGE_LOG);
    if (e == OK) e = path_join(parts_dir, sizeof parts_dir, x->against, STORAGE_PARTS);
    if (e || strlen(x->against) >= sizeof x->storage) {
        return why_set(why, ERR_LIMIT, "%.200s: path is too long", x->against);
    }
    memcpy(x->storage, x->against, strlen(x->against) + 1);
    e = storage_check_restored(env_real(), x->against, why);
    if (e == OK) e = env_listdir(env_real(), x->against, note_nothing, &is_one, why);
    if (e) return e;
    if (!is_one) {
        return why_set(why, ERR_MISSING,
                       "%s is not a Firekeep storage directory: it has no file FORMAT", x->against);
    }
    e = destinations_check(x->list, x->against, why);
    if (e == OK) {
        e = env_listdir(env_real(), parts_dir, note_part, x, why);
        if (e == ERR_MISSING) e = OK;
    }
    x->was_known = x->was_stored; /* a directory without parts may have either mode */
    return e ? e : relay_backlogs(&reading.options, why);
}

/* --- a server --------------------------------------------------------------------------------- */

/* Fetches a page of the API and returns its "data": given, for json_decref(). */
static enum err
fetch_data(struct checking *x, struct http_client *client, const char *page, json_t **ret_whole,
           json_t **ret_data, struct why *why)
{
    char url[URL_BYTES];
    struct buf text;
    const char *base = client_access_url(x->access);
    int n = snprintf(url, sizeof url, "%s/api/v1/status/%s", base, page);
    if (n >= (int)sizeof url) return why_set(why, ERR_INPUT, "--against: URL is too long");
    buf_init(&text, &x->memory, ANSWER_BYTES_MAX);
    struct http_client_request request = {.url = url, .headers = x->headers};
    struct http_client_answer answer = {.status = 0};
    enum err e = http_client_fetch(client, &request, &text, &answer, why);
    if (e == OK && answer.status != 200) {
        e = why_set(why, ERR_UNSUPPORTED, "%s: status %u: %s", url, answer.status,
                    query_answer_sentence(&answer).text);
    }
    if (e == OK) {
        json_t *whole = json_loadb((const char *)text.at, text.size, JSON_REJECT_DUPLICATES, NULL);
        *ret_data = json_object_get(whole, "data");
        *ret_whole = whole;
        if (*ret_data == NULL) {
            json_decref(whole);
            e = why_set(why, ERR_UNSUPPORTED, "%s: the response is not from Firekeep", url);
        }
    }
    buf_fini(&text);
    return e;
}

static uint64_t
json_number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) && json_integer_value(value) > 0
               ? (uint64_t)json_integer_value(value)
               : 0;
}

/* Replaces control characters: foreign text is shown on a terminal. */
static void
mask_controls(char *text)
{
    for (size_t step, left = strlen(text); left > 0; text += step, left -= step) {
        step = utf8_plain((const uint8_t *)text, left);
        if (step > 0) continue;
        *text = ' ';
        step = 1;
    }
}

static const char *
json_text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static void
note_counts(const json_t *one, struct present *p)
{
    struct relay_backlog *b = &p->waits;
    static const char *const others[] = {"exemplars", "metadata"};
    const json_t *samples = json_object_get(one, "samples");
    b->letters_known = b->queued_known = json_is_object(samples);
    b->samples = json_number_of(samples, "queued");
    b->letters = json_number_of(samples, "deadLettered");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const json_t *fates = json_object_get(one, others[i]);
        b->exemplars += json_number_of(fates, "queued");
        b->letters += json_number_of(fates, "deadLettered");
    }
    b->log_bytes = json_number_of(one, "lagBytes");
    p->open = strcmp(json_text_of(one, "state"), "closed") != 0;
    if (p->open) return;
    b->queued_known = false;
    snprintf(b->unreadable.text, sizeof b->unreadable.text, "the destination is closed: %s",
             json_text_of(one, "lastError"));
    mask_controls(b->unreadable.text);
}

static enum err
note_status(struct checking *x, const json_t *data, struct why *why)
{
    if (!json_is_array(data)) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: invalid response from /api/v1/status/destinations: expected a list",
                       x->against);
    }
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *one = json_array_get(data, i);
        struct present p = {.waits.type =
                                destination_type_of(bytes_of_text(json_text_of(one, "type")))};
        int size = snprintf(p.name, sizeof p.name, "%s", json_text_of(one, "name"));
        if (size <= 0 || size >= (int)sizeof p.name) {
            return why_set(why, ERR_UNSUPPORTED,
                           "%s: invalid response from /api/v1/status/destinations: expected "
                           "destinations with names",
                           x->against);
        }
        mask_controls(p.name);
        note_counts(one, &p);
        enum err e = add_present(x, &p);
        if (e) return e;
    }
    return OK;
}

/* Notes destinations that are not configured any more, or not open. */
static enum err
note_closed_destinations(struct checking *x, const json_t *data, struct why *why)
{
    char name[DESTINATION_NAME_BYTES_MAX + 1];
    struct relay_backlog b;
    enum err e = json_is_array(data) ? OK : ERR_UNSUPPORTED;
    for (size_t i = 0; i < json_array_size(data) && e == OK; i++) {
        e = relay_backlog_take(json_array_get(data, i), name, &b);
        if (e) break;
        mask_controls(name);
        mask_controls(b.unreadable.text);
        mask_controls(b.letters_problem.text);
        e = note_backlog(x, name, &b);
    }
    if (e != ERR_UNSUPPORTED) return e;
    return why_set(why, e,
                   "%s: invalid response from /api/v1/status/remembered; the server may run "
                   "another version of Firekeep",
                   x->against);
}

/* Notes the targets and remembered places of destinations. Another version may have unknown
 * keys; then renamed destinations cannot be found. */
static enum err
note_config(struct checking *x, const json_t *data, struct why *why)
{
    (void)why;
    struct settings settings;
    struct destinations list = {NULL};
    struct bytes yaml = bytes_of_text(json_text_of(data, "yaml"));
    settings_default(&settings);
    enum err e = settings_yaml(&settings, "config", yaml, NULL);
    if (e == OK) {
        x->was_stored = settings.storage_mode == STORAGE_LOCAL;
        x->was_known = true;
        snprintf(x->storage, sizeof x->storage, "%s", settings.storage_path);
        mask_controls(x->storage);
        x->rules_known = rule_settings_yaml("config", yaml, &settings, &x->rules, NULL) == OK &&
                         alerting_yaml("config", yaml, &settings, &x->alerting, NULL) == OK;
        e = destinations_yaml("config", yaml, &settings, &list, NULL);
    }
    for (struct present *p = x->present; e == OK && p < x->present + x->count; p++) {
        const struct destination_settings *d = destinations_find(&list, p->name);
        if (d == NULL) continue;
        p->waits.destination_known = p->waits.selection_known = p->dry_run_known = true;
        p->waits.place = destination_place_hash(d);
        p->waits.selection = destination_selection_hash(d);
        p->dry_run = d->dry_run;
    }
    destinations_free(&list);
    return OK;
}

static enum err
read_server(struct checking *x, const struct settings *settings, const char *http_config_file,
            struct why *why)
{
    const struct client_access_options reach = {"--against", x->against, http_config_file};
    struct http_client_options options = {.env = env_real(),
                                          .user_agent = "firekeep/" FIREKEEP_VERSION,
                                          .connect_timeout_ns = 10 * NS_PER_S,
                                          .idle_timeout_ns = 30 * NS_PER_S,
                                          .request_timeout_ns = 60 * NS_PER_S};
    static const struct {
        const char *name;
        enum err (*note)(struct checking *x, const json_t *data, struct why *why);
    } pages[] = {{"destinations", note_status},
                 {"remembered", note_closed_destinations},
                 {"config", note_config}};
    struct http_client *client = NULL;
    x->stored = settings->storage_mode == STORAGE_LOCAL;
    snprintf(x->storage, sizeof x->storage, "DIR");
    enum err e = client_access_new(&reach, &x->access, why);
    if (e == OK) x->against = client_access_name(x->access);
    if (e == OK) e = client_access_headers(x->access, &x->headers, why);
    if (e == OK) client_access_http(x->access, &options);
    if (e == OK) e = http_client_new(&options, &client, why);
    for (size_t i = 0; i < sizeof pages / sizeof *pages && e == OK; i++) {
        json_t *whole = NULL, *data = NULL;
        e = fetch_data(x, client, pages[i].name, &whole, &data, why);
        if (e) break;
        e = pages[i].note(x, data, why);
        json_decref(whole);
    }
    http_client_free(client);
    return e;
}

/* --- the report ------------------------------------------------------------------------------- */

/* Prints the backlog. */
static void
print_backlog(const struct present *p)
{
    const struct relay_backlog *b = &p->waits;
    if (b->queued_known) {
        printf("%s%" PRIu64 " sample%s", p->at_most && b->samples > 0 ? "at most " : "", b->samples,
               plural(b->samples));
        if (b->exemplars > 0)
            printf(" and %" PRIu64 " exemplars or metadata entries", b->exemplars);
        printf(" queued, %" PRIu64 " bytes of log", b->log_bytes);
    } else {
        printf("an unknown number of samples queued");
    }
    const struct own_files_backlog *own = &b->own_files;
    if (own->objects > 0) {
        printf(", of these %" PRIu64 " object%s (%" PRIu64 " bytes) waiting for upload",
               own->objects, plural(own->objects), own->object_bytes);
    }
    if (own->files > 0) {
        printf(", %" PRIu64 " unfinished .tmp file%s (%" PRIu64 " bytes)", own->files,
               plural(own->files), own->file_bytes);
    }
    if (b->letters_known)
        printf(", %" PRIu64 " dead letter%s", b->letters, plural(b->letters));
    else
        printf(", an unknown number of dead letters");
    if (b->letters_problem.text[0] != '\0') printf(" (%s)", b->letters_problem.text);
    if (b->unreadable.text[0] != '\0') printf(" (%s)", b->unreadable.text);
}

static const char *
then(const struct checking *x, const struct present *p)
{
    const struct relay_backlog *b = &p->waits;
    if (relay_backlog_is_blocked(b))
        return "when configured again, it stays closed until this can be read";
    if (b->condition == BACKLOG_CLOSED) {
        return "when configured again, it stays closed until firekeep destinations reset sets its "
               "position";
    }
    return relay_backlog_fate(x->stored, b->gone);
}

/* Also prints new destinations with the same target, which may be a renaming; if the target is
 * not known, those of the same type. */
static void
report_removed(struct checking *x, const struct present *p)
{
    const struct relay_backlog *b = &p->waits;
    if (b->condition == BACKLOG_FILE) return;
    x->said++;
    printf("destination %s: not in the file: ", p->name);
    if (relay_backlog_is_none(&p->waits)) {
        printf("nothing is queued for it\n");
    } else {
        x->backlog = true;
        print_backlog(p);
        printf("; consequence: %s\n", then(x, p));
    }
    for (uint32_t i = 0; i < x->list->count; i++) {
        const struct destination_settings *d = &x->list->items[i];
        if (find_present(x, d->name) != NULL) continue;
        if (b->destination_known && b->place != destination_place_hash(d)) continue;
        if (!b->destination_known && b->type != DESTINATION_TYPE_COUNT && b->type != d->type)
            continue;
        printf("destination %s: %s is new and %s; to rename without loss: stop the server, mv "
               "%s/relay/%s %s/relay/%s, start it with this file\n",
               p->name, d->name,
               b->destination_known ? "writes to the same target" : "may be its new name",
               x->storage, p->name, x->storage, d->name);
    }
}

/* Begins a line about a destination that stays. */
static void
say_changed(struct checking *x, const struct present *p)
{
    x->said++;
    printf("destination %s: ", p->name);
}

static void
report_changed(struct checking *x, const struct present *p, const struct destination_settings *d)
{
    const struct relay_backlog *b = &p->waits;
    static const char elsewhere[] = "continues at its current position; queued samples go there, "
                                    "delivered ones do not";
    if (relay_backlog_is_blocked(b)) {
        say_changed(x, p);
        x->backlog = true;
        printf("stays closed until this is fixed: %s\n", b->unreadable.text);
        return;
    }
    if (b->type != DESTINATION_TYPE_COUNT && b->type != d->type) {
        say_changed(x, p);
        printf("becomes %s, was %s: %s\n", destination_type_word(d->type),
               destination_type_word(b->type), elsewhere);
    } else if (b->destination_known && b->place != destination_place_hash(d)) {
        say_changed(x, p);
        printf("writes to another target: %s\n", elsewhere);
    }
    bool waits = !b->queued_known || b->samples > 0 || b->exemplars > 0;
    if (b->selection_known && b->selection != destination_selection_hash(d) && waits) {
        x->backlog = true;
        say_changed(x, p);
        printf("selects or relabels differently, queued samples too; those no longer selected are "
               "not delivered: ");
        print_backlog(p);
        printf("\n");
    }
    if (p->dry_run_known && !p->dry_run && d->dry_run) {
        say_changed(x, p);
        printf("becomes a dry run: nothing is delivered, queued samples wait in the log until "
               "dry_run is false: ");
        print_backlog(p);
        printf("\n");
    }
}

static void
report_new(struct checking *x, const struct destination_settings *d)
{
    char text[TIME_TEXT_BYTES];
    x->said++;
    printf("destination %s: new, starts with ", d->name);
    if (d->start == START_NOW)
        printf("samples received after it is configured");
    else if (d->start == START_TIME)
        printf("the samples of %s and later", time_print(d->start_ms, text));
    else
        printf("the oldest sample in %s", x->stored ? "the store and the log" : "the log");
    printf("\n");
}

/* A reload cannot change the mode, and a server with stored parts does not start without a
 * store. */
static void
report_mode(struct checking *x)
{
    if (!x->was_known || x->was_stored == x->stored) return;
    x->said++;
    printf("storage.mode: the file says %s, %s: ", x->stored ? "local" : "none",
           !x->running     ? "the directory holds stored samples (parts)"
           : x->was_stored ? "the server has local"
                           : "the server has none");
    if (x->stored) {
        printf("takes effect after a restart\n");
        return;
    }
    x->backlog = true;
    printf("%sa server with stored parts does not start with it; without parts, the log is removed "
           "once all destinations of the file have taken it\n",
           x->running ? "a reload refuses it, and " : "");
}

enum err
check_against(const struct settings *settings, const struct config_lists *file, const char *against,
              const char *http_config_file, bool *ret_backlog, struct why *why)
{
    const struct destinations *list = &file->destinations;
    struct checking x = {.list = list, .against = against};
    x.running = client_url_is(against);
    budget_init(&x.memory, "check", MEMORY_BYTES_MAX, NULL);
    enum err e = x.running ? read_server(&x, settings, http_config_file, why)
                           : read_directory(&x, settings, why);
    if (e == OK) report_mode(&x);
    for (uint32_t i = 0; i < x.count && e == OK; i++) {
        const struct destination_settings *d = destinations_find(list, x.present[i].name);
        if (d == NULL)
            report_removed(&x, &x.present[i]);
        else
            report_changed(&x, &x.present[i], d);
    }
    for (uint32_t i = 0; i < list->count && e == OK; i++) {
        if (find_present(&x, list->items[i].name) == NULL) report_new(&x, &list->items[i]);
    }
    if (e == OK && x.said == 0) printf("no destination is added, removed or changed\n");
    if (e == OK && x.rules_known) check_rules_against(file, &x.rules, &x.alerting);
    client_access_free(x.access);
    rule_settings_free(&x.rules);
    alerting_free(&x.alerting);
    array_free(&x.memory, x.present, x.capacity);
    *ret_backlog = x.backlog;
    return e;
}
