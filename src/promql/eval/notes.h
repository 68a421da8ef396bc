/* notes.h - warnings and infos about an answer, each once, with their positions in the query. */
#ifndef PROMQL_EVAL_NOTES_H
#define PROMQL_EVAL_NOTES_H

#include "base/buf.h"
#include "promql/parse/tree.h"

enum note_kind { NOTE_WARNING, NOTE_INFO };

struct note {
    enum note_kind kind;
    struct bytes text;
};

struct notes {
    struct budget *budget;
    struct arena arena;
    struct bytes query;
    struct note *items;
    uint32_t count;
    uint32_t capacity;
    enum err failed; /* ERR_NOMEM: one could not be kept */
};

void notes_init(struct notes *notes, struct budget *budget, struct bytes query);
void notes_fini(struct notes *notes);
/* "PromQL warning: TEXT (LINE:COLUMN)". */
void notes_add(struct notes *notes, enum note_kind kind, struct span at, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* The same; behind the text comes another in quotes. */
void notes_add_quoted(struct notes *notes, enum note_kind kind, struct span at, const char *text,
                      struct bytes quoted);

#endif
