"""What a handler finds around it: its environment variables and its context object.

Sources: AWS Lambda developer guide, "Defined runtime environment variables" and "Using the Lambda context object to
retrieve Python function information".
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roost.gateway.definition import Function, Service

#: What is passed on from the developer's shell; nothing else of it exists on AWS.
_KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TEMP",
    "SYSTEMROOT",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
)
_KEPT_PREFIXES = ("AWS_ENDPOINT_URL",)
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def function_arn(function: Function, service: Service) -> str:
    """The function's made-up ARN."""
    return f"arn:aws:lambda:{service.region}:{service.account}:function:{function.name}"


def variables(function: Function, service: Service, added: Mapping[str, str]) -> dict[str, str]:
    """The function's environment: what the file says, and what the platform sets whatever the file says.

    `added` is the gateway's own: certificates to trust, endpoints. Credentials are the shell's, else made up, so that
    boto3 signs.
    """
    shell = os.environ
    kept = {name: shell[name] for name in _KEPT if name in shell}
    kept |= {name: value for name, value in shell.items() if name.startswith(_KEPT_PREFIXES)}
    credentials = {name: shell[name] for name in _CREDENTIALS if name in shell}
    if "AWS_ACCESS_KEY_ID" not in credentials:
        credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return {**kept, **added, **function.environment, **credentials, **_reserved(function, service)}


def _reserved(function: Function, service: Service) -> dict[str, str]:
    return {
        "_HANDLER": function.handler,
        "AWS_REGION": service.region,
        "AWS_DEFAULT_REGION": service.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": time.strftime("%Y/%m/%d/[$LATEST]", time.gmtime()) + "0" * 32,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "LAMBDA_TASK_ROOT": str(function.code_root),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "TZ": ":UTC",
    }


def import_paths(function: Function) -> list[Path]:
    """Where the function's modules are found, first the code root, then its layers."""
    folders = [function.code_root]
    for layer in function.layers:
        folders += [folder for folder in (layer / "python", layer) if folder.is_dir()][:1]
    return folders


class CognitoIdentity:
    """`context.identity`; nobody signs in with Cognito here."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


class Context:
    """The context object of one invocation."""

    def __init__(self, environment: Mapping[str, str], arn: str, request_id: str, deadline: float) -> None:
        self.aws_request_id = request_id
        self.function_name = environment["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = environment["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.invoked_function_arn = arn
        self.log_group_name = environment["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = environment["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.client_context: Any = None
        self.identity = CognitoIdentity()
        self.tenant_id: str | None = None
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is stopped."""
        return max(0, int((self._deadline - time.time()) * 1000))

    def log(self, message: str) -> None:
        """Write to the function's log."""
        print(message, end="", flush=True)
