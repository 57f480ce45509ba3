"""How the tensors of a file come to the names of a network: below which prefix they lie, which fit, and what is said of the rest."""

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_data.errors import InputError
from reid_data.files import printable

COUNTER = "num_batches_tracked"
PREFERRED = "encoder_q."
"""The encoder that MoCo's transfer takes of its two (facebookresearch/moco, main_lincls.py); LUPerson's files are of MoCo."""
_SHOWN = 3


@dataclass
class Match:
    """What a network takes from a file, by its own names, and what became of the rest."""

    prefix: str
    taken: dict[str, Tensor] = field(default_factory=dict)
    resampled: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    """name -> why a tensor of that name cannot be taken"""
    left_out: dict[str, str] = field(default_factory=dict)
    """name in the file -> why it is not looked at"""
    missing: list[str] = field(default_factory=list)

    def report(self) -> str:
        """How many tensors were taken, renamed, resampled and left out, and why, in a line."""
        renamed = f", renamed (below '{printable(self.prefix)}')" if self.prefix else ""
        why = Counter([*self.wrong.values(), *self.left_out.values()])
        reasons = "; ".join(f"{count} {reason}" for reason, count in why.items()) or "none"
        return f"{len(self.taken)} tensors taken{renamed}, {len(self.resampled)} resampled; left out: {reasons}"


def trunk_prefix(names: Iterable[str], wanted: Iterable[str], called: str) -> str:
    """What stands before the backbone's names in a file, such as `module.` or `model.backbone.`; '' also where they are absent.

    `wanted` are the backbone's own names; '' also where equal parts of it, none of them half, are below several. InputError if
    the file holds it twice.
    """
    wanted = set(wanted)
    counts: Counter[str] = Counter()
    for name in names:
        starts = [0, *(place + 1 for place, letter in enumerate(name) if letter == ".")]
        counts.update(name[:start] for start in starts if name[start:] in wanted)
    best = sorted(prefix for prefix, count in counts.items() if count == max(counts.values()))
    chosen = [prefix for prefix in best if prefix.endswith(PREFERRED)] if len(best) == 2 else []
    best = chosen or best
    if len(best) > 1 and 2 * counts[best[0]] < len(wanted):
        return ""
    if len(best) > 1:
        listed = ", ".join(f"'{printable(prefix)}'" for prefix in best)
        raise InputError(f"{called} holds the backbone {len(best)} times, below {listed}. Save one of them alone.")
    return best[0] if best else ""


def match(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], prefix: str, grid: tuple[int, int] | None = None
) -> Match:
    """What of `tensors`, below `prefix`, fits the `wanted` tensors of a network.

    `grid`: patches along height and width, where the network has position embeddings: those of another grid are resampled.
    """
    found = Match(prefix)
    for name, tensor in tensors.items():
        place = name.removeprefix(prefix)
        if not name.startswith(prefix) or place not in wanted:
            found.left_out[name] = f"not below '{printable(prefix)}'" if place == name and prefix else "of no such name"
        elif tensor.shape == wanted[place].shape:
            found.taken[place] = tensor
        elif place.endswith("pos_embed") and (fitting := resample(tensor, wanted[place], grid)) is not None:
            found.taken[place] = fitting
            found.resampled.append(place)
        else:
            found.wrong[place] = f"of shape {tuple(tensor.shape)}, expected {tuple(wanted[place].shape)}"
    found.missing = [name for name in wanted if name not in found.taken]
    return found


def resample(source: Tensor, target: Tensor, grid: tuple[int, int] | None) -> Tensor | None:
    """Position embeddings (1, L, C) for the `grid` of `target`, bicubic, as timm resamples them; None where it is not clear how.

    Those that belong to no patch come first and are kept. A file's own grid is taken as square, else as one with the sides'
    relation of `grid`.
    """
    if grid is None or source.ndim != 3 or source.shape[::2] != target.shape[::2]:
        return None
    height, width = grid
    extra = target.shape[1] - height * width
    patches = source.shape[1] - extra
    side = math.isqrt(max(patches, 0))
    if side**2 == patches:
        old = (side, side)
    else:
        across = round(math.sqrt(patches * width / height)) if patches > 0 else 0
        old = (patches // across, across) if across and patches % across == 0 else (0, 0)
    if extra < 0 or 0 in old:
        return None
    maps = source[:, extra:].float().reshape(1, *old, -1).permute(0, 3, 1, 2)
    maps = F.interpolate(maps, size=grid, mode="bicubic", antialias=True)
    rows = maps.permute(0, 2, 3, 1).reshape(1, height * width, -1).to(source.dtype)
    return torch.cat([source[:, :extra], rows], dim=1)


def closest(missing: Iterable[str], there: Iterable[str]) -> str:
    """A sentence that names, for the first of the `missing`, the closest names of a file; '' where none is close."""
    there = list(there)
    pairs = []
    for name in list(missing)[:_SHOWN]:
        near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
        pairs += [f"{name} ('{printable(near[0])}'?)"] if near else []
    return f" Closest names: {', '.join(pairs)}." if pairs else ""
