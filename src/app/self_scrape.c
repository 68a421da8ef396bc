/*
 * self_scrape.c - see self_scrape.h.
 *
 * Invariants:
 *  1. Samples of a scrape, and the staleness markers of series that it no longer has, have the time
 *     of a multiple of the interval.
 *  2. `series` are those of the last scrape that was stored; one that failed leaves them, so that
 *     no marker is missing.
 *  3. A line has at most LABELS_MAX labels of its own, which leaves room for name, instance, job.
 */
#include "app/self_scrape.h"

#include <assert.h>
#include <stdio.h>

#include "app/worker.h"
#include "base/hash/hash.h"
#include "base/log.h"
#include "base/metric.h"
#include "rules/group/kept_series.h"
#include "wire/number.h"
#include "wire/remote/remote_write_build.h"

enum { TEXT_BYTES_MAX = 256 << 20, LABELS_MAX = 16 };

#define TENANT       "anonymous"
#define JOB          "firekeep-self"
#define LOG_AGAIN_NS (60 * NS_PER_S)

struct self_scrape {
    struct self_scrape_options options;
    _Atomic int64_t interval_ms; /* relaxed */
    struct worker worker;

    /* The thread owns these. */
    struct kept_series series; /* series of the last scrape */
    uint64_t metadata_hash;    /* hash of the metadata that is stored; 0: none is */
    struct log_gate gate;
};

/* --- the text --------------------------------------------------------------------------------- */

/* A line of the text, parsed. */
struct line {
    struct label labels[LABELS_MAX + 4]; /* also __name__, instance and job */
    uint32_t count;
    struct arena arena; /* has the label values whose escapes were replaced */
    struct buf canonical;
};

static bool
take_until(struct bytes *text, uint8_t end, struct bytes *ret)
{
    const uint8_t *at = text->size == 0 ? NULL : memchr(text->at, end, text->size);
    if (at == NULL) return false;
    *ret = bytes_of(text->at, (size_t)(at - text->at));
    *text = bytes_of(at + 1, text->size - ret->size - 1);
    return true;
}

/* A label's value up to its closing quote, which is taken. */
static enum err
take_value(struct line *l, struct bytes *text, struct bytes *ret)
{
    size_t size = 0, from = 0;
    uint8_t *to = arena_alloc(&l->arena, text->size + 1);
    if (to == NULL) return ERR_NOMEM;
    for (; from < text->size && text->at[from] != '"'; from++) {
        uint8_t c = text->at[from];
        if (c == '\\' && from + 1 < text->size) {
            c = text->at[++from];
            if (c == 'n') c = '\n';
        }
        to[size++] = c;
    }
    if (from == text->size) return ERR_INPUT;
    *ret = bytes_of(to, size);
    *text = bytes_of(text->at + from + 1, text->size - from - 1);
    return OK;
}

/* name="value",...} */
static enum err
take_labels(struct line *l, struct bytes *text)
{
    for (;;) {
        struct bytes name, value;
        if (l->count == LABELS_MAX || !take_until(text, '=', &name)) return ERR_INPUT;
        if (text->size == 0 || text->at[0] != '"') return ERR_INPUT;
        *text = bytes_of(text->at + 1, text->size - 1);
        enum err e = take_value(l, text, &value);
        if (e) return e;
        l->labels[l->count++] = (struct label){name, value};
        if (text->size == 0) return ERR_INPUT;
        uint8_t c = text->at[0];
        *text = bytes_of(text->at + 1, text->size - 1);
        if (c == '}') return OK;
        if (c != ',') return ERR_INPUT;
    }
}

static void
add_label(struct line *l, const char *name, struct bytes value)
{
    assert(l->count < sizeof l->labels / sizeof *l->labels); /* invariant 3 */
    l->labels[l->count++] = (struct label){bytes_of_text(name), value};
}

/* The canonical labels of a series: its name, the labels of the line, job and instance. */
static enum err
finish_labels(struct line *l, struct bytes name, const char *instance)
{
    static const struct labels_limits limits = {LABELS_MAX + 4, 1 << 16, 1 << 16};
    assert(l->count <= LABELS_MAX); /* invariant 3 */
    add_label(l, "__name__", name);
    add_label(l, "instance", bytes_of_text(instance));
    add_label(l, "job", bytes_of_text(JOB));
    buf_clear(&l->canonical);
    if (labels_build(l->labels, l->count, &limits, &l->canonical) != REJECT_NONE) return ERR_INPUT;
    return buf_error(&l->canonical);
}

static enum err
put(struct line *l, struct rw_build *build, struct kept_series *seen, int64_t t_ms, uint64_t bits)
{
    bool is_new;
    struct bytes labels = buf_bytes(&l->canonical);
    rw_build_series(build, labels);
    rw_build_float(build, t_ms, bits, 0);
    return kept_series_add(seen, labels, &is_new);
}

/* name value, or name{...} value */
static enum err
put_line(struct line *l, struct bytes text, const char *instance, int64_t t_ms,
         struct rw_build *build, struct kept_series *seen)
{
    size_t size = 0;
    uint64_t bits;
    enum err e = OK;
    l->count = 0;
    arena_reset(&l->arena);
    while (size < text.size && text.at[size] != '{' && text.at[size] != ' ') {
        size++;
    }
    if (size == 0 || size == text.size) return ERR_INPUT;
    struct bytes name = bytes_of(text.at, size);
    bool has_labels = text.at[size] == '{';
    text = bytes_of(text.at + size + 1, text.size - size - 1);
    if (has_labels) e = take_labels(l, &text);
    if (e) return e;
    if (has_labels && text.size > 0)
        text = bytes_of(text.at + 1, text.size - 1); /* skips the blank */
    if (!number_parse((const char *)text.at, text.size, &bits)) return ERR_INPUT;
    e = finish_labels(l, name, instance);
    return e ? e : put(l, build, seen, t_ms, bits);
}

/* Adds a sample of the scrape itself, such as `up`. */
static enum err
put_own(struct line *l, const char *name, const char *instance, int64_t t_ms, double value,
        struct rw_build *build, struct kept_series *seen)
{
    l->count = 0;
    enum err e = finish_labels(l, bytes_of_text(name), instance);
    return e ? e : put(l, build, seen, t_ms, double_bits(value));
}

void
self_scrape_name(const char *host, unsigned port, char *to, size_t to_size)
{
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(to, to_size, is_v6 ? "[%s]:%u" : "%s:%u", host[0] == '\0' ? "localhost" : host, port);
}

enum err
self_scrape_put(struct bytes text, const char *instance, int64_t t_ms, struct rw_build *build,
                struct kept_series *seen, uint64_t *ret_samples)
{
    struct line l = {.count = 0};
    struct bytes line;
    enum err e = OK;
    *ret_samples = 0;
    arena_init(&l.arena, seen->budget, TEXT_BYTES_MAX, 0);
    buf_init(&l.canonical, seen->budget, TEXT_BYTES_MAX);
    while (e == OK && take_until(&text, '\n', &line)) {
        if (line.size == 0 || line.at[0] == '#') continue;
        e = put_line(&l, line, instance, t_ms, build, seen);
        ++*ret_samples;
    }
    if (e == OK && text.size > 0) e = ERR_INPUT;
    if (e == OK) e = put_own(&l, "up", instance, t_ms, 1, build, seen);
    if (e == OK) {
        e = put_own(&l, "scrape_samples_scraped", instance, t_ms, (double)*ret_samples, build,
                    seen);
    }
    buf_fini(&l.canonical);
    arena_fini(&l.arena);
    return e;
}

/* --- metadata --------------------------------------------------------------------------------- */

static bool
take_prefix(struct bytes *line, const char *prefix)
{
    size_t size = strlen(prefix);
    if (line->size < size || memcmp(line->at, prefix, size) != 0) return false;
    *line = bytes_of(line->at + size, line->size - size);
    return true;
}

/* Appends a help text without its escapes. */
static void
put_help(struct bytes help, struct buf *to)
{
    for (size_t i = 0; i < help.size; i++) {
        uint8_t c = help.at[i];
        if (c == '\\' && i + 1 < help.size) {
            c = help.at[++i];
            if (c == 'n') c = '\n';
        }
        buf_put_u8(to, c);
    }
}

static bool
find_type(struct bytes word, enum metric_type *ret_type)
{
    for (unsigned i = 0; i < METRIC_TYPE_COUNT; i++) {
        *ret_type = (enum metric_type)i;
        if (bytes_equal_text(word, metric_type_word(*ret_type))) return true;
    }
    return false;
}

enum err
self_scrape_put_metadata(struct bytes text, struct buf *to, uint64_t *ret_hash)
{
    struct bytes line, helped = {NULL, 0}, name;
    struct buf help;
    enum err e = OK;
    *ret_hash = 0;
    buf_init(&help, to->budget, TEXT_BYTES_MAX);
    while (e == OK && take_until(&text, '\n', &line)) {
        struct bytes whole = line;
        enum metric_type type;
        if (take_prefix(&line, "# HELP ")) {
            buf_clear(&help);
            if (!take_until(&line, ' ', &helped)) e = ERR_INPUT;
            put_help(line, &help);
        } else if (take_prefix(&line, "# TYPE ")) {
            if (!take_until(&line, ' ', &name) || !find_type(line, &type)) e = ERR_INPUT;
            if (e) break;
            if (!bytes_equal(name, helped)) buf_clear(&help);
            rw_build_metadata_v1(to, name, type, buf_bytes(&help), (struct bytes){NULL, 0});
        } else {
            continue;
        }
        *ret_hash = hash_bytes(whole, *ret_hash) | 1;
        if (e == OK) e = buf_error(&help);
    }
    buf_fini(&help);
    return e ? e : buf_error(to);
}

/* --- scraping --------------------------------------------------------------------------------- */

static void
put_stale(const struct kept_series *before, const struct kept_series *seen, int64_t t_ms,
          struct rw_build *build)
{
    assert(before != seen); /* invariant 2 */
    for (uint32_t i = 0; i < before->count; i++) {
        struct bytes labels = kept_series_at(before, i);
        if (kept_series_has(seen, labels)) continue;
        rw_build_series(build, labels);
        rw_build_float(build, t_ms, STALE_NAN_BITS, 0);
    }
}

static enum err
write_text(struct self_scrape *s, struct bytes text, int64_t t_ms, struct kept_series *seen,
           struct why *why)
{
    struct rw_build *build;
    struct bytes message;
    struct buf whole;
    struct rules_written written;
    uint64_t samples, hash = s->metadata_hash;
    buf_init(&whole, s->options.memory, TEXT_BYTES_MAX);
    if (rw_build_new(RW_V1, s->options.memory, &build)) return ERR_NOMEM;
    enum err e = self_scrape_put(text, s->options.instance, t_ms, build, seen, &samples);
    if (e == OK) {
        put_stale(&s->series, seen, t_ms, build);
        e = rw_build_end(build, &message);
    }
    if (e == OK) e = self_scrape_put_metadata(text, &whole, &hash);
    if (e == OK && hash == s->metadata_hash) buf_clear(&whole);
    if (e == OK) {
        buf_put(&whole, message.at, message.size);
        e = buf_error(&whole);
    }
    if (e == OK) {
        e = own_write(s->options.writes, bytes_of_text(TENANT), buf_bytes(&whole), &written, why);
    }
    if (e == OK) s->metadata_hash = hash;
    if (e == OK && written.rejected > 0) {
        e = why_set(why, ERR_INPUT, "%s", written.text);
    }
    rw_build_free(build);
    buf_fini(&whole);
    return e;
}

static void
scrape(struct self_scrape *s, int64_t t_ms, int64_t interval_ms)
{
    assert(t_ms % interval_ms == 0); /* invariant 1 */
    struct buf text;
    struct kept_series seen;
    struct why why = {""};
    uint64_t held_back;
    buf_init(&text, s->options.memory, TEXT_BYTES_MAX);
    kept_series_init(&seen, s->options.memory, 0);
    metric_collect(&text);
    enum err e = buf_error(&text);
    if (e == OK) e = write_text(s, buf_bytes(&text), t_ms, &seen, &why);
    if (e == OK) {
        struct kept_series before = s->series;
        s->series = seen;
        seen = before;
    } else if (log_often(&s->gate, env_monotonic_ns(s->options.env), LOG_AGAIN_NS, &held_back)) {
        log_warn("cannot store the server's own metrics", KV("error", why_text(&why, e)),
                 KV("more_held_back", held_back));
    }
    kept_series_fini(&seen);
    buf_fini(&text);
}

static void
scrape_loop(void *context)
{
    struct self_scrape *s = context;
    struct env *env = s->options.env;
    int64_t next_ms = 0;
    for (;;) {
        int64_t interval_ms = atomic_load_explicit(&s->interval_ms, memory_order_relaxed);
        int64_t now_ms = env_realtime_ms(env), wait_ms = 1000;
        if (interval_ms > 0) {
            bool is_back =
                next_ms > now_ms + interval_ms; /* the clock was set back, or it is less */
            if (next_ms == 0 || is_back) next_ms = now_ms / interval_ms * interval_ms + interval_ms;
            if (now_ms >= next_ms) {
                scrape(s, now_ms / interval_ms * interval_ms, interval_ms);
                next_ms = now_ms / interval_ms * interval_ms + interval_ms;
            }
            wait_ms = next_ms - env_realtime_ms(env);
        }
        int64_t until_ns =
            interval_ms == 0 ? INT64_MAX : env_monotonic_ns(env) + wait_ms * NS_PER_MS;
        if (!worker_rest(&s->worker, until_ns, REST_UNTIL_WOKEN)) return;
    }
}

enum err
self_scrape_start(const struct self_scrape_options *options, struct self_scrape **ret_scrape,
                  struct why *why)
{
    struct self_scrape *s = mem_new(NULL, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    s->options = *options;
    kept_series_init(&s->series, options->memory, 0);
    worker_init(&s->worker, options->env);
    enum err e = worker_start(&s->worker, "self-scrape", scrape_loop, s);
    if (e) {
        self_scrape_free(s);
        return why_set(why, e, "cannot start the thread for the server's own metrics");
    }
    *ret_scrape = s;
    return OK;
}

void
self_scrape_set(struct self_scrape *s, int64_t interval_ms)
{
    atomic_store_explicit(&s->interval_ms, interval_ms, memory_order_relaxed);
    worker_wake(&s->worker);
}

void
self_scrape_free(struct self_scrape *s)
{
    if (s == NULL) return;
    worker_join(&s->worker);
    worker_fini(&s->worker);
    kept_series_fini(&s->series);
    mem_free(NULL, s, sizeof *s);
}
