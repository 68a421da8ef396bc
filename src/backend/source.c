/* source.c - see source.h. */
#include "backend/source.h"

static enum err
source_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for a source");
}

/* One more than used, so that an empty list is not NULL. */
static void *
new_items(uint32_t count, size_t size)
{
    return mem_new(NULL, ((size_t)count + 1) * size);
}

static void
free_items(void *items, uint32_t count, size_t size)
{
    mem_free(NULL, items, ((size_t)count + 1) * size);
}

static enum err
read_selectors(struct source *s, struct why *why)
{
    const struct text_list *texts = &s->settings->select;
    s->selectors = new_items(texts->count, sizeof *s->selectors);
    s->select = new_items(texts->count, sizeof *s->select);
    if (s->selectors == NULL || s->select == NULL) return source_no_memory(why);
    enum err e = OK;
    for (uint32_t i = 0; i < texts->count && e == OK; i++) {
        struct selector *selector = &s->selectors[i];
        e = selector_parse(bytes_of_text(texts->items[i]), selector, why);
        s->select[i] = (struct matcher_set){selector->matchers, selector->count};
    }
    return e;
}

static enum err
read_texts(struct source *s, struct why *why)
{
    const struct source_settings *x = s->settings;
    bool all_tenants = x->tenants.count > 0 && strcmp(x->tenants.items[0], "all") == 0;
    s->external_labels = new_items(x->external_labels.count, sizeof *s->external_labels);
    s->tenants = new_items(x->tenants.count, sizeof *s->tenants);
    if (s->external_labels == NULL || s->tenants == NULL) return source_no_memory(why);
    for (uint32_t i = 0; i < x->external_labels.count; i++) {
        const struct named_text *label = &x->external_labels.items[i];
        s->external_labels[i] =
            (struct label){bytes_of_text(label->name), bytes_of_text(label->value)};
    }
    for (uint32_t i = 0; i < x->tenants.count; i++) {
        s->tenants[i] = bytes_of_text(x->tenants.items[i]);
    }
    s->options.limits = (struct source_limits){
        .name = x->name,
        .tenants = s->tenants,
        .tenant_count = all_tenants ? 0 : x->tenants.count,
        .select = s->select,
        .select_count = x->select.count,
        .external_labels = s->external_labels,
        .external_count = x->external_labels.count,
        .may_fail = x->on_error == ON_ERROR_WARN,
        .samples_max = x->max_samples,
    };
    return OK;
}

enum err
source_init(struct source *s, const struct reader_options *options, struct why *why)
{
    s->settings = options->settings;
    enum err e = read_selectors(s, why);
    if (e == OK) e = read_texts(s, why);
    if (e == OK) e = reader_new(options, &s->options.reader, why);
    return e ? why_prefix(why, e, "source %s", options->settings->name) : OK;
}

void
source_fini(struct source *s)
{
    const struct source_settings *x = s->settings;
    if (x == NULL) return;
    if (s->options.reader != NULL) s->options.reader->ops->free(s->options.reader);
    for (uint32_t i = 0; s->selectors != NULL && i < x->select.count; i++) {
        selector_fini(&s->selectors[i]);
    }
    free_items(s->selectors, x->select.count, sizeof *s->selectors);
    free_items(s->select, x->select.count, sizeof *s->select);
    free_items(s->external_labels, x->external_labels.count, sizeof *s->external_labels);
    free_items(s->tenants, x->tenants.count, sizeof *s->tenants);
}
