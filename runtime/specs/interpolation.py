"""`${env:NAME}` in the values of a file: secrets stay out of files that are shared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runtime.specs.file_models import Interpolated
from runtime.specs.mistakes import Loc
from runtime.specs.yaml_marks import Document

_REFERENCE = re.compile(r"\$\{([^}]*)\}?")
_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


def interpolate(document: Document, value: Any, environ: Mapping[str, str], loc: Loc = ()) -> Any:
    """`value`, found at `loc`, with its variables put in. Mistakes are added to `document`."""
    if isinstance(value, dict):
        return {
            key: interpolate(document, item, environ, (*loc, key)) for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            interpolate(document, item, environ, (*loc, index)) for index, item in enumerate(value)
        ]
    if not isinstance(value, str) or "${" not in value:
        return value
    found = _REFERENCE.findall(value)
    problems = [problem for reference in found if (problem := _problem(reference, environ))]
    document.mistakes += [document.mistake(loc, problem) for problem in problems]
    if problems:
        return value
    return Interpolated(_REFERENCE.sub(lambda match: environ[match[1][len("env:") :]], value))


def _problem(reference: str, environ: Mapping[str, str]) -> str | None:
    match = _VARIABLE.fullmatch(reference)
    if match is None:
        return f"`${{{reference}}}` is not understood; write `${{env:NAME}}`"
    if not environ.get(match[1]):
        return f"the environment variable {match[1]} is not set"
    return None
