/*
 * template.h - texts of labels and annotations: Go's text/template, as Prometheus offers it to
 * alerting rules.
 *
 *     "{{ $labels.instance }} has been down for {{ $value | humanizeDuration }}"
 *
 * A subset, whose output is that of Prometheus. docs/templates.md lists the supported features and
 * the differences.
 *
 * A text may come from any author of rules: parsing and execution end within limits of
 * memory, depth, steps and output.
 *
 * Threads: template_expand() is pure except for `query`; any number at a time.
 */
#ifndef TEMPLATE_TEMPLATE_H
#define TEMPLATE_TEMPLATE_H

#include "base/buf.h"
#include "model/labels.h"

struct fhist;

enum {
    TEMPLATE_TEXT_BYTES_MAX = 64 << 10,   /* size of one text */
    TEMPLATE_OUTPUT_BYTES_MAX = 64 << 10, /* size of the result and of each intermediate text */
    TEMPLATE_STEPS_MAX = 1000000,         /* nodes and rounds of loops */
    TEMPLATE_DEPTH_MAX = 100,             /* nesting of blocks, of parentheses and of calls */
};

/* One sample found by `query` in a template. */
struct template_sample {
    struct bytes labels;           /* canonical (model/labels.h), includes the metric's name */
    uint64_t value;                /* bits of the double */
    const struct fhist *histogram; /* replaces `value`; NULL for a float */
};

/*
 * Calls `each` with the samples of an expression's instant vector at the time of the evaluation, of
 * a scalar with one sample without labels; other results are an error. `each` copies its sample.
 * The sentence of an error is that of Prometheus after `error calling query: `.
 */
struct template_query {
    enum err (*query)(void *context, struct bytes expression,
                      enum err (*each)(void *to, const struct template_sample *sample), void *to,
                      struct why *why);
    void *context;
};

struct template_data {
    const struct label *labels; /* labels of the alert, for $labels, in any order */
    uint32_t label_count;
    const struct label *external_labels; /* for $externalLabels */
    uint32_t external_count;
    struct bytes external_url; /* for $externalURL, externalURL and pathPrefix; valid, or empty */
    uint64_t value;            /* bits of the double, for $value */
    const struct fhist *histogram; /* replaces `value`; NULL for a float */
    int64_t time_ms;               /* time of the evaluation, for `now` */
};

struct template_options {
    struct bytes name;           /* name in sentences: "__alert_" and the name of the alert */
    struct template_query query; /* if its `query` is NULL, templates with queries fail */
    struct budget *budget;       /* for all memory; may be NULL */
};

/*
 * Appends the result of a text to `to`; on an error it appends nothing. Errors of the text or of
 * its execution are ERR_INPUT, with a sentence that begins with "error executing template" or
 * "error parsing template"; ERR_LIMIT: a limit of this page; ERR_NOMEM; errors of `query` that are
 * not the fault of the expression (ERR_CANCELED, ERR_NOMEM, ERR_AGAIN) as they are.
 */
MUST_CHECK enum err template_expand(const struct template_options *options, struct bytes text,
                                    const struct template_data *data, struct buf *to,
                                    struct why *why);

/*
 * Parses a text without executing it, as Prometheus does when it loads a file of rules. Errors are
 * as above, but the sentence begins with "template:".
 */
MUST_CHECK enum err template_check(const struct template_options *options, struct bytes text,
                                   struct why *why);

/* Returns the n-th name of a function of Prometheus, in order; NULL after the last. Excludes
 * functions of Go. */
const char *template_function_word(uint32_t n);

#endif
