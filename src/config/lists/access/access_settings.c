/*
 * access_settings.c - reads, joins and prints the keys of access_keys.c. The configuration file and
 * the file for web.config.file are read in passes of their own; what is in force is computed from
 * both.
 */
#include "config/lists/lists.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "config/lists/access/access_keys.h"
#include "config/schema/schema.h"
#include "net/tls.h"

enum { OF_CONFIG, OF_WEB_FILE, OF_FORCE }; /* the arenas */

void
access_settings_free(struct access_settings *access)
{
    if (access == NULL) return;
    for (unsigned i = 0; i < ACCESS_ARENA_COUNT; i++)
        root_arena_free(access->arenas[i]);
    *access = (struct access_settings){.file_name = ""};
}

enum err
access_settings_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                     struct access_settings *ret_access, struct why *why)
{
    struct access_settings read = {.file_name = ""};
    struct access_reading reading = {.seen = NULL};
    const struct root_context root = {settings, file_name, &reading};
    schema_default(&access_root_schema, 0, &read.given); /* an empty text has no root to read */
    enum err e =
        root_keys_yaml(&access_root_schema, &root, text, &read.given, &read.arenas[OF_CONFIG], why);
    access_reading_fini(&reading);
    if (e) return e;
    snprintf(read.file_name, sizeof read.file_name, "%s", file_name);
    *ret_access = read;
    return OK;
}

/* --- users ------------------------------------------------------------------------------------ */

static enum err
complain_about(const struct access_settings *access, const struct user_settings *user,
               struct why *why, const char *sentence)
{
    enum err e = why_set(why, ERR_INPUT, "users: user %s %s",
                         shown_of(bytes_of_text(user->name)).text, sentence);
    return why_prefix(why, e, "%s:%" PRIu32 ":%" PRIu32, access->file_name, user->line,
                      user->column);
}

/* Takes the settings auth.sigv4-... */
static enum err
take_signing(const struct settings *settings, struct arena *arena, struct signing_settings *to)
{
    char service[SETTING_TEXT_BYTES];
    const char *region = settings->auth_sigv4_region, *host = settings->auth_sigv4_host;
    const char *rest = settings->auth_sigv4_services;
    *to = (struct signing_settings){.unsigned_payload = settings->auth_sigv4_unsigned_payload};
    if (region[0] != '\0' && !text_copy(arena, region, &to->region)) return ERR_NOMEM;
    if (host[0] != '\0' && !text_copy(arena, host, &to->host)) return ERR_NOMEM;
    while ((rest = settings_list_next(rest, service)) != NULL) {
        struct text_list *list = &to->services;
        list->items = arena_push(arena, list->items, list->count, sizeof *list->items);
        if (list->items == NULL) return ERR_NOMEM;
        if (!text_copy(arena, service, &list->items[list->count++])) return ERR_NOMEM;
    }
    return OK;
}

/* Joins `users` with the other list. */
static enum err
join_users(struct access_settings *access, const struct named_texts *basic, struct arena *arena,
           struct user_list *ret_users, struct why *why)
{
    const struct user_list *given = &access->given.users;
    struct user_list users = {.count = given->count};
    if (given->count + basic->count == 0) return OK;
    users.items = arena_new(arena, (given->count + basic->count) * sizeof *users.items);
    if (users.items == NULL) return ERR_NOMEM;
    if (given->count > 0) memcpy(users.items, given->items, given->count * sizeof *users.items);
    for (uint32_t i = 0; i < basic->count; i++) {
        const struct named_text *one = &basic->items[i];
        uint32_t k = 0;
        while (k < given->count && strcmp(users.items[k].name, one->name) != 0)
            k++;
        struct user_settings *user = &users.items[k];
        if (k == given->count) {
            users.items[users.count++] = (struct user_settings){
                .name = one->name, .password = one->value, .permissions = PERMISSIONS_ALL};
        } else if (user->password == NULL) {
            user->password = one->value;
        } else {
            return complain_about(
                access, user, why,
                "has a password here and in basic_auth_users; remove one of them");
        }
    }
    for (uint32_t i = 0; i < given->count; i++) {
        const struct user_settings *user = &users.items[i];
        bool can_sign_in = user->password != NULL || user->tokens.count > 0 ||
                           user->client_certificate != NULL || user->access_key_count > 0 ||
                           user->iam_callers.count > 0 || user->jwt.given;
        if (can_sign_in) continue;
        return complain_about(access, user, why,
                              "cannot sign in: it requires 'password', 'tokens', "
                              "'client_certificate', 'iam_callers', 'access_keys' or 'jwt'");
    }
    *ret_users = users;
    return OK;
}

/* --- listeners -------------------------------------------------------------------------------- */

static enum err
add_address(const char *address, const struct tls_server_settings *tls, struct arena *arena,
            struct listener_list *to)
{
    enum { MODE = 0660 };
    struct listener_settings *listener = &to->items[to->count++];
    *listener = (struct listener_settings){.tls = *tls, .allow = PERMISSIONS_ALL};
    if (!text_copy(arena, address, &listener->address)) return ERR_NOMEM;
    enum err e = settings_listener(listener->address, &listener->kind, &listener->place, NULL);
    assert(e == OK); /* the rule of the setting */
    if (listener->kind == LISTENER_UNIX) listener->mode = MODE;
    return OK;
}

/* Joins web.listen-address with `listeners`. Those without TLS of their own get `tls`. */
static enum err
join_listeners(const struct access_settings *access, const struct settings *settings,
               const struct tls_server_settings *tls, struct arena *arena,
               struct listener_list *ret_listeners, struct why *why)
{
    const struct listener_list *given = &access->given.listeners;
    struct listener_list list = {NULL};
    char address[SETTING_TEXT_BYTES];
    uint32_t count = given->count;
    const char *rest = settings->web_listen_address;
    while ((rest = settings_list_next(rest, address)) != NULL)
        count++;
    if (count == 0 || count > LISTENERS_MAX) {
        enum err e = count == 0
                         ? why_set(why, ERR_INPUT,
                                   "the server needs an address: set web.listen_address or "
                                   "'listeners'")
                         : why_set(why, ERR_INPUT,
                                   "at most %d listeners are allowed, those of web.listen_address "
                                   "included",
                                   LISTENERS_MAX);
        return access->file_name[0] == '\0' ? e : why_prefix(why, e, "%s", access->file_name);
    }
    list.items = arena_new(arena, count * sizeof *list.items);
    if (list.items == NULL) return ERR_NOMEM;
    for (rest = settings->web_listen_address; (rest = settings_list_next(rest, address)) != NULL;) {
        enum err e = add_address(address, tls, arena, &list);
        if (e) return e;
    }
    for (uint32_t i = 0; i < given->count; i++) {
        struct listener_settings *listener = &list.items[list.count++];
        *listener = given->items[i];
        if (!listener->tls.is_set) listener->tls = *tls;
    }
    *ret_listeners = list;
    return OK;
}

/* --- both files ------------------------------------------------------------------------------- */

static enum err
read_web_file(const struct access_settings *access, const struct settings *settings,
              const char *web_file, struct bytes text, struct web_keys *keys,
              struct arena **ret_arena, struct why *why)
{
    struct access_reading reading = {
        .elsewhere = &access->given.web,
        .elsewhere_name = access->file_name,
    };
    const struct root_context root = {settings, web_file, &reading};
    enum err e = root_keys_yaml(&web_file_schema, &root, text, keys, ret_arena, why);
    access_reading_fini(&reading);
    return e;
}

enum err
access_settings_merge(struct access_settings *access, const struct settings *settings,
                      const char *web_file, struct bytes text, struct why *why)
{
    struct web_keys keys = {.lines = {0}};
    struct user_list users = {NULL};
    struct listener_list listeners = {NULL};
    struct arena *arena = NULL, *web_arena = NULL;
    enum err e = OK;
    assert(access->arenas[OF_FORCE] == NULL);
    schema_default(&web_file_schema, 0, &keys);
    if (web_file != NULL) {
        e = read_web_file(access, settings, web_file, text, &keys, &web_arena, why);
        if (e) return e;
    }
    /* Takes the keys of the configuration file, which the other file does not have. */
    if (access->given.web.lines[WEB_KEY_TLS] != 0) keys.tls = access->given.web.tls;
    if (access->given.web.lines[WEB_KEY_HTTP] != 0) {
        keys.http.http2 = access->given.web.http.http2;
        keys.http.headers = access->given.web.http.headers;
    }
    if (access->given.web.lines[WEB_KEY_RATE] != 0) {
        keys.http.rate_interval_ns = access->given.web.http.rate_interval_ns;
        keys.http.rate_burst = access->given.web.http.rate_burst;
    }
    if (access->given.web.lines[WEB_KEY_USERS] != 0)
        keys.basic_auth_users = access->given.web.basic_auth_users;
    arena = mem_new(NULL, sizeof *arena);
    if (arena == NULL) {
        e = ERR_NOMEM;
        goto out;
    }
    arena_init(arena, NULL, 0, 0);
    e = join_users(access, &keys.basic_auth_users, arena, &users, why);
    if (e == OK) e = take_signing(settings, arena, &users.signing);
    if (e == OK) e = join_listeners(access, settings, &keys.tls, arena, &listeners, why);
    if (e) goto out;
    access->tls = keys.tls;
    access->http = keys.http;
    access->users = users;
    access->listeners = listeners;
    access->arenas[OF_FORCE] = arena;
    access->arenas[OF_WEB_FILE] = web_arena;
    arena = web_arena = NULL;
out:
    root_arena_free(arena);
    root_arena_free(web_arena);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for users and listeners") : e;
}

enum err
access_settings_complete(struct access_settings *access, const struct settings *settings,
                         struct why *why)
{
    const char *path = settings->web_config_file;
    struct buf text;
    enum err e;
    if (path[0] == '\0') {
        e = access_settings_merge(access, settings, NULL, bytes_of("", 0), why);
    } else {
        e = config_read(path, CONFIG_BYTES_MAX, &text, why);
        if (e) e = why_prefix(why, e, "web.config_file");
        if (e == OK) e = access_settings_merge(access, settings, path, buf_bytes(&text), why);
        buf_fini(&text);
    }
    return e;
}

/* --- warnings --------------------------------------------------------------------------------- */

/* Appends the lines of `found`, each after `about`. */
static void
put_lines(struct buf *to, const char *about, struct bytes found)
{
    while (found.size > 0) {
        const uint8_t *end = memchr(found.at, '\n', found.size);
        size_t size = end == NULL ? found.size : (size_t)(end - found.at) + 1;
        buf_printf(to, "%s: ", about);
        buf_put(to, found.at, size);
        found = bytes_of(found.at + size, found.size - size);
    }
}

static bool
has_clients_ca(const struct tls_server_settings *tls)
{
    return tls->client_ca_file != NULL || tls->client_ca != NULL;
}

static void
warn_of_tls(const struct tls_server_settings *tls, const char *about, struct buf *to)
{
    if (!tls->given) {
        struct tls_server_settings none = {.is_set = true};
        schema_default(&tls_server_schema, 0, &none);
        if (tls->is_set && !schema_equal(&tls_server_schema, 0, tls, &none))
            buf_printf(to, "%s: there is no certificate, and so no TLS\n", about);
        return;
    }
    if (tls->client_allowed_sans.count > 0 && tls->client_auth == TLS_CLIENT_REQUIRE_ANY) {
        buf_printf(to,
                   "%s: client_allowed_sans does not protect with RequireAnyClientCert, because "
                   "such certificates are not verified\n",
                   about);
    }
    if (tls->client_auth == TLS_CLIENT_VERIFY_IF_GIVEN && !has_clients_ca(tls)) {
        buf_printf(to, "%s: without client_ca_file, clients with a certificate are refused\n",
                   about);
    }
    enum { PRIORITY_BYTES_MAX = 4096, FOUND_BYTES_MAX = 65536 };
    struct buf priority, found;
    buf_init(&priority, NULL, PRIORITY_BYTES_MAX);
    buf_init(&found, NULL, FOUND_BYTES_MAX);
    if (tls_priority(tls, &priority, &found, NULL) == OK) put_lines(to, about, buf_bytes(&found));
    buf_fini(&priority);
    buf_fini(&found);
}

/* Warns of users who can sign in nowhere, because no listener verifies certificates. */
static void
warn_of_certificates(const struct access_settings *access, struct buf *to)
{
    bool is_verified = false;
    for (uint32_t i = 0; i < access->listeners.count; i++) {
        const struct tls_server_settings *tls = &access->listeners.items[i].tls;
        is_verified |= has_clients_ca(tls) && (tls->client_auth == TLS_CLIENT_REQUIRE ||
                                               tls->client_auth == TLS_CLIENT_VERIFY_IF_GIVEN);
    }
    for (uint32_t i = 0; i < access->users.count && !is_verified; i++) {
        const struct user_settings *user = &access->users.items[i];
        if (user->client_certificate == NULL) continue;
        buf_printf(to,
                   "user %s: client_certificate has no effect, because no listener verifies "
                   "client certificates\n",
                   shown_of(bytes_of_text(user->name)).text);
    }
}

/* Says whether a URL of http leads to another machine. */
static bool
is_remote_http(const char *url)
{
    static const char *const own[] = {"localhost", "127.0.0.1", "[::1]"};
    if (strncasecmp(url, "http://", 7) != 0) return false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        size_t size = strlen(own[i]);
        if (strncasecmp(url + 7, own[i], size) == 0 && strchr(":/", url[7 + size]) != NULL)
            return false;
    }
    return true;
}

void
access_settings_warn(const struct access_settings *access, struct buf *to)
{
    char about[64];
    warn_of_tls(&access->tls, "tls_server_config", to);
    for (uint32_t i = 0; i < access->given.listeners.count; i++) {
        const struct listener_settings *listener = &access->given.listeners.items[i];
        snprintf(about, sizeof about, "the listener on line %" PRIu32, listener->line);
        warn_of_tls(&listener->tls, about, to);
    }
    warn_of_certificates(access, to);
    /* Others on the network could replace the keys of tokens. */
    for (uint32_t i = 0; i < access->users.count; i++) {
        const struct jwt_settings *jwt = &access->users.items[i].jwt;
        const char *url = jwt->jwks_url != NULL ? jwt->jwks_url : jwt->issuer;
        if (!jwt->given || jwt->jwks_file != NULL || !is_remote_http(url)) continue;
        buf_printf(to,
                   "user %s: the keys of jwt are fetched over http: whoever can change the "
                   "response can sign tokens; use https\n",
                   shown_of(bytes_of_text(access->users.items[i].name)).text);
    }
}

/* --- printing and comparing ------------------------------------------------------------------- */

void
access_settings_print_yaml(const struct access_settings *access, struct buf *to)
{
    schema_print(to, &access_root_schema, 0, &access->given, 0, false);
}

static bool
texts_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
signing_equal(const struct signing_settings *a, const struct signing_settings *b)
{
    bool same = a->services.count == b->services.count && texts_equal(a->region, b->region) &&
                texts_equal(a->host, b->host) && a->unsigned_payload == b->unsigned_payload;
    for (uint32_t i = 0; i < a->services.count && same; i++)
        same = texts_equal(a->services.items[i], b->services.items[i]);
    return same;
}

bool
access_users_equal(const struct user_list *a, const struct user_list *b)
{
    if (a->count != b->count || !signing_equal(&a->signing, &b->signing)) return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!schema_equal(&user_schema, 0, &a->items[i], &b->items[i])) return false;
    return true;
}

bool
access_settings_equal(const struct access_settings *a, const struct access_settings *b)
{
    bool same = schema_equal(&tls_server_schema, 0, &a->tls, &b->tls) &&
                schema_equal(&http_server_schema, 0, &a->http, &b->http) &&
                schema_equal(&rate_limit_schema, 0, &a->http, &b->http) &&
                a->listeners.count == b->listeners.count;
    for (uint32_t i = 0; i < a->listeners.count && same; i++)
        same = schema_equal(&listener_schema, 0, &a->listeners.items[i], &b->listeners.items[i]);
    return same && access_users_equal(&a->users, &b->users);
}

enum err
access_settings_check_reload(const struct access_settings *now, const struct access_settings *next,
                             struct why *why)
{
    bool same = now->listeners.count == next->listeners.count;
    /* A file that is being written may lack them. */
    if (now->users.count > 0 && next->users.count == 0) {
        return why_set(why, ERR_INPUT,
                       "there are no users any more, so that everyone could do everything: this "
                       "requires a restart");
    }
    for (uint32_t i = 0; i < now->listeners.count && same; i++) {
        const struct listener_settings *a = &now->listeners.items[i];
        const struct listener_settings *b = &next->listeners.items[i];
        if (strcmp(a->address, b->address) == 0 && a->mode == b->mode) {
            if (a->tls.given == b->tls.given) continue;
            return why_set(why, ERR_INPUT, "%s: TLS can only be turned on or off by a restart",
                           a->address);
        }
        same = false;
    }
    if (same) return OK;
    return why_set(why, ERR_INPUT, "the addresses in 'listeners' can only be changed by a restart");
}
