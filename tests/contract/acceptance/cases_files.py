"""Environments and their files."""

from __future__ import annotations

import io
import tarfile

from tests.contract.acceptance.manifest import HTTP
from tests.contract.acceptance.registry import acceptance
from tests.contract.acceptance.world import World, fence, raised, refused, unique


def packed(**files: bytes) -> bytes:
    """A tar.gz of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{name}.txt")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@acceptance(48)
async def environments_are_listed_read_and_deleted(world: World) -> None:
    environments = world.sdk.environments
    made = (await world.create("Hi", environment="remote")).environment_id
    listed = await environments.list(page_size=10)
    assert listed.environments[0].id == made
    assert 2 <= len(listed.environments) <= 10
    first = await environments.list(page_size=1)
    assert [one.id for one in first.environments] == [made]
    second = await environments.list(page_size=1, page_token=first.next_page_token)
    assert [one.id for one in second.environments] == [listed.environments[1].id]
    found = await environments.get(id=made)
    assert (found.id, found.status) == (made, "active") and found.created and found.last_accessed
    await environments.delete(id=made)
    error = await refused("NotFoundError", environments.get, id=made)
    assert error["code"] == "not_found"
    assert made not in {one.id for one in (await environments.list()).environments}


@acceptance(50, 51, 54)
async def files_are_listed_and_downloaded(world: World) -> None:
    files, environment = world.sdk.environments.files, world.place.environment
    folder = unique("listed")
    code = f"""import os
os.makedirs("{folder}/src/a b", exist_ok=True)
open("{folder}/src/main.py", "w").write("print('grüße')\\n")
open("{folder}/src/a b/deep.txt", "w").write("deep")"""
    await world.create(fence("python", code))
    root = await files.list(environment=environment, path="")
    assert "workspace" in {one.name for one in root.files if one.type == "directory"}
    base = f"workspace/{folder}/src"
    flat = await files.list(environment=environment, path=base)
    assert {one.name for one in flat.files} == {"main.py", "a b"}
    deep = await files.list(environment=environment, path=base, recursive=True)
    assert {one.path for one in deep.files} >= {f"{base}/main.py", f"{base}/a b/deep.txt"}
    one = (await files.list(environment=environment, path=f"{base}/main.py")).files[0]
    assert one.size_bytes == len("print('grüße')\n".encode()) and one.type == "file"
    paged = await files.list(environment=environment, path=base, page_size=1)
    rest = await files.list(
        environment=environment, path=base, page_size=1, page_token=paged.next_page_token
    )
    assert {paged.files[0].name, rest.files[0].name} == {"main.py", "a b"}

    for path in (f"{base}/main.py", f"/{base}/main.py"):
        data = await files.download(environment=environment, path=path)
        assert bytes(data) == "print('grüße')\n".encode()
    spaced = await files.download(environment=environment, path=f"{base}/a b/deep.txt")
    assert bytes(spaced) == b"deep"
    whole = await files.download(environment=environment, path=base)
    with tarfile.open(fileobj=io.BytesIO(bytes(whole))) as tar:
        assert [name for name in tar.getnames() if name.endswith("main.py")]
    for lost in (f"{base}/no.py", "nowhere/at/all"):
        error = await refused("NotFoundError", files.list, environment=environment, path=lost)
        assert error["code"] == "not_found" and lost in error["message"]


@acceptance(52)
async def files_are_uploaded(world: World) -> None:
    files, environment = world.sdk.environments.files, world.place.environment
    path = f"workspace/{unique('data')}/file.txt"
    target = {"environment": environment, "path": path, "mime_type": "text/plain"}
    made = await files.upload(**target, file=io.BytesIO(b"one"), overwrite=True)
    assert made.files[0].name == "file.txt"
    assert bytes(await files.download(environment=environment, path=path)) == b"one"
    hasty = world.client(retry_options={"attempts": 1}).environments.files
    error = await refused("ConflictError", hasty.upload, **target, file=io.BytesIO(b"two"))
    assert error["code"] == "aborted"
    await files.upload(**target, file=io.BytesIO(b"three"), overwrite=True)
    assert bytes(await files.download(environment=environment, path=path)) == b"three"
    seen = await world.create(fence("bash", f"cat /{path}"))
    assert seen.output_text.strip() == "three"


@acceptance(52)
async def a_file_of_several_chunks(world: World) -> None:
    files, environment = world.sdk.environments.files, world.place.environment
    path = f"workspace/{unique('blob')}.bin"
    data = bytes(range(256)) * 66_000
    await files.upload(environment=environment, path=path, file=io.BytesIO(data))
    assert bytes(await files.download(environment=environment, path=path)) == data


@acceptance(53)
async def an_archive_is_unpacked(world: World) -> None:
    files, environment = world.sdk.environments.files, world.place.environment
    folder = f"workspace/{unique('src')}/"
    archive = packed(a=b"one", b=b"two")
    made = await files.upload(
        environment=environment, path=folder, file=io.BytesIO(archive), extract=True
    )
    assert {one.name for one in made.files} >= {"a.txt", "b.txt"}
    again = {"environment": environment, "path": folder, "extract": True}
    error = await raised(files.upload, **again, file=io.BytesIO(archive))
    assert error.code == 409, repr(error)
    listed = await files.list(environment=environment, path=folder.rstrip("/"))
    assert {one.name for one in listed.files} == {"a.txt", "b.txt"}
    assert bytes(await files.download(environment=environment, path=f"{folder}b.txt")) == b"two"


@acceptance(55, kinds=(HTTP,))
async def the_old_address_of_a_snapshot(world: World) -> None:
    name = unique("snapshot")
    made = await world.create(fence("bash", f"echo {name} > {name}.txt"))
    for version in ("v1beta", "v1"):
        path = f"files/environment-{made.environment_id}:download?alt=media"
        data = await world.read(f"{world.place.url}/{version}/{path}")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            (found,) = [entry for entry in tar if entry.name.endswith(f"{name}.txt")]
            content = tar.extractfile(found)
            assert content is not None and content.read().decode().strip() == name
