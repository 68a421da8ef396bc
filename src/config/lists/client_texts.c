/* client_texts.c - see client_texts.h. */
#include "config/lists/client_texts.h"

#include "config/config.h"
#include "config/lists/shared_keys.h"
#include "config/schema/schema.h"

static enum err
check_client(struct schema_place *place, void *base)
{
    struct client_settings *s = base;
    return take_http_headers(place, &s->http_headers, &s->http.headers);
}

static const struct schema_key client_keys[] = {
    BASIC_AUTH_KEY(client_settings, basic_auth, 0),
    AUTHORIZATION_KEY(client_settings, authorization, 0),
    OAUTH2_KEY(client_settings, oauth2, 0),
    HTTP_KEYS(client_settings, http, 0),
    HTTP_HEADERS_KEY(client_settings),
    {"follow_redirects", SCHEMA_BOOL, AT(client_settings, follow_redirects), .fallback = "true",
     .help = "without effect: redirects are never followed"},
    {"enable_http2", SCHEMA_BOOL, AT(client_settings, enable_http2), .fallback = "true",
     .help = "without effect: requests use HTTP/1.1"},
    {NULL},
};
static const struct schema_refusal client_texts_refused[] = {NO_PROXY_AND_TOKEN_KEYS, {NULL}};
static const struct schema client_schema = {client_keys, sizeof(struct client_settings),
                                            .refused = client_texts_refused, .check = check_client};

enum err
client_settings_yaml(const char *file_name, struct bytes text, struct client_settings *ret_settings,
                     struct why *why)
{
    const struct root_context root = {.file_name = file_name};
    struct client_settings read = {.arena = NULL};
    enum err e = root_keys_yaml(&client_schema, &root, text, &read, &read.arena, why);
    if (e == OK) *ret_settings = read;
    return e;
}

enum err
client_settings_read(const char *path, struct client_settings *ret_settings, struct why *why)
{
    struct buf text;
    enum err e = config_read(path, CONFIG_BYTES_MAX, &text, why);
    if (e == OK) e = client_settings_yaml(path, buf_bytes(&text), ret_settings, why);
    buf_fini(&text);
    return e;
}

void
client_settings_free(struct client_settings *settings)
{
    root_arena_free(settings->arena);
    *settings = (struct client_settings){.arena = NULL};
}

/* --- rules of a request ----------------------------------------------------------------------- */

#define LIST(name_)                                                            \
    {                                                                          \
        name_, SCHEMA_MAPPINGS, ITEMS(relabel_text, specs, count),             \
            .max = RELABEL_TEXT_RULES_MAX, .group = 1, .may_be_nothing = true, \
            .inner = &relabel_schema, .help = "rules"                          \
    }

static const struct schema_key keys[] = {
    LIST("relabel"),
    LIST("relabel_configs"),
    LIST("write_relabel_configs"),
    LIST("metric_relabel_configs"),
    LIST("alert_relabel_configs"),
    {NULL},
};
static const struct schema schema = {keys, sizeof(struct relabel_text)};

enum err
relabel_text_yaml(struct bytes yaml, struct relabel_text *ret_text, struct why *why)
{
    const struct root_context root = {.file_name = "rules"};
    *ret_text = (struct relabel_text){NULL};
    return root_keys_yaml(&schema, &root, yaml, ret_text, &ret_text->arena, why);
}

void
relabel_text_free(struct relabel_text *text)
{
    root_arena_free(text->arena);
    *text = (struct relabel_text){NULL};
}
