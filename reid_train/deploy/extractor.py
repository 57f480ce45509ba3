"""`Extractor`: one call from pictures, as a program has them, to features."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice, zip_longest
from typing import Any

import numpy as np

from reid_data.errors import ImageError, InputError, UsageError
from reid_data.files import AnyPath
from reid_data.images import resize
from reid_data.parallel import default_workers
from reid_data.records import Transparency
from reid_train.deploy.pictures import cut, is_one, name_of, to_rgb
from reid_train.deploy.sources import open_source

MAX_THREADS = 8
Pixels = np.ndarray | str
"""A picture at the input size, or what is wrong with it."""


class Extractor:
    """A trained model as a function of pictures: `Extractor("runs/base")(paths)` gives (N, D) float32 features of length 1, in order.

    `source` is a run (its folder or its model), a .safetensors file of ours, or an exported .onnx file; its test settings say how
    features are taken, `changes` replaces some of them. `device`: auto, cpu, cuda or cuda:N. `batch` pictures go through the
    network at once. An extractor has no state that a call changes: threads may share one.

    Attributes: `size` (height, width) of the input, `num_features` D.

    Raises InputError for a source that is no such model, UsageError and EnvironmentFault for a device.
    """

    def __init__(
        self, source: AnyPath, device: str = "auto", batch: int = 32, *, changes: dict[str, Any] | None = None
    ) -> None:
        if batch < 1:
            raise UsageError(f"batch {batch}: expected at least 1.")
        opened = open_source(source, device, changes)
        self.size, self.num_features, self.batch = opened.settings.height_width, opened.width, batch
        self._embed = opened.embed
        self._transparency: Transparency = opened.settings.matte_colour or "refused"

    def __call__(self, pictures: Any, boxes: Iterable[Any] | None = None, *, errors: str = "raise") -> np.ndarray:
        """(N, D) float32 features of one or many pictures, or of N boxes of one frame.

        A picture is a path, the bytes of a file, a picture of Pillow, or an array: (H, W, 3) uint8 RGB (from OpenCV:
        `frame[:, :, ::-1]`), grey (H, W) or (H, W, 1), RGBA (H, W, 4), uint16 whose upper 8 bits count. Any iterable of
        pictures will do; of a generator only two batches are held. Each is resized to `size`, whatever its shape. Transparent ones
        are read over the run's matte, refused without one.

        `boxes`: `pictures` is one frame, and the features are those of its parts (left, top, right, bottom) in pixels, rounded
        and drawn in to the frame; a box without any pixel of it is an error.

        `errors`: `raise` an InputError that names the number of the first picture or box that cannot be used, or `nan`: its
        row is NaN. No pictures: (0, D).
        """
        if errors not in ("raise", "nan"):
            raise UsageError(f"errors '{errors}': expected raise or nan.")
        found = [np.empty((0, self.num_features), np.float32)]
        for group in self._prepared(*self._tasks(pictures, boxes)):
            if errors == "raise" and (bad := [pixels for pixels in group if isinstance(pixels, str)]):
                raise InputError(f"{bad[0]}.")
            found.append(self._features(group))
        return np.concatenate(found)

    def _tasks(self, pictures: Any, boxes: Iterable[Any] | None) -> tuple[Callable[[tuple[int, Any]], Pixels], Any]:
        """What makes pixels of a numbered thing, and the things."""
        if boxes is None:
            return self._whole, [pictures] if is_one(pictures) else pictures
        if not is_one(pictures):
            raise UsageError("boxes belong to one frame: call with one picture, or with the crops themselves.")
        try:
            frame = to_rgb(pictures, self._transparency)
        except ImageError as error:
            raise InputError(f"the frame{name_of(pictures)} {error}.") from error

        def part(task: tuple[int, Any]) -> Pixels:
            try:
                return resize(cut(frame, task[1]), self.size)
            except ImageError as error:
                return f"box {task[0]} {error}"

        return part, boxes

    def _whole(self, task: tuple[int, Any]) -> Pixels:
        number, thing = task
        try:
            return resize(to_rgb(thing, self._transparency), self.size)
        except ImageError as error:
            return f"picture {number}{name_of(thing)} {error}"

    def _prepared(self, make: Callable[[tuple[int, Any]], Pixels], things: Iterable[Any]) -> Iterator[list[Pixels]]:
        """The pixels in batches; while one is in the network, threads prepare the next."""
        tasks = enumerate(things)
        groups = iter(lambda: list(islice(tasks, self.batch)), [])
        first = next(groups, [])
        second = next(groups, []) if len(first) == self.batch else []
        if not second:
            yield from [list(map(make, first))] if first else []
            return
        threads = min(MAX_THREADS, default_workers(), self.batch)

        def begin(group: list[tuple[int, Any]]) -> list[Future[list[Pixels]]]:
            return [pool.submit(lambda share: list(map(make, share)), group[at::threads]) for at in range(threads)]

        with ThreadPoolExecutor(threads) as pool:
            waiting = begin(first)
            for group in chain([second], groups):
                coming = begin(group)
                yield _woven(waiting)
                waiting = coming
            yield _woven(waiting)

    def _features(self, group: list[Pixels]) -> np.ndarray:
        """One row each, NaN where there is no picture."""
        good = [pixels for pixels in group if not isinstance(pixels, str)]
        if len(good) == len(group):
            return self._embed(np.stack(good))
        rows = np.full((len(group), self.num_features), np.nan, np.float32)
        if good:
            rows[[not isinstance(pixels, str) for pixels in group]] = self._embed(np.stack(good))
        return rows


def _woven(shares: list[Future[list[Pixels]]]) -> list[Pixels]:
    """The pixels of a batch in order: of the first of every share, of the second of every share, and so on."""
    rows = zip_longest(*(share.result() for share in shares))
    return [pixels for row in rows for pixels in row if pixels is not None]
