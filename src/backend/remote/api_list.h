/*
 * api_list.h - responses of the Prometheus API to look-ups: names, values, series.
 *
 * Threads: any.
 */
#ifndef BACKEND_REMOTE_API_LIST_H
#define BACKEND_REMOTE_API_LIST_H

#include "backend/common/final_labels.h"
#include "model/select.h"

enum api_list { API_TEXTS, API_SERIES };

/* Gives `to` the items of {"status":"success","data":[...],"warnings":[...]} in order: texts that
 * are not empty, or the final labels of series; and the warnings. Memory is charged to `budget`.
 * ERR_CORRUPT: it is not such a response; the items before the damage were given. ERR_LIMIT: a
 * series has too many labels; ERR_NOMEM; errors of `to`. */
MUST_CHECK enum err api_list_read(struct bytes answer, enum api_list list,
                                  const struct external_labels *external, struct budget *budget,
                                  const struct text_sink *to, struct why *why);

/* Puts a server's text into *ret_sentence, as one line. */
void api_sentence(struct bytes text, struct why *ret_sentence);

#endif
