/* content.h - whether two settings make the same objects of the same samples. */
#ifndef BACKEND_S3_CONTENT_H
#define BACKEND_S3_CONTENT_H

#include "backend/settings.h"

/* A hash of all that decides what an object holds, how it is called and where it goes. It is
 * stored: as long as nothing of that changes, it does not. */
uint64_t s3_content_hash(const struct destination_settings *settings);

#endif
