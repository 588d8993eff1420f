"""What every app for a phone takes along of a bundle, and is told of it: names that a phone's tools accept, limits."""

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...runtime.bundle import Artifact, Bundle
from ...runtime.precisions import precision_of
from .contents import choose_artifacts, table, write_contents
from .template import copy_templates

FORMATS = ("onnx", "ort")
_LONGEST = 40


def write_phone_app(kind: str, bundle: Bundle, out: Path, *, assets: str, artifacts: Sequence[str] | None) -> Path:
    """Copy the templates of `kind`, and below `assets` the bundle and app.json.

    app.json has the artifacts, the default first, and what a self-test allows of each: how far its logits may be from
    the training framework's. So that the apps need no copy of that rule.

    Args:
        kind: of the package.
        bundle: opened.
        out: where nothing is yet.
        assets: a folder within `out`.
        artifacts: those that the app is to have; by default those for a CPU that it can run.

    Raises:
        BundleError: no such artifact, or a file is not what the manifest lists.
        ConfigError: the app can run none of the artifacts.
    """
    chosen = phone_artifacts(bundle, kind, artifacts)
    copy_templates(kind, out, phone_values(bundle, chosen))
    write_contents(bundle, chosen, out / assets / "bundle")
    facts = {"artifacts": [_limits(bundle, one) for one in chosen]}
    (out / assets / "app.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return out


def phone_values(bundle: Bundle, artifacts: Sequence[Artifact]) -> dict[str, object]:
    """What the templates of a phone's app are filled in with."""
    name = bundle.manifest.name or "Classifier"
    return {
        "name": name,
        "android_name": _in_an_android_string(name),
        "slug": slug(name),
        "dashed": slug(name).replace("_", "-"),
        "classes": len(bundle.manifest.classes),
        "height": bundle.manifest.preprocessing.size[0],
        "width": bundle.manifest.preprocessing.size[1],
        "artifacts": table(artifacts),
        "photographs": len(bundle.manifest.selftest),
    }


def phone_artifacts(bundle: Bundle, kind: str, names: Sequence[str] | None) -> list[Artifact]:
    """Those that ONNX Runtime on a phone's CPU runs; what export verified comes first, and is the default."""
    fit = choose_artifacts(
        bundle,
        kind,
        names,
        formats={"onnxruntime": FORMATS},
        target="onnxruntime-mobile-int8",
        devices=("cpu",),
    )
    return sorted(fit, key=lambda one: one.status != "verified")


def slug(name: str) -> str:
    """A name of ASCII letters, digits and _ that no language has as a keyword: `classifier_<what is left of it>`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain)[:_LONGEST].strip("_")
    return f"classifier_{words}".rstrip("_")


def _limits(bundle: Bundle, artifact: Artifact) -> dict[str, object]:
    logits = np.array([golden.logits for golden in bundle.manifest.selftest], dtype=np.float64)
    if not logits.size:
        return {"name": artifact.name, "largest": 0.0, "mean": None}
    row, parity = precision_of(artifact.precision), artifact.parity
    largest, mean = (None, None) if parity is None else (parity.max_abs_logit, parity.golden_mean_abs_logit)
    return {
        "name": artifact.name,
        "largest": row.shipped(logits, largest),
        "mean": row.shipped_mean(logits, mean),
    }


def _in_an_android_string(text: str) -> str:
    r"""Within the double quotes of a value in res/values, before it is escaped as XML."""
    return re.sub(r"([\\\"'])", r"\\\1", text)
