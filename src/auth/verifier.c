/*
 * verifier.c - see password.h.
 *
 * A check is known by its tag: the HMAC-SHA256, under a random key of the process, of the user's
 * name, the hash and the password. The cache is a set of tags; without the key a client cannot make
 * two checks collide, nor learn where a tag is in the table. A tag can be tried out much faster
 * than the hash of a password, so a tag that is not used does not stay: each call looks at one
 * further entry and removes it if it has expired. For the same reason the cache also has a tag of
 * each check with the client that sent it, and a client that failed too often is only compared with
 * its own tags: otherwise it could guess the passwords of all active users as fast as it can send.
 * So are all clients while the queue is full, because their failures are not counted.
 *
 * Clients take turns in the queue: a check is put after one of each other client that waits. What
 * a client may fail is judged when its check is due, by is_barred(): then all its earlier checks
 * have been answered and counted, so that as many are hashed as if they had come one by one.
 *
 * Entries expire when they have not been used for a time, not when they reach an age: a change of
 * the users empties the cache, so age does not make an entry wrong, and with 1,000 users an age of
 * five minutes would cost a sixth of a core and let all of them queue at the same moments.
 * A full cache evicts by the second-chance rule (clock): a hand passes over entries, clears their
 * marks of use, and stops at the first one without.
 *
 * Invariants:
 *  1. Each check is free, waiting, or with the thread: their numbers add up to queue_max.
 *  2. A check that is not free has a callback, which is called once, by the thread; a free one has
 *     none, and holds no secret.
 *  3. The first `entry_count` entries have different tags, and the table has each of them under its
 *     tag; there are at most cache_max.
 *  4. A tag enters the cache in the generation of users that its check was queued in.
 *  5. Waiting checks are in the order of their rounds, none of which is below `round`; those of one
 *     client have different rounds.
 */

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "auth/password.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/table.h"

enum { TAG_BYTES = 32, VERIFIER_KEY_BYTES = 32 };

struct verifier_job {
    struct verifier_job *next;
    struct verifier_caller caller;
    uint64_t generation;
    uint64_t round;
    bool is_unknown;
    uint8_t client[VERIFIER_CLIENT_BYTES]; /* the rest is 0 */
    uint32_t password_bytes;
    uint8_t tag[TAG_BYTES], own_tag[TAG_BYTES]; /* without and with the client */
    char hash[PASSWORD_HASH_BYTES];
    uint8_t password[PASSWORD_BYTES_MAX + 1]; /* as much as password_check() reads */
};

struct verified_entry {
    int64_t expires_ns;
    bool is_used; /* since the hand passed */
    uint8_t tag[TAG_BYTES];
};

struct verifier {
    /* Immutable after verifier_start(). */
    struct env *env;
    struct budget *budget;
    struct verifier_options options;
    struct env_thread *thread;
    uint8_t key[VERIFIER_KEY_BYTES];
    struct verifier_job *jobs; /* options.queue_max */

    struct lock lock; /* LOCK_RANK_AUTH; guards to the next blank line */
    struct cond work; /* something waits, or `stops` */
    bool stops;
    uint64_t generation; /* of the users */
    struct verifier_job *free;
    struct verifier_job *first; /* waiting, in their order */
    uint64_t round;             /* of the check that was taken last */
    uint32_t free_count, waiting_count, taken_count;
    struct verified_entry *entries; /* options.cache_max */
    uint32_t entry_count;
    uint32_t hand;      /* an entry, or any number */
    struct table table; /* indexes of entries */
    struct verifier_counts counts;
};

static void
assert_counts(const struct verifier *v)
{
    assert(lock_is_mine(&v->lock));
    uint32_t all = v->free_count + v->waiting_count + v->taken_count;
    assert(all == v->options.queue_max);      /* invariant 1 */
    assert(v->entry_count == v->table.count); /* invariant 3 */
    assert(v->entry_count <= v->options.cache_max);
}

/* --- the cache -------------------------------------------------------------------------------- */

static bool
make_tag(const struct verifier *v, bool is_unknown, struct bytes client, struct bytes user,
         struct bytes hash, struct bytes password, uint8_t *ret_tag)
{
    gnutls_hmac_hd_t hmac;
    uint8_t head[25];
    if (gnutls_hmac_init(&hmac, GNUTLS_MAC_SHA256, v->key, sizeof v->key) < 0) return false;
    head[0] = is_unknown;
    store_le64(head + 1, user.size);
    store_le64(head + 9, hash.size);
    store_le64(head + 17, client.size);
    bool failed = gnutls_hmac(hmac, head, sizeof head) < 0 ||
                  (client.size > 0 && gnutls_hmac(hmac, client.at, client.size) < 0) ||
                  (user.size > 0 && gnutls_hmac(hmac, user.at, user.size) < 0) ||
                  gnutls_hmac(hmac, hash.at, hash.size) < 0 ||
                  (password.size > 0 && gnutls_hmac(hmac, password.at, password.size) < 0);
    gnutls_hmac_deinit(hmac, ret_tag);
    return !failed;
}

static bool
is_same_tag(const uint8_t *a, const uint8_t *b)
{
    return gnutls_memcmp(a, b, TAG_BYTES) == 0;
}

/* Removes an entry; the last one takes its place. */
static void
remove_entry(struct verifier *v, uint32_t id)
{
    struct verified_entry *entry = &v->entries[id], *last = &v->entries[v->entry_count - 1];
    assert(id < v->entry_count);
    table_remove(&v->table, load_le64(entry->tag), id);
    if (entry != last) {
        table_remove(&v->table, load_le64(last->tag), v->entry_count - 1);
        *entry = *last;
        table_add(&v->table, load_le64(entry->tag), id);
    }
    explicit_bzero(last, sizeof *last);
    v->entry_count--;
    assert_counts(v);
}

/* Moves the hand to the next entry; there is one. */
static struct verified_entry *
next_entry(struct verifier *v)
{
    v->hand = v->hand + 1 < v->entry_count ? v->hand + 1 : 0;
    assert(v->hand < v->entry_count);
    return &v->entries[v->hand];
}

/* Returns the entry with the tag, or NULL. */
static struct verified_entry *
find_entry(const struct verifier *v, const uint8_t *tag)
{
    for (uint32_t at = TABLE_START, id; table_next(&v->table, load_le64(tag), &at, &id);)
        if (is_same_tag(v->entries[id].tag, tag)) return &v->entries[id];
    return NULL;
}

/* Says whether the tag is remembered, and remembers it for longer. */
static bool
use_entry(struct verifier *v, const uint8_t *tag, int64_t now_ns)
{
    if (v->entry_count > 0 && next_entry(v)->expires_ns <= now_ns) remove_entry(v, v->hand);
    struct verified_entry *entry = find_entry(v, tag);
    if (entry == NULL) return false;
    if (entry->expires_ns <= now_ns) {
        remove_entry(v, (uint32_t)(entry - v->entries));
        return false;
    }
    entry->expires_ns = now_ns + v->options.cache_ns;
    entry->is_used = true;
    return true;
}

/* Remembers a tag, unless it is remembered already. */
static void
remember(struct verifier *v, const uint8_t *tag, int64_t now_ns)
{
    if (find_entry(v, tag) != NULL) return; /* invariant 3 */
    if (v->entry_count == v->options.cache_max) {
        struct verified_entry *entry = next_entry(v);
        while (entry->is_used) {
            entry->is_used = false;
            entry = next_entry(v);
        }
        remove_entry(v, v->hand);
    }
    struct verified_entry *entry = &v->entries[v->entry_count];
    entry->expires_ns = now_ns + v->options.cache_ns;
    entry->is_used = false;
    memcpy(entry->tag, tag, TAG_BYTES);
    table_add(&v->table, load_le64(entry->tag), v->entry_count++);
    assert_counts(v);
}

/* Says whether a check is known to be good, and then remembers that this client made it. */
static bool
is_known(struct verifier *v, const uint8_t *tag, const uint8_t *own_tag, bool only_own,
         int64_t now_ns)
{
    if (use_entry(v, own_tag, now_ns)) return true;
    if (only_own || !use_entry(v, tag, now_ns)) return false;
    remember(v, own_tag, now_ns);
    return true;
}

void
verifier_forget_all(struct verifier *v)
{
    lock_take(&v->lock);
    v->generation++;
    table_clear(&v->table);
    explicit_bzero(v->entries, v->entry_count * sizeof *v->entries);
    v->entry_count = 0;
    assert_counts(v);
    lock_drop(&v->lock);
}

/* --- the queue -------------------------------------------------------------------------------- */

/* Counts the waiting checks of a client, and finds the round of its next one. */
static uint32_t
count_client(const struct verifier *v, const uint8_t *client, uint64_t *ret_round)
{
    uint32_t count = 0;
    *ret_round = v->round + 1;
    for (const struct verifier_job *job = v->first; job != NULL; job = job->next) {
        if (memcmp(job->client, client, VERIFIER_CLIENT_BYTES) != 0) continue;
        count++;
        *ret_round = job->round + 1;
    }
    return count;
}

static void
add_job(struct verifier *v, struct verifier_job *job)
{
    struct verifier_job **place = &v->first;
    while (*place != NULL && (*place)->round <= job->round)
        place = &(*place)->next;
    assert(job->round > v->round);                          /* invariant 5 */
    assert(*place == NULL || (*place)->round > job->round); /* invariant 5 */
    job->next = *place;
    *place = job;
    v->waiting_count++;
    assert_counts(v);
    cond_wake_one(&v->work);
}

static enum verifier_answer
submit(struct verifier *v, bool is_unknown, struct bytes user, const char *hash,
       struct bytes password, struct verifier_caller caller)
{
    uint8_t tag[TAG_BYTES], own_tag[TAG_BYTES], client[VERIFIER_CLIENT_BYTES] = {0};
    uint64_t round;
    const struct bytes any_client = bytes_of(NULL, 0), hashed = bytes_of_text(hash);
    assert(hashed.size < PASSWORD_HASH_BYTES);
    assert(caller.callback != NULL); /* invariant 2 */
    assert(caller.client.size <= sizeof client);
    if (caller.client.size > 0) memcpy(client, caller.client.at, caller.client.size);
    bool has_tags = make_tag(v, is_unknown, any_client, user, hashed, password, tag) &&
                    make_tag(v, is_unknown, caller.client, user, hashed, password, own_tag);
    const int64_t now_ns = env_monotonic_ns(v->env);
    enum verifier_answer answer = VERIFIER_FULL;
    lock_take(&v->lock);
    const bool is_full = count_client(v, client, &round) >= v->free_count;
    const bool only_own = caller.only_own || is_full;
    if (has_tags && !is_unknown && is_known(v, tag, own_tag, only_own, now_ns)) {
        v->counts.known++;
        answer = VERIFIER_KNOWN_GOOD;
    } else if (caller.only_own) {
        answer = VERIFIER_NOT_KNOWN;
    } else if (!has_tags || v->stops || is_full) {
        v->counts.full++;
    } else {
        struct verifier_job *job = v->free;
        v->free = job->next;
        v->free_count--;
        assert(job->caller.callback == NULL && job->password[0] == '\0'); /* invariant 2 */
        job->caller = caller;
        job->caller.client = any_client; /* the caller's memory */
        job->generation = v->generation;
        job->round = round;
        memcpy(job->client, client, sizeof client);
        job->is_unknown = is_unknown;
        memcpy(job->tag, tag, TAG_BYTES);
        memcpy(job->own_tag, own_tag, TAG_BYTES);
        memcpy(job->hash, hash, hashed.size + 1);
        job->password_bytes =
            (uint32_t)(password.size < sizeof job->password ? password.size : sizeof job->password);
        if (job->password_bytes > 0) memcpy(job->password, password.at, job->password_bytes);
        add_job(v, job);
        answer = VERIFIER_QUEUED;
    }
    lock_drop(&v->lock);
    return answer;
}

enum verifier_answer
verifier_check(struct verifier *v, struct bytes user, const char *hash, struct bytes password,
               struct verifier_caller caller)
{
    return submit(v, false, user, hash, password, caller);
}

enum verifier_answer
verifier_check_unknown(struct verifier *v, struct bytes user, const char *dearest,
                       struct bytes password, struct verifier_caller caller)
{
    return submit(v, true, user, dearest, password, caller);
}

struct verifier_counts
verifier_counts(struct verifier *v)
{
    lock_take(&v->lock);
    struct verifier_counts counts = v->counts;
    counts.waiting = v->waiting_count + v->taken_count;
    counts.remembered = v->entry_count;
    lock_drop(&v->lock);
    return counts;
}

/* --- the thread ------------------------------------------------------------------------------- */

static struct verifier_job *
take_job(struct verifier *v, struct verifier_job **link)
{
    struct verifier_job *job = *link;
    *link = job->next;
    job->next = NULL;
    v->waiting_count--;
    v->taken_count++;
    assert_counts(v);
    return job;
}

static enum verifier_result
hash_password(struct verifier *v, const struct verifier_job *job)
{
    bool good = false;
    struct bytes password = bytes_of(job->password, job->password_bytes);
    if (password_check(v->budget, job->hash, password, &good) != OK) return VERIFIER_UNCHECKED;
    return good && !job->is_unknown ? VERIFIER_GOOD : VERIFIER_BAD;
}

static void
remember_jobs(struct verifier *v, const struct verifier_job *jobs, int64_t now_ns)
{
    assert(jobs->generation == v->generation); /* invariant 4 */
    remember(v, jobs->tag, now_ns);
    for (const struct verifier_job *job = jobs; job != NULL; job = job->next)
        remember(v, job->own_tag, now_ns);
}

/* Hashes for one job; the result is that of all that are equal to it. */
static enum verifier_result
run_job_locked(struct verifier *v, struct verifier_job *job)
{
    enum verifier_result result = VERIFIER_UNCHECKED;
    if (!v->stops && job->generation == v->generation) {
        bool is_good = !job->is_unknown && use_entry(v, job->tag, env_monotonic_ns(v->env));
        lock_drop(&v->lock);
        bool is_barred =
            job->caller.is_barred != NULL && job->caller.is_barred(job->caller.context);
        bool is_hashed = !is_barred && !is_good;
        if (!is_barred) result = is_good ? VERIFIER_GOOD : hash_password(v, job);
        lock_take(&v->lock);
        v->counts.hashed += is_hashed;
    }
    /* The waiting checks of the same client that are equal to `job`, of the same generation, are
     * appended to it. Others find a good password in the cache. */
    struct verifier_job *last = job;
    for (struct verifier_job **link = &v->first; *link != NULL;) {
        if ((*link)->generation == job->generation && is_same_tag((*link)->own_tag, job->own_tag)) {
            last->next = take_job(v, link);
            last = last->next;
        } else {
            link = &(*link)->next;
        }
    }
    if (job->generation != v->generation) return VERIFIER_OUTDATED;
    if (result == VERIFIER_GOOD) remember_jobs(v, job, env_monotonic_ns(v->env));
    return result;
}

/* Answers a list of jobs, which are then free. */
static void
answer_jobs(struct verifier *v, struct verifier_job *jobs, enum verifier_result result)
{
    while (jobs != NULL) {
        struct verifier_job *job = jobs;
        struct verifier_caller caller = job->caller;
        enum verifier_result own_result = result;
        if (result == VERIFIER_BAD) result = VERIFIER_BAD_AGAIN;
        jobs = job->next;
        explicit_bzero(job, sizeof *job);
        lock_take(&v->lock);
        job->next = v->free;
        v->free = job;
        v->taken_count--;
        v->free_count++;
        assert_counts(v);
        lock_drop(&v->lock);
        caller.callback(caller.context, own_result);
    }
}

static void
run(void *argument)
{
    struct verifier *v = argument;
    lock_take(&v->lock);
    for (;;) {
        while (!v->stops && v->first == NULL)
            cond_wait(&v->work, &v->lock);
        if (v->first == NULL) break;
        assert(v->first->round >= v->round); /* invariant 5 */
        v->round = v->first->round;
        struct verifier_job *job = take_job(v, &v->first);
        enum verifier_result result = run_job_locked(v, job);
        lock_drop(&v->lock);
        answer_jobs(v, job, result);
        lock_take(&v->lock);
    }
    lock_drop(&v->lock);
}

/* --- start and stop --------------------------------------------------------------------------- */

static enum err
allocate(struct verifier *v)
{
    const struct verifier_options *o = &v->options;
    v->jobs = mem_new(v->budget, o->queue_max * sizeof *v->jobs);
    v->entries = mem_new(v->budget, o->cache_max * sizeof *v->entries);
    if (v->jobs == NULL || v->entries == NULL || !table_reserve(&v->table, v->budget, o->cache_max))
        return ERR_NOMEM;
    for (uint32_t i = 0; i < o->queue_max; i++) {
        v->jobs[i].next = v->free;
        v->free = &v->jobs[i];
    }
    v->free_count = o->queue_max;
    return OK;
}

enum err
verifier_start(struct env *env, struct budget *budget, const struct verifier_options *options,
               struct verifier **ret_verifier, struct why *why)
{
    assert(options->queue_max > 0);
    assert(options->cache_max > 0);
    assert(options->cache_ns > 0);
    struct verifier *v = mem_new(budget, sizeof *v);
    if (v == NULL) return why_set(why, ERR_NOMEM, "not enough memory to check passwords");
    v->env = env;
    v->budget = budget;
    v->options = *options;
    lock_init(&v->lock, LOCK_RANK_AUTH);
    cond_init(&v->work);
    enum err e = allocate(v);
    if (e) {
        why_set(why, e, "not enough memory to check passwords");
        goto out;
    }
    e = env_random(env, v->key, sizeof v->key);
    if (e) {
        why_set(why, e, "cannot get random bytes for a key: %s", err_word(e));
        goto out;
    }
    e = env_thread_start(env, "passwords", run, v, &v->thread);
    if (e) {
        why_set(why, e, "cannot start the thread that checks passwords");
        goto out;
    }
    *ret_verifier = v;
    v = NULL;
out:
    verifier_stop(v);
    return e;
}

void
verifier_stop(struct verifier *v)
{
    if (v == NULL) return;
    if (v->thread != NULL) {
        lock_take(&v->lock);
        v->stops = true;
        cond_wake_one(&v->work);
        lock_drop(&v->lock);
        env_thread_join(v->env, v->thread);
    }
    assert(v->first == NULL && v->taken_count == 0); /* invariant 2 */
    table_fini(&v->table, v->budget);
    mem_free_secret(v->budget, v->entries, v->options.cache_max * sizeof *v->entries);
    mem_free_secret(v->budget, v->jobs, v->options.queue_max * sizeof *v->jobs);
    cond_fini(&v->work);
    lock_fini(&v->lock);
    mem_free_secret(v->budget, v, sizeof *v);
}
