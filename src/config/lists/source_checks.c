/*
 * source_checks.c - checks that the tables of source_keys.c cannot express and only sources have;
 * the rest is in shared_checks.c, which says how checks are written.
 */
#include "config/lists/source_checks.h"

#include <strings.h>

#include "backend/source_settings.h"
#include "config/lists/shared_checks.h"
#include "config/schema/typed_list.h"
#include "model/selector.h"

enum err
check_read_header_name(const char *text, struct why *why)
{
    static const char *const names[] = {
        "Accept-Encoding",
        "X-Firekeep-Notices",
        "X-Prometheus-Remote-Read-Version",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasecmp(text, names[i]) == 0) return refuse_header(text, why);
    }
    return check_header_name(text, why);
}

enum err
check_source_name(const char *text, struct why *why)
{
    if (strcmp(text, "local") != 0) return check_entry_name(text, why);
    return why_set(why, ERR_INPUT, "local is reserved for what is stored here");
}

enum err
check_timestream_name(const char *text, struct why *why)
{
    if (strstr(text, "${") == NULL) return OK;
    return why_set(why, ERR_INPUT, "a source reads one table: templates cannot be used here");
}

enum err
check_times(struct schema_place *place, void *base)
{
    struct source_settings *s = base;
    const struct source_bound *from = &s->from, *to = &s->to;
    s->times = TIMES_BETWEEN;
    if (!from->given && !to->given) {
        return schema_complain(place, NULL, "requires 'from', 'to', or both");
    }
    /* A fixed time and a time before now may change their order as time passes. */
    bool comparable = from->given && to->given && from->before_now == to->before_now;
    bool backwards = from->before_now ? from->ms < to->ms : from->ms > to->ms;
    if (!comparable || !backwards) return OK;
    return schema_complain(place, "to", "must not be before from");
}

/* Returns the external label whose value contradicts the selector, or NULL. */
static const struct named_text *
barring_label(const struct selector *selector, const struct named_texts *labels)
{
    for (uint32_t i = 0; i < selector->count; i++) {
        const struct matcher *m = selector->matchers[i];
        for (uint32_t k = 0; k < labels->count; k++) {
            const struct named_text *label = &labels->items[k];
            if (bytes_equal(matcher_name(m), bytes_of_text(label->name)) &&
                !matcher_matches(m, bytes_of_text(label->value)))
                return label;
        }
    }
    return NULL;
}

/* Refuses selectors that cannot match: the source would silently return nothing. */
static enum err
check_selectors(struct schema_place *place, const struct source_settings *s)
{
    for (uint32_t i = 0; i < s->select.count; i++) {
        struct selector selector;
        enum err e = selector_parse(bytes_of_text(s->select.items[i]), &selector,
                                    schema_reader_of(place)->in->why);
        if (e) return e; /* not ERR_INPUT, because it was parsed before */
        const struct named_text *label = barring_label(&selector, &s->external_labels);
        selector_fini(&selector);
        if (label == NULL) continue;
        return schema_complain(place, "select", "%s selects nothing: external_labels sets %s to %s",
                               shown_of(bytes_of_text(s->select.items[i])).text, label->name,
                               shown_of(bytes_of_text(label->value)).text);
    }
    return OK;
}

enum err
check_source(struct schema_place *place, void *base)
{
    const struct source_settings *s = base;
    const char *tenant_header =
        s->type == SOURCE_REMOTE_READ ? s->u.remote_read.tenant_header : NULL;
    bool several;
    enum err e = typed_list_check_name(place, s);
    if (e == OK) e = check_selectors(place, s);
    if (e == OK) e = check_headers(place, &s->http.headers, tenant_header, NULL);
    if (e == OK) e = check_tenants(place, &s->tenants, source_type_word(s->type), &several);
    if (e == OK && s->type == SOURCE_INFLUXDB)
        e = check_influxdb(place, &s->u.influxdb.server, false);
    if (e || !several || tenant_header != NULL) return e;
    return schema_complain(
        place, "tenants",
        "several tenants cannot be distinguished at the source: %slist one tenant",
        s->type == SOURCE_REMOTE_READ ? "set tenant_header, or " : "");
}
