/* text.c - see text.h. */
#include "inputs/text/text.h"

#include <inttypes.h>
#include <string.h>

static enum err
fill_metadata(struct rw_request *to, const struct text_item *item)
{
    struct rw_metadata m = {.type = item->type,
                            .family = rw_fill_text(to, item->family),
                            .help = rw_fill_text(to, item->help),
                            .unit = rw_fill_text(to, item->unit)};
    if (rw_fill_error(to)) return rw_fill_error(to);
    return rw_fill_metadata(to, &m);
}

static enum err
fill_exemplar(struct rw_request *to, const struct text_exemplar *x)
{
    for (uint32_t i = 0; i < x->label_count; i++) {
        x->labels[i].name = rw_fill_text(to, x->labels[i].name);
        x->labels[i].value = rw_fill_text(to, x->labels[i].value);
    }
    if (rw_fill_error(to)) return rw_fill_error(to);
    return rw_fill_exemplar(to, x->t_ms, x->bits, x->labels, x->label_count);
}

enum err
text_item_fill(void *request, struct text_item *item, struct why *why)
{
    struct rw_request *to = request;
    enum err e = item->has_metadata ? fill_metadata(to, item) : OK;
    if (e || item->label_count == 0) return e;
    if (!input_sort_labels(item->labels, &item->label_count))
        return why_set(why, ERR_INPUT, "a label is there twice");
    e = rw_fill_series(to, item->labels, item->label_count);
    for (uint32_t i = 0; i < item->sample_count && e == OK; i++)
        e = rw_fill_float(to, item->times_ms[i], item->bits[i], item->start_ms);
    for (uint32_t i = 0; i < item->exemplar_count && e == OK; i++)
        e = fill_exemplar(to, &item->exemplars[i]);
    return e;
}

/* Judges the times of a line, and passes what it has on. */
static enum err
take_item(const struct text_input *input, struct text_item *item,
          enum err (*each)(void *context, struct text_item *item, struct why *why), void *context,
          struct why *why)
{
    for (uint32_t i = 0; i < item->sample_count && input->refuses_times; i++)
        if (item->times_ms[i] != input->time_ms)
            return why_set(why, ERR_INPUT, "pushed metrics must not have timestamps");
    return each(context, item, why);
}

enum err
text_input_each(const struct text_input *input, struct bytes text,
                enum err (*each)(void *context, struct text_item *item, struct why *why),
                void *context, struct input_outcome *ret, struct why *why)
{
    const struct text_reader_options options = {input->format, true, input->time_ms, input->budget};
    struct text_reader *reader;
    struct text_item item;
    struct why bad;
    uint64_t number = 0;
    enum err e = text_reader_new(&options, &reader);
    if (e) return why_set(why, e, "not enough memory for the request");
    while (e == OK && text.size > 0) {
        const uint8_t *feed = memchr(text.at, '\n', text.size);
        size_t size = feed == NULL ? text.size : (size_t)(feed - text.at), step = feed != NULL;
        item = (struct text_item){.sample_count = 0};
        e = text_reader_line(reader, bytes_of(text.at, size), &item, &bad);
        if (e == ERR_LIMIT) e = ERR_INPUT; /* of one line */
        if (e == OK) e = take_item(input, &item, each, context, &bad);
        number++;
        text = bytes_of(text.at + size + step, text.size - size - step);
        ret->points += e ? 1 : item.sample_count;
        if (e != ERR_INPUT) continue;
        if (ret->refused == 0) ret->line = number;
        (void)why_prefix(&bad, e, "line %" PRIu64, number);
        input_refuse(ret, 1, &bad);
        e = OK;
    }
    /* The length of the message says that it is whole. */
    if (e == OK) {
        err_ignore(text_reader_end(reader, &item, &bad), "an end mark may be missing");
        if (item.has_metadata) e = each(context, &item, &bad);
    }
    text_reader_free(reader);
    if (e == ERR_LIMIT) return why_set(why, e, "the lines have too many labels: send fewer");
    return e ? why_set(why, e, "not enough memory for the request") : OK;
}

enum err
text_decode(const struct text_input *input, struct bytes text, uint64_t seed, struct rw_request *to,
            struct input_outcome *ret, struct why *why)
{
    *ret = (struct input_outcome){0};
    rw_fill_begin(to, seed, text.size);
    enum err e = text_input_each(input, text, text_item_fill, to, ret, why);
    return input_end(to, e, why);
}
