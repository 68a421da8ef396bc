/*
 * quoting.h - names and texts in the statements of ClickHouse: 'text', `name`. Private to
 * backend/clickhouse.
 */
#ifndef BACKEND_CLICKHOUSE_QUOTING_H
#define BACKEND_CLICKHOUSE_QUOTING_H

#include "base/buf.h"

/* Puts any bytes as the text between quotes of this kind, ' or `. */
void clickhouse_escaped_put(struct buf *to, char quote, struct bytes text);
/* Does the same and adds the quotes. */
void clickhouse_quoted_put(struct buf *to, char quote, struct bytes text);

#endif
