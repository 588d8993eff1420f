"""The results of benchmarks/losses.py as Markdown, for docs/losses.md."""

import statistics

MIB = 2**20
_DIGITS = 3


def tables(report: dict) -> str:
    """Every part that was measured."""
    made = {"losses": _each_loss, "l2d": _l2d, "mdkd": _mdkd, "precision": _precision, "growth": _growth}
    return "\n\n".join(make(report[part]["found"]) for part, make in made.items() if part in report)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _short(value: float) -> str:
    """Three digits that mean something, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.{_DIGITS}g}"


def _milliseconds(seconds: float | list[float]) -> str:
    return _short(1e3 * (statistics.median(seconds) if isinstance(seconds, list) else seconds))


def _mib(count: float) -> str:
    return _short(count / MIB)


def _each_loss(found: dict) -> str:
    rows = []
    for name, of in found.items():
        plain = of["plain"]
        if "skipped" in plain:
            beside = ["not run", "", "", plain["skipped"]]
        else:
            memory = _mib(plain["peak_bytes"]) if "peak_bytes" in plain else ""
            beside = [_milliseconds(plain["seconds"]), memory, f"{plain['relative_error']:.0e}", ""]
            beside[3] = f"{_short(plain['times_slower'])} x"
        rows.append([f"`{name}`", _milliseconds(of["seconds"]), _mib(of["peak_bytes"]), *beside])
    heads = ["loss", "ms", "MiB", "plain Python, ms", "MiB", "relative difference", "slower, or what it would visit"]
    return _table(heads, rows)


def _l2d(found: dict) -> str:
    rows = []
    for form, name in (("loops", "the authors' loops"), ("library", "`class_and_instance_aware`")):
        values = (f"{value:.7f}" for value in found["values"][form])
        rows.append([name, _milliseconds(found["seconds"][form]), _mib(found["peak_bytes"][form]), *values])
    said = f"{found['times_faster']:.0f} times faster (at least 25 wanted), over {found['positives']} positives."
    return _table(["CD + ID", "ms", "MiB", "CD", "ID"], rows) + "\n\n" + said


def _mdkd(found: dict) -> str:
    names = {
        "bd+id": "BD + ID, orders 2-4",
        "mld+bce": "MLD + BCE",
        "product": "one C x C matrix product",
        "order 2": "BD + ID of order 2",
        "order 4": "BD + ID of order 4",
        "order 6": "BD + ID of order 6",
    }
    rows = [[said, _milliseconds(found["seconds"][name])] for name, said in names.items()]
    said = (
        f"BD + ID take {found['of_the_limit']:.2f} of twice MLD + BCE plus one product (at most 1 wanted); order 6 "
        f"takes {found['order_6_to_4']:.2f} of what order 4 takes."
    )
    return _table(["MDKD", "ms"], rows) + "\n\n" + said


def _precision(found: dict) -> str:
    rows = []
    for distance in dict.fromkeys(error["distance"] for error in found["errors"]):
        for level in ("batch", "instance"):
            errors = [e for e in found["errors"] if (e["distance"], e["level"]) == (distance, level)]
            values = [f"{error['relative_error']:.0e}" for error in errors]
            apart = "independent" if distance is None else f"{distance:g}"
            rows.append([apart, level, *values, f"{max(error['gradient_error'] for error in errors):.0e}"])
    heads = ["logits apart by", "level", *(f"order {e['order']}" for e in errors), "gradient"]
    times = {
        level: " and ".join(_milliseconds(found["seconds"][labels][level]) for labels in ("1000", "10000"))
        for level in ("instance", "batch")
    }
    said = f"Milliseconds at 1,000 and 10,000 labels: instance level {times['instance']}, batch level {times['batch']}."
    return _table(heads, rows) + "\n\n" + said


def _growth(found: list[dict]) -> str:
    parts = []
    for over in ("classes", "images"):
        of_part = [row for row in found if row["over"] == over]
        sizes = list(dict.fromkeys(row[over] for row in of_part))
        rows = []
        for name in dict.fromkeys(row["loss"] for row in of_part):
            cells = {row[over]: row for row in of_part if row["loss"] == name}
            rows.append([f"`{name}`", *(_cell(cells[size]) for size in sizes)])
        parts.append(_table([f"ms / MiB over {over}", *(f"{size:,}" for size in sizes)], rows))
    return "\n\n".join(parts)


def _cell(row: dict) -> str:
    if "skipped" in row:
        return row["skipped"]
    return f"{_milliseconds(row['seconds'])} / {_mib(row['peak_bytes'])}"
