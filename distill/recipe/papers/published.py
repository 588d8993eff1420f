"""What a paper prints of an experiment, and whether a changed recipe is still that experiment."""

import copy
from typing import Any, Literal

from ....runtime.config import Config

_SECTIONS = ("data", "input", "teacher", "student", "method", "tasks")
_FREE = ("workers", "decoded_cache", "save_minutes", "skip_limit", "loggers", "cache", "class_embeddings")


class Published(Config, omit_defaults=True):
    """What a paper prints of one experiment, all in percent.

    Attributes:
        table: where it is printed, e.g. "L2D, Table 1".
        figures: by metric: mAP, CP, CR, CF1 (of CP and CR) or CF1_mean (the mean of the classes' F1, which L2D and MDKD
            print as CF1), OP, OR, OF1; `<metric>_top3` of the three highest scores of each image; `mAP_difficult` over
            the test images with a difficult label.
        ap: average precision of each class.
        teacher: the teacher's own figures.
        threshold: how F1 was taken: a probability, or "oracle_k" (the image's number of labels); None: the paper does
            not say.
        note: what must be known to compare.
    """

    table: str
    figures: dict[str, float] = {}
    ap: dict[str, float] = {}
    teacher: dict[str, float] = {}
    threshold: float | Literal["oracle_k"] | None = None
    note: str = ""


def keep_published(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """A changed recipe's plain data, without the figures that it had as another experiment.

    The experiment is what the recipe says of data, input, networks, method and training, as written: `${VARIABLE}`s
    are not replaced. Free are the settings that decide no result, a file for pretrained weights or class embeddings,
    and a checkpoint for the teacher, which the figures' note then names.

    Args:
        before: the recipe as it comes; not changed.
        after: with the changes made.
    """
    if not before.get("published") or after.get("published") != before["published"]:
        return after
    kept = copy.deepcopy(after)
    given = (kept.get("teacher") or {}).get("checkpoint")
    taught = (before.get("teacher") or {}).get("checkpoint")
    if given and given != taught and before.get("teacher"):
        for entry in kept["published"]:
            entry["note"] = " ".join(filter(None, (entry.get("note"), f"The teacher here is {given}.")))
    if _experiment(before, before) != _experiment(after, before):
        kept["published"] = []
    return kept


def _experiment(recipe: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    sections = {key: _decisive(recipe.get(key)) for key in _SECTIONS}
    if before.get("teacher") and (recipe.get("teacher") or {}).get("checkpoint"):
        sections["teacher"] = _decisive(before["teacher"])
    return sections


def _decisive(value: Any) -> Any:
    if isinstance(value, list):
        return [_decisive(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    found = {key: _decisive(entry) for key, entry in value.items() if key not in _FREE and entry is not None}
    if "pretrained" in found:
        found["pretrained"] = True
    return found
