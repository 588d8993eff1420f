"""What a method reads of student and teacher, and not every network, file or program shows."""

from collections.abc import Iterable

from ...runtime.errors import ConfigError
from ..models import Classifier, TeacherModel
from ..models.branches import branch_for
from .base import Method

_WORDS = {"pooled": "pooled features", "stages": "feature maps"}
_PLACES = frozenset({"stages", "attention"})  # what is compared place by place
_OF_OTHER_CLASSES = frozenset({"pooled"})  # what a network with other classes than the data's shows beside logits


def require_maps(method: Method, model: TeacherModel, who: str, way_out: str = "another network") -> None:
    """Raise ConfigError, naming method and network, where the method reads what a network without feature maps lacks.

    Args:
        method: the objective.
        model: of teacher or student.
        who: begins the message.
        way_out: what else there is than a method on logits.
    """
    if method.needs - {"partition_logits"} and isinstance(model, Classifier) and not model.has_maps:
        raise ConfigError(
            f"{who} is taken as its library computes it, which shows no feature maps, and the method "
            f"{type(method).__name__} reads its {_in_words(method.needs)}. Choose a method on logits (kd, mld, mse, "
            f"...), or {way_out}."
        )


def require_learned(method: Method, teacher: Classifier, who: str) -> None:
    """Raise ConfigError where the method reads what a teacher must have learned in a branch, and this one has none.

    Args:
        method: the objective.
        teacher: with the branches that it was trained with.
        who: begins the message.
    """
    for need in sorted(method.needs):
        branch = branch_for(need)
        if branch is not None and need not in teacher.gives:
            raise ConfigError(
                f"{who} gives no {_in_words([need])}, which the method {type(method).__name__} reads and a teacher "
                f'must have learned: build it with `build_model(..., branches=["{branch}"])` and teach it first, or '
                "choose a method on logits (kd, mld, mse, ...)."
            )


def require_shown(method: Method, whom: str, where: str, *, outside: bool, mapped: bool) -> None:
    """Raise ConfigError where a method reads more of a teacher than is known of it.

    Args:
        method: the objective.
        whom: the teacher, after "of".
        where: begins the message.
        outside: whether it is a function, a graph or a file, of which the scores are all that is known.
        mapped: whether its classes are others than the data's.
    """
    if not method.needs_teacher or not (outside or mapped):
        return
    lacking = method.needs - (frozenset() if outside else _OF_OTHER_CLASSES)
    if lacking:
        shown = "scores" if outside else "logits and pooled features"
        raise ConfigError(
            f"{where}: method {type(method).__name__} reads the teacher's {_in_words(lacking)}, and of {whom} {shown} "
            "are all that is known: choose a method on logits (kd, mse, ps, mld, mdkd)."
        )


def require_one_size(method: Method, where: str) -> None:
    """Raise ConfigError where a method compares maps place by place, of a teacher that is shown another size.

    Args:
        method: the objective.
        where: begins the message, and names the key.
    """
    places = sorted(method.needs & _PLACES)
    if method.needs_teacher and places:
        raise ConfigError(
            f"{where}: method {type(method).__name__} compares the teacher's {places[0]} with the student's place by "
            "place, which have one size only where both are shown one: leave it out."
        )


def _in_words(needs: Iterable[str]) -> str:
    return " and ".join(_WORDS.get(need, need.replace("_", " ")) for need in sorted(needs))
