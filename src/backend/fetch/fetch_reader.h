/*
 * fetch_reader.h - the parts that the readers of all systems share: the reader, its views, sets of
 * series and look-ups. A type of source adds a struct fetch_type, which says how a question becomes
 * requests and how responses become series and samples.
 *
 * A question is one select or one look-up. Most systems are read in two steps: find() gives each
 * series to fetch_question_take(), then samples() fetches the samples of a block of these series.
 * A system that responds with series in label order has next() and batch().
 *
 *     select     init, begin, find, samples ..., fini     (or init, begin, next, batch ..., fini)
 *     look-up    init, names or values or series, fini
 *
 * Threads: a reader may be used from any thread; a question belongs to one.
 */
#ifndef BACKEND_FETCH_FETCH_READER_H
#define BACKEND_FETCH_FETCH_READER_H

#include "backend/fetch/fetch.h"
#include "backend/settings.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/table.h"
#include "model/labels.h"
#include "model/select.h"

/* --- labels ----------------------------------------------------------------------------------- */

/* A series in a source's answers has the labels of the other system, and the source's external
 * labels, which replace others of the same name. */

enum { FINAL_LABELS_MAX = 1024 };

/* Borrowed from the settings. */
struct external_labels {
    const struct named_texts *texts;
};

/* Appends the labels in canonical form. `fields`: label bytes in any order (wire/shape.h), with
 * empty values allowed. ERR_CORRUPT: invalid labels of a series; ERR_LIMIT: too many; ERR_NOMEM. */
MUST_CHECK enum err final_labels_put(const struct external_labels *external, struct bytes fields,
                                     struct buf *to, struct why *why);
/* Does the same for `count` labels in an array, which is sorted, and must have room for
 * FINAL_LABELS_MAX. */
MUST_CHECK enum err final_labels_build(const struct external_labels *external, struct label *labels,
                                       uint32_t count, struct buf *to, struct why *why);
/* Reads the labels of a TimeSeries, in any order among its other fields; room for FINAL_LABELS_MAX.
 * Views. ERR_CORRUPT, ERR_LIMIT. */
MUST_CHECK enum err label_fields_read(struct bytes message, struct label *labels,
                                      uint32_t *ret_count, struct why *why);

/* --- series_blocks.c -------------------------------------------------------------------------- */

/*
 * Reads series of a store in two steps: first the keys of all series, which are sorted by labels
 * here, then samples, in blocks of series or, if a series has many, in pieces of time. For stores
 * with another order of their own.
 *
 *     series_blocks_new()
 *     series_blocks_add()  each series, in any order
 *     series_blocks_next(), series_blocks_batch()  ->  fetch()  ->  series_blocks_put_float() ...
 *
 * Series with the same final labels are merged: each time is returned once, with the value of the
 * key that was added first; within a key, the value that was put first.
 *
 * Memory: labels and keys of all series, and SERIES_BLOCKS_SAMPLES samples with their histograms.
 */

enum {
    SERIES_BLOCKS_SAMPLES = 512 * 1024,       /* per block */
    SERIES_BLOCKS_HISTOGRAM_BYTES = 16 << 20, /* per block, as stored here */
};

struct series_blocks;

/* A block to fetch: the keys first..first+count-1 at these times, both inclusive. */
struct series_block {
    uint32_t first;
    uint32_t count;
    int64_t min_ms;
    int64_t max_ms;
};

struct series_blocks_options {
    struct budget *budget;
    struct external_labels external;
    /* The whole time range; narrowed to the store's first and last times if these are known,
     * because a large series is halved in time from there. */
    int64_t min_ms, max_ms;
    uint32_t keys_max; /* per block: limit of one request */
    /* Fetches the samples of a block and puts them, in any order; those of other times are
     * dropped. An error of a put must be returned: it may mean that the block has to be smaller. */
    enum err (*fetch)(void *context, struct series_blocks *blocks, const struct series_block *block,
                      struct why *why);
    void *context;
};

/* `options` is copied. ERR_NOMEM. */
MUST_CHECK enum err series_blocks_new(const struct series_blocks_options *options,
                                      struct series_blocks **ret_blocks, struct why *why);
void series_blocks_free(struct series_blocks *blocks);

/* Adds a series, before the first is read: its own labels, which are sorted in place (room for
 * FINAL_LABELS_MAX), and the key that fetch() needs. Copied. Errors of final_labels_build(). */
MUST_CHECK enum err series_blocks_add(struct series_blocks *blocks, struct label *labels,
                                      uint32_t count, struct bytes key, struct why *why);
/*
 * Sets the store's count of samples for the series added last. Blocks are then made of as many
 * series as fit, and longer ones are cut in time before they are fetched. For all series or none.
 */
void series_blocks_expect(struct series_blocks *blocks, uint64_t samples);
/* Says that all samples are between these times; before the first series is read. */
void series_blocks_narrow(struct series_blocks *blocks, int64_t min_ms, int64_t max_ms);
/* Returns the key of a number in a block. A view. */
struct bytes series_blocks_key(const struct series_blocks *blocks, uint32_t number);

/* Puts a sample of a key of the block being fetched. `start_ms` 0: unknown. ERR_FULL: the block
 * is too large; ERR_NOMEM; ERR_INPUT: an invalid histogram. */
MUST_CHECK enum err series_blocks_put_float(struct series_blocks *blocks, uint32_t number,
                                            int64_t t_ms, uint64_t bits, int64_t start_ms,
                                            struct why *why);
MUST_CHECK enum err series_blocks_put_histogram(struct series_blocks *blocks, uint32_t number,
                                                int64_t t_ms, const struct histogram *histogram,
                                                int64_t start_ms, struct why *why);

/*
 * Read as series_set_next() and series_set_batch(); labels stay valid until the next series. Errors
 * of fetch(); ERR_LIMIT: more samples at one time than a block can have. A series may have no
 * samples.
 */
MUST_CHECK enum err series_blocks_next(struct series_blocks *blocks, struct bytes *ret_labels,
                                       struct why *why);
MUST_CHECK enum err series_blocks_batch(struct series_blocks *blocks,
                                        struct sample_batch *ret_batch, struct why *why);

/* --- types, readers, questions ---------------------------------------------------------------- */

struct fetch_question;
struct fetch_reader;

/*
 * A type of source. Functions that may be NULL say so. find() and look-ups are not called for a
 * question without time (min_ms > max_ms). Their ERR_FULL becomes ERR_LIMIT; samples() returns
 * ERR_FULL to get a smaller block.
 */
struct fetch_type {
    size_t reader_bytes;    /* size of the struct that begins with struct fetch_reader */
    size_t question_bytes;  /* size of the struct that begins with struct fetch_question */
    int64_t min_ms, max_ms; /* times that the system can store; questions are narrowed to them */
    /* Ceilings of a question: 0 if only the budget limits `arena` or `scratch`, or if the type does
     * not use `text`. */
    uint64_t arena_bytes_max, scratch_bytes_max;
    size_t text_bytes_max;

    /* Completes a reader before its fetcher is made; may be NULL. ERR_NOMEM; ERR_INPUT,
     * ERR_MISSING: the settings are not enough. */
    enum err (*open)(struct fetch_reader *reader, struct why *why);
    /* Frees what open() added, also after it failed; may be NULL. */
    void (*close)(struct fetch_reader *reader);

    /* The type's own fields of a question, which are zeroed; may be NULL. */
    void (*init)(struct fetch_question *q);
    void (*fini)(struct fetch_question *q);
    /* Called at the end of a select. NULL: nothing is sent before the first series is asked for. */
    enum err (*begin)(struct fetch_question *q, struct why *why);

    /* Finds all series. */
    enum err (*find)(struct fetch_question *q, struct why *why);
    /* As series_blocks_options.fetch, for q->blocks. */
    enum err (*samples)(struct fetch_question *q, const struct series_block *block,
                        struct why *why);
    /* As struct series_set_ops; NULL if find() and samples() are used. */
    enum err (*next)(struct fetch_question *q, struct bytes *ret_labels, struct why *why);
    enum err (*batch)(struct fetch_question *q, struct sample_batch *ret_batch, struct why *why);
    /* NULL if a set never has a warning. */
    const char *(*warning)(struct fetch_question *q, uint32_t index);

    /* Look-ups, which give q->to what they find; values() those of the label q->name. NULL, or
     * ERR_UNSUPPORTED without words, if the caller has to find it out of the series. */
    enum err (*names)(struct fetch_question *q, struct why *why);
    enum err (*values)(struct fetch_question *q, struct why *why);
    /* NULL for find(). */
    enum err (*series)(struct fetch_question *q, struct why *why);
};

struct fetch_reader {
    struct answerer answerer; /* first: it is handed out */
    const struct fetch_type *type;
    struct reader_options options;
    struct external_labels external;
    struct fetcher *fetcher;
    struct lock lock; /* LOCK_RANK_SOURCE; guards what the type knows about its server */
};

/* Makes a reader of the type. `type` is a constant; `signing` as in struct fetcher_options. Errors
 * of open() and fetcher_new(). */
MUST_CHECK enum err fetch_reader_new(const struct fetch_type *type,
                                     const struct reader_options *options,
                                     const struct fetch_signing *signing,
                                     struct answerer **ret_answerer, struct why *why);

/* A view and its questions share a session, which is closed when the last of them is freed. */
struct fetch_reader_view {
    struct view view; /* first: it is handed out */
    struct fetch_reader *of;
    struct budget *budget;
    struct fetch_session *session;
    int64_t opened_ns;              /* monotonic */
    _Atomic uint64_t scanned_bytes; /* relaxed: bytes that the system billed for the view */
    _Atomic uint32_t users;         /* the view, and its questions */
};

enum fetch_purpose { FETCH_SAMPLES, FETCH_SERIES, FETCH_NAMES, FETCH_VALUES };

struct fetch_question {
    struct series_set set; /* first: callers of FETCH_SAMPLES get it */
    enum fetch_purpose purpose;
    struct fetch_reader_view *view;
    struct fetch_reader *of;
    struct budget *budget;
    struct query_control *control; /* may be NULL */
    /* As it was asked, with one set of matchers or none. Its tenant ends with begin() or with the
     * look-up. */
    struct query_request request;
    struct matcher_set matcher_set;
    struct matcher **matchers; /* matchers of `matcher_set`; they live as long as the question */
    uint32_t matcher_count;
    int64_t min_ms, max_ms; /* both inclusive, narrowed to the type's; min > max: no time */
    struct arena arena;     /* lives as long as the question */
    struct arena scratch;   /* lives as long as a row or record; the type resets it */
    struct buf text;        /* buffer for use by the type */

    const struct text_sink *to; /* gets the texts of a look-up */
    struct bytes name;          /* label of a FETCH_VALUES */

    /* Series that were added. */
    struct series_blocks *blocks; /* blocks of a FETCH_SAMPLES; NULL before find() */
    uint32_t keys_max; /* largest number of keys in a block; UINT32_MAX unless init() sets it */
    uint32_t series_count;
    bool takes_all; /* every series that was found is selected */
    int64_t first_ms, last_ms;
    struct buf labels;
    struct buf names;         /* label names that were given, each counted */
    struct table names_given; /* ids: positions in `names` */
};

/* A series that find() found. Borrowed for the call. */
struct fetch_series {
    struct label *labels; /* not empty, each name once, in any order; room for FINAL_LABELS_MAX */
    uint32_t count;
    struct bytes key;          /* for samples(): series_blocks_key() */
    uint64_t samples;          /* at most so many; FETCH_UNKNOWN, for all series of a system */
    int64_t first_ms, last_ms; /* its samples are within these times */
};
#define FETCH_UNKNOWN UINT64_MAX

/* Takes a series if the matchers select it: adds it to the blocks, or gives the look-up its final
 * labels, its names without external ones, or its value. Errors of series_blocks_add() and of the
 * sink; ERR_NOMEM. */
MUST_CHECK enum err fetch_question_take(struct fetch_question *q, const struct fetch_series *series,
                                        struct why *why);
/* True if all matchers match the labels of a series. */
bool fetch_question_selects(const struct fetch_question *q, const struct fetch_series *series);
/* True if all matchers on the metric's name match it. */
bool fetch_question_selects_name(const struct fetch_question *q, struct bytes name);
bool fetch_is_of_name(const struct matcher *matcher);
/* True for = and =~. */
bool fetch_is_positive(const struct matcher *matcher);

/* Puts a native histogram, as the destination writes it, into the blocks. It lies in `scratch`,
 * which is not reset. ERR_CORRUPT: it cannot be read; errors of series_blocks_put_histogram(). */
MUST_CHECK enum err fetch_question_put_histogram(struct fetch_question *q, uint32_t number,
                                                 int64_t t_ms, int64_t start_ms, struct bytes json,
                                                 struct why *why);

/* --- requests --------------------------------------------------------------------------------- */

/*
 * One request of a question after another, each with its response:
 *
 *     fetch_exchange_begin(&x, base, "/query");
 *     ... http_url_param(&x.url, ...) ... x.body ...
 *     fetch_exchange_send(), fetch_exchange_await(), fetch_exchange_more() ...
 *     fetch_exchange_end()
 *
 * Threads: that of the question.
 */

struct fetch_exchange {
    struct fetch_question *q;
    const char *base; /* URL; its query is part of every request */
    struct buf url;
    struct buf body;
    struct fetch *fetch; /* NULL if no request is open */
};
/* Allocates nothing. `q` outlives the exchange; a body may have `body_bytes_max` bytes. */
void fetch_exchange_init(struct fetch_exchange *x, struct fetch_question *q, size_t body_bytes_max);
void fetch_exchange_fini(struct fetch_exchange *x);
/* Ends the request before; empties the body; begins the URL. `base` lives until
 * fetch_exchange_send(). */
void fetch_exchange_begin(struct fetch_exchange *x, const char *base, const char *path);
/*
 * Sends it, by POST if there is a body, and waits for no response. `how` has headers, `wanted`,
 * is_final() and judge(); the rest is filled in. ERR_LIMIT: URL or body are too large; errors of
 * fetch_open().
 */
MUST_CHECK enum err fetch_exchange_send(struct fetch_exchange *x, const struct fetch_request *how,
                                        struct why *why);
/* Waits for the response; OK if it is one to be read: fetch_await() and fetch_expect_ok(). After an
 * error, *ret_answer is NULL if there is no response. */
MUST_CHECK enum err fetch_exchange_await(struct fetch_exchange *x,
                                         const struct http_call_answer **ret_answer,
                                         struct why *why);
/* fetch_read(), with a struct fetch_exchange as context. */
MUST_CHECK enum err fetch_exchange_more(void *exchange, struct bytes *ret_piece, struct why *why);
/* fetch_failed(). */
enum err fetch_exchange_failed(struct fetch_exchange *x, enum err e, struct why *why);
/* Gives up what was not read. */
void fetch_exchange_end(struct fetch_exchange *x);

#endif
