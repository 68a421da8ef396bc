/*
 * oracle_internal.h - shared by oracle.c (the set) and oracle_wire.c (its messages).
 */
#ifndef TESTS_TOOLS_ORACLE_INTERNAL_H
#define TESTS_TOOLS_ORACLE_INTERNAL_H

#include "cmp.pb-c.h"
#include "oracle.h"

/* What one message unpacks into, which is freed with the arena: most of its objects are tiny. */
ProtobufCAllocator oracle_allocator(struct arena *arena);

void oracle_fault(struct oracle_set *set, const struct oracle_series *series, const char *what);

/* The series with these labels, made if need be. Sorts and shrinks the caller's `labels`. */
struct oracle_series *oracle_find_series(struct oracle_set *set, struct oracle_label *labels,
                                         size_t count);
void oracle_add_sample(struct oracle_set *set, struct oracle_series *series, int64_t t_ms,
                       uint64_t bits);
/* One whole series of an answer. */
void oracle_add_answered_series(struct oracle_set *set, struct oracle_range range,
                                const Cmp__TimeSeries *ts);
/* The text is copied. */
void oracle_add_histogram(struct oracle_set *set, struct oracle_series *series, int64_t t_ms,
                          struct bytes text);
/* Only for `=` and `!=`: the caller has refused regular expressions. */
bool oracle_labels_match(const struct oracle_options *options, const struct oracle_label *labels,
                         size_t count);

#endif
