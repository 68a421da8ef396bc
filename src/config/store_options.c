/*
 * store_options.c - see store_options.h. Memory is divided as follows (docs/configuration.md):
 *
 *     flush    an eighth and 5 MiB: a quarter of the largest head, and the writer of a
 *              part. Series in order take 41 bytes each, label values 10; in the head both
 *              take more than four times as much.
 *     merge    an eighth, at least 12 MiB, so that eight small parts can become one
 *     cache    an eighth for pages, and 1/32 for the indexes of open parts
 *     the rest is the foreground: the head has at most five sixths of it, and half of all memory;
 *              the remainder is for the log's batches, writes and reads
 */
#include "config/store_options.h"

enum { MIB = 1024 * 1024, FLUSH_LEAST = 5 * MIB, MERGE_LEAST = 12 * MIB };

void
memory_init(struct memory *m, uint64_t bytes)
{
    m->flush_bytes = FLUSH_LEAST + bytes / 8;
    m->merge_bytes = bytes / 8 > MERGE_LEAST ? bytes / 8 : MERGE_LEAST;
    m->cache_bytes = bytes / 8;
    uint64_t taken = m->flush_bytes + m->merge_bytes + m->cache_bytes + bytes / 32;
    if (taken > bytes / 5 * 3) { /* below the smallest valid limit */
        m->flush_bytes = m->merge_bytes = m->cache_bytes = bytes / 5;
        taken = bytes / 5 * 3;
    }
    uint64_t left = bytes - taken;
    m->head_bytes = bytes / 2 < left / 6 * 5 ? bytes / 2 : left / 6 * 5;
    budget_init(&m->process, "process", bytes, NULL);
    budget_init(&m->foreground, "foreground", left, &m->process);
}

struct tsdb_options
store_options_of(const struct settings *s, struct env *env, struct memory *memory)
{
    return (struct tsdb_options){
        .env = env,
        .dir = s->storage_path,
        .memory = &memory->foreground,
        .background = &memory->process,
        .flush_bytes = memory->flush_bytes,
        .merge_bytes = memory->merge_bytes,
        .head_bytes_max = memory->head_bytes,
        .cache_bytes = memory->cache_bytes,
        .head_samples_max = s->head_max_samples,
        .head_age_ms_max = s->head_max_age_ms,
        .wal_segment_bytes = s->wal_segment_bytes,
        .wal_batch_bytes = 64 * 1024 * 1024,
        .wal_budget_bytes = s->wal_budget_bytes,
        .wal_sync = s->wal_ack == ACK_FSYNC ? WAL_SYNC_FSYNC : WAL_SYNC_WRITTEN,
        .ack_memory = s->wal_ack == ACK_MEMORY,
        .tenants_max = s->tenancy_max_tenants,
        .min_free_bytes = s->storage_min_free_bytes,
        .log_only = s->storage_mode == STORAGE_NONE,
        .unlogged = s->wal_ack == ACK_DESTINATION,
    };
}

struct tsdb_limits
store_limits_of(const struct settings *s)
{
    return (struct tsdb_limits){
        .labels = {s->write_max_labels, s->write_max_name_bytes, s->write_max_value_bytes},
        .retention_ms = s->retention_time_ms,
        .deletion_hold_ms = s->delete_hold_ms,
        .retention_bytes = s->retention_size_bytes,
        .retention_grace_ms = s->retention_grace_ms,
        .retention_rewrite_percent = s->retention_share_percent,
        .max_future_ms = s->write_max_future_ms,
        .wal_budget_bytes = s->wal_budget_bytes,
        .tenant_series_max = s->write_max_series,
        .metric_series_max = s->write_max_series_per_metric,
        .require_name = s->write_require_name,
    };
}
