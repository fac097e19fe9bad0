"""Slack's own clients, unmodified, upload files to `roost serve`, each in its own way; a scheduled message comes."""

from __future__ import annotations

import asyncio
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from slack_sdk import WebClient
from slack_sdk.web.async_client import AsyncWebClient

from scripts import tools
from tests.contracts.test_blobs import multipart
from tests.end_to_end.test_slack_sdk import Office, open_office

UPLOADS = Path(__file__).with_name("uploads.mjs")
BYTES = bytes(range(256))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    opened = open_office(tmp_path_factory.mktemp("data"))
    yield opened
    assert "Traceback" not in opened.server.stderr()
    opened.server.kill()


@pytest.fixture
def ana(office: Office) -> WebClient:
    return office.client(office.ana)


@pytest.fixture
def general(ana: WebClient) -> str:
    (channel,) = ana.conversations_list()["channels"]
    return str(channel["id"])


def fetch(url: str, token: str) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        return bytes(answer.read())


def check(office: Office, general: str, comment: str) -> None:
    """Both find the file in the channel's newest message, and get its bytes."""
    for token in (office.ana, office.ben):
        message = office.client(token).conversations_history(channel=general, limit=1)["messages"][0]
        assert message["text"] == comment
        (file,) = message["files"]
        assert (file["name"], file["title"], file["size"]) == ("bytes.bin", "Bytes", 256)
        assert fetch(file["url_private"], token) == BYTES
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(file["url_private"], "xoxp-roost-none")


def test_slack_sdk_uploads(office: Office, ana: WebClient, general: str) -> None:
    ana.files_upload_v2(channel=general, content=BYTES, filename="bytes.bin", title="Bytes", initial_comment="sync")
    check(office, general, "sync")


def test_the_asynchronous_slack_sdk_uploads(office: Office, general: str) -> None:
    client = AsyncWebClient(office.ana, base_url=office.url)
    upload = client.files_upload_v2(
        channel=general, content=BYTES, filename="bytes.bin", title="Bytes", initial_comment="async"
    )
    asyncio.run(upload)
    check(office, general, "async")


def test_the_node_client_uploads(office: Office, general: str) -> None:
    command = [str(tools.node()), str(UPLOADS), office.url, office.ana, general]
    env = {"NODE_PACKAGES": str(tools.NODE_PACKAGES), "NO_COLOR": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    check(office, general, "from node")


def test_a_browser_uploads_to_the_store_itself(office: Office, ana: WebClient, general: str) -> None:
    asked = ana.api_call("files.getUploadForm", data={"filename": "bytes.bin", "length": 256})
    headers, body = multipart(asked["upload"]["fields"], BYTES)
    request = urllib.request.Request(asked["upload"]["url"], body, headers)
    urllib.request.urlopen(request, timeout=10).close()
    files = [{"id": asked["file_id"], "title": "Bytes"}]
    ana.files_completeUploadExternal(files=files, channel_id=general, initial_comment="browser")
    check(office, general, "browser")


def test_a_scheduled_message_comes_in_time(ana: WebClient, general: str) -> None:
    at = int(time.time()) + 2
    ana.chat_scheduleMessage(channel=general, post_at=at, text="in time")
    while ana.conversations_history(channel=general, limit=1)["messages"][0]["text"] != "in time":
        assert time.time() < at + 30
        time.sleep(0.1)
    assert time.time() >= at
    assert ana.chat_scheduledMessages_list()["scheduled_messages"] == []
