/*
 * influxdb_reader.c - a source of type influxdb: see influxdb_reader.h.
 *
 * Names and values of labels are found out of the series, except the values of one label without
 * matchers: then each value is given once.
 */
#include "backend/influxdb/influxdb_reader.h"

#include "model/labels.h"

/* Finds the series of all metrics. */
static enum err
find_keys(struct influx_question *q, enum influx_grouping grouping, struct why *why)
{
    uint32_t count = 0;
    q->grouping = grouping;
    enum err e = influx_question_list(q, why);
    for (uint32_t first = 0; first < q->metric_count && e == OK; first += count) {
        e = influxql_keys(q, first, &count, why);
    }
    influx_exchange_end(&q->exchange);
    return e;
}

static enum err
find_series(struct fetch_question *base, struct why *why)
{
    return find_keys((struct influx_question *)base, GROUPED_BY_ALL, why);
}

static enum err
fetch_samples(struct fetch_question *base, const struct series_block *block, struct why *why)
{
    return influxql_samples((struct influx_question *)base, block, why);
}

/* Supported without matchers, since some of them cannot be exact conditions. */
static enum err
label_values(struct fetch_question *base, struct why *why)
{
    struct influx_question *q = (struct influx_question *)base;
    if (base->matcher_count > 0) return ERR_UNSUPPORTED;
    if (bytes_equal_text(base->name, "__name__")) return find_keys(q, GROUPED_BY_NONE, why);
    if (!influx_is_plain_label(q, base->name)) return ERR_UNSUPPORTED;
    if (!influxql_can_quote(base->name)) return ERR_UNSUPPORTED;
    return find_keys(q, GROUPED_BY_ONE, why);
}

static enum err
open_reader(struct fetch_reader *base, struct why *why)
{
    const struct influxdb_read_settings *x = &base->options.settings->u.influxdb;
    struct influx_reader *reader = (struct influx_reader *)base;
    (void)why;
    reader->telegraf = x->mapping == INFLUXDB_TELEGRAF;
    return OK;
}

enum err
influxdb_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                    struct why *why)
{
    static const struct fetch_type type = {
        .reader_bytes = sizeof(struct influx_reader),
        .question_bytes = sizeof(struct influx_question),
        .min_ms = -LINE_TIME_MS_MAX - 1,
        .max_ms = LINE_TIME_MS_MAX,
        .arena_bytes_max = 1 << 30,
        .scratch_bytes_max = 256 << 20,
        .text_bytes_max = 256 << 20,
        .open = open_reader,
        .init = influx_question_init,
        .fini = influx_question_fini,
        .find = find_series,
        .samples = fetch_samples,
        .values = label_values,
    };
    return fetch_reader_new(&type, options, NULL, ret_answerer, why);
}
