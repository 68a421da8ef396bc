#!/usr/bin/python3
"""cloudformation.py - checks templates of CloudFormation, without an account.

    cloudformation.py check SPECIFICATION TEMPLATE...
    cloudformation.py create TEMPLATE [NAME=VALUE...] [-- TEMPLATE [NAME=VALUE...]]...
    cloudformation.py parameters TEMPLATE
    cloudformation.py user-data TEMPLATE

`check` compares each resource with the specification of @aws-cdk/cfnspec: its type, the names and
types of its properties, and those that are required, in both branches of Fn::If. It resolves Ref,
Fn::GetAtt, Fn::Sub, Condition and DependsOn: what they name exists, has that attribute, and is there
under the conditions of the place that names it. Each parameter and condition is used.

It prints nothing but faults, one a line, and ends with status 1 if there are any.

`create` lets moto create the stack with these parameters, and prints what is there: lines of
"LOGICAL-ID TYPE PHYSICAL-ID", "allows ROLE ACTION RESOURCE" and "output NAME VALUE". Resources that
moto's CloudFormation does not have are made by their own calls. moto and boto3 must be importable.
Each stack begins with a line "stack TEMPLATE PARAMETERS".

`parameters` prints the parameters, "NAME TYPE DEFAULT MIN MAX", and "output NAME"; "-" for what is
not given. `user-data` prints the script of the instance, with the defaults of parameters.
"""

import json
import re
import sys
import types

import yaml

# Properties that are newer than the specification, with their types.
NEWER = {
    ("AWS::Lambda::Permission", "InvokedViaFunctionUrl"): {"PrimitiveType": "Boolean"},  # October 2025
}
PSEUDO = {"AWS::" + name for name in ("AccountId", "NoValue", "Partition", "Region", "StackId", "StackName", "URLSuffix")}
RESOURCE_KEYS = {"Type", "Properties", "Condition", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "UpdatePolicy"}
INTRINSIC = re.compile(r"Fn::|Ref\Z|Condition\Z")


class Loader(yaml.SafeLoader):
    """Reads the short forms of functions as the long ones."""


def construct(loader, suffix, node):
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", construct)


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.load(file, Loader)


def function_of(value):
    """Returns the name and the argument of a function, or two Nones."""
    if isinstance(value, dict) and len(value) == 1:
        name = next(iter(value))
        if INTRINSIC.match(name):
            return name, value[name]
    return None, None


class Check:
    def __init__(self, specification, template):
        self.types = specification["ResourceTypes"]
        self.property_types = specification["PropertyTypes"]
        self.template = template
        self.resources = template["Resources"]
        self.parameters = template.get("Parameters", {})
        self.conditions = template.get("Conditions", {})
        self.used = set()
        self.faults = []

    def fault(self, place, text):
        self.faults.append(f"{place}: {text}")

    # --- references

    def name(self, place, name, under, attribute=None):
        """Something at a place, under conditions, names a parameter, or a resource or its attribute."""
        if attribute is None and (name in PSEUDO or name in self.parameters):
            self.used.add(name)
            return
        resource = self.resources.get(name)
        if resource is None:
            self.fault(place, f"nothing is called {name}")
            return
        attributes = self.types.get(resource["Type"], {}).get("Attributes", {})
        if attribute is not None and attribute not in attributes:
            self.fault(place, f"{resource['Type']} has no attribute {attribute}")
        condition = resource.get("Condition")
        if condition is not None and condition not in under:
            self.fault(place, f"{name} exists only if {condition}")

    def substitute(self, place, argument, under):
        text, own = argument if isinstance(argument, list) else (argument, {})
        for name in re.findall(r"\$\{([^!}][^}]*)\}", text):
            if name in own:
                continue
            first, _, attribute = name.partition(".")
            self.name(place, first, under, attribute or None)
        for value in own.values():
            self.resolve(place, value, under)

    def condition(self, place, name):
        self.used.add(name)
        if name not in self.conditions:
            self.fault(place, f"no condition is called {name}")

    def resolve(self, place, value, under):
        function, argument = function_of(value)
        if function == "Ref":
            self.name(place, argument, under)
        elif function == "Fn::GetAtt":
            self.name(place, argument[0], under, argument[1])
        elif function == "Fn::Sub":
            self.substitute(place, argument, under)
        elif function == "Condition" and isinstance(argument, str):
            self.condition(place, argument)
        elif function == "Fn::If":
            self.condition(place, argument[0])
            self.resolve(place, argument[1], under | {argument[0]})
            self.resolve(place, argument[2], under)
        elif isinstance(value, dict):
            for key, inner in value.items():
                self.resolve(f"{place}.{key}", inner, under)
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                self.resolve(f"{place}[{i}]", inner, under)

    # --- types

    def primitive(self, place, value, kind):
        fits = {
            "String": lambda v: isinstance(v, (str, int, float)) and not isinstance(v, bool),
            "Boolean": lambda v: isinstance(v, bool) or v in ("true", "false"),
            "Integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
            "Long": lambda v: isinstance(v, int) and not isinstance(v, bool),
            "Double": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
            "Timestamp": lambda v: isinstance(v, str),
            "Json": lambda v: isinstance(v, dict),
        }
        if not fits[kind](value):
            self.fault(place, f"{value!r} is not of type {kind}")

    def typed(self, place, value, rule, owner):
        function, argument = function_of(value)
        if function == "Fn::If":
            for branch in argument[1:]:
                self.typed(place, branch, rule, owner)
            return
        if function is not None:
            return  # resolve() looks at it
        kind = rule.get("Type")
        if kind == "List":
            if not isinstance(value, list):
                self.fault(place, "is not a list")
                return
            for i, item in enumerate(value):
                self.item(f"{place}[{i}]", item, rule, owner)
        elif kind == "Map":
            for key, item in value.items():
                self.item(f"{place}.{key}", item, rule, owner)
        elif kind is not None:
            self.members(place, value, self.structure(owner, kind), owner)
        else:
            self.primitive(place, value, rule["PrimitiveType"])

    def item(self, place, value, rule, owner):
        if "PrimitiveItemType" in rule:
            self.typed(place, value, {"PrimitiveType": rule["PrimitiveItemType"]}, owner)
        else:
            self.typed(place, value, {"Type": rule["ItemType"]}, owner)

    def structure(self, owner, kind):
        found = self.property_types.get(f"{owner}.{kind}") or self.property_types[kind]
        return found["Properties"]

    def members(self, place, value, rules, owner):
        if not isinstance(value, dict):
            self.fault(place, "is not a mapping")
            return
        for name, inner in value.items():
            rule = rules.get(name) or NEWER.get((owner, name))
            if rule is None:
                self.fault(place, f"has no property {name}")
            else:
                self.typed(f"{place}.{name}", inner, rule, owner)
        for name, rule in rules.items():
            if rule.get("Required") and name not in value:
                self.fault(place, f"requires {name}")

    # --- all of it

    def resource(self, name, resource):
        for key in resource.keys() - RESOURCE_KEYS:
            self.fault(name, f"has no key {key}")
        under = set()
        if "Condition" in resource:
            self.condition(name, resource["Condition"])
            under.add(resource["Condition"])
        before = resource.get("DependsOn", [])
        for other in [before] if isinstance(before, str) else before:
            self.name(f"{name}.DependsOn", other, under)
        rules = self.types.get(resource["Type"])
        if rules is None:
            self.fault(name, f"no type is called {resource['Type']}")
            return
        properties = resource.get("Properties", {})
        self.members(name, properties, rules["Properties"], resource["Type"])
        self.resolve(name, properties, under)

    def run(self):
        for name, resource in self.resources.items():
            self.resource(name, resource)
        for name, value in self.conditions.items():
            self.resolve(f"Conditions.{name}", value, set())
        for name, rule in self.template.get("Rules", {}).items():
            self.resolve(f"Rules.{name}", rule, set())
        for name, output in self.template.get("Outputs", {}).items():
            under = {output["Condition"]} if "Condition" in output else set()
            for condition in under:
                self.condition(f"Outputs.{name}", condition)
            self.resolve(f"Outputs.{name}", output["Value"], under)
        for name in [*self.parameters, *self.conditions]:
            if name not in self.used:
                self.fault(name, "is not used")
        return self.faults


def check(specification, paths):
    with open(specification, encoding="utf-8") as file:
        known = json.load(file)
    faults = [f"{path}: {fault}" for path in paths for fault in Check(known, load(path)).run()]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


# --- moto --------------------------------------------------------------------------------------------

# What moto's CloudFormation does not have, and the call that makes it: service, operation, and the
# member of the answer with its identity. botocore checks names and types of all that is passed.
CALLS = {
    "AWS::ApiGatewayV2::Api": ("apigatewayv2", "create_api", "ApiId"),
    "AWS::ApiGatewayV2::Integration": ("apigatewayv2", "create_integration", "IntegrationId"),
    "AWS::ApiGatewayV2::Route": ("apigatewayv2", "create_route", "RouteId"),
    "AWS::ApiGatewayV2::Stage": ("apigatewayv2", "create_stage", "StageName"),
    "AWS::CloudWatch::Alarm": ("cloudwatch", "put_metric_alarm", None),
    "AWS::DLM::LifecyclePolicy": ("dlm", "create_lifecycle_policy", None),
    "AWS::KinesisFirehose::DeliveryStream": ("firehose", "create_delivery_stream", "DeliveryStreamARN"),
    "AWS::Lambda::Permission": ("lambda", "add_permission", None),
    "AWS::Lambda::Url": ("lambda", "create_function_url_config", "FunctionUrl"),
}
ONLY_CHECKED = {"dlm"}  # moto does not have the service: botocore checks the call, which is not made
OWN_NAMES = {  # arguments that get the logical name
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamName",
    "AWS::Lambda::Permission": "StatementId",
}


class Stack:
    """A stack: moto makes what it can from the template, calls make the rest."""

    def __init__(self, template, parameters, boto3):
        self.boto3 = boto3
        self.template = template
        rules = template["Parameters"]
        self.values = {name: rule.get("Default") for name, rule in rules.items()} | parameters
        for name, rule in rules.items():
            if rule["Type"] == "Number":
                self.values[name] = int(self.values[name])
        self.values |= {"AWS::Region": "us-east-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws",
                        "AWS::URLSuffix": "amazonaws.com", "AWS::StackName": "s"}
        self.ids, self.attributes = {}, {}
        self.resources = {name: r for name, r in template["Resources"].items()
                          if "Condition" not in r or self.holds({"Condition": r["Condition"]})}

    def holds(self, value):
        function, argument = function_of(value)
        if function == "Condition":
            return self.holds(self.template["Conditions"][argument])
        if function == "Fn::Equals":
            return self.value(argument[0]) == self.value(argument[1])
        if function == "Fn::Not":
            return not self.holds(argument[0])
        assert function == "Fn::And", value
        return all(self.holds(inner) for inner in argument)

    def reference(self, name, attribute=None):
        if attribute is None and name in self.values:
            return self.values[name]
        if attribute is None:
            return self.ids.get(name, f"{name}-id")
        return self.attributes.get((name, attribute), f"arn:aws:x:us-east-1:123456789012:{name}")

    def value(self, value):
        function, argument = function_of(value)
        if function == "Ref":
            return self.reference(argument)
        if function == "Fn::GetAtt":
            return self.reference(*argument)
        if function == "Fn::Sub":
            return re.sub(r"\$\{([^}]+)\}", lambda m: str(self.reference(*m[1].split(".", 1))), argument)
        if function == "Fn::If":
            return self.value(argument[1 if self.holds({"Condition": argument[0]}) else 2])
        if function == "Fn::Base64":
            return value
        if isinstance(value, dict):
            pairs = ((key, self.value(inner)) for key, inner in value.items())
            return {key: inner for key, inner in pairs if inner != "AWS::NoValue-id"}
        if isinstance(value, list):
            return [inner for inner in map(self.value, value) if inner != "AWS::NoValue-id"]
        return value

    def for_moto(self, value):
        """The template without what CALLS make, which is named by constants."""
        function, argument = function_of(value)
        if function == "Fn::If":
            return self.for_moto(argument[1 if self.holds({"Condition": argument[0]}) else 2])
        if function in ("Ref", "Fn::GetAtt"):
            name = argument if function == "Ref" else argument[0]
            made = name in self.template["Resources"] and self.template["Resources"][name]["Type"] in CALLS
            return self.value(value) if made else value
        if function == "Fn::Sub":
            return self.value(value) if any(
                f"${{{n}" in argument for n, r in self.template["Resources"].items() if r["Type"] in CALLS) else value
        if isinstance(value, dict):
            pairs = ((key, self.for_moto(inner)) for key, inner in value.items())
            return {key: inner for key, inner in pairs if inner != {"Ref": "AWS::NoValue"}}
        if isinstance(value, list):
            return [inner for inner in map(self.for_moto, value) if inner != {"Ref": "AWS::NoValue"}]
        return value

    def create(self):
        mine = {n: r for n, r in self.resources.items() if r["Type"] not in CALLS}
        attributes = {("LambdaFunction", "Arn"), ("Bucket", "Arn"), ("DeliveryRole", "Arn"), ("SnapshotRole", "Arn")}
        outputs = {f"{n}x{a}": {"Value": {"Fn::GetAtt": [n, a]}} for n, a in attributes if n in mine}
        text = self.for_moto({**self.template, "Resources": mine, "Outputs": outputs})
        client = self.boto3.client("cloudformation", region_name="us-east-1")
        client.create_stack(
            StackName="s", TemplateBody=json.dumps(text), Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": n, "ParameterValue": str(self.values[n])} for n in self.template["Parameters"]])
        stack = client.describe_stacks(StackName="s")["Stacks"][0]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        for resource in client.describe_stack_resources(StackName="s")["StackResources"]:
            self.ids[resource["LogicalResourceId"]] = resource["PhysicalResourceId"]
        for output in stack.get("Outputs", []):
            self.attributes[tuple(output["OutputKey"].split("x"))] = output["OutputValue"]
        for name in sorted(self.resources, key=lambda n: list(CALLS).index(t) if (t := self.resources[n]["Type"]) in CALLS else -1):
            if self.resources[name]["Type"] in CALLS:
                self.call(name, self.resources[name])

    def call(self, name, resource):
        service, operation, identity = CALLS[resource["Type"]]
        arguments = self.value(resource["Properties"])
        if resource["Type"] in OWN_NAMES:
            arguments[OWN_NAMES[resource["Type"]]] = name
        if "TargetFunctionArn" in arguments:
            arguments["FunctionName"] = arguments.pop("TargetFunctionArn")
        for newer in ("InvokedViaFunctionUrl", "InvokeMode"):  # than the boto3 of Debian 12
            arguments.pop(newer, None)
        client = self.boto3.client(service, region_name="us-east-1")
        if service in ONLY_CHECKED:
            from botocore.validate import validate_parameters

            shape = client.meta.service_model.operation_model("CreateLifecyclePolicy").input_shape
            validate_parameters(arguments, shape)
            self.ids[name] = name
            return
        answer = getattr(client, operation)(**arguments)
        self.ids[name] = answer[identity] if identity else name
        if resource["Type"] == "AWS::KinesisFirehose::DeliveryStream":
            self.attributes[name, "Arn"], self.ids[name] = self.ids[name], name
        if resource["Type"] == "AWS::Lambda::Url":
            self.attributes[name, "FunctionUrl"] = self.ids[name]

    def show(self):
        iam = self.boto3.client("iam")
        for name, resource in self.resources.items():
            print(name, resource["Type"], self.ids[name])
            if resource["Type"] != "AWS::IAM::Role":
                continue
            for policy in iam.list_role_policies(RoleName=self.ids[name])["PolicyNames"]:
                document = iam.get_role_policy(RoleName=self.ids[name], PolicyName=policy)["PolicyDocument"]
                document = yaml.safe_load(document) if isinstance(document, str) else document
                for statement in document["Statement"]:
                    actions = statement["Action"]
                    for action in [actions] if isinstance(actions, str) else actions:
                        print("allows", name, action, statement["Resource"])
        for name, output in self.template.get("Outputs", {}).items():
            if "Condition" not in output or self.holds({"Condition": output["Condition"]}):
                print("output", name, self.value(output["Value"]))


def prepare(template, boto3):
    """What the template expects to exist: the bucket with the code, and a network."""
    region = {"region_name": "us-east-1"}
    s3 = boto3.client("s3", **region)
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="firekeep-lambda-arm64.zip", Body=b"zip")
    subnet = boto3.client("ec2", **region).describe_subnets()["Subnets"][0]
    values = {"CodeBucket": "code", "PackageBucket": "code", "VpcId": subnet["VpcId"], "SubnetId": subnet["SubnetId"],
              "AvailabilityZone": subnet["AvailabilityZone"]}
    return {name: value for name, value in values.items() if name in template["Parameters"]}


def stand_in_for_openapi():
    """moto imports a validator of OpenAPI, which Debian 12 does not have, for imports of REST APIs."""
    names = ("openapi_spec_validator", "openapi_spec_validator.validation", "openapi_spec_validator.validation.exceptions")
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules[names[0]].validate_spec = None
    sys.modules[names[2]].OpenAPIValidationError = Exception


def create(words):
    stand_in_for_openapi()
    import boto3
    from moto import mock_aws

    while words:
        end = words.index("--") if "--" in words else len(words)
        (path, *pairs), words = words[:end], words[end + 1:]
        template = load(path)
        print("stack", path, *pairs)
        with mock_aws():
            stack = Stack(template, prepare(template, boto3) | dict(pair.split("=", 1) for pair in pairs), boto3)
            stack.create()
            stack.show()


def print_parameters(path):
    template = load(path)
    for name, rule in template["Parameters"].items():
        print(name, *(rule.get(key, "-") for key in ("Type", "Default", "MinValue", "MaxValue")))
    for name in template["Outputs"]:
        print("output", name)


def print_user_data(path):
    template = load(path)
    stack = Stack(template, {}, None)
    data = template["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]
    print(stack.value(data["Fn::Base64"]), end="")


def main():
    command, *words = sys.argv[1:]
    if command == "check":
        return check(words[0], words[1:])
    {"create": create, "parameters": lambda w: print_parameters(w[0]), "user-data": lambda w: print_user_data(w[0])}[command](words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
