/* access_rig.h - reads keys that say who may reach the server
 * (config/lists/lists.h), for tests.
 */
#ifndef LIB_CONFIG_ACCESS_RIG_H
#define LIB_CONFIG_ACCESS_RIG_H

#include "config/lists/lists.h"

/* Hashes in two forms of crypt(3). */
#define BCRYPT   "$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"
#define YESCRYPT "$y$j9T$abcdefgh$0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

/* Return what is in force: of a configuration file, which also has settings, and of a file for
 * web.config.file (NULL: none). The texts are valid. read_access() calls the former "f.yml". */
struct access_settings read_access_from(const char *file_name, const char *config,
                                        const char *web_name, const char *web);
struct access_settings read_access(const char *config, const char *web_name, const char *web);

/* Check the error of a configuration file "f.yml", of a web file "w.yml", and of both; the others
 * only that it is an error. */
void check_access_error(const char *config, const char *expected);
void check_web_error(const char *web, const char *expected);
void check_both_error(const char *config, const char *web, const char *expected);
void check_access_refused(const char *config);
void check_web_refused(const char *web);

void check_warnings(const struct access_settings *access, const char *expected);
void check_printed(const struct access_settings *access, const char *expected);

#endif
