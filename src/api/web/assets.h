/*
 * assets.h - the files of the web page, which are part of the program: web/embed.sh makes the table
 * of web/dist. For pages.c and its test.
 */
#ifndef API_WEB_ASSETS_H
#define API_WEB_ASSETS_H

#include <stddef.h>
#include <stdint.h>

struct web_asset {
    const char *path; /* begins with a slash */
    const char *content_type;
    const char *etag; /* in quotes; the hash of the content */
    const uint8_t *gzip;
    size_t gzip_bytes;
};

/* In the order of their paths. */
extern const struct web_asset web_assets[], web_assets_end[];

#endif
