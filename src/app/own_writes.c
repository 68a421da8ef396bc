/*
 * own_writes.c - see own_writes.h.
 *
 * Invariant 1: a request belongs to one write at a time; the spare one belongs to none, and is
 * empty.
 */
#include "app/own_writes.h"

#include <assert.h>

#include "base/text/utf8.h"
#include "wire/remote/remote_write.h"

#define SETTLE_LOOK_NS (100 * NS_PER_MS) /* a commit may have failed without a word */

struct own_writes {
    struct own_writes_options options;

    struct lock lock; /* LOCK_RANK_APP_WAKE; guards the rest */
    struct cond committed;
    uint64_t commits;
    struct rw_request *spare; /* the memory of a write, kept for the next */
};

static struct rw_request *
take_request(struct own_writes *w)
{
    lock_take(&w->lock);
    struct rw_request *request = w->spare;
    w->spare = NULL;
    lock_drop(&w->lock);
    assert(request == NULL || request->series_count == 0); /* invariant 1 */
    if (request != NULL) return request;
    request = mem_new(w->options.memory, sizeof *request);
    if (request == NULL || rw_request_init(request, w->options.memory) == OK) {
        if (request != NULL) request->keys = tsdb_fingerprint_keys(w->options.tsdb);
        return request;
    }
    mem_free(w->options.memory, request, sizeof *request);
    return NULL;
}

static void
request_free(struct own_writes *w, struct rw_request *request)
{
    if (request == NULL) return;
    rw_request_fini(request);
    mem_free(w->options.memory, request, sizeof *request);
}

static void
give_request(struct own_writes *w, struct rw_request *request)
{
    rw_request_clear(request);
    lock_take(&w->lock);
    struct rw_request *too_many = w->spare;
    assert(too_many != request); /* invariant 1 */
    w->spare = request;
    lock_drop(&w->lock);
    request_free(w, too_many);
}

static enum err
ingest(struct own_writes *w, struct rw_request *request, struct bytes tenant, struct bytes message,
       struct rules_written *ret, struct why *why)
{
    struct tsdb *tsdb = w->options.tsdb;
    struct ingest_result result;
    enum err e = rw_decode(request, RW_V1, message, tsdb_hash_seed(tsdb), why);
    if (e == OK) e = tsdb_ingest_own(tsdb, tenant, request, &result, why);
    if (e == ERR_NOMEM) keeper_want_flush(w->options.keeper);
    if (e) return e;
    *ret = (struct rules_written){
        .ticket = result.wait_epoch,
        .rejected = result.rejected_total,
        .conflicts = result.rejected_for[REJECT_CONFLICT],
    };
    assert(ret->conflicts <= ret->rejected);
    struct bytes text = utf8_cut(bytes_of_text(result.text), sizeof ret->text - 1);
    memcpy(ret->text, text.at, text.size); /* zeroed above */
    return OK;
}

enum err
own_write(struct own_writes *w, struct bytes tenant, struct bytes message,
          struct rules_written *ret, struct why *why)
{
    const char *held = w->options.holds_writes(w->options.context);
    if (!w->options.takes_writes(w->options.context)) {
        return why_set(why, ERR_UNSUPPORTED,
                       "cannot be stored: storage.mode is none, and no destination "
                       "is configured");
    }
    if (held != NULL) return why_set(why, ERR_AGAIN, "%s", held);
    struct rw_request *request = take_request(w);
    if (request == NULL) return why_set(why, ERR_NOMEM, "not enough memory to write");
    enum err e = ingest(w, request, tenant, message, ret, why);
    give_request(w, request);
    return e;
}

enum err
own_settle(struct own_writes *w, uint64_t ticket, struct why *why)
{
    struct tsdb *tsdb = w->options.tsdb;
    for (;;) {
        lock_take(&w->lock);
        uint64_t commits = w->commits;
        lock_drop(&w->lock);
        enum tsdb_epoch state = tsdb_epoch(tsdb, ticket);
        if (state == TSDB_EPOCH_DURABLE) return OK;
        if (state == TSDB_EPOCH_VOID) {
            return why_set(why, ERR_AGAIN, "the commit to the write-ahead log failed");
        }
        const char *hangs = keeper_hangs(w->options.keeper);
        if (hangs != NULL) return why_set(why, ERR_CANCELED, "%s", hangs);
        keeper_want_commit(w->options.keeper);
        lock_take(&w->lock);
        if (w->commits == commits) {
            int64_t until = env_monotonic_ns(w->options.env) + SETTLE_LOOK_NS;
            cond_wait_until(&w->committed, &w->lock, until);
        }
        lock_drop(&w->lock);
    }
}

enum err
own_sync(struct own_writes *w, struct why *why)
{
    return keeper_sync(w->options.keeper, why);
}

const char *
own_refuses(struct own_writes *w)
{
    if (!w->options.takes_writes(w->options.context)) return "nothing stores samples";
    return api_refuses_writes(w->options.keeper->api);
}

void
own_committed(struct own_writes *w)
{
    if (w == NULL) return;
    lock_take(&w->lock);
    w->commits++;
    cond_wake_all(&w->committed);
    lock_drop(&w->lock);
}

enum err
own_writes_new(const struct own_writes_options *options, struct own_writes **ret_writes)
{
    struct own_writes *w = mem_new(NULL, sizeof *w);
    if (w == NULL) return ERR_NOMEM;
    w->options = *options;
    lock_init(&w->lock, LOCK_RANK_APP_WAKE);
    cond_init(&w->committed);
    *ret_writes = w;
    return OK;
}

void
own_writes_free(struct own_writes *w)
{
    if (w == NULL) return;
    request_free(w, w->spare);
    cond_fini(&w->committed);
    lock_fini(&w->lock);
    mem_free(NULL, w, sizeof *w);
}
