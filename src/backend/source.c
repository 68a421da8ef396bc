/* source.c - sources, their types and settings. */
#include "backend/source.h"

/* --- settings --------------------------------------------------------------------------------- */

const char *
source_type_word(enum source_type type)
{
    static const char *const words[SOURCE_TYPE_COUNT] = {
        [SOURCE_ARCHIVE] = "archive",       [SOURCE_BUCKET] = "bucket",
        [SOURCE_CLICKHOUSE] = "clickhouse", [SOURCE_INFLUXDB] = "influxdb",
        [SOURCE_OPENTSDB] = "opentsdb",     [SOURCE_REMOTE_READ] = "remote_read",
        [SOURCE_TIMESTREAM] = "timestream",
    };
    return (unsigned)type < SOURCE_TYPE_COUNT ? words[type] : "unknown";
}

int64_t
source_bound_ms(const struct source_bound *bound, int64_t now_ms, int64_t open_ms)
{
    if (!bound->given) return open_ms;
    return bound->before_now ? now_ms - bound->ms : bound->ms;
}

void
sources_free(struct sources *list)
{
    if (list == NULL) return;
    if (list->arena != NULL) arena_fini(list->arena);
    mem_free(NULL, list->arena, list->arena == NULL ? 0 : sizeof *list->arena);
    *list = (struct sources){NULL};
}

/* --- types ------------------------------------------------------------------------------------ */

enum err
reader_new(const struct reader_options *options, struct answerer **ret_answerer, struct why *why)
{
    static enum err (*const makers[SOURCE_TYPE_COUNT])(
        const struct reader_options *options, struct answerer **ret_answerer, struct why *why) = {
        [SOURCE_ARCHIVE] = archive_reader_new,       [SOURCE_BUCKET] = bucket_reader_new,
        [SOURCE_CLICKHOUSE] = clickhouse_reader_new, [SOURCE_INFLUXDB] = influxdb_reader_new,
        [SOURCE_OPENTSDB] = opentsdb_reader_new,     [SOURCE_REMOTE_READ] = remote_reader_new,
        [SOURCE_TIMESTREAM] = timestream_reader_new,
    };
    return makers[options->settings->type](options, ret_answerer, why);
}

void
reader_any_time(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    (void)answerer;
    *ret_min_ms = INT64_MIN;
    *ret_max_ms = INT64_MAX;
}

/* --- sources ---------------------------------------------------------------------------------- */

/* One more than used, so that an empty list is not NULL. Zeroed. */
static void *
new_items(struct source *s, uint32_t count, size_t size)
{
    return arena_new(&s->arena, ((size_t)count + 1) * size);
}

static enum err
read_selectors(struct source *s, struct why *why)
{
    const struct text_list *texts = &s->settings->select;
    s->selectors = new_items(s, texts->count, sizeof *s->selectors);
    s->select = new_items(s, texts->count, sizeof *s->select);
    if (s->selectors == NULL || s->select == NULL)
        return why_set(why, ERR_NOMEM, "not enough memory for a source");
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
    s->external_labels = new_items(s, x->external_labels.count, sizeof *s->external_labels);
    s->tenants = new_items(s, x->tenants.count, sizeof *s->tenants);
    if (s->external_labels == NULL || s->tenants == NULL)
        return why_set(why, ERR_NOMEM, "not enough memory for a source");
    for (uint32_t i = 0; i < x->external_labels.count; i++) {
        const struct named_text *label = &x->external_labels.items[i];
        s->external_labels[i] =
            (struct label){bytes_of_text(label->name), bytes_of_text(label->value)};
    }
    for (uint32_t i = 0; i < x->tenants.count; i++)
        s->tenants[i] = bytes_of_text(x->tenants.items[i]);
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
    arena_init(&s->arena, NULL, 0, 0);
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
    for (uint32_t i = 0; s->selectors != NULL && i < x->select.count; i++)
        selector_fini(&s->selectors[i]);
    arena_fini(&s->arena);
}
