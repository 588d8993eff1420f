"""The base of everything that is written to JSON and read back, perhaps by another version."""

import sys
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING or sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:  # JetPack 6 has Python 3.10

    def dataclass_transform(**_: Any) -> Any:
        """Tells type checkers what a base class makes of its subclasses, and does nothing."""
        return lambda kind: kind


# msgspec tells checkers that a struct is mutable unless it says otherwise itself; ours inherit that they are not.
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A persisted record: immutable, keyword-only, and open.

    A field that this version does not know is ignored when a record is read: within a schema's major version fields are
    only ever added, and what reads a file never writes it again, so nothing is lost. What people write (recipes, deploy
    configs) is a `Config`, where an unknown key is an error.
    """
