/*
 * answer_file.h - the answer to a question about series and their samples as a file, written and
 * read as a stream. Form: docs/format/answer_file.md. Private to query.
 *
 * Memory: a block, and what it takes to pack it. Threads: one.
 */
#ifndef VIEWS_ANSWER_FILE_H
#define VIEWS_ANSWER_FILE_H

#include "model/select.h"
#include "sys/file_cache.h"

enum { ANSWER_QUESTION_BYTES_MAX = 64 * 1024 };

/* Of what a file is the answer. */
struct answer_about {
    struct bytes question; /* all that decides it, but for the times */
    int64_t min_ms;        /* both inclusive */
    int64_t max_ms;
    int64_t asked_ms; /* Unix: when the store was asked */
};

struct answer_writer;
/* NULL: it cannot be kept, for whatever reason. What is written may lose it, too: then all that
 * follows does nothing, and answer_writer_keep() says so. */
struct answer_writer *answer_writer_new(struct file_cache *cache, struct file_key key,
                                        const struct answer_about *about, struct budget *budget);
/* Series in label order, with the samples of each in time order. */
void answer_writer_series(struct answer_writer *writer, struct bytes labels);
void answer_writer_samples(struct answer_writer *writer, const struct sample_batch *batch);
/* It is complete. Frees it; whether it is there now. */
bool answer_writer_keep(struct answer_writer *writer);
/* Frees it, and leaves nothing. NULL is fine. */
void answer_writer_drop(struct answer_writer *writer);

/*
 * The file's samples between two times, as a set without warnings, which closes the file. All of it
 * is read once before: what is damaged, or of something else, is ERR_CORRUPT, without words. A file
 * that changes later is ERR_AGAIN of the set. ERR_NOMEM. After an error the file is closed.
 */
MUST_CHECK enum err answer_file_open(struct file *file, const struct answer_about *about,
                                     int64_t min_ms, int64_t max_ms, struct budget *budget,
                                     struct series_set **ret_set, struct why *why);

#endif
