"""What predicting costs: beside the bare backend, from large photographs, in memory, and for a folder.

    python benchmarks/predict.py [--bundle BUNDLE] [FOLDER] [--save]     # default folder: EDGEDISTILL_COCO18

Without --bundle the network is torchvision's MobileNetV2 with the weights in EDGEDISTILL_MOBILENETV2, in ONNX Runtime.
What is compared runs in turns in one process, in random order within each round; medians of the rounds, and their ratio
within a round. Memory is that of processes of their own, in turns.

overhead   `Predictor.scores` of pixels that are ready, beside the call of ONNX Runtime alone; target: 3 % or 30 us
large      a 12-megapixel JPEG to labels, `decode` full and reduced, beside Pillow, torchvision's transforms and ONNX
           Runtime; target: 5 times faster, with the same labels
memory     resident memory after predictions, above that of ONNX Runtime with numpy alone; target: 15 MB
folder     small photographs, one by one, as a list and as a stream, beside decoding alone and inferring alone on all
           cores. Both share the cores, so their sum, and not the slower one, is what a machine can do at best
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
from PIL import Image
from torchvision.transforms import v2

from edgedistill import runtime
from edgedistill.runtime.batches import decode_batches
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.device import describe_device, usable_cores
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.preprocess import load

RESULTS = Path(__file__).parent / "results" / "predict.json"
LARGE = (3000, 4000)  # 12 megapixels
TARGET = "onnxruntime-cpu-fp32"


def in_turns(variants: dict[str, Callable[[], object]], rounds: int, repeat: int = 1) -> dict[str, list[float]]:
    """Seconds per call of each variant and round."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    order, rng = list(variants), random.Random(0)
    for row in range(-1, rounds):  # the first warms up
        rng.shuffle(order)
        for name in order:
            began = time.perf_counter()
            for _ in range(repeat):
                variants[name]()
            if row >= 0:
                seconds[name].append((time.perf_counter() - began) / repeat)
    return seconds


def figures(seconds: dict[str, list[float]], reference: str) -> dict:
    return {
        name: {
            "median_ms": 1e3 * statistics.median(found),
            "ratio": statistics.median(a / b for a, b in zip(found, seconds[reference], strict=True)),
            "extra_us": 1e6 * statistics.median(a - b for a, b in zip(found, seconds[reference], strict=True)),
        }
        for name, found in seconds.items()
    }


def session_of(predictor: runtime.Predictor, bundle: Path) -> onnxruntime.InferenceSession:
    """The bare library on the same file, as the bundle's backend opens it."""
    settings = onnxruntime.SessionOptions()
    if predictor.artifact.target.threads:
        settings.intra_op_num_threads = predictor.artifact.target.threads
    path = str(bundle / predictor.artifact.files[0].path)
    return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])


def overhead(bundle: Path, rounds: int) -> dict:
    """Of one session: two in a process have two pools of threads, which spin against each other."""
    with runtime.load(bundle, backend="onnxruntime", precision="fp32") as predictor:
        session: onnxruntime.InferenceSession = predictor._backend._session  # type: ignore[attr-defined]
        size, name = predictor.manifest.preprocessing.size, predictor.manifest.inputs[0].name
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        outputs = [spec.name for spec in predictor.manifest.outputs]
        variants = {
            "backend alone": lambda: session.run(outputs, {name: image[None]}),
            "Predictor.scores": lambda: predictor.scores(image),
        }
        return figures(in_turns(variants, 20 * rounds, repeat=5), "backend alone")


def large_photographs(photographs: list[Path], count: int, folder: Path) -> list[Path]:
    """Mosaics of 12 megapixels: small photographs enlarged would hold less detail than a camera's."""
    made, (height, width), across = [], LARGE, 8
    for number in range(count):
        mosaic = Image.new("RGB", (width, height))
        for place in range(across * across):
            path = photographs[(number * across * across + place) % len(photographs)]
            tile = Image.open(path).convert("RGB").resize((width // across, height // across))
            mosaic.paste(tile, (place % across * (width // across), place // across * (height // across)))
        made.append(folder / f"large-{number}.jpg")
        mosaic.save(made[-1], quality=90, subsampling="4:2:0")
    return made


def large(bundle: Path, photographs: list[Path], rounds: int, folder: Path) -> dict:
    paths = large_photographs(photographs, 4, folder)
    options = {"backend": "onnxruntime", "precision": "fp32"}
    with runtime.load(bundle, **options) as full, runtime.load(bundle, decode="reduced", **options) as reduced:
        session, preprocessing = session_of(full, bundle), full.manifest.preprocessing
        name = full.manifest.inputs[0].name
        transform = v2.Compose([v2.Resize(preprocessing.size), v2.PILToTensor()])

        def usual(path: Path) -> np.ndarray:
            """As torchvision's examples; the graph normalises by itself, which spares them some time."""
            with Image.open(path) as image:
                pixels = transform(image.convert("RGB")).permute(1, 2, 0).numpy()
            return session.run(["probabilities"], {name: np.ascontiguousarray(pixels)[None]})[0]

        variants = {
            "Pillow, torchvision, onnxruntime": lambda: [usual(path) for path in paths],
            "decode: full": lambda: [full.scores(path) for path in paths],
            "decode: reduced": lambda: [reduced.scores(path) for path in paths],
        }
        found = figures(in_turns(variants, rounds), "Pillow, torchvision, onnxruntime")
        expected = np.concatenate([usual(path) for path in paths])
        thresholds = np.asarray(full.manifest.thresholds)
        for predictor, key in ((full, "decode: full"), (reduced, "decode: reduced")):
            scores = predictor.scores(paths)
            same = (scores >= thresholds) == (expected >= thresholds)
            found[key]["photographs_with_the_same_labels"] = float(same.all(axis=1).mean())
            found[key]["same_decisions"] = float(same.mean())
            found[key]["largest_difference_of_a_probability"] = float(np.abs(scores - expected).max())
            found[key]["decoding"] = predictor.decoding
    each = ("median_ms", "extra_us")  # of all photographs until here
    return {name: row | {key: row[key] / len(paths) for key in each} for name, row in found.items()}


_MEMORY = """
import sys
import numpy as np
bundle, path, name, size, ours, decode = sys.argv[1:]
image = np.zeros((int(size), int(size), 3), np.uint8)
if ours == "ours":
    from edgedistill import runtime
    predictor = runtime.load(bundle, backend="onnxruntime", precision="fp32", decode=decode)
    infer = lambda: predictor.scores(image)
else:
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    infer = lambda: session.run(None, {name: image[None]})
for _ in range(20):
    infer()
for line in open("/proc/self/status"):
    if line.startswith(("VmRSS", "VmHWM")):
        print(line.split()[1])
"""


def memory(bundle: Path, rounds: int) -> dict:
    opened = open_bundle(bundle)
    held = opened.manifest.artifacts
    artifact = next(one for one in held if (one.backend, one.precision) == ("onnxruntime", "fp32"))
    asked = [str(bundle), str(bundle / artifact.files[0].path), opened.manifest.inputs[0].name]
    asked.append(str(opened.manifest.preprocessing.size[0]))
    kilobytes: dict[str, list[tuple[int, int]]] = {"bare": [], "ours": []}
    for _ in range(rounds):
        for whose, found in kilobytes.items():
            done = subprocess.run(
                [sys.executable, "-c", _MEMORY, *asked, whose, "full"], capture_output=True, text=True, check=True
            )
            peak, resident = map(int, done.stdout.split())
            found.append((resident, peak))
    middle = {whose: np.median(np.array(found), axis=0) / 1e3 for whose, found in kilobytes.items()}
    return {
        "resident_mb": {whose: float(found[0]) for whose, found in middle.items()},
        "extra_resident_mb": float(middle["ours"][0] - middle["bare"][0]),
        "extra_peak_mb": float(middle["ours"][1] - middle["bare"][1]),
    }


def folder_of(bundle: Path, photographs: list[Path], count: int, rounds: int) -> dict:
    paths = photographs[:count]
    with runtime.load(bundle, backend="onnxruntime", precision="fp32") as predictor:
        preprocessing = predictor.manifest.preprocessing
        pixels = [load(path, preprocessing) for path in paths]
        cores = usable_cores()
        variants = {
            "decoder alone": lambda: list(decode_batches(paths, preprocessing, 32, threads=cores)),
            "network alone": lambda: [predictor.infer(image[None]) for image in pixels],
            "one by one": lambda: [predictor.predict(path) for path in paths],
            "predict(list)": lambda: predictor.predict(paths),
            "predict_stream": lambda: list(predictor.predict_stream(iter(paths))),
        }
        seconds = in_turns(variants, rounds)
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    sums = [a + b for a, b in zip(seconds["decoder alone"], seconds["network alone"], strict=True)]
    slower = [max(pair) for pair in zip(seconds["decoder alone"], seconds["network alone"], strict=True)]
    stream = seconds["predict_stream"]
    return {
        "images_per_second": {name: len(paths) / found for name, found in middle.items()},
        "stream_to_slower": statistics.median(a / b for a, b in zip(stream, slower, strict=True)),
        "stream_to_sum": statistics.median(a / b for a, b in zip(stream, sums, strict=True)),
        "stream_to_one_by_one": statistics.median(a / b for a, b in zip(stream, seconds["one by one"], strict=True)),
    }


def made_bundle(folder: Path) -> Path:
    from edgedistill import export

    weights = os.environ.get("EDGEDISTILL_MOBILENETV2")
    if not weights:
        sys.exit("Name a --bundle, or set EDGEDISTILL_MOBILENETV2 to weights of torchvision's mobilenet_v2.")
    source = export.from_library("torchvision/mobilenet_v2", weights, classes=[str(number) for number in range(1000)])
    export.export_bundle(source, [TARGET], folder / "bundle")
    return folder / "bundle"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=os.environ.get("EDGEDISTILL_COCO18"))
    parser.add_argument("--bundle", type=Path, help="with an artifact of ONNX Runtime in fp32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=128, help="photographs of the folder (default %(default)s)")
    parser.add_argument("--only", choices=["overhead", "large", "memory", "folder"], action="append")
    parser.add_argument("--save", action="store_true", help=f"write the numbers to {RESULTS.name}")
    arguments = parser.parse_args()
    photographs = sorted(Path(arguments.folder).rglob("*.jpg")) if arguments.folder else []
    if not photographs:
        sys.exit("Name a folder of .jpg photographs, or set EDGEDISTILL_COCO18 to one.")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        bundle, rounds = arguments.bundle or made_bundle(place), arguments.rounds
        sections = {
            "overhead": lambda: overhead(bundle, rounds),
            "large": lambda: large(bundle, photographs, rounds, place),
            "memory": lambda: memory(bundle, min(rounds, 7)),
            "folder": lambda: folder_of(bundle, photographs, arguments.count, rounds),
        }
        found = {name: section() for name, section in sections.items() if name in (arguments.only or sections)}
        network = open_bundle(bundle).manifest.name
    print(json.dumps(found, indent=1))
    if arguments.save:
        chosen = "".join(f" --only {name}" for name in arguments.only or ())
        about = {
            "command": f"python benchmarks/predict.py --rounds {rounds} --count {arguments.count}{chosen} --save",
            "network": network,
            "device": msgspec.to_builtins(describe_device()),
        }
        write_atomic(
            RESULTS, json.dumps(updated({name: part | about for name, part in found.items()}), indent=1) + "\n"
        )


def updated(found: dict[str, dict]) -> dict:
    """The record with these sections; others stay, each with its own command, network and machine."""
    earlier = json.loads(RESULTS.read_text(encoding="utf-8"))["measurements"] if RESULTS.is_file() else {}
    return {
        "what": "what predicting costs; each figure is explained at the top of the script",
        "measurements": earlier | found,
    }


if __name__ == "__main__":
    main()
