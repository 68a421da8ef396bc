/*
 * page.h - a page of what Timestream answers to a query:
 *
 *     {"QueryId":"...","NextToken":"...","Rows":[{"Data":[{"ScalarValue":"up"},{"NullValue":true}]}],
 *      "ColumnInfo":[...],"QueryStatus":{"CumulativeBytesScanned":10000000,...}}
 *
 * Members come in any order; what is not known is stepped over. Source: the API reference of Amazon
 * Timestream Query. Private to backend/timestream.
 */
#ifndef BACKEND_TIMESTREAM_PAGE_H
#define BACKEND_TIMESTREAM_PAGE_H

#include "base/buf.h"
#include "base/mem.h"

enum { PAGE_COLUMNS_MAX = 512, PAGE_TOKEN_BYTES_MAX = 64 * 1024 };

/* Where rows go. A cell is the text of a scalar; `at` NULL: it is null. */
struct page_sink {
    enum err (*row)(void *context, const struct bytes *cells, struct why *why);
    void *context;
};

struct timestream_page {
    struct buf token;       /* NextToken; empty: this is the last page */
    struct buf query;       /* QueryId */
    uint64_t scanned_bytes; /* by the query until now */
};
void page_init(struct timestream_page *page, struct budget *budget);
void page_fini(struct timestream_page *page);

/*
 * Gives rows of `columns` cells; views end with the call, an error of which ends the reading and is
 * returned. ERR_CORRUPT: it is no such page; ERR_NOMEM: `scratch` or `page` is full.
 */
MUST_CHECK enum err page_read(struct timestream_page *page, struct bytes body, uint32_t columns,
                              struct arena *scratch, const struct page_sink *to, struct why *why);

#endif
