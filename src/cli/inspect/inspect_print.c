/*
 * inspect_print.c - prints a part, or a segment of the log. Each print_...() makes a section or a
 * table; tables whose rows are bytes add up to the file, with a row for everything else in it.
 */
#include "cli/inspect/inspect_print.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text/time_text.h"

char *
inspect_number(uint64_t number, char to[17])
{
    snprintf(to, 17, "%016" PRIx64, number);
    return to;
}

struct report_value
inspect_first(struct time_range range)
{
    return range.min_ms > range.max_ms ? value_none() : value_time(range.min_ms);
}

struct report_value
inspect_last(struct time_range range)
{
    return range.min_ms > range.max_ms ? value_none() : value_time(range.max_ms);
}

void
inspect_print_kinds(struct report *r, const uint64_t *counts)
{
    report_field(r, "floats", "floats", value_count(counts[LEDGER_FLOAT]));
    report_field(r, "histograms", "histograms", value_count(counts[LEDGER_HISTOGRAM]));
    report_field(r, "exemplars", "exemplars", value_count(counts[LEDGER_EXEMPLAR]));
}

void
inspect_print_remarks(struct report *r, const struct inspect_remarks *remarks)
{
    report_table(r, "remarks", "Remarks", "kind|text=what");
    for (uint32_t i = 0; i < remarks->count; i++) {
        const struct inspect_remark *m = &remarks->items[i];
        report_row(r, value_text(m->damage ? "damage" : "note"), value_text(m->text));
    }
    report_table_end(r, remarks->left_out);
    if (remarks->damage_count > 0) {
        report_field(r, "damagedPlaces", "damaged places", value_count(remarks->damage_count));
    }
}

/* --- a part ----------------------------------------------------------------------------------- */

static void
print_facts(struct report *r, const struct inspect_part *p)
{
    const struct inspect_part_facts *f = &p->facts;
    char number[17];
    uint64_t samples = f->samples[LEDGER_FLOAT] + f->samples[LEDGER_HISTOGRAM];
    report_section(r, "part", "Part");
    report_field(r, "number", "number", value_text(inspect_number(f->number, number)));
    report_field(r, "from", "first time", inspect_first(f->time));
    report_field(r, "to", "last time", inspect_last(f->time));
    report_field(r, "fromPosition", "log from", value_count(f->from_pos));
    report_field(r, "toPosition", "log up to", value_count(f->to_pos));
    report_field(r, "tenants", "tenants", value_count(p->tenants));
    report_field(r, "series", "series", value_count(f->series));
    report_field(r, "labelPairs", "label pairs", value_count(f->pairs));
    report_field(r, "blocks", "blocks", value_count(f->blocks));
    inspect_print_kinds(r, f->samples);
    report_field(r, "bytesPerSample", "bytes per sample", value_ratio(f->file_bytes, samples));
    report_field(r, "dataBytes", "data", value_size(f->data_bytes));
    report_field(r, "indexBytes", "index", value_size(f->file_bytes - f->data_bytes));
    report_field(r, "indexBytesPerSeries", "index bytes per series",
                 value_ratio(f->file_bytes - f->data_bytes, f->series));
    report_section_end(r);
}

/* Bytes outside pages have rows of their own, so that the rows add up to the file. */
static void
print_pages(struct report *r, const struct inspect_part *p)
{
    report_field(r, "fileBytes", "file", value_size(p->file_bytes));
    report_table(r, "pages", "Pages",
                 "kind|pages|headerBytes=headers|storedBytes=stored|rawBytes=unpacked|ratio|bytes|"
                 "share=% of file");
    for (unsigned kind = 0; kind < INSPECT_PAGE_KINDS; kind++) {
        const struct inspect_pages *k = &p->pages[kind];
        uint64_t bytes = k->header_bytes + k->stored_bytes;
        if (k->count == 0) continue;
        report_row(r, value_text(inspect_page_word(kind)), value_count(k->count),
                   value_size(k->header_bytes), value_size(k->stored_bytes),
                   value_size(k->raw_bytes), value_ratio(k->raw_bytes, k->stored_bytes),
                   value_size(bytes), value_ratio(100 * bytes, p->file_bytes));
    }
    report_row(r, value_text("header and footer"), value_count(0), value_size(0), value_size(0),
               value_size(0), value_none(), value_size(p->end_bytes),
               value_ratio(100 * p->end_bytes, p->file_bytes));
    if (p->unreadable_bytes > 0) {
        report_row(r, value_text("not a page"), value_count(0), value_size(0), value_size(0),
                   value_size(0), value_none(), value_size(p->unreadable_bytes),
                   value_ratio(100 * p->unreadable_bytes, p->file_bytes));
    }
    report_table_end(r, 0);
}

void
inspect_resolutions_table(struct report *r)
{
    report_table(r, "resolutions", "Windows of levels of downsampling",
                 "number=part|resolution|from|to|rows|bytes=encoded|bytesPerRow=per row");
}

void
inspect_resolutions_rows(struct report *r, const struct inspect_part_facts *f)
{
    for (uint32_t i = 0; i < f->resolution_count; i++) {
        const struct rollup_facts *x = &f->resolutions[i];
        char number[17], resolution[TIME_TEXT_BYTES];
        time_print_duration(x->resolution_ms, resolution);
        report_row(r, value_text(inspect_number(f->number, number)), value_text(resolution),
                   INSPECT_RANGE(x->time), value_count(x->rows), value_size(x->bytes),
                   value_ratio(x->bytes, x->rows));
    }
}

void
inspect_print_part(struct report *r, const struct inspect_part *p)
{
    if (p->root_whole) print_facts(r, p);
    print_pages(r, p);
    if (p->root_whole) {
        inspect_resolutions_table(r);
        inspect_resolutions_rows(r, &p->facts);
        report_table_end(r, 0);
    }
    inspect_print_remarks(r, &p->remarks);
}

/* --- a segment -------------------------------------------------------------------------------- */

static void
print_header(struct report *r, const struct inspect_segment *s)
{
    const struct wal_segment_info *i = &s->log.segment;
    char number[17];
    report_section(r, "segment", "Log segment");
    report_field(r, "number", "number", value_text(inspect_number(i->number, number)));
    report_field(r, "state", "state", value_text(inspect_segment_word(i->state)));
    report_field(r, "fileBytes", "file", value_size(i->file_bytes));
    if (s->header_bytes > 0) {
        report_field(r, "version", "format version", value_count(i->version));
        report_field(r, "minReader", "readable from version", value_count(i->min_reader));
        report_field(r, "made", "made", value_time(i->made_ms));
        report_field(r, "basePosition", "first position", value_count(i->base_pos));
        report_field(r, "endPosition", "end position", value_count(s->log.end_pos));
        report_field(r, "limitPosition", "position limit", value_count(i->limit_pos));
        report_field(r, "end", "ends", value_text(inspect_end_word(s->log.end)));
        report_field(r, "tornBytes", "torn", value_size(s->log.torn_bytes));
        report_field(r, "previous", "previous segment",
                     i->prev_number == 0 ? value_text("none")
                                         : value_text(inspect_number(i->prev_number, number)));
        report_field(r, "previousEndPosition", "end of previous segment",
                     value_count(i->prev_end_pos));
        report_field(r, "floatsBefore", "floats before", value_count(i->totals[LEDGER_FLOAT]));
        report_field(r, "histogramsBefore", "histograms before",
                     value_count(i->totals[LEDGER_HISTOGRAM]));
        report_field(r, "exemplarsBefore", "exemplars before",
                     value_count(i->totals[LEDGER_EXEMPLAR]));
    }
    report_section_end(r);
}

static void
print_records(struct report *r, const struct inspect_segment *s)
{
    report_table(r, "records", "Records",
                 "type|records|items|packed|payloadBytes=payload|rawBytes=unpacked|ratio|bytes|"
                 "bytesPerItem=per item");
    for (unsigned t = 0; t <= WAL_TYPE_LAST; t++) {
        const struct inspect_records *k = &s->types[t];
        if (k->count == 0) continue;
        report_row(r, value_text(inspect_record_word(t)), value_count(k->count),
                   value_count(k->items), value_count(k->packed), value_size(k->payload_bytes),
                   value_size(k->raw_bytes), value_ratio(k->raw_bytes, k->payload_bytes),
                   value_size(k->record_bytes), value_ratio(k->record_bytes, k->items));
    }
    report_table_end(r, 0);
}

static void
print_commits(struct report *r, const struct inspect_segment *s)
{
    report_section(r, "commits", "Commits");
    report_field(r, "count", "commits", value_count(s->commits));
    report_field(r, "bytesMedian", "bytes, median", value_size(s->commit_bytes_p50));
    report_field(r, "bytesMax", "bytes, maximum", value_size(s->commit_bytes_max));
    report_field(r, "recordsMax", "records, maximum", value_count(s->commit_records_max));
    if (s->commits > 0) {
        report_field(r, "first", "first", value_time(s->first_commit_ms));
        report_field(r, "last", "last", value_time(s->last_commit_ms));
    }
    report_field(r, "samplesFrom", "samples from", inspect_first(s->samples));
    report_field(r, "samplesTo", "samples to", inspect_last(s->samples));
    inspect_print_kinds(r, s->accepted);
    report_section_end(r);
}

static void
print_room(struct report *r, const struct inspect_segment *s)
{
    uint64_t records = 0;
    for (unsigned t = 0; t <= WAL_TYPE_LAST; t++) {
        records += s->types[t].record_bytes;
    }
    report_section(r, "bytes", "The file");
    report_field(r, "header", "header", value_size(s->header_bytes));
    report_field(r, "records", "records", value_size(records));
    report_field(r, "damaged", "damaged", value_size(s->log.damaged_bytes));
    report_field(r, "rest", "after the end", value_size(s->rest_bytes));
    report_section_end(r);
}

void
inspect_print_segment(struct report *r, const struct inspect_segment *s)
{
    print_header(r, s);
    if (s->header_bytes > 0) {
        print_records(r, s);
        print_commits(r, s);
        print_room(r, s);
    }
    inspect_print_remarks(r, &s->remarks);
}
