/* s3_files.h - checks the files that destinations of type `s3` keep on disk, without a running
 * destination. See backend/own_files.h. */
#ifndef BACKEND_S3_S3_FILES_H
#define BACKEND_S3_S3_FILES_H

#include "backend/own_files.h"

/* Check the sealed objects, and the indexes, of a destination's directory: own_files_examine(). */
MUST_CHECK enum err s3_objects_examine(const struct own_files_options *options, uint64_t *ret_files,
                                       struct why *why);
MUST_CHECK enum err s3_indexes_examine(const struct own_files_options *options, uint64_t *ret_files,
                                       struct why *why);

#endif
