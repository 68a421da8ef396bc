#include "app/store_options.h"

struct tsdb_options
store_options_of(const struct settings *s, struct env *env, struct budget *memory)
{
    uint64_t bytes = atomic_load_explicit(&memory->limit_bytes, memory_order_relaxed);
    return (struct tsdb_options){
        .env = env,
        .dir = s->storage_path,
        .memory = memory,
        .head_bytes_max = bytes / 2,
        .cache_bytes = bytes / 8,
        .head_samples_max = s->head_max_samples,
        .head_age_ms_max = s->head_max_age_ms,
        .wal_segment_bytes = s->wal_segment_bytes,
        .wal_batch_bytes = 64 * 1024 * 1024,
        .wal_budget_bytes = s->wal_budget_bytes,
        .wal_sync = s->wal_ack == ACK_FSYNC ? WAL_SYNC_FSYNC : WAL_SYNC_WRITTEN,
        .ack_memory = s->wal_ack == ACK_MEMORY,
        .tenants_max = s->tenancy_max_tenants,
        .min_free_bytes = s->storage_min_free_bytes,
    };
}

struct tsdb_limits
store_limits_of(const struct settings *s)
{
    return (struct tsdb_limits){
        .labels = {s->write_max_labels, s->write_max_name_bytes, s->write_max_value_bytes},
        .retention_ms = s->retention_time_ms,
        .retention_bytes = s->retention_size_bytes,
        .max_future_ms = s->write_max_future_ms,
        .wal_budget_bytes = s->wal_budget_bytes,
        .tenant_series_max = s->write_max_series,
        .metric_series_max = s->write_max_series_per_metric,
    };
}
