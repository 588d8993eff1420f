"""What `verify` and `check` mean by their images: here, sent to a device, or on the device already."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.runtime.errors import ConfigError

if TYPE_CHECKING:
    from edgedistill.remote.sent import OnDevice, Photographs
    from edgedistill.runtime.bundle import Bundle
    from edgedistill.runtime.datasets import Dataset


def labelled_images(
    bundle: "Bundle",
    data: str | None,
    images: Path | None,
    *,
    host: str | None,
    remote_data: str | None,
    page: Path | None,
) -> "Dataset | OnDevice":
    """The data set, opened here, or where it lies on the device.

    Raises:
        ConfigError: neither --data nor --remote-data; --remote-data without a device, with an image folder, or with a
            page of images that are not here.
    """
    from edgedistill.runtime.datasets import open_dataset

    if remote_data is None:
        if data is None:
            raise ConfigError("--data: is missing: the labelled images, such as a .csv (on a device: --remote-data).")
        return open_dataset(data, images=images, classes=bundle.manifest.classes)
    _check_remote(host, page)
    from edgedistill.remote.sent import OnDevice

    if data is None:
        return OnDevice(remote_data, None if images is None else str(images))
    if images is not None:
        raise ConfigError("--images: with --data, --remote-data is the folder of the images: leave it out.")
    return OnDevice(remote_data, labels=Path(data))


def photographs(
    images: Path | None, *, host: str | None, remote_data: str | None, page: Path | None
) -> "Path | Photographs | OnDevice":
    """A folder without labels: here, sent to a device, or there.

    Raises:
        ConfigError: neither --images nor --remote-data; --remote-data without a device, beside --images, or with a page
            of images that are not here.
    """
    if remote_data is None:
        if images is None:
            raise ConfigError("--images: is missing: a folder of photographs (on a device: --remote-data).")
        if host is None:
            return images
        from edgedistill.remote.sent import Photographs

        return Photographs(images)
    _check_remote(host, page)
    if images is not None:
        raise ConfigError("--images: is a folder here, and --remote-data one on the device: leave one of them out.")
    from edgedistill.remote.sent import OnDevice

    return OnDevice(remote_data)


def refuse_folders(**files: Path | None) -> None:
    """Raise ConfigError where a file that is to be written names a folder: told now, and not after the work."""
    for option, path in files.items():
        if path is not None and path.is_dir():
            name = option.rstrip("_")
            raise ConfigError(f"--{name} {path}: is a folder: give the name of a file in it.")


def _check_remote(host: str | None, page: Path | None) -> None:
    if host is None:
        raise ConfigError("--remote-data: is a path on a device: name that by --host.")
    if page is not None:
        raise ConfigError("--page: shows images, and with --remote-data they are not here: leave one of them out.")
