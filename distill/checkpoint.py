"""student.safetensors: weights plus, as JSON in its metadata, all that export needs without any other file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..runtime.errors import CheckpointError, ConfigError
from ..runtime.files import atomic_path, sha256_of
from ..runtime.preprocess import Preprocessing
from ..runtime.record import Record
from .models import Classifier, ModelSpec, build_from_spec
from .models.folded import FoldedClassifier
from .models.plain import PLAIN, as_classifier
from .models.rounding import is_range
from .models.weights import told_misfit

_KEY = "edgedistill"


class ModelCard(Record):
    """What a checkpoint says about itself.

    Attributes:
        edgedistill: version that wrote it.
        name: of the run.
        model: enough to build the network again (its `pretrained` and `class_embeddings` are dropped: both are here).
        classes: C names in the order of the logits.
        preprocessing: image file -> graph input, shared by training's evaluation, export and the device.
        thresholds: per class, the probability of the best F1 on the validation part.
        metrics: of the selected epoch on the validation part, in points.
        recipe_sha256: of the resolved recipe.
        int8_ranges: (low, high) of each rounded activation of a student that was trained in int8, whose weights are
            those of its deploy form; see `models.folded`.
    """

    edgedistill: str
    name: str
    model: ModelSpec
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    thresholds: tuple[float, ...]
    metrics: dict[str, float] = {}
    recipe_sha256: str = ""
    int8_ranges: dict[str, tuple[float, float]] = {}


@dataclass(frozen=True)
class Student:
    """A trained model with its card, in eval mode on the CPU."""

    model: Classifier
    card: ModelCard
    path: Path

    @property
    def sha256(self) -> str:
        """Of the checkpoint file."""
        return sha256_of(self.path)

    @property
    def weights_sha256(self) -> str:
        """Of names and values alone: equal for the same weights under another card."""
        return digest_weights(self.model)


def digest_weights(model: nn.Module) -> str:
    """SHA-256 over names and values of everything that a checkpoint of `model` holds."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def save_student(path: Path, model: Classifier, card: ModelCard) -> None:
    """Write weights and card."""
    if isinstance(model, FoldedClassifier):
        card = msgspec.structs.replace(card, int8_ranges=model.int8_ranges)
    state = {
        key: value.detach().to("cpu").contiguous() for key, value in model.state_dict().items() if not is_range(key)
    }
    with atomic_path(path) as temporary:
        try:
            save_file(_apart(state), temporary, metadata={_KEY: msgspec.json.encode(card).decode()})
        except SafetensorError as error:  # how it reports a full disk
            raise OSError(str(error)) from error


def _apart(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor with memory of its own, as safetensors wants it: CoaT's blocks share layers."""
    seen: set[int] = set()
    found = {}
    for key, value in state.items():
        place = value.untyped_storage().data_ptr()
        found[key] = value.clone() if place in seen else value
        seen.add(place)
    return found


def load_student(path: str | Path, network: nn.Module | None = None) -> Student:
    """Read a checkpoint written by `save_student`, a student's or a teacher's.

    Args:
        path: of the .safetensors file.
        network: the module that was trained, where it is one that no name builds (see `distil`); it gets the weights.

    Raises:
        CheckpointError: missing, damaged, or not written by edgedistill; or its network is to be given, or another one.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint. `edgedistill distill` and `edgedistill train` write one.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged or not a safetensors file ({error}).") from None
    if _KEY not in metadata:
        raise CheckpointError(f"{path}: bare weights without an edgedistill card; use them as a model's `pretrained:`.")
    try:
        card = msgspec.json.decode(metadata[_KEY], type=ModelCard)
    except msgspec.DecodeError as error:
        raise CheckpointError(f"{path}: its card cannot be read ({error}): written by another version?") from None
    model = _rebuilt(card, state, path) if network is None else _adopted(network, card)
    if card.int8_ranges:
        model = FoldedClassifier(model)
    if misfit := told_misfit({key: value for key, value in model.state_dict().items() if not is_range(key)}, state):
        which = "its own card" if network is None else f"the given {type(network).__name__}"
        raise CheckpointError(f"{path}: the file's weights do not fit {which}: it {misfit}.")
    model.load_state_dict(state)
    return Student(model.eval().requires_grad_(False), card, path)


def _rebuilt(card: ModelCard, state: dict[str, Tensor], path: Path) -> Classifier:
    if card.model.name.startswith(PLAIN):
        raise CheckpointError(
            f"{path}: holds the weights of {card.model.name.removeprefix(PLAIN)}, which no name builds: "
            "`load_student(path, network=...)` with such a module, or register it as a backbone (docs/python.md)."
        )
    try:
        return build_from_spec(
            msgspec.structs.replace(card.model, pretrained=None, class_embeddings=None),
            len(card.classes),
            mean=card.preprocessing.mean,
            std=card.preprocessing.std,
            class_embeddings=next((state[key] for key in state if key.endswith("head.class_embeddings")), None),
        )
    except ConfigError as error:
        raise CheckpointError(f"{path}: its network cannot be built here: {error}") from None


def _adopted(network: nn.Module, card: ModelCard) -> Classifier:
    return as_classifier(network, len(card.classes), card.preprocessing, who="checkpoint's network")
