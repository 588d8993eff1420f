"""The bodies of a server's answers; OpenAPI shows them."""

from pydantic import BaseModel, Field

from ..predictor import Prediction, Predictor

BEST = 3  # shown where no class reaches its threshold


class Labels(BaseModel):
    """What the model says of one image."""

    labels: dict[str, float] = Field(
        description="Probability by class, the most probable first: the classes at or above their threshold, or as "
        "many as `top` asks for."
    )
    top: dict[str, float] | None = Field(None, description="Where no class reaches its threshold: the best three.")


class Served(BaseModel):
    """What is served."""

    bundle: str
    artifact: str
    backend: str
    precision: str
    effective: dict[str, str] = Field(description="What the backend says that it really does.")
    classes: list[str]
    thresholds: list[float] = Field(description="By class, the probability from which its label is reported.")
    size: tuple[int, int] = Field(description="Height and width in pixels that every image is resized to.")


class Fault(BaseModel):
    """Why there are no labels."""

    error: str


class Health(BaseModel):
    """How the server is."""

    status: str


def labels_of(prediction: Prediction, top: int | None) -> Labels:
    """The labels of a prediction, or its `top` most probable classes."""
    labels = prediction.top(top) if top else prediction.labels
    return Labels(labels=labels, top=None if labels else prediction.top(BEST))


def served_by(predictor: Predictor) -> Served:
    """What a predictor is."""
    manifest, artifact = predictor.manifest, predictor.artifact
    return Served(
        bundle=manifest.name,
        artifact=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        effective=predictor.effective,
        classes=list(predictor.classes),
        thresholds=list(manifest.thresholds_of(artifact)),
        size=manifest.preprocessing.size,
    )
