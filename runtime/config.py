"""Strict YAML -> msgspec structs: an unknown key or a wrong type names the file, the key and what is allowed."""

import difflib
import re
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import ConfigError
from .record import dataclass_transform
from .registry import Registry
from .text_files import read_text

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that is read from YAML: immutable, keyword-only, unknown keys are errors."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises ConfigError naming the file and the line."""
    import yaml  # a prediction reads none

    from .yaml_text import parse_yaml

    text = read_text(path, ConfigError)
    try:
        content = parse_yaml(text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML ({error.problem or error.context}).") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys at the top, found {type(content).__name__}.")
    return content


def decode(content: Any, into: type[T], *, where: str, prefix: str = "") -> T:
    """Convert plain data to the struct `into`.

    Args:
        content: what YAML or JSON gave.
        into: a msgspec struct type.
        where: the file (or "command line") that messages name.
        prefix: dotted path of `content` inside that file.

    Raises:
        ConfigError: names the file, the dotted key, the reason, and the allowed keys or the nearest one.
    """
    try:
        return msgspec.convert(content, into)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), into, content, where, prefix)) from None


def decode_tagged(content: Any, registry: Registry[Any], *, tag: str, where: str, prefix: str) -> Any:
    """Convert a mapping whose `tag` key names an entry of `registry`; the other keys are that entry's fields."""
    if isinstance(content, str):
        content = {tag: content}
    if not isinstance(content, dict) or tag not in content:
        raise ConfigError(f"{where}: `{prefix}` needs the key `{tag}`, one of: {', '.join(registry.names())}.")
    if not isinstance(content[tag], str):
        raise ConfigError(f"{where}: `{prefix}.{tag}`: expected a name, one of: {', '.join(registry.names())}.")
    try:
        into = registry.get(content[tag])
    except ConfigError as error:
        raise ConfigError(f"{where}: `{prefix}.{tag}`: {error}") from None
    fields = {key: value for key, value in content.items() if key != tag}
    return decode(fields, into, where=where, prefix=prefix)


def _explain(message: str, into: Any, content: Any, where: str, prefix: str) -> str:
    of_key = re.match(r"Expected `str`(?:, got `.*`)? - at `key` in `\$(.*)`", message)
    if of_key:
        full = f"{prefix}{of_key.group(1)}".strip(".")
        return f"{where}: `{full or 'the file'}`: a key is not text; put it in quotes."
    reason, _, path = message.partition(" - at `$")
    path = path.rstrip("`")
    dotted = f"{prefix}{path}".strip(".")
    unknown = re.match(r"Object contains unknown field `(.*)`", reason, re.DOTALL)
    if unknown:
        key = unknown.group(1)
        allowed = sorted(_fields_at(into, content, path))
        near = difflib.get_close_matches(key, allowed, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        full = f"{dotted}.{key}" if dotted else key
        return f"{where}: unknown key `{full}`.{hint} Allowed here: {', '.join(allowed)}."
    missing = re.match(r"Object missing required field `(.*)`", reason)
    if missing:
        full = f"{dotted}.{missing.group(1)}" if dotted else missing.group(1)
        return f"{where}: the key `{full}` is required."
    allowed_values = _literals_at(into, content, path)
    hint = f" Allowed: {', '.join(allowed_values)}." if allowed_values else _way_out(reason)
    return f"{where}: `{dotted or 'the file'}`: {reason[0].lower()}{reason[1:]}.{hint}"


def _way_out(reason: str) -> str:
    """What to write where YAML made another type of a text than was meant."""
    types_of = re.match(r"Expected `(.*)`, got `(.*)`", reason)
    if not types_of:
        return ""
    expected, found = types_of.group(1).split(" | "), types_of.group(2)
    if "str" in expected and found in ("int", "float", "bool", "null"):
        return " Put it in quotes if it is meant as text."
    return " Write true or false." if "bool" in expected and found == "str" else ""


def _type_at(into: Any, content: Any, path: str) -> Any:
    """The annotated type at a msgspec error path such as `.train.optimizer` or `.targets[...]`."""
    for key, _ in re.findall(r"\.([A-Za-z_]\w*)|(\[[^\]]*\])", path):
        found = _meant(into, content)
        content = content.get(key) if isinstance(content, dict) else None
        if key and _is_struct(found):
            into = typing.get_type_hints(found).get(key) or _tags(into, key)
        else:
            arguments = typing.get_args(found)
            into = arguments[-1] if arguments else Any
    return _meant(into, content)


def _meant(into: Any, content: Any) -> Any:
    """The member of a union that `content` was written for."""
    members = _members(into)
    structs = [member for member in members if _is_struct(member)]
    if isinstance(content, dict):
        tagged = [s for s in structs if content.get(s.__struct_config__.tag_field) == s.__struct_config__.tag]
        return (tagged or structs or members)[0]
    plain = [member for member in members if content is not None and member not in structs]
    return (plain or structs or members)[0]


def _members(into: Any) -> list[Any]:
    if typing.get_origin(into) in (typing.Union, types.UnionType):
        return [member for member in typing.get_args(into) if member is not type(None)]
    return [into]


def _is_struct(into: Any) -> bool:
    return isinstance(into, type) and issubclass(into, msgspec.Struct)


def _tags(into: Any, key: str) -> Any:
    """The values of the key that tells a union's structs apart, as a Literal."""
    configs = [member.__struct_config__ for member in _members(into) if _is_struct(member)]
    tags = tuple(config.tag for config in configs if config.tag_field == key)
    return typing.Literal[tags] if tags else Any


def _fields_at(into: Any, content: Any, path: str) -> tuple[str, ...]:
    found = _type_at(into, content, path)
    return found.__struct_encode_fields__ if _is_struct(found) else ()


def _literals_at(into: Any, content: Any, path: str) -> list[str]:
    found = _type_at(into, content, path)
    return [str(value) for value in typing.get_args(found)] if typing.get_origin(found) is typing.Literal else []
