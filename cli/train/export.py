"""`reid-train export`: a trained model as a file that others run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import data_root_option, json_option, matte_option, workers_option
from ..runs import epoch_lines, run_folder, runs_option
from ..sets import test_sets
from ..settings import settings_options
from ..tables import points
from ..terminal import Progress, say, show

if TYPE_CHECKING:
    from reid_data.records import Colour
    from reid_train.deploy.export import Exported

FORMATS = ("onnx", "torchscript", "pt2", "safetensors")


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--format", type=click.Choice(FORMATS), default="onnx", show_default=True, help="What kind of file.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The file.  [default: exported.onnx etc. in the run]"
)
@click.option("--fp16", is_flag=True, help="The backbone in half precision: half the size.")
@click.option(
    "--raw", is_flag=True, help="The input is normalised floats (N, 3, H, W) instead of uint8 RGB (N, H, W, 3)."
)
@click.option("--test", "test_spec", metavar="SET,...", help="Sets on which file and run must have the same mAP.")
@runs_option
@data_root_option
@matte_option
@settings_options("test")
@workers_option
@json_option
def export(
    run: str, format: str, out: Path | None, fp16: bool, raw: bool, test_spec: str | None, runs: Path, data_root: Path,
    matte: "Colour | None", workers: int | None, as_json: bool, **flags: Any,
) -> int:  # fmt: skip
    """Write a run's network as a file: pixels in, features of length 1 out, flip averaging and channel statistics inside.

    The file is run on pictures before it appears, and must agree with the run.

    \b
    Example:
      reid-train export base --test market
      reid-train export base --format torchscript --fp16 --flip-test --out base.pt
    """
    from reid_train.deploy.export import export as write

    folder = run_folder(run, runs)
    datasets = test_sets(test_spec, data_root, matte)
    changes = {name: value for name, value in flags.items() if value is not None}
    with epoch_lines(), Progress("checking the file") as progress:
        done = write(
            folder, out, format=format, half=fp16, raw=raw, datasets=datasets, data_root=data_root, workers=workers,
            progress=progress, changes=changes,
        )  # fmt: skip
    if as_json:
        document = {**vars(done), "path": str(done.path)}
        show(json.dumps(document, indent=2, sort_keys=True))
    else:
        _print(done)
    return 0


def _print(done: "Exported") -> None:
    facts = done.facts
    what = f"{facts['input']} -> (N, {facts['features']}) of length 1" if facts["input"] else "the network's tensors"
    show(f"{done.path}: {done.num_bytes / 1e6:.1f} MB, {what}")
    checked = f"over {done.num_checked} pictures of {done.checked_on}"
    show(f"  as the run to a cosine distance of {done.worst_distance:.1e} or less, {checked}")
    for name, (before, after) in done.scores.items():
        show(f"  on {name}: mAP {points(after)}, the run {points(before)}, difference {abs(before - after):.1e}")
    for card in facts["sets"]:
        say(f"Trained on {card['name']}: {card['terms']}{'; ' + card['notice'] if card['notice'] else ''}")
