from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest

from runtime.guest.network import ADDED, BUNDLE, POLICY, PROXY, merged, publish, variables
from runtime.loop.prompt import Surroundings, compose
from runtime.schema.protocol import GuestNetwork
from tests.support.certificates import Certificates

NETWORK = GuestNetwork(certificates="")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "trust"
    folder.mkdir()
    (tmp_path / "system.crt").write_text(Certificates().pem.rstrip(), encoding="ascii")
    return folder


def subjects(path: Path) -> int:
    return len(ssl.create_default_context(cafile=str(path)).get_ca_certs())


def test_a_networks_authorities_come_beside_the_systems(folder: Path) -> None:
    (folder / BUNDLE).symlink_to(folder.parent / "system.crt")
    publish(Certificates().pem + Certificates().pem, folder, folder.parent / "system.crt")
    assert subjects(folder / BUNDLE) == 3
    assert subjects(folder / ADDED) == 2
    assert subjects(folder.parent / "system.crt") == 1, "the system's own file stays as it is"


def test_chromium_is_told_the_same(folder: Path) -> None:
    certificates = Certificates().pem
    publish(certificates, folder, folder.parent / "system.crt")
    (told,) = json.loads((folder / POLICY).read_text(encoding="utf-8"))["CACertificates"]
    body = certificates.partition("\n")[2].partition("-----END")[0]
    assert told == "".join(body.split())


def test_new_authorities_replace_the_old_ones(folder: Path) -> None:
    for _ in range(2):
        publish(Certificates().pem, folder, folder.parent / "system.crt")
    assert subjects(folder / BUNDLE) == 2
    assert sorted(path.name for path in folder.iterdir()) == sorted([ADDED, BUNDLE, POLICY])


def test_without_a_network_the_callers_variables_are_all() -> None:
    assert merged({"A": "1", "HTTPS_PROXY": "mine"}, None) == {"A": "1", "HTTPS_PROXY": "mine"}


def test_the_networks_variables_win() -> None:
    found = merged({"A": "1", "HTTPS_PROXY": "mine", "SSL_CERT_FILE": "/mine"}, NETWORK)
    assert found["A"] == "1"
    assert found["HTTPS_PROXY"] == found["http_proxy"] == PROXY
    assert found["SSL_CERT_FILE"] == variables()["SSL_CERT_FILE"]


def test_options_for_node_are_joined() -> None:
    found = merged({"NODE_OPTIONS": "--max-old-space-size=512"}, NETWORK)["NODE_OPTIONS"]
    assert found.startswith("--require=")
    assert found.endswith(" --max-old-space-size=512")


def test_a_model_is_told_what_the_network_is() -> None:
    with_network = compose(None, Surroundings(has_network=True)) or ""
    without = compose(None, Surroundings()) or ""
    assert "HTTP and HTTPS only" in with_network
    assert "no network access" not in with_network
    assert "no network access" in without
