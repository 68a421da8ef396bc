/*
 * output.h - writes a file or standard output, optionally compressed, with checkpoints: everything
 * before a checkpoint is durable, and everything after it can be undone.
 */
#ifndef CLI_LIB_OUTPUT_H
#define CLI_LIB_OUTPUT_H

#include "backend/settings.h"
#include "base/buf.h"

struct output;

/*
 * `path` NULL or "-" is standard output. A file is created, or, with `resume_bytes` > 0, cut to
 * that size and continued. ERR_INPUT: the file is shorter than that; ERR_IO, ERR_FULL, ERR_NOMEM.
 */
MUST_CHECK enum err output_open(const char *path, enum compression packing, uint64_t resume_bytes,
                                struct output **ret_output, struct why *why);
/* Drops everything that is not written. */
void output_free(struct output *output);

/* Appends bytes, through a buffer. ERR_IO, ERR_FULL, ERR_NOMEM. */
MUST_CHECK enum err output_write(struct output *output, struct bytes piece, struct why *why);

/* Makes a checkpoint: ends the compressed frame, writes everything, and makes a file durable.
 * `ret_bytes`: the size on disk, for output_back() and a later resume. */
MUST_CHECK enum err output_position(struct output *output, uint64_t *ret_bytes, struct why *why);
/* Undoes everything after that checkpoint. ERR_UNSUPPORTED: the output is not a file. */
MUST_CHECK enum err output_back(struct output *output, uint64_t bytes, struct why *why);

/* Returns the packing of a name's suffix: .gz, .zst. */
enum compression output_packing_of(const char *path);

#endif
