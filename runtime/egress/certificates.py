"""A certificate authority per environment, and the certificates it makes for single hosts."""

from __future__ import annotations

import os
import ssl
from collections import OrderedDict
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

from runtime import clock
from runtime.egress.protocol import Authority
from runtime.outbound.addresses import literal

AUTHORITY_LIFE = timedelta(days=400)
LEAF_LIFE = timedelta(days=30)
_SKEW = timedelta(days=1)
"""Sandboxes' clocks may be wrong."""
_MAX_CONTEXTS = 512


def new_authority(environment: str) -> Authority:
    """A fresh authority that signs for this environment alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sandlot"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Sandlot egress {environment}"[:64]),
        ]
    )
    builder = (
        _builder(name, name, key.public_key(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return Authority(
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"),
        key=SecretStr(_pem(key).decode("ascii")),
    )


class Issuer:
    """Shows a client of an environment the certificate of any host, signed by its authority."""

    def __init__(self, authority: Authority) -> None:
        """Raises `ValueError` for what is no certificate and key."""
        self._certificate = x509.load_pem_x509_certificate(authority.certificate.encode("ascii"))
        key = serialization.load_pem_private_key(
            authority.key.get_secret_value().encode("ascii"), password=None
        )
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key of an authority is an elliptic curve key")
        self._key = key
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: OrderedDict[str, tuple[float, ssl.SSLContext]] = OrderedDict()

    def context(self, host: str) -> ssl.SSLContext:
        """What TLS for `host` is served with: HTTP/1.1 only."""
        made = self._contexts.get(host)
        if made is not None and clock.monotonic() < made[0]:
            self._contexts.move_to_end(host)
            return made[1]
        context = self._made(host)
        renewal = clock.monotonic() + LEAF_LIFE.total_seconds() / 2
        self._contexts[host] = (renewal, context)
        if len(self._contexts) > _MAX_CONTEXTS:
            self._contexts.popitem(last=False)
        return context

    def _made(self, host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        leaf = self._leaf(host).public_bytes(serialization.Encoding.PEM)
        # The ssl module reads certificates from files only; this one has no name.
        file = os.memfd_create("leaf", os.MFD_CLOEXEC)
        try:
            os.write(file, leaf + _pem(self._leaf_key))
            context.load_cert_chain(f"/proc/self/fd/{file}")
        finally:
            os.close(file)
        return context

    def _leaf(self, host: str) -> x509.Certificate:
        address = literal(host)
        alternative = x509.DNSName(host) if address is None else x509.IPAddress(address)
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sandlot")])
        builder = (
            _builder(subject, self._certificate.subject, self._leaf_key.public_key(), LEAF_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        return builder.sign(self._key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
