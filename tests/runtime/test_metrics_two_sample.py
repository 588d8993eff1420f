"""The tests of drift against scipy, by simulation, and where the answer is known in closed form."""

import numpy as np
import pytest

from edgedistill.runtime.bundle.observed import MOST_LEVELS, quantiles
from edgedistill.runtime.metrics.proportion import share_interval
from edgedistill.runtime.metrics.rank_correlation import rank_correlation
from edgedistill.runtime.metrics.two_sample import holm, ks_distance, ks_margin, ks_probability

stats = pytest.importorskip("scipy.stats", reason="the lowest-versions step has only the runtime's dependencies")


def test_the_distance_and_its_probability_are_scipys_ties_included():
    rng = np.random.default_rng(0)
    for images, others, places in ((30, 50, 1), (400, 90, 6), (200, 3000, 6)):
        one, other = rng.normal(size=images).round(places), rng.normal(0.2, 1.1, others).round(places)
        expected = stats.ks_2samp(one, other, method="asymp")
        assert ks_distance(one, other) == pytest.approx(expected.statistic)
        exact = stats.ks_2samp(one, other, method="exact").pvalue
        assert ks_probability(ks_distance(one, other), images, others) == pytest.approx(exact, abs=0.02)


def test_known_distances():
    assert ks_distance(np.arange(4.0), np.arange(4.0)) == 0.0
    assert ks_distance(np.zeros(3), np.ones(5)) == 1.0
    assert ks_distance(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 0.5
    assert ks_probability(0.0, 10, 10) == 1.0
    assert ks_probability(1.0, 1000, 1000) < 1e-300


def test_nothing_changed_is_seldom_called_drift_also_beside_quantiles():
    """5 % of 400 is 20; quantiles in place of the images may not raise that."""
    rng = np.random.default_rng(1)
    alarms = beyond = 0
    for _ in range(400):
        recorded, now = rng.gamma(0.5, size=1500), rng.gamma(0.5, size=200)
        kept = quantiles(recorded[:, None])[:, 0]
        assert len(kept) == MOST_LEVELS
        distance = max(0.0, ks_distance(now, kept) - 0.5 / len(kept))
        alarms += ks_probability(distance, 200, 1500) < 0.05
        beyond += distance > ks_margin(200, 1500, 0.05)
    assert 4 <= alarms <= 32
    assert beyond <= 32


def test_the_interval_holds_the_true_distance():
    """Of N(0, 1) and N(1/2, 1) it is 2 Phi(1/4) - 1."""
    rng = np.random.default_rng(2)
    truth = 2 * stats.norm.cdf(0.25) - 1
    margin = ks_margin(150, 900, 0.05)
    off = [abs(ks_distance(rng.normal(0.5, 1, 150), rng.normal(0, 1, 900)) - truth) for _ in range(300)]
    assert np.mean(np.array(off) <= margin) >= 0.95


def test_holm_by_hand_and_in_any_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_few_images_are_their_own_quantiles():
    values = np.random.default_rng(3).normal(size=(7, 2)).astype(np.float32)
    np.testing.assert_allclose(quantiles(values), np.sort(values, axis=0), rtol=1e-6)


@pytest.mark.parametrize(("hits", "of"), [(0, 20), (3, 17), (20, 20), (999, 1000)])
def test_a_shares_interval_is_scipys(hits, of):
    expected = stats.binomtest(hits, of).proportion_ci(method="wilson")
    found = share_interval(hits, of)
    assert (found.estimate, found.low, found.high) == pytest.approx((hits / of, expected.low, expected.high))


def test_a_share_of_nothing():
    assert share_interval(0, 0).estimate is None


def test_the_rank_correlation_is_scipys_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(4)
    one = rng.normal(size=60).round(1)
    other = (one + rng.normal(size=60)).round(1)
    assert rank_correlation(one, other).estimate == pytest.approx(stats.spearmanr(one, other).statistic)
    truth, held = 6 / np.pi * np.arcsin(0.8 / 2), 0
    for _ in range(300):
        pair = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 50)
        found = rank_correlation(*pair.T)
        held += found.low <= truth <= found.high
    assert held >= 0.92 * 300
    assert rank_correlation(one, np.zeros(60)).estimate is None
    assert rank_correlation(one, 2 * one + 1).estimate == pytest.approx(1.0)
    few = rank_correlation(one[:5], other[:5])
    assert few.estimate is not None
    assert few.low is None
