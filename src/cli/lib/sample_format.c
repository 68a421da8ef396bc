/* sample_format.c - see sample_format.h. */
#include "cli/lib/sample_format.h"

#include "cli/lib/output.h"

enum err
sample_format_parse(const char *word, int *ret_format, struct why *why)
{
    enum text_format format;
    if (strcmp(word, "rw") == 0)
        *ret_format = FORMAT_CAPTURE;
    else if (text_format_parse(word, &format))
        *ret_format = (int)format;
    else
        return why_set(why, ERR_INPUT, "--format: unknown format '%.64s'", word);
    return OK;
}

int
sample_format_of(const char *path)
{
    static const struct {
        const char *suffix;
        int format;
    } suffixes[] = {
        {".rw", FORMAT_CAPTURE},    {".om", TEXT_OPENMETRICS},   {".openmetrics", TEXT_OPENMETRICS},
        {".prom", TEXT_PROMETHEUS}, {".jsonl", TEXT_JSON_LINES}, {".ndjson", TEXT_NDJSON},
        {".csv", TEXT_CSV}};
    size_t size = path == NULL ? 0 : strlen(path);
    if (output_packing_of(path) == COMPRESSION_GZIP) size -= 3;
    if (output_packing_of(path) == COMPRESSION_ZSTD) size -= 4;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t wanted = strlen(suffixes[i].suffix);
        if (size < wanted || memcmp(path + size - wanted, suffixes[i].suffix, wanted) != 0)
            continue;
        return suffixes[i].format;
    }
    return FORMAT_UNKNOWN;
}
