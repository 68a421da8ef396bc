/* web.h - private to config/: checks of the settings for addresses, hosts and URLs of the
 * server (struct setting). */
#ifndef CONFIG_WEB_H
#define CONFIG_WEB_H

#include "base/err.h"

enum err web_check_addresses(const char *text, const char **ret_expected);
enum err web_check_url(const char *text, const char **ret_expected);
enum err web_check_prefix(const char *text, const char **ret_expected);
enum err web_check_path(const char *text, const char **ret_expected);
enum err web_check_origin(const char *text, const char **ret_expected);
enum err web_check_networks(const char *text, const char **ret_expected);
enum err web_check_hosts(const char *text, const char **ret_expected);
/* For auth.sigv4-services, auth.sigv4-region and auth.sigv4-host. */
enum err web_check_words(const char *text, const char **ret_expected);
enum err web_check_word(const char *text, const char **ret_expected);
enum err web_check_host(const char *text, const char **ret_expected);

#endif
