"""Of many images each thread infers on a core of its own: the same answers, from a model that is loaded once more."""

import itertools
import shutil

import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime.backends.base import Backend
from edgedistill.runtime.predictor.predictor import _MANY


@pytest.fixture
def loads(monkeypatch):
    """The threads that each backend was loaded with."""
    found = []
    load = Backend.__init__
    monkeypatch.setattr(
        Backend, "__init__", lambda self, *given, **named: found.append(named["threads"]) or load(self, *given, **named)
    )
    return found


def given(bundle, count):
    return list(itertools.islice(itertools.cycle(sorted((bundle / "selftest").glob("*.jpg"))), count))


@pytest.mark.parametrize(("name", "threads"), [("ort-fp32", 1), ("ov-fp32", 3)])
def test_beyond_a_few_each_is_inferred_on_one_core_and_they_say_the_same(tiny_bundle, loads, name, threads):
    photographs = given(tiny_bundle, _MANY + 40)
    with runtime.load(tiny_bundle, name=name) as predictor:
        alone = dict(predictor.effective)
        few = list(predictor.predict_stream(photographs[:_MANY], workers=3))
        assert loads == [None]
        found = list(predictor.predict_stream(photographs, workers=3))
        again = list(predictor.predict_stream(photographs, workers=3))
        assert loads == [None, threads]
        assert predictor.effective == alone
        one_by_one = np.array([predictor.scores(path)[0] for path in photographs[:3]])
    for rows in (few, found, again):
        probabilities = np.array([row.probabilities for row in rows])
        np.testing.assert_allclose(probabilities, one_by_one[np.arange(len(rows)) % 3], atol=1e-6)


ORT, OPENVINO = {"name": "ort-fp32"}, {"name": "ov-fp32"}


@pytest.mark.parametrize(
    ("chosen", "workers"), [(ORT, 1), ({**ORT, "threads": 1}, 2), (OPENVINO, 1), ({**OPENVINO, "threads": 1}, 2)]
)
def test_nothing_is_loaded_again_where_it_brings_nothing(tiny_bundle, loads, chosen, workers):
    with runtime.load(tiny_bundle, **chosen) as predictor:
        assert len(list(predictor.predict_stream(given(tiny_bundle, _MANY + 8), workers=workers))) == _MANY + 8
    assert len(loads) == 1


def test_a_file_that_is_gone_meanwhile_costs_speed_alone(make_tiny_bundle, tmp_path, loads, caplog):
    root = make_tiny_bundle(tmp_path / "b")
    photographs = given(shutil.copytree(root, tmp_path / "copy"), _MANY + 20)
    with runtime.load(root, name="ort-fp32") as predictor:
        shutil.rmtree(root)
        assert len(list(predictor.predict_stream(photographs, workers=2))) == _MANY + 20
    (said,) = caplog.messages
    assert said.startswith("ort-fp32: many images are inferred more slowly: ")


@pytest.mark.parametrize("name", ["ort-fp32", "ov-fp32"])
def test_both_are_closed(tiny_bundle, name):
    with runtime.load(tiny_bundle, name=name) as predictor:
        list(predictor.predict_stream(given(tiny_bundle, _MANY + 8), workers=2))
        more = predictor._for_many(2)
        assert more is not predictor._backend
    for backend in (more, predictor._backend):
        with pytest.raises(ValueError, match="is closed"):
            backend.infer(np.zeros((1, 16, 16, 3), np.uint8))
    predictor.close()
