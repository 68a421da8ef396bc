/*
 * key_fetch.c - see tokens.h.
 *
 *   issuers_due() --> DOCUMENT --is read--> KEYS --> issuer_fetched()
 *                \--------- (a URL) -------/    \--> issuer_failed(), from each state
 *
 * Invariants:
 *  1. Each fetch in the list has one call on its way, whose context it is.
 *  2. A fetch holds its issuer, and ends with one of the functions above, or with
 *     issuer_given_up().
 */
#include "auth/tokens/tokens.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>

#include "base/text/quote.h"
#include "base/version.h"
#include "net/http_calls.h"
#include "wire/json/json_tree.h"

/* --- the document of an issuer ---------------------------------------------------------------- */

enum { KEY_FETCH_VALUES_MAX = 4096 };

static bool
has_scheme(const char *url, const char *scheme)
{
    size_t size = strlen(scheme);
    return strncasecmp(url, scheme, size) == 0 && url[size] != '/' && url[size] != '\0';
}

enum err
issuer_document_url(const char *issuer, char *to, struct why *why)
{
    static const char path[] = "/.well-known/openid-configuration";
    size_t size = strlen(issuer);
    while (size > 0 && issuer[size - 1] == '/')
        size--;
    if (strpbrk(issuer, "?#") != NULL)
        return why_set(why, ERR_INPUT, "issuer must not contain a query or a fragment");
    if (size + sizeof path > ISSUER_URL_BYTES)
        return why_set(why, ERR_LIMIT, "issuer is longer than %zu bytes",
                       (size_t)ISSUER_URL_BYTES - sizeof path);
    memcpy(to, issuer, size);
    memcpy(to + size, path, sizeof path);
    return OK;
}

/* Says whether all bytes are those that a URL may have: blanks and controls would be dropped, or
 * sent. */
static bool
is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] <= ' ' || text.at[i] > '~') return false;
    return true;
}

static enum err
take_url(struct bytes url, const char *issuer, char *ret_url, struct why *why)
{
    if (url.size == 0) return why_set(why, ERR_INPUT, "it has no jwks_uri");
    if (url.size >= ISSUER_URL_BYTES || !is_plain(url))
        return why_set(why, ERR_INPUT, "its jwks_uri is not a URL of less than %d bytes: %s",
                       ISSUER_URL_BYTES, shown_of(url).text);
    memcpy(ret_url, url.at, url.size);
    ret_url[url.size] = '\0';
    if (has_scheme(ret_url, "https://")) return OK;
    if (!has_scheme(ret_url, "http://"))
        return why_set(why, ERR_INPUT, "its jwks_uri is not a URL of https: %s",
                       shown_of(url).text);
    if (has_scheme(issuer, "http://")) return OK;
    return why_set(why, ERR_INPUT,
                   "its jwks_uri has http, which would let others replace the keys: %s",
                   shown_of(url).text);
}

enum err
issuer_document_read(struct budget *budget, struct bytes document, const char *issuer,
                     char *ret_url, struct why *why)
{
    struct json_tree json = {.root = NULL};
    if (document.size > ISSUER_DOCUMENT_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "it is longer than %d bytes", ISSUER_DOCUMENT_BYTES_MAX);
    enum err e = json_tree_read(budget, document, KEY_FETCH_VALUES_MAX, &json, why);
    if (e) return e;
    struct bytes named = json_tree_text(json_object_get(json.root, "issuer"));
    if (named.at == NULL || !bytes_equal_text(named, issuer))
        e = why_set(why, ERR_INPUT, "its issuer is %s, expected %s", shown_of(named).text,
                    shown_of(bytes_of_text(issuer)).text);
    else
        e = take_url(json_tree_text(json_object_get(json.root, "jwks_uri")), issuer, ret_url, why);
    json_tree_fini(&json);
    return e;
}

struct key_fetch {
    struct key_fetch *next;
    struct issuer *issuer;
    enum { FETCH_DOCUMENT, FETCH_KEYS } step;
    struct http_calls_target target;
    char url[ISSUER_URL_BYTES];
};

struct key_fetcher {
    struct env *env;
    struct budget *memory;
    struct issuers *issuers;
    struct http_calls *calls;
    struct env_thread *thread;
    atomic_bool stops; /* release: the thread that sees it has nothing else to read */

    struct key_fetch *first; /* the thread's own */
};

/* --- a fetch ---------------------------------------------------------------------------------- */

static void
remove_fetch(struct key_fetcher *f, struct key_fetch *fetch)
{
    struct key_fetch **at = &f->first;
    while (*at != fetch) {
        assert(*at != NULL); /* invariant 1 */
        at = &(*at)->next;
    }
    *at = fetch->next;
    mem_free(f->memory, fetch, sizeof *fetch);
}

/* Ends a fetch that has failed. */
static void
fail(struct key_fetcher *f, struct key_fetch *fetch, const struct why *why)
{
    struct issuer *issuer = fetch->issuer;
    remove_fetch(f, fetch);
    issuer_failed(issuer, why); /* invariant 2 */
}

static void
send_request(struct key_fetcher *f, struct key_fetch *fetch)
{
    static const char *const headers[] = {"Accept: application/json", NULL};
    struct why why;
    const struct http_call call = {
        .target = &fetch->target,
        .method = "GET",
        .url = fetch->url,
        .headers = headers,
        .answer_bytes_max =
            fetch->step == FETCH_DOCUMENT ? ISSUER_DOCUMENT_BYTES_MAX : JWKS_BYTES_MAX,
        .context = fetch,
    };
    if (http_calls_start(f->calls, &call, &why) != OK) fail(f, fetch, &why);
}

static void
begin(struct key_fetcher *f, struct issuer *issuer)
{
    struct why why;
    struct key_fetch *fetch = mem_new(f->memory, sizeof *fetch);
    if (fetch == NULL) {
        why_set(&why, ERR_NOMEM, "not enough memory to fetch keys");
        issuer_failed(issuer, &why); /* invariant 2 */
        return;
    }
    fetch->issuer = issuer;
    fetch->step = issuer->kind == ISSUER_DISCOVERED ? FETCH_DOCUMENT : FETCH_KEYS;
    fetch->target = (struct http_calls_target){
        .ca_file = http_calls_ca_file(issuer->ca_file),
        .connect_timeout_ms = KEY_FETCH_CONNECT_NS / NS_PER_MS,
        .timeout_ms = KEY_FETCH_NS / NS_PER_MS,
    };
    fetch->next = f->first;
    f->first = fetch;
    enum err e = OK;
    if (fetch->step == FETCH_DOCUMENT)
        e = issuer_document_url(issuer->place, fetch->url, &why);
    else if ((size_t)snprintf(fetch->url, sizeof fetch->url, "%s", issuer->place) >=
             sizeof fetch->url)
        e = why_set(&why, ERR_LIMIT, "the URL is longer than %zu bytes", sizeof fetch->url - 1);
    if (e)
        fail(f, fetch, &why);
    else
        send_request(f, fetch);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Refuses an answer that cannot be used. The body is not quoted: it may be any page. */
static enum err
judge_answer(const struct http_call_answer *answer, struct why *why)
{
    if (answer->failure == HTTP_CALL_NO_MEMORY)
        return why_set(why, ERR_NOMEM, "not enough memory for the response");
    if (answer->failure != HTTP_CALL_ANSWERED) return why_set(why, ERR_AGAIN, "%s", answer->error);
    if (answer->status / 100 == 3)
        return why_set(why, ERR_INPUT, "status %u, and redirects are not followed", answer->status);
    if (answer->status != 200) return why_set(why, ERR_AGAIN, "status %u", answer->status);
    if (answer->body_cut) return why_set(why, ERR_LIMIT, "the response is too large");
    return OK;
}

static void
take_answer(struct key_fetcher *f, const struct http_call_answer *answer)
{
    struct key_fetch *fetch = answer->context;
    struct issuer *issuer = fetch->issuer;
    struct why why;
    enum err e = judge_answer(answer, &why);
    if (e == OK && fetch->step == FETCH_KEYS) {
        remove_fetch(f, fetch);
        issuer_fetched(issuer, answer->body); /* invariant 2 */
        return;
    }
    char asked[ISSUER_URL_BYTES];
    memcpy(asked, fetch->url, sizeof asked);
    if (e == OK) e = issuer_document_read(f->memory, answer->body, issuer->place, fetch->url, &why);
    if (e) {
        why_prefix(&why, e, "%.200s", asked);
        fail(f, fetch, &why);
        return;
    }
    fetch->step = FETCH_KEYS;
    send_request(f, fetch);
}

/* --- the thread ------------------------------------------------------------------------------- */

static void
run(void *argument)
{
    struct key_fetcher *f = argument;
    struct http_call_answer answer;
    while (!atomic_load_explicit(&f->stops, memory_order_acquire)) {
        int64_t wait_ns;
        struct issuer *issuer;
        while ((issuer = issuers_due(f->issuers, &wait_ns)) != NULL)
            begin(f, issuer);
        /* Rounded up, so that the time has come when it is looked at again. */
        int64_t wait_ms = wait_ns / NS_PER_MS + 1;
        http_calls_poll(f->calls, wait_ms < INT32_MAX ? (int)wait_ms : INT32_MAX);
        while (http_calls_done(f->calls, &answer))
            take_answer(f, &answer);
    }
    while (f->first != NULL) {
        struct issuer *held = f->first->issuer;
        http_calls_give_up(f->calls, f->first);
        remove_fetch(f, f->first);
        issuer_given_up(held); /* invariant 2 */
    }
}

static void
wake(void *context)
{
    struct key_fetcher *f = context;
    http_calls_wake(f->calls);
}

enum err
key_fetcher_start(struct env *env, struct budget *memory, struct issuers *issuers,
                  struct key_fetcher **ret_fetcher, struct why *why)
{
    struct key_fetcher *f = mem_new(memory, sizeof *f);
    if (f == NULL) return why_set(why, ERR_NOMEM, "not enough memory to fetch keys");
    *f = (struct key_fetcher){.env = env, .memory = memory, .issuers = issuers};
    enum err e = http_calls_new(env, memory, "Firekeep/" FIREKEEP_VERSION, &f->calls, why);
    if (e == OK) {
        issuers_on_due(issuers, wake, f);
        e = env_thread_start(env, "key-fetch", run, f, &f->thread);
        why_set(why, e, "cannot start the thread that fetches keys");
    }
    if (e)
        key_fetcher_stop(f);
    else
        *ret_fetcher = f;
    return e;
}

void
key_fetcher_stop(struct key_fetcher *f)
{
    if (f == NULL) return;
    issuers_on_due(f->issuers, NULL, NULL);
    atomic_store_explicit(&f->stops, true, memory_order_release);
    if (f->thread != NULL) {
        http_calls_wake(f->calls);
        env_thread_join(f->env, f->thread);
    }
    http_calls_free(f->calls);
    mem_free(f->memory, f, sizeof *f);
}
