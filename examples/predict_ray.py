"""Label a folder of photographs on a Ray cluster, or on this machine's cores: a row per photograph, as Parquet.

pip install "edgedistill[onnxruntime]" "ray[data]"
python predict_ray.py BUNDLE FOLDER OUT [--workers 4] [--address auto]

Ray Data hands out batches of paths, restarts what fails, and writes as it goes. Each worker loads the bundle once. Both
folders must be ones that every machine sees. A photograph that cannot be read gets its `error` and costs no others.
"""

import argparse
from pathlib import Path

import numpy as np
import ray

from edgedistill import runtime
from edgedistill.runtime.image_files import images_below


class Labels:
    """A worker: one predictor, on the one core that Ray gives it."""

    def __init__(self, bundle: str) -> None:
        self.predictor = runtime.load(bundle, threads=1)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list]:
        rows: dict[str, list] = {"path": [], "labels": [], "probabilities": [], "error": []}
        found = self.predictor.predict_stream(list(batch["path"]), workers=1, bad="yield")
        for path, one in zip(batch["path"], found, strict=True):
            bad = isinstance(one, runtime.SkippedImage)
            labels = {} if bad else one.labels
            rows["path"].append(path)
            rows["labels"].append(list(labels))
            rows["probabilities"].append(list(labels.values()))
            rows["error"].append(one.reason if bad else "")
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", help="a bundle's folder or .zip")
    parser.add_argument("folder", help="photographs, also in folders below")
    parser.add_argument("out", help="folder for the Parquet files")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256, help="photographs that a worker gets at a time")
    parser.add_argument("--address", help="of a cluster; default: Ray on this machine")
    arguments = parser.parse_args()
    folder, bundle, out = (Path(path).resolve() for path in (arguments.folder, arguments.bundle, arguments.out))
    files = list(images_below(folder))
    if files[0].path == folder:  # there is none, or nothing in it
        raise SystemExit(files[0].problem)
    paths = [{"path": str(file.path)} for file in files]  # also of what cannot be opened: its row has the reason
    ray.init(address=arguments.address)
    labelled = ray.data.from_items(paths).map_batches(
        Labels,
        fn_constructor_args=(str(bundle),),
        batch_size=arguments.batch,
        concurrency=arguments.workers,
        num_cpus=1,
    )
    labelled.write_parquet(str(out))


if __name__ == "__main__":
    main()
