"""The report as text for people. Pure."""

from __future__ import annotations

from bench.figures import Figure, Report

_HEAD = ("figure", "measured", "p95", "floor", "ratio", "difference", "target", "")
_SIGNS = {True: "≥", False: "≤"}


def render(report: Report) -> str:
    """A table, then what each figure and floor is, then what could not be measured."""
    rows = [_HEAD, *(_row(figure) for figure in report.figures)]
    lines = [_machine_line(report), "", *_align(rows), ""]
    for figure in report.figures:
        lines += _explain(figure)
    lines += [f"{one.name}: not measured: {one.reason}" for one in report.missing]
    return "\n".join(lines).rstrip() + "\n"


def _machine_line(report: Report) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    return f"{facts}{' (quick: few rounds)' if report.quick else ''}"


def _row(figure: Figure) -> tuple[str, ...]:
    unit, p95, ratio, excess = figure.unit, figure.measured.p95, figure.ratio, figure.excess
    return (
        figure.name,
        f"{number(figure.measured.median)} {unit}",
        "" if p95 is None else f"{number(p95)} {unit}",
        "" if figure.floor is None else f"{number(figure.floor.samples.median)} {unit}",
        "" if ratio is None else f"{ratio:.2f} x",
        "" if excess is None else f"{_signed(excess)} {unit}",
        _target(figure),
        figure.verdict,
    )


def _target(figure: Figure) -> str:
    target = figure.target
    sign = _SIGNS[target.at_least]
    match target.basis:
        case "ratio":
            return f"{sign} {target.limit:.2f} x floor"
        case "excess":
            return f"{sign} floor + {number(target.limit)} {figure.unit}"
        case "value":
            return f"{sign} {number(target.limit)} {figure.unit}"


def _explain(figure: Figure) -> list[str]:
    lines = [f"{figure.name}: {figure.what}"]
    if figure.floor is not None:
        lines.append(f"    floor: {figure.floor.what}")
    if figure.details:
        details = ", ".join(f"{name} {number(value)}" for name, value in figure.details.items())
        lines.append(f"    {details}")
    return lines


def number(value: float) -> str:
    """Three digits that count, all digits before the point, no exponent."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _signed(value: float) -> str:
    return f"+{number(value)}" if value >= 0 else number(value)


def _align(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for row in rows:
        first, *rest = (
            cell.ljust(width) if index in (0, len(row) - 1) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    return lines
