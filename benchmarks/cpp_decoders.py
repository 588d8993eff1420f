"""How far decoders that a C++ program may use are from Pillow's pixels, over a folder of JPEG files.

    apt install g++ libjpeg-dev libpng-dev libstb-dev
    python benchmarks/cpp_decoders.py photographs --images 60

Prints, per decoder, the largest and the mean difference of a colour value, in levels of 255.
"""

import argparse
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgedistill.runtime.images import open_image

SOURCES = Path(__file__).parents[1] / "export" / "packages" / "templates" / "cpp"
LOOP = """
int main() {
  std::int32_t length;
  while (std::fread(&length, 4, 1, stdin) == 1) {
    std::vector<unsigned char> bytes(length);
    if (std::fread(bytes.data(), 1, bytes.size(), stdin) != bytes.size()) return 1;
    %s
    const std::int32_t size[] = {height, width};
    std::fwrite(size, 4, 2, stdout);
    std::fwrite(pixels, 1, std::size_t(height) * width * 3, stdout);
  }
}
"""
STB = (
    "#include <cstdint>\n#include <cstdio>\n#include <vector>\n"
    "#define STB_IMAGE_IMPLEMENTATION\n#include <stb/stb_image.h>\n"
    + LOOP
    % """int width, height, channels;
    const unsigned char* pixels = stbi_load_from_memory(bytes.data(), length, &width, &height, &channels, 3);
    if (pixels == nullptr) return 1;"""
)
OURS = (
    '#include <cstdint>\n#include <cstdio>\n#include "edgedistill/edgedistill.hpp"\n'
    + LOOP
    % """const edgedistill::Image image = edgedistill::decode(bytes.data(), bytes.size());
    const int height = image.height, width = image.width;
    const unsigned char* pixels = image.rgb.data();"""
)
NEEDED = ("errors", "exif", "images", "jpeg", "png", "sha256", "storage")


def built(folder: Path, name: str, program: str, sources: Sequence[Path], libraries: Sequence[str]) -> Path:
    source, made = folder / f"{name}.cpp", folder / name
    source.write_text(program)
    include = [f"-I{SOURCES / part}" for part in ("include", "src")]
    subprocess.run(["c++", "-std=c++17", "-O1", "-w", *include, source, *sources, "-o", made, *libraries], check=True)
    return made


def decoded(program: Path, data: Sequence[bytes]) -> list[np.ndarray]:
    given = b"".join(struct.pack("<i", len(one)) + one for one in data)
    out = subprocess.run([program], input=given, stdout=subprocess.PIPE, check=True).stdout
    images, place = [], 0
    while place < len(out):
        height, width = struct.unpack_from("<2i", out, place)
        images.append(np.frombuffer(out, np.uint8, height * width * 3, place + 8).reshape(height, width, 3))
        place += 8 + height * width * 3
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=60)
    options = parser.parse_args()
    paths = sorted(options.folder.rglob("*.jpg"))[: options.images]
    data = [path.read_bytes() for path in paths]
    wanted = [np.asarray(open_image(path)) for path in paths]
    with tempfile.TemporaryDirectory() as place:
        ours = built(Path(place), "ours", OURS, [SOURCES / "src" / f"{one}.cpp" for one in NEEDED], ["-ljpeg", "-lpng"])
        stb = built(Path(place), "stb", STB, [], [])
        for name, program in (("edgedistill's C++ library: libjpeg-turbo", ours), ("stb_image", stb)):
            pairs = zip(decoded(program, data), wanted, strict=True)
            differences = [np.abs(one.astype(int) - other) for one, other in pairs]
            most, total = max(one.max() for one in differences), sum(one.sum() for one in differences)
            print(f"{name}: max {most}, mean {total / sum(one.size for one in differences):.3f}, {len(paths)} images")


if __name__ == "__main__":
    main()
