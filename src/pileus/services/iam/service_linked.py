"""Roles that belong to a service.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create-service-linked-role.html
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.iam import roles, rows

Record = dict[str, Any]
SERVICE = re.compile(r"[a-z0-9.-]{1,100}\.amazonaws\.com")
SUFFIX = re.compile(r"[\w+=,.@-]{1,64}")
# Services whose role takes a suffix. Of the others known here it is refused.
SUFFIXED = frozenset({"autoscaling", "connect", "lexv2"})
# How AWS spells the services' roles; what is not here is spelt from the service's name.
SPELLED = {
    "accountdiscovery.ssm": "AmazonSSM_AccountDiscovery",
    "acm": "CertificateManager",
    "appmesh": "AppMesh",
    "autoscaling-plans": "AutoScalingPlans_EC2AutoScaling",
    "autoscaling": "AutoScaling",
    "backup": "Backup",
    "batch": "Batch",
    "cassandra.application-autoscaling": "ApplicationAutoScaling_CassandraTable",
    "cks.kms": "KeyManagementServiceCustomKeyStores",
    "cloudtrail": "CloudTrail",
    "codestar-notifications": "CodeStarNotifications",
    "config": "Config",
    "connect": "AmazonConnect",
    "dms-fleet-advisor": "DMSFleetAdvisor",
    "dms": "DMSServerless",
    "docdb-elastic": "DocDB-Elastic",
    "dynamodb.application-autoscaling": "ApplicationAutoScaling_DynamoDBTable",
    "ec2-instance-connect": "Ec2InstanceConnect",
    "ec2.application-autoscaling": "ApplicationAutoScaling_EC2SpotFleetRequest",
    "ecr": "ECRTemplate",
    "ecs": "ECS",
    "eks-connector": "AmazonEKSConnector",
    "eks-fargate": "AmazonEKSForFargate",
    "eks-nodegroup": "AmazonEKSNodegroup",
    "eks": "AmazonEKS",
    "elasticache": "ElastiCache",
    "elasticbeanstalk": "ElasticBeanstalk",
    "elasticfilesystem": "AmazonElasticFileSystem",
    "elasticloadbalancing": "ElasticLoadBalancing",
    "email.cognito-idp": "AmazonCognitoIdpEmailService",
    "emr-containers": "AmazonEMRContainers",
    "emrwal": "EMRWAL",
    "fis": "FIS",
    "grafana": "AmazonGrafana",
    "imagebuilder": "ImageBuilder",
    "iotmanagedintegrations": "IoTManagedIntegrations",
    "kafka": "Kafka",
    "kafkaconnect": "KafkaConnect",
    "lakeformation": "LakeFormationDataAccess",
    "lambda": "Lambda",
    "lambda.application-autoscaling": "ApplicationAutoScaling_LambdaConcurrency",
    "lex": "LexBots",
    "lexv2": "LexV2Bots",
    "lightsail": "Lightsail",
    "m2": "AWSM2",
    "memorydb": "MemoryDB",
    "mq": "AmazonMQ",
    "mrk.kms": "KeyManagementServiceMultiRegionKeys",
    "notifications": "AwsUserNotifications",
    "observability.aoss": "AmazonOpenSearchServerless",
    "opensearchservice": "AmazonOpenSearchService",
    "ops.apigateway": "APIGateway",
    "ops.emr-serverless": "AmazonEMRServerless",
    "opsdatasync.ssm": "SystemsManagerOpsDataSync",
    "opsinsights.ssm": "AmazonSSM_OpsInsights",
    "pullthroughcache.ecr": "ECRPullThroughCache",
    "ram": "ResourceAccessManager",
    "rds": "RDS",
    "redshift": "Redshift",
    "replication.cassandra": "KeyspacesReplication",
    "replication.dynamodb": "DynamoDBReplication",
    "replication.ecr": "ECRReplication",
    "repository.sync.codeconnections": "GitSync",
    "resource-explorer-2": "ResourceExplorer",
    "rolesanywhere": "RolesAnywhere",
    "s3-outposts": "S3OnOutposts",
    "ses": "AmazonSES",
    "shield": "AWSShield",
    "ssm-incidents": "IncidentManager",
    "ssm-quicksetup": "SSMQuickSetup",
    "ssm": "AmazonSSM",
    "sso": "SSO",
    "vpcorigin.cloudfront": "CloudFrontVPCOrigin",
    "waf": "WAFLogging",
    "wafv2": "WAFV2Logging",
}


async def create_service_linked_role(parts: Parts, call: Call) -> Record:
    p = call.params
    service = p["AWSServiceName"]
    if not SERVICE.fullmatch(service):
        raise AwsError("InvalidInput", f"AWSServiceName {service} is not a valid service principal")
    told = service.removesuffix(".amazonaws.com")
    spelled = SPELLED.get(told) or "".join(w.capitalize() for w in re.split(r"[.-]", told))
    name = f"AWSServiceRoleFor{spelled}"
    if p.get("CustomSuffix"):
        if told in SPELLED and told not in SUFFIXED:
            raise AwsError("InvalidInput", f"Custom suffix is not allowed for {service}")
        if not SUFFIX.fullmatch(p["CustomSuffix"]):
            raise AwsError("InvalidInput", "The custom suffix is not valid")
        name = f"{name}_{p['CustomSuffix']}"
    statement = {
        "Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole",
    }  # fmt: skip
    path = f"/aws-service-role/{service}/"
    role = {
        "name": rows.check_name(name, "roleName"),
        "path": path,
        "id": rows.unique_id("AROA", parts.clock.random_bytes(24)),
        "arn": f"arn:aws:iam::{call.account}:role{path}{name}",
        "created": parts.clock.now_ms(),
        "trust": json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        "description": p.get("Description", ""),
        "session_s": 3600,
        "tags": {},
        "inline": {},
        "attached": [],
        "boundary": "",
    }

    def change(draft: Any) -> Record:
        if draft.get(rows.record_key(call.account, "role", name)) is not None:
            raise AwsError(
                "InvalidInput",
                f"Service role name {name} has been taken in this account, please try a different"
                " suffix.",
            )
        rows.put(draft, call.account, "role", role)
        return role

    role = await parts.store.transact(change, call.invocation_id)
    return {"Role": roles.shape(role)}


async def delete_service_linked_role(parts: Parts, call: Call) -> Record:
    """Gone when this answers; the task's status tells SUCCEEDED for a role that is not there."""
    name = call.params["RoleName"]

    def change(draft: Any) -> str:
        role = rows.find(draft, call.account, "role", name)
        if not role["path"].startswith("/aws-service-role/"):
            raise rows.missing("role", name)
        draft.delete(rows.record_key(call.account, "role", name))
        return f"task{role['path']}{role['name']}/{_mark(role)}"

    return {"DeletionTaskId": await parts.store.transact(change, call.invocation_id)}


def _mark(role: Record) -> str:
    """What tells this role's deletion from that of another which had its name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, role["id"]))


def get_deletion_status(parts: Parts, call: Call) -> Record:
    task = call.params["DeletionTaskId"]
    pieces = task.split("/")
    if len(pieces) != 5 or pieces[:2] != ["task", "aws-service-role"]:
        raise AwsError("NoSuchEntity", f"Deletion task {task} cannot be found.", 404)
    left = parts.store.get_json(rows.record_key(call.account, "role", pieces[3]))
    gone = left is None or _mark(left) != pieces[4]
    return {"Status": "SUCCEEDED" if gone else "FAILED"}


OPERATIONS = {
    "CreateServiceLinkedRole": create_service_linked_role,
    "DeleteServiceLinkedRole": delete_service_linked_role,
    "GetServiceLinkedRoleDeletionStatus": get_deletion_status,
}
