/*
 * features.c - the page /api/v1/features: features of Prometheus, and whether they are enabled
 * here. Names and categories are those of Prometheus 3.14; features of scraping (ways to find
 * targets) are left out, as in a Prometheus built without them.
 */
#include "api/status/pages.h"

#include "promql/promql.h"
#include "template/template.h"

struct feature {
    const char *name;
    bool on;
};

#define put_category(j, name, ...)                               \
    put_features(j, name, (const struct feature[]){__VA_ARGS__}, \
                 sizeof((const struct feature[]){__VA_ARGS__}) / sizeof(struct feature))

static void
put_features(struct json *j, const char *category, const struct feature *features, size_t count)
{
    json_member_object(j, category);
    for (size_t i = 0; i < count; i++) {
        json_member_bool(j, features[i].name, features[i].on);
    }
    json_object_close(j);
}

/* Functions of PromQL and of templates, all of which are always enabled. */
static void
put_words(struct json *j, const char *category, const char *(*word_at)(uint32_t n))
{
    const char *word;
    json_member_object(j, category);
    for (uint32_t i = 0; (word = word_at(i)) != NULL; i++) {
        json_member_bool(j, word, true);
    }
    json_object_close(j);
}

static void
put_promql(struct json *j, const struct promql_features *chosen)
{
    put_category(j, "promql", {"anchored", true}, {"at_modifier", true}, {"bool", true},
                 {"by", true}, {"delayed_name_removal", chosen->delayed_name_removal},
                 {"duration_expr", true}, {"fill", true}, {"fill_left", true}, {"fill_right", true},
                 {"group_left", true}, {"group_right", true}, {"ignoring", true},
                 {"negative_offset", true}, {"offset", true}, {"on", true},
                 {"per_query_lookback_delta", true}, {"per_step_stats", true}, {"smoothed", true},
                 {"subqueries", true}, {"type_and_unit_labels", chosen->type_and_unit_labels},
                 {"use_start_timestamps", chosen->start_timestamps}, {"without", true});
    put_words(j, "promql_functions", promql_function_word);
    put_words(j, "promql_operators", promql_operator_word);
}

void
features_put(const struct api_options *options, const struct promql_features *chosen,
             struct json *j)
{
    json_object_open(j);
    put_category(j, "api", {"admin", options->admin}, {"exclude_alerts", true},
                 {"label_values_match", true}, {"lifecycle", options->lifecycle},
                 {"openapi_3.1", false}, {"openapi_3.2", false}, {"otlp_write_receiver", false},
                 {"query_stats", true}, {"query_warnings", true}, {"remote_write_receiver", true},
                 {"search", options->stored}, {"search_fuzz_alg_jarowinkler", true},
                 {"search_fuzz_alg_subsequence", true}, {"time_range_labels", true},
                 {"time_range_series", true});
    put_category(j, "otlp_receiver", {"delta_conversion", false},
                 {"native_delta_ingestion", false});
    put_category(j, "prometheus", {"agent_mode", !options->stored}, {"auto_reload_config", false},
                 {"server_mode", options->stored}, {"stringlabels", false});
    put_promql(j, chosen);
    put_category(j, "rules", {"concurrent_rule_eval", options->rules != NULL},
                 {"keep_firing_for", options->rules != NULL},
                 {"query_offset", options->rules != NULL});
    put_category(j, "scrape", {"extra_scrape_metrics", false},
                 {"start_timestamp_zero_ingestion", false}, {"type_and_unit_labels", false});
    put_words(j, "templating_functions", template_function_word);
    put_category(j, "tsdb", {"delayed_compaction", false}, {"exemplar_storage", options->stored},
                 {"isolation", true}, {"native_histograms", true}, {"st_storage", true},
                 {"use_uncached_io", false}, {"xor2_encoding", false});
    put_category(j, "ui", {"ui_v2", false}, {"ui_v3", false});
    json_object_close(j);
}
