/* source_settings.c - functions of a source's settings. */
#include "backend/source_settings.h"

const char *
source_type_word(enum source_type type)
{
    static const char *const words[SOURCE_TYPE_COUNT] = {
        [SOURCE_ARCHIVE] = "archive",         [SOURCE_CLICKHOUSE] = "clickhouse",
        [SOURCE_INFLUXDB] = "influxdb",       [SOURCE_OPENTSDB] = "opentsdb",
        [SOURCE_REMOTE_READ] = "remote_read", [SOURCE_TIMESTREAM] = "timestream",
    };
    return (unsigned)type < SOURCE_TYPE_COUNT ? words[type] : "unknown";
}

int64_t
source_bound_ms(const struct source_bound *bound, int64_t now_ms, int64_t open_ms)
{
    if (!bound->given) return open_ms;
    return bound->before_now ? now_ms - bound->ms : bound->ms;
}

void
sources_free(struct sources *list)
{
    if (list == NULL) return;
    if (list->arena != NULL) arena_fini(list->arena);
    mem_free(NULL, list->arena, list->arena == NULL ? 0 : sizeof *list->arena);
    *list = (struct sources){NULL};
}
