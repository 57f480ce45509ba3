"""Scores of query against gallery features: fast in float32 by tiles, exact in float64 where it matters.

Nothing here ever holds a (num_queries, num_gallery) matrix. For ranking, any increasing function of the similarity will
do, so one *score* stands for both metrics (larger is closer):

    cosine      u(q, g) = <q, g> / |g|              (0 for a zero g)
    euclidean   u(q, g) = <q, g> - |g|^2 / 2        (= (|q|^2 - |q - g|^2) / 2)

and `magnitude(q, g)`, |q| or |q||g| + |g|^2/2, is what its rounding errors are relative to. Two scores are *equal* when
they differ by at most TIE * magnitude: float64 noise cannot break a tie, and integer-valued features compare exactly.

float64 holds the scores of any float32 features; where float32 would not (`Metric.held`), the fast ones are not used.

Shape legend: Q queries, G gallery rows, K width, M rows of a query block, N rows of a gallery tile.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from reid_data.errors import InputError, unknown_name

Array = TypeVar("Array", np.ndarray, torch.Tensor)
DISTANCES = ("cosine", "euclidean")
TIE = 1e-12
HUGE = 1e38
_LOW, _HIGH = 1e-24, 1e36
_SQUARES = 1e-15, 1e15
_FLOAT32_UNIT = 2.0**-24


def take_rows(features: Any, index: np.ndarray, device: str | torch.device = "cpu") -> torch.Tensor:
    """The rows `index` of `features` as (len(index), K) float32 on `device`; a view where that is possible.

    `features` is a numpy array, a torch tensor or anything with `shape` that can be indexed by a slice and by an integer
    array (`np.memmap`, `tensors.StoredRows`).
    """
    span = slice(int(index[0]), int(index[-1]) + 1) if len(index) else slice(0, 0)
    contiguous = span.stop - span.start == len(index) and bool((np.diff(index) == 1).all())
    if isinstance(features, torch.Tensor):
        rows = features[span] if contiguous else features[torch.from_numpy(index).to(features.device)]
    else:
        rows = torch.from_numpy(np.require(features[span] if contiguous else features[index], np.float32, ["C", "W"]))
    return rows.detach().to(device=device, dtype=torch.float32).contiguous()


@dataclass(frozen=True)
class Metric:
    """One of DISTANCES as scores (see the module's text); raises UsageError for another name."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in DISTANCES:
            raise unknown_name("metric", self.name, DISTANCES)

    def tile(
        self, queries_MK: torch.Tensor, gallery_NK: torch.Tensor, norms_N: torch.Tensor, out: torch.Tensor
    ) -> torch.Tensor:
        """Scores (M, N) into the front of the flat buffer `out`; precision and device are the inputs'."""
        size = (len(queries_MK), len(gallery_NK))
        scores_MN = torch.mm(queries_MK, gallery_NK.T, out=out[: size[0] * size[1]].view(size))
        return self.finish(scores_MN, norms_N)

    def finish(self, products_MN: torch.Tensor, norms_N: torch.Tensor) -> torch.Tensor:
        """Inner products to scores, in place; `norms_N` are those of the last dimension."""
        if self.name == "cosine":
            return products_MN.mul_(torch.where(norms_N > 0, 1 / norms_N, torch.zeros_like(norms_N)))
        return products_MN.sub_(norms_N.square().div_(2))

    def exact(self, queries_MK: torch.Tensor, gallery_NK: torch.Tensor) -> torch.Tensor:
        """Scores (M, N) float64 of every query with every gallery row."""
        gallery = gallery_NK.double()
        return self.finish(queries_MK.double() @ gallery.T, row_norms(gallery))

    def exact_pairs(self, queries_PK: np.ndarray, gallery_PK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores and magnitudes (P,) float64 of row p with row p."""
        queries, gallery = queries_PK.astype(np.float64), gallery_PK.astype(np.float64)
        products = np.einsum("pk,pk->p", queries, gallery)
        norms = np.sqrt(np.einsum("pk,pk->p", gallery, gallery))
        scores = self.finish(torch.from_numpy(products), torch.from_numpy(norms)).numpy()
        return scores, self.magnitude(np.sqrt(np.einsum("pk,pk->p", queries, queries)), norms)

    def magnitude(self, query_norms: Array, gallery_norms: Array) -> Array:
        """What rounding errors are relative to, from norms that broadcast."""
        if self.name == "cosine":
            return query_norms + 0 * gallery_norms
        return query_norms * gallery_norms + gallery_norms * gallery_norms / 2

    def held(self, query_norms: Array, gallery_norms: Array) -> Array:
        """Whether float32 holds a score to its usual precision, from float64 norms that broadcast: nothing vanishes or overflows.

        A score of exactly 0, because a feature is zero, is held.
        """
        size = query_norms * gallery_norms
        if self.name == "euclidean":
            size = size + gallery_norms * gallery_norms / 2
            return (size == 0) | ((size > _LOW) & (size < _HIGH))
        inside = (query_norms > _LOW) & (gallery_norms > _LOW) & (gallery_norms < _HIGH)
        return (size == 0) | ((size > _LOW) & (size < _HIGH) & inside)

    def similarity(self, scores: torch.Tensor, query_norms: torch.Tensor) -> torch.Tensor:
        """What a person wants to read: the cosine in [-1, 1], or the euclidean distance."""
        if self.name == "cosine":
            return torch.where(query_norms > 0, scores / query_norms, torch.zeros_like(scores))
        return (query_norms.square() - 2 * scores).clamp_(min=0).sqrt_()


def row_norms(rows: torch.Tensor) -> torch.Tensor:
    """Euclidean norm of each row, in the rows' precision; 0 for a row of zeros alone, not finite where a row is not."""
    norms = torch.linalg.vector_norm(rows, dim=1)
    odd = ~((norms > _SQUARES[0]) & (norms < _SQUARES[1]))
    if bool(odd.any()):  # the squares may have vanished or overflowed in float32
        norms[odd] = torch.linalg.vector_norm(rows[odd].double(), dim=1).to(norms)
    return norms


def levelled(rows: torch.Tensor) -> torch.Tensor:
    """Rows (..., K) of extreme size times a power of two each, so that they can be scaled to unit length; the others as they are."""
    top = rows.abs().amax(-1, keepdim=True)
    usual = ((top > _SQUARES[0] * 1e3) & (top < _SQUARES[1])) | (top == 0)
    if bool(usual.all()):
        return rows
    factor = torch.exp2(-torch.frexp(top).exponent.double())
    return torch.where(usual, rows, (rows.double() * factor).to(rows))


def checked_norms(rows: torch.Tensor, index: np.ndarray, side: str) -> torch.Tensor:
    """Norms (N,) of features that can be compared; InputError with the first row (of `index`) that cannot."""
    norms = row_norms(rows)
    bad = ~(norms < HUGE)
    if bool(bad.any()):
        raise InputError(
            f"{int(bad.sum())} of {len(bad)} {side} features are NaN, infinite or huge (norm over {HUGE:g}); the first is in "
            f"row {index[int(bad.nonzero()[0])]}. Look at the model's output, then extract them again."
        )
    return norms


def rounding_band(metric: Metric, queries_MK: torch.Tensor, gallery_NK: torch.Tensor) -> float:
    """How far a fast score may be from the exact one, relative to the magnitude; judged on a sample computed both ways.

    Eight times the largest error seen, which covers whatever this machine's product does (float32, TF32, reduced
    precision), and never less than 4 + sqrt(K) / 4 roundings, which guards against a sample that happens to be exact.
    """
    fast = metric.tile(
        queries_MK, gallery_NK, row_norms(gallery_NK), queries_MK.new_empty(len(queries_MK) * len(gallery_NK))
    )
    norms = row_norms(queries_MK.double())[:, None], row_norms(gallery_NK.double())[None, :]
    magnitude = metric.magnitude(*norms).clamp(min=torch.finfo(torch.float64).tiny)
    error = (fast.double() - metric.exact(queries_MK, gallery_NK)).abs() / magnitude
    error = torch.where(metric.held(*norms), error, torch.zeros_like(error))
    return max(8 * float(error.max()), _FLOAT32_UNIT * (4 + queries_MK.shape[1] ** 0.5 / 4))
