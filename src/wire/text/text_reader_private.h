/*
 * text_reader_private.h - shared by the readers of the text forms; private to text_*.c.
 */
#ifndef WIRE_TEXT_TEXT_READER_PRIVATE_H
#define WIRE_TEXT_TEXT_READER_PRIVATE_H

#include "base/mem.h"
#include "wire/number.h"
#include "wire/text/text_format.h"

struct text_reader {
    struct text_reader_options options;

    /* The current line. */
    struct arena arena; /* texts with escapes */
    struct buf labels;  /* struct label */
    struct buf exemplar_labels;
    struct buf times;     /* int64_t */
    struct buf values;    /* uint64_t, bits */
    struct buf exemplars; /* struct text_exemplar without `labels`: they move while they grow */
    struct histogram histogram;
    struct bytes early_column; /* column of the last time before TEXT_EARLY_MS */
    int64_t early_ms;

    /* OpenMetrics and Prometheus text: the family named by the last metadata line. */
    bool has_family;
    enum metric_type type;
    struct buf family;
    struct buf help;
    struct buf unit;
    struct buf done_family; /* family returned with the item */
    struct buf done_help;
    struct buf done_unit;
    bool ended; /* "# EOF" was read */

    /* CSV: the columns, known after the first line. */
    struct buf columns; /* struct text_csv_column */
    struct buf column_names;
};

/* Adds a label to the line. The views must last as long as the line. */
void text_put_label(struct buf *labels, struct bytes name, struct bytes value);
void text_put_sample(struct text_reader *reader, int64_t t_ms, uint64_t bits);
/* Adds an exemplar whose labels are the last `label_count` of reader->exemplar_labels. */
void text_put_exemplar(struct text_reader *reader, uint32_t label_count, int64_t t_ms,
                       uint64_t bits);

/* Notes a time of the line if it is so early that its unit may be another one. Call it if the
 * column, which lives as long as the line, does not name the unit. */
void text_note_time(struct text_reader *reader, struct bytes column, int64_t t_ms);

/* Read a line of one form. */
enum err exposition_line(struct text_reader *reader, struct bytes line, struct text_item *item,
                         struct why *why);
enum err exposition_end(struct text_reader *reader, struct text_item *item, struct why *why);
enum err json_lines_line(struct text_reader *reader, struct bytes line, struct text_item *item,
                         struct why *why);
enum err ndjson_line(struct text_reader *reader, struct bytes line, struct text_item *item,
                     struct why *why);
enum err csv_line(struct text_reader *reader, struct bytes line, struct text_item *item,
                  struct why *why);
bool csv_has_columns(const struct text_reader *reader);
/* True if the line could be a first line. */
bool csv_is_header(struct bytes line);

/* Reads {name="value",...} from after the opening brace past the closing one, as written in
 * exposition and CSV. With `name_too` the metric's name may be included, in quotes without a value.
 * ERR_INPUT, ERR_NOMEM. */
enum err text_label_set(struct text_reader *reader, struct cursor *c, struct buf *labels,
                        bool name_too, struct why *why);

/* Part of a line for a message: bounded. */
#define SHOWN(b) (int)((b).size < 60 ? (b).size : 60), (const char *)(b).at

#endif
