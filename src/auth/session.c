/*
 * session.c - see gate_private.h.
 *
 * The value is base64 of KIND BEGAN ID MAC (57 bytes, so without padding), a dot, and the subject:
 * a name in base64, or a token as it is. No version is needed, because the process that reads a
 * session has made it. Times are monotonic for the same reason: no change of the clock makes a
 * session live longer.
 *
 * Nothing is kept for a session that goes on. Those that were ended are remembered until they would
 * have expired, and looked for one by one: browsers send few requests. If there is no room, the two
 * oldest of the user with the most become one entry, for all sessions of the user up to that time:
 * a program that begins and ends sessions ends no other user's.
 *
 * Invariants:
 *  1. A session that was ended is among `ended`, or has expired, or began at `void_ns` or before,
 *     or not after the entry of its user that is for all.
 *  2. There are at most SESSION_ENDED_MAX in `ended`, in the order of users and times, all of which
 *     began after `void_ns`. Only the first one of a user is for all.
 */
#include "auth/gate_private.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/hash/hash.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/text/base64.h"

enum {
    KEY_BYTES = 32,
    USER_BYTES = 8, /* of an ID */
    SIGNED_BYTES = 1 + 8 + SESSION_ID_BYTES,
    HEAD_BYTES = SIGNED_BYTES + SESSION_MAC_BYTES,
    HEAD_TEXT_BYTES = HEAD_BYTES / 3 * 4,
};
_Static_assert(HEAD_BYTES % 3 == 0, "its base64 has no padding");

struct ended_session {
    int64_t began_ns;
    bool is_for_all; /* of the user that began then or before */
    uint8_t id[SESSION_ID_BYTES];
};

struct sessions {
    /* Immutable after sessions_new(). */
    struct env *env;
    struct budget *memory;
    uint8_t key[KEY_BYTES];

    struct lock lock; /* LOCK_RANK_LEAF; guards the rest */
    struct ended_session ended[SESSION_ENDED_MAX];
    uint32_t ended_count;
    int64_t void_ns;
};

/* --- life ------------------------------------------------------------------------------------- */

enum err
sessions_new(struct env *env, struct budget *memory, struct sessions **ret_sessions)
{
    struct sessions *s = mem_new(memory, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    s->env = env;
    s->memory = memory;
    s->void_ns = INT64_MIN;
    lock_init(&s->lock, LOCK_RANK_LEAF);
    enum err e = env_random(env, s->key, sizeof s->key);
    if (e)
        sessions_free(s);
    else
        *ret_sessions = s;
    return e;
}

void
sessions_free(struct sessions *s)
{
    if (s == NULL) return;
    lock_fini(&s->lock);
    mem_free_secret(s->memory, s, sizeof *s);
}

/* --- values ----------------------------------------------------------------------------------- */

static void
print_signed(const struct session *session, uint8_t to[static SIGNED_BYTES])
{
    to[0] = (uint8_t)session->kind;
    store_le64(to + 1, (uint64_t)session->began_ns);
    memcpy(to + 9, session->id, SESSION_ID_BYTES);
}

/* False without memory. */
static bool
make_mac(const struct sessions *s, const struct session *session, struct bytes secret,
         uint8_t *ret_mac)
{
    gnutls_hmac_hd_t hmac;
    uint8_t head[SIGNED_BYTES], size[8];
    if (gnutls_hmac_init(&hmac, GNUTLS_MAC_SHA256, s->key, sizeof s->key) < 0) return false;
    print_signed(session, head);
    store_le64(size, session->subject.size);
    bool failed = gnutls_hmac(hmac, head, sizeof head) < 0 ||
                  gnutls_hmac(hmac, size, sizeof size) < 0 ||
                  gnutls_hmac(hmac, session->subject.at, session->subject.size) < 0 ||
                  (secret.size > 0 && gnutls_hmac(hmac, secret.at, secret.size) < 0);
    gnutls_hmac_deinit(hmac, ret_mac);
    return !failed;
}

enum err
session_begin(struct sessions *s, enum session_kind kind, struct bytes subject, struct bytes user,
              struct bytes secret, struct buf *to)
{
    struct session session = {
        .kind = kind, .began_ns = env_monotonic_ns(s->env), .subject = subject};
    uint8_t head[HEAD_BYTES];
    size_t size = kind == SESSION_OF_TOKEN ? subject.size : base64_size(subject.size);
    assert(subject.size > 0);
    if (size > SESSION_VALUE_BYTES_MAX - HEAD_TEXT_BYTES - 1) return ERR_LIMIT;
    enum err e = env_random(s->env, session.id, sizeof session.id);
    if (e) return e;
    store_le64(session.id, hash_bytes(user, load_le64(s->key)));
    print_signed(&session, head);
    if (!make_mac(s, &session, secret, head + SIGNED_BYTES)) return ERR_NOMEM;
    base64_put(to, bytes_of(head, sizeof head));
    buf_put_u8(to, '.');
    if (kind == SESSION_OF_TOKEN)
        buf_put_bytes(to, subject);
    else
        base64_put(to, subject);
    return buf_error(to);
}

void
session_print_name(const char *external_url, bool is_secure,
                   char ret_name[static SESSION_COOKIE_NAME_BYTES])
{
    uint32_t hash = (uint32_t)hash_bytes(bytes_of_text(external_url), 0);
    snprintf(ret_name, SESSION_COOKIE_NAME_BYTES, "%sfirekeep-%08x", is_secure ? "__Host-" : "",
             hash);
}

/* Returns the value of the first cookie of that name; `at` is NULL if there is none. */
static struct bytes
find_cookie(const char *cookies, const char *name)
{
    size_t name_size = strlen(name);
    while (*cookies != '\0') {
        cookies += strspn(cookies, "; \t");
        size_t size = strcspn(cookies, "; \t");
        if (size > name_size && memcmp(cookies, name, name_size) == 0 && cookies[name_size] == '=')
            return bytes_of(cookies + name_size + 1, size - name_size - 1);
        cookies += size;
    }
    return bytes_of(NULL, 0);
}

bool
session_find(const char *cookies, const char *name, struct buf *room, struct session *ret)
{
    struct bytes value = find_cookie(cookies, name);
    if (value.size <= HEAD_TEXT_BYTES + 1 || value.size > SESSION_VALUE_BYTES_MAX) return false;
    struct bytes head = bytes_of(value.at, HEAD_TEXT_BYTES);
    struct bytes subject =
        bytes_of(value.at + HEAD_TEXT_BYTES + 1, value.size - HEAD_TEXT_BYTES - 1);
    buf_clear(room);
    if (value.at[HEAD_TEXT_BYTES] != '.' || base64_get(head, room) != OK) return false;
    if (room->size != HEAD_BYTES) return false; /* with padding, it is shorter */
    uint8_t kind = room->at[0];
    struct session session = {.kind = kind, .began_ns = (int64_t)load_le64(room->at + 1)};
    memcpy(session.id, room->at + 9, SESSION_ID_BYTES);
    memcpy(session.mac, room->at + SIGNED_BYTES, SESSION_MAC_BYTES);
    buf_clear(room);
    if (kind == SESSION_OF_TOKEN)
        buf_put_bytes(room, subject);
    else if (kind != SESSION_OF_USER || base64_get(subject, room) != OK)
        return false;
    session.subject = buf_bytes(room);
    *ret = session;
    return buf_error(room) == OK;
}

/* --- the end of sessions ---------------------------------------------------------------------- */

static bool
was_ended_locked(const struct sessions *s, const struct session *session)
{
    assert(lock_is_mine(&s->lock));
    if (session->began_ns <= s->void_ns) return true;
    for (uint32_t i = 0; i < s->ended_count; i++) {
        const struct ended_session *ended = &s->ended[i];
        bool is_void = ended->is_for_all && session->began_ns <= ended->began_ns;
        if (memcmp(ended->id, session->id, is_void ? USER_BYTES : SESSION_ID_BYTES) == 0)
            return true;
    }
    return false;
}

bool
session_is_good(struct sessions *s, const struct session *session, struct bytes secret)
{
    uint8_t mac[SESSION_MAC_BYTES];
    if (!make_mac(s, session, secret, mac)) return false;
    if (gnutls_memcmp(mac, session->mac, sizeof mac) != 0) return false;
    assert(session->began_ns <= env_monotonic_ns(s->env)); /* it was made here */
    if (env_monotonic_ns(s->env) - session->began_ns >= SESSION_NS) return false;
    lock_take(&s->lock);
    bool was_ended = was_ended_locked(s, session);
    lock_drop(&s->lock);
    return !was_ended;
}

/* Removes those that began at `until_ns` or before. */
static void
forget_until_locked(struct sessions *s, int64_t until_ns)
{
    uint32_t kept = 0;
    assert(lock_is_mine(&s->lock));
    for (uint32_t i = 0; i < s->ended_count; i++)
        if (s->ended[i].began_ns > until_ns) s->ended[kept++] = s->ended[i];
    s->ended_count = kept;
}

/* Makes room for one. */
static void
make_room_locked(struct sessions *s)
{
    int64_t oldest_ns = INT64_MAX;
    uint32_t first = 0, most = 0; /* the entries of the user who has most */
    forget_until_locked(s, env_monotonic_ns(s->env) - SESSION_NS);
    if (s->ended_count < SESSION_ENDED_MAX) return;
    for (uint32_t i = 0, begin = 0; i < s->ended_count; i++) {
        if (s->ended[i].began_ns < oldest_ns) oldest_ns = s->ended[i].began_ns;
        if (memcmp(s->ended[i].id, s->ended[begin].id, USER_BYTES) != 0) begin = i;
        if (i + 1 - begin <= most) continue;
        most = i + 1 - begin;
        first = begin;
    }
    if (most > 1) {
        struct ended_session *kept = &s->ended[first];
        memmove(kept, kept + 1, (--s->ended_count - first) * sizeof *kept);
        kept->is_for_all = true; /* invariant 1 */
        return;
    }
    assert(oldest_ns > s->void_ns); /* invariant 2 */
    s->void_ns = oldest_ns;         /* invariant 1 */
    forget_until_locked(s, oldest_ns);
    assert(s->ended_count < SESSION_ENDED_MAX); /* invariant 2 */
}

static int
compare_ended(const struct ended_session *ended, const struct session *session)
{
    int order = memcmp(ended->id, session->id, USER_BYTES);
    if (order != 0) return order;
    return ended->began_ns < session->began_ns ? -1 : ended->began_ns > session->began_ns;
}

void
session_end(struct sessions *s, const struct session *session)
{
    lock_take(&s->lock);
    if (!was_ended_locked(s, session)) {
        make_room_locked(s);
        if (!was_ended_locked(s, session)) {
            uint32_t at =
                search_first(i, 0u, s->ended_count, compare_ended(&s->ended[i], session) > 0);
            struct ended_session *ended = &s->ended[at];
            assert(s->ended_count < SESSION_ENDED_MAX); /* invariant 2 */
            memmove(ended + 1, ended, (s->ended_count++ - at) * sizeof *ended);
            *ended = (struct ended_session){.began_ns = session->began_ns};
            memcpy(ended->id, session->id, SESSION_ID_BYTES);
        }
    }
    lock_drop(&s->lock);
}
