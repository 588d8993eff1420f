"""YAML as people mean it: `1e-3` is a number, `no` and `2024-01-01` are texts, a key given twice is an error."""

import re
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

_MOST_NESTED = 100  # far more than any recipe, far less than Python's recursion limit
_MOST_VALUES = 1_000_000  # with every alias written out
_MERGE = "tag:yaml.org,2002:merge"
# What YAML 1.2 (its core schema) reads as something else than text. PyYAML follows YAML 1.1, where `yes`, `no`, `on`
# and `off` are truth values, 12:30 is 750, 0012 is 10, and 1e-3 is a text.
_SCALARS = {
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "null": r"~|null|Null|NULL|",
    "merge": r"<<",
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2, unique keys, and bounds on nesting and aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._extents: dict[yaml.Node, tuple[int, int]] = {}  # of each finished node: values in it, and levels

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node; YAMLError where it is nested too deep, or too large with its aliases written out."""
        event = self.peek_event()
        if self._depth > _MOST_NESTED:
            raise ComposerError(None, None, f"nested more than {_MOST_NESTED} deep", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if node not in self._extents:
                raise ComposerError(None, None, f"the alias {event.anchor!r} stands in itself", event.start_mark)
            return node
        inside = [self._extents[child] for child in _children(node)]
        values, levels = 1 + sum(v for v, _ in inside), 1 + max((n for _, n in inside), default=0)
        if values > _MOST_VALUES:
            raise ComposerError(None, None, f"aliases make more than {_MOST_VALUES:,} values of it", event.start_mark)
        if levels > _MOST_NESTED:
            raise ComposerError(None, None, f"aliases nest it more than {_MOST_NESTED} deep", event.start_mark)
        self._extents[node] = (values, levels)
        return node

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """The next mapping; YAMLError where a key stands twice in it, of which PyYAML would keep the last."""
        node = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                value = self.construct_object(key)
                if not isinstance(value, Hashable):
                    raise ComposerError(None, None, "found unhashable key", key.start_mark)
                if value in lines:
                    problem = f"the key {key.value!r} stands there twice, first on line {lines[value]}"
                    raise ComposerError(None, None, problem, key.start_mark)
                lines[value] = key.start_mark.line + 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The node's value; YAMLError where an explicit tag does not fit it, for which PyYAML raises anything."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError):
            problem = f"{str(node.value)[:40]!r} cannot be read as {node.tag.rpartition(':')[2]}"
            raise ConstructorError(None, None, problem, node.start_mark) from None

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """An integer as YAML 1.2 writes it: 0012 is 12."""
        text = self.construct_scalar(node)
        return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))


class _Dumper(yaml.SafeDumper):
    """Quotes every string that `_Loader` or a reader of YAML 1.1 would take for something else."""


for _name, _pattern in _SCALARS.items():
    _tag, _whole = f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z")
    _Loader.add_implicit_resolver(_tag, _whole, None)
    if _name != "null":
        _Dumper.add_implicit_resolver(_tag, _whole, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str) -> Any:
    """Plain data from one YAML document.

    Scalars are those of YAML 1.2: `true` and `false` alone are truth values, 1e-3 is a number, dates and `yes` are
    texts.

    Raises:
        yaml.MarkedYAMLError: `text` is not YAML, a key stands twice in a mapping, or it is nested deeper or (with its
            aliases written out) larger than any configuration.
    """
    try:
        return _Loader(text).get_single_data()
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n"), error.position - (before.rfind("\n") + 1)
        mark = yaml.Mark("", error.position, line, column, None, 0)
        problem = f"the character {text[error.position]!r} is not allowed"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark) from None


def format_yaml(value: Any) -> str:
    """What `parse_yaml` reads back as `value`, and readers of YAML 1.1 too: plain data, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
