/* web.h - private to config/: checks of the settings for addresses, hosts and URLs of the
 * server (struct setting). */
#ifndef CONFIG_WEB_H
#define CONFIG_WEB_H

#include "base/err.h"

enum err web_addresses_rule(const char *text, const char **ret_expected);
enum err web_url_rule(const char *text, const char **ret_expected);
enum err web_prefix_rule(const char *text, const char **ret_expected);
enum err web_origin_rule(const char *text, const char **ret_expected);
enum err web_networks_rule(const char *text, const char **ret_expected);
enum err web_hosts_rule(const char *text, const char **ret_expected);
/* For auth.sigv4-services, auth.sigv4-region and auth.sigv4-host. */
enum err web_words_rule(const char *text, const char **ret_expected);
enum err web_word_rule(const char *text, const char **ret_expected);
enum err web_host_rule(const char *text, const char **ret_expected);

#endif
