/*
 * labels.h - the identity of a series: its labels, in one canonical byte form.
 *
 * Labels are kept as the bytes of the `labels` fields of a remote write 1.0 TimeSeries, one after
 * another, as a well-behaved sender writes them:
 *
 *     0x0a varint(size of the rest)  0x0a varint(n) name  0x12 varint(v) value
 *
 * Canonical means: sorted by name (unsigned bytes), names unique and not empty, values not empty,
 * every varint minimal. Two label sets are equal exactly if their canonical bytes are, so a request
 * is compared with memcmp() and an answer is written with memcpy(). All functions below that
 * take a set but labels_build() take a canonical one, and so do labels_next() and labels_get() of
 * wire/shape.h; bytes from a file pass labels_valid() first.
 */
#ifndef MODEL_LABELS_H
#define MODEL_LABELS_H

#include "base/buf.h"
#include "base/text/json.h"
#include "base/text/utf8.h"
#include "model/sample.h"
#include "wire/shape.h"

/* True if `labels` is canonical in every respect named above; UTF-8 is not checked. The empty set
 * is canonical (exemplars may have it). */
bool labels_valid(struct bytes labels);

/* Compares in label order: name, then value, label by label; a prefix comes first. */
int labels_compare(struct bytes a, struct bytes b);

uint32_t labels_count(struct bytes labels);

/* Appends one label in canonical form. The caller keeps the order. */
void labels_put(struct buf *to, struct label label);
/* Returns the number of bytes that labels_put() appends. */
size_t labels_put_size(struct label label);

/* Limits of the labels that senders may send; each is at least 1. */
struct labels_limits {
    uint32_t count_max;
    uint32_t name_bytes_max;
    uint32_t value_bytes_max;
};

/* Makes labels canonical: sorts `given` in place, drops empty values, and appends the result to
 * `to`. Returns REJECT_NONE, or the first reason that applies, in the order of the enum; then `to`
 * is unchanged. No label at all (after dropping) is REJECT_EMPTY_LABELS. For a set of more than 64
 * KiB the limits are checked first, so that its cost is bounded. Without memory buf_error(to) says
 * so, and `to` is unchanged. */
enum reject labels_build(struct label *given, uint32_t count, const struct labels_limits *limits,
                         struct buf *to);

/* Computes Prometheus' hash of the labels, which decides how limit_ratio() treats a series, and
 * when a group of rules is evaluated. `scratch` is overwritten. ERR_NOMEM, ERR_LIMIT: from
 * `scratch`. */
MUST_CHECK enum err labels_prometheus_hash(struct bytes labels, struct buf *scratch,
                                           uint64_t *ret_hash);

/* Prints {__name__="up", job="x"} for messages, with values quoted and escaped as in PromQL. */
void labels_print(struct buf *to, struct bytes labels);
/* Prints the PromQL selector: up{job="x"}, {"my.metric", job="x"}, and {} without labels. */
void labels_print_selector(struct buf *to, struct bytes labels);
/* Prints one label, or a matcher with its operator. Bytes that are not UTF-8 are escaped. */
void label_print(struct buf *to, const struct label *label, const char *operator);
/* Writes an object: {"a":"x"}. */
void labels_put_json(struct json *to, struct bytes labels);

/* --- canonical labels with one more ----------------------------------------------------------- */

/*
 * Those that a destination or an Alertmanager sees besides those of a series or an alert. The
 * results are views of the arena, or of the labels that were given. ERR_NOMEM: it is full.
 */

/* Adds the label unless one of its name exists, or its value is empty. */
MUST_CHECK enum err labels_complete(struct bytes labels, struct label added, struct arena *arena,
                                    struct bytes *ret_labels);

/* Adds the label. One of its name is kept as exported_NAME, as Prometheus does. */
MUST_CHECK enum err labels_impose(struct bytes labels, struct label added, struct arena *arena,
                                  struct bytes *ret_labels);

#endif
