"""How a model is trained: the `train:` section of a recipe."""

import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ...runtime.config import Config
from ..data.balance import ClassWeights
from ..data.decoded import Decode, DecodedCache
from ..data.mixing import Mix
from .averaging import Keep, SwaSettings
from .parts import Parts


class TrainSettings(Config):
    """Hyper-parameters of one training.

    Attributes:
        epochs: passes over the training part.
        batch_size: images per optimiser step, of all processes and pieces together.
        accumulate: pieces that each process computes one after the other before the step, to save memory. The loss is
            that of the whole step; for terms that relate images to each other every piece runs through the student
            twice (told at the start). BatchNorm sees a piece, not the batch.
        relations: with several processes, whether such terms see the `gathered` batch of all of them, exactly as one
            process would, or each its `local` part.
        sync_batchnorm: with several processes, normalise over all their images instead of each over its own.
        lr: peak learning rate.
        optimizer: "adam" (L2 weight decay, as the papers' code), "adamw" (decoupled) or "sgd" (momentum 0.9, Nesterov).
        weight_decay: on weights only, never on biases and normalisation.
        parts: what backbone, head and the method's own parts learn with, where that is not what is said here: a share
            of the rate, a weight decay, and for how long they are frozen.
        layer_decay: the rate falls by this factor with every layer of the backbone below the head, as in timm; 0.65 to
            0.8 is usual for fine-tuning transformers. None: one rate.
        schedule: "onecycle", "cosine" or "constant", all per step.
        schedule_epochs: that the schedule is laid out for, where training stops before its end (L2D's teachers: 80,
            stopped after 30); None: `epochs`.
        warmup: share of all steps during which the rate rises (onecycle's pct_start; else linear).
        ema: decay of the exponential moving average of the weights; None trains without. It ramps up over the first
            steps, so short trainings may use it too.
        swa: the plain mean of the weights at the ends of the last epochs, with BatchNorm statistics of its own, for
            which an evaluation shows it the training images once more. None trains without.
        keep: what is evaluated, and saved where its mAP is the best so far: `average`, the averages that there are (the
            trained weights where there is none, or none yet), or `best`, the trained weights beside them.
        augment: steps by name, in order, after resizing.
        sampler: `shuffled` shows every image once an epoch; `balanced` draws each class equally often and then one of
            its images, as many as there are.
        class_weights: of the supervised loss, by class: `inverse_frequency`, `effective_number`, or weights by name;
            None: all alike. See docs/training.md.
        mix: `mixup` or `cutmix`, with `alpha` and `probability`: each image is mixed with another, and so are their
            labels, which the supervised loss then takes as probabilities. A teacher is asked about the mixed image.
        views: how many augmented views an image has, shown in turn by the epochs; None: a new one every epoch. A
            teacher's outputs are cached per view.
        view_seed: of the augmentation; None takes the recipe's seed. Runs with other seeds that share it and the
            training images share a teacher cache.
        decode: `reduced` decodes a large JPEG at a fraction of its size, never below twice the network's input (in
            training only); `full` always as the device does; `fast` takes half the time of a COCO photograph's at 224
            pixels, and changes pixels as much as another resampling filter would.
        decoded_cache: where decoded and resized images of the training and the validation part are kept: `memory`,
            `disk`, `off`; `auto` takes memory where they are small, else the disk where that pays. `device` keeps the
            training part's in the GPU's memory, where batches and their flip, shift, cutout and random_erasing are made
            too, and is `auto` on the host; on a GPU `auto` takes it where they fill a quarter of the free memory at
            most. Every process keeps all of them.
        precision: "auto" is bf16 where the device computes it natively and the network gains from it, else fp32.
        channels_last: memory format of student and teacher; None takes it on a GPU and, for the student, on a CPU where
            it pays: networks of depthwise convolutions in fp32, at 96 pixels and more. Networks on which PyTorch
            crashes in it (RepVGG on a CPU) are refused, or spared by None.
        compile: torch.compile the student; pays off in long trainings on a GPU.
        deterministic: only algorithms that give the same bits every time; slower on a GPU, a CPU needs none.
        clip_grad_norm: largest gradient norm, or None.
        skip_limit: a step whose loss or gradient is not finite is skipped; that many in a row, or all of an epoch's,
            stop the run.
        workers: decoding processes; None chooses.
        evaluate_every: epochs between evaluations on the validation part; the last epoch is always evaluated.
        loggers: where the record of each epoch goes, besides metrics.jsonl: `tensorboard`, `csv`, `mlflow`, `wandb`, or
            a name that an entry point brings.
        save_minutes: between saves within an epoch; every finished epoch is saved too.
    """

    epochs: Annotated[int, Meta(ge=1)]
    batch_size: Annotated[int, Meta(ge=1)] = 64
    accumulate: Annotated[int, Meta(ge=1)] = 1
    relations: Literal["gathered", "local"] = "gathered"
    sync_batchnorm: bool = False
    lr: Annotated[float, Meta(gt=0)] = 1e-4
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: Annotated[float, Meta(ge=0)] = 1e-4
    parts: Parts = Parts()
    layer_decay: Annotated[float, Meta(gt=0, le=1)] | None = None
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    schedule_epochs: Annotated[int, Meta(ge=1)] | None = None
    warmup: Annotated[float, Meta(ge=0, le=1)] = 0.2
    ema: Annotated[float, Meta(gt=0, lt=1)] | None = None
    swa: SwaSettings | None = None
    keep: Keep = "average"
    augment: list[Any] = msgspec.field(default_factory=lambda: ["flip", "cutout"])
    sampler: Literal["shuffled", "balanced"] = "shuffled"
    class_weights: ClassWeights | None = None
    mix: Mix | None = None
    views: Annotated[int, Meta(ge=1)] | None = None
    view_seed: Annotated[int, Meta(ge=0)] | None = None
    decode: Decode = "reduced"
    decoded_cache: DecodedCache = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    channels_last: bool | None = None
    compile: bool = False
    deterministic: bool = False
    clip_grad_norm: Annotated[float, Meta(gt=0)] | None = None
    skip_limit: Annotated[int, Meta(ge=1)] = 10
    workers: Annotated[int, Meta(ge=0)] | None = None
    evaluate_every: Annotated[int, Meta(ge=1)] = 1
    loggers: list[str] = msgspec.field(default_factory=lambda: ["tensorboard"])
    save_minutes: Annotated[float, Meta(gt=0)] = 10.0

    def __post_init__(self) -> None:
        for key in ("lr", "weight_decay", "clip_grad_norm", "save_minutes"):
            value = getattr(self, key)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{key} {value} is no finite number")
        if self.schedule_epochs is not None and self.schedule_epochs < self.epochs:
            raise ValueError(f"schedule_epochs {self.schedule_epochs} ends before the training's {self.epochs} epochs")

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the resulting weights, as plain data, without what came later and is off."""
        plain = msgspec.to_builtins(self)
        came_later = {"parts": Parts(), "layer_decay": None, "swa": None, "keep": "average"}
        came_later |= {"mix": None, "sampler": "shuffled", "class_weights": None}
        off = {key for key, value in came_later.items() if getattr(self, key) == value}
        for key in {"workers", "decoded_cache", "save_minutes", "skip_limit", "loggers"} | off:
            del plain[key]
        return plain
