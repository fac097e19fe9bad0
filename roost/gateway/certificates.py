"""The gateway's own certificate, and how functions come to trust it.

Apps written for AWS post to `https://{domainName}/{stage}`. The gateway answers TLS under that name with a certificate
that a little authority of its own has signed. Nothing is installed in the system: the authority's certificate only goes
into a bundle file, beside the usual authorities, that the functions are pointed to. It can sign for this machine's
names and nothing else (name constraints), and no further authority (path length 0), and its key is thrown away once it
has signed: nobody can turn it against anybody's real connections.

Several gateways may share the directory, and one may start while another runs with an earlier certificate. So all of
it happens under a lock, and the bundle keeps every authority that has not run out.
"""

from __future__ import annotations

import datetime
import importlib.util
import ipaddress
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from filelock import FileLock

_LIFE = datetime.timedelta(days=365)
_RENEW = datetime.timedelta(days=30)  # before the end
_ALWAYS = ("localhost", "127.0.0.1", "::1")
_AUTHORITIES, _BUNDLE, _CERTIFICATE = "authority.pem", "bundle.pem", "certificate.pem"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the server needs to answer TLS, and what clients need to trust it."""

    context: ssl.SSLContext
    bundle: Path  #: the usual authorities and ours, for clients
    environment: Mapping[str, str]  #: variables that make boto3, requests, urllib, httpx, curl and Node use the bundle


def certificate(directory: Path, names: Sequence[str]) -> Certificate:
    """A certificate for localhost and `names` (host names or addresses), kept in `directory` and used until it is old.

    Made anew, with its authority, where it runs out within a month, does not cover the names or is damaged. It then
    covers the earlier names, too. The bundle is written at each call, since the usual authorities change. Safe to call
    from several processes at once. Raises `OSError` where the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = list(dict.fromkeys([*_ALWAYS, *map(_plain, names)]))
    with FileLock(directory / "lock"):
        context = _kept(directory, wanted)
        if context is None:
            _make(directory, list(dict.fromkeys([*wanted, *_earlier_names(directory)])))
            context = _context(directory)
        bundle = directory / _BUNDLE
        _write(bundle, _usual_authorities(bundle) + (directory / _AUTHORITIES).read_bytes(), 0o644)
    variables = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    environment = dict.fromkeys(variables, str(bundle)) | {"NODE_EXTRA_CA_CERTS": str(directory / _AUTHORITIES)}
    return Certificate(context, bundle, environment)


def _plain(name: str) -> str:
    """A name as certificates have it: no brackets or zone around an address, ASCII and lower case for a host."""
    name = name.strip("[]").partition("%")[0].lower()
    return name if name.isascii() else name.encode("idna").decode()


# -- what is there ----------------------------------------------------------------------------------------------------


def _kept(directory: Path, names: Sequence[str]) -> ssl.SSLContext | None:
    """The kept certificate, ready to serve, if it is whole, its authority's, for these names, and not nearly old."""
    leaf, authorities = _read(directory / _CERTIFICATE), _read(directory / _AUTHORITIES)
    if not leaf or not authorities:
        return None
    covered = _names_of(leaf[0])
    fresh = leaf[0].not_valid_after_utc - datetime.datetime.now(datetime.UTC) > _RENEW
    if not fresh or not all(_general_name(name) in covered for name in names):
        return None
    try:
        leaf[0].verify_directly_issued_by(authorities[0])
        return _context(directory)
    except (ssl.SSLError, InvalidSignature, ValueError):
        return None


def _context(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(directory / _CERTIFICATE)
    return context


def _read(path: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file; none where it is missing or damaged."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return []


def _names_of(leaf: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (ValueError, x509.ExtensionNotFound):
        return []


def _earlier_names(directory: Path) -> list[str]:
    """What the kept certificate covers: two gateways with a name each must not take turns in replacing it."""
    return [str(name.value) for leaf in _read(directory / _CERTIFICATE) for name in _names_of(leaf)]


def _valid_authorities(directory: Path) -> list[x509.Certificate]:
    """Ours that have not run out: a gateway that still runs may serve under them."""
    now = datetime.datetime.now(datetime.UTC)
    return [authority for authority in _read(directory / _AUTHORITIES) if authority.not_valid_after_utc > now]


# -- making it --------------------------------------------------------------------------------------------------------


def _make(directory: Path, names: Sequence[str]) -> None:
    """A new authority and a certificate by it. The authority's key is not kept: nothing else will ever be signed."""
    authority_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Roost local gateway authority")])
    authority = _authority(issuer, authority_key, names)
    leaf = _leaf(issuer, authority_key, leaf_key, names)
    key = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    authorities = [authority, *_valid_authorities(directory)]
    _write(directory / _AUTHORITIES, b"".join(map(_pem, authorities)), 0o644)
    _write(directory / _CERTIFICATE, key + _pem(leaf), 0o600)


def _pem(made: x509.Certificate) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)


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


def _usual_authorities(ours: Path) -> bytes:
    """The authorities that clients here trust already, as PEM, so that functions still reach real hosts.

    What the person's variables name comes first, but not our own file: a gateway may be started by another.
    """
    paths = ssl.get_default_verify_paths()
    for file in (os.environ.get("AWS_CA_BUNDLE"), os.environ.get("SSL_CERT_FILE"), paths.cafile, paths.openssl_cafile):
        if file and Path(file).is_file() and Path(file).resolve() != ours.resolve():
            return Path(file).read_bytes().rstrip() + b"\n"
    loaded = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, loaded)).encode() or _packaged_authorities()


def _packaged_authorities() -> bytes:
    """Mozilla's list as certifi and botocore carry it, for systems that keep theirs where OpenSSL finds no file."""
    for package in ("certifi", "botocore"):
        found = importlib.util.find_spec(package)
        file = Path(found.origin).with_name("cacert.pem") if found and found.origin else None
        if file and file.is_file():
            return file.read_bytes().rstrip() + b"\n"
    return b""


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others before its mode is set."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
