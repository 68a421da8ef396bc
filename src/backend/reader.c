/* reader.c - the types of sources. */
#include "backend/reader.h"

enum err
reader_new(const struct reader_options *options, struct answerer **ret_answerer, struct why *why)
{
    static enum err (*const makers[SOURCE_TYPE_COUNT])(
        const struct reader_options *options, struct answerer **ret_answerer, struct why *why) = {
        [SOURCE_ARCHIVE] = archive_reader_new,    [SOURCE_CLICKHOUSE] = clickhouse_reader_new,
        [SOURCE_INFLUXDB] = influxdb_reader_new,  [SOURCE_OPENTSDB] = opentsdb_reader_new,
        [SOURCE_REMOTE_READ] = remote_reader_new, [SOURCE_TIMESTREAM] = timestream_reader_new,
    };
    return makers[options->settings->type](options, ret_answerer, why);
}

void
reader_any_time(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    (void)answerer;
    *ret_min_ms = INT64_MIN;
    *ret_max_ms = INT64_MAX;
}
