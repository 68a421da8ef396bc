/*
 * template.h - texts of labels and annotations: Go's text/template, as Prometheus offers it to
 * alerting rules.
 *
 *     "{{ $labels.instance }} has been down for {{ $value | humanizeDuration }}"
 *
 * A subset: what it has prints what Prometheus prints. docs/templates.md lists what there is and
 * how it differs.
 *
 * A text comes from a file of rules, and may be anybody's: parsing and execution end within limits
 * of memory, depth, steps and output, whatever it says.
 *
 * Threads: template_expand() is pure but for `query`; any number at a time.
 */
#ifndef TEMPLATE_TEMPLATE_H
#define TEMPLATE_TEMPLATE_H

#include "base/buf.h"
#include "model/labels.h"

struct fhist;

enum {
    TEMPLATE_TEXT_BYTES_MAX = 64 << 10,   /* of one text */
    TEMPLATE_OUTPUT_BYTES_MAX = 64 << 10, /* of what comes of it, and of any text on the way */
    TEMPLATE_STEPS_MAX = 1000000,         /* nodes that are visited, and rounds of loops */
    TEMPLATE_DEPTH_MAX = 100,             /* of nodes in one another, and of templates that call */
};

/* One element of what `query` in a template answers. */
struct template_sample {
    struct bytes labels; /* encoded as model/labels.h says, the metric's name among them */
    uint64_t value;      /* bits of the double */
    const struct fhist *histogram; /* instead of it; NULL: there is none */
};

/*
 * An expression's instant vector at the time of the evaluation, a scalar as one sample without
 * labels; anything else is an error. What `each` is given is copied before it returns. The sentence
 * of an error is as Prometheus has it after `error calling query: `.
 */
struct template_query {
    enum err (*query)(void *context, struct bytes expression,
                      enum err (*each)(void *to, const struct template_sample *sample), void *to,
                      struct why *why);
    void *context;
};

struct template_data {
    const struct label *labels; /* of the alert, for $labels, in any order */
    uint32_t label_count;
    const struct label *external_labels; /* for $externalLabels */
    uint32_t external_count;
    struct bytes external_url; /* for $externalURL, externalURL and pathPrefix; valid, or empty */
    uint64_t value;            /* bits of the double, for $value */
    const struct fhist *histogram; /* instead of it; NULL: there is none */
    int64_t time_ms;               /* of the evaluation, for `now` */
};

struct template_options {
    struct bytes name;           /* as sentences have it: of an alert "__alert_" and its name */
    struct template_query query; /* `query` NULL: a template that uses query fails */
    struct budget *budget;       /* for all that is taken; NULL: none */
};

/*
 * What a text comes to, appended to `to`; on an error nothing is. Errors of the text or of its
 * execution are ERR_INPUT, with Prometheus' sentence from "error executing template" or "error
 * parsing template" on; ERR_LIMIT: a limit of this page; ERR_NOMEM; errors of `query` that are no
 * fault of the expression (ERR_CANCELED, ERR_NOMEM, ERR_AGAIN) as they are.
 */
MUST_CHECK enum err template_expand(const struct template_options *options, struct bytes text,
                                    const struct template_data *data, struct buf *to,
                                    struct why *why);

/*
 * Whether a text can be parsed: what Prometheus tries when it loads a file of rules. It executes
 * nothing then, so neither does this. Errors as above, but the sentence is from "template:" on.
 */
MUST_CHECK enum err template_check(const struct template_options *options, struct bytes text,
                                   struct why *why);

/* The names of Prometheus' functions, in order; NULL after the last. Those of Go are not among
 * them. */
const char *template_function_word(uint32_t n);

#endif
