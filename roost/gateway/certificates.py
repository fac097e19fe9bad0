"""The gateway's own certificate, and how functions come to trust it.

Apps written for AWS post to `https://{domainName}/{stage}`. The gateway answers TLS under that name with a certificate
that a little authority of its own has signed. Nothing is installed in the system: the authority's certificate only goes
into a bundle file, beside the usual authorities, that the functions are pointed to. It can sign for this machine's
names and nothing else (name constraints), and no further authority (path length 0), so that even a stolen key is of no
use against anybody's real connections.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = datetime.timedelta(days=365)
_RENEW = datetime.timedelta(days=30)  # before the end
_ALWAYS = ("localhost", "127.0.0.1", "::1")
_CA_FILE, _BUNDLE, _CERTIFICATE = "authority.pem", "bundle.pem", "certificate.pem"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the server needs to answer TLS, and what clients need to trust it."""

    context: ssl.SSLContext
    bundle: Path  #: the usual authorities and ours, for clients
    environment: Mapping[str, str]  #: variables that make boto3, requests, urllib, curl and Node use the bundle


def certificate(directory: Path, names: Sequence[str]) -> Certificate:
    """A certificate for localhost and `names` (host names or addresses), kept in `directory` and used until it is old.

    Made anew, with its authority, where it runs out within a month or does not cover the names.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = list(dict.fromkeys([*_ALWAYS, *(name.strip("[]") for name in names)]))
    if not _usable(directory, wanted):
        _make(directory, wanted)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(directory / _CERTIFICATE)
    bundle = directory / _BUNDLE
    variables = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    environment = dict.fromkeys(variables, str(bundle)) | {"NODE_EXTRA_CA_CERTS": str(directory / _CA_FILE)}
    return Certificate(context, bundle, environment)


def _usable(directory: Path, names: Sequence[str]) -> bool:
    if not all((directory / file).is_file() for file in (_CA_FILE, _BUNDLE, _CERTIFICATE)):
        return False
    try:
        leaf = x509.load_pem_x509_certificate((directory / _CERTIFICATE).read_bytes())
        covered = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    fresh = leaf.not_valid_after_utc - datetime.datetime.now(datetime.UTC) > _RENEW
    return fresh and all(_general_name(name) in covered for name in names)


def _make(directory: Path, names: Sequence[str]) -> None:
    """A new authority and a certificate by it. The authority's key is not kept: nothing else will ever be signed."""
    authority_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Roost local gateway authority")])
    authority = _authority(issuer, authority_key, names)
    leaf = _leaf(issuer, authority_key, leaf_key, names)
    pem = authority.public_bytes(serialization.Encoding.PEM)
    key = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(directory / _CERTIFICATE, key + leaf.public_bytes(serialization.Encoding.PEM), 0o600)
    _write(directory / _CA_FILE, pem, 0o644)
    _write(directory / _BUNDLE, _usual_authorities() + pem, 0o644)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFE)
    )


def _authority(issuer: x509.Name, key: ec.EllipticCurvePrivateKey, names: Sequence[str]) -> x509.Certificate:
    permitted = [_constraint(name) for name in names]
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return (
        _builder(issuer, issuer, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    issuer: x509.Name,
    authority_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Roost local gateway")])
    authority_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(subject, issuer, key)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(authority_identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _constraint(name: str) -> x509.GeneralName:
    """A name as a constraint has it: an address is a network of one."""
    try:
        return x509.IPAddress(ipaddress.ip_network(name))
    except ValueError:
        return x509.DNSName(name)


def _usual_authorities() -> bytes:
    """The authorities that the machine trusts, as PEM, so that functions still reach real hosts."""
    paths = ssl.get_default_verify_paths()
    for file in (os.environ.get("AWS_CA_BUNDLE"), os.environ.get("SSL_CERT_FILE"), paths.cafile, paths.openssl_cafile):
        if file and Path(file).is_file():
            return Path(file).read_bytes().rstrip() + b"\n"
    loaded = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, loaded)).encode()


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others before its mode is set."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
