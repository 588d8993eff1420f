"""What a recipe asks of its export and cannot have, told before the trainings that come first."""

from collections.abc import Iterator
from contextlib import contextmanager

from .distill.experiment import Experiment
from .distill.recipe.loaded import LoadedRecipe
from .export.opset import check_opset
from .export.optional_outputs import optional_specs
from .export.requested import check_outputs, resolve_targets
from .runtime.errors import ConfigError


def check_export(loaded: LoadedRecipe) -> None:
    """Raise ConfigError, naming the file and the key, for a target, an operator set or an output that cannot be."""
    spec = loaded.recipe.export
    with _naming(loaded, "targets"):
        resolve_targets(loaded.targets())
    with _naming(loaded, "opset"):
        check_opset(spec.opset)
    with _naming(loaded, "outputs"):
        check_outputs(spec.outputs)


def check_student_gives(experiment: Experiment) -> None:
    """Raise ConfigError where the recipe's student, as it is built, cannot give an output that is asked for."""
    recipe = experiment.recipe
    if not recipe.export.outputs:
        return
    model = experiment.untrained_student()
    with _naming(experiment.loaded, "outputs"):
        optional_specs(model, recipe.export.outputs, recipe.input.preprocessing().size)


@contextmanager
def _naming(loaded: LoadedRecipe, key: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{loaded.where}: `export.{key}`: {error}") from None
