/*
 * answer_file.h - private to views/: an answer with series and their samples as a file, written and
 * read as a stream. Format: docs/format/answer_file.md.
 *
 * Memory: a block, and that of its compression. Threads: one.
 */
#ifndef VIEWS_ANSWER_FILE_H
#define VIEWS_ANSWER_FILE_H

#include "model/select.h"
#include "sys/file_cache.h"

enum { ANSWER_QUESTION_BYTES_MAX = 64 * 1024 };

/* The question that a file answers. */
struct answer_about {
    struct bytes question; /* all that determines the answer, but the times */
    int64_t min_ms;        /* both inclusive */
    int64_t max_ms;
    int64_t as_of_ms; /* Unix time at which the store was asked */
};

struct answer_writer;
/* NULL: the file cannot be written, for any reason. If a later write fails, all further calls do
 * nothing, and answer_writer_keep() returns false. */
struct answer_writer *answer_writer_new(struct file_cache *cache, struct file_key key,
                                        const struct answer_about *about, struct budget *budget);
/* Series in label order, with the samples of each in time order. */
void answer_writer_series(struct answer_writer *writer, struct bytes labels);
void answer_writer_samples(struct answer_writer *writer, const struct sample_batch *batch);
/* Ends a complete answer, and frees the writer. Returns true if the file is there now. */
bool answer_writer_keep(struct answer_writer *writer);
/* Drops the file, and frees the writer. NULL is fine. */
void answer_writer_drop(struct answer_writer *writer);

/*
 * Returns the file's samples between two times, as a set without warnings, which closes the file.
 * All of it is read once before: ERR_CORRUPT, without a `why`, if it is damaged or answers another
 * question. If it changes later the set returns ERR_AGAIN. ERR_NOMEM. After an error the file is
 * closed.
 */
MUST_CHECK enum err answer_file_open(struct file *file, const struct answer_about *about,
                                     int64_t min_ms, int64_t max_ms, struct budget *budget,
                                     struct series_set **ret_set, struct why *why);

#endif
