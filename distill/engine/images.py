"""A job's images: the views that it trains on, batches of them, and what it evaluates."""

import torch
from rich.console import Console
from torch.utils.data import DataLoader

from ...runtime.datasets import UNKNOWN
from ...runtime.progress import print_line
from ..data.decoded import DecodedImages
from ..data.loader import Batch, EpochSampler, choose_workers, training_loader
from ..data.on_device import DeviceLoader, device_images, fits_device, nbytes
from ..data.views import Views
from .evaluate import share_of
from .job import Job
from .world import World


def build_views(job: Job) -> Views:
    """The views that the job trains on."""
    settings = job.settings
    decoded = DecodedImages(
        job.train,
        job.card.preprocessing,
        decode=settings.decode,
        cache=settings.decoded_cache,
        folder=job.cache_folder / "images",
        passes=settings.epochs,
    )
    seed = job.seed if settings.view_seed is None else settings.view_seed
    return Views(
        job.train,
        decoded,
        settings.augment,
        seed=seed,
        count=settings.views,
        mixed=settings.mix is not None,
        where=job.title,
    )


def validation_images(job: Job, world: World) -> DecodedImages:
    """What this process evaluates of the validation part, decoded as on a device and kept between the epochs."""
    return DecodedImages(
        share_of(job.validation, world),
        job.card.preprocessing,
        decode="full",
        cache=job.settings.decoded_cache,
        folder=job.cache_folder / "images",
        passes=-(-job.settings.epochs // job.settings.evaluate_every),
        part="validation",
    )


def open_loader(
    job: Job,
    views: Views,
    sampler: EpochSampler,
    *,
    device: torch.device,
    console: Console,
    world: World,
    ended: bool,
) -> "DataLoader[Batch] | DeviceLoader":
    """Batches from the device's own memory where the images are kept there, else from loading processes."""
    settings = job.settings
    if ended or not fits_device(settings.decoded_cache, views, device, settings.mix, job.title):
        return training_loader(job.train, views, sampler, workers=settings.workers, device=device, mix=settings.mix)
    if world.is_main:
        print_line(
            console,
            f"{job.title}: {len(views):,} decoded images, {nbytes(views.decoded) / 1e9:.2g} GB, are kept in the memory "
            f"of {device} (`decoded_cache: memory`, `disk` or `off` keeps them elsewhere)",
        )
    images = device_images(views.decoded, device, choose_workers(job.train, settings.workers, device))
    return DeviceLoader(job.train, images, views, sampler, workers=settings.workers)


def tell_disk_cache(job: Job, images: DecodedImages, console: Console, world: World) -> None:
    """Say what was chosen by itself to be written for good."""
    if world.is_main and job.settings.decoded_cache == "auto" and images.cache == "disk":
        print_line(
            console,
            f"{job.title}: {images.cache_bytes / 1e9:.2g} GB of decoded images are kept for later epochs and runs in "
            f"{job.cache_folder / 'images'} (`decoded_cache: off` keeps none)",
        )


def tell_unknown(job: Job, batch_size: int, console: Console, world: World, *, taught: bool) -> None:
    """Say what images of which no label is known mean, which no term's value shows."""
    images, unknown = len(job.train), int((job.train.labels == UNKNOWN).all(axis=1).sum())
    if not unknown or not world.is_main:
        return
    line = f"{job.title}: no label is known of {unknown:,} of {images:,} training images"
    if not taught:
        line += ": they teach nothing."
    elif job.unknown == "ignore":
        line += ": terms against labels and teacher are 0 there (`data.unknown: distil` lets the teacher speak)."
    else:
        labelled = batch_size * (images - unknown) / images
        line += f", which the teacher alone teaches; of a step's {batch_size} images about {labelled:.3g} have labels."
    print_line(console, line)
