#!/usr/bin/env python3
"""influx_client.py HOST PORT: writes and reads with python3-influxdb, and fails if something is not as it must be."""
import sys
import time

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

client = InfluxDBClient(host=sys.argv[1], port=int(sys.argv[2]), database="python", gzip=True)
assert client.ping().startswith("1."), "the version"
client.create_database("python")
begin = int(time.time()) // 60 * 60 - 600
points = [{"measurement": "load", "tags": {"host": host}, "time": begin + i, "fields": {"short": i / 2, "runs": i, "up": i % 2 == 0}}
          for i in range(60) for host in ("a b", "c")]
assert client.write_points(points, time_precision="s", batch_size=50)
assert {"name": "python"} in client.get_list_database()
assert client.get_list_measurements() == [{"name": "load"}]
assert client.get_list_series(database="python") == ["load,host=a\\ b", "load,host=c"]
assert client.get_list_retention_policies("python")[0]["default"] is True

rows = list(client.query("SELECT * FROM load WHERE host = 'c' ORDER BY time DESC LIMIT 1", epoch="s").get_points())
assert rows == [{"time": begin + 59, "host": "c", "runs": 59, "short": 29.5, "up": False}], rows
result = client.query('SELECT mean(short), count(runs) FROM load WHERE time >= $from GROUP BY host'.replace("$from", f"{begin}s"))
assert [(tags["host"], next(values)) for (_, tags), values in result.items()] == [
    (host, {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)), "mean": 14.75, "count": 60}) for host in ("a b", "c")]
chunks = client.query("SELECT runs FROM load", chunked=True, chunk_size=7)
assert [len(list(chunk.get_points())) for chunk in chunks][:2] == [7, 7], "chunks of 7 points"
for statement, what in (("SELECT", "error parsing query"), ("DROP DATABASE python", "not supported")):
    try:
        client.query(statement)
        raise AssertionError(statement)
    except InfluxDBClientError as error:
        assert what in str(error), error
