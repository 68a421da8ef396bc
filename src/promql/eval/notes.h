/* notes.h - warnings and infos about an answer, each once, with their positions in the query. */
#ifndef PROMQL_EVAL_NOTES_H
#define PROMQL_EVAL_NOTES_H

#include "base/buf.h"
#include "base/table.h"
#include "promql/parse/tree.h"

enum note_kind { NOTE_WARNING, NOTE_INFO };

struct note {
    enum note_kind kind;
    struct bytes text; /* without its position */
    struct span at;
    struct forced *forced; /* NULL, mostly: more about it */
};

/* Each text is there once, at the place that is evaluated last. */
struct notes {
    struct budget *budget;
    struct arena arena;
    struct bytes query;
    struct note *items;
    uint32_t count;
    uint32_t capacity;
    struct table table; /* of them, by their texts */
    uint64_t added;     /* how often there was something to tell */
    enum err failed;    /* ERR_NOMEM: one could not be kept */
};

void notes_init(struct notes *notes, struct budget *budget, struct bytes query);
void notes_fini(struct notes *notes);
void notes_add(struct notes *notes, enum note_kind kind, struct span at, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* The same; behind the text comes another in quotes. */
void notes_add_quoted(struct notes *notes, enum note_kind kind, struct span at, const char *text,
                      struct bytes quoted);
/* The same; behind the text comes a number. */
void notes_add_number(struct notes *notes, enum note_kind kind, struct span at, const char *text,
                      double number);
/* A counter by its type label, which says something else. */
void notes_add_type(struct notes *notes, struct span at, struct bytes type, struct bytes metric);
/* The same with " for metric name NAME" behind it, if there is a name. */
void notes_add_metric(struct notes *notes, enum note_kind kind, struct span at, const char *text,
                      struct bytes metric);

/* Buckets of a classic histogram that were not cumulative: between which bounds, by how much. */
struct decrease {
    double least_bound;
    double greatest_bound;
    double most;
};
void notes_add_decrease(struct notes *notes, struct span at, struct bytes metric, int64_t t_ms,
                        const struct decrease *decrease);

/* Adds those of a part of the evaluation, none of which is about decreases. */
void notes_merge(struct notes *notes, const struct notes *of);

/* "PromQL warning: TEXT (LINE:COLUMN)". */
void note_print(const struct notes *notes, const struct note *note, struct buf *to);

#endif
