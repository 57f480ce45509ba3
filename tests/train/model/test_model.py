"""The network, its classifier and what it starts from."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torchvision.models import resnet

from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.files import sha256_file
from reid_train.model import weights
from reid_train.model.backbones import BACKBONES, NUM_PARAMETERS, build_backbone
from reid_train.model.classifiers import Classifier
from reid_train.model.reid_net import GeneralisedMean, NetSpec, build_net
from reid_train.model.weights import load_start, weights_path
from reid_train.runs.checkpoint import save_model
from tests.train.conftest import TINY_WIDTH


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize(("stride", "height"), [(1, 4), (2, 2)])
def test_backbone_shapes(name: str, stride: int, height: int) -> None:
    trunk, channels = build_backbone(name, last_stride=stride, seed=0)
    with torch.no_grad():
        assert trunk.eval()(torch.zeros(1, 3, 64, 32)).shape == (1, channels, height, height // 2)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_numbers_of_parameters(name: str) -> None:
    with torch.device("meta"):
        trunk, _ = build_backbone(name, last_stride=2, seed=0)
    assert sum(parameter.numel() for parameter in trunk.parameters()) == NUM_PARAMETERS[name]


def test_an_unknown_backbone_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="Did you mean 'resnet18'"):
        build_backbone("resnet19", last_stride=1, seed=0)


@pytest.mark.usefixtures("tiny_backbone")
def test_a_network_is_a_function_of_its_seed_and_leaves_the_global_state_alone() -> None:
    spec = NetSpec(embedding=6)
    torch.manual_seed(5)
    first = build_net(spec, 4, 0).state_dict()
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    again, other = build_net(spec, 4, 0).state_dict(), build_net(spec, 4, 1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    for name in ("backbone.conv1.weight", "embedding.weight", "classifier.weight"):
        assert not torch.equal(first[name], other[name])


@pytest.mark.usefixtures("tiny_backbone")
@pytest.mark.parametrize("embedding", [0, 6])
@pytest.mark.parametrize("neck", ["bn", "none"])
@pytest.mark.parametrize("normalize", [True, False])
def test_what_stands_between_backbone_and_classifier(embedding: int, neck: str, normalize: bool) -> None:
    net = build_net(NetSpec(embedding=embedding, neck=neck, normalize=normalize), 4, 0)
    features = net(torch.randn(5, 3, 32, 16))
    width = embedding or TINY_WIDTH
    assert net.num_features == width
    assert all(part.shape == (5, width) for part in features)
    if neck == "bn":
        torch.testing.assert_close(features.after.mean(0), torch.zeros(width), atol=1e-5, rtol=0)
        assert not net.neck.bias.requires_grad
    else:
        assert torch.equal(features.after, features.before)
    expected = F.normalize(features.after) if normalize else features.after
    torch.testing.assert_close(features.classified, expected)


def test_normal_start_has_the_study_s_norms() -> None:
    norms = Classifier(2048, 751, norm="free", head="linear", margin=0, seed=0).weight.norm(dim=1)
    assert float(norms.median().detach()) == pytest.approx(0.045, abs=0.001)


def make_classifier(norm: str, head: str = "linear") -> Classifier:
    classifier = Classifier(4, 3, norm=norm, head=head, margin=0.2, seed=0)
    classifier.set_weights(3 * torch.randn(3, 4, generator=torch.Generator().manual_seed(1)))
    return classifier


def test_free_projected_and_cosine_weights() -> None:
    features, labels = F.normalize(torch.randn(6, 4)), torch.arange(6) % 3
    found = {}
    for norm in ("free", "project", "cosine"):
        classifier = make_classifier(norm)
        before = classifier.weight.detach().clone()
        logits, scores = classifier(features, labels, 0.5)
        torch.testing.assert_close(logits, scores / 0.5)
        F.cross_entropy(logits, labels).backward()
        after = classifier.weight.detach()
        radial = (classifier.weight.grad * F.normalize(after)).sum(1)
        found[norm] = (scores.detach(), radial)
        assert torch.equal(after, F.normalize(before) if norm == "project" else before)
        expected = 1.0 if norm != "free" else float(before.norm(dim=1).median())
        assert float(classifier.effective_norms().median()) == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(found["project"][0], found["cosine"][0])
    assert not torch.allclose(found["free"][0], found["cosine"][0])
    assert found["cosine"][1].abs().max() < 1e-6, "normalising inside takes the radial part out of the gradient"
    assert found["project"][1].abs().max() > 1e-3, "projecting in place leaves it in"


def test_margin_heads_use_cosines_and_a_harder_true_class() -> None:
    features, labels = 5 * torch.randn(6, 4), torch.arange(6) % 3
    for head in ("arcface", "cosface"):
        classifier = make_classifier("free", head)
        logits, scores = classifier(features, labels, 0.1)
        assert scores.abs().max() <= 1 + 1e-6
        true = torch.zeros(6, 3, dtype=torch.bool).scatter(1, labels[:, None], True)
        assert (logits[true] < scores[true] / 0.1).all()
        torch.testing.assert_close(logits[~true], (scores / 0.1)[~true])


def test_unknown_classifier_choices() -> None:
    with pytest.raises(UsageError, match="cosface"):
        Classifier(4, 3, norm="free", head="circle", margin=0, seed=0)
    with pytest.raises(UsageError, match="project"):
        Classifier(4, 3, norm="unit", head="linear", margin=0, seed=0)


def test_generalised_mean_lies_between_mean_and_maximum() -> None:
    maps, pooling = torch.rand(2, 3, 4, 5), GeneralisedMean()
    found = pooling(maps).detach()
    assert (found > maps.mean((2, 3))).all()
    assert (found < maps.amax((2, 3))).all()
    with torch.no_grad():
        pooling.exponent.fill_(1)
        torch.testing.assert_close(pooling(maps), maps.mean((2, 3)))


def test_torchvision_files_load_into_the_trunk(tmp_path: Path) -> None:
    source = resnet.resnet18()
    torch.save(source.state_dict(), tmp_path / "r18.pth")
    net = build_net(NetSpec(backbone="resnet18", last_stride=2), 4, 0)
    missing = load_start(net, tmp_path / "r18.pth")
    images = torch.randn(2, 3, 64, 32)
    source.fc = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(images).before, source.eval()(images))
    assert all(name.startswith("neck.") for name in missing)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(resnet.resnet18().state_dict(), tmp_path / "r18.pth")
    net = build_net(NetSpec(backbone="resnet34", last_stride=2), 4, 0)
    with pytest.raises(InputError, match="another --backbone"):
        load_start(net, tmp_path / "r18.pth")


@pytest.mark.usefixtures("tiny_backbone")
def test_a_model_of_ours_gives_all_but_its_classes(tmp_path: Path) -> None:
    source = build_net(NetSpec(embedding=6), 9, 1)
    save_model(tmp_path / "m.safetensors", source.state_dict(), {})
    net = build_net(NetSpec(embedding=6), 4, 0)
    start = net.classifier.weight.detach().clone()
    assert load_start(net, tmp_path / "m.safetensors") == []
    assert torch.equal(net.backbone.conv1.weight, source.backbone.conv1.weight)
    assert torch.equal(net.embedding.weight, source.embedding.weight)
    assert torch.equal(net.classifier.weight, start)
    with pytest.raises(InputError, match=r"embedding.weight is of shape \(6, 12\), expected \(7, 12\)"):
        load_start(build_net(NetSpec(embedding=7), 4, 0), tmp_path / "m.safetensors")


@pytest.mark.usefixtures("tiny_backbone")
@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors"])
def test_damaged_or_hostile_weight_files(name: str, tmp_path: Path) -> None:
    net = build_net(NetSpec(), 4, 0)
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(InputError, match=name):
        load_start(net, tmp_path / name)
    assert not Path("owned").exists()


def test_weights_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_path("none", "resnet50") is None
    with pytest.raises(EnvironmentFault, match=r"fetch-weights resnet50.*--weights none\|PATH"):
        weights_path("imagenet", "resnet50")
    with pytest.raises(EnvironmentFault, match="no checked ImageNet weights are known for resnet34"):
        weights_path("imagenet", "resnet34")
    with pytest.raises(InputError, match="no such file"):
        weights_path("absent.pth", "resnet50")


def test_imagenet_files_are_checked_at_every_load(monkeypatch: pytest.MonkeyPatch) -> None:
    known = weights.IMAGENET_V1["resnet18"]
    known.path.write_bytes(b"something else")
    with pytest.raises(EnvironmentFault, match=r"expected sha256 f37072fd.*Remove it"):
        weights_path("imagenet", "resnet18")
    genuine = known._replace(sha256=sha256_file(known.path))
    monkeypatch.setitem(weights.IMAGENET_V1, "resnet18", genuine)
    assert weights_path("imagenet", "resnet18") == known.path


def test_a_download_appears_only_if_it_is_genuine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "net-1.pth").write_bytes(b"weights")
    url = (tmp_path / "net-1.pth").as_uri()
    good = weights.WeightFile(url, sha256_file(tmp_path / "net-1.pth"), 7)
    monkeypatch.setitem(weights.IMAGENET_V1, "resnet18", good._replace(sha256="0" * 64))
    with pytest.raises(EnvironmentFault, match="expected sha256 0000"):
        weights.fetch_imagenet("resnet18")
    assert not good.path.exists()
    monkeypatch.setitem(weights.IMAGENET_V1, "resnet18", good)
    assert weights.fetch_imagenet("resnet18").read_bytes() == b"weights"
    monkeypatch.setitem(weights.IMAGENET_V1, "resnet18", good._replace(url="http://127.0.0.1:9/net-2.pth"))
    with pytest.raises(EnvironmentFault, match="cannot fetch"):
        weights.fetch_imagenet("resnet18")
