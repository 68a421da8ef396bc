/*
 * page.h - a page of a response of Timestream to a query:
 *
 *     {"QueryId":"...","NextToken":"...","Rows":[{"Data":[{"ScalarValue":"up"},{"NullValue":true}]}],
 *      "ColumnInfo":[...],"QueryStatus":{"CumulativeBytesScanned":10000000,...}}
 *
 * Members come in any order; unknown members are skipped. Source: the API reference of Amazon
 * Timestream Query. Private to backend/timestream.
 */
#ifndef BACKEND_TIMESTREAM_PAGE_H
#define BACKEND_TIMESTREAM_PAGE_H

#include "base/buf.h"
#include "base/mem.h"

enum { PAGE_COLUMNS_MAX = 512, PAGE_TOKEN_BYTES_MAX = 64 * 1024 };

/* Receives rows. A cell is the text of a scalar; `at` is NULL for null. */
struct page_sink {
    enum err (*row)(void *context, const struct bytes *cells, struct why *why);
    void *context;
};

struct timestream_page {
    struct buf token;       /* NextToken; empty on the last page */
    struct buf query;       /* QueryId */
    uint64_t scanned_bytes; /* by the query so far */
};
void page_init(struct timestream_page *page, struct budget *budget);
void page_fini(struct timestream_page *page);

/* Reads a page and gives its rows of `columns` cells; views end with the call. An error of the sink
 * ends the reading and is returned. ERR_CORRUPT: it is not such a page; ERR_NOMEM: `scratch` or
 * `page` is full. */
MUST_CHECK enum err page_read(struct timestream_page *page, struct bytes body, uint32_t columns,
                              struct arena *scratch, const struct page_sink *to, struct why *why);

#endif
