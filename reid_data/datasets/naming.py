"""What the names of pictures say, where no layout is known: the pattern that finds person and camera in them."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from reid_data.files import printable

SPLIT_NAMES = {
    **dict.fromkeys(("bounding_box_train", "image_train", "train_all", "train", "training"), "train"),
    **dict.fromkeys(("query", "image_query", "probe"), "query"),
    **dict.fromkeys(("bounding_box_test", "image_test", "gallery", "image_gallery", "test"), "gallery"),
}
"""Folder names in use for the splits, the one to take first where there are several; capitals do not matter."""

_PATTERNS = (
    r"(?P<pid>-?\d+)_c(?P<camid>\d+)",
    r"(?P<pid>-?\d+)_C(?P<camid>\d+)",
    r"(?P<pid>\d+)-c(?P<camid>\d+)",
    r"(?P<pid>\d+)[-_. ]?[cC](?:am(?:era)?)?[-_]?(?P<camid>\d+)",
    r"(?P<pid>[A-Za-z]+\d*)_[cC](?:am(?:era)?)?[-_]?(?P<camid>[A-Za-z0-9]+)",
    r"(?:^|/)[cC]am(?:era)?[-_]?(?P<camid>[A-Za-z0-9]+)/(?:.*/)?\D*(?P<pid>\d+)[^/]*$",
    r"[cC](?:am(?:era)?)?[-_]?(?P<camid>\d+)[^0-9]+(?P<pid>\d+)",
    r"(?:^|/)(?P<pid>\d+)/(?P<camid>\d{1,2})_[^/]*$",
    r"(?P<pid>\d+)_(?P<camid>\d{1,2})_",
)
_SHARE = 0.9
_SAMPLE = 20_000


def split_name(text: str) -> str:
    """`train`, `query` or `gallery` for a name in use for it; any other text as it is."""
    return SPLIT_NAMES.get(text.lower(), text)


def camera_label(folder: str) -> str | None:
    """What a folder called like a camera (`cam_a`, `Camera-12`, `c3`) calls it: `a`, `12`, `3`; None for any other name."""
    match = re.fullmatch(r"c(?:am(?:era)?)?[-_ ]?([a-z]|[0-9]{1,4})", folder.lower())
    return match[1] if match else None


def is_camera(folder: str) -> bool:
    """Whether a folder is called like a camera."""
    return camera_label(folder) is not None


def fitting_pattern(names: Sequence[str]) -> str | None:
    """The regular expression, of those in common use, that finds person and camera in nine of ten relative paths; else None.

    If every path begins with a folder that is called like a split, the group `split` takes that folder.
    """
    step = max(1, len(names) // _SAMPLE)
    sample = names[::step]
    heads = {name.split("/")[0] for name in sample}
    by_split = bool(sample) and all(head.lower() in SPLIT_NAMES for head in heads)
    for pattern in _PATTERNS:
        found = [match for name in sample if (match := re.search(pattern, name))]
        if len(found) >= _SHARE * len(sample) and len({match["pid"] for match in found}) > 1:
            prefix = "^(?P<split>" + "|".join(sorted(heads)) + ")/.*?" if by_split else ""
            return prefix + pattern.removeprefix("(?:^|/)" if by_split else "\0")
    return None


def import_line(root: Path, names: Sequence[str]) -> str:
    """The `reid-data import` command for the pictures `names` (relative paths) below `root`, as one types it in a shell."""
    pattern = fitting_pattern(names) or r"(?P<pid>PERSON)_(?P<camid>CAMERA)"
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.resolve().name).strip("-.") or "mine"
    source = printable(root) if str(root).startswith(("/", ".")) else f"./{printable(root)}"
    return f"reid-data import {shlex.quote(source)} --out {name}-set --pattern {shlex.quote(pattern)}"
