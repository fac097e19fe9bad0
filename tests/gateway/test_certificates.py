"""The gateway's certificate: trusted by those who are pointed to it, for this machine's names and no others."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from cryptography import x509

from roost.gateway import certificates
from roost.gateway import server as gateway_server
from roost.gateway.certificates import Certificate, certificate
from scripts import tools
from tests.gateway.harness import OK, running, service
from tests.gateway.test_websocket_api import dial

ROUTES = {"$connect": False, "$default": False}
HANDLERS = {name: lambda event: OK for name in ROUTES}


def trusted(bundle: Path, server: Certificate, name: str = "localhost") -> bool:
    """Whether a client that has this bundle, and checks as strictly as it can, believes that server to be `name`."""
    client = ssl.create_default_context(cafile=str(bundle))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    upward, downward = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(downward, upward, server_hostname=name),
        server.context.wrap_bio(upward, downward, server_side=True),
    ]
    try:
        for _ in range(4):
            for end in ends:
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLCertVerificationError:
        return False
    return ends[0].version() is not None


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


def test_a_gateway_that_runs_stays_trusted_when_another_needs_a_new_name(tmp_path: Path) -> None:
    running_one = certificate(tmp_path, ["one.test"])
    other = certificate(tmp_path, ["two.test"])
    assert trusted(other.bundle, running_one, "one.test")
    assert trusted(other.bundle, other, "two.test")
    before = (tmp_path / "certificate.pem").read_bytes()
    certificate(tmp_path, ["one.test"])
    assert (tmp_path / "certificate.pem").read_bytes() == before, "they do not take turns in replacing it"


def test_gateways_that_start_together_all_get_a_certificate_that_the_bundle_trusts(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda n: certificate(tmp_path, [f"h{n}.test"]), range(8)))
    assert [trusted(tmp_path / "bundle.pem", each, f"h{n}.test") for n, each in enumerate(made)] == [True] * 8


@pytest.mark.parametrize("file", ["certificate.pem", "authority.pem", "bundle.pem"])
@pytest.mark.parametrize("damage", ["missing", "cut off", "of another"])
def test_what_is_damaged_is_made_anew(tmp_path: Path, file: str, damage: str) -> None:
    certificate(tmp_path / "tls", [])
    certificate(tmp_path / "other", [])
    kept = tmp_path / "tls" / file
    if damage == "of another":
        shutil.copy(tmp_path / "other" / file, kept)
    else:
        kept.write_bytes(kept.read_bytes()[:150])
    if damage == "missing":
        kept.unlink()
    made = certificate(tmp_path / "tls", [])
    assert trusted(made.bundle, made)


def test_a_key_that_is_not_the_certificates_is_replaced(tmp_path: Path) -> None:
    certificate(tmp_path / "tls", [])
    certificate(tmp_path / "other", [])
    kept, end = tmp_path / "tls" / "certificate.pem", b"-----END PRIVATE KEY-----\n"
    key = (tmp_path / "other" / "certificate.pem").read_bytes().partition(end)[0]
    kept.write_bytes(key + end + kept.read_bytes().partition(end)[2])
    made = certificate(tmp_path / "tls", [])
    assert trusted(made.bundle, made)


def test_it_is_renewed_a_month_before_it_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "certificate.pem"
    monkeypatch.setattr(certificates, "_LIFE", datetime.timedelta(days=31))
    certificate(tmp_path, [])
    first = file.read_bytes()
    certificate(tmp_path, [])
    assert file.read_bytes() == first
    monkeypatch.setattr(certificates, "_RENEW", datetime.timedelta(days=32))
    certificate(tmp_path, [])
    assert file.read_bytes() != first


@pytest.mark.parametrize("name", ["b\u00fccher.test", "[2001:db8::7]", "fe80::1%eth0", "Chat.Test"])
def test_any_host_that_can_be_listened_on_can_be_named(tmp_path: Path, name: str) -> None:
    made = certificate(tmp_path, [name])
    assert trusted(made.bundle, made)


def test_the_usual_authorities_stay_trusted_and_are_read_at_each_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = certificate(tmp_path / "company", ["proxy.test"])
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "company" / "authority.pem"))
    made = certificate(tmp_path / "tls", [])
    assert trusted(made.bundle, usual, "proxy.test")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(made.bundle))  # a gateway started by another gateway's function
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    again = certificate(tmp_path / "tls", [])
    assert trusted(again.bundle, made)
    assert not trusted(again.bundle, usual, "proxy.test")
    assert again.bundle.read_bytes().count(b"BEGIN CERTIFICATE") > 50, "real hosts can still be reached"


def test_lists_of_authorities_in_packages_serve_where_the_system_has_no_file() -> None:
    assert certificates._packaged_authorities().count(b"BEGIN CERTIFICATE") > 50


_NODE = "require('https').get(process.argv[1], {agent: false}, r => { console.log(r.statusCode); r.destroy() })"
CLIENTS = {
    "node": [str(tools.node()), "-e", _NODE],
    "curl": ["curl", "--silent", "--output", os.devnull, "--write-out", "%{http_code}"],
}


@pytest.mark.parametrize("client", [name for name, command in CLIENTS.items() if shutil.which(command[0])])
def test_other_programs_trust_it_by_its_variables_alone(tmp_path: Path, client: str) -> None:
    made = certificate(tmp_path, [])
    with running(service(ROUTES), HANDLERS, gateway_server.Settings(log_events=False, tls=made.context)) as gateway:
        url = f"https://localhost:{gateway.port}/"
        assert answer(CLIENTS[client], url, dict(made.environment)) == "426"
        assert answer(CLIENTS[client], url, {}) != "426", "it is only trusted where it is pointed to"


def answer(command: Sequence[str], url: str, variables: dict[str, str]) -> str:
    """What a program prints that asks for this address."""
    environ = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run([*command, url], env=environ, capture_output=True, text=True, timeout=30).stdout.strip()


def test_urllib_trusts_it_by_its_variables_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = certificate(tmp_path, [])
    with running(service(ROUTES), HANDLERS, gateway_server.Settings(log_events=False, tls=made.context)) as gateway:
        monkeypatch.setenv("SSL_CERT_FILE", made.environment["SSL_CERT_FILE"])
        with pytest.raises(urllib.error.HTTPError, match="426") as refused:
            urllib.request.urlopen(f"https://127.0.0.1:{gateway.port}/", timeout=10)
        refused.value.close()


def test_tls_older_than_1_2_is_refused(tmp_path: Path) -> None:
    assert certificate(tmp_path, []).context.minimum_version == ssl.TLSVersion.TLSv1_2


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
