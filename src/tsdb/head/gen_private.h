/* gen_private.h - private to gen*.c. */
#ifndef TSDB_HEAD_GEN_PRIVATE_H
#define TSDB_HEAD_GEN_PRIVATE_H

#include "tsdb/head/late_index.h"

/* The series in the generation before. False, NULL: nothing of it can be there. */
bool gen_before_id(const struct gen *gen, const struct series *series, uint32_t *ret_id);
const struct gen_series *gen_before(const struct gen *gen, const struct series *series);

#endif
