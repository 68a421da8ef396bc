/*
 * clickhouse_answers.h - responses of ClickHouse 18.16 and 26.7 about the server and a table
 * (without blanks). For tests.
 */
#ifndef LIB_BACKEND_CLICKHOUSE_ANSWERS_H
#define LIB_BACKEND_CLICKHOUSE_ANSWERS_H

#define TESTING_COLUMNS(metric)                    \
    ",[\"column\",\"metric\",\"" metric "\",\"\"]" \
    ",[\"column\",\"labels\",\"String\",\"\"]"     \
    ",[\"column\",\"time\",\"Int64\",\"\"]"        \
    ",[\"column\",\"value\",\"Float64\",\"\"]"     \
    ",[\"column\",\"bits\",\"UInt64\",\"\"]"       \
    ",[\"column\",\"histogram\",\"String\",\"\"]"
#define TESTING_START  ",[\"column\",\"start_time\",\"Int64\",\"DEFAULT\"]"
#define TESTING_ENGINE ",[\"table\",\"ReplacingMergeTree\",\"metric, labels, time\",\"\"]"
#define TESTING_OLD_SETTINGS                               \
    ",[\"setting\",\"insert_deduplicate\",\"\",\"\"]"      \
    ",[\"setting\",\"insert_distributed_sync\",\"\",\"\"]" \
    ",[\"setting\",\"readonly\",\"0\",\"\"]"
#define TESTING_NEW_SETTINGS                                                     \
    TESTING_OLD_SETTINGS                                                         \
    ",[\"setting\",\"async_insert\",\"\",\"\"]"                                  \
    ",[\"setting\",\"insert_deduplication_token\",\"\",\"\"]"                    \
    ",[\"setting\",\"cancel_http_readonly_queries_on_client_close\",\"0\",\"\"]" \
    ",[\"setting\",\"input_format_with_types_use_header\",\"\",\"\"]"            \
    ",[\"setting\",\"skip_unavailable_shards\",\"0\",\"\"]"                      \
    ",[\"setting\",\"read_overflow_mode\",\"throw\",\"\"]"                       \
    ",[\"setting\",\"group_by_overflow_mode\",\"throw\",\"\"]"                   \
    ",[\"setting\",\"sort_overflow_mode\",\"throw\",\"\"]"                       \
    ",[\"setting\",\"set_overflow_mode\",\"throw\",\"\"]"                        \
    ",[\"setting\",\"timeout_overflow_mode\",\"throw\",\"\"]"
#define TESTING_ANSWER(version, rest, rows)                                                 \
    "{\"meta\":[{\"name\":\"what\",\"type\":\"String\"}],\"data\":[[\"version\",\"" version \
    "\",\"\",\"\"]" rest "],\"rows\":" #rows ",\"statistics\":{\"elapsed\":0.002}}"

#define TESTING_OLD                                                                             \
    TESTING_ANSWER("18.16.1",                                                                   \
                   TESTING_OLD_SETTINGS TESTING_ENGINE TESTING_COLUMNS("String") TESTING_START, \
                   12)
/* The same without the column start_time. */
#define TESTING_OLD_SHORT \
    TESTING_ANSWER("18.16.1", TESTING_OLD_SETTINGS TESTING_ENGINE TESTING_COLUMNS("String"), 11)
#define TESTING_NO_TABLE TESTING_ANSWER("18.16.1", TESTING_OLD_SETTINGS, 4)
#define TESTING_NEW                                                                              \
    TESTING_ANSWER("26.7.2.1",                                                                   \
                   TESTING_NEW_SETTINGS TESTING_ENGINE TESTING_COLUMNS("LowCardinality(String)") \
                       TESTING_START,                                                            \
                   22)
#define TESTING_NEW_HEAD                                                               \
    "\x07\x06metric\x06labels\x04time\x05value\x04"                                    \
    "bits\x09histogram\x0astart_time\x16LowCardinality(String)\x06String\x05Int64\x07" \
    "Float64\x06UInt64\x06String\x05Int64"

#endif
