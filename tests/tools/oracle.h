/*
 * oracle.h - the answer of a server, or the content of a capture, in one canonical form that can be
 * compared: series by label set, samples by time, values as bits, native histograms normalised.
 *
 * Messages are decoded with protobuf-c and libsnappy directly, not with Firekeep's decoders, so
 * that a mistake of theirs cannot hide itself. The tools are short-lived programs: running out of
 * memory ends them (exit status 2).
 */
#ifndef TESTS_TOOLS_ORACLE_H
#define TESTS_TOOLS_ORACLE_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

struct oracle_label {
    struct bytes name;
    struct bytes value;
};

struct oracle_sample {
    int64_t t_ms;
    uint64_t arrival; /* the first arrival of samples at one time stays */
    uint64_t bits;
};

/* `text` is the normalised histogram: equal texts mean equal histograms, bit for bit. */
struct oracle_histogram {
    int64_t t_ms;
    uint64_t arrival;
    struct bytes text;
};

struct oracle_series {
    const struct oracle_label *labels; /* sorted by name */
    size_t label_count;
    struct oracle_sample *samples;
    size_t sample_count;
    size_t sample_capacity;
    struct oracle_histogram *histograms;
    size_t histogram_count;
    size_t histogram_capacity;
    uint64_t seen_in_answer; /* number of the last answer that held it */
};

/* An inclusive range of time. */
struct oracle_range {
    int64_t start_ms;
    int64_t end_ms;
};

enum oracle_match_type { ORACLE_EQ, ORACLE_NEQ, ORACLE_RE, ORACLE_NRE };

struct oracle_matcher {
    enum oracle_match_type type;
    struct bytes name;
    struct bytes value;
};

enum { ORACLE_MATCHERS_MAX = 128, ORACLE_IGNORED_MAX = 16 };

/* The selection to read, and the labels that every comparison ignores. */
struct oracle_options {
    struct oracle_range range;
    struct oracle_matcher matchers[ORACLE_MATCHERS_MAX];
    size_t matcher_count;
    const char *ignored_labels[ORACLE_IGNORED_MAX];
    size_t ignored_count;
    bool ignore_bounds; /* bounds of custom buckets */
};

struct oracle_set {
    const struct oracle_options *options;
    struct arena arena;
    void *tree;                    /* tsearch(3): struct oracle_series by labels */
    struct oracle_series **found;  /* some series of the tree, by a hash of the labels */
    struct oracle_series **series; /* in label order, after oracle_finish() */
    size_t series_count;
    uint64_t sample_count;
    uint64_t histogram_count;
    uint64_t arrivals;
    uint64_t repeats; /* samples at a time that existed already; after oracle_finish() */
    uint64_t answers;
    uint64_t faults;        /* breaches of the protocol in messages */
    char first_fault[1024]; /* describes the first one */
};

/* `options` is borrowed until oracle_fini(). */
void oracle_init(struct oracle_set *set, const struct oracle_options *options);
void oracle_fini(struct oracle_set *set);

/* The number of items in a write request. */
struct oracle_counts {
    uint64_t series;
    uint64_t samples;
    uint64_t histograms;
    uint64_t exemplars;
};

enum oracle_version { ORACLE_VERSION_UNKNOWN, ORACLE_VERSION_1, ORACLE_VERSION_2 };

/* Uncompresses a snappy block. ERR_INPUT, ERR_LIMIT (more than 2 GiB). */
MUST_CHECK
enum err oracle_unpack(struct bytes compressed, struct buf *to, struct why *why);
/* Distinguishes 1.0 from 2.0 by the first field of the uncompressed message. */
enum oracle_version oracle_guess_version(struct bytes message);
/* Counts the items of an uncompressed write request. ERR_INPUT: not such a message. */
MUST_CHECK
enum err oracle_count_write(enum oracle_version version, struct bytes message,
                            struct oracle_counts *ret_counts, struct why *why);
/* Adds an uncompressed write request, as far as range and matchers (only `=` and `!=`) allow. */
MUST_CHECK
enum err oracle_add_write(struct oracle_set *set, enum oracle_version version, struct bytes message,
                          struct why *why);

/* Appends the remote read request, uncompressed, for `range` and the matchers of the set. */
void oracle_put_read_request(const struct oracle_set *set, struct oracle_range range, bool streamed,
                             struct buf *to);
/*
 * Adds the uncompressed SAMPLES answer to such a request. Each breach of the protocol (labels out
 * of order, a series twice, times out of order or outside the range) counts as a fault.
 */
MUST_CHECK
enum err oracle_add_answer(struct oracle_set *set, struct oracle_range range, struct bytes message,
                           struct why *why);

/* Does the same for a STREAMED_XOR_CHUNKS answer; also checks frames and their checksums. */
MUST_CHECK
enum err oracle_add_stream(struct oracle_set *set, struct oracle_range range, struct bytes body,
                           struct why *why);

/* Sorts, and settles samples at one time. Call once, before the counts and series are used. */
void oracle_finish(struct oracle_set *set);

/* Compares in label order: below 0, 0 or above. */
int oracle_series_compare(const struct oracle_series *a, const struct oracle_series *b);
/* Appends {__name__="up",job="node"}, quoted so that every byte can be read. */
void oracle_put_labels(const struct oracle_series *series, struct buf *to);

/*
 * Parses '{a="b",c!="d"}', also =~ and !~; quoted values know \\ \" \n. Names are views of
 * `text`, values lie in `arena`. ERR_INPUT.
 */
MUST_CHECK
enum err oracle_parse_matchers(const char *text, struct arena *arena,
                               struct oracle_options *options, struct why *why);

/* Both end the program with status 2 if memory (or threads) ran out. */
void oracle_need(bool got);
void *oracle_must(void *memory);

#endif
