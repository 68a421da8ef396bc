/*
 * selector.h - reads a series selector as PromQL writes it:
 *
 *     up     up{job="x",env!~"a|b"}     {__name__=~"node_.*"}     {"my.metric","l.x"='y'}
 *
 * Names that are not plain words are in quotes. Texts are in "" or '', with escapes as in Go, or in
 * ``, without escapes.
 */
#ifndef MODEL_SELECTOR_H
#define MODEL_SELECTOR_H

#include "model/matcher.h"

enum { SELECTOR_MATCHERS_MAX = 256, SELECTOR_BYTES_MAX = 1 << 20 };

struct selector {
    struct matcher *matchers[SELECTOR_MATCHERS_MAX];
    uint32_t count;
};

/*
 * At least one matcher of the result does not match the empty string, as in Prometheus, so
 * that selecting everything is explicit: {__name__=~".+"}.
 * ERR_INPUT: `why` says what was expected and where; ERR_LIMIT, ERR_NOMEM; errors of matcher_new().
 * On error there is nothing to free.
 */
MUST_CHECK enum err selector_parse(struct bytes text, struct selector *ret_selector,
                                   struct why *why);
/* Does the same for a selector whose matchers may all match the empty string: {team!="a"}. */
MUST_CHECK enum err selector_parse_any(struct bytes text, struct selector *ret_selector,
                                       struct why *why);
void selector_fini(struct selector *selector);

#endif
