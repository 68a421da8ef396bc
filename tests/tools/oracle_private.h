/*
 * oracle_private.h - shared by oracle.c (the set) and oracle_wire.c (its messages).
 */
#ifndef TESTS_TOOLS_ORACLE_PRIVATE_H
#define TESTS_TOOLS_ORACLE_PRIVATE_H

#include "cmp.pb-c.h"
#include "oracle.h"

/* Returns an allocator for one unpacked message, which the arena frees: most objects are tiny. */
ProtobufCAllocator oracle_allocator(struct arena *arena);

void oracle_fault(struct oracle_set *set, const struct oracle_series *series, const char *what);

/* Returns the series with these labels, made if needed. Sorts and shrinks the caller's `labels`. */
struct oracle_series *oracle_find_series(struct oracle_set *set, struct oracle_label *labels,
                                         size_t count);
void oracle_add_sample(struct oracle_set *set, struct oracle_series *series, int64_t t_ms,
                       uint64_t bits);
/* Adds one whole series of an answer. */
void oracle_add_answered_series(struct oracle_set *set, struct oracle_range range,
                                const Cmp__TimeSeries *ts);
/* Adds a histogram; the text is copied. */
void oracle_add_histogram(struct oracle_set *set, struct oracle_series *series, int64_t t_ms,
                          struct bytes text);
/* Handles only `=` and `!=`: the caller has refused regular expressions. */
bool oracle_labels_match(const struct oracle_options *options, const struct oracle_label *labels,
                         size_t count);

#endif
