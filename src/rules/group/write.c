/* write.c - passes the samples of rules to the host, as remote write messages. */
#include "rules/group/evaluate.h"

void
put_stale_marker(struct rw_build *build, struct bytes labels, int64_t t_ms)
{
    rw_build_series(build, labels);
    rw_build_float(build, t_ms, STALE_NAN_BITS, 0);
}

enum err
write_built(const struct rules_host *host, struct bytes tenant, struct rw_build *build,
            struct rules_written *ret, struct why *why)
{
    struct bytes message;
    *ret = (struct rules_written){.ticket = 0};
    if (rw_build_counts(build).series == 0) return OK;
    if (rw_build_end(build, &message)) {
        return why_set(why, ERR_NOMEM, "not enough memory for the rule");
    }
    return host->write(host->context, tenant, message, ret, why);
}

enum err
write_durably(const struct rules_host *host, struct bytes tenant, struct rw_build *build,
              struct rules_written *ret, struct why *why)
{
    enum err e = write_built(host, tenant, build, ret, why);
    if (e == OK && ret->ticket > 0) e = host->settle(host->context, ret->ticket, why);
    return e;
}
