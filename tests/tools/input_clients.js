// input_clients.js CLIENT URL - writes and reads with a client that others publish, and fails if something is not as it must
// be: influx (node-influx), prom (prom-client's Pushgateway), otlp-proto and otlp-json (the SDK of OpenTelemetry).
// NODE_PATH names the directory of the clients.
"use strict"
const assert = require("assert")
const [client, url] = process.argv.slice(2)

async function query(expression) {
    const answer = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expression)}`)
    const { data } = await answer.json()
    return data.result.map(({ metric, value }) => [metric, value[1]])
}

async function valueOf(expression) {
    const found = await query(expression)
    assert.strictEqual(found.length, 1, `${expression}: ${JSON.stringify(found)}`)
    return Number(found[0][1])
}

async function influx() {
    const { InfluxDB, FieldType } = require("influx")
    const there = new URL(url)
    const db = new InfluxDB({
        host: there.hostname, port: Number(there.port), database: "node", schema: [
            { measurement: "response", fields: { took: FieldType.FLOAT, count: FieldType.INTEGER }, tags: ["host"] }],
    })
    const pings = await db.ping(5000)
    assert(pings[0].online, "ping")
    await db.createDatabase("node")
    const begin = Math.floor(Date.now() / 60000) * 60000 - 600000
    const points = []
    for (let i = 0; i < 100; i++)
        points.push({ measurement: "response", tags: { host: i % 2 ? "a b" : "c,d" }, fields: { took: i / 4, count: i }, timestamp: new Date(begin + 1000 * i) })
    await db.writePoints(points)
    assert((await db.getDatabaseNames()).includes("node"), "names of databases")
    assert.deepStrictEqual(await db.getMeasurements(), ["response"])
    assert.deepStrictEqual((await db.getSeries()).sort(), ["response,host=a\\ b", "response,host=c\\,d"])
    const rows = await db.query(`SELECT mean(took) AS mean, max("count") FROM response WHERE time >= ${begin}ms GROUP BY time(1m), host fill(none)`)
    assert.strictEqual(rows.length, 4)
    assert.strictEqual(rows[0].mean, rows.groups()[0].rows[0].mean)
    assert.strictEqual(rows.groupRows ? rows.groupRows.length : rows.groups().length, 2)
    const [{ count }] = await db.query("SELECT count(took) FROM response")
    assert.strictEqual(count, 100)
    const plain = await db.query(`SELECT * FROM response WHERE host = 'a b' ORDER BY time DESC LIMIT 1`)
    assert.strictEqual(plain[0].took, 99 / 4)
    assert.strictEqual(plain[0].time.getTime(), begin + 99000)
    await assert.rejects(db.dropDatabase("node"), /not supported/)
    await assert.rejects(db.writePoints([{ measurement: "untyped", fields: { took: "text" } }]), /texts are not stored/)
    assert.strictEqual(await valueOf('last_over_time(response_took{host="a b"}[1h])'), 99 / 4)
}

async function prom() {
    const { Registry, Counter, Histogram, Pushgateway } = require("prom-client")
    const registry = new Registry()
    const counter = new Counter({ name: "rows_total", help: "Rows.", labelNames: ["kind"], registers: [registry] })
    const histogram = new Histogram({ name: "took_seconds", help: "Time.", buckets: [0.1, 1], registers: [registry] })
    const gateway = new Pushgateway(url, {}, registry)
    const group = { jobName: "node/job", groupings: { instance: "i 1" } }
    counter.inc({ kind: 'a"b' }, 5)
    histogram.observe(0.5)
    await gateway.push(group)
    const labels = 'job="node/job",instance="i 1"'
    assert.strictEqual(await valueOf(`rows_total{${labels},kind="a\\"b"}`), 5)
    assert.strictEqual(await valueOf(`took_seconds_bucket{${labels},le="1"}`), 1)
    counter.inc({ kind: 'a"b' }, 2)
    registry.removeSingleMetric("took_seconds")
    await gateway.pushAdd(group)
    assert.strictEqual(await valueOf(`rows_total{${labels}}`), 7)
    assert.strictEqual(await valueOf(`took_seconds_count{${labels}}`), 1)
    await gateway.push(group)
    assert.deepStrictEqual(await query(`took_seconds_count{${labels}}`), [])
    await gateway.delete(group)
    assert.deepStrictEqual(await query(`{${labels}}`), [])
}

async function otlp(exporter, job) {
    const { MeterProvider, PeriodicExportingMetricReader, AggregationTemporality, AggregationType } = require("@opentelemetry/sdk-metrics")
    for (const temporality of [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA]) {
        const kind = temporality === AggregationTemporality.DELTA ? "delta" : "cumulative"
        const reader = new PeriodicExportingMetricReader({
            exporter: new exporter({ url: `${url}/v1/metrics`, temporalityPreference: temporality }), exportIntervalMillis: 3600000,
        })
        const provider = new MeterProvider({
            readers: [reader],
            views: [{ instrumentName: "exponential", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
        })
        const meter = provider.getMeter("scope", "1.0")
        const counter = meter.createCounter(`requests.${job}`, { unit: "1", description: "Requests." })
        const explicit = meter.createHistogram(`took.${job}`, { unit: "ms" })
        const exponential = meter.createHistogram("exponential", { unit: "s" })
        meter.createObservableGauge(`load.${job}`).addCallback(result => result.observe(1.5, { kind }))
        counter.add(3, { kind, "http.route": "/a" })
        explicit.record(7, { kind })
        exponential.record(0.5, { kind, form: job })
        await provider.forceFlush()
        const name = job.replace("-", "_")
        assert.strictEqual(await valueOf(`requests_${name}_total{kind="${kind}",http_route="/a"}`), 3)
        assert.strictEqual(await valueOf(`took_${name}_milliseconds_bucket{kind="${kind}",le="10"}`), 1)
        assert.strictEqual(await valueOf(`histogram_count(exponential_seconds{kind="${kind}",form="${job}"})`), 1)
        assert.strictEqual(await valueOf(`load_${name}{kind="${kind}"}`), 1.5)
        await provider.shutdown()
    }
}

const clients = {
    influx, prom,
    "otlp-proto": () => otlp(require("@opentelemetry/exporter-metrics-otlp-proto").OTLPMetricExporter, "otlp-proto"),
    "otlp-json": () => otlp(require("@opentelemetry/exporter-metrics-otlp-http").OTLPMetricExporter, "otlp-json"),
}
clients[client]().then(() => process.exit(0), error => {
    console.error(error)
    process.exit(1)
})
