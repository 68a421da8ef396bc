/* types.c - which writer is whose. */
#include "backend/writer.h"

const struct writer_class *
writer_class_of(enum destination_type type)
{
    static const struct writer_class *const classes[DESTINATION_TYPE_COUNT] = {
        [DESTINATION_FILE] = &file_writer,
        [DESTINATION_FIREHOSE] = &firehose_writer,
        [DESTINATION_INFLUXDB] = &influxdb_writer,
        [DESTINATION_KINESIS] = &kinesis_writer,
        [DESTINATION_OPENTSDB] = &opentsdb_writer,
        [DESTINATION_REMOTE_WRITE] = &remote_write_writer,
        [DESTINATION_S3] = &s3_writer,
        [DESTINATION_TIMESTREAM] = &timestream_writer,
    };
    return type < DESTINATION_TYPE_COUNT ? classes[type] : NULL;
}
