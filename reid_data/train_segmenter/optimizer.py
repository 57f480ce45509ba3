"""The optimizer of the small segmenter: Muon for the inner convolutions, AdamW for the rest.

Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024) replaces the momentum of a matrix by the
nearest orthogonal one, so that every direction of a layer moves. It wants matrices: a convolution's weight
(outside, inside, 3, 3) is one of `outside` rows.
"""

from typing import Any

import torch
from torch import Tensor, nn

from reid_data.segment.network import PedestrianNet


class SegmenterOptimizer:
    """Steps the parameters of a network whose memory format is channels last.

    `rate` is AdamW's learning rate, `matrix_rate` Muon's; with `matrix_rate` 0 AdamW moves everything. The first and the last
    layer (colours in, logit out), biases and norms are always AdamW's. `weight_decay` applies to weights of two or more
    dimensions.
    """

    def __init__(self, net: PedestrianNet, *, rate: float, matrix_rate: float, weight_decay: float) -> None:
        outer = {id(net.stem.conv.weight), id(net.head.weight)}
        weights = [weight for weight in net.parameters() if weight.ndim > 1]
        self._inner = [weight for weight in weights if id(weight) not in outer] if matrix_rate else []
        inner = {id(weight) for weight in self._inner}
        self._rows = [nn.Parameter(_rows_of(weight.detach())) for weight in self._inner]
        assert all(rows.data_ptr() == weight.data_ptr() for rows, weight in zip(self._rows, self._inner))
        self._parts: list[tuple[torch.optim.Optimizer, float]] = [
            (
                torch.optim.AdamW(
                    [
                        {
                            "params": [weight for weight in weights if id(weight) not in inner],
                            "weight_decay": weight_decay,
                        },
                        {"params": [other for other in net.parameters() if other.ndim <= 1], "weight_decay": 0.0},
                    ],
                    betas=(0.9, 0.99),
                ),
                rate,
            )
        ]
        if self._rows:
            self._parts.append((torch.optim.Muon(self._rows, weight_decay=weight_decay), matrix_rate))

    def step(self, share: float) -> None:
        """Move every parameter by its gradient, at `share` (0..1) of the learning rates."""
        for rows, weight in zip(self._rows, self._inner):
            rows.grad = None if weight.grad is None else _rows_of(weight.grad)
        for part, rate in self._parts:
            for group in part.param_groups:
                group["lr"] = share * rate
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """What `load_state_dict` of an equal optimizer needs to go on."""
        return [part.state_dict() for part, _ in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on where the optimizer of `states` stood."""
        for (part, _), state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


def _rows_of(weight: Tensor) -> Tensor:
    """A convolution's weight or its gradient as a matrix, one row per output; a view when it is channels last."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1) if weight.ndim == 4 else weight
