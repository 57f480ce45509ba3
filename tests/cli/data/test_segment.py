"""`reid-data segment`, `train-segmenter` and `fetch-weights` on small folders."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from reid_cli.data import app

from reid_data.errors import EnvironmentFault, InputError, ReidError, UsageError
from reid_data.images import encode_mask, encode_png
from reid_data.segment.network import PedestrianNet, fold_norms, read_about, save_weights


@pytest.fixture
def crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four pictures in nested folders, with precomputed masks; one file that is no picture."""
    monkeypatch.setenv("REID_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "crops"
    rng = np.random.default_rng(0)
    for name in ("a/one.png", "a/two.png", "b/deep/three.png", "four.png"):
        for base, data in (
            (root, encode_png(rng.integers(0, 256, (64, 32, 3), np.uint8))),
            (root / "masks", encode_mask(np.pad(np.ones((52, 16), np.float32), ((6, 6), (8, 8))))),
        ):
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_bytes(data)
    (root / "a" / "note.txt").write_text("not a picture")
    (root / ".hidden").mkdir()
    (root / ".hidden" / "five.png").write_bytes(b"")
    return root


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, ReidError):
        raise result.exception
    return result


def table(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "masks.jsonl").read_text().splitlines()]


def move_masks(crops: Path) -> None:
    """Away from the pictures, so that masks are not taken for pictures."""
    (crops / "masks").rename(crops.parent / "kept")


def test_masks_keep_the_folders_and_say_what_they_think(crops: Path, tmp_path: Path) -> None:
    move_masks(crops)
    (crops / "a" / "broken.jpg").write_bytes(b"\xff\xd8broken")
    out = tmp_path / "out"
    result = run("segment", crops, "--out", out, "--segmenter", "grabcut", "--workers", 1, "--json")
    assert result.return_value == 1  # one picture failed
    answer = json.loads(result.stdout)
    assert sum(answer["verdicts"].values()) == 5
    assert answer["verdicts"]["failed"] == 1
    rows = [row for row in table(out) if row["row"] == "image"]
    assert [row["name"] for row in rows] == ["a/broken.jpg", "a/one.png", "a/two.png", "b/deep/three.png", "four.png"]
    assert rows[0]["verdict"] == "failed"
    assert rows[0]["reasons"]
    for row in rows[1:]:
        mask = np.asarray(Image.open(out / str(row["file"])))
        assert mask.shape == (64, 32)
        assert mask.dtype == np.uint8


def test_cut_outs_hold_nothing_of_the_background(crops: Path, tmp_path: Path) -> None:
    move_masks(crops)
    out = tmp_path / "out"
    run("segment", crops, "--out", out, "--segmenter", "grabcut", "--as", "rgba", "--workers", 1)
    cut = np.asarray(Image.open(out / "b" / "deep" / "three.png"))
    assert cut.shape == (64, 32, 4)
    clear = cut[..., 3] == 0
    assert clear.any()
    assert (cut[clear] == 0).all()
    core = cv2.erode((cut[..., 3] > 240).astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) > 0
    photograph = np.asarray(Image.open(crops / "b" / "deep" / "three.png"))
    assert np.array_equal(cut[core][:, :3], photograph[core])


def test_keep_colour_is_about_cut_outs(crops: Path, tmp_path: Path) -> None:
    answer = run("segment", crops, "--out", tmp_path / "out", "--keep-colour")
    assert "--as rgba" in str(answer.exception)


def test_cut_outs_hold_the_picture_itself_where_asked(crops: Path, tmp_path: Path) -> None:
    move_masks(crops)
    out = tmp_path / "out"
    run("segment", crops, "--out", out, "--segmenter", "grabcut", "--as", "rgba", "--keep-colour", "--workers", 1)
    cut = np.asarray(Image.open(out / "b" / "deep" / "three.png"))
    assert cut.shape == (64, 32, 4)
    assert np.array_equal(cut[..., :3], np.asarray(Image.open(crops / "b" / "deep" / "three.png")))


def test_workers_do_not_change_a_byte_and_a_second_run_is_allowed(crops: Path, tmp_path: Path) -> None:
    move_masks(crops)
    outs = [tmp_path / "one", tmp_path / "two"]
    for out, workers in zip(outs, (1, 2), strict=True):
        run("segment", crops, "--out", out, "--segmenter", "grabcut", "--workers", workers)
    files = [sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file()) for out in outs]
    assert files[0] == files[1]
    assert len(files[0]) == 5
    assert all((outs[0] / name).read_bytes() == (outs[1] / name).read_bytes() for name in files[0])
    assert run("segment", crops, "--out", outs[0], "--segmenter", "grabcut", "--workers", 1).exception is None


def test_mirror_agreement_lowers_the_quality_of_a_one_sided_mask(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reid_data.segment.grabcut import GrabCutSegmenter

    def left_half(self: object, records: list, images: list[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        masks = [np.zeros(image.shape[:2], np.float32) for image in images]
        for mask in masks:
            mask[4:-4, : mask.shape[1] // 2] = 1
        return masks, [0.8] * len(images)

    move_masks(crops)
    monkeypatch.setattr(GrabCutSegmenter, "segment", left_half)
    out = tmp_path / "out"
    run("segment", crops, "--out", out, "--segmenter", "grabcut", "--workers", 1, "--judge")
    rows = [row for row in table(out) if row["row"] == "image"]
    assert [row["quality"] for row in rows] == [0.0] * 4
    assert all("mirrored" in str(row["reasons"]) for row in rows)
    run("segment", crops, "--out", out, "--segmenter", "grabcut", "--workers", 1)
    assert [row["quality"] for row in table(out) if row["row"] == "image"] == [0.8] * 4


def test_masks_and_own_output_are_not_taken_for_pictures(crops: Path) -> None:
    out = crops / "cut" / "outs"
    for _ in range(2):
        result = run("segment", crops, "--out", out, "--segmenter", "grabcut", "--workers", 1)
        assert [row["name"] for row in table(out)[1:]] == ["a/one.png", "a/two.png", "b/deep/three.png", "four.png"]
    assert "no pictures: 1\n" in result.stderr
    other = crops.parent / "other"
    run("segment", crops, "--out", other, "--segmenter", "grabcut", "--workers", 1)
    assert len(table(other)) == 1 + 4, "the output of the first call lies in the folder"
    same = run("segment", crops, "--out", crops, "--segmenter", "grabcut")
    assert isinstance(same.exception, UsageError)


def test_output_does_not_depend_on_what_was_there(crops: Path, tmp_path: Path) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    arguments = ("--segmenter", "grabcut", "--workers", 1)
    run("segment", crops, "--out", out, *arguments)
    (crops / "a" / "one.png").write_bytes(b"\x89PNG broken")
    (out / ".tmp-1-2").write_bytes(b"left by a killed run")
    for folder in (out, fresh):
        run("segment", crops, "--out", folder, *arguments, "--limit", 3)
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) for folder in (out, fresh)]
    assert names[0] == names[1] == ["a/two.png", "b/deep/three.png", "masks.jsonl"]
    assert (out / "masks.jsonl").read_bytes() == (fresh / "masks.jsonl").read_bytes()
    other = run("segment", crops, "--out", out, *arguments, "--as", "rgba")
    assert isinstance(other.exception, EnvironmentFault)
    assert "(kind)" in str(other.exception)


def test_files_of_a_killed_run_do_not_stay(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reid_data.export import masks as export

    out, arguments = tmp_path / "out", ("--segmenter", "grabcut", "--workers", 1)
    real, written = export._write_one, []

    def stop_at_the_third(*given: object) -> object:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(given)
        return real(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(export, "_write_one", stop_at_the_third)
        assert CliRunner().invoke(app, ["segment", str(crops), "--out", str(out), *map(str, arguments)]).exit_code != 0
    assert len(list(out.rglob("*.png"))) == 2
    assert run("segment", crops, "--out", out, *arguments, "--limit", 1).exception is None
    assert [path.name for path in out.rglob("*.png")] == ["one.png"]
    assert [row["row"] for row in table(out)] == ["header", "image"]


def test_corrected_masks_on_disk_may_be_exported_again(crops: Path, tmp_path: Path) -> None:
    arguments = ("--out", tmp_path / "out", "--segmenter", "precomputed", "--workers", 1)
    assert run("segment", crops, *arguments).exception is None
    (crops / "masks" / "four.png").write_bytes(encode_mask(np.ones((64, 32), np.float32)))
    assert run("segment", crops, *arguments).exception is None
    assert np.asarray(Image.open(tmp_path / "out" / "four.png")).min() == 255


def test_a_damaged_table_is_named(crops: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for damage in ("[]\n", "{", "", '{"row": "header"}\n[1]\n'):
        (out / "masks.jsonl").write_text(damage)
        result = run("segment", crops, "--out", out, "--segmenter", "grabcut")
        assert isinstance(result.exception, EnvironmentFault)
        assert "masks.jsonl' is damaged" in str(result.exception) or "other settings" in str(result.exception)


def test_a_link_to_crops_has_its_masks_beside_the_link(crops: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(crops)
    run("segment", tmp_path / "elsewhere" / "link", "--segmenter", "grabcut", "--workers", 1)
    assert (tmp_path / "elsewhere" / "link-masks" / "four.png").is_file()


def test_masks_on_disk_must_be_there_and_are_not_judged(crops: Path, tmp_path: Path) -> None:
    result = run("segment", crops, "--out", tmp_path / "out", "--segmenter", "precomputed", "--judge")
    assert isinstance(result.exception, UsageError)
    move_masks(crops)
    result = run("segment", crops, "--out", tmp_path / "out", "--segmenter", "precomputed", "--workers", 1)
    assert isinstance(result.exception, InputError)
    assert "no masks for" in str(result.exception)


def test_masks_of_a_set_are_no_set(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data" / "mine" / "bounding_box_train"
    root.mkdir(parents=True)
    for number in (1, 2):
        (root / f"000{number}_c1s1_000001_00.png").write_bytes((crops / "four.png").read_bytes())
    assert run("segment", "mine", "--data-root", root.parent.parent, "--segmenter", "grabcut").exception is None
    assert (root.parent.parent / "mine-masks" / "masks.jsonl").is_file()
    listed = run("list", "--data-root", root.parent.parent, "--json")
    assert "mine-masks" not in listed.stdout
    monkeypatch.chdir(tmp_path)
    hint = run("segment", "crops", "--data-root", root.parent.parent)
    assert "./crops" in str(hint.exception)


def test_a_foreign_folder_is_left_alone(crops: Path, tmp_path: Path) -> None:
    move_masks(crops)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    result = run("segment", crops, "--out", out, "--segmenter", "grabcut")
    assert isinstance(result.exception, EnvironmentFault)
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_two_pictures_that_would_share_a_mask_are_refused(crops: Path, tmp_path: Path) -> None:
    move_masks(crops)
    (crops / "four.jpg").write_bytes((crops / "four.png").read_bytes())
    result = run("segment", crops, "--out", tmp_path / "out", "--segmenter", "grabcut")
    assert isinstance(result.exception, InputError)
    assert "four.jpg" in str(result.exception)


def test_options_of_another_segmenter_are_refused(crops: Path, tmp_path: Path) -> None:
    result = run("segment", crops, "--out", tmp_path / "out", "--segmenter", "grabcut", "--flip")
    assert isinstance(result.exception, UsageError)
    result = run("segment", crops, "--out", tmp_path / "out", "--segmenter", "sam", "--sam-model", "vit_b")
    assert isinstance(result.exception, EnvironmentFault)
    assert "reid-data fetch-weights vit_b" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_own_weights_segment(crops: Path, tmp_path: Path) -> None:
    move_masks(crops)
    weights = tmp_path / "mine.safetensors"
    save_weights(fold_norms(PedestrianNet()), weights, {})
    out = tmp_path / "out"
    result = run(
        "segment", crops, "--out", out, "--weights", weights, "--segmenter", "small", "--device", "cpu", "--workers", 1
    )
    assert result.exception is None
    assert len(table(out)) == 5


def test_training_refuses_a_bad_output_before_it_gathers_anything(crops: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    for out in (thesis, crops):
        result = run("train-segmenter", "--out", out, "--work", tmp_path / "work", "--own", crops, "--device", "cpu")
        assert isinstance(result.exception, EnvironmentFault)
        assert "is left alone" in str(result.exception)
    arguments = ("--out", tmp_path / "new" / "mine.safetensors", "--own", crops, "--device", "cpu")
    result = run("train-segmenter", *arguments, "--start", "smal")
    assert "'smal'" in str(result.exception)
    assert thesis.read_text() == "years of work"
    assert not (tmp_path / "work").exists()


def test_fine_tuned_weights_keep_the_terms_of_their_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_CACHE", str(tmp_path / "cache"))
    arguments = ("--synthetic", 2, "--steps", 1, "--batch", 2, "--workers", 1, "--device", "cpu")
    out = tmp_path / "in" / "mine.safetensors"
    for start in ((), ("--start", "small")):
        assert (
            run("train-segmenter", "--out", out, "--work", tmp_path / f"work{len(start)}", *arguments, *start).exception
            is None
        )
        about = read_about(out)
        assert about["terms"].startswith("begun as" if start else "CC0-1.0")
        assert ("Penn-Fudan" in about["terms"]) is bool(start)
        assert json.loads(about["recipe"])["start"] == (start[1] if start else "")


def test_training_on_own_masks_from_end_to_end(crops: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    arguments = (
        "train-segmenter",
        "--out",
        out,
        "--own",
        crops,
        "--synthetic",
        0,
        "--steps",
        2,
        "--batch",
        2,
        "--workers",
        1,
    )
    result = run(*arguments, "--device", "cpu", "--terms", "mine")
    assert result.exception is None, result.output
    about = read_about(out)
    assert about["terms"] == "mine"
    assert json.loads(about["recipe"])["steps"] == 2
    before = out.read_bytes()
    run(*arguments, "--device", "cpu", "--terms", "mine")
    assert out.read_bytes() == before
