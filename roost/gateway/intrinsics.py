"""CloudFormation's functions, resolved without a cloud: `Ref`, `Fn::GetAtt`, `Fn::Sub`, `Fn::Join`, `Fn::If`, ….

A declared resource resolves to its given name or to a stable made-up one, its ARN to a synthetic one, and the address
of a declared API to where this gateway listens.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

ACCOUNT = "123456789012"

_SUBSTITUTE = re.compile(r"\$\{([^!][^}]*)\}")

#: The property that names a resource of each type, and the service in its ARN.
_NAMED = {
    "AWS::DynamoDB::Table": ("TableName", "dynamodb", "table/{}"),
    "AWS::DynamoDB::GlobalTable": ("TableName", "dynamodb", "table/{}"),
    "AWS::Serverless::SimpleTable": ("TableName", "dynamodb", "table/{}"),
    "AWS::SQS::Queue": ("QueueName", "sqs", "{}"),
    "AWS::SNS::Topic": ("TopicName", "sns", "{}"),
    "AWS::S3::Bucket": ("BucketName", "s3", "{}"),
    "AWS::Kinesis::Stream": ("Name", "kinesis", "stream/{}"),
    "AWS::Lambda::Function": ("FunctionName", "lambda", "function:{}"),
    "AWS::Serverless::Function": ("FunctionName", "lambda", "function:{}"),
    "AWS::IAM::Role": ("RoleName", "iam", "role/{}"),
    "AWS::Events::EventBus": ("Name", "events", "event-bus/{}"),
    "AWS::SecretsManager::Secret": ("Name", "secretsmanager", "secret:{}"),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", "states", "stateMachine:{}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs", "log-group:{}"),
}


class Unresolved(Exception):
    """A value that only the cloud knows. `str()` says which, `override` what an override of it would be called."""

    def __init__(self, text: str, override: str = "") -> None:
        super().__init__(text)
        self.override = override


class Stack:
    """What a template declares, and what its references come to here."""

    def __init__(
        self,
        name: str,
        region: str,
        resources: Mapping[str, Any],
        *,
        overrides: Mapping[str, str],
        parameters: Mapping[str, Any] | None = None,
        conditions: Mapping[str, Any] | None = None,
        mappings: Mapping[str, Any] | None = None,
        known: Mapping[str, str] | None = None,
        attributes: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        """`known` gives the `Ref` of logical ids beyond the declared resources, `attributes` their `Fn::GetAtt`."""
        self.name = name
        self.region = region
        self.resources = resources
        self._overrides = overrides
        self._parameters = parameters or {}
        self._conditions = conditions or {}
        self._mappings = mappings or {}
        self._known = dict(known or {})
        self._attributes = dict(attributes or {})
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self.ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::If": self._if,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": lambda value: base64.b64encode(str(self.value(value)).encode()).decode(),
            "Fn::Equals": lambda pair: self.value(pair[0]) == self.value(pair[1]),
            "Fn::Not": lambda value: not self._truth(value[0]),
            "Fn::And": lambda values: all(map(self._truth, values)),
            "Fn::Or": lambda values: any(map(self._truth, values)),
            "Fn::GetAZs": lambda value: [f"{self.region}{zone}" for zone in "abc"],
            "Condition": self._condition,
        }

    def value(self, value: Any) -> Any:
        """A value with every function in it replaced. Raises `Unresolved`."""
        if isinstance(value, dict):
            if len(value) == 1:
                ((name, argument),) = value.items()
                function = self._functions.get(name)
                if function is not None:
                    return self._apply(name, function, argument)
                if isinstance(name, str) and name.startswith("Fn::"):
                    raise Unresolved(f"{name} of {argument!r}")
            resolved = type(value)()
            for attribute in ("line", "lines"):
                if hasattr(value, attribute):
                    setattr(resolved, attribute, getattr(value, attribute))
            for key, each in value.items():
                inner = self.value(each)
                if inner is not NO_VALUE:
                    resolved[key] = inner
            return resolved
        if isinstance(value, list):
            return [inner for inner in map(self.value, value) if inner is not NO_VALUE]
        return value

    @staticmethod
    def _apply(name: str, function: Callable[[Any], Any], argument: Any) -> Any:
        try:
            return function(argument)
        except (IndexError, KeyError, TypeError, ValueError, AttributeError):
            raise Unresolved(f"{name} of {argument!r}, which is not of its form") from None

    # -- functions --------------------------------------------------------------------------------------------------

    def ref(self, name: str) -> Any:
        """`Ref`: a parameter, a pseudo parameter, or a resource's physical id."""
        if name in self._overrides:
            return self._overrides[name]
        if name in self._known:
            return self._known[name]
        pseudo = self._pseudo(name)
        if pseudo is not None:
            return pseudo
        if name in self._parameters:
            parameter = self._parameters[name]
            if isinstance(parameter, dict) and "Default" in parameter:
                return self.value(parameter["Default"])
            raise Unresolved(f"parameter {name}, which has no default", name)
        if name in self.resources:
            return self.physical_name(name)
        raise Unresolved(f"Ref {name}, which is not declared here", name)

    def _pseudo(self, name: str) -> Any:
        return {
            "AWS::Region": self.region,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::StackName": self.name,
            "AWS::StackId": f"arn:aws:cloudformation:{self.region}:{ACCOUNT}:stack/{self.name}/local",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": NO_VALUE,
            "AWS::NotificationARNs": [],
        }.get(name)

    def physical_name(self, logical_id: str) -> str:
        """A resource's own name: as given, or made up from the stack's name and its logical id."""
        resource = self.resources[logical_id]
        kind = resource.get("Type") if isinstance(resource, dict) else None
        named = _NAMED.get(str(kind))
        properties = resource.get("Properties") if isinstance(resource, dict) else None
        given = properties.get(named[0]) if named and isinstance(properties, dict) else None
        name = str(self.value(given)) if given is not None else f"{self.name}-{logical_id}"
        if kind == "AWS::SQS::Queue":
            return f"https://sqs.{self.region}.amazonaws.com/{ACCOUNT}/{name}"
        if kind == "AWS::SNS::Topic":
            return self._arn(logical_id, name)
        return name.lower() if kind == "AWS::S3::Bucket" and given is None else name

    def _arn(self, logical_id: str, name: str) -> str:
        kind = str(self.resources[logical_id].get("Type"))
        _, service, form = _NAMED.get(kind, ("", "cloudformation", "{}"))
        if service == "s3":
            return f"arn:aws:s3:::{name}"
        region = "" if service == "iam" else self.region
        return f"arn:aws:{service}:{region}:{ACCOUNT}:{form.format(name)}"

    def _get_att(self, argument: Any) -> Any:
        logical_id, attribute = argument.split(".", 1) if isinstance(argument, str) else map(str, argument)
        text = f"{logical_id}.{attribute}"
        if text in self._overrides:
            return self._overrides[text]
        if (logical_id, attribute) in self._attributes:
            return self._attributes[logical_id, attribute]
        if logical_id not in self.resources:
            raise Unresolved(f"GetAtt {text}: {logical_id} is not declared here", text)
        name = self.physical_name(logical_id)
        short = name.rpartition("/")[2].rpartition(":")[2]
        if attribute == "Arn":
            return self._arn(logical_id, short)
        if attribute in ("Name", "QueueName", "TopicName", "TableName", "FunctionName"):
            return short
        if attribute == "StreamArn":
            return f"{self._arn(logical_id, short)}/stream/2026-01-01T00:00:00.000"
        if attribute in ("QueueUrl", "Ref"):
            return name
        if attribute in ("DomainName", "RegionalDomainName"):
            return f"{short}.s3.{'' if attribute == 'DomainName' else self.region + '.'}amazonaws.com"
        raise Unresolved(f"GetAtt {text}", text)

    def _sub(self, argument: Any) -> str:
        text, local = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])

        def replace(match: re.Match[str]) -> str:
            name = match.group(1).strip()
            if name in local:
                return str(self.value(local[name]))
            return str(self._get_att(name) if "." in name else self.ref(name))

        return _SUBSTITUTE.sub(replace, str(text)).replace("${!", "${")

    def _join(self, argument: Any) -> str:
        separator, parts = argument
        values = self.value(parts)
        return str(separator).join(str(value) for value in values)

    def _if(self, argument: Any) -> Any:
        condition, yes, no = argument
        return self.value(yes if self._condition(condition) else no)

    def _condition(self, name: str) -> bool:
        return self._truth(self._conditions[name])

    def _truth(self, value: Any) -> bool:
        answer = self.value(value)
        return answer is True or answer == "true"

    def _select(self, argument: Any) -> Any:
        index, values = argument
        return self.value(values)[int(self.value(index))]

    def _split(self, argument: Any) -> list[str]:
        separator, text = argument
        return str(self.value(text)).split(str(separator))

    def _find_in_map(self, argument: Any) -> Any:
        name, first, second = map(self.value, argument[:3])
        return self.value(self._mappings[name][first][second])


class _NoValue:
    """`AWS::NoValue`: the member that has it is left out."""


NO_VALUE = _NoValue()
