/* notes.h - warnings and infos about a result, each once, with positions in the query. */
#ifndef PROMQL_EVAL_NOTES_H
#define PROMQL_EVAL_NOTES_H

#include "base/buf.h"
#include "base/table.h"
#include "promql/parse/tree.h"

enum note_kind { NOTE_WARNING, NOTE_INFO };

struct eval_note {
    enum note_kind kind;
    struct bytes text; /* without the position */
    struct text_span at;
    struct forced *forced; /* sum of decreases; NULL for most notes */
    uint64_t occurrences;  /* printed if more than one; 0: not counted */
};

/* Each text is there once, with the position that is evaluated last; notes that are summed up or
 * counted have the one that is evaluated first. */
struct eval_notes {
    struct budget *budget;
    struct arena arena;
    struct bytes query;
    struct eval_note *items;
    uint32_t count;
    uint32_t capacity;
    struct table table; /* notes by their kinds and texts */
    uint64_t added;     /* count of notes added, including those that were there */
    enum err failed;    /* ERR_NOMEM, ERR_LIMIT: a note was lost */
};

/* Notes are texts in an arena, each once. `query` is a view that outlives them: positions in it
 * become lines and columns. */
void notes_init(struct eval_notes *notes, struct budget *budget, struct bytes query);
void notes_fini(struct eval_notes *notes);
/* Adds a note about a part of the query. A lack of memory shows in `failed`. */
void notes_add(struct eval_notes *notes, enum note_kind kind, struct text_span at,
               const char *format, ...) PRINTF_LIKE(4, 5);
/* Adds a note that ends with a text in quotes. */
void notes_add_quoted(struct eval_notes *notes, enum note_kind kind, struct text_span at,
                      const char *text, struct bytes quoted);
/* Adds a note that ends with a number. */
void notes_add_number(struct eval_notes *notes, enum note_kind kind, struct text_span at,
                      const char *text, double number);
/* Notes that the type label of a metric says that it is not a counter. */
void notes_add_type(struct eval_notes *notes, struct text_span at, struct bytes type,
                    struct bytes metric);
/* Adds a note that ends with " for metric name NAME", unless the name is empty. */
void notes_add_metric(struct eval_notes *notes, enum note_kind kind, struct text_span at,
                      const char *text, struct bytes metric);

/* Counts a range of samples in which a start time overlaps the sample before. */
void notes_add_overlap(struct eval_notes *notes, struct text_span at, struct bytes metric);

/* Buckets of a classic histogram that were not cumulative: the bounds between which counts fell,
 * and by how much at most. */
struct decrease {
    double least_bound;
    double greatest_bound;
    double most;
};
/* Notes that a histogram had such buckets at a time; notes about one metric are joined. */
void notes_add_decrease(struct eval_notes *notes, struct text_span at, struct bytes metric,
                        int64_t t_ms, const struct decrease *decrease);

/* Adds the notes of a part of the evaluation; none of them is about decreases. */
void notes_merge(struct eval_notes *notes, const struct eval_notes *of);

/* Appends "PromQL warning: TEXT (LINE:COLUMN)". */
void note_print(const struct eval_notes *notes, const struct eval_note *note, struct buf *to);

#endif
