/*
 * relabel_text.h - reads relabelling rules that a client sent: a mapping with one key that has a
 * list, under one of its names in the configuration of Firekeep or Prometheus.
 */
#ifndef CONFIG_LISTS_RELABEL_TEXT_H
#define CONFIG_LISTS_RELABEL_TEXT_H

#include "base/mem.h"
#include "model/relabel.h"

enum { RELABEL_TEXT_RULES_MAX = 256 };

/* Zeroed, it is empty. */
struct relabel_text {
    struct arena *arena; /* has all texts; NULL if there are none */
    struct relabel_spec *specs;
    uint32_t count;
};

/* `ret_text` is given, for relabel_text_free(). ERR_INPUT with rules:line:column; ERR_LIMIT: more
 * than RELABEL_TEXT_RULES_MAX rules, or CONFIG_BYTES_MAX; ERR_NOMEM. */
MUST_CHECK enum err relabel_text_yaml(struct bytes yaml, struct relabel_text *ret_text,
                                      struct why *why);
void relabel_text_free(struct relabel_text *text);

#endif
