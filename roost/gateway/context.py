"""What a handler finds around it: its environment variables and its context object.

Sources: AWS Lambda developer guide, "Defined runtime environment variables" and "Using the Lambda context object to
retrieve Python function information".
"""

from __future__ import annotations

import os
import sys
import time
import uuid
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
    "LD_LIBRARY_PATH",
    "AWS_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
_KEPT_PREFIXES = ("AWS_ENDPOINT_URL", "PYTHON")
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def function_arn(function: Function, service: Service) -> str:
    """The function's made-up ARN."""
    return f"arn:aws:lambda:{service.region}:{service.account}:function:{function.name}"


def variables(function: Function, service: Service, added: Mapping[str, str]) -> dict[str, str]:
    """One new environment's variables: what the file says, and what the platform sets whatever the file says.

    `added` is the gateway's own: certificates to trust, endpoints. Credentials are the shell's, else made up, so that
    boto3 signs.
    """
    shell = os.environ
    kept = {name: shell[name] for name in _KEPT if name in shell}
    kept |= {name: value for name, value in shell.items() if name.startswith(_KEPT_PREFIXES)}
    credentials = {name: shell[name] for name in _CREDENTIALS if name in shell}
    if not credentials.get("AWS_ACCESS_KEY_ID"):
        credentials = dict.fromkeys(_CREDENTIALS, "test")
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
        "AWS_LAMBDA_LOG_STREAM_NAME": time.strftime("%Y/%m/%d/[$LATEST]", time.gmtime()) + uuid.uuid4().hex,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "LAMBDA_TASK_ROOT": str(function.code_root),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "TZ": ":UTC",
    }


def import_paths(function: Function) -> list[Path]:
    """Where the function's modules are found, first the code root, then its layers: what Lambda finds in /opt."""
    folders = [function.code_root]
    for layer in function.layers:
        packages = f"python/lib/{function.runtime}/site-packages"
        found = [folder for folder in (layer / "python", layer / packages) if folder.is_dir()]
        folders += found or [layer]
    return folders


class CognitoIdentity:
    """`context.identity`; nobody signs in with Cognito here."""

    def __init__(self) -> None:
        self.cognito_identity_id: str | None = None
        self.cognito_identity_pool_id: str | None = None

    def __repr__(self) -> str:
        return _shown(self)


class LambdaContext:
    """The context object of one invocation, by the name that AWS's has."""

    def __init__(self, environment: Mapping[str, str], arn: str, request_id: str, deadline: float) -> None:
        self.aws_request_id = request_id
        self.log_group_name = environment.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environment.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environment.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environment.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = arn
        self.client_context: Any = None
        self.identity = CognitoIdentity()
        self.tenant_id: str | None = None
        self._epoch_deadline_time_in_ms = int(deadline * 1000)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is stopped."""
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def w3c(self) -> dict[str, str]:
        """The caller's trace context; API Gateway sends none."""
        return {}

    def log(self, message: object) -> None:
        """Write to the function's log, without ending the line."""
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        return _shown(self)


def _shown(of: object) -> str:
    """As AWS's own objects show themselves."""
    values = ",".join(f"{name}={value}" for name, value in vars(of).items() if not name.startswith("_"))
    return f"{type(of).__name__}([{values}])"
