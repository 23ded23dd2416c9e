"""Intervals over clips."""

import numpy as np

from evaluate.scores.computing.bootstrap import draw_weights, interval, weighted_means


def test_every_draw_has_as_many_clips_as_the_set_and_repeats_with_its_seed():
    weights = draw_weights(50, draws=200)
    assert weights.shape == (200, 50)
    assert (weights.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(weights, draw_weights(50, draws=200))
    assert (weights != draw_weights(50, draws=200, seed=1)).any()


def test_the_interval_of_a_mean_is_1_96_standard_errors_to_each_side():
    values = np.random.default_rng(3).normal(size=2000)
    low, high = interval(weighted_means(values, draw_weights(2000)))
    error = values.std() / np.sqrt(2000)
    # 1,000 draws place a 2.5 % bound to about 0.09 standard errors: three of them are allowed.
    assert abs(low - (values.mean() - 1.96 * error)) < 0.27 * error
    assert abs(high - (values.mean() + 1.96 * error)) < 0.27 * error


def test_clips_without_a_value_are_left_out_of_the_mean():
    values = np.array([1.0, np.nan, 3.0])
    weights = np.array([[1.0, 1.0, 1.0], [2.0, 5.0, 0.0], [0.0, 3.0, 0.0]])
    np.testing.assert_array_equal(weighted_means(values, weights), [2.0, 1.0, np.nan])
