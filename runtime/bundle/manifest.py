"""Reading manifest.json: the one way, whatever command reads it."""

import re
from typing import Any

import msgspec

from ..errors import BundleError
from ..record import Record
from .check import manifest_problem
from .records import SCHEMA_VERSION, Manifest

LARGEST_MANIFEST = 64 << 20


class _Head(Record):
    """What is read before anything else."""

    schema_version: Any = None


def decode_manifest(data: bytes, where: str) -> Manifest:
    """Decode and check manifest.json; a newer schema is refused by its number, before anything else is read.

    Fields that this version does not know are ignored.

    Args:
        data: the file's bytes.
        where: the place that a message names.

    Raises:
        BundleError: says what is wrong with it.
    """
    try:
        version = msgspec.json.decode(data, type=_Head).schema_version
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise BundleError(
                f"{where}: schema {version} is newer than this edgedistill reads ({SCHEMA_VERSION}): "
                "upgrade with `pip install -U edgedistill`."
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if unknown := re.fullmatch(r"Invalid enum value '(.*)' - at `\$\.(.*)`", str(error)):
            raise BundleError(
                f"{where}: {unknown[1]!r} is no `{unknown[2]}` that this edgedistill knows: upgrade with "
                "`pip install -U edgedistill`."
            ) from None
        raise BundleError(f"{where}: damaged or not a manifest ({error}). Export or copy the bundle again.") from None
    problem = f"schema {version} does not exist" if version < 1 else manifest_problem(manifest)
    if problem:
        raise BundleError(f"{where}: {problem}. Export or copy the bundle again.")
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """What `decode_manifest` reads, laid out for people."""
    return msgspec.json.format(msgspec.json.encode(manifest))


def manifest_schema() -> dict[str, Any]:
    """JSON schema of manifest.json, for consumers in other languages; its `$id` ends with the version it describes."""
    schema = msgspec.json.schema(Manifest)
    schema["$defs"]["Manifest"]["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:edgedistill:manifest:{SCHEMA_VERSION}",
        **schema,
    }
