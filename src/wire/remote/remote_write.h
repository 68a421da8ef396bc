/*
 * remote_write.h - reads prometheus.WriteRequest (1.0) and io.prometheus.write.v2.Request (2.0).
 *
 * The decoder walks the uncompressed bytes once and copies no labels, symbols or texts: everything
 * it yields is a view into them or an array in the request, whose memory is kept for the next
 * request. It checks only the shape of the message; the store judges labels, times and histograms.
 * Unknown fields are skipped; a known field with a wrong wire type, a length that does not fit or a
 * truncated varint makes the whole message ERR_INPUT. Source: the two Remote Write specifications,
 * src/wire/README.md.
 *
 * Memory. An empty submessage is two bytes on the wire and up to 152 here (a histogram), so a
 * hostile message could request 76 times its size, and arrays grow by half. Honest messages need 1
 * to 16 times. Two bounds hold: all of it is charged to the budget, and a message that needs more
 * than RW_KEEP_BYTES + RW_AMPLIFICATION_MAX * its size in arrays, or as much again in the arena
 * (histogram buckets, gathered labels), is ERR_LIMIT: 64 MiB never cost more than 3 GiB, and the
 * budget, which should be smaller, refuses long before as ERR_NOMEM.
 */
#ifndef WIRE_REMOTE_REMOTE_WRITE_H
#define WIRE_REMOTE_REMOTE_WRITE_H

#include "base/buf.h"
#include "base/hash/hash.h"
#include "wire/shape.h"

enum rw_version { RW_V1 = 1, RW_V2 = 2 };

enum {
    RW_AMPLIFICATION_MAX = 24,
    RW_KEEP_BYTES = 4 << 20, /* a cleared request keeps at most this in arrays, and in its arena */
    RW_MESSAGE_BYTES_MAX = INT32_MAX /* limit of protobuf; servers refuse much less */
};

struct rw_float {
    int64_t t_ms;
    uint64_t bits;
    int64_t start_ms; /* 0 if unknown */
};

struct rw_histogram {
    int64_t t_ms;
    int64_t start_ms;
    struct histogram h; /* arrays in the request; not validated */
    bool malformed; /* more buckets than HISTOGRAM_BUCKETS_MAX, or without a valid count: reject as
                       bad_histogram */
};

struct rw_exemplar {
    int64_t t_ms;
    uint64_t bits;
    uint32_t label_first; /* index into rw_request.labels */
    uint32_t label_count;
    bool bad_reference; /* 2.0: odd number of references, or one out of range; the exemplar has no
                           labels */
};

/* A range of one of the request's arrays. */
struct rw_range {
    uint32_t first;
    uint32_t count;
};

struct rw_series {
    /* Fingerprint of the labels as sent, under the request's keys; 1.0 and 2.0 differ. Zero without
     * keys, or with too many labels. */
    struct fingerprint print;
    /* 1.0 only: the `labels` fields exactly as sent, tags included; a copy if they were scattered.
     */
    struct bytes label_bytes;
    /* 2.0 only: indexes into rw_request.symbols, name and value in turn, all in range. */
    struct rw_range refs;
    struct rw_range floats;
    struct rw_range histograms;
    struct rw_range exemplars;
    /* 2.0 only. Reference 0 is the empty text, whatever the first symbol is. */
    struct bytes help; /* a bad help or unit reference leaves it empty and sets bad_metadata */
    struct bytes unit;
    enum metric_type type; /* METRIC_UNKNOWN for an unknown number */
    bool has_metadata;
    bool bad_metadata;
    bool unchecked;     /* 1.0 only: see rw_decode_unchecked() */
    bool bad_reference; /* odd number of label references, or one out of range; `refs` is empty */
};

struct rw_metadata { /* 1.0 only */
    enum metric_type type;
    struct bytes family;
    struct bytes help;
    struct bytes unit;
};

/* A view of an array owned by the request. */
struct rw_request {
    enum rw_version version;
    uint32_t series_count;
    uint32_t float_count;
    uint32_t histogram_count;
    uint32_t exemplar_count;
    uint32_t metadata_count;
    uint32_t symbol_count;
    struct rw_series *series;
    struct rw_float *floats;
    struct rw_histogram *histograms;
    struct rw_exemplar *exemplars;
    struct rw_metadata *metadata;
    uint64_t seed;
    struct bytes *symbols;    /* 2.0 */
    uint32_t *refs;           /* 2.0: label references of all series */
    struct label *labels;     /* labels of exemplars */
    struct rw_memory *memory; /* private: capacities, arena, budget */
    /* The metadata says what series with such names are: another text that is known for one by then
     * refuses the request. */
    bool claims_metadata;
    /* Keys for fingerprints; borrowed. Set after init, and kept; NULL: no fingerprints. */
    const struct fingerprint_keys *keys;
};

/* Reads a Label message; an absent field is empty. False: malformed. */
bool rw_label_read(struct bytes message, struct label *ret_label);

/* Makes an empty, reusable request. ERR_NOMEM. */
MUST_CHECK enum err rw_request_init(struct rw_request *request, struct budget *budget);
/* Keeps memory for the next decode, up to RW_KEEP_BYTES. */
void rw_request_clear(struct rw_request *request);
/* Accepts a zeroed request, and one whose init failed. */
void rw_request_fini(struct rw_request *request);

/* Decodes `message` (uncompressed, borrowed until the request is cleared), replacing the contents
 * of the request. `seed` is secret. ERR_INPUT: malformed, `why` names the place. ERR_NOMEM: the
 * budget is exhausted: answer 503. ERR_LIMIT: too long, or mostly empty submessages (see Memory
 * above). On error the request is cleared. */
MUST_CHECK enum err rw_decode(struct rw_request *request, enum rw_version version,
                              struct bytes message, uint64_t seed, struct why *why);

/* Like rw_decode(), but if the request has keys, a 1.0 series that ends like nearly all do, with
 * one float, is marked `unchecked`: the bytes before the float are taken as its labels without a
 * look at them. That is right if checked labels have the same fingerprint, or if rw_series_check()
 * returns true; if not, the message must be decoded with rw_decode(). */
MUST_CHECK enum err rw_decode_unchecked(struct rw_request *request, enum rw_version version,
                                        struct bytes message, uint64_t seed, struct why *why);
/* Checks the labels of an unchecked series; true for others. */
bool rw_series_check(const struct rw_series *series);

/* Returns a hash of the labels as sent, under the request's seed: the key of a cache, not an
 * identity. Equal label bytes (1.0: then it is hash_bytes() of them) or equal sequences of symbol
 * texts (2.0) give equal keys; 1.0 and 2.0 keys of one series differ. */
uint64_t rw_series_key(const struct rw_request *request, const struct rw_series *series);

/* Steps through the labels of a series of either version, in the order sent. 1.0: an absent field
 * is an empty view. */
struct rw_label_walk {
    const struct rw_request *request;
    struct cursor bytes; /* 1.0 */
    uint32_t at, end;    /* 2.0 */
};
struct rw_label_walk rw_labels(const struct rw_request *request, const struct rw_series *series);
/* False after the last label. */
bool rw_label_next(struct rw_label_walk *walk, struct label *ret_label);

/* --- labels that the sender has not chosen ---------------------------------------------------- */

enum { RW_OVERWRITE_MAX = 64 };

/*
 * Adds `labels` to each series, in place of all labels of these names. They are canonical, at most
 * RW_OVERWRITE_MAX, and stay until the request is cleared. Labels that were sorted are sorted
 * afterwards, so that the store finds known series as fast as others. Exemplars, metadata, and
 * series with a bad reference stay as they are.
 *
 * The request comes from rw_decode(). *ret_changed is the number of series whose labels differ from
 * those that were sent. ERR_NOMEM, ERR_LIMIT: as of rw_decode(); the request is cleared.
 */
MUST_CHECK enum err rw_overwrite_labels(struct rw_request *request, struct bytes labels,
                                        uint32_t *ret_changed, struct why *why);

#endif
