"""Tiny packages for indexes in tests, made on the spot."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile


def python_pages(name: str, module: str) -> dict[str, bytes]:
    """What an index has of a Python package with one module: its page and a wheel."""
    wheel = f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    page = f"<html><body><a href='/packages/{wheel}'>{wheel}</a></body></html>"
    return {f"/simple/{name}/": page.encode(), f"/packages/{wheel}": packed.getvalue()}


def node_pages(name: str, module: str, registry: str) -> dict[str, bytes]:
    """What a registry has of a Node.js package with a program of its name that runs `module`."""
    manifest = {"name": name, "version": "1.0.0", "bin": {name: "index.js"}, "main": "index.js"}
    files = {
        "package/package.json": json.dumps(manifest),
        "package/index.js": f"#!/usr/bin/env node\n{module}\n",
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text), 0o755
            archive.addfile(entry, io.BytesIO(text.encode()))
    tarball = packed.getvalue()
    digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    url = f"{registry}/{name}/-/{name}-1.0.0.tgz"
    version = {**manifest, "dist": {"tarball": url, "integrity": f"sha512-{digest}"}}
    document = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    return {f"/{name}": json.dumps(document).encode(), f"/{name}/-/{name}-1.0.0.tgz": tarball}
