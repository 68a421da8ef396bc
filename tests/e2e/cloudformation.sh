#!/bin/bash
# cloudformation.sh - the templates of CloudFormation, without an account: compared with CloudFormation's
# specification, with the old connector's parameters, and with what moto creates; and the script of
# the instance.

. tests/lib.sh
function=packaging/aws/template.yml
machine=packaging/aws/ec2.yml
specification=$PEERS/npm/node_modules/@aws-cdk/cfnspec/spec/specification.json
export PYTHONPATH=$PEERS/python3-moto/usr/lib/python3/dist-packages
unset "${!AWS_@}" http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=secret

tool() {
    /usr/bin/python3 tests/tools/cloudformation.py "$@"
}

# --- the specification -------------------------------------------------------------------------------

notices() { # FAULT SED-EXPRESSION
    sed "$2" "$function" >"$work/wrong.yml"
    if tool check "$specification" "$work/wrong.yml" >"$work/said"; then
        echo "nothing noticed: $2"
        return 1
    fi
    grep -q -- "$1" "$work/said" || {
        cat "$work/said"
        return 1
    }
}

notices_mistakes() {
    notices 'has no property RouteKeys' 's|RouteKey: POST /write|RouteKeys: POST /write|' &&
        notices 'requires RouteKey' 's|RouteKey: POST /write|Target: a|' &&
        notices 'has no attribute Arm' 's|LogGroup.Arn|LogGroup.Arm|' &&
        notices 'nothing is called CodeBuckets' 's|!Ref CodeBucket|!Ref CodeBuckets|' &&
        notices 'nothing is called APIGateways' 's|{APIGateway}/|{APIGateways}/|' &&
        notices 'Stream exists only if IsKinesis' 's|StreamName: {Condition: IsKinesis, |StreamName: {|' &&
        notices 'no type is called AWS::Lambda::Urls' 's|AWS::Lambda::Url$|AWS::Lambda::Urls|' &&
        notices 'no condition is called IsTimestreams' 's|- IsTimestream$|- IsTimestreams|' &&
        notices 'is not of type Boolean' 's|AutoDeploy: true|AutoDeploy: often|' &&
        notices 'LogLevel: is not used' '/log_level:/d'
}

if [[ -f $specification ]]; then
    claim "both templates follow CloudFormation's specification" tool check "$specification" "$function" "$machine"
    claim "the comparison notices mistakes" notices_mistakes
else
    skip "both templates follow CloudFormation's specification" "no build/peers/npm"
fi

# --- the old connector -------------------------------------------------------------------------------

cat >"$work/old" <<'END'
APIGatewayStageName String dev - -
ApiGatewayTimeoutInMillis Number 30000 2 30000
DefaultDatabase String PrometheusDatabase - -
DefaultTable String PrometheusMetricsTable - -
EnableSigV4Auth String true - -
ExecutionPolicyName String LambdaExecutionPolicy - -
LambdaTimeoutInSeconds Number 30 3 900
LogLevel String info - -
MemorySize Number 512 128 8192
ReadThrottlingBurstLimit Number 1200 1 -
WriteThrottlingBurstLimit Number 1200 1 -
output DefaultDatabase
output DefaultTable
output InvokeReadURL
output InvokeWriteURL
END
has_all_of_the_old() {
    tool parameters "$function" | sort >"$work/new"
    [[ -z $(comm -23 <(sort "$work/old") "$work/new" | tee /dev/stderr) ]]
}
claim "it has the parameters and outputs of the old template" has_all_of_the_old

variables_are_known() {
    local name names
    names=$(sed -n '/Variables:/,/^$/s/^          \([a-z0-9_]*\): .*/\1/p' "$function")
    [[ $(wc -w <<<"$names") == 12 ]] || return 1
    for name in $names; do
        grep -q "\"$name\"" src/app/lambda/function_settings.c || {
            echo "$name"
            return 1
        }
    done
}
claim "the function reads each variable that it sets" variables_are_known

# --- moto --------------------------------------------------------------------------------------------

moto_creates() {
    tool create "$function" -- "$function" Destination=firehose KmsKeyArn=arn:aws:kms:us-east-1:123456789012:key/k -- \
        "$function" Destination=kinesis EnableFunctionUrl=true EnableSigV4Auth=false BasicAuthUser=a BasicAuthPasswordHash=b -- \
        "$machine" AlarmEmail=ops@example.org -- "$function" 'APIGatewayStageName=$default' >"$work/stacks" 2>"$work/errors" || {
        tail -n 5 "$work/errors"
        return 1
    }
    [[ $(grep -c ^stack "$work/stacks") == 5 ]]
}
of_stack() { # NUMBER
    awk -v wanted="$1" '/^stack/ { n++ } n == wanted' "$work/stacks"
}
counts() { # STACK COUNT PATTERN
    local count
    count=$(of_stack "$1" | grep -cE -- "$3")
    [[ $count == "$2" ]] || {
        echo "$count of $3"
        return 1
    }
}
role_is_small() {
    counts 1 5 '^allows' && counts 1 2 '^allows IAMLambdaRole logs:.*log-group:/aws/lambda/s-firekeep$' &&
        counts 1 2 '^allows IAMLambdaRole timestream:(WriteRecords|Select) .*:database/PrometheusDatabase/table/PrometheusMetricsTable$' &&
        counts 1 1 '^allows IAMLambdaRole timestream:DescribeEndpoints [*]$' && counts 3 1 '^allows IAMLambdaRole kinesis:PutRecords .*:stream/' &&
        counts 3 3 '^allows' && counts 2 1 '^allows IAMLambdaRole firehose:PutRecordBatch' && counts 2 0 '^allows .* [*]$'
}
if /usr/bin/python3 -c 'import moto' 2>/dev/null; then
    claim "moto creates the stacks" moto_creates
    claim "with Timestream: the API with two routes, and both URLs" eval 'counts 1 2 "AWS::ApiGatewayV2::Route" &&
        counts 1 1 "output InvokeWriteURL https://.*/dev/write$" && counts 1 1 "output InvokeReadURL https://.*/dev/read$"'
    claim "the stage \$default is not in URLs" eval 'counts 5 1 "^output InvokeWriteURL https://[^/]*/write$" && counts 5 1 "^output InvokeReadURL https://[^/]*/read$"'
    claim "with Firehose: a stream, a bucket and reads" eval 'counts 2 1 "AWS::KinesisFirehose::DeliveryStream" && counts 2 1 "AWS::S3::Bucket" && counts 2 1 "output InvokeReadURL"'
    claim "with Kinesis: a stream, and no reads" eval 'counts 3 1 "AWS::Kinesis::Stream" && counts 3 0 "output InvokeReadURL" && counts 3 0 "^ReadRoute"'
    claim "an open function URL has both permissions" eval 'counts 3 1 "^OpenUrlPermission" && counts 3 1 "^OpenFunctionPermission" && counts 1 0 "^FunctionUrl"'
    claim "roles permit what is needed, on what is theirs" role_is_small
    claim "the instance has a volume, a group, snapshots and alarms" eval 'counts 4 1 "AWS::EC2::Volume" && counts 4 1 AutoScalingGroup &&
        counts 4 1 LifecyclePolicy && counts 4 3 "AWS::CloudWatch::Alarm"'
else
    skip "moto creates the stacks" "moto is not there"
fi

# --- the script of the instance ----------------------------------------------------------------------

read -r port < <(free_ports 1)
script_is_valid() {
    tool user-data "$machine" >"$work/user-data" && head -n 1 "$work/user-data" | grep -qx '#!/bin/bash' && bash -n "$work/user-data"
}
# Runs the part that reports metrics, with another `aws`, for a real server.
reports_metrics() {
    sed -n "/<<'SCRIPT'/,/^SCRIPT$/p" "$work/user-data" | sed '1d;$d' | sed "s|:9201/|:$port/|; s|/var/lib/firekeep|$work|" >"$work/metrics"
    mkdir -p "$work/bin"
    printf '#!/bin/sh\nprintf "%%s\\n" "$@"\n' >"$work/bin/aws"
    chmod 755 "$work/bin/aws"
    echo 'destinations: [{name: none, type: remote_write, url: "http://127.0.0.1:9"}]' >"$work/firekeep.yml"
    start firekeep build/firekeep serve --web.listen-address="127.0.0.1:$port" --storage.path="$work/data" --config.file="$work/firekeep.yml"
    wait_ready firekeep "http://127.0.0.1:$port/-/ready" || return 1
    PATH=$work/bin:$PATH no_proxy='*' bash "$work/metrics" >"$work/reported" || return 1
    local name expected
    for name in LagSeconds DeadLetters DiskUsedPercent; do
        grep -qE "^MetricName=$name,Dimensions=\[\{Name=Stack,Value=s\}\],Value=[0-9.]+$" "$work/reported" || {
            cat "$work/reported"
            return 1
        }
    done
    # Dead letters count once, and the next ones again.
    [[ $(cat "$work/dead-letters.reported") == 0 ]] && grep -q 'MetricName=DeadLetters.*Value=0$' "$work/reported" || return 1
    sed 's|^metrics=.*|metrics=$(cat "$0.families")|' "$work/metrics" >"$work/given"
    printf 'firekeep_destination_samples_dead_lettered_total{destination="%s"} %s\n' a 1e+06 b 7 >"$work/given.families"
    for expected in 1000007 0; do
        PATH=$work/bin:$PATH bash "$work/given" | grep -q "MetricName=DeadLetters.*Value=$expected$" || return 1
    done
    curl -fs --noproxy '*' "http://127.0.0.1:$port/metrics" >"$work/families"
    for name in $(grep -o 'firekeep_destination_[a-z_]*' "$work/metrics"); do
        grep -q "^$name{" "$work/families" || {
            echo "$name"
            return 1
        }
    done
}
claim "the instance's script is valid" script_is_valid
claim "it reports what the alarms look at" reports_metrics
stop firekeep
done_testing
