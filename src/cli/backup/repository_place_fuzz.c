/* repository_place_fuzz.c - any text as the place of backups: it is a directory, or the address of
 * a bucket, or refused with a reason. What it says of a bucket cannot be more than one source. */
#include <assert.h>
#include <stdlib.h>

#include "cli/backup/backup_ends.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char scheme[] = "s3://";
    struct why why = {""};
    struct sources sources = {0};
    if (size > 1 << 14) return 0;
    char *text = malloc(sizeof scheme + size);
    assert(text != NULL);
    memcpy(text, scheme, sizeof scheme - 1);
    if (size > 0) memcpy(text + sizeof scheme - 1, data, size);
    text[sizeof scheme - 1 + size] = '\0';
    enum err e = repository_place_read(text, NULL, &sources, &why);
    if (e) {
        assert(why_text(&why, e)[0] != '\0');
    } else {
        assert(sources.count == 1);
        const struct archive_settings *archive = &sources.items[0].u.archive;
        const char *bucket = archive->bucket;
        assert(bucket != NULL && archive->path == NULL);
        assert(strncmp(bucket, text + sizeof scheme - 1, strlen(bucket)) == 0);
    }
    sources_free(&sources);
    free(text);
    return 0;
}
