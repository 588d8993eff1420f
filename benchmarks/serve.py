"""What a server costs: latency of labels over HTTP on the loopback beside the bare predictor, and its throughput.

    python benchmarks/serve.py [--bundle BUNDLE] [--requests 400] [--rounds 5] [--save [FILE]]

In turns: the predictor in a process of its own, one image after the other; a server with one client, which asks again
when it has its answer; with four; with sixteen. Medians over the rounds of each turn's percentiles. Clients are threads
of this process, with connections that are kept, and cost a part of the same cores. Without --bundle: MobileNetV2 of
random weights at 224 pixels, and a synthetic photograph of 640 x 480.
"""

import argparse
import http.client
import io
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.preprocess import Preprocessing

RESULTS = Path(__file__).parent / "results" / "serve.json"
CLIENTS = (1, 4, 16)
WARM_UP = 20
BARE = """
import json, sys, time
from edgedistill import runtime
bundle, photo, backend, count, warm_up = sys.argv[1], open(sys.argv[2], "rb").read(), *sys.argv[3:]
with runtime.load(bundle, backend=backend) as predictor:
    times = []
    for _ in range(int(count) + int(warm_up)):
        begun = time.perf_counter()
        predictor.predict(photo)[0].labels
        times.append(1000 * (time.perf_counter() - begun))
print(json.dumps(times[int(warm_up):]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--requests", type=int, default=400, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", type=Path, nargs="?", const=RESULTS)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        photo.write_bytes(photograph())
        bundle = arguments.bundle or export(Path(folder) / "bundle")
        turns: dict[str, list[dict]] = {"bare predictor": [], **{named(count): [] for count in CLIENTS}}
        with served(bundle, arguments.backend) as port:
            for _ in range(arguments.rounds):
                turns["bare predictor"].append(bare(bundle, photo, arguments.backend, arguments.requests))
                for count in CLIENTS:
                    turns[named(count)].append(load(port, photo.read_bytes(), count, arguments.requests))

    table = {
        name: {key: statistics.median(turn[key] for turn in made) for key in made[0]} for name, made in turns.items()
    }
    print(f"{'':26}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}{'images/s':>10}")
    for name, row in table.items():
        print(f"{name:26}{row['p50_ms']:9.2f}{row['p90_ms']:9.2f}{row['p99_ms']:9.2f}{row['images_per_s']:10.1f}")
    if arguments.save is not None:
        record = {
            "what": "labels of a photograph over HTTP on the loopback beside the bare predictor",
            "command": f"python benchmarks/serve.py --requests {arguments.requests} --rounds {arguments.rounds} --save",
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "device": msgspec.to_builtins(describe_device()),
            "medians": table,
            "turns": turns,
        }
        write_atomic(arguments.save, json.dumps(record, indent=1) + "\n")


def named(clients: int) -> str:
    return f"server, {clients} client{'s' if clients > 1 else ''}"


def photograph() -> bytes:
    """A JPEG as large as a photograph of that size: smooth, with some noise."""
    rng, stream = np.random.default_rng(0), io.BytesIO()
    smooth = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((640, 480))
    noisy = np.clip(np.asarray(smooth, np.int16) + rng.integers(-12, 13, (480, 640, 3)), 0, 255)
    Image.fromarray(noisy.astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def export(out: Path) -> Path:
    from torchvision.models import mobilenet_v2

    from edgedistill.export import export_bundle, from_module

    classes = [f"class {number}" for number in range(20)]
    network = from_module(
        mobilenet_v2(num_classes=20).eval(), classes=classes, preprocessing=Preprocessing(size=(224, 224))
    )
    export_bundle(network, ["onnxruntime-cpu-fp32"], out)
    return out


@contextmanager
def served(bundle: Path, backend: str) -> Iterator[int]:
    """A server's port."""
    command = [sys.executable, "-m", "edgedistill", "serve", str(bundle), "--port", "0", "--backend", backend]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        found = re.search(r":(\d+)/predict", line)
        if found is None:
            sys.exit(line + process.stderr.read())
        yield int(found[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def bare(bundle: Path, photo: Path, backend: str, count: int) -> dict:
    command = [sys.executable, "-c", BARE, str(bundle), str(photo), backend, str(count), str(WARM_UP)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    times = json.loads(done.stdout)
    return summary(times, sum(times) / 1000)


def load(port: int, body: bytes, clients: int, count: int) -> dict:
    """Each client sends its share one after the other."""
    share, times, faults = -(-count // clients), [], []
    ready = threading.Barrier(clients + 1)

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        own = []
        for number in range(-WARM_UP // clients, share):
            if number == 0:
                ready.wait()
            begun = time.perf_counter()
            connection.request("POST", "/predict", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                faults.append(answer.status)
            if number >= 0:
                own.append(1000 * (time.perf_counter() - begun))
        times.extend(own)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    if faults:
        sys.exit(f"{len(faults)} of {count} requests were not answered: status {faults[0]}")
    return summary(times, time.perf_counter() - begun)


def summary(times: list[float], seconds: float) -> dict:
    p50, p90, p99 = np.quantile(times, [0.5, 0.9, 0.99])
    return {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "images_per_s": len(times) / seconds}


if __name__ == "__main__":
    main()
