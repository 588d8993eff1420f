"""OF1 and CF1 without each image, and the interval of what they lose."""

import numpy as np
import pytest

from edgedistill.runtime.metrics import evaluate, f1_drop_interval, leave_one_out, leave_one_out_f1


def decisions(rng, images=40, classes=5):
    targets = rng.choice([1, 0, -1], (images, classes), p=[0.3, 0.6, 0.1]).astype(np.int8)
    targets[:, 3] = 0  # no image shows it
    targets[:, 4] = 0
    targets[7, 4] = 1  # its only positive
    return rng.random((images, classes)) < 0.2 + 0.5 * (targets == 1), targets


def test_left_out_by_hand():
    labels, targets = decisions(np.random.default_rng(0))
    overall, class_wise = leave_one_out_f1(labels, targets)
    whole = evaluate(labels.astype(float), targets, 0.5)
    assert (overall.value, class_wise.value) == pytest.approx((whole["OF1"], whole["CF1"]))
    for n in range(len(targets)):
        rest = np.arange(len(targets)) != n
        found = evaluate(labels[rest].astype(float), targets[rest], 0.5)
        assert overall.without[n] == pytest.approx(found["OF1"])
        if n != 7:  # without it a class is gone, which keeps its recall here
            assert class_wise.without[n] == pytest.approx(found["CF1"])


def test_no_positive_at_all():
    overall, class_wise = leave_one_out_f1(np.ones((4, 2), bool), np.zeros((4, 2), np.int8))
    assert np.isnan([overall.value, class_wise.value]).all()


def test_equal_labels_have_a_drop_of_zero_and_no_certainty():
    rng = np.random.default_rng(1)
    labels, targets = decisions(rng, 200)
    scores = leave_one_out(rng.random(targets.shape), targets)
    for one in leave_one_out_f1(labels, targets):
        found = f1_drop_interval(scores, one, one)
        assert found.estimate == 0.0
        assert found.low == -found.high < 0
    few = f1_drop_interval(
        leave_one_out(rng.random((30, 5)), targets[:30]), *[leave_one_out_f1(labels[:30], targets[:30])[0]] * 2
    )
    assert few.low is None
    assert "a comparison wants 59" in few.note


def test_the_interval_holds_the_true_drop():
    """A label is reported with a known probability, so that OF1 of endlessly many images is known."""
    rng = np.random.default_rng(2)
    shares = np.array([0.3, 0.2, 0.1])

    def truth(hit, false):
        hits, calls = (shares * hit).sum(), (shares * hit + (1 - shares) * false).sum()
        return 200 * hits / (calls + shares.sum())

    true_drop, held = truth(0.8, 0.1) - truth(0.7, 0.1), {"OF1": 0}
    for _ in range(100):
        shown = rng.random((250, 3)) < shares
        luck = rng.random((250, 3))  # shared: the two models are paired
        before, after = (luck < np.where(shown, hit, 0.1) for hit in (0.8, 0.7))
        targets = shown.astype(np.int8)
        images = leave_one_out(luck, targets)
        one, other = leave_one_out_f1(before, targets)[0], leave_one_out_f1(after, targets)[0]
        found = f1_drop_interval(images, one, other)
        held["OF1"] += found.low <= true_drop <= found.high
    assert held["OF1"] >= 0.9 * 100
