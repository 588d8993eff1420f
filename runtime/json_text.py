"""JSON of values that may repeat a file name whose bytes are no text, which JSON in UTF-8 cannot hold."""

from collections.abc import Callable
from typing import Any

import msgspec

from .errors import printable

_SURROGATES = ("\ud800", "\udfff")


def encode_json(value: object, enc_hook: Callable[[Any], Any] | None = None) -> bytes:
    r"""One line of JSON; a byte of a name that is no text is told as `\xff`.

    Args:
        value: what msgspec encodes.
        enc_hook: of what it does not, see `msgspec.json.encode`.
    """
    try:
        return msgspec.json.encode(value, enc_hook=enc_hook)
    except UnicodeEncodeError:
        return msgspec.json.encode(_encodable(msgspec.to_builtins(value, enc_hook=enc_hook)))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        first, last = _SURROGATES
        return "".join(printable(one) if first <= one <= last else one for one in value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(entry) for entry in value]
    return value
