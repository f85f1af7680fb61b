"""Templates as text: YAML with short forms, or JSON, into plain dictionaries; limits; the SAM
transform.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-anatomy.html
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from pileus.errors import AwsError

TEMPLATE_BYTES_MAX = 1024 * 1024
DEPTH_MAX = 100
SAM = "AWS::Serverless-2016-10-31"


def invalid(message: str) -> AwsError:
    """CloudFormation's error for everything wrong with a template or a request."""
    return AwsError("ValidationError", message)


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms (``!Ref``, ``!GetAtt``, ``!Sub`` …) written out."""


def _short_form(loader: Any, suffix: str, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


def _as_written(loader: Any, node: Any) -> Any:
    """A date in a template is text (``Version: 2012-10-17``)."""
    return loader.construct_scalar(node)


Loader.add_multi_constructor("!", _short_form)
Loader.add_constructor("tag:yaml.org,2002:timestamp", _as_written)


def parse(text: str) -> dict[str, Any]:
    """The template as a dictionary; ``ValidationError`` with the reason otherwise."""
    if len(text.encode()) > TEMPLATE_BYTES_MAX:
        raise invalid("Template may not exceed 1000000 bytes in size.")
    if text.count("*") > 0 and text.count("&") > 200:
        raise invalid("Template format error: too many YAML anchors.")
    try:
        loaded = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise invalid(f"Template format error: {str(e)[:300]}") from e
    if not isinstance(loaded, dict):
        raise invalid("Template format error: unsupported structure.")
    check(loaded)
    return loaded


_MEMBERS = {
    "Parameters": "Every Parameters object must contain a Type member.",
    "Mappings": "Every Mappings attribute must be a String or a List.",
    "Outputs": "Every Outputs member must contain a Value object",
}


def check(template: dict[str, Any]) -> None:
    """The template's shape: known sections, resources with types."""
    known = {
        "AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Rules", "Mappings",
        "Conditions", "Transform", "Resources", "Outputs", "Globals",
    }  # fmt: skip
    unknown = sorted(set(template) - known)
    if unknown:
        raise invalid(f"Invalid template property or properties [{', '.join(map(str, unknown))}]")
    resources = template.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise invalid("Template format error: At least one Resources member must be defined.")
    for name, resource in resources.items():
        if not str(name).isalnum():
            raise invalid(f"Template format error: Resource name {name} is non alphanumeric.")
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise invalid(f"Template format error: [/Resources/{name}] Type is required.")
    for section in ("Parameters", "Mappings", "Conditions", "Outputs"):
        if not isinstance(template.get(section, {}), dict):
            raise invalid(f"Template format error: {section} must be an object.")
    for section, text in _MEMBERS.items():
        if not all(isinstance(member, dict) for member in template.get(section, {}).values()):
            raise invalid(f"Template format error: {text}")


def uses_sam(template: dict[str, Any]) -> bool:
    transform = template.get("Transform", [])
    return SAM in (transform if isinstance(transform, list) else [transform])


def expand(template: dict[str, Any], parameters: dict[str, Any], region: str) -> dict[str, Any]:
    """The template after its transforms: AWS's own translator turns SAM into plain resources."""
    transform = template.get("Transform")
    if transform and not uses_sam(template):
        raise invalid(f"No transform named {transform} found.")
    if not transform:
        return template
    import copy

    import boto3
    from samtranslator.public.exceptions import InvalidDocumentException
    from samtranslator.public.parser import Parser
    from samtranslator.translator.translator import Translator
    from samtranslator.utils.py27hash_fix import (
        to_py27_compatible_template,
        undo_mark_unicode_str_in_template,
    )

    from pileus.services.cloudformation.policies import ManagedPolicies

    plain, values = copy.deepcopy(template), dict(parameters)
    session = boto3.session.Session(region_name=region)  # the translator asks it for the region
    try:
        to_py27_compatible_template(plain, values)
        translator = Translator(ManagedPolicies().load(), Parser(), boto_session=session)
        expanded = undo_mark_unicode_str_in_template(translator.translate(plain, values))
    except InvalidDocumentException as e:
        raise invalid(f"Transform {SAM} failed with: {e.message}") from e
    expanded.pop("Transform", None)
    return dict(expanded)
