"""YAML as people write it: `1e-3` is a number."""

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which follows YAML 1.1, with the floats of YAML 1.2: no dot and no sign needed."""


class _Dumper(yaml.SafeDumper):
    """Quotes the strings that `_Loader` would read as numbers."""


for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+\Z"),
        list("-+.0123456789"),
    )


def parse_yaml(text: str) -> Any:
    """Plain data from one YAML document; raises yaml.YAMLError where it is none."""
    return yaml.load(text, _Loader)  # a subclass of SafeLoader


def format_yaml(value: Any) -> str:
    """What `parse_yaml` reads back as `value`: plain data, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
