"""Features in data-set order, bounded and complete; class centroids."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reid_data.decode import decoded
from reid_data.images import read_record, resize
from reid_data.records import Record, ReidDataset
from reid_train.arithmetic import Arithmetic
from reid_train.features import extract as module
from reid_train.features.cache import FeatureCache, prune
from reid_train.features.extract import Extraction, class_centroids, extract
from reid_train.model.reid_net import NetSpec, ReidNet, build_net

pytestmark = pytest.mark.usefixtures("tiny_backbone")
SIZE = (32, 16)


def arithmetic() -> Arithmetic:
    return Arithmetic(torch.device("cpu"), "none", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def make_net(**spec: object) -> ReidNet:
    net = build_net(NetSpec(**spec), 8, 0)  # type: ignore[arg-type]
    with torch.no_grad():  # a neck that is not the identity
        net(torch.randn(64, 3, *SIZE, generator=torch.Generator().manual_seed(0)))
    return net.eval()


@torch.no_grad()
def slow_features(net: ReidNet, records: list[Record], which: str, *, flip: bool = False) -> np.ndarray:
    rows = []
    for record in records:
        pixels = torch.from_numpy(resize(read_record(record), SIZE).copy()).permute(2, 0, 1).float() / 255
        image = ((pixels - 0.5) / 0.25)[None]
        views = [net(view)[0 if which == "before" else 2][0] for view in ([image, image.flip(3)] if flip else [image])]
        mean = torch.stack(views).mean(0)
        rows.append(F.normalize(mean, dim=0) if flip and which == "after" else mean)
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("which", ["before", "after"])
@pytest.mark.parametrize("flip", [False, True])
def test_features_equal_one_image_at_a_time(
    which: str, flip: bool, tiny: ReidDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 7)
    net, records = make_net(), list(tiny.gallery)[:20]
    found = extract(net, records, Extraction(SIZE, which, flip), arithmetic())
    assert found.feats.dtype == np.float32
    assert found.records == records
    np.testing.assert_allclose(found.feats, slow_features(net, records, which, flip=flip), atol=2e-6)


def test_workers_and_batches_change_nothing_that_matters(tiny: ReidDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    net, how = make_net(), Extraction(SIZE)
    one = extract(net, tiny.gallery, how, arithmetic(), workers=1)
    two = extract(net, tiny.gallery, how, arithmetic(), workers=2)
    np.testing.assert_array_equal(one.feats, two.feats)
    monkeypatch.setattr(module, "BATCH", 5)
    np.testing.assert_allclose(extract(net, tiny.gallery, how, arithmetic()).feats, one.feats, atol=1e-6)


def test_unreadable_images_are_left_out_and_listed(tiny: ReidDataset, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    bad = Record(str(tmp_path), "empty.jpg", 5, 1, "gallery")
    records = [tiny.gallery[0], bad, tiny.gallery[1], dataclasses.replace(bad, name="absent.jpg")]
    found = extract(make_net(), records, Extraction(SIZE), arithmetic())
    assert found.records == [tiny.gallery[0], tiny.gallery[1]]
    assert [(row.name, row.reason) for row in found.unreadable] == [
        ("empty.jpg", "is empty (0 bytes)"),
        ("absent.jpg", "does not exist"),
    ]
    whole = extract(make_net(), tiny.gallery[:2], Extraction(SIZE), arithmetic())
    np.testing.assert_allclose(found.feats, whole.feats, atol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("calibrate", [True, False])
def test_centroids_equal_the_slow_loop(normalize: bool, calibrate: bool) -> None:
    rng = np.random.default_rng(0)
    before = (rng.normal(3, 2, (30, 12))).astype(np.float32)
    labels = [0, *([1] * 9), *(list(range(2, 8)) * 4)][:30]  # class 0 has one image
    labels += [7] * (30 - len(labels))
    net = build_net(NetSpec(normalize=normalize), 8, 0)
    found = class_centroids(net, before, labels, calibrate=calibrate).numpy()
    after = before.astype(np.float64)
    mean, variance = (after.mean(0), after.var(0, ddof=1)) if calibrate else (0, 1)
    after = (after - mean) / np.sqrt(variance + net.neck.eps)
    if normalize:
        after /= np.linalg.norm(after, axis=1, keepdims=True)
    for label in range(8):
        mean = after[np.array(labels) == label].mean(0)
        np.testing.assert_allclose(found[label], mean / np.linalg.norm(mean), atol=1e-5)


class TestCache:
    """Parts kept by what they depend on."""

    @pytest.fixture(autouse=True)
    def _small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "PART", 5)
        monkeypatch.setattr(module, "BATCH", 2)

    def test_a_stopped_extraction_goes_on_where_it_was(
        self, tiny: ReidDataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net, how, records = make_net(), Extraction(SIZE), list(tiny.gallery)[:18]
        plain = extract(net, records, how, arithmetic())

        def stop(done: int, total: int) -> None:
            if done >= 12:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            extract(net, records, how, arithmetic(), progress=stop, cache=FeatureCache("key"))
        asked = []

        def watched(records, size, workers):
            asked.append([record.name for record in records])
            return decoded(records, size, workers)

        found = extract(net, records, how, arithmetic(), images=watched, cache=FeatureCache("key"))
        assert asked == [[record.name for record in records[10:]]]
        np.testing.assert_array_equal(found.feats, plain.feats)
        assert found.records == plain.records
        again = extract(net, records, how, arithmetic(), images=lambda *_: iter(()), cache=FeatureCache("key"))
        np.testing.assert_array_equal(again.feats, plain.feats)

    def test_unreadable_images_stay_where_they_are(self, tiny: ReidDataset) -> None:
        net, how, records = make_net(), Extraction(SIZE), list(tiny.gallery)[:12]
        records[3] = dataclasses.replace(records[3], name="absent.jpg")
        first = extract(net, records, how, arithmetic(), cache=FeatureCache("key"))
        second = extract(net, records, how, arithmetic(), cache=FeatureCache("key"))
        assert [row.name for row in first.unreadable] == ["absent.jpg"]
        assert first.unreadable == second.unreadable
        assert first.records == second.records == records[:3] + records[4:]
        np.testing.assert_array_equal(first.feats, second.feats)

    def test_a_damaged_part_is_made_again(self, tiny: ReidDataset) -> None:
        net, how, records = make_net(), Extraction(SIZE), list(tiny.gallery)[:12]
        cache = FeatureCache("key")
        first = extract(net, records, how, arithmetic(), cache=cache)
        files = sorted(cache.folder.iterdir())
        assert len(files) == 3
        files[0].write_bytes(files[0].read_bytes()[:100])
        files[1].write_bytes(b"")
        np.testing.assert_array_equal(extract(net, records, how, arithmetic(), cache=cache).feats, first.feats)

    def test_the_least_recently_used_go_first(self, tmp_path: Path) -> None:
        for place, name in enumerate(("old", "middle", "new")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "part").write_bytes(bytes(100))
            os.utime(tmp_path / name, (place, place))
        prune(tmp_path, 200, keep=tmp_path / "old")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
