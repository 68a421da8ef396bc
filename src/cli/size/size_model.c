/*
 * size_model.c - see size_model.h. A sum for each resource; the constants are results of
 * docs/BENCHMARKS.md for the load described there, 51 % of whose series are constant, or follow
 * from a format. Other samples take other amounts: captured ones of 15 s took 0.57 bytes, those of
 * a Kubernetes cluster 0.73.
 *
 *     disk    samples and rows of the parts, the log, and a merge of the largest partition
 *     memory  the program, series and samples of the head, and what flushes, merges, requests and
 *             the cache have beside it
 *     CPU     receiving, flushing and merging a sample; new series; what is late
 */
#include "cli/size/size_model.h"

#define MIB     1048576.0
#define HOUR_S  3600.0
#define DAY_S   (24 * HOUR_S)
#define MONTH_S (365 * DAY_S / 12)

/* Disk. "a day": 0.462 bytes of data per sample, and an index of 300 KB for 38,280 series
 * (docs/format/part.md: a row in each part, label values, postings). */
#define DATA_BYTES_PER_SAMPLE 0.462
#define INDEX_BYTES_PER_ROW   8.0
/* "of them log": with the series, which each segment defines again. */
#define LOG_BYTES_PER_SAMPLE 2.22
#define LOG_SEGMENTS_BYTES   (128 * MIB) /* docs/configuration.md: two of wal.segment-bytes */
/* docs/decisions/005-partitions-are-days-and-months.md: this month and the one before are days. */
#define DAYS_MAX 45.0

/* docs/configuration.md, head: what makes a part of it. */
#define HEAD_SAMPLES            8e6
#define HEAD_SAMPLES_PER_SERIES 12.0
#define HEAD_AGE_S              (2 * HOUR_S)

/* Memory. "nothing stored": 12 MiB. 12 scrapes of a million series, before a flush, take 226 MiB
 * more, and all 101 scrapes 300 MiB; 100,000 series take 112, 17,400 of a day 92. */
#define PROGRAM_BYTES         (12 * MIB)
#define HEAD_BYTES_PER_SERIES 200.0
#define HEAD_BYTES_PER_SAMPLE 2.0
#define WORK_BYTES            (62 * MIB)

/* CPU seconds per million, Xeon. Known series take 0.411 with a merge of each sample; one merge of
 * many parts takes 0.016 to 0.024 and the flush 0.034. */
#define RECEIVE_CPU_S     0.36
#define FLUSH_CPU_S       0.034
#define MERGE_CPU_S       0.020
#define MERGES_PER_SAMPLE 2.76 /* in a simulated year */
/* "1,000,000 new series": 4.35 for series with one sample each. */
#define NEW_SERIES_CPU_S 4.35
/* "a day": 0.628 with 2 % late. A late sample is looked up in parts, and its part overlaps others.
 */
#define LATE_CPU_S 8.0

static double
least(double a, double b)
{
    return a < b ? a : b;
}

static void
predict_disk(const struct size_load *load, struct size_prediction *p)
{
    double days = least(load->retention_s / DAY_S, DAYS_MAX);
    double months = (load->retention_s - days * DAY_S) / MONTH_S;
    double parts = days + months < 1 ? 1 : days + months;
    double replaced = p->new_series_per_s * load->retention_s;
    p->samples_kept = p->samples_per_s * load->retention_s;
    p->series_kept = load->series + replaced;
    double rows = load->series * parts + replaced;
    p->parts_bytes = p->samples_kept * DATA_BYTES_PER_SAMPLE + rows * INDEX_BYTES_PER_ROW;
    p->merge_bytes = p->parts_bytes * least(1, MONTH_S / load->retention_s);
    p->log_bytes = LOG_SEGMENTS_BYTES + p->head_samples * LOG_BYTES_PER_SAMPLE;
}

void
size_predict(const struct size_load *load, struct size_prediction *ret)
{
    struct size_prediction p = {.samples_per_s = load->series / load->interval_s,
                                .new_series_per_s = load->series * load->churn / HOUR_S};
    p.head_samples = least(HEAD_SAMPLES + HEAD_SAMPLES_PER_SERIES * load->series,
                           p.samples_per_s * least(HEAD_AGE_S, load->retention_s));
    predict_disk(load, &p);
    double head_s = p.head_samples / p.samples_per_s;
    p.rss_bytes = PROGRAM_BYTES + WORK_BYTES + p.head_samples * HEAD_BYTES_PER_SAMPLE +
                  (load->series + p.new_series_per_s * head_s) * HEAD_BYTES_PER_SERIES;
    p.cpu_s_per_million_samples = RECEIVE_CPU_S + FLUSH_CPU_S + MERGES_PER_SAMPLE * MERGE_CPU_S +
                                  load->late * LATE_CPU_S +
                                  p.new_series_per_s / p.samples_per_s * NEW_SERIES_CPU_S;
    p.cores = p.samples_per_s / 1e6 * p.cpu_s_per_million_samples;
    *ret = p;
}
