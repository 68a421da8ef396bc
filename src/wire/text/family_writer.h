/*
 * family_writer.h - writes samples as in a scrape: in the text format 0.0.4, or as length-prefixed
 * messages io.prometheus.client.MetricFamily. One sample of each series, ordered by name; floats
 * are untyped.
 *
 * Native histograms are written in messages only and left out in text. Those with custom buckets
 * are written as classic histograms in both.
 */
#ifndef WIRE_TEXT_FAMILY_WRITER_H
#define WIRE_TEXT_FAMILY_WRITER_H

#include "wire/escaped_name.h"
#include "wire/shape.h"

enum family_form { FAMILY_FORM_TEXT, FAMILY_FORM_MESSAGES };

enum family_type { FAMILY_UNTYPED, FAMILY_HISTOGRAM, FAMILY_GAUGE_HISTOGRAM };

struct family_writer {
    struct buf *to;
    enum family_form form;
    enum name_escaping escaping;

    /* The current family. */
    struct buf name;
    struct buf escaped; /* escaped name */
    enum family_type type;
    struct buf metrics; /* metrics of the next message */
    struct buf metric;
    struct buf part; /* part of a message or line */
    enum err failed;
};

/* `to` is borrowed until the end; it may be sent and cleared between two calls. */
void family_writer_init(struct family_writer *w, enum family_form form, enum name_escaping escaping,
                        struct budget *budget, struct buf *to);
void family_writer_fini(struct family_writer *w);

/* Writes a sample with canonical labels that include a name. A series without a label "instance"
 * gets an empty one, so that a scraper that honors labels does not add its own. Out of memory shows
 * in family_writer_error(). */
void family_writer_float(struct family_writer *w, struct bytes labels, int64_t t_ms, uint64_t bits);
void family_writer_histogram(struct family_writer *w, struct bytes labels, int64_t t_ms,
                             const struct histogram *h);
/* Ends the last family. */
void family_writer_end(struct family_writer *w);
enum err family_writer_error(const struct family_writer *w);

#endif
