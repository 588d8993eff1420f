"""The part of endurance.py in which one process predicts and predicts."""

import gc
import random
from pathlib import Path

import numpy as np
from endurance_memory import give_back, growth, resident
from endurance_part import BACKEND, BLOCKS, Part, photographs
from PIL import Image

from edgedistill import runtime
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.errors import DataError, InferenceError

AT_ONCE = (1, 1, 1, 5, 25)  # images of a call; the most are streamed


def predictions(bundle: Path, folder: Path, count: int, leak: int) -> Part:
    """All ways of asking, in one process; corrupt files and failing inferences among them."""
    good, corrupt = photographs(bundle, folder)
    rng, faults = random.Random(0), _FailingBackend()
    part = Part(counts={"predictions": 0, "corrupt files": 0, "failed inferences": 0}, lost=[])
    kept: list[bytes] = []
    after: list[int] = []
    block = count // BLOCKS
    with runtime.load(bundle, backend=BACKEND, threads=1) as predictor, faults:
        expected = {path: predictor.scores(path)[0] for path in good}
        gc.freeze()  # what is there already need not be searched for cycles again and again
        while len(after) < BLOCKS:
            done = 0
            while done < block:
                paths = rng.choices(good, k=rng.choice(AT_ONCE))
                fault = rng.choices(("", "corrupt", "backend"), (0.9, 0.05, 0.05))[0]
                for one in (fault, "") if fault else ("",):  # asked again without the fault nothing is missing
                    faults.armed = one == "backend"
                    asked = _Asked(predictor, paths, corrupt if one == "corrupt" else None, rng)
                    asked.check(part, [expected[path] for path in paths], one)
                done += len(paths)
                kept += [rng.randbytes(leak) for _ in paths if leak]
            give_back()
            after.append(resident())
    part.growth = growth(after, part.counts["predictions"] // BLOCKS)
    return part


class _Asked:
    """Images that a predictor is asked for: one in any form, a list, or a stream; a corrupt one at a random place."""

    def __init__(self, predictor: runtime.Predictor, paths: list[Path], corrupt: Path | None, rng: random.Random):
        self.predictor, self.given, self.form = predictor, list(paths), rng.randrange(4)
        self.streamed = len(paths) == max(AT_ONCE)
        self.place = None if corrupt is None else rng.randrange(len(paths) + 1)
        if corrupt is not None:
            self.given.insert(self.place, corrupt)

    @property
    def skips(self) -> bool:
        """Whether the corrupt one is told in its place, and no reason to refuse the others."""
        return self.streamed and self.place is not None

    def check(self, part: Part, expected: list[np.ndarray], fault: str) -> None:
        """Count what came of it, and what is lost."""
        try:
            found = self._found()
        except (DataError, InferenceError) as error:
            kind = {"corrupt": "corrupt files", "backend": "failed inferences"}.get(fault)
            if kind is None or isinstance(error, DataError) != (fault == "corrupt") or self.skips:
                part.lost.append(f"refused without a fault: {error}")
            else:
                part.counts[kind] += 1
            return
        if fault and not self.skips:
            part.lost.append(f"answered in spite of a fault ({fault})")
            return
        if self.skips:
            skipped = found.pop(self.place)
            part.counts["corrupt files"] += 1
            if not isinstance(skipped, runtime.SkippedImage) or skipped.index != self.place:
                part.lost.append(f"a stream tells {skipped} at the place of a corrupt file")
        part.counts["predictions"] += len(found)
        rows = [one.probabilities if isinstance(one, runtime.Prediction) else np.nan for one in found]
        if len(rows) != len(expected) or not np.allclose(rows, expected, atol=1e-5):
            part.lost.append(f"a wrong answer for {self.given}")

    def _found(self) -> list:
        if self.streamed:
            return list(self.predictor.predict_stream(iter(self.given), bad="yield"))
        if len(self.given) > 1:
            return self.predictor.predict(self.given)
        (path,) = self.given
        if self.form == 0:
            with Image.open(path) as image:
                return self.predictor.predict(image.copy())
        forms = (path, str(path), path.read_bytes())
        return self.predictor.predict(forms[self.form - 1])


class _FailingBackend:
    """While entered and armed, every inference of the backend raises."""

    def __init__(self) -> None:
        self.armed = False

    def __enter__(self) -> "_FailingBackend":
        kind = BACKENDS.get(BACKEND)
        self._kind, self._run = kind, kind._run

        def run(backend, feeds):
            if self.armed:
                raise RuntimeError("injected")
            return self._run(backend, feeds)

        kind._run = run
        return self

    def __exit__(self, *_: object) -> None:
        self._kind._run = self._run
