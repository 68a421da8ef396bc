# verdict.awk - prints the figures of the benchmark `promql`: a table for each set and mode, and
# ratios of Firekeep to the others. Input: "class SET QUERY heavy|light ...", then "SERVER SET
# FIGURE MEDIAN MIN MAX"; FIGURE is MODE.QUERY.NAME.

function put(ratio, what, limit,   text) {
    text = sprintf("%s %.3f", what, ratio)
    return limit == "" ? text : text sprintf(" (wanted %s%s)", limit, ratio > limit ? ", missed" : "")
}

# Prints the geometric mean of ratios to `peer`, the greatest, and the number above 1.
function means(set, mode, figure, peer, only_heavy, limit,   q, r, sum, n, max, worst, above, a, b) {
    for (q in class_of) {
        if (substr(q, 1, length(set) + 1) != set " ") continue
        if (only_heavy && class_of[q] != "heavy") continue
        r = substr(q, length(set) + 2)
        a = value["firekeep", set, mode, r, figure]
        b = value[peer, set, mode, r, figure]
        if (a + 0 <= 0 || b + 0 <= 0) continue
        sum += log(a / b); n++
        if (a / b > max) { max = a / b; worst = r }
        above += a > b
    }
    if (n == 0) return
    all_sum[mode, figure, peer, only_heavy] += sum
    all_n[mode, figure, peer, only_heavy] += n
    printf "  %-9s %-9s to %-15s %s: %s over %d; greatest %.2f (%s); above 1: %d\n", mode, figure, peer, \
        only_heavy ? "heavy" : "all  ", put(exp(sum / n), "mean", limit), n, max, worst, above
}

function cell(server, set, mode, q, figure,   at) {
    at = server SUBSEP set SUBSEP mode SUBSEP q SUBSEP figure
    if (!(at in value)) return "-"
    return value[at] < 10 ? sprintf("%.3f", value[at]) : sprintf("%.1f", value[at])
}

function ratio(a, b) { return a + 0 > 0 && b + 0 > 0 ? sprintf("%.2f", a / b) : "-" }

function line(set, mode, q, figure,   f, p, v) {
    f = cell("firekeep", set, mode, q, figure)
    p = cell("prometheus3", set, mode, q, figure)
    v = cell("victoriametrics", set, mode, q, figure)
    return sprintf(" %9s %9s %9s %6s %6s", f, p, v, ratio(f, p), ratio(f, v))
}

$1 == "class" {
    class_of[$2 " " $3] = $4
    if (!($2 in known)) { known[$2] = 1; sets[++set_count] = $2 }
    query[$2, ++queries[$2]] = $3
    next
}
{
    n = split($3, part, ".")
    if (n == 2 && part[1] ~ /^unlike_/) unlike[$1, $2, part[1], part[2]] = 1
    if (n != 3) next
    if (part[3] == "failed") { print "FAILED: " $1 " " $2 " " part[1] " " part[2] ": " $4; next }
    value[$1, $2, part[1], part[2], part[3]] = $4 + 0
}
END {
    split("warm cached eight first", modes, " ")
    head = sprintf(" %9s %9s %9s %6s %6s", "Firekeep", "Prom", "VM", "/Prom", "/VM")
    for (s = 1; s <= set_count; s++) {
        set = sets[s]
        printf "\n%s: warm, one client%44s%46s\n%-32s%s |%s\n", set, "p50, ms", "CPU, ms", "", head, head
        for (i = 1; i <= queries[set]; i++) {
            q = query[set, i]
            mark = class_of[set " " q] == "heavy" ? "!" : " "
            if ((("prometheus3", set, "unlike_firekeep", q) in unlike)) mark = mark "#"
            if ((("victoriametrics", set, "unlike_prometheus3", q) in unlike)) mark = mark "~"
            printf "%-32s%s |%s\n", q mark, line(set, "warm", q, "p50_ms"), line(set, "warm", q, "cpu_ms")
        }
        print "  !: heavy; #: Firekeep and Prometheus differ; ~: VictoriaMetrics and Prometheus differ"
        for (m = 1; m <= 4; m++) {
            means(set, modes[m], "p50_ms", "prometheus3", 0, 0.33)
            means(set, modes[m], "p50_ms", "victoriametrics", 0, 0.6)
        }
        means(set, "eight", "p99_ms", "prometheus3", 0, "")
        means(set, "eight", "p99_ms", "victoriametrics", 0, "")
        means(set, "warm", "cpu_ms", "prometheus3", 1, 0.12)
        means(set, "warm", "cpu_ms", "victoriametrics", 1, 0.5)
        means(set, "warm", "cpu_ms", "prometheus3", 0, "")
        means(set, "warm", "cpu_ms", "victoriametrics", 0, "")
        means(set, "fresh", "rss_kib", "prometheus3", 1, 0.1)
        means(set, "fresh", "rss_kib", "victoriametrics", 1, "")
        means(set, "fresh", "above_kib", "prometheus3", 1, "")
        means(set, "fresh", "above_kib", "victoriametrics", 1, "")
    }
    print "\nall sets: geometric means"
    for (key in all_n) {
        split(key, part, SUBSEP)
        printf "  %-9s %-9s to %-15s %s: %.3f over %d\n", part[1], part[2], part[3], \
            part[4] ? "heavy" : "all  ", exp(all_sum[key] / all_n[key]), all_n[key] | "sort"
    }
    close("sort")
}
