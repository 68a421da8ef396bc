/*
 * gate.c - see gate.h. Also sessions of browsers at the gate, and requests that pages of other
 * sites make a browser send.
 *
 * Invariants:
 *  1. A request of a known user has the user as sender, whose set is held until its end. Other
 *     requests are let in if there are no users, or as anyone's if the route is open or the method
 *     is OPTIONS.
 *  2. Each request that judge() left for LATER is decided once, by the verifier's thread.
 */
#include "auth/gate_private.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "auth/origin.h"
#include "auth/password.h"
#include "auth/signed.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/text/base64.h"
#include "base/text/texts.h"
#include "net/http_server.h"
#include "net/tls.h"

enum gate_cookie { COOKIE_PLAIN, COOKIE_SECURE, COOKIES };

struct gate {
    struct env *env;
    struct budget *memory;
    struct verifier *verifier;
    struct sessions *sessions;

    struct lock lock; /* LOCK_RANK_LEAF; guards to the next blank line */
    struct users *users;
    unsigned allowed[HTTP_LISTENERS_MAX];
    struct gate_guard guard;
    char cookies[COOKIES][SESSION_COOKIE_NAME_BYTES]; /* names */
    struct networks proxies;
    struct penalties penalties;
    int64_t lines_from_ns; /* monotonic: a minute begins, in which line_count failures are logged */
    uint32_t line_count;
    uint64_t lines_held_back;
    int64_t rate_interval_ns, rate_burst_ns; /* interval 0: no limit */
    int64_t rate_ns; /* monotonic: when the bucket would be full again, and all its burst is free */

    _Atomic uint64_t refused[GATE_REFUSALS]; /* relaxed: statistics */
};

/* --- requests that are signed as for AWS ------------------------------------------------------ */

/* The time of a request is that of its first byte, in both stages: a body that takes long to arrive
 * does not make its signature too old. */

static bool
header_at(const void *context, uint32_t index, struct sigv4_header *ret_header)
{
    const char *name, *value;
    if (!http_header_at(context, index, &name, &value)) return false;
    *ret_header = (struct sigv4_header){bytes_of_text(name), bytes_of_text(value)};
    return true;
}

static enum sigv4_verdict
judge_claim(struct env *env, const struct users *users, const struct http_request *request,
            struct sigv4_claim *claim, enum signed_stage stage, const struct user **ret_user,
            struct why *why)
{
    const struct signing_settings *settings = users_signing(users);
    const struct signing_key *key;
    const struct user *user = users_by_access_key(users, claim->key_id, &key);
    const char *host = settings->host;
    char hash[SIGV4_HASH_BYTES];
    /* The Unix time of the request's first byte. */
    int64_t ago_ns = env_monotonic_ns(env) - http_began_ns(request);
    int64_t now_s = (env_realtime_ms(env) - ago_ns / NS_PER_MS) / 1000;
    struct sigv4_terms terms = {
        .services = settings->services,
        .region = settings->region,
        .hosts = {&host, host != NULL},
        .unsigned_payload = settings->unsigned_payload,
        .unsigned_tenant = user != NULL && user->tenant_header == TENANT_HEADER_IGNORE,
    };
    enum sigv4_verdict verdict = SIGV4_REFUSED;
    if (user == NULL) { /* does the work of a known key */
        terms.secret_key = bytes_of_text("0123456789012345678901234567890123456789");
        if (sigv4_judge(claim, &terms, now_s, NULL, why) == SIGV4_NO_MEMORY) return SIGV4_NO_MEMORY;
        why_set(why, ERR_INPUT, "no user has this access key");
        return SIGV4_REFUSED;
    }
    if (stage == SIGNED_WHOLE) sigv4_hash(http_body(request), hash);
    terms.session_token = key->session_token;
    for (uint32_t i = 0; i < key->secret_count && verdict == SIGV4_REFUSED; i++) {
        terms.secret_key = key->secrets[i];
        verdict = sigv4_judge(claim, &terms, now_s, stage == SIGNED_WHOLE ? hash : NULL, why);
    }
    assert(verdict != SIGV4_NEEDS_BODY || stage == SIGNED_HEAD);
    if (verdict == SIGV4_GOOD) *ret_user = user;
    return verdict;
}

/*
 * Judges a request. SIGV4_ABSENT also if no user has an access key: other ways to sign in decide.
 * SIGV4_GOOD: *ret_user sent it; SIGV4_NEEDS_BODY, not in SIGNED_WHOLE: it is to be judged again
 * then. SIGV4_MALFORMED and SIGV4_REFUSED: `why` is for logs. SIGV4_NO_MEMORY: not judged.
 *
 * An unknown key is refused in SIGNED_HEAD, in the time that the check of a signature takes.
 */
static enum sigv4_verdict
signed_judge(struct env *env, const struct users *users, const struct http_request *request,
             enum signed_stage stage, struct budget *memory, const struct user **ret_user,
             struct why *why)
{
    struct sigv4_arrival arrival = {
        .method = bytes_of_text(http_method_sent(request)),
        .target = bytes_of_text(http_target_sent(request)),
        .header_at = header_at,
        .context = request,
        .is_tls = http_has_tls(request),
    };
    struct sigv4_claim claim;
    if (signing_keys_count(users_signing_keys(users)) == 0) return SIGV4_ABSENT;
    enum sigv4_verdict verdict = sigv4_claim_read(&arrival, memory, &claim, why);
    if (verdict == SIGV4_CLAIMED)
        verdict = judge_claim(env, users, request, &claim, stage, ret_user, why);
    sigv4_claim_fini(&claim);
    return verdict;
}

/* --- the audit log ---------------------------------------------------------------------------- */

static const char *
method_word(enum http_method method)
{
    switch (method) {
    case HTTP_GET:
        return "GET";
    case HTTP_POST:
        return "POST";
    case HTTP_PUT:
        return "PUT";
    case HTTP_DELETE:
        return "DELETE";
    case HTTP_OPTIONS:
        return "OPTIONS";
    }
    return "";
}

/* Logs a request with its answer's status: the user's name or "", the client's address, the method,
 * the path, the tenant that it names, and the arguments of its URL that say what is changed; never
 * a body, or other headers. */
static void
audit_log(const struct http_request *request, const char *user, const char *client, unsigned status)
{
    uint8_t room[LOG_VALUE_BYTES_MAX];
    struct buf arguments = {.at = room, .capacity = sizeof room, .limit = sizeof room};
    static const char *const names[] = {"match[]", "start", "end", "from", "full"};
    const char *tenant = http_header(request, "X-Scope-OrgID");
    /* "name=value name=value" of known arguments only, as much as fits: others may have secrets, as
     * those of signed URLs do. */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value;
        for (uint32_t at = 0; (value = http_argument_next(request, names[i], &at)) != NULL;) {
            if (arguments.size > 0) buf_put_cut(&arguments, bytes_of_text(" "));
            buf_put_cut(&arguments, bytes_of_text(names[i]));
            buf_put_cut(&arguments, bytes_of_text("="));
            buf_put_cut(&arguments, bytes_of_text(value));
        }
    }
    log_info("audit", KV("user", user), KV("client", client),
             KV("method", method_word(http_method(request))), KV("path", http_path(request)),
             KV("tenant", tenant == NULL ? "" : tenant), KV("arguments", buf_bytes(&arguments)),
             KV("status", status));
}

enum { CREDENTIALS_BYTES_MAX = 8192, LINES_MAX = 10 /* per minute */ };
#define MINUTE_NS (60 * NS_PER_S)

/* A password that is being checked. */
struct password_check {
    struct gate *gate;
    struct http_request *request;
    struct users *users; /* held */
    const struct user *user;
};

/* --- users ------------------------------------------------------------------------------------ */

static void
release_sender(void *sender)
{
    const struct user *user = sender;
    users_release(user->set);
}

/* Releases a user who was made for the request, and the set. */
static void
release_jwt_sender(void *sender)
{
    struct user *user = sender;
    struct users *set = user->set;
    jwt_user_free(user);
    users_release(set);
}

/* --- verdicts --------------------------------------------------------------------------------- */

/* Finds the address of the client, behind trusted proxies. False: it has none. A proxy may append
 * to the line X-Forwarded-For of the client, or add one after it: lines are read as one list. */
static bool
find_address(struct gate *g, const struct http_request *request, uint8_t *address)
{
    const char *name, *value;
    uint32_t count = 0;
    if (!http_peer_address(request, address)) return false;
    if (http_header(request, "X-Forwarded-For") == NULL) return true;
    while (http_header_at(request, count, &name, &value))
        count++;
    lock_take(&g->lock);
    for (bool goes_on = true; goes_on && count > 0; count--)
        if (http_header_at(request, count - 1, &name, &value) &&
            strcasecmp(name, "X-Forwarded-For") == 0)
            goes_on = networks_find_client(&g->proxies, value, address);
    lock_drop(&g->lock);
    return true;
}

static bool
find_client(struct gate *g, const struct http_request *request, struct penalty_key *ret_key)
{
    uint8_t address[NETWORK_ADDRESS_BYTES];
    if (!find_address(g, request, address)) return false;
    *ret_key = penalty_key_of(address);
    return true;
}

static void
print_client(struct gate *g, const struct http_request *request,
             char ret_text[static NETWORK_TEXT_BYTES])
{
    uint8_t address[NETWORK_ADDRESS_BYTES];
    if (find_address(g, request, address))
        network_print_address(address, ret_text);
    else
        memcpy(ret_text, "unix", sizeof "unix");
}

/* Says whether the client failed too often to have an unknown credential checked now. */
static bool
is_slowed(struct gate *g, struct penalty_key key)
{
    lock_take(&g->lock);
    uint32_t wait_s = penalties_retry_after_s(&g->penalties, key, env_monotonic_ns(g->env));
    lock_drop(&g->lock);
    return wait_s > 0;
}

/* Limits lines about all addresses together. Ten addresses may fail at the same moment. */
static bool
take_line(struct gate *g, int64_t now_ns, uint64_t *ret_held_back)
{
    assert(lock_is_mine(&g->lock));
    if (now_ns - g->lines_from_ns >= MINUTE_NS) {
        g->lines_from_ns = now_ns;
        g->line_count = 0;
    }
    if (g->line_count == LINES_MAX) {
        g->lines_held_back++;
        return false;
    }
    g->line_count++;
    *ret_held_back = g->lines_held_back;
    g->lines_held_back = 0;
    return true;
}

/* Counts a failure to sign in, and logs one line a minute for an address, and LINES_MAX for all. */
static void
note_failure(struct gate *g, const struct http_request *request, const char *reason)
{
    struct penalty_key key;
    uint64_t failures = 1, held_back = 0;
    int64_t now_ns = env_monotonic_ns(g->env);
    bool has_address = find_client(g, request, &key);
    lock_take(&g->lock);
    bool is_due = !has_address || penalties_add(&g->penalties, key, now_ns, &failures);
    is_due = is_due && take_line(g, now_ns, &held_back);
    lock_drop(&g->lock);
    if (!is_due) return;
    char client[NETWORK_TEXT_BYTES];
    print_client(g, request, client);
    log_warn("a client could not sign in", KV("client", client), KV("peer", http_peer(request)),
             KV("reason", reason), KV("failures", failures), KV("more_held_back", held_back));
}

/* Returns the password in the URL, which clients of InfluxDB send to these paths, with a user; NULL
 * if there is none. */
static const char *
password_argument(const struct http_request *request)
{
    const char *path = http_path(request), *last = strrchr(path, '/');
    bool is_influx = last != NULL && strstr(path, "/api/") == NULL &&
                     (strcmp(last, "/write") == 0 || strcmp(last, "/query") == 0);
    return is_influx && http_argument(request, "u") != NULL ? http_argument(request, "p") : NULL;
}

/* Refuses the request. `reason` is for the log; NULL if that is no failure of its address. */
static enum http_entry
refuse(struct gate *g, const struct http_request *request, enum gate_refusal refusal,
       const char *reason, struct http_denial *ret_denial)
{
    static const struct http_denial denials[] = {
        [GATE_UNKNOWN] = {401, "unauthorized", "Basic realm=\"Firekeep\", charset=\"UTF-8\""},
        [GATE_FORBIDDEN] = {403, "the user is not permitted to do this", NULL},
        [GATE_BUSY] = {503, "credentials cannot be checked now, retry later", NULL},
        [GATE_RATE] = {429, "too many requests, see rate_limit", NULL},
    };
    /* Browsers do not know the scheme, and leave it to the page to ask. */
    static const char page_challenge[] = "Session realm=\"Firekeep\"";
    atomic_fetch_add_explicit(&g->refused[refusal], 1, memory_order_relaxed);
    bool has_credentials =
        http_header(request, "Authorization") != NULL || password_argument(request) != NULL;
    if (reason != NULL && has_credentials)
        note_failure(g, request, reason); /* without credentials nothing was guessed */
    *ret_denial = denials[refusal];
    if (refusal == GATE_UNKNOWN && http_header(request, GATE_PAGE_HEADER) != NULL)
        ret_denial->challenge = page_challenge;
    return HTTP_ENTRY_DENIED;
}

static bool
is_permitted(const struct http_request *request, const struct user *user)
{
    return (http_access(request, ACCESS_KNOWN) & (user->permissions | ACCESS_KNOWN)) != 0;
}

/* Makes a known user the sender of the request, and checks the permission. */
static enum http_entry
let_in(struct gate *g, struct http_request *request, const struct user *user,
       struct http_denial *ret_denial)
{
    union {
        const struct user *from;
        void *to;
    } sender = {.from = user}; /* gate_user() gives it back as const */
    users_hold(user->set);
    http_set_sender(request, sender.to, release_sender); /* invariant 1 */
    if (is_permitted(request, user)) return HTTP_ENTRY_OPEN;
    return refuse(g, request, GATE_FORBIDDEN, NULL, ret_denial);
}

/* --- passwords -------------------------------------------------------------------------------- */

static enum http_entry judge_sender(struct gate *g, struct http_request *request,
                                    enum signed_stage stage, struct http_denial *ret_denial);

static void
check_free(struct password_check *check)
{
    users_release(check->users);
    mem_free(check->gate->memory, check, sizeof *check);
}

static void
on_checked(void *context, enum verifier_result result)
{
    struct password_check *check = context;
    struct gate *g = check->gate;
    struct http_request *request = check->request;
    struct http_denial denial;
    enum http_entry entry = HTTP_ENTRY_DENIED;
    switch (result) {
    case VERIFIER_GOOD:
        entry = let_in(g, request, check->user, &denial);
        break;
    case VERIFIER_BAD:
        entry = refuse(g, request, GATE_UNKNOWN, "wrong user or password", &denial);
        break;
    case VERIFIER_BAD_AGAIN:
        entry = refuse(g, request, GATE_UNKNOWN, NULL, &denial); /* is counted already */
        break;
    case VERIFIER_OUTDATED:
        entry = judge_sender(g, request, SIGNED_HEAD, &denial);
        assert(entry != HTTP_ENTRY_BODY); /* a request with a password has no good signature */
        break;
    case VERIFIER_UNCHECKED:
        entry = refuse(g, request, GATE_BUSY, NULL, &denial);
        break;
    }
    check_free(check);
    if (entry == HTTP_ENTRY_LATER) return;
    http_entry_decide(request, entry == HTTP_ENTRY_OPEN ? NULL : &denial); /* invariant 2 */
}

static bool
is_barred(void *context)
{
    const struct password_check *check = context;
    struct penalty_key key;
    return find_client(check->gate, check->request, &key) && is_slowed(check->gate, key);
}

/* Checks a password. An unknown name takes as long as a known one, so that the time does not say
 * which names exist. */
static enum http_entry
check_password(struct gate *g, struct http_request *request, struct users *users, struct bytes name,
               struct bytes password, struct http_denial *ret_denial)
{
    if (users_dearest_password(users) == NULL)
        return refuse(g, request, GATE_UNKNOWN, "no user has a password", ret_denial);
    const struct user *user = users_by_name(users, name);
    struct password_check *check = mem_new(g->memory, sizeof *check);
    struct verifier_caller caller = {on_checked, check, .is_barred = is_barred};
    struct penalty_key key;
    if (find_client(g, request, &key)) {
        caller.client = bytes_of(key.bytes, sizeof key.bytes);
        caller.only_own = is_slowed(g, key);
    }
    enum verifier_answer answer = VERIFIER_FULL;
    if (check != NULL) *check = (struct password_check){g, request, users_hold(users), user};
    if (check != NULL && user != NULL && user->password != NULL)
        answer = verifier_check(g->verifier, name, user->password, password, caller);
    else if (check != NULL)
        answer = verifier_check_unknown(g->verifier, name, users_dearest_password(users), password,
                                        caller);
    if (answer == VERIFIER_QUEUED) return HTTP_ENTRY_LATER; /* the check may be over */
    if (check != NULL) check_free(check);
    if (answer == VERIFIER_KNOWN_GOOD) return let_in(g, request, user, ret_denial);
    return refuse(g, request, GATE_BUSY, NULL, ret_denial);
}

static enum http_entry
judge_basic(struct gate *g, struct http_request *request, struct users *users, const char *text,
            struct http_denial *ret_denial)
{
    struct buf decoded;
    enum http_entry entry;
    buf_init_secret(&decoded, g->memory, CREDENTIALS_BYTES_MAX);
    enum err e = base64_get(bytes_of_text(text), &decoded);
    struct bytes password = buf_bytes(&decoded), name = text_cut(&password, ':');
    if (e == OK && password.at != NULL)
        entry = check_password(g, request, users, name, password, ret_denial);
    else
        entry = refuse(g, request, GATE_UNKNOWN, "malformed credentials", ret_denial);
    buf_fini(&decoded);
    return entry;
}

/* --- tokens, certificates and signatures ------------------------------------------------------ */

/* Returns what follows the scheme of a header Authorization, or NULL if the scheme is another. */
static const char *
after_scheme(const char *header, const char *scheme)
{
    size_t size = strlen(scheme);
    if (strncasecmp(header, scheme, size) != 0 || header[size] != ' ') return NULL;
    return header + size + strspn(header + size, " ");
}

/* Finds the user of a token of an issuer. This takes a worker at most as long as a TLS handshake. A
 * client that failed often is not refused before: a signature cannot be guessed, and many senders
 * may share an address. */
static enum jwt_user_verdict
find_jwt_user(struct gate *g, const struct users *users, struct bytes token, struct user **ret_user,
              struct why *why)
{
    int64_t now_s = env_realtime_ms(g->env) / 1000;
    return jwt_users_judge(users_jwt(users), token, now_s, g->memory, ret_user, why);
}

/* Does the same for a user who was made for the request. */
static enum http_entry
let_in_jwt_user(struct gate *g, struct http_request *request, struct user *user,
                struct http_denial *ret_denial)
{
    users_hold(user->set);
    http_set_sender(request, user, release_jwt_sender); /* invariant 1 */
    if (is_permitted(request, user)) return HTTP_ENTRY_OPEN;
    return refuse(g, request, GATE_FORBIDDEN, NULL, ret_denial);
}

static enum http_entry
judge_jwt(struct gate *g, struct http_request *request, const struct users *users,
          struct bytes token, struct http_denial *ret_denial)
{
    struct user *user = NULL;
    struct why why;
    switch (find_jwt_user(g, users, token, &user, &why)) {
    case JWT_USER_UNKNOWN:
        return refuse(g, request, GATE_UNKNOWN, why.text, ret_denial);
    case JWT_USER_LATER:
        return refuse(g, request, GATE_BUSY, NULL, ret_denial);
    case JWT_USER_KNOWN:
        break;
    }
    return let_in_jwt_user(g, request, user, ret_denial);
}

static enum http_entry
judge_certificate(struct gate *g, struct http_request *request, struct users *users,
                  struct http_denial *ret_denial)
{
    const struct tls_peer *peer = http_tls_peer(request);
    const struct user *user =
        peer == NULL ? NULL
                     : users_by_certificate(users, peer->subject, peer->names, peer->name_count);
    if (user != NULL) return let_in(g, request, user, ret_denial);
    return refuse(g, request, GATE_UNKNOWN,
                  peer == NULL ? "no credentials were sent" : "no user has this certificate",
                  ret_denial);
}

/* Judges a request that is signed as for AWS. False: it is not, and other ways decide. */
static bool
judge_signature(struct gate *g, struct http_request *request, struct users *users,
                enum signed_stage stage, enum http_entry *ret_entry, struct http_denial *ret_denial)
{
    const struct user *user = NULL;
    struct why why = {.text = ""};
    switch (signed_judge(g->env, users, request, stage, g->memory, &user, &why)) {
    case SIGV4_ABSENT:
        return false;
    case SIGV4_GOOD:
        *ret_entry = let_in(g, request, user, ret_denial);
        return true;
    case SIGV4_NEEDS_BODY:
        *ret_entry = HTTP_ENTRY_BODY;
        return true;
    case SIGV4_NO_MEMORY:
        *ret_entry = refuse(g, request, GATE_BUSY, NULL, ret_denial);
        return true;
    case SIGV4_CLAIMED:
    case SIGV4_MALFORMED:
    case SIGV4_REFUSED:
        break;
    }
    *ret_entry = refuse(g, request, GATE_UNKNOWN, why.text, ret_denial);
    if (http_header(request, "Authorization") == NULL) /* presigned */
        note_failure(g, request, why.text);
    return true;
}

/* --- sessions of browsers --------------------------------------------------------------------- */

static const char unknown_host[] = "unknown Host: expected an address, localhost, the host of "
                                   "web.external_url or one of web.allowed_hosts";

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
    /* All lines Cookie are one, as RFC 6265 and 9113 have them, and a NUL. */
    const char *name, *value;
    for (uint32_t i = 0; http_header_at(request, i, &name, &value); i++) {
        if (strcasecmp(name, "Cookie") != 0) continue;
        buf_put_text(&cookies, value);
        buf_put_text(&cookies, "; ");
    }
    buf_put_u8(&cookies, '\0');
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
    if (user == NULL) verdict = find_jwt_user(g, users, session->subject, &jwt_user, &why);
    if (verdict == JWT_USER_UNKNOWN) return false;
    if (verdict == JWT_USER_LATER)
        *ret_entry = refuse(g, request, GATE_BUSY, NULL, ret_denial);
    else if (user == NULL)
        *ret_entry = let_in_jwt_user(g, request, jwt_user, ret_denial);
    else
        *ret_entry = let_in(g, request, user, ret_denial);
    const char *reason = foreign_reason(g, request);
    bool changes = access_changes(http_access(request, ACCESS_KNOWN), http_method(request));
    if (reason == NULL && changes && http_header(request, GATE_PAGE_HEADER) == NULL)
        reason =
            "a request with a session that changes something needs the header " GATE_PAGE_HEADER;
    if (*ret_entry != HTTP_ENTRY_OPEN || reason == NULL) return true;
    *ret_entry = refuse(g, request, GATE_FORBIDDEN, NULL, ret_denial);
    ret_denial->text = reason;
    return true;
}

/* Judges a request by the cookie of a session. False: it has none that is good, and other ways
 * decide. That is no failure: after the end of a session a page goes on asking. */
static bool
judge_session(struct gate *g, struct http_request *request, struct users *users,
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
    if (user == NULL || header == NULL ||
        (after_scheme(header, "Basic") == NULL && after_scheme(header, "Bearer") == NULL)) {
        why_set(why, ERR_INPUT, "a session begins with a password or a token in Authorization");
        return 400;
    }
    if ((user->permissions & ~(unsigned)PERMISSION_WRITE) == 0) {
        why_set(why, ERR_INPUT, "the user has no permission that a page needs");
        return 403;
    }
    const char *token = after_scheme(header, "Bearer");
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

/* Judges a request while there are no users. A page under a name that an attacker resolves to our
 * address is refused: its browser sends that name as Host. */
static enum http_entry
judge_host(struct gate *g, const struct http_request *request, struct http_denial *ret_denial)
{
    lock_take(&g->lock);
    bool is_own = !g->guard.is_guarded[http_place_index(request)] ||
                  origin_host_is_own(http_header(request, "Host"), g->guard.allowed_hosts,
                                     g->guard.external_url);
    lock_drop(&g->lock);
    if (is_own) return HTTP_ENTRY_OPEN;
    enum http_entry entry = refuse(g, request, GATE_FORBIDDEN, NULL, ret_denial);
    ret_denial->text = unknown_host;
    return entry;
}

/* --- judging a request ------------------------------------------------------------------------ */

static enum http_entry
judge_with(struct gate *g, struct http_request *request, struct users *users,
           enum signed_stage stage, struct http_denial *ret_denial)
{
    const char *header = http_header(request, "Authorization"), *rest;
    enum http_entry entry;
    if (users_count(users) == 0) return judge_host(g, request, ret_denial);
    const char *caller = caller_of(http_header(request, CALLER_HEADER));
    if (caller != NULL) { /* a gateway has verified it */
        const struct user *user = users_by_caller(users, bytes_of_text(caller));
        if (user != NULL) return let_in(g, request, user, ret_denial);
        return refuse(g, request, GATE_UNKNOWN, "no user has this caller", ret_denial);
    }
    if (judge_signature(g, request, users, stage, &entry, ret_denial)) return entry;
    if (header == NULL && judge_session(g, request, users, &entry, ret_denial)) return entry;
    const char *password = header == NULL ? password_argument(request) : NULL;
    if (password != NULL)
        return check_password(g, request, users, bytes_of_text(http_argument(request, "u")),
                              bytes_of_text(password), ret_denial);
    if (header == NULL) return judge_certificate(g, request, users, ret_denial);
    if (http_header_count(request, "Authorization") > 1)
        return refuse(g, request, GATE_UNKNOWN, "Authorization was sent more than once",
                      ret_denial);
    if ((rest = after_scheme(header, "Basic")) != NULL)
        return judge_basic(g, request, users, rest, ret_denial);
    /* InfluxDB has Token for Bearer, also with USER:PASSWORD. */
    rest = after_scheme(header, "Bearer");
    if (rest == NULL) rest = after_scheme(header, "Token");
    if (rest != NULL) {
        struct bytes token = bytes_of_text(rest);
        const char *colon = header[0] == 'B' || header[0] == 'b' ? NULL : strchr(rest, ':');
        if (colon != NULL)
            return check_password(g, request, users, bytes_of(rest, (size_t)(colon - rest)),
                                  bytes_of_text(colon + 1), ret_denial);
        const struct user *user = users_by_token(users, token);
        if (user != NULL) return let_in(g, request, user, ret_denial);
        if (users_jwt(users) != NULL) return judge_jwt(g, request, users, token, ret_denial);
        return refuse(g, request, GATE_UNKNOWN, "no user has this token", ret_denial);
    }
    return refuse(g, request, GATE_UNKNOWN, "Authorization has another scheme", ret_denial);
}

/* Finds the user who sends the request, and checks the permission. */
static enum http_entry
judge_sender(struct gate *g, struct http_request *request, enum signed_stage stage,
             struct http_denial *ret_denial)
{
    lock_take(&g->lock);
    struct users *users = users_hold(g->users);
    lock_drop(&g->lock);
    enum http_entry entry = judge_with(g, request, users, stage, ret_denial);
    users_release(users);
    return entry;
}

static enum http_entry
judge(void *context, struct http_request *request, struct http_denial *ret_denial)
{
    struct gate *g = context;
    unsigned access = http_access(request, ACCESS_KNOWN);
    int64_t now_ns = env_monotonic_ns(g->env);
    lock_take(&g->lock);
    unsigned allowed = g->allowed[http_place_index(request)];
    int64_t next_ns = (g->rate_ns > now_ns ? g->rate_ns : now_ns) + g->rate_interval_ns;
    bool is_within = next_ns - now_ns <= g->rate_burst_ns || g->rate_interval_ns == 0;
    if (is_within) g->rate_ns = next_ns;
    lock_drop(&g->lock);
    if (!is_within) return refuse(g, request, GATE_RATE, NULL, ret_denial);
    /* Browsers ask with OPTIONS, and send no credentials. Without a route it is a path like others.
     */
    bool is_preflight = http_method(request) == HTTP_OPTIONS && http_access(request, 0) != 0;
    if ((access & ACCESS_OPEN) || is_preflight) return HTTP_ENTRY_ANYONE;
    if ((access & (allowed | ACCESS_KNOWN)) == 0) {
        enum http_entry entry = refuse(g, request, GATE_FORBIDDEN, NULL, ret_denial);
        ret_denial->text = "this is not served at this address";
        return entry;
    }
    return judge_sender(g, request, SIGNED_HEAD, ret_denial);
}

static enum http_entry
judge_body(void *context, struct http_request *request, struct http_denial *ret_denial)
{
    return judge_sender(context, request, SIGNED_WHOLE, ret_denial);
}

/* --- answered requests ------------------------------------------------------------------------ */

/* Logs requests that change something, except writes, which are too many. Refused requests are
 * logged if their user is known: others could fill the log. */
static void
answered(void *context, const struct http_request *request, unsigned status)
{
    struct gate *g = context;
    const struct user *user = gate_user(request);
    unsigned access = http_access(request, ACCESS_OPEN);
    char client[NETWORK_TEXT_BYTES];
    if (access == ACCESS_OPEN || access == ACCESS_WRITE) return;
    if (!access_changes(access, http_method(request))) return;
    print_client(g, request, client);
    audit_log(request, user == NULL ? "" : user->name, client, status);
}

/* --- life ------------------------------------------------------------------------------------- */

enum err
gate_new(struct env *env, struct budget *memory, struct gate **ret_gate, struct why *why)
{
    static const struct verifier_options options = {VERIFIER_QUEUE_MAX, VERIFIER_CACHE_MAX,
                                                    VERIFIER_CACHE_NS};
    static const struct user_list no_users = {NULL, 0};
    struct gate *g = mem_new(memory, sizeof *g);
    if (g == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    g->env = env;
    g->memory = memory;
    lock_init(&g->lock, LOCK_RANK_LEAF);
    for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++)
        g->allowed[i] = PERMISSIONS_ALL;
    struct penalties_options penalties = {
        .addresses_max = PENALTIES_ADDRESSES_MAX,
        .failures = PENALTIES_FAILURES,
        .interval_ns = PENALTIES_INTERVAL_NS,
        .log_interval_ns = PENALTIES_LOG_INTERVAL_NS,
    };
    gate_set_guard(g, &(struct gate_guard){.external_url = ""});
    enum err e = env_random(env, &penalties.seed, sizeof penalties.seed);
    if (e == OK) e = penalties_init(&g->penalties, memory, &penalties);
    if (e == OK) e = sessions_new(env, memory, &g->sessions);
    why_set(why, e, "not enough memory to start");
    if (e == OK) e = users_new(&no_users, NULL, memory, &g->users, why);
    if (e == OK) e = verifier_start(env, memory, &options, &g->verifier, why);
    if (e)
        gate_free(g);
    else
        *ret_gate = g;
    return e;
}

void
gate_free(struct gate *g)
{
    if (g == NULL) return;
    verifier_stop(g->verifier);
    sessions_free(g->sessions);
    users_release(g->users);
    penalties_fini(&g->penalties);
    lock_fini(&g->lock);
    mem_free(g->memory, g, sizeof *g);
}

struct http_gate
gate_of_server(struct gate *gate)
{
    return (struct http_gate){
        .context = gate, .judge = judge, .judge_body = judge_body, .answered = answered};
}

void
gate_set_users(struct gate *g, struct users *users)
{
    lock_take(&g->lock);
    struct users *old = g->users;
    g->users = users_hold(users);
    lock_drop(&g->lock);
    users_release(old);
    verifier_forget_all(g->verifier);
}

struct users *
gate_hold_users(struct gate *g)
{
    lock_take(&g->lock);
    struct users *users = g->users == NULL ? NULL : users_hold(g->users);
    lock_drop(&g->lock);
    return users;
}

void
gate_set_places(struct gate *g, const unsigned *allowed, size_t count)
{
    assert(count <= HTTP_LISTENERS_MAX);
    lock_take(&g->lock);
    memcpy(g->allowed, allowed, count * sizeof *allowed);
    lock_drop(&g->lock);
}

void
gate_set_guard(struct gate *g, const struct gate_guard *guard)
{
    lock_take(&g->lock);
    g->guard = *guard;
    session_print_name(guard->external_url, false, g->cookies[COOKIE_PLAIN]);
    session_print_name(guard->external_url, true, g->cookies[COOKIE_SECURE]);
    lock_drop(&g->lock);
}

void
gate_set_proxies(struct gate *g, const struct networks *proxies)
{
    lock_take(&g->lock);
    g->proxies = *proxies;
    lock_drop(&g->lock);
}

void
gate_set_rate(struct gate *g, int64_t interval_ns, uint32_t burst)
{
    lock_take(&g->lock);
    g->rate_interval_ns = interval_ns;
    g->rate_burst_ns = interval_ns * burst;
    g->rate_ns = 0;
    lock_drop(&g->lock);
}

void
gate_stats(struct gate *g, struct gate_stats *ret_stats)
{
    struct verifier_counts counts = verifier_counts(g->verifier);
    *ret_stats = (struct gate_stats){
        .passwords_known = counts.known,
        .passwords_hashed = counts.hashed,
        .passwords_full = counts.full,
    };
    for (size_t i = 0; i < GATE_REFUSALS; i++)
        ret_stats->refused[i] = atomic_load_explicit(&g->refused[i], memory_order_relaxed);
}
