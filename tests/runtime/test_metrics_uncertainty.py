"""Intervals of mAP and of its drop; how often they hold the truth is shown in full by benchmarks/coverage.py."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit

from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.interval import Interval
from edgedistill.runtime.metrics import (
    average_precision,
    bootstrap_average_precision,
    class_drop_intervals,
    images_to_settle,
    least_images,
    leave_one_out,
    map_drop_interval,
    map_interval,
    mean_over_classes,
    percentile_interval,
)
from edgedistill.runtime.student_t import student_t_quantile


@pytest.fixture(scope="module")
def coverage():
    """The benchmark, whose populations have a mAP that is known."""
    path = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def photographs(seed, images, classes, prevalence=0.15):
    random = np.random.default_rng(seed)
    targets = (random.random((images, classes)) < prevalence).astype(np.int8)
    return targets + 0.7 * random.normal(size=targets.shape), targets


def test_the_benchmarks_truth_is_that_of_very_many_images(coverage):
    population = coverage.population(3, 0.1, "hard")
    scores, targets = population.draw(np.random.default_rng(0), 200_000)
    np.testing.assert_allclose(average_precision(scores, targets), population.average_precision(), atol=0.01)
    noisy = scores + np.random.default_rng(1).normal(size=scores.shape)
    np.testing.assert_allclose(average_precision(noisy, targets), population.average_precision(1.0), atol=0.01)


def test_the_interval_of_map_holds_the_truth_where_the_percentile_interval_does_not(coverage):
    population = coverage.population(20, 0.03, "hard")
    truth = 100 * population.average_precision().mean()
    random, samples, bootstrapped = np.random.default_rng(8), 200, 40
    ours = given = percentile = 0
    for sample in range(samples):
        scores, targets = population.draw(random, 200)
        found = map_interval(leave_one_out(scores, targets))
        if found.low is not None:
            given += 1
            ours += found.low <= truth <= found.high
        if sample < bootstrapped:
            estimate = mean_over_classes(average_precision(scores, targets))
            drawn = mean_over_classes(bootstrap_average_precision([scores], targets, resamples=400, seed=sample)[0])
            rival = percentile_interval(estimate, drawn, 0.95)
            percentile += rival.low <= truth <= rival.high
    assert given >= 0.9 * samples
    assert ours >= 0.9 * given
    assert percentile < 0.75 * bootstrapped


@pytest.mark.parametrize("ability", ["hard", "easy"])
def test_the_interval_of_a_single_class_holds_the_truth(coverage, ability):
    population = coverage.population(1, 0.15, ability)
    truth, random, held, given = 100 * population.average_precision()[0], np.random.default_rng(4), 0, 0
    for _ in range(200):
        found = map_interval(leave_one_out(*population.draw(random, 100)))
        if found.low is not None:
            given += 1
            held += found.low <= truth <= found.high
    assert given >= 180
    assert held >= 0.9 * given


@pytest.mark.parametrize("noise", [0.02, 0.3, 1.0])
@pytest.mark.parametrize(("classes", "images", "prevalence"), [(1, 100, 0.2), (20, 60, 0.15), (20, 200, 0.03)])
def test_the_interval_of_a_drop_holds_the_truth(coverage, noise, classes, images, prevalence):
    population = coverage.population(classes, prevalence, "hard")
    truth = 100 * (population.average_precision() - population.average_precision(noise))
    random, held, given = np.random.default_rng(4), 0, 0
    for _ in range(60):
        scores, targets = population.draw(random, images)
        worse = scores + noise * random.normal(size=scores.shape)
        found = map_drop_interval(leave_one_out(scores, targets), leave_one_out(worse, targets))
        if found.low is not None:
            given += 1
            held += found.low <= truth[(targets == 1).any(axis=0)].mean() <= found.high
    assert given >= 50
    assert held >= 0.9 * given


def test_outputs_that_rank_alike_are_within_a_tenth_of_a_point_on_1500_images_and_not_on_few():
    scores, targets = photographs(1, 1500, 20)
    found = map_drop_interval(leave_one_out(scores, targets), leave_one_out(3 * scores + 1, targets))
    assert found.estimate == 0
    assert -0.01 < found.low < 0 < found.high < 0.01  # far within a gate of 0.1, and still no certainty
    few = [model[:70, :2] for model in (scores, targets)]
    assert map_drop_interval(leave_one_out(*few), leave_one_out(*few)).high > 0.1


@pytest.mark.parametrize("images", [1, 2, 3, 58])
def test_an_inverted_model_cannot_pass_on_few_images(images):
    scores, targets = photographs(2, images, 20, prevalence=0.5)
    found = map_drop_interval(leave_one_out(scores, targets), leave_one_out(-scores, targets))
    assert found.estimate is not None
    assert (found.low, found.high) == (None, None)
    assert found.note == f"{images} image{'s' * (images > 1)}, and a comparison wants 59: {59 - images} more"


def test_59_images_show_that_it_is_inverted():
    scores, targets = photographs(2, 59, 20)
    found = map_drop_interval(leave_one_out(scores, targets), leave_one_out(-scores, targets))
    assert found.low > 10


def test_pairing_makes_the_interval_of_a_drop_narrower_than_that_of_map():
    scores, targets = photographs(0, 400, 8, 0.2)
    worse = scores + 0.2 * np.random.default_rng(1).normal(size=targets.shape)
    reference = leave_one_out(scores, targets)
    alone, drop = map_interval(reference), map_drop_interval(reference, leave_one_out(worse, targets))
    assert alone.low < alone.estimate < alone.high
    assert drop.low < drop.estimate < drop.high
    assert drop.high - drop.low < (alone.high - alone.low) / 2
    assert drop.low > 0  # noise costs accuracy, and 400 images show it


def test_a_higher_confidence_is_a_wider_interval():
    reference = leave_one_out(*photographs(3, 200, 5))
    narrow, wide = map_interval(reference, 0.8), map_interval(reference, 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert (narrow.confidence, wide.confidence) == (0.8, 0.99)


def test_a_perfect_ranking_is_no_certainty_and_no_more_than_100_points():
    targets = np.repeat(np.array([[1], [0]], np.int8), [20, 80], axis=0)
    found = map_interval(leave_one_out(targets.astype(float), targets))
    assert (found.estimate, found.high) == (100.0, 100.0)
    assert found.low == pytest.approx(100 * 0.05 ** (1 / 20))  # 14 % of positives may rank last, and show in none of 20


def test_too_few_positives_per_class_are_no_interval_and_say_how_many_images_would_do():
    targets = np.zeros((100, 20), np.int8)
    targets[np.arange(40), np.arange(40) % 20] = 1  # two positives per class
    found = map_interval(leave_one_out(np.random.default_rng(0).random(targets.shape), targets))
    assert found.estimate is not None
    assert (found.low, found.high) == (None, None)
    assert found.note == (
        "the classes have 2.0 positives each (harmonic mean), and 3 are wanted: about 50 more images of this kind"
    )


def test_a_drop_wants_two_positives_per_class():
    targets = np.zeros((100, 20), np.int8)
    targets[np.arange(30), np.arange(30) % 20] = 1  # one or two positives per class
    model = leave_one_out(np.random.default_rng(0).random(targets.shape), targets)
    found = map_drop_interval(model, model)
    assert (found.estimate, found.low, found.high) == (0.0, None, None)
    assert found.note == (
        "the classes have 1.3 positives each (harmonic mean), and 2 are wanted: about 50 more images of this kind"
    )
    targets[np.arange(30, 40), np.arange(10, 20)] = 1
    model = leave_one_out(np.random.default_rng(0).random(targets.shape), targets)
    assert map_drop_interval(model, model).high > 0


def test_a_single_class_wants_ten_positives():
    targets = np.zeros((100, 1), np.int8)
    targets[:8] = 1
    model = leave_one_out(np.random.default_rng(0).random(targets.shape), targets)
    for found in (map_interval(model), map_drop_interval(model, model)):
        assert (found.low, found.high) == (None, None)
        assert found.note == "8 positives, and 10 are wanted: about 25 more images of this kind"


def test_no_positive_at_all():
    model = leave_one_out(np.zeros((100, 2)), np.zeros((100, 2), np.int8))
    for found in (map_interval(model), map_drop_interval(model, model)):
        assert (found.estimate, found.low, found.high) == (None, None, None)
        assert found.note == "no image shows any of the classes"


def test_a_class_alone_is_judged_by_its_own_positives():
    scores, targets = photographs(5, 300, 3)
    targets[:, 1] = 0
    targets[:4, 1] = 1
    worse = scores.copy()
    worse[:, 2] *= -1
    reference, model = leave_one_out(scores, targets), leave_one_out(worse, targets)
    same, rare, lost = class_drop_intervals(reference, model)
    assert (same.estimate, rare.low, lost.estimate > 10, lost.low > 0) == (0, None, True, True)
    assert rare.note.startswith("4 positives, and 10 are wanted")
    alone = map_drop_interval(*(leave_one_out(s[:, 2:], targets[:, 2:]) for s in (scores, worse)))
    assert lost == alone


def test_unknown_labels_take_no_part():
    scores, targets = photographs(6, 200, 2)
    known, labels = np.vstack([scores, scores]), np.vstack([targets, np.full_like(targets, -1)])
    plain, padded = (map_interval(leave_one_out(*each)) for each in ((scores, targets), (known, labels)))
    assert (padded.estimate, padded.low, padded.high) == pytest.approx((plain.estimate, plain.low, plain.high), abs=0.1)


@pytest.mark.parametrize(("confidence", "least"), [(0.95, 59), (0.9, 45), (0.99, 90)])
def test_least_images_is_the_rule_of_three(confidence, least):
    assert least_images(confidence) == least
    assert 0.95**least <= 1 - confidence < 0.95 ** (least - 1)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_a_confidence_that_is_no_share_is_refused(confidence):
    model = leave_one_out(*photographs(7, 100, 2))
    for call in (lambda: map_interval(model, confidence), lambda: map_drop_interval(model, model, confidence)):
        with pytest.raises(ConfigError, match="must lie between 0 and 1"):
            call()


@pytest.mark.parametrize(
    ("ends", "limit", "more"),
    [
        ((-0.6, 0.2, 1.0), 0.6, 300),  # 0.8 must shrink to 0.4: four times the images
        ((-0.4, 0.0, 0.4), 0.1, 300),  # nothing changed: the unseen is rarer in proportion
        ((0.5, 1.5, 2.5), 1.0, 300),  # above the limit: the lower end counts
        ((-0.5, 0.0, 0.5), 1.0, 0),  # settled: passed
        ((2.0, 3.0, 4.0), 1.0, 0),  # settled: failed
        ((0.0, 1.0, 2.0), 1.0, None),  # the estimate is the limit
        ((None, 0.2, None), 1.0, None),  # no interval
        ((None, None, None), 1.0, None),
    ],
)
def test_images_to_settle(ends, limit, more):
    low, estimate, high = ends
    drop = Interval(estimate=estimate, low=low, high=high, confidence=0.95)
    assert images_to_settle(drop, limit, 100) == (more if more is None else pytest.approx(more, abs=1))


def test_so_many_more_images_do_settle_it():
    population, random = photographs(9, 40_000, 10), np.random.default_rng(9)
    worse = population[0] + 0.1 * random.normal(size=population[0].shape)

    def drop(images):
        reference, model = (leave_one_out(s[:images], population[1][:images]) for s in (population[0], worse))
        return map_drop_interval(reference, model)

    first, limit = drop(400), 1.0
    assert first.low < limit < first.high
    more = images_to_settle(first, limit, 400)
    assert drop(400 + 4 * more).high < limit


def test_as_many_images_as_it_says_settle_what_did_not_change():
    scores, targets = photographs(10, 4000, 20, 0.03)
    drops = {n: map_drop_interval(*[leave_one_out(scores[:n], targets[:n])] * 2) for n in (100, 200, 400, 800, 1600)}
    limit = 0.05
    assert drops[100].high > drops[200].high > limit
    for n in (100, 200):
        enough = n + images_to_settle(drops[n], limit, n)
        assert map_drop_interval(*[leave_one_out(scores[:enough], targets[:enough])] * 2).high < limit


@pytest.mark.parametrize("degrees", [1, 1.7, 2, 3.5, 10, 100, 1e5])
@pytest.mark.parametrize("probability", [0.75, 0.9, 0.975, 0.995])
def test_student_t_agrees_with_scipy(probability, degrees):
    assert student_t_quantile(probability, degrees) == pytest.approx(stdtrit(degrees, probability), rel=1e-3)
