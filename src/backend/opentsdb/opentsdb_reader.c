/*
 * opentsdb_reader.c - a source of type opentsdb: see opentsdb_reader.h.
 *
 * Names of metrics and of labels are those that OpenTSDB ever had; all else is found out of the
 * series. /api/search/lookup is not used: it knows only series that were written while
 * tsd.core.meta.enable_tsuid_tracking was on, or reads the whole table.
 */
#include "backend/opentsdb/opentsdb_reader.h"

#include "backend/opentsdb/stored_text.h"

static enum err
give_name(void *context, struct bytes stored, struct why *why)
{
    struct opentsdb_question *q = context;
    struct buf *text = &q->base.text;
    buf_clear(text);
    enum err e = q->base.purpose == FETCH_NAMES ? opentsdb_label_name_get(q, text, stored)
                                                : stored_value_get(text, stored);
    if (e) return fetch_no_memory(why);
    q->gave_names = true;
    return text->size == 0 ? OK : q->base.to->each(q->base.to->context, buf_bytes(text));
}

/* Gives all names of labels. */
static enum err
label_names(struct fetch_question *base, struct why *why)
{
    struct opentsdb_question *q = (struct opentsdb_question *)base;
    if (base->matcher_count > 0) return ERR_UNSUPPORTED;
    enum err e = opentsdb_question_names(q, "tagk", bytes_of(NULL, 0), give_name, q, why);
    if (e == OK && q->gave_names) e = base->to->each(base->to->context, bytes_of_text("__name__"));
    return e;
}

/* Gives all names of metrics. */
static enum err
label_values(struct fetch_question *base, struct why *why)
{
    struct opentsdb_question *q = (struct opentsdb_question *)base;
    if (base->matcher_count > 0 || !bytes_equal_text(base->name, "__name__")) {
        return ERR_UNSUPPORTED;
    }
    return opentsdb_question_names(q, "metrics", bytes_of(NULL, 0), give_name, q, why);
}

enum err
opentsdb_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                    struct why *why)
{
    static const struct fetch_type type = {
        .reader_bytes = sizeof(struct fetch_reader),
        .question_bytes = sizeof(struct opentsdb_question),
        .max_ms = OPENTSDB_TIME_MS_MAX,
        .arena_bytes_max = 256 << 20,
        .scratch_bytes_max = 64 << 20,
        .text_bytes_max = 16 << 20,
        .init = opentsdb_question_init,
        .fini = opentsdb_question_fini,
        .find = opentsdb_question_find,
        .samples = opentsdb_question_samples,
        .names = label_names,
        .values = label_values,
    };
    return fetch_reader_new(&type, options, NULL, ret_answerer, why);
}
