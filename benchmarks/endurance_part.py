"""What a part of endurance.py finds, and the images that it is given."""

import shutil
import sys
from pathlib import Path

import msgspec
from endurance_memory import Growth

BLOCKS = 100
BACKEND = "onnxruntime"
MODULE = [sys.executable, "-m", "edgedistill"]


class Part(msgspec.Struct, kw_only=True):
    """What a part found.

    Attributes:
        counts: what was done, in words.
        lost: what should have been there and was not, or was not right.
        growth: of memory, where the part is long enough to tell.
    """

    counts: dict[str, int]
    lost: list[str]
    growth: Growth | None = None

    @property
    def sound(self) -> bool:
        return not self.lost and (self.growth is None or self.growth.steady)


def photographs(bundle: Path, folder: Path) -> tuple[list[Path], Path]:
    """Copies of a bundle's photographs, and one that is cut off in its middle."""
    found = [Path(shutil.copy(path, folder)) for path in sorted((bundle / "selftest").iterdir())]
    corrupt = folder / "corrupt.jpg"
    corrupt.write_bytes(found[0].read_bytes()[: found[0].stat().st_size // 2])
    return found, corrupt
