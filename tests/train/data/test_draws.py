"""Tags are drawn in proportion to their scores, and depend on nothing but what they should."""

import numpy as np
import pytest

from train.data.draws import clip_keys, draw_tags, likeliest_tags, sample_keys, uniforms

# 0.999 quantile of the chi-square distribution with 5 degrees of freedom (tables).
CHI_SQUARE_5_999 = 20.515


# The first numbers of splitmix64.c (Vigna 2015) for the seed 1234567.
SPLITMIX64_OF_1234567 = [6457827717110365317, 3203168211198807973, 9817491932198370423]
GOLDEN, BITS_64 = 0x9E3779B97F4A7C15, 2**64 - 1


def splitmix64(seed: int, number: int) -> int:
    """Number `number`, counted from 1, of splitmix64, in Python's whole numbers."""
    state = (seed + number * GOLDEN) & BITS_64
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & BITS_64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & BITS_64
    return state ^ (state >> 31)


def draws_of(logits: np.ndarray, epochs: int, seed: int = 7) -> np.ndarray:
    """Draw one clip's tags in many epochs: int [epochs, rows]."""
    keys, rows = clip_keys(["abc_30"]), np.array([len(logits)])
    return np.stack(
        [draw_tags(logits, uniforms(seed, epoch, keys, rows)) for epoch in range(epochs)]
    )


def test_frequencies_over_100_000_draws_match_the_scores():
    logits = np.array([[-2.0, 0.5, 3.0, -4.0, 1.0, -1.0]] * 10, np.float16)
    scores = 1 / (1 + np.exp(-logits[0].astype(np.float64)))
    expected = 100_000 * scores / scores.sum()
    found = np.bincount(draws_of(logits, 10_000).ravel(), minlength=6)
    assert found.sum() == 100_000
    assert ((found - expected) ** 2 / expected).sum() < CHI_SQUARE_5_999


@pytest.mark.parametrize("classes", [521, 527, 2, 17])
def test_every_class_is_drawn_in_proportion_to_its_score_however_many_there_are(classes):
    logits = np.random.default_rng(0).normal(-2, 2, (1, classes)).astype(np.float32)
    scores = 1 / (1 + np.exp(-logits[0].astype(np.float64)))
    even = (np.arange(50_000) + 0.5) / 50_000
    tags = draw_tags(np.broadcast_to(logits, (50_000, classes)), even)
    found = np.bincount(tags, minlength=classes)
    # By the inverse CDF a class takes one stretch of the even numbers: within one of its share,
    # and float32's sums may shift its ends.
    assert np.abs(found - 50_000 * scores / scores.sum()).max() < 1.1


def test_draws_are_those_of_splitmix64_so_that_a_run_goes_on_with_its_own():
    assert [splitmix64(1234567, number) for number in (1, 2, 3)] == SPLITMIX64_OF_1234567

    def mixed(state: int) -> int:
        return splitmix64((state - GOLDEN) & BITS_64, 1)

    ids, rows, seed, epoch = ["abc_30", "d"], [2, 3], 3, 2
    keys = clip_keys(ids)
    when = mixed(mixed((seed * GOLDEN + epoch) & BITS_64))
    expected = [
        ((splitmix64(mixed(int(key) ^ when), row + 1) >> 11) + 0.5) / 2**53
        for key, count in zip(keys, rows, strict=True)
        for row in range(count)
    ]
    assert uniforms(seed, epoch, keys, np.array(rows)).tolist() == expected


def test_rows_of_a_clip_are_drawn_independently():
    logits = np.zeros((2, 2), np.float32)
    pairs = draws_of(logits, 20_000)
    both = np.bincount(pairs[:, 0] * 2 + pairs[:, 1], minlength=4)
    # 3 degrees of freedom: 0.999 quantile 16.266.
    assert ((both - 5000) ** 2 / 5000).sum() < 16.266


def test_batch_size_and_order_change_no_draw():
    rng = np.random.default_rng(0)
    rows = rng.integers(1, 12, 50)
    ids = [f"clip_{number}" for number in range(50)]
    logits = [rng.normal(-5, 3, (count, 521)).astype(np.float16) for count in rows]
    whole = draw_tags(np.concatenate(logits), uniforms(1, 2, clip_keys(ids), rows))
    expected = dict(zip(ids, np.split(whole, np.cumsum(rows)[:-1]), strict=True))
    order = rng.permutation(50)
    for size in (1, 3, 8):
        for start in range(0, 50, size):
            part = order[start : start + size]
            keys = clip_keys([ids[index] for index in part])
            uniform = uniforms(1, 2, keys, rows[part])
            found = draw_tags(np.concatenate([logits[index] for index in part]), uniform)
            wanted = np.concatenate([expected[ids[index]] for index in part])
            assert (found == wanted).all()


def test_another_epoch_seed_clip_or_caption_gives_other_tags():
    rows = np.array([1000])
    keys = clip_keys(["abc_30"])
    base = uniforms(0, 0, keys, rows)
    others = [
        uniforms(0, 1, keys, rows),
        uniforms(1, 0, keys, rows),
        uniforms(0, 0, clip_keys(["abd_30"]), rows),
        uniforms(0, 0, sample_keys(keys, np.array([1])), rows),
    ]
    for other in others:
        assert (base != other).all()
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.15
    assert (uniforms(0, 0, sample_keys(keys, np.array([0])), rows) == base).all()


def test_a_class_of_probability_zero_is_never_drawn():
    logits = np.array([[-np.inf, -200.0, 0.0, -np.inf]], np.float32)
    for uniform in (1e-300, 0.5, 1 - 2.0**-53):
        assert draw_tags(logits, np.array([uniform])).tolist() == [2]


def test_very_low_scores_keep_their_proportions():
    logits = np.array([[-100.0, -100.0 + np.log(3.0)]], np.float32)
    assert draw_tags(logits, np.array([0.24])).tolist() == [0]
    assert draw_tags(logits, np.array([0.26])).tolist() == [1]


def test_the_likeliest_tag_is_the_one_with_the_highest_logit():
    assert likeliest_tags(np.array([[0.0, 2.0, 1.0], [5.0, -1.0, 4.0]])).tolist() == [1, 0]
