/*
 * settings.h - the mapping `alerting` of the configuration file as plain structs, except for keys
 * that are also flags. docs/configuration.md explains every key; config/lists/alerting.c
 * reads them.
 *
 * As in backend/settings.h: texts live as long as the struct alerting, and are NULL for absent
 * keys; times are milliseconds; secrets are fetched each time they are used.
 */
#ifndef NOTIFY_SETTINGS_H
#define NOTIFY_SETTINGS_H

#include "backend/settings.h"

/* Settings of discoveries. Each kind may be given several times; all of them together find the
 * members of one Alertmanager. */
struct static_members {
    struct text_list targets; /* "host:port" */
    struct named_texts labels;
};

enum dns_record { DNS_SRV, DNS_A, DNS_AAAA, DNS_MX, DNS_NS };
struct dns_members {
    struct text_list names;
    enum dns_record type; /* SRV */
    uint32_t port;        /* for all types but SRV */
    int64_t refresh_ms;   /* 30 s */
};

struct file_members {
    struct text_list files; /* patterns */
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
    uint32_t line;                        /* in the file, for messages */
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

    const struct relabel_spec *relabel; /* for members: __address__, __scheme__, __alerts_path__ */
    uint32_t relabel_count;
    const struct relabel_spec *alert_relabel; /* for alerts, after that of all Alertmanagers */
    uint32_t alert_relabel_count;
    uint64_t hash; /* hash of all settings, including secrets */
};

/* The arena owns all texts. */
struct alerting {
    struct arena *arena;
    const char *tenant_label;                 /* gets the tenant's name; may be NULL */
    const struct relabel_spec *alert_relabel; /* for alerts to any Alertmanager */
    uint32_t alert_relabel_count;
    struct alertmanager_settings *items;
    uint32_t count;
};
void alerting_free(struct alerting *alerting);

#endif
