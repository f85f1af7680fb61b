"""What the CDK and SAM ask of CloudFormation beyond resources: a role, rules, stored parameters,
policies of removal, change sets that may not be there (H8)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.conftest import Cloud
from tests.services.cloudformation.test_stacks import create, outputs, settle
from tests.waiting import wait

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "cloudformation.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
BUCKET = "Resources: {B: {Type: 'AWS::S3::Bucket', Properties: {BucketName: %s}}}"


def allow(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def buckets(cloud: Cloud, name: str) -> list[str]:
    told = cloud.client("s3").list_buckets()["Buckets"]
    return [b["Name"] for b in told if b["Name"].startswith(name)]


def statuses(cfn: Any, name: str, logical: str) -> list[str]:
    events = cfn.describe_stack_events(StackName=name)["StackEvents"]
    return [e["ResourceStatus"] for e in events if e["LogicalResourceId"] == logical]


def test_a_stack_is_made_in_the_name_of_its_role(cloud: Cloud, cfn: Any, name: str) -> None:
    """Who deploys needs no right to what is deployed, but to pass the role; the role needs it."""
    iam = cloud.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.create_user(UserName=name)
    theirs = allow("cloudformation:*")
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=theirs)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    keys = {"access_key": made["AccessKeyId"], "secret_key": made["SecretAccessKey"]}
    deployer = cloud.client("cloudformation", **keys)
    asked = {"StackName": name, "TemplateBody": BUCKET % name, "RoleARN": role}
    with pytest.raises(ClientError, match="iam:PassRole"):
        deployer.create_stack(**asked)
    theirs = allow("cloudformation:*", "iam:PassRole")
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=theirs)
    deployer.create_stack(**asked)
    with pytest.raises(WaiterError):  # the role may do nothing
        settle(cfn, name, "create")
    assert buckets(cloud, name) == []
    deployer.delete_stack(StackName=name)
    settle(cfn, name, "delete")
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=allow("s3:*"))
    change = {"ChangeSetName": "c", "ChangeSetType": "CREATE"}
    deployer.create_change_set(**asked, **change)
    deployer.execute_change_set(StackName=name, ChangeSetName="c")
    settle(cfn, name, "create")
    assert buckets(cloud, name) == [name]
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["RoleARN"] == role
    deployer.delete_stack(StackName=name)  # the stack remembers its role
    settle(cfn, name, "delete")
    assert buckets(cloud, name) == []


def test_a_role_that_does_not_trust_cloudformation_is_refused(
    cloud: Cloud, cfn: Any, name: str
) -> None:
    trust = json.loads(json.dumps(TRUST).replace("cloudformation", "lambda"))
    made = cloud.client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps(trust)
    )
    role = made["Role"]["Arn"]
    for operation, more in (
        (cfn.create_stack, {}),
        (cfn.create_change_set, {"ChangeSetName": "c"}),
    ):
        with pytest.raises(ClientError, match="is invalid or cannot be assumed"):
            operation(StackName=name, TemplateBody=BUCKET % name, RoleARN=role, **more)


def test_parameters_come_from_the_parameter_store(cloud: Cloud, cfn: Any, name: str) -> None:
    ssm = cloud.client("ssm")
    text, texts = f"/{name}/text", f"/{name}/texts"
    template = {
        "Parameters": {
            "Text": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": text},
            "Texts": {"Type": "AWS::SSM::Parameter::Value<List<String>>", "Default": texts},
        },
        "Resources": {
            "P": {
                "Type": "AWS::SSM::Parameter",
                "Properties": {
                    "Name": f"/{name}/made",
                    "Type": "String",
                    "Value": {"Fn::Join": ["+", {"Ref": "Texts"}]},
                    "Tags": {"team": "blue"},
                },
            }
        },
        "Outputs": {
            "Text": {"Value": {"Ref": "Text"}},
            "Made": {"Value": {"Fn::GetAtt": ["P", "Value"]}},
        },
    }
    body = json.dumps(template)
    with pytest.raises(ClientError, match="Unable to fetch parameters"):
        cfn.create_stack(StackName=name, TemplateBody=body)
    ssm.put_parameter(Name=text, Value="one", Type="String")
    ssm.put_parameter(Name=texts, Value="a,b", Type="StringList")
    create(cfn, name, body)
    assert outputs(cfn, name) == {"Text": "one", "Made": "a+b"}
    told = cfn.describe_stacks(StackName=name)["Stacks"][0]["Parameters"]
    assert {"ParameterKey": "Text", "ParameterValue": text, "ResolvedValue": "one"} in told
    assert ssm.get_parameter(Name=f"/{name}/made")["Parameter"]["Value"] == "a+b"
    with pytest.raises(ClientError, match="No updates"):
        cfn.update_stack(StackName=name, UsePreviousTemplate=True)
    ssm.put_parameter(Name=texts, Value="a,c", Overwrite=True)
    cfn.update_stack(StackName=name, UsePreviousTemplate=True)
    settle(cfn, name, "update")
    assert outputs(cfn, name)["Made"] == "a+c"
    made = {"ResourceType": "Parameter", "ResourceId": f"/{name}/made"}
    assert ssm.list_tags_for_resource(**made)["TagList"] == [{"Key": "team", "Value": "blue"}]
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")
    assert ssm.get_parameters(Names=[f"/{name}/made"])["Parameters"] == []


def test_the_rules_of_a_template_hold_before_anything_is_made(cfn: Any, name: str) -> None:
    old = {"Fn::Contains": [["1", "2"], {"Ref": "Version"}]}
    rule = {"Assertions": [{"Assert": {"Fn::Not": [old]}, "AssertDescription": "too old"}]}
    live = {"Fn::Equals": [{"Ref": "Stage"}, "live"]}
    template = {
        "Parameters": {"Version": {"Type": "String"}, "Stage": {"Type": "String"}},
        "Rules": {"CheckVersion": rule | {"RuleCondition": live}},
        "Resources": {"Nothing": {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "x"}}},
    }
    body = json.dumps(template)

    def given(version: str, stage: str) -> list[dict[str, str]]:
        told = {"Version": version, "Stage": stage}
        return [{"ParameterKey": k, "ParameterValue": v} for k, v in told.items()]

    with pytest.raises(ClientError, match="too old"):
        cfn.create_stack(StackName=name, TemplateBody=body, Parameters=given("2", "live"))
    create(cfn, name, body, Parameters=given("2", "test"))
    with pytest.raises(ClientError, match="too old"):
        cfn.update_stack(StackName=name, TemplateBody=body, Parameters=given("1", "live"))
    cfn.delete_stack(StackName=name)


def kept_template(name: str, **policies: dict[str, str]) -> str:
    resources = {"None": {"Type": "AWS::CDK::Metadata"}}
    for logical, policy in policies.items():
        bucket = {"BucketName": f"{name}-{logical.lower()}"}
        resources[logical] = {"Type": "AWS::S3::Bucket", "Properties": bucket, **policy}
    return json.dumps({"Resources": resources})


RETAIN = {"DeletionPolicy": "Retain"}
UNLESS_NEW = {"DeletionPolicy": "RetainExceptOnCreate"}


def test_what_an_update_takes_out_is_kept_where_its_policy_says_so(
    cloud: Cloud, cfn: Any, name: str
) -> None:
    body = kept_template(name, Kept=RETAIN, Also=UNLESS_NEW, Gone={})
    create(cfn, name, body)
    cfn.update_stack(StackName=name, TemplateBody=kept_template(name))
    settle(cfn, name, "update")
    assert buckets(cloud, name) == [f"{name}-also", f"{name}-kept"]
    assert statuses(cfn, name, "Kept")[0] == "DELETE_SKIPPED"
    assert statuses(cfn, name, "Gone")[0] == "DELETE_COMPLETE"


def test_what_is_replaced_is_kept_where_its_policy_says_so(
    cloud: Cloud, cfn: Any, name: str
) -> None:
    def body(generation: str) -> str:
        kept = {"Properties": {"BucketName": f"{name}-{generation}"}, "Type": "AWS::S3::Bucket"}
        other = {"Properties": {"BucketName": f"{name}-x{generation}"}, "Type": "AWS::S3::Bucket"}
        told = {"Kept": kept | {"UpdateReplacePolicy": "Retain"}, "Other": other}
        return json.dumps({"Resources": told})

    create(cfn, name, body("1"))
    cfn.update_stack(StackName=name, TemplateBody=body("2"))
    settle(cfn, name, "update")
    assert buckets(cloud, name) == [f"{name}-1", f"{name}-2", f"{name}-x2"]


def test_a_stacks_end_and_an_undone_beginning_keep_what_they_should(
    cloud: Cloud, cfn: Any, name: str
) -> None:
    create(cfn, name, kept_template(name, Kept=RETAIN, Also=UNLESS_NEW, Gone={}))
    stack_id = cfn.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    cfn.delete_stack(StackName=name)
    wait(cfn, "stack_delete_complete", StackName=stack_id)
    assert buckets(cloud, name) == [f"{name}-also", f"{name}-kept"]
    template = json.loads(kept_template(f"{name}-n", Kept=RETAIN, Also=UNLESS_NEW))
    fails = {"Type": "AWS::Nothing::AtAll", "DependsOn": ["Kept", "Also"]}
    template["Resources"]["Fails"] = fails
    cfn.create_stack(StackName=f"{name}-n", TemplateBody=json.dumps(template))
    with pytest.raises(WaiterError):
        settle(cfn, f"{name}-n", "create")
    assert buckets(cloud, f"{name}-n") == [f"{name}-n-kept"]


def test_deleting_a_change_set_that_is_not_there_succeeds(cfn: Any, name: str) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        cfn.delete_change_set(StackName=name, ChangeSetName="none")
    create(cfn, name, BUCKET % name)
    cfn.delete_change_set(StackName=name, ChangeSetName="none")
    cfn.delete_stack(StackName=name)


def test_a_buckets_canned_list_comes_with_it(cloud: Cloud, cfn: Any, name: str) -> None:
    s3 = cloud.client("s3")

    def groups() -> list[str]:
        grants = s3.get_bucket_acl(Bucket=name)["Grants"]
        return sorted(g["Grantee"]["URI"].rsplit("/")[-1] for g in grants if "URI" in g["Grantee"])

    def template(canned: str | None, **more: Any) -> str:
        told = {"BucketName": name, **more} | ({"AccessControl": canned} if canned else {})
        return json.dumps({"Resources": {"B": {"Type": "AWS::S3::Bucket", "Properties": told}}})

    create(cfn, name, template("Private"))  # lists are disabled, and this says nothing else
    assert groups() == []
    owned = {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}}
    for canned, wanted in (
        ("LogDeliveryWrite", ["LogDelivery", "LogDelivery"]),
        ("AuthenticatedRead", ["AuthenticatedUsers"]),
        (None, []),
    ):
        public = {"PublicAccessBlockConfiguration": {"BlockPublicAcls": False}}
        cfn.update_stack(StackName=name, TemplateBody=template(canned, **owned, **public))
        settle(cfn, name, "update")
        assert groups() == wanted
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")
    cfn.create_stack(StackName=name, TemplateBody=template("PublicRead"))
    with pytest.raises(WaiterError):
        settle(cfn, name, "create")
    events = cfn.describe_stack_events(StackName=name)["StackEvents"]
    assert any("ACL" in e.get("ResourceStatusReason", "") for e in events)


def test_a_buckets_rules_and_notifications_come_with_it(cloud: Cloud, cfn: Any, name: str) -> None:
    rules: list[dict[str, Any]] = [
        {"Id": "old", "Status": "Enabled", "Prefix": "tmp/", "ExpirationInDays": 90},
        {
            "Id": "move",
            "Status": "Enabled",
            "Prefix": "a/",
            "TagFilters": [{"Key": "cold", "Value": "yes"}],
            "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": "30"}],
            "NoncurrentVersionExpiration": {"NoncurrentDays": 5, "NewerNoncurrentVersions": 2},
        },
    ]
    properties: dict[str, Any] = {
        "BucketName": name,
        "LifecycleConfiguration": {"Rules": rules},
        "LoggingConfiguration": {"DestinationBucketName": f"{name}-log", "LogFilePrefix": "l/"},
    }
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "logging.s3.amazonaws.com"},
                "Action": "s3:PutObject",
                "Resource": f"arn:aws:s3:::{name}-log/*",
            }
        ],
    }
    bucket = {"Type": "AWS::S3::Bucket", "Properties": properties, "DependsOn": "Policy"}
    resources = {
        "Bucket": bucket,
        "Log": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": f"{name}-log"}},
        "Policy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {"Bucket": {"Ref": "Log"}, "PolicyDocument": policy},
        },
    }
    create(cfn, name, json.dumps({"Resources": resources}))
    s3 = cloud.client("s3")
    told = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert [r["ID"] for r in told] == ["old", "move"]
    assert told[0]["Expiration"] == {"Days": 90}
    assert told[1]["Transitions"] == [{"Days": 30, "StorageClass": "GLACIER"}]
    both = {"Prefix": "a/", "Tags": [{"Key": "cold", "Value": "yes"}]}
    assert told[1]["Filter"] == {"And": both}
    assert s3.get_bucket_logging(Bucket=name)["LoggingEnabled"]["TargetPrefix"] == "l/"
    for gone in ("LifecycleConfiguration", "LoggingConfiguration"):
        del properties[gone]
    cfn.update_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    settle(cfn, name, "update")
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=name)
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=name)
    properties["ReplicationConfiguration"] = {"Role": "r", "Rules": []}
    cfn.update_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    with pytest.raises(WaiterError):
        settle(cfn, name, "update")
    reasons = [
        e.get("ResourceStatusReason", "")
        for e in cfn.describe_stack_events(StackName=name)["StackEvents"]
    ]
    assert any("ReplicationConfiguration of a bucket is not offered" in r for r in reasons)
    cfn.delete_stack(StackName=name)


def test_a_buckets_inventories_come_with_it(cloud: Cloud, cfn: Any, name: str) -> None:
    """Each by its id: one stays as it is, one changes, one goes, one comes."""

    def body(*inventories: dict[str, Any]) -> str:
        lists = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": f"{name}-lists"}}
        place = {"BucketArn": {"Fn::GetAtt": ["Lists", "Arn"]}, "Format": "CSV", "Prefix": "l"}
        each = {"Destination": place, "IncludedObjectVersions": "Current", "Enabled": "true"}
        told = [each | {"ScheduleFrequency": "Daily"} | i for i in inventories]
        properties = {"BucketName": name, "InventoryConfigurations": told}
        bucket = {"Type": "AWS::S3::Bucket", "Properties": properties}
        return json.dumps({"Resources": {"Lists": lists, "Bucket": bucket}})

    def found() -> dict[str, Any]:
        told = cloud.client("s3").list_bucket_inventory_configurations(Bucket=name)
        return {i["Id"]: i for i in told.get("InventoryConfigurationList", [])}

    stays = {"Id": "stays", "Prefix": "in/", "OptionalFields": ["Size", "ETag"]}
    create(cfn, name, body(stays, {"Id": "changes"}, {"Id": "goes", "Enabled": False}))
    first = found()
    assert first["stays"] == {
        "Destination": {
            "S3BucketDestination": {
                "Bucket": f"arn:aws:s3:::{name}-lists",
                "Format": "CSV",
                "Prefix": "l",
            }
        },
        "IsEnabled": True,
        "Filter": {"Prefix": "in/"},
        "Id": "stays",
        "IncludedObjectVersions": "Current",
        "OptionalFields": ["Size", "ETag"],
        "Schedule": {"Frequency": "Daily"},
    }
    assert not first["goes"]["IsEnabled"]
    weekly = {"Id": "changes", "ScheduleFrequency": "Weekly"}
    cfn.update_stack(StackName=name, TemplateBody=body(stays, weekly, {"Id": "comes"}))
    settle(cfn, name, "update")
    second = found()
    assert sorted(second) == ["changes", "comes", "stays"]
    assert second["changes"]["Schedule"] == {"Frequency": "Weekly"}
    cfn.update_stack(StackName=name, TemplateBody=body(stays, {"Id": "bad id"}))
    with pytest.raises(WaiterError):
        settle(cfn, name, "update")
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")


def test_what_the_cdk_needs_is_made_by_the_template_here(cloud: Cloud, cfn: Any, name: str) -> None:
    """``cdk bootstrap --template`` gives these parameters; ``cdk deploy`` asks for the version."""
    body = (Path(__file__).parents[3] / "deploy" / "cdk" / "bootstrap.yaml").read_text()
    given = {"Qualifier": name[:10], "PublicAccessBlockConfiguration": "true"}
    given["FileAssetsBucketKmsKeyId"] = "AWS_MANAGED_KEY"
    told = [{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()]
    create(cfn, name, body, Parameters=told, Capabilities=["CAPABILITY_NAMED_IAM"])
    made = outputs(cfn, name)
    version = cloud.client("ssm").get_parameter(Name=f"/cdk-bootstrap/{name[:10]}/version")
    assert version["Parameter"]["Value"] == made["BootstrapVersion"]
    account = cloud.client("sts").get_caller_identity()["Account"]
    assert made["BucketName"] == f"cdk-{name[:10]}-assets-{account}-us-east-1"
    role = f"cdk-{name[:10]}-cfn-exec-role-{account}-us-east-1"
    arn = cloud.client("iam").get_role(RoleName=role)["Role"]["Arn"]
    cfn.create_stack(StackName=f"{name}-app", TemplateBody=BUCKET % name, RoleARN=arn)
    settle(cfn, f"{name}-app", "create")
    assert buckets(cloud, name) == [name]


def test_properties_may_name_what_is_stored(cloud: Cloud, cfn: Any, name: str) -> None:
    ssm = cloud.client("ssm")
    for value in ("first", "second"):
        ssm.put_parameter(Name=f"/{name}/v", Value=value, Type="String", Overwrite=True)
    ssm.put_parameter(Name=f"/{name}/secret", Value="hush", Type="SecureString")

    def body(value: str) -> str:
        made = {"Name": f"/{name}/made", "Type": "String", "Value": value}
        return json.dumps({"Resources": {"P": {"Type": "AWS::SSM::Parameter", "Properties": made}}})

    both = f"{{{{resolve:ssm:/{name}/v:1}}}} and {{{{resolve:ssm:/{name}/v}}}}"
    create(cfn, name, body(both))
    assert ssm.get_parameter(Name=f"/{name}/made")["Parameter"]["Value"] == "first and second"
    for wrong in (f"ssm:/{name}/none", f"ssm:/{name}/secret", "secretsmanager:x"):
        cfn.update_stack(StackName=name, TemplateBody=body(f"{{{{resolve:{wrong}}}}}"))
        with pytest.raises(WaiterError):
            settle(cfn, name, "update")
    assert ssm.get_parameter(Name=f"/{name}/made")["Parameter"]["Value"] == "first and second"
    cfn.delete_stack(StackName=name)


def test_a_bucket_tells_the_function_of_its_stack(cloud: Cloud, cfn: Any, name: str) -> None:
    """What SAM makes of an ``S3`` event."""
    code = "def handler(event, context):\n    return None\n"
    trust = json.loads(json.dumps(TRUST).replace("cloudformation", "lambda"))
    arn = {"Fn::GetAtt": ["F", "Arn"]}
    rules = [{"Name": "prefix", "Value": "in/"}]
    told = {
        "Event": "s3:ObjectCreated:*",
        "Function": arn,
        "Filter": {"S3Key": {"Rules": rules}},
    }
    resources: dict[str, Any] = {
        "R": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}},
        "F": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.12",
                "Handler": "index.handler",
                "Role": {"Fn::GetAtt": ["R", "Arn"]},
                "Code": {"ZipFile": code},
            },
        },
        "P": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": {"Ref": "F"},
                "Action": "lambda:InvokeFunction",
                "Principal": "s3.amazonaws.com",
                "SourceArn": f"arn:aws:s3:::{name}",
            },
        },
        "B": {
            "Type": "AWS::S3::Bucket",
            "DependsOn": "P",
            "Properties": {
                "BucketName": name,
                "NotificationConfiguration": {"LambdaConfigurations": [told]},
            },
        },
    }
    body = json.dumps({"Resources": resources})
    create(cfn, name, body, Capabilities=["CAPABILITY_IAM"])
    s3 = cloud.client("s3")
    (made,) = s3.get_bucket_notification_configuration(Bucket=name)["LambdaFunctionConfigurations"]
    assert made["Events"] == ["s3:ObjectCreated:*"]
    assert [r["Value"] for r in made["Filter"]["Key"]["FilterRules"]] == ["in/"]
    del resources["B"]["Properties"]["NotificationConfiguration"]
    again = {"TemplateBody": json.dumps({"Resources": resources})}
    cfn.update_stack(StackName=name, Capabilities=["CAPABILITY_IAM"], **again)
    settle(cfn, name, "update")
    told_now = s3.get_bucket_notification_configuration(Bucket=name)
    assert "LambdaFunctionConfigurations" not in told_now
    cfn.delete_stack(StackName=name)


WITH_PROFILE = """
Parameters: {Holder: {Type: String}, Colour: {Type: String}}
Resources:
  Profile: {Type: AWS::IAM::InstanceProfile, Properties: {Roles: [!Ref Holder]}}
  Log: {Type: AWS::Logs::LogGroup, Properties: {Tags: [{Key: !Ref Colour, Value: x}]}}
Outputs:
  Profile: {Value: !GetAtt Profile.Arn}
  Log: {Value: !Ref Log}
"""


def test_a_profiles_role_and_a_log_groups_tags_follow_the_template(
    cloud: Cloud, cfn: Any, name: str
) -> None:
    iam, logs = cloud.client("iam"), cloud.client("logs")
    trust = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"
    }]})  # fmt: skip
    for role in (f"{name}-a", f"{name}-b"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)

    def given(role: str, colour: str) -> dict[str, Any]:
        values = {"Holder": role, "Colour": colour}
        told = [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()]
        return {"Parameters": told, "Capabilities": ["CAPABILITY_IAM"]}

    def made() -> tuple[list[str], dict[str, str]]:
        told = outputs(cfn, name)
        profile = told["Profile"].rpartition("/")[2]
        roles = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
        tags = logs.list_tags_log_group(logGroupName=told["Log"])["tags"]
        return [r["RoleName"] for r in roles], tags

    create(cfn, name, WITH_PROFILE, **given(f"{name}-a", "red"))
    assert made() == ([f"{name}-a"], {"red": "x"})
    cfn.update_stack(StackName=name, UsePreviousTemplate=True, **given(f"{name}-b", "blue"))
    settle(cfn, name, "update")
    assert made() == ([f"{name}-b"], {"blue": "x"})
    kept = [{"ParameterKey": "Holder", "UsePreviousValue": True, "ParameterValue": "x"}]
    with pytest.raises(ClientError, match="Cannot specify usePreviousValue as true and non empty"):
        cfn.update_stack(StackName=name, UsePreviousTemplate=True, Parameters=kept)
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")
    for role in (f"{name}-a", f"{name}-b"):
        assert iam.list_instance_profiles_for_role(RoleName=role)["InstanceProfiles"] == []
        iam.delete_role(RoleName=role)
