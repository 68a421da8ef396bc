/*
 * ingest.h - private to ingest*.c: a request on its way in. Everything here is called under the
 * head lock.
 */
#ifndef TSDB_HEAD_INGEST_H
#define TSDB_HEAD_INGEST_H

#include "tsdb/head/head.h"

enum {
    GUESSES = 32,
    SLICE_FLOATS = 4096, /* at most */
    SLICE_PIECES = 2048,
    SLICE_BYTES = 4 * 1024 * 1024
};

/* A piece of a series that this slice takes on. */
struct ingest_piece {
    const struct rw_series *from;
    struct series *series;
    struct gen_series *samples; /* of it, in the active generation */
    struct rw_range floats;
    struct rw_range histograms;
    struct rw_range exemplars;
};

/* Columns of one slice on their way into log records. */
struct scratch {
    struct ingest_piece *pieces;
    uint64_t *refs; /* with the next four in one memory */
    int64_t *times;
    uint64_t *bits;
    int64_t *starts;
    uint8_t *hints;
    uint32_t slice_floats; /* as many as are judged in a moment: see slice_measure() */
    bool slice_was_slow;
    uint32_t float_count;
    bool has_starts;
    struct buf series;
    uint32_t series_count;
    const struct series *series_last; /* in `series` */
    struct buf histograms;
    uint32_t histogram_count;
    uint64_t histogram_last[3];
    struct buf exemplars;
    uint32_t exemplar_count;
    uint64_t exemplar_last[2];
    struct buf metadata;
    uint32_t metadata_count;
    struct buf payload;
    struct buf labels;
    struct label *label_list;
    uint32_t label_capacity;
    struct arena arena;
};

/* ERR_NOMEM. */
MUST_CHECK enum err scratch_new(struct budget *budget, struct scratch **ret_scratch);
void scratch_free(struct budget *budget, struct scratch *scratch); /* NULL is fine */

/* Where the work stands within the request. */
struct ingest_place {
    uint32_t series;
    uint32_t at_float;
    uint32_t at_histogram;
    uint32_t at_exemplar;
};

struct ingest {
    struct head *head;
    const struct rw_request *request;
    enum tsdb_origin origin;
    struct tenant *tenant;
    struct ingest_result *result;
    struct scratch *s;
    struct gen *gen;
    struct wal_place log;
    uint32_t epoch; /* low bits of log.epoch, as the head keeps them */
    uint32_t durable;
    int64_t min_ms; /* what is older is too old */
    int64_t max_ms;
    int64_t least_ms; /* accepted; INT64_MAX: none */
    struct ledger change;
    uint64_t gen_counts[LEDGER_KIND_COUNT]; /* of the generation when the slice began */
    char series_limit[100];                 /* which limit refused the last new series */
    struct series *guesses[GUESSES]; /* by number in the request; of this slice's generation */
    uint64_t keys[GUESSES];          /* if guessing goes by keys */
    struct series *last;             /* the one before, of generation last_gen; NULL: none */
    uint64_t last_gen;
    uint32_t missed;
    struct tsdb_doubts *doubts; /* NULL: none yet */
    bool require_name;
    bool by_key;
    bool checked; /* nothing was stored before all series were known to be what they look like */
    uint32_t gathered; /* floats of this slice */
    uint32_t named;
    size_t text_used;
    struct why *why;
};

/* What a slice may need at most. */
struct need {
    uint32_t floats;
    size_t histogram_bytes;
    const struct histogram *largest_histogram; /* NULL: none */
    size_t exemplar_bytes;
    size_t series_bytes;
    size_t head_bytes;
};

/* --- saying what was refused (ingest.c) --- */

/* `count` samples of a series are refused. t_ms and detail are for people. */
void ingest_reject(struct ingest *in, const struct rw_series *series, enum ledger_kind kind,
                   enum reject reason, uint64_t count, int64_t t_ms, const char *detail);

/*
 * Metadata that is not kept is counted. It costs nothing stored, so only what breaks the protocol
 * (bad UTF-8, bad references) makes an answer a refusal.
 */
void ingest_reject_metadata(struct ingest *in, const struct metadata *metadata, enum reject reason);

/* The counts go before the offenders: the result's text is complete. */
void ingest_put_counts(struct ingest *in);

/* --- slices (ingest.c) --- */

void ingest_slice_begin(struct ingest *in);

/* --- what the head contradicts (ingest_repeats.c) --- */

#define CONFLICT_DETAIL "another value is stored for this time"
/* Notes a sample, to be looked for in parts. False: it is a conflict without further ado. */
bool ingest_doubt(struct ingest *in, const struct ingest_piece *piece, int64_t t_ms,
                  const struct sample_value *value);
/* Could any part hold one of them? Reads nothing from disk; under no lock. */
bool ingest_doubts_are_real(const struct tsdb_doubts *doubts);
/* The request is judged but for these. */
void ingest_put_off(struct ingest *in);

/* --- 1. resolve (ingest_resolve.c) --- */

/* Memory is asked for what the series from `first` on will touch; then so before each one. */
void ingest_approach_first(struct ingest *in, uint32_t first);
void ingest_approach_next(struct ingest *in, uint32_t number);
/* The series, made if it is new; or NULL, and why it is refused. ERR_NOMEM; ERR_INPUT: the series
 * is not what it looked like (rw_series_check()). */
MUST_CHECK enum err ingest_resolve(struct ingest *in, const struct rw_series *series,
                                   struct series **ret_series, enum reject *ret_reason);

/* Canonical labels of a series of the request, in the scratch, or why they are refused. */
MUST_CHECK enum err ingest_canonical(struct ingest *in, const struct rw_series *series,
                                     enum reject *ret_reason);

/* --- 2. reserve (ingest.c) --- */

/* After this nothing that the slice does can fail, but for exemplars. ERR_NOMEM, ERR_AGAIN. */
MUST_CHECK enum err ingest_reserve(struct ingest *in, const struct need *need);

/* --- 3. append, 4. log (ingest_append.c) --- */

/* By its time alone. */
enum reject ingest_time_verdict(const struct ingest *in, int64_t t_ms);
/*
 * The samples of a piece into the head and the slice's columns. Without a series all of them are
 * refused for their times. ERR_NOMEM: of exemplars only.
 */
MUST_CHECK enum err ingest_append(struct ingest *in, const struct ingest_piece *piece);
/* Metadata goes into its family and the slice's columns, if it is news. ERR_NOMEM. */
MUST_CHECK enum err ingest_metadata(struct ingest *in, const struct metadata *metadata);
/* The same for what a series of 2.0 says of its family. */
MUST_CHECK enum err ingest_series_metadata(struct ingest *in, const struct rw_series *from,
                                           struct series *series);
/* The columns become records of the batch. */
void ingest_log(struct ingest *in);

/* The columns of floats as a record of the log, which codec/record.h reads. */
void record_floats(struct scratch *s, struct buf *to);
enum { RECORD_SERIES_BYTES_MAX = 3 * VARINT_SIZE_MAX }; /* of a series in the log, and its labels */

#endif
