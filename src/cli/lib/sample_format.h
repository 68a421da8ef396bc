/* sample_format.h - the forms of samples in files: those of text_reader.h, and captures. */
#ifndef CLI_LIB_SAMPLE_FORMAT_H
#define CLI_LIB_SAMPLE_FORMAT_H

#include "wire/text/text_reader.h"

enum { FORMAT_CAPTURE = TEXT_FORMAT_COUNT, FORMAT_UNKNOWN };

/* What --format says: "jsonl", "rw", ... ERR_INPUT: no form. */
MUST_CHECK enum err sample_format_parse(const char *word, int *ret_format, struct why *why);
/* By the suffix, before .gz or .zst; FORMAT_UNKNOWN: it says nothing. `path` may be NULL. */
int sample_format_of(const char *path);

#endif
