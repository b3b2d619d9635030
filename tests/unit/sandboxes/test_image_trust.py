from __future__ import annotations

from pathlib import Path

import pytest

from runtime.sandboxes.image_plan import ContextFile
from runtime.sandboxes.image_trust import (
    apt_settings,
    collect,
    debian_mirrors,
    pip_settings,
    proxy_arguments,
)


def test_apt_keeps_what_decides_how_to_reach_a_mirror() -> None:
    dump = """\
APT::Architecture "amd64";
Acquire::http::Proxy "http://proxy:3128";
Acquire::https::Proxy::mirror "DIRECT";
Acquire::Check-Valid-Until "false";
Acquire::GzipIndexes "true";
Dir::Etc "etc/apt";
DPkg::Post-Invoke:: "rm -rf /";
"""
    assert apt_settings(dump).splitlines() == [
        'Acquire::Retries "3";',
        'Acquire::http::Proxy "http://proxy:3128";',
        'Acquire::https::Proxy::mirror "DIRECT";',
        'Acquire::Check-Valid-Until "false";',
    ]


def test_the_mirrors_of_debian_are_told_from_others() -> None:
    targets = """\
http://other/repo/|Docker|Docker CE
http://mirror/debian/|Debian|Debian
http://mirror/debian/|Debian|Debian
http://mirror/security/|Debian|Debian-Security
file:/srv/debian/|Debian|Debian Backports
"""
    assert debian_mirrors(targets) == "http://mirror/debian/\nhttp://mirror/security/\n"


@pytest.mark.parametrize(
    "targets",
    ["", "http://archive/ubuntu/|Ubuntu|Ubuntu\n", "file:/srv/debian/|Debian|Debian\n"],
)
def test_a_machine_without_a_mirror_of_debian_names_none(targets: str) -> None:
    assert debian_mirrors(targets) == ""


def test_pip_keeps_where_packages_come_from() -> None:
    listing = """\
:env:.default-timeout='180'
:env:.find-links='/opt/wheels'
global.cert='/etc/ssl/certs/ca-certificates.crt'
global.extra-index-url='file:///srv/simple https://more/simple'
global.index-url='https://user:secret@index/simple'
global.no-color='true'
"""
    assert pip_settings(listing).splitlines() == [
        "[global]",
        "extra-index-url = https://more/simple",
        "index-url = https://user:secret@index/simple",
        "timeout = 180",
    ]


def test_the_environment_wins_over_the_files_of_pip() -> None:
    listing = ":env:.index-url='https://env/simple'\nglobal.index-url='https://file/simple'\n"
    assert "index-url = https://env/simple" in pip_settings(listing)


def test_pip_without_settings_gets_an_empty_file() -> None:
    assert pip_settings("") == "[global]\n"


def test_proxies_are_passed_by_the_names_that_builders_hide() -> None:
    variables = {"HTTPS_PROXY": "http://p", "no_proxy": "", "SECRET": "x", "http_proxy": "http://q"}
    assert proxy_arguments(variables) == {"http_proxy": "http://q", "HTTPS_PROXY": "http://p"}


def test_every_file_is_there_even_when_the_machine_has_nothing(tmp_path: Path) -> None:
    files = collect({"SSL_CERT_FILE": str(tmp_path / "missing")})
    assert [file.name for file in files] == [
        "trust/apt.conf",
        "trust/mirrors",
        "trust/pip.conf",
        "trust/ca.crt",
    ]
    assert files[-1] == ContextFile("trust/ca.crt", b"")


def test_certificates_are_the_ones_that_this_machine_trusts(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text("a certificate", "utf-8")
    assert collect({"SSL_CERT_FILE": str(bundle)})[-1].data == b"a certificate"
