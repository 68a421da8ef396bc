/* bucket.c - an archive in a bucket: see store.h. */
#include "backend/archive/store.h"

enum err
archive_bucket_new(const struct reader_options *options, struct archive_store **ret_store,
                   struct why *why)
{
    (void)options, (void)ret_store;
    return why_set(why, ERR_UNSUPPORTED, "not yet");
}
