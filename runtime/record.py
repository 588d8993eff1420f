"""The base of everything that is written to JSON and read back, perhaps by another version."""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A persisted record: immutable, keyword-only, and open.

    A field that this version does not know is ignored when a record is read: within a schema's major version fields are
    only ever added, and what reads a file never writes it again, so nothing is lost. What people write (recipes, deploy
    configs) is a `Config`, where an unknown key is an error.
    """
