"""Of many images each thread infers on a core of its own: by a model that is loaded once more, where that pays."""

import itertools
import shutil
import time
from collections import Counter

import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime.backends import onnxruntime
from edgedistill.runtime.backends.base import Backend
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.predictor import predictor, side_by_side
from edgedistill.runtime.predictor.side_by_side import ENOUGH, LARGEST, SideBySide
from edgedistill.runtime.preprocess import LOADERS


class Stand:
    """A backend's part in this."""

    def __init__(self, many=None):
        self.many, self.asked, self.closed = many, 0, 0

    def for_many(self):
        self.asked += 1
        if callable(self.many):
            return self.many()
        return self.many or self

    def close(self):
        self.closed += 1


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    for module in (side_by_side, onnxruntime, predictor):
        monkeypatch.setattr(module, "usable_cores", lambda: 2)


def beside(side, workers=2):
    """Which backend a batch gets that comes while another is under way."""
    with side.batch(workers), side.batch(workers) as backend:
        return backend


def test_what_comes_alone_has_all_cores_for_good():
    alone = Stand(many=Stand())
    side = SideBySide("a", alone, 1)
    for _ in range(3 * ENOUGH):
        with side.batch(2) as backend:
            assert backend is alone
    assert alone.asked == 0


def test_beside_others_it_has_one_core_once_there_were_enough_of_them():
    alone = Stand(many=Stand())
    side = SideBySide("a", alone, LARGEST)
    assert [beside(side) for _ in range(ENOUGH)] == [alone] * ENOUGH
    assert [beside(side) for _ in range(5)] == [alone.many] * 5
    assert alone.asked == 1
    with side.batch(2) as backend:
        assert backend is alone


@pytest.mark.parametrize(
    ("alone", "size", "workers", "asked"),
    [
        (Stand(many=Stand()), 1, 1, 0),  # threads fewer than cores
        (Stand(many=Stand()), LARGEST + 1, 2, 0),
        (Stand(), 1, 2, 1),  # a library without anything better
    ],
)
def test_where_it_brings_nothing_or_costs_too_much_nothing_is_loaded(alone, size, workers, asked):
    side = SideBySide("a", alone, size)
    assert {beside(side, workers) for _ in range(2 * ENOUGH)} == {alone}
    assert alone.asked == asked


def test_on_one_core_nothing_is_loaded(monkeypatch):
    monkeypatch.setattr(side_by_side, "usable_cores", lambda: 1)
    alone = Stand(many=Stand())
    side = SideBySide("a", alone, 1)
    assert {beside(side) for _ in range(2 * ENOUGH)} == {alone}


def test_a_second_that_cannot_be_loaded_costs_speed_alone(caplog):
    def broken():
        raise OSError("no room\nat all")

    alone = Stand(many=broken)
    side = SideBySide("a", alone, 1)
    assert {beside(side) for _ in range(2 * ENOUGH)} == {alone}
    assert caplog.messages == ["a: many images are inferred more slowly: no room"]


def test_one_that_is_loaded_while_all_is_closed_is_closed_too():
    late = Stand()

    def load():
        side.close()
        return late

    alone = Stand(many=load)
    side = SideBySide("a", alone, 1)
    for _ in range(ENOUGH + 1):
        beside(side)
    assert (late.closed, alone.closed) == (1, 1)


def test_both_are_closed_whatever_one_says():
    class Stuck(Stand):
        def close(self):
            super().close()
            raise RuntimeError("stuck")

    alone = Stand(many=Stuck())
    side = SideBySide("a", alone, 1)
    for _ in range(ENOUGH + 1):
        beside(side)
    with pytest.raises(RuntimeError, match="stuck"):
        side.close()
    assert (alone.many.closed, alone.closed) == (1, 1)


@pytest.fixture
def slow_decoding(monkeypatch):
    """So that batches surely come beside others."""
    decode = LOADERS["full"]
    monkeypatch.setitem(LOADERS, "full", lambda *given: time.sleep(0.002) or decode(*given))


def photographs(bundle, count):
    return list(itertools.islice(itertools.cycle(sorted((bundle / "selftest").glob("*.jpg"))), count))


def test_a_stream_is_inferred_by_both_and_both_say_the_same(tiny_bundle, slow_decoding, monkeypatch):
    inferred = Counter()
    run = Backend.run
    monkeypatch.setattr(Backend, "run", lambda self, feeds: inferred.update([self]) or run(self, feeds))
    given = photographs(tiny_bundle, 4 * ENOUGH)
    with runtime.load(tiny_bundle, name="ort-fp32") as loaded:
        effective = dict(loaded.effective)
        found = np.array([one.probabilities for one in loaded.predict_stream(given, workers=5)])
        other = loaded._side_by_side._many
        assert other.concurrent
        assert inferred[other] > ENOUGH
        assert inferred.total() == len(given)
        assert loaded.effective == effective
        one_by_one = np.array([loaded.scores(path)[0] for path in given[:3]])
    np.testing.assert_allclose(found, one_by_one[np.arange(len(given)) % 3], atol=1e-6)
    for backend in (other, loaded._backend):
        with pytest.raises(ValueError, match="is closed"):
            backend.infer(np.zeros((1, 16, 16, 3), np.uint8))


@pytest.mark.parametrize("name", ["ort-fp32", "ov-fp32"])
def test_a_stream_that_is_closed_meanwhile_ends(tiny_bundle, slow_decoding, name):
    loaded = runtime.load(tiny_bundle, name=name)
    stream = loaded.predict_stream(itertools.cycle(photographs(tiny_bundle, 3)), workers=6)
    for _ in range(3 * ENOUGH):
        next(stream)
    loaded.close()
    with pytest.raises(Exception, match="closed"):
        for _ in stream:
            pass


def test_a_bundle_that_is_gone_meanwhile_costs_speed_alone(make_tiny_bundle, tmp_path, slow_decoding, caplog):
    root = make_tiny_bundle(tmp_path / "b")
    given = photographs(shutil.copytree(root, tmp_path / "copy"), 3 * ENOUGH)
    with runtime.load(root, name="ort-fp32") as loaded:
        shutil.rmtree(root)
        assert len(list(loaded.predict_stream(given, workers=3))) == len(given)
    (said,) = caplog.messages
    assert said.startswith("ort-fp32: many images are inferred more slowly: ")


def test_onnxruntime_has_one_where_all_cores_of_a_cpu_may_be_used(tiny_bundle):
    bundle, kind = open_bundle(tiny_bundle), onnxruntime.OnnxRuntimeBackend
    (artifact,) = [one for one in bundle.manifest.artifacts if one.name == "ort-fp32"]
    model = bundle.model(artifact)
    own = type("Own", (kind,), {})  # another distribution's, which may have settings of its own
    for backend, other in (
        (kind(model), True),
        (kind(model, threads=2), True),
        (kind(model, threads=1), False),
        (own(model), False),
    ):
        with backend, backend.for_many() as found:
            assert (found is not backend) == other
    with kind(model) as on_a_gpu:
        on_a_gpu.device = "gpu"
        assert on_a_gpu.for_many() is on_a_gpu
