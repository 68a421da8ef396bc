/* noted_lines.h - a sink that prints the samples it receives from archive_lines_give(). */
#ifndef LIB_BACKEND_NOTED_LINES_H
#define LIB_BACKEND_NOTED_LINES_H

#include "backend/archive/scan.h"
#include "base/buf.h"
#include "model/labels.h"

struct noted_lines {
    struct buf text;   /* a line for each sample */
    struct buf series; /* labels, each with its length */
    uint32_t series_count;
    uint32_t junk;
    uint64_t junk_line; /* the last one */
};

void noted_lines_init(struct noted_lines *n);
void noted_lines_fini(struct noted_lines *n);
struct archive_line_sink noted_lines_sink(struct noted_lines *n);

#endif
