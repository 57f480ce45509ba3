"""`reid-train extract`: the features of a set, as a file."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import UsageError, printable

from ..options import data_root_option, json_option, matte_option, workers_option
from ..runs import device_option, epoch_lines, model_file, run_folder, runs_option, tell_unreadable
from ..sets import notice
from ..settings import (
    settings_options,
)
from ..terminal import Progress, show

if TYPE_CHECKING:
    from reid_data.records import Colour


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("source", metavar="SET|FOLDER")
@click.option(
    "--split",
    type=click.Choice(["test", "train"]),
    default="test",
    show_default=True,
    help="Query and gallery, or train.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="A .npz or .safetensors file.  [default: in the run]"
)
@runs_option
@data_root_option
@matte_option
@settings_options("test")
@device_option
@workers_option
@json_option
def extract(
    run: str, source: str, split: str, out: Path | None, runs: Path, data_root: Path,
    matte: "Colour | None", device: str, workers: int | None, as_json: bool, **flags: Any,
) -> int:  # fmt: skip
    """Write the features of a set's query and gallery images, in data-set order, to a feature file.

    Images of a set without query and gallery, of a folder of photographs, or of `--split train`, become the gallery, with no
    query. RUN may be an exported .onnx or .safetensors file. By default the feature
    file is tests/SET/features.safetensors in the run's folder, where `reid-train rank` finds it.

    \b
    Example:
      reid-train extract base market --out market.npz
      reid-train extract base ./my-photos --out mine.safetensors
    """
    from reid_data.claims import only_writer
    from reid_data.datasets.pictures import load_pictures
    from reid_data.files import make_folder
    from reid_train.deploy.sources import open_source
    from reid_train.features.files import write_features
    from reid_train.testing import feature_arrays
    from reid_train.trained import load_trained

    file = model_file(run)
    folder = run_folder(run, runs) if file is None else file.parent
    if file is not None and out is None:
        raise UsageError(f"'{printable(file)}' has no run to put the features in: say where with --out FILE.")
    dataset = load_pictures(source, data_root, matte)
    notice(dataset)
    changes = {name: value for name, value in flags.items() if value is not None}
    target = out or folder / "tests" / dataset.name / "features.safetensors"
    if target.suffix not in (".npz", ".safetensors"):
        raise UsageError(f"--out '{target}': a feature file ends in .npz or .safetensors.")
    with epoch_lines(), Progress(f"features of {dataset.name}") as progress:
        model = (
            load_trained(folder, device=device, changes=changes) if file is None else open_source(file, device, changes)
        )
        arrays, unreadable = feature_arrays(model, dataset, split, workers=workers, progress=progress)
    with only_writer(folder) if out is None else nullcontext():
        make_folder(target.parent)
        write_features(target, arrays)
    counts = {f"num_{side}": len(arrays[f"{side}_pids"]) for side in ("query", "gallery")}
    if as_json:
        rows = [row._asdict() for row in unreadable]
        show(json.dumps({"file": str(target), **counts, "unreadable": rows}, indent=2))
    else:
        show(f"{target}: {counts['num_query']} query and {counts['num_gallery']} gallery features")
    return tell_unreadable([row._asdict() for row in unreadable])
