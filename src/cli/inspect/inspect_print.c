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
    report_field(r, "labelNames", "label names", value_count(p->names));
    report_field(r, "blocks", "blocks", value_count(f->blocks));
    inspect_print_kinds(r, f->samples);
    report_field(r, "exemplarSeries", "series with exemplars", value_count(p->exemplar_series));
    report_field(r, "families", "metadata families", value_count(p->families));
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

/* Blocks of rollups by the properties that are not implied by others. */
static void
print_rollup_columns(struct report *r, const struct inspect_part *p)
{
    report_table(r, "rollupColumns", "Blocks of rollups of floats by column", "column|blocks");
    for (unsigned c = 0; c < INSPECT_ROLLUP_COLUMNS; c++) {
        if (p->rollup_columns[c] == 0) continue;
        report_row(r, value_text(inspect_rollup_column_word(c)), value_count(p->rollup_columns[c]));
    }
    report_table_end(r, 0);
}

static void
print_blocks_row(struct report *r, const char *word, const struct inspect_blocks *b)
{
    if (b->blocks == 0) return;
    report_row(r, value_text(word), value_count(b->blocks), value_count(b->samples),
               value_size(b->bytes), value_ratio(b->bytes, b->samples));
}

static const char block_columns[] = "form|blocks|samples|bytes=encoded|bytesPerSample=per sample";

static void
print_forms(struct report *r, const struct inspect_part *p)
{
    report_table(r, "values", "Values, as encoded before pages are packed", block_columns);
    for (unsigned f = 0; f < INSPECT_FORM_COUNT; f++) {
        print_blocks_row(r, inspect_form_word((enum inspect_form)f), &p->forms[f]);
    }
    report_table_end(r, 0);
    report_table(r, "exponents", "Floats by decimal places", block_columns);
    for (unsigned e = 0; e < INSPECT_EXPONENTS; e++) {
        char word[24];
        snprintf(word, sizeof word, "%u", e);
        print_blocks_row(r, e + 1 < INSPECT_EXPONENTS ? word : "none", &p->exponents[e]);
    }
    report_table_end(r, 0);
    report_table(r, "streams", "Floats by sequence encoding", block_columns);
    for (unsigned m = 0; m < INSPECT_MODES; m++) {
        print_blocks_row(r, inspect_mode_word(m), &p->modes[m]);
    }
    report_table_end(r, 0);
}

static void
print_times(struct report *r, const struct inspect_part *p)
{
    report_section(r, "times", "Times and other columns");
    report_field(r, "columns", "columns of times", value_count(p->times.columns));
    report_field(r, "references", "references to columns", value_count(p->times.references));
    report_field(r, "columnSamples", "times in columns", value_count(p->times.samples));
    report_field(r, "columnBytes", "encoded", value_size(p->times.bytes));
    report_field(r, "bytesPerTime", "bytes per time",
                 value_ratio(p->times.bytes, p->times.samples));
    for (unsigned m = 0; m < INSPECT_MODES; m++) {
        static const char *const keys[INSPECT_MODES] = {"plainColumns", "deltaColumns",
                                                        "delta2Columns", "lineColumns"};
        char title[40];
        snprintf(title, sizeof title, "columns as %s", inspect_mode_word(m));
        if (p->times.modes[m] > 0) report_field(r, keys[m], title, value_count(p->times.modes[m]));
    }
    if (p->times.incomplete) {
        report_field(r, "incomplete", "columns incomplete", value_text("too many to count all"));
    }
    report_field(r, "startColumns", "columns of start times", value_count(p->starts.blocks));
    report_field(r, "startBytes", "encoded", value_size(p->starts.bytes));
    report_field(r, "rollupBlocks", "blocks of rollups", value_count(p->rollups.blocks));
    report_field(r, "rollupRows", "last samples in them", value_count(p->rollups.samples));
    report_field(r, "rollupBytes", "encoded beside them", value_size(p->rollups.bytes));
    report_field(r, "blocksWithStatistics", "blocks with statistics", value_count(p->stats_blocks));
    report_field(r, "blocksEndingStale", "blocks ending stale", value_count(p->stale_blocks));
    report_field(r, "blocksWithoutStream", "constant blocks", value_count(p->no_stream_blocks));
    report_section_end(r);
}

enum ranking_of { RANKING_NAMES, RANKING_PAIRS, RANKING_METRICS, RANKING_SERIES };

static void
print_ranking(struct report *r, const char *key, const char *title, enum ranking_of what,
              const struct inspect_ranking *ranking)
{
    static const char *const columns[] = {
        [RANKING_NAMES] = "tenant|values|series|name=label name",
        [RANKING_PAIRS] = "tenant|series|labels=label pair",
        [RANKING_METRICS] =
            "tenant|series|samples|bytes=encoded|bytesPerSample=per sample|name=metric name",
        [RANKING_SERIES] =
            "tenant|blocks|samples|bytes=encoded|bytesPerSample=per sample|labels=series",
    };
    report_table(r, key, title, columns[what]);
    for (uint32_t i = 0; i < ranking->count; i++) {
        const struct inspect_item *x = &ranking->items[i];
        struct report_value tenant = value_view(x->tenant), samples = value_count(x->samples);
        struct report_value bytes = value_size(x->bytes), each = value_ratio(x->bytes, x->samples);
        struct report_value blocks = value_count(x->blocks), count = value_count(x->series);
        struct report_value name = value_view(x->text), labels = value_labels(x->text);
        if (what == RANKING_NAMES) report_row(r, tenant, value_count(x->values), count, name);
        if (what == RANKING_PAIRS) report_row(r, tenant, count, labels);
        if (what == RANKING_METRICS) report_row(r, tenant, count, samples, bytes, each, name);
        if (what == RANKING_SERIES) report_row(r, tenant, blocks, samples, bytes, each, labels);
    }
    report_table_end(r, ranking->left_out);
}

static void
print_tenants(struct report *r, const struct inspect_ranking *ranking)
{
    report_table(r, "tenants", "Tenants",
                 "tenant|series|labelPairs=pairs|blocks|floats|histograms|exemplars|bytes=encoded");
    for (uint32_t i = 0; i < ranking->count; i++) {
        const struct inspect_item *x = &ranking->items[i];
        report_row(r, value_view(x->text), value_count(x->series), value_count(x->values),
                   value_count(x->blocks), INSPECT_KINDS(x->kinds), value_size(x->bytes));
    }
    report_table_end(r, ranking->left_out);
}

void
inspect_print_part(struct report *r, const struct inspect_part *p)
{
    if (p->root_whole) print_facts(r, p);
    print_pages(r, p);
    if (p->root_whole) {
        print_forms(r, p);
        print_times(r, p);
        inspect_resolutions_table(r);
        inspect_resolutions_rows(r, &p->facts);
        report_table_end(r, 0);
        print_rollup_columns(r, p);
        print_tenants(r, &p->by_tenant);
        print_ranking(r, "labelNames", "Label names with most values", RANKING_NAMES, &p->by_name);
        print_ranking(r, "labelPairs", "Label pairs with most series", RANKING_PAIRS, &p->by_pair);
        print_ranking(r, "metricsBySeries", "Metrics with most series", RANKING_METRICS,
                      &p->metrics_by_series);
        print_ranking(r, "metricsBySamples", "Metrics with most samples", RANKING_METRICS,
                      &p->metrics_by_samples);
        print_ranking(r, "metricsByBytes", "Metrics with most bytes", RANKING_METRICS,
                      &p->metrics_by_bytes);
        print_ranking(r, "seriesByBytes", "Series with most bytes", RANKING_SERIES, &p->by_series);
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
