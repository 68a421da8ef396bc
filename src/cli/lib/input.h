/*
 * input.h - reads a file or standard input, uncompressed if it is gzip or zstd, as lines or as
 * pieces of a known size. Memory: one line or piece, and some hundred KiB.
 */
#ifndef CLI_LIB_INPUT_H
#define CLI_LIB_INPUT_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"

enum { INPUT_HEAD_BYTES = 65536 };

struct input;

/* `path` "-" is standard input. `stop` (may be NULL): once it is set, waiting for a pipe ends
 * with ERR_CANCELED. ERR_MISSING, ERR_IO, ERR_NOMEM; ERR_INPUT: a directory. */
MUST_CHECK enum err input_open(const char *path, const atomic_bool *stop, struct input **ret_input,
                               struct why *why);
void input_free(struct input *input);

/* Views below end with the next call. */

/* Returns up to INPUT_HEAD_BYTES of the next bytes, without taking them. */
MUST_CHECK enum err input_head(struct input *input, struct bytes *ret_head, struct why *why);

/*
 * Returns the next line, without its line feed; `at` NULL after the last. ERR_LIMIT: it is longer
 * than `size_max`; it was skipped, and the next call returns the next line. ERR_CORRUPT: the
 * compressed bytes are invalid or end too early; everything before was returned.
 */
MUST_CHECK enum err input_line(struct input *input, size_t size_max, struct bytes *ret_line,
                               struct why *why);

/* Does the same for JSON: an object that follows another without a line feed is a line of its own
 * (wire/json/json_scan.h), also for the counts of lines. */
MUST_CHECK enum err input_object(struct input *input, size_t size_max, struct bytes *ret_line,
                                 struct why *why);

/* Does the same for CSV: a line feed within double quotes belongs to the record. ERR_LIMIT: the
 * quotes do not close within `size_max` bytes; only the first line was taken. */
MUST_CHECK enum err input_record(struct input *input, size_t size_max, struct bytes *ret_record,
                                 struct why *why);

/* Returns exactly `size` bytes; `at` NULL at the end. ERR_CORRUPT: fewer are left. */
MUST_CHECK enum err input_piece(struct input *input, size_t size, struct bytes *ret_piece,
                                struct why *why);

/* The number of lines taken, and the number, from 1, of the first line of the line or record
 * just returned. */
uint64_t input_lines(const struct input *input);
uint64_t input_line_begin(const struct input *input);
/* True if the last line taken ends with the input, without a line feed: it may be cut short. */
bool input_line_is_last(const struct input *input);
/* Bytes read of the compressed file, and its size (0: not known). */
uint64_t input_read_bytes(const struct input *input);
uint64_t input_file_bytes(const struct input *input);

#endif
