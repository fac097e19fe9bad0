"""The gateway's certificate: trusted by those who are pointed to it, for this machine's names and no others."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
import urllib.request
from pathlib import Path

import boto3
import pytest
from cryptography import x509

from roost.gateway import server as gateway_server
from roost.gateway.certificates import certificate
from tests.gateway.harness import OK, running, service
from tests.gateway.test_websocket_api import dial

ROUTES = {"$connect": False, "$default": False}
HANDLERS = {name: lambda event: OK for name in ROUTES}


def test_code_that_builds_its_address_from_the_event_posts_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificate(tmp_path, [])
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    settings = gateway_server.Settings(log_events=False, tls=made.context)
    with running(service(ROUTES), HANDLERS, settings) as gateway, dial(gateway) as client:
        (event,) = gateway.functions.of("$connect")
        context = event["requestContext"]
        url = f"https://{context['domainName']}/{context['stage']}"
        session = boto3.session.Session("test", "test", region_name="eu-west-1")
        api = session.client("apigatewaymanagementapi", endpoint_url=url)
        api.post_to_connection(ConnectionId=context["connectionId"], Data=b"through TLS")
        assert client.recv(10) == "through TLS"
        with pytest.raises(api.exceptions.GoneException):
            api.post_to_connection(ConnectionId="AAAAAAAAAAAAAAA=", Data=b"x")
        api.close()


def test_without_the_bundle_nobody_trusts_it(tmp_path: Path) -> None:
    made = certificate(tmp_path, [])
    with running(service(ROUTES), HANDLERS, gateway_server.Settings(log_events=False, tls=made.context)) as gateway:
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"https://localhost:{gateway.port}/", timeout=5)


def test_it_is_kept_private_used_again_and_renewed_for_new_names(tmp_path: Path) -> None:
    certificate(tmp_path / "tls", [])
    file = tmp_path / "tls" / "certificate.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    first = file.read_bytes()
    certificate(tmp_path / "tls", ["localhost"])
    assert file.read_bytes() == first
    certificate(tmp_path / "tls", ["chat.test", "192.0.2.7"])
    assert file.read_bytes() != first
    names = x509.load_pem_x509_certificate(file.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "chat.test" in names.value.get_values_for_type(x509.DNSName)
    certificate(tmp_path / "tls", ["chat.test"])


def test_its_authority_can_sign_for_nobody_else(tmp_path: Path) -> None:
    certificate(tmp_path, [])
    authority = x509.load_pem_x509_certificate((tmp_path / "authority.pem").read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [str(name.value) for name in constraints.value.permitted_subtrees or []] == [
        "localhost",
        "127.0.0.1/32",
        "::1/128",
    ]
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert b"PRIVATE KEY" not in (tmp_path / "authority.pem").read_bytes()


def test_noise_instead_of_a_handshake_closes_the_connection_and_no_more(tmp_path: Path) -> None:
    made = certificate(tmp_path, [])
    with running(service(ROUTES), HANDLERS, gateway_server.Settings(log_events=False, tls=made.context)) as gateway:
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
            client.sendall(b"\x16\x03\x01" + b"\xff" * 300)
            client.settimeout(10)
            while client.recv(1000):
                continue
        with dial(gateway) as client_after:
            client_after.send("alive")
        assert threading.active_count() > 1


def test_large_posts_and_slow_starts_pass_through_tls(tmp_path: Path) -> None:
    made = certificate(tmp_path, [])
    context = ssl.create_default_context(cafile=str(made.bundle))
    settings = gateway_server.Settings(log_events=False, tls=made.context)
    with running(service(ROUTES), HANDLERS, settings) as gateway:
        with socket.create_connection(("127.0.0.1", gateway.port)) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as client:
                client.sendall(b"POST /dev/@connections/AAAAAAAAAAAAAAA= HTTP/1.1\r\nHost: x\r\n")
                client.sendall(b"Connection: close\r\nContent-Length: 131072\r\n\r\n")
                client.sendall(b"x" * 131072)
                assert client.recv(1000).startswith(b"HTTP/1.1 410 ")
