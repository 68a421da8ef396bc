// read_table.mjs FORMAT FILE: prints the rows of a Parquet file or an Arrow stream as a line of JSON each, an array of
// its values. Integers are numbers, times are milliseconds. FORMAT is parquet (hyparquet), arrow (apache-arrow) or duckdb
// (DuckDB reads Parquet). Packages are those of tests/peers/npm; run it there.
import { readFileSync } from "node:fs";

const [, , format, path] = process.argv;

function plain(value) {
    if (value === undefined || value === null) return null;
    if (value instanceof Date) return value.getTime();
    if (typeof value === "bigint") return Number(value);
    if (typeof value === "number" && !Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
    if (typeof value === "object" && "micros" in value) return Number(value.micros / 1000n);
    return value;
}

async function rows() {
    if (format === "parquet") {
        const { parquetReadObjects } = await import("hyparquet");
        const { compressors } = await import("hyparquet-compressors");
        const bytes = readFileSync(path);
        const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
        return (await parquetReadObjects({ file, compressors })).map((row) => Object.values(row));
    }
    if (format === "arrow") {
        const { tableFromIPC } = await import("apache-arrow");
        const table = tableFromIPC(readFileSync(path));
        return Array.from({ length: table.numRows }, (_, i) => table.schema.fields.map((_, k) => table.getChildAt(k).get(i)));
    }
    const { DuckDBInstance } = await import("@duckdb/node-api");
    const connection = await (await DuckDBInstance.create(":memory:")).connect();
    return (await connection.runAndReadAll(`SELECT * FROM '${path}'`)).getRows();
}

for (const row of await rows()) console.log(JSON.stringify(row.map(plain)));
