/* sample_format.h - the formats of samples in files: those of text_format.h, and captures. */
#ifndef CLI_LIB_SAMPLE_FORMAT_H
#define CLI_LIB_SAMPLE_FORMAT_H

#include "wire/text/text_format.h"

enum { FORMAT_CAPTURE = TEXT_FORMAT_COUNT, FORMAT_UNKNOWN };

/* Parses a value of --format: "jsonl", "rw", ... ERR_INPUT: unknown format. */
MUST_CHECK enum err sample_format_parse(const char *word, int *ret_format, struct why *why);
/* Returns the format of a suffix, before .gz or .zst, or FORMAT_UNKNOWN. `path` may be NULL. */
int sample_format_of(const char *path);

#endif
