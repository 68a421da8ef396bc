// kpl_lines.js - records of Kinesis, as aws_client.py prints them, on standard input; what a consumer
// makes of them on standard output, one behind the other.
//
//     node kpl_lines.js DIRECTORY-OF-NODE_MODULES < RECORDS
//
// They are taken apart by aws-kinesis-agg, checksums and all. As the Kinesis client library does, what
// has a key of another shard is passed over; how much, is told on standard error. A record that is not
// aggregated is an error: the format says each one is.
"use strict";
const crypto = require("crypto");
const path = require("path");
const readline = require("readline");
const { deaggregateSync } = require(path.resolve(process.argv[2], "node_modules/aws-kinesis-agg"));

let passedOver = 0;

function fail(why) {
    console.error(String(why));
    process.exit(1);
}

function isOfShard(key, first, last) {
    const hash = BigInt("0x" + crypto.createHash("md5").update(key).digest("hex"));
    return first <= hash && hash <= last;
}

function take(line) {
    const [first, last, data] = line.split(" ");
    if (Buffer.from(data, "base64").subarray(0, 4).toString("hex") !== "f3899ac2") fail("a record is not aggregated");
    deaggregateSync({ data }, true, (error, records) => {
        if (error) fail(error);
        for (const record of records) {
            if (isOfShard(record.partitionKey, BigInt(first), BigInt(last))) {
                process.stdout.write(Buffer.from(record.data, "base64"));
            } else {
                passedOver++;
            }
        }
    });
}

readline
    .createInterface({ input: process.stdin })
    .on("line", take)
    .on("close", () => console.error(`passed over ${passedOver}`));
