from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli.archive import MAX_HEADER_BYTES, Packing, safe_path, unpack
from runtime.errors import InvalidRequest, PayloadTooLarge
from tests.support.shell import Shell
from tests.support.wire_controller import Wire

ENV = "0123456789abcdef0123456789abcdef"


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: object) -> tuple:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for field, value in more.items():
        setattr(info, field, value)
    return info, data


def archive(*members: tuple, format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


LONG = "folder/" + "n" * 150 + "/" + "ü" * 60 + ".txt"


@pytest.mark.parametrize("size", [1, 511, 512, 1000, 10**6])
@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_unpacks_what_tar_packs(tmp_path: Path, size: int, format: int) -> None:
    names = {"a.txt": b"a" * 700, "empty": b"", "b/c/d.bin": bytes(range(256)) * 4}
    if format != tarfile.USTAR_FORMAT:
        names[LONG] = b"long"
    data = archive(
        member("b", kind=tarfile.DIRTYPE),
        *(member(name, content) for name, content in names.items()),
        format=format,
    )

    copied = unpack(pieces(data, size), tmp_path)

    assert (copied.files, copied.skipped) == (len(names), [])
    assert copied.size_bytes == sum(map(len, names.values()))
    for name, content in names.items():
        assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a/.."])
def test_names_that_lead_elsewhere_are_skipped(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()

    copied = unpack([archive(member(name, b"evil"), member("good", b"good"))], inside)

    assert copied.skipped == [name]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["good", "inside"]


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
)
def test_links_and_devices_are_skipped(tmp_path: Path, kind: bytes) -> None:
    link = member("link", kind=kind, linkname="/etc/passwd")

    copied = unpack([archive(link, member("good", b"good"))], tmp_path)

    assert (copied.files, copied.skipped) == (1, ["link"])
    assert [path.name for path in tmp_path.iterdir()] == ["good"]


def test_nothing_is_written_through_a_link_that_is_there(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (inside / "door").symlink_to(outside)
    (outside / "file").write_text("kept", encoding="utf-8")
    (inside / "file").symlink_to(outside / "file")

    copied = unpack([archive(member("door/x", b"evil"), member("file", b"evil"))], inside)

    assert copied.skipped == ["door/x", "file"]
    assert (outside / "file").read_text(encoding="utf-8") == "kept"
    assert [path.name for path in outside.iterdir()] == ["file"]


def test_special_bits_are_dropped(tmp_path: Path) -> None:
    unpack([archive(member("s", b"x", mode=0o6777), member("p", b"x", mode=0o600))], tmp_path)

    assert (tmp_path / "s").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "p").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("cut", [100, 512, 600, 1100])
def test_a_stream_that_is_cut_off_is_an_error(tmp_path: Path, cut: int) -> None:
    data = archive(member("a", b"a" * 700))

    with pytest.raises(InvalidRequest, match="ended in the middle"):
        unpack([data[:cut]], tmp_path)


def test_a_stream_that_is_no_tar_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="not a tar"):
        unpack([b"<html>" * 200], tmp_path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_may_not_claim_memory(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 10 * MAX_HEADER_BYTES

    with pytest.raises(InvalidRequest, match="header of 655360 bytes"):
        unpack([info.tobuf(), b"\0" * info.size], tmp_path)


def test_a_header_with_a_number_beyond_all_is_damaged(tmp_path: Path) -> None:
    data = b"9" * 5000 + b" path=x\n"
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(data)

    with pytest.raises(InvalidRequest, match="damaged header"):
        unpack([info.tobuf(), data.ljust(10 * tarfile.BLOCKSIZE, b"\0")], tmp_path)


def test_what_is_packed_can_be_unpacked_and_is_a_tar(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a b/empty").mkdir(parents=True)
    (source / "a b/ü.txt").write_bytes(b"u" * 3000)
    (source / "run.sh").write_bytes(b"#!/bin/sh\n")
    (source / "run.sh").chmod(0o700)
    (source / "link").symlink_to("/etc/passwd")
    target.mkdir()

    packing = Packing(source)
    data = b"".join(packing)
    copied = unpack([data], target)

    assert packing.copied.skipped == ["link"]
    assert (copied.files, copied.size_bytes) == (2, 3010)
    assert (packing.copied.files, packing.copied.size_bytes) == (2, 3010)
    assert (target / "a b/ü.txt").read_bytes() == b"u" * 3000
    assert (target / "a b/empty").is_dir()
    assert (target / "run.sh").stat().st_mode & 0o777 == 0o755
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert sorted(tar.getnames()) == ["a b", "a b/empty", "a b/ü.txt", "run.sh"]


def test_an_archive_of_files_without_end_is_stopped(tmp_path: Path) -> None:
    data = archive(*(member(name) for name in "abc"))
    assert unpack([data], tmp_path / "all", most_members=3).files == 3
    with pytest.raises(PayloadTooLarge, match="stopped after 2 files and folders"):
        unpack([data], tmp_path / "some", most_members=2)
    assert not (tmp_path / "some/c").exists()


def test_the_safe_path_stays_below_its_root(tmp_path: Path) -> None:
    assert safe_path(tmp_path, "a/./b") == tmp_path / "a/b"
    assert safe_path(tmp_path, "a\0b") is None


def test_cp_fetches_a_file(connected: Shell, wire: Wire, tmp_path: Path) -> None:
    wire.files = {"workspace/report.html": b"<p>"}
    (tmp_path / "folder").mkdir()

    named = connected("cp", f"{ENV}:report.html", "mine.html")
    inside = connected("cp", f"{ENV}:/workspace/report.html", "folder")

    assert (named.returncode, named.stderr) == (0, "1 file, 3 B\n")
    assert inside.returncode == 0
    assert (tmp_path / "mine.html").read_bytes() == b"<p>"
    assert (tmp_path / "folder/report.html").read_bytes() == b"<p>"


def test_cp_fetches_a_folder(connected: Shell, wire: Wire, tmp_path: Path) -> None:
    wire.files = {"workspace/data/a.csv": b"a", "workspace/data/deep/b.csv": b"bb"}

    done = connected("cp", f"{ENV}:data", "copy")

    assert (done.returncode, done.stderr) == (0, "2 files, 3 B\n")
    assert (tmp_path / "copy/deep/b.csv").read_bytes() == b"bb"


@pytest.mark.parametrize("what", ["data", "data/a.bin"])
def test_cp_takes_no_more_than_it_may(
    connected: Shell, wire: Wire, tmp_path: Path, what: str
) -> None:
    wire.files = {"workspace/data/a.bin": b"a" * 5000, "workspace/data/b.bin": b"b" * 5000}

    done = connected("cp", "--limit", "4KiB", f"{ENV}:{what}", "copy")
    unclear = connected("cp", "--limit", "much", f"{ENV}:{what}", "copy")
    enough = connected("cp", "--limit", "1MiB", f"{ENV}:{what}", "copy")

    assert done.returncode == 1
    assert "stopped after 4KiB; take more with a larger --limit" in done.stderr
    assert (unclear.returncode, "--limit: `much` is not a size" in unclear.stderr) == (2, True)
    assert enough.returncode == 0, enough.stderr


def test_cp_of_a_folder_with_one_file_is_a_folder(
    connected: Shell, wire: Wire, tmp_path: Path
) -> None:
    wire.files = {"workspace/data/data": b"a"}

    done = connected("cp", f"{ENV}:data", "copy")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy/data").read_bytes() == b"a"


def test_cp_sends_a_file(connected: Shell, wire: Wire, tmp_path: Path) -> None:
    wire.files = {"workspace/data/x": b"x"}
    (tmp_path / "a.csv").write_bytes(b"abc")

    for target in (f"{ENV}:b.csv", f"{ENV}:data", f"{ENV}:new/"):
        done = connected("cp", "a.csv", target)
        assert (done.returncode, done.stderr) == (0, "1 file, 3 B\n")

    assert set(wire.files) == {
        "workspace/data/x",
        "workspace/b.csv",
        "workspace/data/a.csv",
        "workspace/new/a.csv",
    }


def test_cp_sends_a_folder(connected: Shell, wire: Wire, tmp_path: Path) -> None:
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "src/deep/a.csv").write_bytes(b"abc")
    (tmp_path / "src/link").symlink_to("/etc/passwd")

    done = connected("cp", "src", f"{ENV}:data")

    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "1 file, 3 B",
        "skipped link: not a regular file, or outside",
    ]
    assert wire.files == {"workspace/data/deep/a.csv": b"abc"}


def test_names_that_are_too_long_here_are_skipped(tmp_path: Path) -> None:
    long = "\ufffd" * 100
    copied = unpack([archive(member(long, b"x"), member("short", b"y"))], tmp_path)
    assert (copied.files, copied.skipped) == (1, [long])


def test_cp_of_what_is_not_there_is_one_line(connected: Shell) -> None:
    here = connected("cp", "none", f"{ENV}:x")
    there = connected("cp", f"{ENV}:none", "x")

    assert (here.returncode, here.stderr) == (1, "sandlot: there is no file or folder none\n")
    assert (there.returncode, there.stderr) == (1, "sandlot: Path 'workspace/none' not found.\n")
