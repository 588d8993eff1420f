"""YAML as people write it: `1e-3` is a number."""

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which follows YAML 1.1, with the floats of YAML 1.2: no dot and no sign needed."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+\Z"), list("-+.0123456789")
)


def parse_yaml(text: str) -> Any:
    """Plain data from one YAML document; raises yaml.YAMLError where it is none."""
    return yaml.load(text, _Loader)  # a subclass of SafeLoader
