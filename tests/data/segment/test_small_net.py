"""The small network: folding, storage, masks that do not depend on the company, the central person."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.records import Record
from reid_data.segment import build_segmenter
from reid_data.segment.central import central_person
from reid_data.segment.network import (
    PedestrianNet,
    fold_norms,
    load_weights,
    predict,
    read_about,
    save_weights,
    to_input,
)
from reid_data.segment.small_net import SmallSegmenter, bundled_weights


def random_net(seed: int = 0) -> PedestrianNet:
    """Random weights with batch norms that do something."""
    torch.manual_seed(seed)
    net = PedestrianNet()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_weights(fold_norms(random_net()), path, {"terms": "none"})
    return path


def crops(number: int, size: tuple[int, int] = (128, 64)) -> list[np.ndarray]:
    return list(np.random.default_rng(number).integers(0, 256, (number, *size, 3), np.uint8))


def records(number: int) -> list[Record]:
    return [Record("r", f"{index}.jpg", 1, 1, "train") for index in range(number)]


def test_size_stays_within_the_bundle() -> None:
    assert sum(parameter.numel() for parameter in PedestrianNet().parameters()) <= 900_000


def test_folding_changes_nothing() -> None:
    net = random_net()
    x = to_input(np.stack(crops(3)))
    with torch.no_grad():
        expected = net(x)
        found = fold_norms(net)(x)
    assert expected.shape == (3, 1, 128, 64)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())


def test_half_precision_storage_is_small_and_close(weights: Path) -> None:
    assert weights.stat().st_size < 3_000_000
    images = np.stack(crops(2))
    before = predict(fold_norms(random_net()), images)
    np.testing.assert_allclose(predict(load_weights(weights), images), before, atol=0.01)
    assert read_about(weights)["terms"] == "none"


def test_flip_average_of_a_picture_and_of_its_mirror_are_mirrors(weights: Path) -> None:
    net, images = load_weights(weights), np.stack(crops(2))
    one = predict(net, images, flip=True)
    other = predict(net, np.ascontiguousarray(images[:, :, ::-1]), flip=True)[:, :, ::-1]
    np.testing.assert_allclose(one, other, atol=1e-5)
    expected = (predict(net, images) + predict(net, np.ascontiguousarray(images[:, :, ::-1]))[:, :, ::-1]) / 2
    np.testing.assert_allclose(one, expected, atol=1e-5)


def test_company_does_not_change_a_mask(weights: Path) -> None:
    segmenter = SmallSegmenter("test", str(weights), device="cpu")
    images = crops(19)
    together = segmenter.chances(images)
    alone = np.concatenate([segmenter.chances([image]) for image in images[:3]])
    assert np.array_equal(together[:3], alone)
    assert np.array_equal(segmenter.chances(images[5:]), together[5:])


def test_threads_are_put_back(weights: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        SmallSegmenter("test", str(weights), device="cpu").chances(crops(1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_any_size_in_same_size_out(weights: Path) -> None:
    segmenter = SmallSegmenter("test", str(weights), device="cpu")
    images = [crops(1, size)[0] for size in ((128, 64), (256, 128), (48, 20), (40, 300), (1, 1))]
    alphas, qualities = segmenter.segment(records(len(images)), images)
    assert [alpha.shape for alpha in alphas] == [image.shape[:2] for image in images]
    assert all(alpha.dtype == np.float32 and 0 <= alpha.min() <= alpha.max() <= 1 for alpha in alphas)
    assert all(0 <= quality <= 1 for quality in qualities)
    assert segmenter.segment([], []) == ([], [])


def test_digest_follows_content_and_flip_not_place(weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    other = tmp_path / "other.safetensors"
    save_weights(fold_norms(random_net(1)), other, {})
    first = SmallSegmenter("test", str(weights))
    assert first.digest() == SmallSegmenter("test", str(copy)).digest()
    assert (
        len(
            {
                first.digest(),
                SmallSegmenter("test", str(weights), flip=True).digest(),
                SmallSegmenter("test", str(other)).digest(),
            }
        )
        == 3
    )


def test_hostile_and_missing_files_are_errors_with_a_remedy(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(EnvironmentFault, match="no segmenter weights"):
        load_weights(tmp_path / "none.safetensors")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="not a readable safetensors"):
        load_weights(bad)
    save_file({"x": torch.zeros(1)}, bad)
    with pytest.raises(InputError, match="train-segmenter"):
        load_weights(bad)
    save_file({"x": torch.zeros(1)}, bad, {"format": "pedestrian-net 1"})
    with pytest.raises(InputError, match="does not fit"):
        load_weights(bad)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    net = fold_norms(PedestrianNet())
    with torch.no_grad():
        net.head.bias.fill_(1e6)  # infinite in half precision
    with pytest.raises(InputError, match=r"'head.bias' are not all finite"):
        save_weights(net, tmp_path / "bad.safetensors", {})
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in fold_norms(PedestrianNet()).state_dict().items()}
    state["head.bias"] = torch.full_like(state["head.bias"], float("nan"))
    save_file(state, tmp_path / "nan.safetensors", {"format": "pedestrian-net 1"})
    with pytest.raises(InputError, match=r"'head.bias' are not all finite"):
        load_weights(tmp_path / "nan.safetensors")


def test_a_weights_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path, images, found = tmp_path / "mine.safetensors", crops(2), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_weights(fold_norms(PedestrianNet()), path, {})
        segmenter = SmallSegmenter("small", str(path), device="cpu")
        found.append((segmenter.digest(), segmenter.chances(images)))
    assert found[0][0] != found[1][0]
    assert np.abs(found[0][1] - found[1][1]).max() > 0.001


def test_table_knows_the_bundled_networks() -> None:
    assert build_segmenter("small").name == "small"
    assert build_segmenter("small-synth").name == "small-synth"
    with pytest.raises(UsageError, match="small, small-synth"):
        build_segmenter("tiny")


def block(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    alpha = np.zeros((128, 64), np.float32)
    for top, bottom, left, right in boxes:
        alpha[top:bottom, left:right] = 0.9
    return alpha


def test_of_two_people_the_central_one_stays() -> None:
    centre, neighbour = (10, 120, 24, 42), (5, 125, 48, 64)
    assert np.array_equal(central_person(block(centre, neighbour)), block(centre))


def test_legs_behind_a_rail_stay_and_flecks_go() -> None:
    body, legs, fleck = (10, 70, 24, 42), (80, 120, 26, 40), (100, 102, 24, 26)
    alone = (60, 62, 50, 52)
    assert np.array_equal(central_person(block(body, legs, alone)), block(body, legs))
    assert np.array_equal(central_person(block(body, fleck)), block(body))


def test_soft_edges_stay_with_their_part() -> None:
    alpha = block((10, 120, 20, 44))
    alpha[10:120, 18:20] = 0.3
    alpha[10:120, 60:62] = 0.4
    found = central_person(alpha)
    assert found[50, 19] == np.float32(0.3)
    assert found[50, 61] == 0


@pytest.mark.parametrize(
    "alpha", [np.zeros((128, 64), np.float32), block((0, 8, 0, 8)), np.full((128, 64), 0.4, np.float32)]
)
def test_nobody_is_an_empty_mask(alpha: np.ndarray) -> None:
    assert not central_person(alpha).any()


@pytest.mark.parametrize("name", ["small", "small-synth"])
def test_bundled_weights_find_a_drawn_person_and_leave_a_plain_wall(name: str) -> None:
    from reid_data.synth.generate import sample

    assert bundled_weights(name).stat().st_size <= 3_000_000
    assert read_about(bundled_weights(name))["terms"]
    segmenter = SmallSegmenter(name, device="cpu")
    wall = np.full((128, 64, 3), (150, 140, 130), np.uint8)
    assert not segmenter.segment(records(1), [wall])[0][0].any()
    found = []
    for index in range(4):
        image, truth, _ = sample(77, index, "market")
        mask, person = segmenter.segment(records(1), [image])[0][0] > 0.5, truth > 0.5
        found.append((mask & person).sum() / max(1, (mask | person).sum()))
    assert np.median(found) > 0.7
