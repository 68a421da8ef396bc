/*
 * ingest.h - private to ingest*.c: a write request while it is judged and stored. All functions are
 * called under the head lock.
 */
#ifndef TSDB_HEAD_INGEST_INGEST_H
#define TSDB_HEAD_INGEST_INGEST_H

#include "tsdb/head/head.h"

enum {
    GUESSES = 32,
    SLICE_FLOATS = 4096, /* the maximum of scratch.slice_floats */
    SLICE_PIECES = 2048,
    SLICE_BYTES = 4 * 1024 * 1024
};

/* The samples of one series of the request that belong to the current slice. */
struct ingest_piece {
    const struct rw_series *from;
    struct series *series;
    struct gen_series *samples; /* samples of `series`, in the active generation */
    struct rw_range floats;
    struct rw_range histograms;
    struct rw_range exemplars;
};

/* Memory of the head for one slice: its pieces, and the columns that become log records. */
struct scratch {
    struct ingest_piece *pieces; /* SLICE_PIECES */
    uint64_t *refs;              /* SLICE_FLOATS; one allocation with the next four */
    int64_t *times;
    uint64_t *bits;
    int64_t *starts;
    uint8_t *hints;
    uint32_t slice_floats; /* floats that are judged in a short time: see slice_measure() */
    bool slice_was_slow;
    uint32_t float_count; /* floats in the columns above */
    bool has_starts;
    struct buf series;
    uint32_t series_count;
    const struct series *series_last; /* the last series in `series` */
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

/* A position in the request: a series, and how many of its samples were taken. */
struct ingest_cursor {
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
    struct wal_filling log;
    uint32_t epoch;   /* low bits of log.epoch, as the head keeps them */
    uint32_t durable; /* low bits of head->durable_epoch */
    int64_t min_ms;   /* earlier samples are too old */
    int64_t max_ms;   /* later samples are too far in the future */
    int64_t least_ms; /* earliest accepted sample; INT64_MAX without one */
    struct ledger change;
    uint64_t gen_counts[LEDGER_KIND_COUNT]; /* counts of the generation when the slice began */
    char series_limit[100];                 /* names the limit that refused the last new series */
    struct series *guesses[GUESSES];        /* by number in the request; in the slice's registry */
    uint64_t keys[GUESSES];                 /* used with by_key */
    struct series *last; /* resolved last, in generation last_gen; NULL at first */
    uint64_t last_gen;
    uint32_t missed;                  /* wrong guesses */
    struct tsdb_undecided *undecided; /* NULL until the first one */
    bool require_name;
    bool by_key;       /* guesses go by keys of the labels, not by the order of the series */
    bool checked;      /* rw_series_check() passed all series; nothing is stored before */
    uint32_t gathered; /* floats of this slice */
    struct why *why;
};

/* The memory and room in the log that a slice may need at most. */
struct ingest_need {
    uint32_t floats;
    size_t histogram_bytes;
    const struct histogram *largest_histogram; /* NULL without histograms */
    size_t exemplar_bytes;
    size_t series_bytes;
    size_t head_bytes;
};

/* --- refusals (ingest.c) ---------------------------------------------------------------------- */

/* Counts `count` samples of a series as refused. t_ms and detail go into the message. */
void ingest_reject(struct ingest *in, const struct rw_series *series, enum ledger_kind kind,
                   enum reject reason, uint64_t count, int64_t t_ms, const char *detail);

/*
 * Counts metadata that is not kept. No sample is lost with it, so only violations of the protocol
 * (bad UTF-8, bad references) make the response a refusal.
 */
void ingest_reject_metadata(struct ingest *in, const struct metadata *metadata, enum reject reason);

/* --- slices (ingest.c) ------------------------------------------------------------------------ */

/* Begins a slice, under the lock of the head: reads the clock, the limits of times, and the
 * generation and batch into which its samples go. */
void ingest_slice_begin(struct ingest *in);

/* --- conflicts with the head (ingest_repeats.c) ----------------------------------------------- */

#define CONFLICT_DETAIL "another value is stored for this time"
/* Notes a sample, to be searched for in parts. False if it cannot be: it counts as a conflict. */
bool ingest_leave_undecided(struct ingest *in, const struct ingest_piece *piece, int64_t t_ms,
                            const struct sample_value *value);
/* True if a part may hold one of them, by its tenants and times. Reads nothing from disk; under no
 * lock. */
bool ingest_undecided_in_parts(const struct tsdb_undecided *undecided);

/* --- 2. reserve (ingest.c) -------------------------------------------------------------------- */

/* After OK, steps 3 and 4 of the slice cannot fail, except for exemplars. ERR_NOMEM, ERR_AGAIN. */
MUST_CHECK enum err ingest_reserve(struct ingest *in, const struct ingest_need *need);

/* --- 3. append, 4. log (ingest_append.c) ------------------------------------------------------ */

/* Refuses samples that are too old or too far in the future. */
enum reject ingest_time_verdict(const struct ingest *in, int64_t t_ms);
/*
 * Puts the samples of a piece into the head and the slice's columns. A piece without a series has
 * only samples that are refused for their times. ERR_NOMEM: for exemplars only.
 */
MUST_CHECK enum err ingest_append(struct ingest *in, const struct ingest_piece *piece);
/* Puts metadata into its family and the slice's columns, if it is new. ERR_NOMEM. */
MUST_CHECK enum err ingest_metadata(struct ingest *in, const struct metadata *metadata);
/* ingest_metadata() for the metadata that remote write 2.0 sends with a series. */
MUST_CHECK enum err ingest_series_metadata(struct ingest *in, const struct rw_series *from,
                                           struct series *series);
/* Writes the columns as records into the log's batch, and counts the slice's changes. */
void ingest_log(struct ingest *in);

/* Writes the columns of floats as a record of the log, which codec/record.h reads. */
void record_floats(struct scratch *s, struct buf *to);
enum { RECORD_SERIES_BYTES_MAX = 3 * VARINT_SIZE_MAX }; /* a series in the log, without labels */

#endif
