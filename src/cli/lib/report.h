/*
 * report.h - prints figures as aligned text, or as one JSON object: the same calls print either.
 *
 *     report_section(r, "log", "The log");
 *     report_field(r, "segments", "segments", value_count(3));
 *     report_table(r, "files", "Files", "name=file|bytes|inode=");
 *     report_row(r, value_text("a"), value_size(10), value_count(7));
 *     report_table_end(r, 0);
 *     report_section_end(r);
 *
 * In JSON a section is an object, a table an array of objects. Output is written to a stream as it
 * is produced. Errors of writing show in the stream; a lack of memory in report_end().
 */
#ifndef CLI_LIB_REPORT_H
#define CLI_LIB_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "base/buf.h"

enum report_form { REPORT_TEXT, REPORT_JSON };
/* The words of the forms, for a flag with choices; ends at a NULL. */
extern const char *const report_forms[];
/* The flag of the form, for a table of struct flag: of the field `form` of struct `s`. */
#define REPORT_FLAG(s)                                                                      \
    {                                                                                       \
        "format", 0, FLAG_CHOICE, offsetof(s, form), "FORM", "text or json (default text)", \
            report_forms                                                                    \
    }

enum value_kind {
    VALUE_NONE,
    VALUE_COUNT,
    VALUE_SIZE,   /* a number of bytes */
    VALUE_NUMBER, /* with a fraction, rounded */
    VALUE_FLOAT,  /* exact; in JSON a string */
    VALUE_TIME,   /* Unix ms: as UTC, and as a number */
    VALUE_TEXT,
    VALUE_LABELS, /* canonical: in text as PromQL, in JSON an object */
    VALUE_BOOL,
};

struct report_value {
    enum value_kind kind;
    uint64_t count;
    double number;
    struct bytes text; /* a view for the call */
};

static inline struct report_value
value_none(void)
{
    return (struct report_value){.kind = VALUE_NONE};
}

static inline struct report_value
value_count(uint64_t count)
{
    return (struct report_value){.kind = VALUE_COUNT, .count = count};
}

static inline struct report_value
value_size(uint64_t size_bytes)
{
    return (struct report_value){.kind = VALUE_SIZE, .count = size_bytes};
}

/* `all` 0: no value. */
static inline struct report_value
value_ratio(uint64_t part, uint64_t all)
{
    if (all == 0) return value_none();
    return (struct report_value){.kind = VALUE_NUMBER, .number = (double)part / (double)all};
}

static inline struct report_value
value_number(double number)
{
    return (struct report_value){.kind = VALUE_NUMBER, .number = number};
}

static inline struct report_value
value_float(double number)
{
    return (struct report_value){.kind = VALUE_FLOAT, .number = number};
}

static inline struct report_value
value_time(int64_t ms)
{
    return (struct report_value){.kind = VALUE_TIME, .count = (uint64_t)ms};
}

static inline struct report_value
value_text(const char *text)
{
    return (struct report_value){.kind = VALUE_TEXT, .text = bytes_of_text(text)};
}

static inline struct report_value
value_view(struct bytes text)
{
    return (struct report_value){.kind = VALUE_TEXT, .text = text};
}

static inline struct report_value
value_labels(struct bytes labels)
{
    return (struct report_value){.kind = VALUE_LABELS, .text = labels};
}

static inline struct report_value
value_bool(bool yes)
{
    return (struct report_value){.kind = VALUE_BOOL, .count = yes};
}

/* A member of an object: a text, an RFC 3339 time or a number. No value if it is not, or empty. */
struct report_value value_json(const json_t *object, const char *key, enum value_kind kind);

enum { REPORT_COLUMNS_MAX = 24 };

struct report;
/* `form` is an enum report_form; a negative one, of a flag that was not given, is text. `to` is
 * borrowed until report_free(). */
MUST_CHECK enum err report_new(int form, FILE *to, struct budget *budget,
                               struct report **ret_report, struct why *why);
/* Ends the object and writes buffered rows. ERR_NOMEM, ERR_LIMIT: the output is incomplete. */
MUST_CHECK enum err report_end(struct report *report, struct why *why);
void report_free(struct report *report);

/* `title` NULL: not shown in text. */
void report_section(struct report *report, const char *key, const char *title);
void report_section_end(struct report *report);
void report_field(struct report *report, const char *key, const char *title,
                  struct report_value value);
/*
 * Each column is its key in JSON (a time is also printed under KEYMs) and, after '=', its title in
 * text if that differs; an empty title: only in JSON. '|' separates columns. They are borrowed
 * until the table's end. An empty table is not shown in text. `title` NULL: the table has no title,
 * and is not indented.
 */
void report_table(struct report *report, const char *key, const char *title, const char *columns);
/* report_row(r, value, ...) takes as many values as the table has columns. */
#define report_row(report, ...) report_row_of(report, (const struct report_value[]){__VA_ARGS__})
void report_row_of(struct report *report, const struct report_value *values);
/* `left_out`: number of rows that are not shown; in JSON KEYLeftOut. */
void report_table_end(struct report *report, uint64_t left_out);

#endif
