/* reading.c - see copy.h. A URL becomes a source of type remote_read with default settings. */
#include "cli/copy/copy.h"

#include <stdio.h>
#include <string.h>

#include "backend/source.h"
#include "base/version.h"
#include "config/lists/lists.h"
#include "model/select.h"
#include "sys/env.h"
#include "wire/yaml/yaml_reader.h"

#define MEMORY_BYTES_MAX ((uint64_t)1 << 30)

enum { HEADERS_MAX = 64 /* more than a configuration can have */ };

struct reading {
    struct reading_options options;
    struct budget memory;
    struct query_control control;
    struct bytes tenant;

    /* For a source or a URL: */
    struct sources made; /* the settings of a URL */
    struct source_settings settings;
    struct named_secret headers[HEADERS_MAX + 1]; /* replace those of the settings */
    struct http_puller *puller;
    struct source source;
    struct source_counts counts;
    struct source_tally tally;
};

static void
nothing(void *owner)
{
    (void)owner; /* it outlives all views */
}

static bool
reading_is_stopped(void *context)
{
    const struct reading *r = context;
    return r->options.stop != NULL && atomic_load_explicit(r->options.stop, memory_order_relaxed);
}

/* --- opening ---------------------------------------------------------------------------------- */

bool
endpoint_has_path(const char *url)
{
    const char *path = strchr(strstr(url, "://") + 3, '/');
    return path != NULL && path[1] != '\0';
}

enum err
endpoint_yaml(const char *head, const char *url, const char *page, bool has_tenant,
              char ret_url[ENDPOINT_URL_BYTES], struct buf *to, struct why *why)
{
    url = client_url_for_requests(url);
    const char *path = strchr(strstr(url, "://") + 3, '/');
    int size = snprintf(ret_url, ENDPOINT_URL_BYTES, "%s%s%s", url, path == NULL ? "/" : "",
                        endpoint_has_path(url) ? "" : page);
    buf_printf(to, "%s, %surl: ", head, has_tenant ? "tenant_header: X-Scope-OrgID, " : "");
    yaml_put_quoted(to, ret_url);
    buf_put_text(to, "}]");
    bool fits = size < ENDPOINT_URL_BYTES && buf_error(to) == OK;
    return fits ? OK : why_set(why, ERR_INPUT, "URL is too long");
}

/* Makes the settings of a source from a URL, as a file would have them. */
static enum err
make_settings(struct reading *r, struct why *why)
{
    char url[ENDPOINT_URL_BYTES];
    struct settings settings;
    struct buf text;
    settings_default(&settings);
    buf_init(&text, NULL, ENDPOINT_YAML_BYTES);
    enum err e = endpoint_yaml("sources: [{name: url, type: remote_read", r->options.url,
                               "api/v1/read", r->options.tenant != NULL, url, &text, why);
    if (e) why_prefix(why, e, "%s", r->options.name);
    if (e == OK) e = sources_yaml(r->options.name, buf_bytes(&text), &settings, &r->made, why);
    buf_fini(&text);
    if (e) return e;
    struct source_settings *s = &r->settings;
    *s = r->made.items[0];
    if (r->options.access != NULL) {
        client_access_copy(r->options.access, &s->http, &s->basic_auth, &s->authorization,
                           &s->oauth2);
    }
    return OK;
}

static void
ask_for_stored(struct reading *r)
{
    struct named_secrets *given = &r->settings.http.headers;
    uint32_t count = given->count < HEADERS_MAX ? given->count : HEADERS_MAX;
    if (count > 0) memcpy(r->headers, given->items, count * sizeof *r->headers);
    r->headers[count++] = (struct named_secret){"X-Firekeep-Sources", {.text = "none"}};
    *given = (struct named_secrets){r->headers, count};
}

static enum err
open_source(struct reading *r, struct why *why)
{
    struct source_settings *s = &r->settings;
    if (r->options.plain) {
        s->select.count = 0;
        s->external_labels.count = 0;
        s->times = TIMES_ALL;
    }
    if (r->options.stored && s->type == SOURCE_REMOTE_READ) ask_for_stored(r);
    s->on_error = ON_ERROR_FAIL;
    s->max_samples = s->max_bytes = 0; /* they limit queries */
    enum err e = http_puller_new(env_real(), "Firekeep/" FIREKEEP_VERSION, &r->puller, why);
    struct reader_options reader = {.env = env_real(),
                                    .memory = &r->memory,
                                    .settings = s,
                                    .puller = r->puller,
                                    .counts = &r->counts};
    r->source.options =
        (struct source_options){.tally = &r->tally, .hold = nothing, .release = nothing};
    return e ? e : source_init(&r->source, &reader, why);
}

const char *
reading_tenant(const struct source_settings *source)
{
    const struct text_list *known = &source->tenants;
    return known->count == 0 || strcmp(known->items[0], "all") == 0 ? NULL : known->items[0];
}

enum err
reading_open(const struct reading_options *options, struct reading **ret_reading, struct why *why)
{
    struct reading *r = mem_new(NULL, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    r->options = *options;
    budget_init(&r->memory, "reading", MEMORY_BYTES_MAX, NULL);
    enum err e = OK;
    if (options->source != NULL) r->settings = *options->source;
    if (options->url != NULL) e = make_settings(r, why);
    if (e == OK && options->answerer == NULL) e = open_source(r, why);
    if (e) {
        reading_free(r);
        return e;
    }
    /* Sets the tenant to read. */
    const char *tenant = r->options.tenant;
    if (tenant == NULL) tenant = reading_tenant(&r->settings);
    if (tenant == NULL || strcmp(tenant, "all") == 0) tenant = "anonymous";
    r->tenant = bytes_of_text(tenant);
    *ret_reading = r;
    return OK;
}

void
reading_free(struct reading *r)
{
    if (r == NULL) return;
    source_fini(&r->source);
    http_puller_free(r->puller);
    sources_free(&r->made);
    mem_free(NULL, r, sizeof *r);
}

int64_t
reading_thinned_to(const struct reading *r)
{
    return thinned_to(&r->control);
}

/* --- selecting -------------------------------------------------------------------------------- */

enum err
reading_select(struct reading *r, const struct matcher_set *sets, uint32_t set_count,
               int64_t min_ms, int64_t max_ms, struct series_set **ret_set, struct why *why)
{
    struct view *view = NULL;
    r->control = (struct query_control){
        .env = env_real(), .budget = &r->memory, .is_gone = reading_is_stopped, .gone_context = r};
    struct query_request request = {.tenant = r->tenant,
                                    .sets = sets,
                                    .set_count = set_count,
                                    .min_ms = min_ms,
                                    .max_ms = max_ms,
                                    .control = &r->control};
    enum err e =
        r->options.answerer != NULL
            ? view_open(r->options.answerer, &r->control, &view, why)
            : source_view_open(&r->source.options, INT64_MIN, INT64_MAX, &r->control, &view, why);
    if (e == OK) e = view_select(view, &request, ret_set, why);
    view_free(view); /* the set stays valid */
    return e;
}
