/*
 * graphite.h - lines of Graphite's plaintext protocol as series: "PATH VALUE TIME", with tags
 * "PATH;TAG=VALUE;... VALUE TIME". A path keeps its name, unless a template of Telegraf's form says
 * which of its parts are labels.
 *
 * Source: Graphite's documentation of feeding data and of tags; Telegraf's of its templates.
 *
 * Threads: any; each call uses only its arguments.
 */
#ifndef INPUTS_GRAPHITE_GRAPHITE_H
#define INPUTS_GRAPHITE_GRAPHITE_H

#include "base/mem.h"
#include "inputs/input.h"
#include "wire/remote/remote_write.h"

struct graphite_templates;

/*
 * Reads templates: "[FILTER] TEMPLATE [TAG=VALUE,...]". A filter has parts, of which "*" fits any
 * text; that of the longest, then of the most literal filter is used, then the one named first.
 * Parts of a template are `measurement`, `field`, names of labels, or empty; `measurement*` and
 * `field*` take all that follow. Parts of one name are joined by `separator`. ERR_INPUT, ERR_NOMEM.
 */
MUST_CHECK enum err graphite_templates_new(const char *const *texts, uint32_t count,
                                           const char *separator, struct budget *budget,
                                           struct graphite_templates **ret, struct why *why);
/* NULL is fine. */
void graphite_templates_free(struct graphite_templates *templates);

/* Appends the sample of a line, without its line feed, to a request between rw_fill_begin() and
 * rw_fill_end(). A line without a time, or with -1, has `now_ms`. `templates` may be NULL.
 * ERR_INPUT: it is malformed; errors of rw_fill_series(). */
MUST_CHECK enum err graphite_line_fill(const struct graphite_templates *templates, int64_t now_ms,
                                       struct rw_request *to, struct bytes line, struct why *why);

#endif
