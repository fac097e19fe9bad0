"""Addresses of the app's own APIs on AWS, turned into where this gateway listens."""

from __future__ import annotations

import re
from collections.abc import Mapping

_ADDRESS = re.compile(
    r"(?P<scheme>https://|wss://|(?<![\w./-]))(?P<id>[a-z0-9]+)\.execute-api\.[\w-]+\.amazonaws\.com(?P<path>/[^/\s]*)?"
)


def local_urls(text: str, base_url: str, stages: Mapping[str, str]) -> str:
    """`https://{api id}.execute-api.{region}.amazonaws.com/{stage}` becomes `{base_url}/{stage}`.

    `wss://…` keeps its scheme, since apps make `https://…` of it; a host alone becomes our host and port. The gateway
    answers TLS on its port, too. `stages` names the app's API ids, each with the stage that stands in its path, empty
    for `$default`.
    """
    host = base_url.partition("://")[2]
    bases = {"https://": base_url, "wss://": f"wss://{host}", "": host}

    def replace(match: re.Match[str]) -> str:
        if match["id"] not in stages:
            return match[0]
        return bases[match["scheme"]] + (match["path"] or "")

    return _ADDRESS.sub(replace, text)
