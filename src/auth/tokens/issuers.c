/*
 * issuers.c - see tokens.h.
 *
 * The lock is held for moments only: files are read, and documents parsed, without it. An issuer
 * that is fetched or reread is held meanwhile, and keys are replaced by swapping a pointer.
 *
 * Invariants:
 *  1. The list has each issuer that is held, and no other; no two of them are equal.
 *  2. Keys are replaced, and never taken away: an issuer that once had keys has some.
 *  3. At most one fetch of an issuer is on its way. It began at `began_ns`, and holds the issuer.
 *  4. A token does not make an issuer due earlier than ISSUER_MISS_NS after `began_ns`.
 *  5. Only files are reread, and only URLs are ever due.
 */
#include "auth/tokens/tokens.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/metric.h"

#define LOG_NS (60 * NS_PER_S)

struct issuer_entry {
    /* Immutable. */
    struct issuer issuer; /* is first: the public part */
    struct issuers *all;
    struct arena arena; /* owns this struct and its texts */

    struct issuer_entry *next; /* under all->lock, to the end */
    uint32_t references;
    struct issuer_keys *keys; /* NULL: none were ever read */
    uint64_t document_hash;   /* hash of the document with the keys */
    bool is_fetching;
    bool has_begun;
    int64_t began_ns, due_ns; /* due_ns is INT64_MAX while it is fetched, and for files */
    uint32_t failures;        /* since the last success */
    uint64_t read_count, failed_count;
    int64_t read_s; /* Unix time of the last success; 0: none */
    struct log_gate failed_lines;
};

struct issuers {
    /* Immutable after issuers_new(). */
    struct env *env;
    struct budget *memory;
    struct metric_collector collector;

    struct lock lock; /* LOCK_RANK_AUTH; guards to the end */
    struct issuer_entry *first;
    uint32_t count;
    void (*wake)(void *context);
    void *context;
};

static struct issuer_entry *
entry_of(struct issuer *issuer)
{
    return (struct issuer_entry *)issuer;
}

/* --- keys ------------------------------------------------------------------------------------- */

struct issuer_keys *
issuer_keys_hold(struct issuer *issuer)
{
    struct issuer_entry *e = entry_of(issuer);
    lock_take(&e->all->lock);
    struct issuer_keys *keys = e->keys;
    if (keys != NULL) atomic_fetch_add_explicit(&keys->references, 1, memory_order_relaxed);
    lock_drop(&e->all->lock);
    return keys;
}

void
issuer_keys_release(struct issuer_keys *keys)
{
    if (keys == NULL) return;
    unsigned before = atomic_fetch_sub_explicit(&keys->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    jwks_free(keys->set);
    mem_free(keys->memory, keys, sizeof *keys);
}

static enum err
keys_read(struct budget *memory, struct bytes document, struct issuer_keys **ret_keys,
          struct why *why)
{
    struct issuer_keys *keys = mem_new(memory, sizeof *keys);
    if (keys == NULL) return why_set(why, ERR_NOMEM, "not enough memory for keys");
    keys->memory = memory;
    atomic_init(&keys->references, 1);
    enum err e = jwks_read(memory, document, &keys->set, why);
    if (e) {
        mem_free(memory, keys, sizeof *keys);
        return e == ERR_NOMEM ? why_set(why, e, "not enough memory for keys") : e;
    }
    *ret_keys = keys;
    return OK;
}

/* Notes a success, with the keys that are in force from now on, which are taken; NULL: they are the
 * same as before. */
static void
take_keys(struct issuer_entry *e, struct issuer_keys *keys, uint64_t document_hash)
{
    struct issuer_keys *old = NULL;
    int64_t now_s = env_realtime_ms(e->all->env) / 1000;
    if (keys != NULL) {
        struct jwks_counts counts = jwks_counts(keys->set);
        if (counts.left_out == 0)
            log_info("keys of tokens were read", KV("from", e->issuer.place),
                     KV("keys", counts.used));
        else
            log_warn("keys of tokens were read, some cannot be used", KV("from", e->issuer.place),
                     KV("keys", counts.used), KV("left_out", counts.left_out),
                     KV("first", jwks_left_out(keys->set)));
    }
    lock_take(&e->all->lock);
    if (keys != NULL) {
        old = e->keys;
        e->keys = keys;
        e->document_hash = document_hash;
    }
    assert(e->keys != NULL); /* invariant 2 */
    e->failures = 0;
    e->read_count++;
    e->read_s = now_s;
    lock_drop(&e->all->lock);
    issuer_keys_release(old);
}

static void
note_failure(struct issuer_entry *e, const struct why *why)
{
    uint64_t held_back;
    lock_take(&e->all->lock);
    e->failures++;
    e->failed_count++;
    uint32_t failures = e->failures;
    bool has_keys = e->keys != NULL;
    lock_drop(&e->all->lock);
    if (!log_often(&e->failed_lines, env_monotonic_ns(e->all->env), LOG_NS, &held_back)) return;
    if (has_keys)
        log_warn("cannot read the keys of tokens, keeping the old ones",
                 KV("from", e->issuer.place), KV("error", why), KV("failures", failures));
    else
        log_error("cannot read the keys of tokens: requests with such tokens get 503",
                  KV("from", e->issuer.place), KV("error", why), KV("failures", failures));
}

/* Reads a document, and takes its keys if it differs from the one before. */
static enum err
take_document(struct issuer_entry *e, struct bytes document, struct why *why)
{
    struct issuer_keys *keys = NULL;
    uint64_t hash = hash_bytes(document, 1);
    lock_take(&e->all->lock);
    bool is_same = e->keys != NULL && e->document_hash == hash;
    lock_drop(&e->all->lock);
    enum err error = is_same ? OK : keys_read(e->all->memory, document, &keys, why);
    if (error == OK) take_keys(e, keys, hash);
    return error;
}

/* --- issuers ---------------------------------------------------------------------------------- */

static struct issuer
issuer_of(const struct jwt_settings *settings)
{
    struct issuer issuer = {settings->issuer, ISSUER_DISCOVERED, settings->ca_file};
    if (settings->jwks_url != NULL) {
        issuer.kind = ISSUER_URL;
        issuer.place = settings->jwks_url;
    } else if (settings->jwks_file != NULL) {
        issuer = (struct issuer){settings->jwks_file, ISSUER_FILE, NULL};
    }
    return issuer;
}

/* Returns the issuer, held, or NULL. */
static struct issuer_entry *
find_issuer(struct issuers *all, const struct issuer *wanted)
{
    lock_take(&all->lock);
    struct issuer_entry *e = all->first;
    while (e != NULL &&
           !(e->issuer.kind == wanted->kind && strcmp(e->issuer.place, wanted->place) == 0 &&
             (e->issuer.ca_file == NULL || wanted->ca_file == NULL
                  ? e->issuer.ca_file == wanted->ca_file
                  : strcmp(e->issuer.ca_file, wanted->ca_file) == 0)))
        e = e->next;
    if (e != NULL) e->references++;
    lock_drop(&all->lock);
    return e;
}

static void
entry_free(struct issuer_entry *e)
{
    struct arena arena = e->arena;
    issuer_keys_release(e->keys);
    arena_fini(&arena);
}

void
issuer_release(struct issuer *issuer)
{
    if (issuer == NULL) return;
    struct issuer_entry *e = entry_of(issuer), **at;
    struct issuers *all = e->all;
    lock_take(&all->lock);
    assert(e->references > 0);
    bool is_last = --e->references == 0;
    if (is_last) {
        assert(!e->is_fetching); /* invariant 3 */
        at = &all->first;
        while (*at != e) {
            assert(*at != NULL); /* invariant 1 */
            at = &(*at)->next;
        }
        *at = e->next;
        all->count--;
    }
    lock_drop(&all->lock);
    if (is_last) entry_free(e);
}

static struct issuer_entry *
entry_new(struct issuers *all, const struct issuer *issuer)
{
    struct arena arena;
    arena_init(&arena, all->memory, 0, 1024);
    struct issuer_entry *e = arena_new(&arena, sizeof *e);
    if (e == NULL) return NULL;
    e->issuer = *issuer;
    if (!text_copy(&arena, issuer->place, &e->issuer.place) ||
        !text_copy(&arena, issuer->ca_file, &e->issuer.ca_file)) {
        arena_fini(&arena);
        return NULL;
    }
    e->arena = arena;
    e->all = all;
    e->references = 1;
    e->due_ns = issuer->kind == ISSUER_FILE ? INT64_MAX : 0; /* invariant 5 */
    return e;
}

static enum err
read_file(struct issuer_entry *e, struct why *why)
{
    struct buf text;
    buf_init(&text, e->all->memory, JWKS_BYTES_MAX);
    enum err error = env_read_whole(e->all->env, e->issuer.place, &text, why);
    if (error == ERR_LIMIT)
        why_set(why, error, "%s is longer than %d bytes", e->issuer.place, JWKS_BYTES_MAX);
    if (error == OK) {
        error = take_document(e, buf_bytes(&text), why);
        if (error) why_prefix(why, error, "%s", e->issuer.place);
    }
    buf_fini(&text);
    return error;
}

static void
wake_locked(struct issuers *all)
{
    assert(lock_is_mine(&all->lock));
    if (all->wake != NULL) all->wake(all->context);
}

enum err
issuers_get(struct issuers *all, const struct jwt_settings *settings, struct issuer **ret_issuer,
            struct why *why)
{
    const struct issuer wanted = issuer_of(settings);
    struct issuer_entry *e = find_issuer(all, &wanted);
    if (e != NULL) {
        *ret_issuer = &e->issuer;
        return OK;
    }
    e = entry_new(all, &wanted);
    if (e == NULL) return why_set(why, ERR_NOMEM, "not enough memory for an issuer of tokens");
    enum err error = wanted.kind == ISSUER_FILE ? read_file(e, why) : OK;
    lock_take(&all->lock);
    if (error == OK && all->count == ISSUERS_MAX)
        error = why_set(why, ERR_LIMIT, "there are more than %d issuers of tokens", ISSUERS_MAX);
    if (error == OK) {
        e->next = all->first;
        all->first = e; /* invariant 1: only this thread adds */
        all->count++;
        wake_locked(all);
    }
    lock_drop(&all->lock);
    if (error)
        entry_free(e);
    else
        *ret_issuer = &e->issuer;
    return error;
}

/* --- files ------------------------------------------------------------------------------------ */

/* Returns the next issuer with a file, held; NULL: there are no more. `after`, NULL at first, is
 * released. */
static struct issuer_entry *
next_file(struct issuers *all, struct issuer_entry *after)
{
    lock_take(&all->lock);
    struct issuer_entry *e = after == NULL ? all->first : after->next;
    while (e != NULL && e->issuer.kind != ISSUER_FILE)
        e = e->next;
    if (e != NULL) e->references++;
    lock_drop(&all->lock);
    if (after != NULL) issuer_release(&after->issuer);
    return e;
}

void
issuers_reread_files(struct issuers *all)
{
    struct why why;
    for (struct issuer_entry *e = next_file(all, NULL); e != NULL; e = next_file(all, e)) {
        enum err error = read_file(e, &why);
        if (error) note_failure(e, &why);
    }
}

/* --- what is due ------------------------------------------------------------------------------ */

bool
issuer_miss(struct issuer *issuer, const struct issuer_keys *keys)
{
    struct issuer_entry *e = entry_of(issuer);
    int64_t now_ns = env_monotonic_ns(e->all->env);
    lock_take(&e->all->lock);
    bool is_changed = e->keys != keys;
    bool may_fetch = issuer->kind != ISSUER_FILE && !e->is_fetching &&
                     (!e->has_begun || now_ns - e->began_ns >= ISSUER_MISS_NS);
    if (!is_changed && may_fetch && e->due_ns > now_ns) {
        e->due_ns = now_ns; /* invariant 4 */
        wake_locked(e->all);
    }
    bool is_coming =
        issuer->kind != ISSUER_FILE && (e->is_fetching || e->due_ns <= now_ns || e->failures > 0);
    lock_drop(&e->all->lock);
    return is_changed || is_coming;
}

void
issuers_on_due(struct issuers *all, void (*wake)(void *context), void *context)
{
    lock_take(&all->lock);
    all->wake = wake;
    all->context = context;
    lock_drop(&all->lock);
}

struct issuer *
issuers_due(struct issuers *all, int64_t *ret_wait_ns)
{
    int64_t now_ns = env_monotonic_ns(all->env), first_ns = INT64_MAX;
    lock_take(&all->lock);
    struct issuer_entry *e = all->first;
    for (; e != NULL && e->due_ns > now_ns; e = e->next)
        if (e->due_ns < first_ns) first_ns = e->due_ns;
    if (e != NULL) {
        assert(e->issuer.kind != ISSUER_FILE); /* invariant 5 */
        assert(!e->is_fetching);               /* invariant 3 */
        e->references++;
        e->is_fetching = e->has_begun = true;
        e->began_ns = now_ns;
        e->due_ns = INT64_MAX;
    }
    lock_drop(&all->lock);
    *ret_wait_ns = first_ns == INT64_MAX ? INT64_MAX : first_ns - now_ns;
    return e == NULL ? NULL : &e->issuer;
}

/* Ends the fetch, after its success or failure was noted. */
static void
end_fetch(struct issuer_entry *e)
{
    int64_t now_ns = env_monotonic_ns(e->all->env), pause_ns = ISSUER_PAUSE_FIRST_NS;
    lock_take(&e->all->lock);
    assert(e->is_fetching); /* invariant 3 */
    for (uint32_t i = 1; i < e->failures && pause_ns < ISSUER_PAUSE_MAX_NS; i++)
        pause_ns *= 2;
    if (pause_ns > ISSUER_PAUSE_MAX_NS) pause_ns = ISSUER_PAUSE_MAX_NS;
    e->is_fetching = false;
    e->due_ns = now_ns + (e->failures == 0 ? ISSUER_REFRESH_NS : pause_ns);
    lock_drop(&e->all->lock);
    issuer_release(&e->issuer);
}

void
issuer_fetched(struct issuer *issuer, struct bytes document)
{
    struct issuer_entry *e = entry_of(issuer);
    struct why why;
    enum err error = take_document(e, document, &why);
    if (error) note_failure(e, &why);
    end_fetch(e);
}

void
issuer_failed(struct issuer *issuer, const struct why *why)
{
    note_failure(entry_of(issuer), why);
    end_fetch(entry_of(issuer));
}

void
issuer_given_up(struct issuer *issuer)
{
    end_fetch(entry_of(issuer));
}

/* --- metrics ---------------------------------------------------------------------------------- */

/* Says whether its samples are put: while users change, an issuer may be there twice, with another
 * ca_file. */
static bool
is_shown(const struct issuers *all, const struct issuer_entry *e)
{
    const struct issuer_entry *first = all->first;
    while (strcmp(first->issuer.place, e->issuer.place) != 0)
        first = first->next;
    return first == e;
}

static void
collect(struct metric_sink *sink, void *context)
{
    static const struct metric_family reads = {
        "firekeep_jwt_key_reads_total",
        "Attempts to read the keys of tokens from an issuer, a URL or a file, by result.",
        METRIC_KIND_COUNTER};
    static const struct metric_family read = {
        "firekeep_jwt_keys_read_timestamp_seconds",
        "Unix time at which the keys of tokens were read the last time; 0: never.",
        METRIC_KIND_GAUGE};
    static const struct metric_family keys = {
        "firekeep_jwt_keys", "Keys in force that verify tokens.", METRIC_KIND_GAUGE};
    struct issuers *all = context;
    lock_take(&all->lock);
    for (const struct issuer_entry *e = all->first; e != NULL; e = e->next) {
        if (!is_shown(all, e)) continue;
        struct metric_pair labels[] = {{"from", bytes_of_text(e->issuer.place)},
                                       {"result", bytes_of_text("good")}};
        metric_put_u64(sink, &reads, labels, 2, e->read_count);
        labels[1].value = bytes_of_text("failed");
        metric_put_u64(sink, &reads, labels, 2, e->failed_count);
        metric_put_double(sink, &read, labels, 1, (double)e->read_s);
        metric_put_u64(sink, &keys, labels, 1,
                       e->keys == NULL ? 0 : jwks_counts(e->keys->set).used);
    }
    lock_drop(&all->lock);
}

/* --- life ------------------------------------------------------------------------------------- */

enum err
issuers_new(struct env *env, struct budget *memory, struct issuers **ret_issuers, struct why *why)
{
    struct issuers *all = mem_new(memory, sizeof *all);
    if (all == NULL) return why_set(why, ERR_NOMEM, "not enough memory for issuers of tokens");
    all->env = env;
    all->memory = memory;
    lock_init(&all->lock, LOCK_RANK_AUTH);
    all->collector = (struct metric_collector){.collect = collect, .context = all};
    metric_register_collector(&all->collector);
    *ret_issuers = all;
    return OK;
}

void
issuers_free(struct issuers *all)
{
    if (all == NULL) return;
    metric_unregister(&all->collector.link);
    assert(all->first == NULL); /* invariant 1 */
    lock_fini(&all->lock);
    mem_free(all->memory, all, sizeof *all);
}
