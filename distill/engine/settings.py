"""How a model is trained: the `train:` section of a recipe."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ...runtime.config import Config


class TrainSettings(Config):
    """Hyper-parameters of one training.

    Attributes:
        epochs: passes over the training part.
        batch_size: images per step.
        lr: peak learning rate.
        optimizer: "adam" (L2 weight decay, as the papers' code), "adamw" (decoupled) or "sgd" (momentum 0.9, Nesterov).
        weight_decay: on weights only, never on biases and normalisation.
        schedule: "onecycle" or "cosine", both per step.
        warmup: share of all steps during which the rate rises (onecycle's pct_start; linear for cosine).
        ema: decay of the exponential moving average of the weights, which is then what is evaluated and saved;
            None trains without. It ramps up over the first steps, so short trainings may use it too.
        augment: steps by name, in order, after resizing.
        precision: "auto" is bf16 where the device computes it natively and the network gains from it, else fp32.
        clip_grad_norm: largest gradient norm, or None.
        workers: decoding processes; None chooses.
        evaluate_every: epochs between evaluations on the validation part; the last epoch is always evaluated.
    """

    epochs: Annotated[int, Meta(ge=1)]
    batch_size: Annotated[int, Meta(ge=1)] = 64
    lr: Annotated[float, Meta(gt=0)] = 1e-4
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: Annotated[float, Meta(ge=0)] = 1e-4
    schedule: Literal["onecycle", "cosine"] = "onecycle"
    warmup: Annotated[float, Meta(ge=0, le=1)] = 0.2
    ema: Annotated[float, Meta(gt=0, lt=1)] | None = None
    augment: list[Any] = msgspec.field(default_factory=lambda: ["flip", "cutout"])
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    clip_grad_norm: Annotated[float, Meta(gt=0)] | None = None
    workers: Annotated[int, Meta(ge=0)] | None = None
    evaluate_every: Annotated[int, Meta(ge=1)] = 1
