/* web.h - private to config/: checks of the settings for addresses and URLs of the server
 * (struct setting). */
#ifndef CONFIG_WEB_H
#define CONFIG_WEB_H

#include "base/err.h"

enum err web_listen_rule(const char *text, const char **ret_expected);
enum err web_url_rule(const char *text, const char **ret_expected);
enum err web_prefix_rule(const char *text, const char **ret_expected);
enum err web_origin_rule(const char *text, const char **ret_expected);

#endif
