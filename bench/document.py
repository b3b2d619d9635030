"""The report as JSON for programs. Pure."""

from __future__ import annotations

import json
from typing import Any

from bench.figures import Figure, Report
from bench.samples import Samples

VERSION = 1


def encode(report: Report) -> str:
    """The whole report, every single value included, as indented JSON."""
    return json.dumps(describe(report), indent=2, ensure_ascii=False) + "\n"


def describe(report: Report) -> dict[str, Any]:
    """`{version, started, quick, machine, figures: […], missing: […]}`."""
    return {
        "version": VERSION,
        "started": report.started,
        "quick": report.quick,
        "machine": dict(report.machine),
        "all_met": report.all_met,
        "figures": [_figure(figure) for figure in report.figures],
        "missing": [{"name": one.name, "reason": one.reason} for one in report.missing],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    floor, target = figure.floor, figure.target
    return {
        "name": figure.name,
        "what": figure.what,
        "unit": figure.unit,
        "measured": _samples(figure.measured),
        "floor": None if floor is None else {"what": floor.what, **_samples(floor.samples)},
        "ratio": figure.ratio,
        "difference": figure.excess,
        "target": {"basis": target.basis, "limit": target.limit, "at_least": target.at_least},
        "compared": figure.compared,
        "verdict": figure.verdict,
        "details": dict(figure.details),
    }


def _samples(samples: Samples) -> dict[str, Any]:
    return {
        "median": samples.median,
        "p95": samples.p95,
        "least": samples.least,
        "greatest": samples.greatest,
        "count": len(samples.values),
        "values": list(samples.values),
    }
