/*
 * settings.h - the mapping `alerting` of the configuration file as plain structs, but for what is a
 * flag, too. docs/configuration.md explains every key; config/lists/alerting.c reads them.
 *
 * As in backend/settings.h: texts live as long as the whole, and are NULL where nothing was given;
 * times are milliseconds; secrets are fetched each time they are wanted.
 */
#ifndef NOTIFY_SETTINGS_H
#define NOTIFY_SETTINGS_H

#include "backend/settings.h"

/* A header as Prometheus writes it: each value becomes one of its own. */
struct http_header_values {
    const char *name;
    struct text_list values;
    struct secret_list secrets;
    struct text_list files; /* read each time */
};
struct http_header_list {
    struct http_header_values *items;
    uint32_t count;
};

/* How the addresses of members are found. Every kind may be given several times, and all together
 * are the members of one Alertmanager. */
struct static_members {
    struct text_list targets; /* "host:port" */
    struct named_texts labels;
};

enum dns_record { DNS_SRV, DNS_A, DNS_AAAA, DNS_MX, DNS_NS };
struct dns_members {
    struct text_list names;
    enum dns_record type; /* SRV */
    uint32_t port;        /* of all but SRV */
    int64_t refresh_ms;   /* 30 s */
};

struct file_members {
    struct text_list given; /* patterns, as in the file */
    struct text_list files; /* the same; relative ones from the directory of that file on */
    int64_t refresh_ms;     /* 5 min */
};

struct http_members {
    const char *url;
    int64_t refresh_ms;                   /* 1 min */
    struct http_settings http;            /* its headers are all of http_headers */
    struct http_header_list http_headers; /* as in the file */
    struct basic_auth_settings basic_auth;
    struct authorization_settings authorization;
    struct oauth2_settings oauth2;
};

enum { ALERTMANAGERS_MAX = 64 };
struct alertmanager_settings {
    uint32_t line;                        /* of the file, for messages */
    const char *path_prefix;              /* "/" */
    const char *scheme;                   /* "http" */
    int64_t timeout_ms;                   /* 10 s */
    const char *api_version;              /* "v2", the only one */
    struct http_settings http;            /* its headers are all of http_headers */
    struct http_header_list http_headers; /* as in the file */
    struct basic_auth_settings basic_auth;
    struct authorization_settings authorization;
    struct sigv4_settings sigv4;
    struct oauth2_settings oauth2;

    struct static_members *static_configs;
    uint32_t static_count;
    struct dns_members *dns_configs;
    uint32_t dns_count;
    struct file_members *file_configs;
    uint32_t file_count;
    struct http_members *http_configs;
    uint32_t http_count;

    const struct relabel_spec *relabel; /* of members: __address__, __scheme__, __alerts_path__ */
    uint32_t relabel_count;
    const struct relabel_spec *alert_relabel; /* of alerts, after that of all Alertmanagers */
    uint32_t alert_relabel_count;
    uint64_t hash; /* of all that was given, secrets too */
};

/* The arena owns every text of it. */
struct alerting {
    struct arena *arena;
    const char *tenant_label;                 /* that receives the tenant's name; NULL: none */
    const struct relabel_spec *alert_relabel; /* of alerts to any Alertmanager */
    uint32_t alert_relabel_count;
    struct alertmanager_settings *items;
    uint32_t count;
};
void alerting_free(struct alerting *alerting);

#endif
