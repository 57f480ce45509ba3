"""The statistics against numpy in float64 over all pixels, and against themselves in any split of the work."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reid_data.datasets import load_dataset
from reid_data.datasets.channel_stats import channel_stats, kept_stats, pixel_sums, stats_file, summarise
from reid_data.errors import InputError
from reid_data.images import read_record, resize, write_image
from tests.conftest import random_image

images = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


@given(images)
def test_sums_are_the_integer_sums(image):
    pixels = image.reshape(-1, 3).astype(object)
    num_pixels, total, squares = pixel_sums(image)
    assert num_pixels == len(pixels)
    assert list(total) == list(pixels.sum(0))
    assert list(squares) == list((pixels**2).sum(0))


def test_sums_stay_exact_on_a_large_white_image():
    image = np.full((4000, 4000, 3), 255, np.uint8)
    assert pixel_sums(image) == (16_000_000, (16_000_000 * 255,) * 3, (16_000_000 * 255 * 255,) * 3)


def test_sums_stay_exact_on_a_large_random_image():
    image = np.random.default_rng(0).integers(0, 256, (3001, 1999, 3), np.uint8)
    pixels = image.reshape(-1, 3).astype(np.int64)
    assert pixel_sums(image) == (len(pixels), tuple(pixels.sum(0)), tuple((pixels**2).sum(0)))


@pytest.mark.parametrize("size", [None, (16, 8)])
def test_both_definitions_against_numpy(market_folder, size):
    dataset = load_dataset(str(market_folder()), market_folder().parent)
    pictures = [read_record(record) for record in dataset.train]
    pictures = [picture if size is None else resize(picture, size) for picture in pictures]
    pixels = np.concatenate([picture.reshape(-1, 3) for picture in pictures]) / 255
    stats = channel_stats(dataset.train, size)
    np.testing.assert_allclose(stats.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(stats.std, pixels.std(0), rtol=1e-12)
    np.testing.assert_allclose(stats.std_per_image, np.mean([(p / 255).std((0, 1)) for p in pictures], 0), rtol=1e-12)
    np.testing.assert_allclose(stats.mean_per_image, np.mean([(p / 255).mean((0, 1)) for p in pictures], 0), rtol=1e-12)


@given(st.permutations([random_image(seed, (seed + 1, 3)) for seed in range(6)]))
def test_order_does_not_change_a_bit(pictures):
    expected = summarise([pixel_sums(random_image(seed, (seed + 1, 3))) for seed in range(6)])
    assert summarise([pixel_sums(picture) for picture in pictures]) == expected


def test_workers_do_not_change_a_bit(market_folder):
    dataset = load_dataset(str(market_folder()), market_folder().parent)
    assert channel_stats(dataset.records, workers=1) == channel_stats(dataset.records, workers=2)


def test_std_of_a_flat_image_is_exactly_zero():
    assert summarise([pixel_sums(np.full((7, 5, 3), 201, np.uint8))]).std == (0.0, 0.0, 0.0)


def test_unreadable_images_are_listed_and_left_out(market_folder):
    root = market_folder()
    dataset = load_dataset(str(root), root.parent)
    whole = channel_stats(dataset.train[1:])
    (root / dataset.train[0].name).write_bytes(b"<html>not found</html>")
    stats = channel_stats(dataset.train)
    assert stats.failed[0][0] == dataset.train[0].name
    assert "is not a JPEG" in stats.failed[0][1]
    assert (stats.mean, stats.std, stats.num_images) == (whole.mean, whole.std, len(dataset.train) - 1)
    with pytest.raises(InputError, match="none of the 1 images"):
        channel_stats(dataset.train[:1])


def test_kept_statistics_follow_the_contents(market_folder):
    root = market_folder()
    dataset = load_dataset(str(root), root.parent)
    first = kept_stats(dataset, "train", (16, 8))
    assert stats_file(dataset, "train", (16, 8)).is_file()
    assert kept_stats(dataset, "train", (16, 8)) == first
    write_image(root / dataset.train[0].name, np.zeros((40, 20, 3), np.uint8))
    assert kept_stats(dataset, "train", (16, 8)) != first
