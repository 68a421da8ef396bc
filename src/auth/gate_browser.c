/* gate_browser.c - sessions of browsers at the gate, and requests that pages of other sites make a
 * browser send. */
#include <string.h>
#include <strings.h>

#include "auth/gate_private.h"
#include "auth/origin.h"
#include "base/buf.h"

/* --- sessions --------------------------------------------------------------------------------- */

static const char unknown_host[] =
    "unknown Host: expected an address, localhost, the host of web.external_url or one of "
    "web.allowed_hosts";

/* Says whether a session is good. *ret_user is NULL if it has a token of an issuer, which is not
 * judged. */
static bool
is_good_session(struct gate *g, const struct users *users, const struct session *session,
                const struct user **ret_user)
{
    struct bytes secret = bytes_of(NULL, 0);
    *ret_user = NULL;
    if (session->kind == SESSION_OF_TOKEN)
        return users_jwt(users) != NULL && session_is_good(g->sessions, session, secret);
    const struct user *user = users_by_name(users, session->subject);
    if (user != NULL) secret = bytes_of(user->secret, sizeof user->secret);
    *ret_user = user;
    return user != NULL && session_is_good(g->sessions, session, secret);
}

/* Puts all lines Cookie as one, as RFC 6265 and 9113 have them, and a NUL. */
static void
put_cookies(const struct http_request *request, struct buf *to)
{
    const char *name, *value;
    for (uint32_t i = 0; http_header_at(request, i, &name, &value); i++) {
        if (strcasecmp(name, "Cookie") != 0) continue;
        buf_put_text(to, value);
        buf_put_text(to, "; ");
    }
    buf_put_u8(to, '\0');
}

/* Finds a session that is good, and *ret_user as above; `room` gets its texts. The header
 * Authorization decides if there is one. */
static bool
find_session(struct gate *g, const struct http_request *request, const struct users *users,
             struct buf *room, struct session *ret_session, const struct user **ret_user)
{
    struct buf cookies;
    char names[COOKIES][SESSION_COOKIE_NAME_BYTES];
    bool found = false;
    if (http_header(request, "Cookie") == NULL || http_header(request, "Authorization") != NULL)
        return false;
    buf_init_secret(&cookies, g->memory, 2 * HTTP_HEADER_BYTES_CEILING);
    put_cookies(request, &cookies);
    lock_take(&g->lock);
    memcpy(names, g->cookies, sizeof names);
    lock_drop(&g->lock);
    /* In clear text the secure one is of a proxy that has taken TLS off. */
    for (unsigned i = http_has_tls(request) ? COOKIE_SECURE : COOKIE_PLAIN; i < COOKIES; i++) {
        found = found || (buf_error(&cookies) == OK &&
                          session_find((const char *)cookies.at, names[i], room, ret_session) &&
                          is_good_session(g, users, ret_session, ret_user));
    }
    buf_fini(&cookies);
    return found;
}

/* Returns the reason why a page of another site may have made the browser send the request, or
 * NULL. */
static const char *
foreign_reason(struct gate *g, const struct http_request *request)
{
    const char *host = http_header(request, "Host"), *origin = http_header(request, "Origin");
    lock_take(&g->lock);
    bool is_own = origin_host_is_own(host, g->guard.allowed_hosts, g->guard.external_url);
    bool is_foreign = origin_is_foreign(origin, host, g->guard.external_url);
    lock_drop(&g->lock);
    if (!is_own) return unknown_host;
    if (is_foreign || http_header_count(request, "Origin") > 1)
        return "pages of other origins are not permitted to use a session; web.external_url is the "
               "origin of pages behind a proxy";
    return NULL;
}

static const char *
session_refusal(struct gate *g, const struct http_request *request)
{
    const char *reason = foreign_reason(g, request);
    bool changes = access_changes(http_access(request, ACCESS_KNOWN), http_method(request));
    if (reason == NULL && changes && http_header(request, GATE_PAGE_HEADER) == NULL)
        reason =
            "a request with a session that changes something needs the header " GATE_PAGE_HEADER;
    return reason;
}

/* The session is good; `user` is NULL if its token has to be judged. False: it is refused, and
 * other ways decide. */
static bool
enter_session(struct gate *g, struct http_request *request, struct users *users,
              const struct session *session, const struct user *user, enum http_entry *ret_entry,
              struct http_denial *ret_denial)
{
    struct user *jwt_user = NULL;
    struct why why;
    enum jwt_user_verdict verdict = JWT_USER_KNOWN;
    if (user == NULL) verdict = gate_find_jwt_user(g, users, session->subject, &jwt_user, &why);
    if (verdict == JWT_USER_UNKNOWN) return false;
    if (verdict == JWT_USER_LATER)
        *ret_entry = gate_refuse(g, request, GATE_BUSY, NULL, ret_denial);
    else if (user == NULL)
        *ret_entry = gate_let_in_jwt_user(g, request, jwt_user, ret_denial);
    else
        *ret_entry = gate_let_in(g, request, user, ret_denial);
    const char *reason = session_refusal(g, request);
    if (*ret_entry != HTTP_ENTRY_OPEN || reason == NULL) return true;
    *ret_entry = gate_refuse(g, request, GATE_FORBIDDEN, NULL, ret_denial);
    ret_denial->text = reason;
    return true;
}

bool
gate_judge_session(struct gate *g, struct http_request *request, struct users *users,
                   enum http_entry *ret_entry, struct http_denial *ret_denial)
{
    struct session session;
    const struct user *user;
    uint8_t at[SESSION_VALUE_BYTES_MAX];
    struct buf room = {.at = at, .capacity = sizeof at, .limit = sizeof at};
    bool is_good = find_session(g, request, users, &room, &session, &user) &&
                   enter_session(g, request, users, &session, user, ret_entry, ret_denial);
    explicit_bzero(at, room.size);
    return is_good;
}

static bool
has_scheme_of_session(const char *header)
{
    return header != NULL && (gate_after_scheme(header, "Basic") != NULL ||
                              gate_after_scheme(header, "Bearer") != NULL);
}

/* Says whether a browser will send a cookie over TLS: to this server, or to a proxy in front of it,
 * as the origin of its page shows. */
static bool
is_sent_over_tls(const struct http_request *request)
{
    const char *origin = http_header(request, "Origin");
    return http_has_tls(request) || (origin != NULL && strncasecmp(origin, "https://", 8) == 0);
}

/* Begins Set-Cookie. */
static void
put_cookie_name(struct gate *g, bool is_secure, struct buf *to)
{
    lock_take(&g->lock);
    buf_put_text(to, g->cookies[is_secure ? COOKIE_SECURE : COOKIE_PLAIN]);
    lock_drop(&g->lock);
    buf_put_u8(to, '=');
}

static void
put_cookie_attributes(bool is_secure, int64_t age_s, struct buf *to)
{
    buf_printf(to, "; Path=/; Max-Age=%lld; HttpOnly; SameSite=Strict%s", (long long)age_s,
               is_secure ? "; Secure" : "");
}

static unsigned
begin_session(struct gate *g, const struct http_request *request, struct buf *to, struct why *why)
{
    const struct user *user = gate_user(request);
    const char *header = http_header(request, "Authorization");
    const char *reason = foreign_reason(g, request);
    if (reason != NULL) {
        why_set(why, ERR_INPUT, "%s", reason);
        return 403;
    }
    if (user == NULL || !has_scheme_of_session(header)) {
        why_set(why, ERR_INPUT, "a session begins with a password or a token in Authorization");
        return 400;
    }
    if ((user->permissions & ~(unsigned)PERMISSION_WRITE) == 0) {
        why_set(why, ERR_INPUT, "the user has no permission that a page needs");
        return 403;
    }
    const char *token = gate_after_scheme(header, "Bearer");
    bool is_jwt = token != NULL && users_by_token(user->set, bytes_of_text(token)) == NULL;
    bool is_secure = is_sent_over_tls(request);
    put_cookie_name(g, is_secure, to);
    enum err e =
        session_begin(g->sessions, is_jwt ? SESSION_OF_TOKEN : SESSION_OF_USER,
                      bytes_of_text(is_jwt ? token : user->name), bytes_of_text(user->name),
                      bytes_of(user->secret, is_jwt ? 0 : sizeof user->secret), to);
    put_cookie_attributes(is_secure, SESSION_NS / NS_PER_S, to);
    if (e == ERR_LIMIT) {
        why_set(why, e, "the token is too long for the cookie of a session");
        return 400;
    }
    if (e || buf_error(to)) why_set(why, ERR_NOMEM, "not enough memory for a session");
    return e || buf_error(to) ? 503 : 0;
}

static void
end_session(struct gate *g, const struct http_request *request, struct buf *to)
{
    const struct user *sender = gate_user(request), *user;
    struct session session;
    uint8_t at[SESSION_VALUE_BYTES_MAX];
    struct buf room = {.at = at, .capacity = sizeof at, .limit = sizeof at};
    bool is_secure = is_sent_over_tls(request);
    if (sender != NULL && find_session(g, request, sender->set, &room, &session, &user))
        session_end(g->sessions, &session);
    explicit_bzero(at, room.size);
    put_cookie_name(g, is_secure, to);
    put_cookie_attributes(is_secure, 0, to);
}

static struct gate_rights
find_rights(struct gate *g, const struct http_request *request)
{
    const struct user *sender = gate_user(request), *user;
    struct session session;
    uint8_t at[SESSION_VALUE_BYTES_MAX];
    struct buf room = {.at = at, .capacity = sizeof at, .limit = sizeof at};
    lock_take(&g->lock);
    struct gate_rights rights = {.permissions = g->allowed[http_place_index(request)]};
    lock_drop(&g->lock);
    if (sender == NULL) return rights;
    rights.permissions &= sender->permissions;
    rights.has_session = find_session(g, request, sender->set, &room, &session, &user);
    explicit_bzero(at, room.size);
    return rights;
}

struct gate_sessions
gate_sessions_of(struct gate *gate)
{
    return (struct gate_sessions){gate, begin_session, end_session, find_rights};
}

/* --- without users ---------------------------------------------------------------------------- */

enum http_entry
gate_judge_host(struct gate *g, const struct http_request *request, struct http_denial *ret_denial)
{
    lock_take(&g->lock);
    bool is_own = !g->guard.is_guarded[http_place_index(request)] ||
                  origin_host_is_own(http_header(request, "Host"), g->guard.allowed_hosts,
                                     g->guard.external_url);
    lock_drop(&g->lock);
    if (is_own) return HTTP_ENTRY_OPEN;
    enum http_entry entry = gate_refuse(g, request, GATE_FORBIDDEN, NULL, ret_denial);
    ret_denial->text = unknown_host;
    return entry;
}
