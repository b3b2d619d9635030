"""Servers' certificates for tests, by an authority of their own."""

from __future__ import annotations

import ssl

import trustme


class Certificates:
    """An authority that no system trusts, and what it signs."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.pem = self._authority.cert_pem.bytes().decode("ascii")

    def serving(self, *names: str) -> ssl.SSLContext:
        """What a server for `names` uses; it speaks HTTP/1.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*names).configure_cert(context)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def issued(self, *names: str) -> bytes:
        """A certificate for `names` with its key, in PEM."""
        return self._authority.issue_cert(*names).private_key_and_cert_chain_pem.bytes()

    @property
    def trusting(self) -> ssl.SSLContext:
        """What a client that trusts this authority uses."""
        return ssl.create_default_context(cadata=self.pem)
