#!/usr/bin/python3
"""aws_client.py - makes and reads resources for tests in services of AWS, or in programs that simulate
them, with botocore.

    aws_client.py URL WHAT ARGUMENT...

    make-streams SHARDS NAME...      and waits until they exist
    split NAME                       halves the first shard of a stream, and waits until that is done
    stream NAME                      prints the records, shard after shard: on each line the first and the last hash of its
                                     shard, and the data in base64
    make-bucket NAME
    bucket NAME [PREFIX]             prints the unpacked content of its objects, in the order in which they were made; fails
                                     if the indexes next to them do not agree with it
    uploads NAME                     prints the keys of uploads in parts that were neither completed nor aborted
    make-deliveries BUCKET NAME...   delivery streams of Firehose into that bucket, each below its NAME/
    delivered NAME BUCKET            prints the delivered content, unpacked, in the order of arrival (with moto)
    make-role ROLE KEYFILE SECRETFILE STATEMENT...
                                     a user who may only take on that role, whose key goes into these files, and a role with
                                     a policy of these statements (JSON)

Keys are those of the environment. Works with Debian 12's botocore. Each start takes a quarter of a second of CPU:
what can be done by one is.
"""

import base64
import gzip
import json
import subprocess
import sys
import time
import urllib.request

import botocore.session
from botocore.config import Config

REGION = "eu-west-1"
ROLES = "arn:aws:iam::123456789012:role/"


def client(url, service):
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, proxies={})
    return botocore.session.get_session().create_client(service, endpoint_url=url, region_name=REGION, config=config)


def unpacked(name, body):
    if name.endswith(".zst"):
        return subprocess.run(["zstd", "-dc"], input=body, stdout=subprocess.PIPE, check=True).stdout
    # Names of Firehose's objects do not show the compression.
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


# --- Kinesis --------------------------------------------------------------------------------------


def make_streams(url, shards, *names):
    kinesis = client(url, "kinesis")
    for name in names:
        kinesis.create_stream(StreamName=name, ShardCount=int(shards))
    for name in names:
        wait_active(kinesis, name)


def wait_active(kinesis, name):
    until = time.monotonic() + 20
    while kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamStatus"] != "ACTIVE":
        if time.monotonic() > until:
            sys.exit(f"the stream {name} is not there")
        time.sleep(0.05)


def split(url, name):
    kinesis = client(url, "kinesis")
    shard = kinesis.describe_stream(StreamName=name)["StreamDescription"]["Shards"][0]
    keys = shard["HashKeyRange"]
    middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
    kinesis.split_shard(StreamName=name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))
    wait_active(kinesis, name)


def stream(url, name):
    kinesis = client(url, "kinesis")
    for shard in kinesis.describe_stream(StreamName=name)["StreamDescription"]["Shards"]:
        at = kinesis.get_shard_iterator(StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while True:
            answer = kinesis.get_records(ShardIterator=at, Limit=10000)
            if not answer["Records"]:
                break
            for record in answer["Records"]:
                keys = shard["HashKeyRange"]
                print(keys["StartingHashKey"], keys["EndingHashKey"], base64.b64encode(record["Data"]).decode())
            at = answer.get("NextShardIterator")
            if not at:
                break


# --- S3 -------------------------------------------------------------------------------------------


def make_bucket(url, name):
    client(url, "s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


def objects_of(s3, bucket, prefix):
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        found.update((each["Key"], each["Size"]) for each in page.get("Contents", ()))
    return found


def body_of(s3, bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def bucket(url, name, prefix=""):
    s3 = client(url, "s3")
    objects = objects_of(s3, name, prefix)
    listed = {}
    for key in [key for key in objects if key.rpartition("/")[2].startswith("_")]:
        index = json.loads(body_of(s3, name, key))
        if not index["all_objects"]:
            sys.exit(f"{key} does not list all objects")
        for each in index["objects"]:
            listed[index["prefix"] + each["name"]] = each
        del objects[key]
    told = {key: each["bytes"] for key, each in listed.items()}
    if told != objects:
        sys.exit(f"there are {objects}, and the indexes list {told}")
    for key in sorted(listed, key=lambda key: listed[key]["number"]):
        text = unpacked(key, body_of(s3, name, key))
        if text.count(b"\n") != listed[key]["samples"]:
            sys.exit(f"{key} has {text.count(10)} lines, and the index says {listed[key]['samples']}")
        sys.stdout.buffer.write(text)


def uploads(url, name):
    for upload in client(url, "s3").list_multipart_uploads(Bucket=name).get("Uploads", ()):
        print(upload["Key"])


# --- Firehose -------------------------------------------------------------------------------------


def make_deliveries(url, to, *names):
    firehose = client(url, "firehose")
    for name in names:
        destination = {"RoleARN": ROLES + "firehose", "BucketARN": "arn:aws:s3:::" + to, "Prefix": name + "/"}
        firehose.create_delivery_stream(
            DeliveryStreamName=name, DeliveryStreamType="DirectPut", ExtendedS3DestinationConfiguration=destination
        )


def models(url, service, name):
    """Objects in moto's own API, in the order in which they were made."""
    with urllib.request.urlopen(url + "/moto-api/data.json") as answer:
        return json.load(answer).get(service, {}).get(name, [])


def delivered(url, name, bucket_name):
    s3 = client(url, "s3")
    for key in [each["name"] for each in models(url, "s3", "FakeKey") if each["name"].startswith(name + "/")]:
        sys.stdout.buffer.write(unpacked(key, body_of(s3, bucket_name, key)))


# --- IAM ------------------------------------------------------------------------------------------


def make_role(url, role, key_file, secret_file, *statements):
    iam = client(url, "iam")

    def policy(*statements):
        return json.dumps({"Version": "2012-10-17", "Statement": statements})

    iam.create_role(
        RoleName=role,
        AssumeRolePolicyDocument=policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}),
    )
    iam.put_role_policy(RoleName=role, PolicyName="all", PolicyDocument=policy(*map(json.loads, statements)))
    iam.create_user(UserName="firekeep")
    iam.put_user_policy(
        UserName="firekeep",
        PolicyName="role",
        PolicyDocument=policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLES + role}),
    )
    key = iam.create_access_key(UserName="firekeep")["AccessKey"]
    for path, text in ((key_file, key["AccessKeyId"]), (secret_file, key["SecretAccessKey"])):
        with open(path, "w", encoding="ascii") as to:
            to.write(text + "\n")


ACTIONS = {
    "make-streams": make_streams,
    "split": split,
    "stream": stream,
    "make-bucket": make_bucket,
    "bucket": bucket,
    "uploads": uploads,
    "make-deliveries": make_deliveries,
    "delivered": delivered,
    "make-role": make_role,
}

if __name__ == "__main__":
    ACTIONS[sys.argv[2]](sys.argv[1], *sys.argv[3:])
