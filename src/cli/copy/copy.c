/*
 * copy.c - `firekeep copy FROM TO`: copies samples from one place to another in slices of time, and
 * then verifies that all of them arrived.
 *
 *     reading (a source, a server, a directory) -> batch -> target (a destination, a directory)
 *     then, for each slice: counts and checksums of both; differing slices are copied again
 *
 * A copied slice is durable, at the target or in the log of the destination's relay
 * (target_destination.c), before the state says so: a copy that was killed continues after the last
 * one. Repeated samples are duplicates to the target, which is harmless.
 */
#include "cli/copy/copy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text/time_text.h"
#include "cli/cli.h"
#include "cli/lib/import_batch.h"
#include "cli/lib/resume.h"
#include "cli/lib/target/target.h"
#include "cli/lib/terminal.h"
#include "config/lists/lists.h"
#include "model/select.h"
#include "relay/feed/selection.h"
#include "relay/relay.h"
#include "sys/env.h"
#include "wire/yaml/yaml_reader.h"

#define DAY_NS           (86400 * NS_PER_S)
#define MEMORY_BYTES_MAX ((uint64_t)1 << 30)
#define PAUSE_NS_MAX     (30 * NS_PER_S)
enum { PATH_BYTES = 200, QUESTION_BYTES_MAX = 64 * 1024, SHOWN_MAX = 20 };

/* Counts in the state. */
enum { COPIED_SAMPLES, COPIED_HISTOGRAMS, COPIED_SERIES };

/* A place named by FROM, TO or --verify-from. */
struct copy_endpoint {
    const char *word;  /* text of the argument, without user and password */
    const char *given; /* the URL, perhaps with them */
    const char *url;   /* URL of a server; NULL for another kind of place */
    char plain_text[CLIENT_URL_BYTES], url_text[ENDPOINT_URL_BYTES];
    const char *flag, *http_config_file; /* for the access */
    struct client_access *access;        /* own; NULL: not a URL, or not open */
    bool directory;                      /* the place is the directory of --storage.path */
    const struct source_settings *source;
    const struct destination_settings *destination;
};

struct copying {
    /* Command line. */
    const char *config_file, *url, *storage, *tenant, *to_tenant, *work, *back_word, *report_path;
    const char *http_config_file, *to_http_config_file;
    struct flag_texts select;
    struct flag_time start, end;
    int64_t slice_ns, retry_ns;
    bool verify_only, no_verify;

    struct settings settings;
    struct config_lists lists;
    struct destinations made;            /* made from a URL to write to */
    struct copy_endpoint from, to, back; /* `back`: the endpoint that reads TO */
    struct selector *selectors;
    struct matcher_set sets[FLAG_TEXTS_MAX];
    uint32_t set_count;
    const atomic_bool *stop;
    struct progress progress;
    struct budget memory;

    char dir[PATH_BYTES], log_dir[PATH_BYTES + 8], state_path[PATH_BYTES + 16];
    struct target *target;     /* TO; NULL: nothing is written */
    struct target *from_store; /* store of FROM, if it is a directory */
    struct import_batch *batch;
    struct reading *reading, *reading_back;
    struct selection *selection; /* the destination's; NULL: everything */
    struct buf question;
    struct slice_state state;
    struct output *report;
    struct check_counts counts;
    uint64_t refused_shown, shown;
    uint64_t left_out, left_out_shown; /* warnings about parts of FROM that could not be read */
    int64_t thinned_to_ms; /* coarsest resolution of downsampled samples that was reported */
    char left_out_last[sizeof(struct why)];
    const char *unverified; /* reason; NULL: the copy is verified */
};

static const struct flag flags[] = {
    {"config.file", 0, FLAG_TEXT, offsetof(struct copying, config_file), "FILE",
     "configuration file, with the sources and destinations that are named"},
    {"url", 0, FLAG_TEXT, offsetof(struct copying, url), "URL",
     "of local: URL of a running server (default $FIREKEEP_URL, or http://127.0.0.1:9201)"},
    {"http.config.file", 0, FLAG_TEXT, offsetof(struct copying, http_config_file), "FILE",
     "how to reach FROM and TO, if they are URLs: user, token, TLS, proxy; as promtool's flag"},
    {"to-http.config.file", 0, FLAG_TEXT, offsetof(struct copying, to_http_config_file), "FILE",
     "the same for TO, if FROM and TO differ; may be empty"},
    {"storage.path", 0, FLAG_TEXT, offsetof(struct copying, storage), "DIRECTORY",
     "of local: instead of a server, storage directory of a stopped server"},
    {"select", 0, FLAG_TEXTS, offsetof(struct copying, select), "SELECTOR",
     "series to copy, as in PromQL; can be repeated (default {__name__=~\".+\"})"},
    {"start", 0, FLAG_TIME, offsetof(struct copying, start), "TIME",
     "start time: RFC 3339, Unix seconds, now or now-1d; required"},
    {"end", 0, FLAG_TIME, offsetof(struct copying, end), "TIME",
     "end time, inclusive (default: now, when the copy is begun)"},
    {"slice", 0, FLAG_DURATION, offsetof(struct copying, slice_ns), "TIME",
     "copy and compare this much time at once (default 1d)"},
    {"tenant", 0, FLAG_TEXT, offsetof(struct copying, tenant), "ID",
     "tenant to read, and to write (default: the first of a source, or anonymous)"},
    {"to-tenant", 0, FLAG_TEXT, offsetof(struct copying, to_tenant), "ID",
     "tenant to write, if it is another one"},
    {"work", 0, FLAG_TEXT, offsetof(struct copying, work), "DIRECTORY",
     "keeps the progress, and samples on their way (default firekeep-copy-FROM-TO)"},
    {"retry", 0, FLAG_DURATION, offsetof(struct copying, retry_ns), "TIME",
     "how long to retry when FROM or TO is not available (default 5m)"},
    {"verify-only", 0, FLAG_SWITCH, offsetof(struct copying, verify_only), NULL,
     "copy nothing, only compare"},
    {"no-verify", 0, FLAG_SWITCH, offsetof(struct copying, no_verify), NULL, "do not compare"},
    {"verify-from", 0, FLAG_TEXT, offsetof(struct copying, back_word), "NAME|URL",
     "where TO can be read (default: the source of its name, or the server itself)"},
    {"report", 0, FLAG_TEXT, offsetof(struct copying, report_path), "FILE",
     "write counts and checksums of each series and slice to this file, as lines of JSON"},
    {0},
};

static const char notes[] =
    "\nFROM  name of a source, local, or URL of a remote read endpoint\n"
    "TO    name of a destination, local, or URL of a remote write endpoint\n"
    "\nSlices are copied in the order of time, and within a slice each series in the order of "
    "time.\n"
    "Progress is kept after each slice: the same command continues after an interruption, and\n"
    "copies nothing twice but the slice it was at. When all is copied and verified, the work\n"
    "directory is removed.\n"
    "\nVerification reads both places again and compares count and checksum of each series and\n"
    "slice, and where they differ each sample. Slices with missing samples are copied and "
    "verified\n"
    "once more. What only TO has is not an error.\n"
    "\nExit status: 0 everything was copied, and is there as far as it was compared; 1 something\n"
    "was not or differs, or a place could not be read or written; 2 wrong usage.\n";

/* --- source and target ------------------------------------------------------------------------ */

/* Takes a URL: `word`, or that of local, which may have the prefix of a server's paths. */
static enum err
take_url(const struct copying *c, const char *word, const char *page, struct copy_endpoint *p,
         struct why *why)
{
    bool local = strcmp(word, "local") == 0;
    p->given = !local ? word : c->url != NULL ? c->url : target_default_url();
    enum err e = client_url_plain(p->flag, p->given, p->plain_text, why);
    p->url = p->plain_text;
    if (!local) p->word = p->plain_text;
    if (e || !local || !endpoint_has_path(client_url_for_requests(p->url))) return e;
    e = client_url_of_page(p->flag, p->plain_text, page, p->url_text, why);
    if (e == OK) snprintf(p->plain_text, sizeof p->plain_text, "%s", p->url_text);
    return e;
}

static enum err
find_readable(struct copying *c, const char *word, struct copy_endpoint *p, struct why *why)
{
    p->word = word;
    if (strcmp(word, "local") == 0 && c->storage != NULL)
        p->directory = true;
    else if (strcmp(word, "local") == 0 || client_url_is(word))
        return take_url(c, word, "/api/v1/read", p, why);
    else if (config_find_source(&c->lists, c->config_file, word, &p->source, why) != OK)
        return ERR_INPUT;
    return OK;
}

/* Makes the settings of a destination from a URL, as a file would have them. */
static enum err
make_destination(struct copying *c, struct copy_endpoint *p, struct why *why)
{
    struct buf text;
    struct settings settings;
    settings_default(&settings);
    buf_init(&text, NULL, ENDPOINT_YAML_BYTES);
    enum err e = endpoint_yaml("destinations: [{name: to, type: remote_write", p->url,
                               "api/v1/write", c->to_tenant != NULL, p->url_text, &text, why);
    if (e) why_prefix(why, e, "TO");
    if (e == OK) e = destinations_yaml("TO", buf_bytes(&text), &settings, &c->made, why);
    buf_fini(&text);
    if (e == OK) p->destination = &c->made.items[0];
    return e;
}

static enum err
find_writable(struct copying *c, const char *word, struct copy_endpoint *p, struct why *why)
{
    p->word = word;
    if (strcmp(word, "local") == 0 && c->storage != NULL) {
        p->directory = true;
        return OK;
    }
    if (strcmp(word, "local") == 0 || client_url_is(word)) {
        enum err e = take_url(c, word, "/api/v1/write", p, why);
        return e ? e : make_destination(c, p, why);
    }
    enum err e = config_find_destination(&c->lists, c->config_file, word, &p->destination, why);
    return e ? ERR_INPUT : OK;
}

/* Finds where TO can be read again; if nowhere, sets `unverified`. */
static enum err
find_back(struct copying *c, struct why *why)
{
    static const char write_path[] = "/api/v1/write";
    struct copy_endpoint *to = &c->to, *back = &c->back;
    back->word = to->word;
    if (c->back_word != NULL) return find_readable(c, c->back_word, back, why);
    if (to->directory) {
        back->directory = true;
    } else if (to->url != NULL) {
        size_t size = strlen(to->url_text), end = sizeof write_path - 1;
        bool ours = size > end && strcmp(to->url_text + size - end, write_path) == 0;
        if (!ours) c->unverified = "it is not known where TO can be read: set --verify-from";
        snprintf(back->url_text, sizeof back->url_text, "%.*s/api/v1/read",
                 (int)(ours ? size - end : 0), to->url_text);
        back->url = back->url_text;
    } else if ((back->source = sources_find(&c->lists.sources, to->word)) == NULL) {
        c->unverified = "no source reads TO: add one of its name, or set --verify-from";
    }
    return OK;
}

static enum err
find_places(struct copying *c, char *const *words, struct why *why)
{
    enum err e = OK;
    c->from.flag = "FROM";
    c->to.flag = "TO";
    c->back.flag = "--verify-from";
    c->from.http_config_file = c->http_config_file;
    c->to.http_config_file = c->back.http_config_file =
        c->to_http_config_file == NULL ? c->http_config_file : c->to_http_config_file;
    if (c->config_file != NULL) e = check_file(c->config_file, &c->settings, &c->lists, why);
    if (e == OK) e = find_readable(c, words[0], &c->from, why);
    if (e == OK && c->to_tenant == NULL && c->from.source != NULL)
        c->to_tenant = reading_tenant(c->from.source);
    if (e == OK) e = find_writable(c, words[1], &c->to, why);
    if (e == OK) e = find_back(c, why);
    if (e) return e;
    /* A server holds each tenant in a place of its own; a directory is opened only once. */
    const char *from = c->tenant, *to = c->to_tenant;
    bool same_tenant = from == to || (from != NULL && to != NULL && strcmp(from, to) == 0);
    bool same_url = c->from.url != NULL && c->to.url != NULL &&
                    (strcmp(c->from.word, c->to.word) == 0 || strcmp(c->from.url, c->to.url) == 0);
    if (c->from.directory ? c->to.directory : same_tenant && same_url)
        return why_set(why, ERR_INPUT, "FROM and TO are the same");
    if (c->verify_only && c->unverified != NULL)
        return why_set(why, ERR_INPUT, "%s", c->unverified);
    if (c->no_verify) c->unverified = "--no-verify";
    return OK;
}

/* --- flags ------------------------------------------------------------------------------------ */

static enum err
copy_check_flags(struct copying *c, struct why *why)
{
    if (c->url != NULL && c->storage != NULL)
        return why_set(why, ERR_INPUT, "--url and --storage.path cannot be used together");
    if (c->verify_only && c->no_verify)
        return why_set(why, ERR_INPUT, "--verify-only and --no-verify cannot be used together");
    if (c->to_tenant == NULL) c->to_tenant = c->tenant;
    if (c->start.word == NULL) return why_set(why, ERR_INPUT, "--start is required");
    if (c->end.word == NULL) c->end.ms = env_realtime_ms(env_real());
    if (c->start.ms > c->end.ms) return why_set(why, ERR_INPUT, "--start is later than --end");
    if (c->start.ms < -SLICE_TIME_MS_MAX || c->end.ms > SLICE_TIME_MS_MAX)
        return why_set(why, ERR_INPUT, "--start or --end is too far from now");
    if (c->slice_ns < NS_PER_S) return why_set(why, ERR_INPUT, "--slice must be at least 1s");
    c->selectors = mem_new(NULL, FLAG_TEXTS_MAX * sizeof *c->selectors);
    if (c->selectors == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    if (c->select.count == 0) c->select.at[c->select.count++] = "{__name__=~\".+\"}";
    for (uint32_t i = 0; i < c->select.count; i++) {
        struct selector *s = &c->selectors[i];
        enum err e = selector_parse(bytes_of_text(c->select.at[i]), s, why);
        if (e) return why_prefix(why, e, "--select '%.64s'", c->select.at[i]);
        c->sets[c->set_count++] = (struct matcher_set){s->matchers, s->count};
    }
    return OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Makes a name for a directory from that of a place. */
static void
put_plain(char *to, size_t size, const char *word)
{
    size_t n = 0;
    for (; *word != '\0' && n + 1 < size && n < 64; word++) {
        bool plain = (*word >= '0' && *word <= '9') || (*word >= 'a' && *word <= 'z') ||
                     (*word >= 'A' && *word <= 'Z') || *word == '_' || *word == '.';
        to[n++] = plain ? *word : '-';
    }
    to[n] = '\0';
}

static enum err
make_work(struct copying *c, struct why *why)
{
    char from[72], to[72];
    put_plain(from, sizeof from, c->from.word);
    put_plain(to, sizeof to, c->to.word);
    int size = c->work != NULL ? snprintf(c->dir, sizeof c->dir, "%s", c->work)
                               : snprintf(c->dir, sizeof c->dir, "firekeep-copy-%s-%s", from, to);
    if (size >= (int)sizeof c->dir) return why_set(why, ERR_INPUT, "--work: path is too long");
    snprintf(c->log_dir, sizeof c->log_dir, "%s/log", c->dir);
    snprintf(c->state_path, sizeof c->state_path, "%s/progress", c->dir);
    return env_mkdir(env_real(), c->dir, why);
}

static enum err
open_target(struct copying *c, struct why *why)
{
    struct target_options options = {.tenant = c->to_tenant,
                                     .retry_ns = c->retry_ns,
                                     .writing = !c->verify_only,
                                     .stop = c->stop,
                                     .progress = &c->progress};
    if (c->to.directory) {
        options.storage = c->storage;
        options.config_file = c->config_file;
    } else {
        options.storage = c->log_dir;
        options.destination = c->to.destination;
        if (c->verify_only) return OK;
    }
    return target_open(&options, &c->target, why);
}

static enum err
open_reading(struct copying *c, const struct copy_endpoint *p, struct target *store,
             struct client_access *access, const char *name, const char *tenant, bool plain,
             struct reading **ret, struct why *why)
{
    struct reading_options options = {.source = p->source,
                                      .url = p->url,
                                      .access = access,
                                      .answerer = p->directory ? store->answerer : NULL,
                                      .name = name,
                                      .tenant = tenant,
                                      .plain = plain,
                                      .stored = plain || strcmp(p->word, "local") == 0,
                                      .stop = c->stop};
    return reading_open(&options, ret, why);
}

/* Reads the settings of a place that is a URL, and asks for its password. */
static enum err
open_access(struct copy_endpoint *p, struct why *why)
{
    const struct client_access_options options = {p->flag, p->given, p->http_config_file};
    return p->given == NULL ? OK : client_access_new(&options, &p->access, why);
}

static enum err
open_places(struct copying *c, struct why *why)
{
    struct target_options from = {
        .storage = c->storage, .config_file = c->config_file, .tenant = c->tenant, .stop = c->stop};
    enum err e = open_access(&c->from, why);
    if (e == OK) e = open_access(&c->to, why);
    if (e == OK && c->unverified == NULL) e = open_access(&c->back, why);
    if (e == OK && c->to.access != NULL) {
        struct destination_settings *d = &c->made.items[0];
        struct remote_write_settings *rw = &d->u.remote_write;
        client_access_copy(c->to.access, &d->http, &rw->basic_auth, &rw->authorization,
                           &rw->oauth2);
    }
    if (e == OK) e = open_target(c, why);
    if (e == OK && c->from.directory) e = target_open(&from, &c->from_store, why);
    if (e == OK) {
        e = open_reading(c, &c->from, c->from_store, c->from.access, "FROM", c->tenant, false,
                         &c->reading, why);
    }
    if (e == OK && c->unverified == NULL) {
        struct client_access *back = c->back_word == NULL ? c->to.access : c->back.access;
        e = open_reading(c, &c->back, c->target, back, "TO", c->to_tenant, true, &c->reading_back,
                         why);
    }
    if (e == OK && c->to.destination != NULL)
        e = selection_new(c->to.destination, &c->selection, why);
    return e;
}

/* Everything that decides what is copied: a different request must not continue in the same
 * directory. */
static enum err
copy_put_question(struct copying *c, struct why *why)
{
    struct buf *to = &c->question;
    struct slice_state *s = &c->state;
    buf_init(to, NULL, QUESTION_BYTES_MAX);
    buf_printf(to,
               "firekeep copy 2\nfrom %s %s\nto %s %s\ntenants %s %s\nasked %s %s %" PRId64 "\n",
               c->from.word, c->from.url == NULL ? "" : c->from.url, c->to.word,
               c->to.url == NULL ? "" : c->to.url, c->tenant == NULL ? "" : c->tenant,
               c->to_tenant == NULL ? "" : c->to_tenant, c->start.word,
               c->end.word == NULL ? "now" : c->end.word, (int64_t)(c->slice_ns / NS_PER_MS));
    for (uint32_t i = 0; i < c->select.count; i++)
        buf_printf(to, "select %s\n", c->select.at[i]);
    if (buf_error(to)) return why_set(why, ERR_INPUT, "selectors are too long");
    s->path = c->verify_only ? NULL : c->state_path;
    s->question = buf_bytes(to);
    s->min_ms = c->start.ms;
    s->max_ms = c->end.ms;
    s->slice_ms = c->slice_ns / NS_PER_MS;
    enum err e = resume_lock(s->path, why);
    return e ? e : slice_state_load(s, why);
}

/* --- copying ---------------------------------------------------------------------------------- */

static bool
copy_is_stopped(const struct copying *c)
{
    return atomic_load_explicit(c->stop, memory_order_relaxed);
}

static void
rejected(void *context, const char *text)
{
    struct copying *c = context;
    if (++c->refused_shown > SHOWN_MAX) return;
    progress_say(&c->progress, "%s", text);
    if (c->refused_shown == SHOWN_MAX)
        progress_say(&c->progress, "more refusals are counted but not shown");
}

static void
say_left_out(void *context, const char *sentence)
{
    struct copying *c = context;
    if (strcmp(c->left_out_last, sentence) == 0) return; /* the same in another slice */
    snprintf(c->left_out_last, sizeof c->left_out_last, "%s", sentence);
    if (++c->left_out_shown > SHOWN_MAX) return;
    progress_say(&c->progress, "left out of %s: %s", c->from.word, sentence);
    if (c->left_out_shown == SHOWN_MAX)
        progress_say(&c->progress, "more that is left out is counted but not shown");
}

struct slice_counts {
    uint64_t of[SLICE_COUNTS];
    uint64_t left_out;
};

static enum err
copy_series(struct copying *c, struct series_set *set, struct bytes labels,
            struct slice_counts *counts, struct why *why)
{
    struct sample_batch batch = {.count = 1};
    bool any = false;
    while (batch.count > 0) {
        enum err e = series_set_batch(set, &batch, why);
        if (e == OK && batch.count > 0) e = batch_samples(c->batch, labels, &batch, why);
        if (e) return e;
        uint64_t *kind = batch.kind == SAMPLE_FLOAT ? &counts->of[COPIED_SAMPLES]
                                                    : &counts->of[COPIED_HISTOGRAMS];
        *kind += batch.count;
        any |= batch.count > 0;
    }
    counts->of[COPIED_SERIES] += any;
    return OK;
}

static enum err
try_slice(struct copying *c, int64_t min_ms, int64_t max_ms, struct slice_counts *counts,
          struct why *why)
{
    struct series_set *set = NULL;
    struct bytes labels = bytes_of("", 0);
    enum err e = reading_select(c->reading, c->sets, c->set_count, min_ms, max_ms, &set, why);
    while (e == OK) {
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        e = copy_series(c, set, labels, counts, why);
        if (e == OK && copy_is_stopped(c)) e = why_set(why, ERR_CANCELED, "stopped");
        const struct slice_state *s = &c->state;
        progress_show(&c->progress,
                      s->counts[COPIED_SAMPLES] + s->counts[COPIED_HISTOGRAMS] +
                          counts->of[COPIED_SAMPLES] + counts->of[COPIED_HISTOGRAMS],
                      s->count - slice_state_in(s, ".d"), s->count);
    }
    const char *sentence;
    for (uint32_t i = 0; e == OK && (sentence = series_set_warning(set, i)) != NULL; i++) {
        say_left_out(c, sentence);
        counts->left_out++;
    }
    int64_t resolution_ms = reading_thinned_to(c->reading);
    if (resolution_ms > c->thinned_to_ms) {
        struct why thinned;
        c->thinned_to_ms = resolution_ms;
        thinned_say(resolution_ms, &thinned);
        progress_say(&c->progress, "%s: %s", c->from.word, thinned.text);
    }
    series_set_free(set);
    return e ? e : batch_send(c->batch, why);
}

/* Waits before a retry after a temporary error of reading. False: no retry. */
static bool
may_retry(struct copying *c, enum err e, int64_t *began_ns, int64_t *pause_ns,
          const struct why *why)
{
    struct env *env = env_real();
    int64_t now_ns = env_monotonic_ns(env);
    if (e != ERR_AGAIN || copy_is_stopped(c) || (c->batch != NULL && batch_failed(c->batch)))
        return false;
    if (*began_ns == 0) *began_ns = now_ns;
    *pause_ns = *pause_ns == 0 ? NS_PER_S : *pause_ns * 2;
    if (*pause_ns > PAUSE_NS_MAX) *pause_ns = PAUSE_NS_MAX;
    if (now_ns + *pause_ns - *began_ns > c->retry_ns) return false;
    progress_say(&c->progress, "%s; retrying in %.0f s", why->text, (double)*pause_ns / 1e9);
    for (int64_t until_ns = now_ns + *pause_ns; env_monotonic_ns(env) < until_ns;) {
        if (copy_is_stopped(c)) break;
        usleep(100 * 1000);
    }
    return true;
}

static enum err
copy_slice(struct copying *c, uint32_t slice, struct why *why)
{
    int64_t min_ms, max_ms, began_ns = 0, pause_ns = 0;
    struct slice_counts counts;
    enum err e;
    slice_state_times(&c->state, slice, &min_ms, &max_ms);
    do {
        counts = (struct slice_counts){0};
        e = try_slice(c, min_ms, max_ms, &counts, why);
    } while (e && may_retry(c, e, &began_ns, &pause_ns, why));
    if (e) return e;
    for (unsigned kind = 0; kind < SLICE_COUNTS; kind++)
        c->state.counts[kind] += counts.of[kind];
    c->left_out += counts.left_out;
    return OK;
}

/* Copies all slices in state `from`, makes them durable, and sets state `to`. */
static enum err
copy_slices(struct copying *c, char from, char to, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < c->state.count && e == OK; i++) {
        if (c->state.slices[i] != from) continue;
        if (copy_is_stopped(c)) return why_set(why, ERR_CANCELED, "stopped");
        e = copy_slice(c, i, why);
        if (e == OK) {
            c->state.slices[i] = to;
            e = slice_state_save(&c->state, false, why);
        }
    }
    e = err_first(e, slice_state_save(&c->state, true, e ? NULL : why));
    return e ? e : target_finish(c->target, why);
}

/* --- verifying -------------------------------------------------------------------------------- */

static void
differs(void *context, struct bytes labels, int64_t min_ms, uint64_t missing, uint64_t different)
{
    struct copying *c = context;
    char time[TIME_TEXT_BYTES];
    struct buf text;
    if (++c->shown > SHOWN_MAX) return;
    buf_init(&text, NULL, 1 << 20);
    labels_print_selector(&text, labels);
    buf_put_u8(&text, '\0');
    progress_say(&c->progress, "%s from %s: %" PRIu64 " missing, %" PRIu64 " different",
                 buf_error(&text) ? "a series" : (const char *)text.at, time_print(min_ms, time),
                 missing, different);
    if (c->shown == SHOWN_MAX) progress_say(&c->progress, "more are counted but not shown");
    buf_fini(&text);
}

/* While copying, the same warnings were already reported. */
static void
left_out_again(void *context, const char *sentence)
{
    struct copying *c = context;
    if (c->verify_only) say_left_out(c, sentence);
}

static enum err
verify_slice(struct copying *c, uint32_t slice, bool *ret_all, struct why *why)
{
    int64_t min_ms, max_ms, began_ns = 0, pause_ns = 0;
    struct check_counts counts = {0};
    const struct destination_settings *d = c->to.destination;
    bool keeps_labels = d == NULL || (d->relabel_count == 0 && d->external_labels.count == 0 &&
                                      d->tenant_label == NULL);
    struct check_options options = {
        .from = c->reading,
        .to = c->reading_back,
        .from_sets = c->sets,
        .from_count = c->set_count,
        .to_sets = c->sets,
        .to_count = keeps_labels ? c->set_count : 0,
        .selection = c->selection,
        .tenant = bytes_of_text(c->to_tenant == NULL ? "anonymous" : c->to_tenant),
        .report = c->report,
        .memory = &c->memory,
        .differs = differs,
        .left_out = left_out_again,
        .context = c,
    };
    enum err e;
    slice_state_times(&c->state, slice, &min_ms, &max_ms);
    do {
        counts = (struct check_counts){0};
        e = check_slice(&options, min_ms, max_ms, &counts, why);
    } while (e && may_retry(c, e, &began_ns, &pause_ns, why));
    *ret_all = counts.series_differing == 0 && counts.left_out == 0;
    if (e) return e;
    /* Differences of the first round are not final: these slices are copied again. */
    if (*ret_all || c->state.slices[slice] != 'c') check_counts_add(&c->counts, &counts);
    return OK;
}

static enum err
verify_slices(struct copying *c, char from, char to, char else_to, struct why *why)
{
    enum err e = OK;
    c->shown = 0;
    for (uint32_t i = 0; i < c->state.count && e == OK; i++) {
        bool all;
        if (c->state.slices[i] != from) continue;
        if (copy_is_stopped(c)) return why_set(why, ERR_CANCELED, "stopped");
        progress_show(&c->progress, c->counts.samples,
                      c->state.count - slice_state_in(&c->state, "c."), c->state.count);
        e = verify_slice(c, i, &all, why);
        if (e == OK) {
            c->state.slices[i] = all ? to : else_to;
            e = slice_state_save(&c->state, false, why);
        }
    }
    return err_first(e, slice_state_save(&c->state, true, e ? NULL : why));
}

/* --- the command ------------------------------------------------------------------------------ */

static enum err
run_phases(struct copying *c, struct why *why)
{
    enum err e = OK;
    if (c->verify_only) {
        memset(c->state.slices, 'C', c->state.count);
        return verify_slices(c, 'C', 'v', 'x', why);
    }
    /* Also runs without slices to copy: copies of an earlier run may still wait in the log. */
    e = copy_slices(c, '.', 'c', why);
    if (e || c->unverified != NULL) return e;
    e = verify_slices(c, 'c', 'v', 'd', why);
    if (e || slice_state_in(&c->state, "dC") == 0) return e;
    if (slice_state_in(&c->state, "d") > 0) {
        progress_say(&c->progress, "copying %" PRIu32 " slices again, which differ",
                     slice_state_in(&c->state, "d"));
    }
    e = copy_slices(c, 'd', 'C', why);
    return e ? e : verify_slices(c, 'C', 'v', 'x', why);
}

/* Prints the fates of samples at the destination. False: not all arrived. */
static bool
print_delivery(struct copying *c)
{
    struct relay_status s;
    uint64_t delivered = 0, dead = 0, dropped = 0, not_taken = 0;
    if (c->target == NULL || !target_delivery(c->target, &s)) return true;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        const uint64_t *count = s.fates.count[kind];
        delivered += count[FATE_DELIVERED] + count[FATE_REPEATED];
        dead += count[FATE_DEAD_LETTERED];
        dropped += fates_dropped(&s.fates, kind);
        not_taken += count[FATE_NOT_TAKEN];
    }
    fprintf(stderr, "delivered %" PRIu64 " samples to %s", delivered, c->to.word);
    if (not_taken > 0) fprintf(stderr, "; %" PRIu64 " not selected by the destination", not_taken);
    if (dropped > 0) fprintf(stderr, "; %" PRIu64 " dropped", dropped);
    if (dead > 0) {
        fprintf(stderr, "; %" PRIu64 " refused: see firekeep dead-letters list --storage.path=%s",
                dead, c->log_dir);
    }
    fputc('\n', stderr);
    return dead + dropped == 0;
}

static bool
print_result(struct copying *c)
{
    const struct slice_state *s = &c->state;
    const struct check_counts *k = &c->counts;
    double seconds = progress_seconds(&c->progress);
    bool all = true;
    progress_clear(&c->progress);
    if (!c->verify_only) {
        uint64_t sum = s->counts[COPIED_SAMPLES] + s->counts[COPIED_HISTOGRAMS];
        fprintf(stderr,
                "copied %" PRIu64 " samples, %" PRIu64 " histograms in %" PRIu32 " of %" PRIu32
                " slices; %.1f s (%.0f/s)\n",
                s->counts[COPIED_SAMPLES], s->counts[COPIED_HISTOGRAMS],
                s->count - slice_state_in(s, "."), s->count, seconds,
                seconds > 0 ? (double)sum / seconds : 0);
        all = print_delivery(c);
    }
    if (c->batch != NULL) {
        struct batch_counts b = batch_counts(c->batch);
        uint64_t refused = 0;
        for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
            refused += b.rejected.of[kind];
        if (refused > 0) fprintf(stderr, "%" PRIu64 " samples were refused\n", refused);
        all &= refused == 0;
    }
    uint64_t left_out = c->unverified != NULL ? c->left_out : k->left_out;
    if (left_out > 0) {
        fprintf(stderr, "%s was not read whole: what is left out is named above\n", c->from.word);
        all = false;
    }
    if (c->unverified != NULL) {
        fprintf(stderr, "not verified: %s\n", c->unverified);
        return all;
    }
    uint32_t differing = slice_state_in(s, "x"), verified = slice_state_in(s, "v") + differing;
    if (verified == 0) return all && s->count == 0;
    fprintf(stderr,
            "verified %" PRIu32 " of %" PRIu32 " slices, %" PRIu64 " samples: %" PRIu64
            " missing, %" PRIu64 " different",
            verified, s->count, k->samples, k->missing, k->different);
    if (k->not_looked_at > 0) {
        fprintf(stderr, ", and %" PRIu64 " series that differ in number or checksum",
                k->not_looked_at);
    }
    if (k->series_beside > 0) {
        fprintf(stderr, "; %" PRIu64 " samples of series that only %s has", k->samples_beside,
                c->to.word);
    }
    fputc('\n', stderr);
    return all && differing == 0;
}

/* Once the first slices are stored, the server that is written to may consider its source older
 * than the whole copy. */
static void
warn_of_times(struct copying *c)
{
    const struct source_settings *from = c->from.source;
    bool into_server = c->to.url != NULL || c->to.directory;
    if (c->verify_only || !into_server || from == NULL || from->times != TIMES_OLDER_THAN_LOCAL)
        return;
    progress_say(&c->progress,
                 "source %s has time: older_than_local: a server that reads it and is copied to "
                 "does not find in it what is not copied yet; use time: {to: ...} until all is",
                 from->name);
}

static enum err
copy_run(struct copying *c, char *const *words, bool *ret_usage, struct why *why)
{
    enum err e = copy_check_flags(c, why);
    if (e == OK) e = find_places(c, words, why);
    *ret_usage = e == ERR_INPUT;
    if (e == OK) warn_of_times(c);
    if (e == OK && !c->verify_only) e = make_work(c, why);
    /* Before the log is opened, which sends TO what it has. */
    if (e == OK) e = copy_put_question(c, why);
    if (e == OK) e = open_places(c, why);
    if (e == OK && c->target != NULL && !c->verify_only)
        e = batch_new(c->target, RW_V2, rejected, c, &c->batch, why);
    if (e == OK && c->report_path != NULL && c->unverified == NULL) {
        /* For a complete report, slices verified by an earlier run are verified again. */
        for (uint32_t i = 0; i < c->state.count; i++) {
            char *state = &c->state.slices[i];
            if (*state == 'v' || *state == 'd') *state = 'c';
            if (*state == 'x') *state = 'C';
        }
        e = output_open(c->report_path, output_packing_of(c->report_path), 0, &c->report, why);
    }
    if (e) return e;
    if (slice_state_in(&c->state, ".") < c->state.count && !c->verify_only) {
        progress_say(&c->progress, "continuing: %" PRIu32 " of %" PRIu32 " slices are copied",
                     c->state.count - slice_state_in(&c->state, "."), c->state.count);
    }
    e = run_phases(c, why);
    uint64_t bytes;
    if (e == OK && c->report != NULL) e = output_position(c->report, &bytes, why);
    return e;
}

static void
close_all(struct copying *c, bool done)
{
    output_free(c->report);
    batch_free(c->batch);
    reading_free(c->reading);
    reading_free(c->reading_back);
    selection_free(c->selection);
    target_free(c->target);
    target_free(c->from_store);
    for (uint32_t i = 0; i < c->set_count; i++)
        selector_fini(&c->selectors[i]);
    mem_free(NULL, c->selectors, FLAG_TEXTS_MAX * sizeof *c->selectors);
    buf_fini(&c->question);
    slice_state_fini(&c->state);
    config_lists_free(&c->lists);
    destinations_free(&c->made);
    client_access_free(c->from.access);
    client_access_free(c->to.access);
    client_access_free(c->back.access);
    struct why why = {""};
    if (done && !c->verify_only && env_remove_tree(env_real(), c->dir, &why) != OK)
        fprintf(stderr, "warning: cannot remove %s: %s\n", c->dir, why.text);
}

static int
run_copy(int argc, char **argv)
{
    struct copying c = {.slice_ns = DAY_NS, .retry_ns = 300 * NS_PER_S};
    struct why why = {""};
    int count = 0;
    bool usage = true, all = false;
    log_configure(LOG_ERROR, LOG_LOGFMT);
    budget_init(&c.memory, "copy", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(flags, &c, argc - 1, argv + 1, &count, &why);
    if (e == OK && count != 2) e = why_set(&why, ERR_INPUT, "expected FROM and TO");
    if (e) return cli_usage_error("copy", "%s", why.text);
    c.stop = interrupt_watch();
    progress_begin(&c.progress, "samples");
    e = copy_run(&c, argv + 1, &usage, &why);
    progress_clear(&c.progress);
    if (c.reading != NULL) all = print_result(&c);
    bool begun = c.reading != NULL && !c.verify_only;
    close_all(&c, e == OK && all);
    if (e == OK) return all ? EXIT_DONE : EXIT_FAILED;
    if (usage) return cli_usage_error("copy", "%s", why.text);
    if (begun) fprintf(stderr, "run the same command again to continue\n");
    return cli_failed("copy", e, &why);
}

const struct command command_copy = {"copy",
                                     "[flags] FROM TO",
                                     "copy samples from a source to a destination, and verify them",
                                     run_copy,
                                     flags,
                                     notes};
