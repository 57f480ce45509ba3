"""`costs.json` beside what a training leaves behind: time, speed and memory, which no result rests on and no two runs share."""

import logging
from pathlib import Path
from typing import Any

from reid_data.files import printable, write_json
from reid_data.shapes import parse_json, require

COSTS_FILE = "costs.json"
_SHAPE = {
    **{"train_seconds?": float, "train_images_per_second?": float, "seconds_by_stage?": {...: float}},
    **{"device?": str, "threads?": int, "peak_device_bytes?": int | None},
}


def add_costs(folder: Path, **costs: Any) -> None:
    """Put `costs` into the folder's `costs.json`, beside what is there."""
    write_json(folder / COSTS_FILE, {**read_costs(folder), **costs})


def read_costs(folder: Path) -> dict[str, Any]:
    """What is in `costs.json`; nothing if there is none yet, or, after saying so, if it is damaged: costs count from now on."""
    path = folder / COSTS_FILE
    try:
        costs = parse_json(path.read_bytes())
        require(costs, _SHAPE)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logging.getLogger("reid_data").warning("'%s' is damaged and begun anew: %s.", printable(path), error)
        return {}
    return dict(costs)
