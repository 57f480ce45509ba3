"""Groups of parameters: what each is decayed by and how fast it learns."""

import re
from collections.abc import Container
from typing import Any

from torch import nn

from reid_data.errors import UsageError
from reid_train.model.reid_net import ReidNet

_STAGE = re.compile(r"layer(\d+)\.")


def parameter_groups(
    net: ReidNet,
    own: Container[nn.Parameter],
    *,
    weight_decay: float,
    decay_on: str = "auto",
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """The trained parameters of `net` that are not among a criterion's `own`, in groups of equal `lr_mult` and `weight_decay`.

    `decay_on` weights: no decay of norms, biases, tokens and position embeddings, which is how transformers are trained; `all`
    of them, as is usual for convolutional networks; `auto`: by what the network gives, tokens or feature maps. `layer_decay`:
    each layer of the backbone learns by this factor slower than the one after it (Clark et al., arXiv:2003.10555; Bao et al.,
    arXiv:2106.08254). Raises UsageError if the backbone does not say which its layers are.
    """
    everywhere = decay_on == "all" or (decay_on == "auto" and net.output.axes == "NCHW")
    free = set() if everywhere else _undecayed(net)
    rates = {} if layer_decay == 1 else _rates(net.backbone, layer_decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {(1.0, weight_decay): []}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad and parameter not in own and parameter is not net.log_temperature:
            decay = 0.0 if name in free else weight_decay
            groups.setdefault((rates.get(name, 1.0), decay), []).append(parameter)
    return [{"params": held, "lr_mult": rate, "weight_decay": decay} for (rate, decay), held in groups.items()]


def _undecayed(net: ReidNet) -> set[str]:
    """The names of vectors, and of what timm says is not to be decayed: tokens, position embeddings, tables of offsets."""
    said: set[str] = getattr(net.backbone, "no_weight_decay", set)()
    return {
        name
        for name, parameter in net.named_parameters()
        if parameter.ndim <= 1
        or name.endswith((".bias", "_token", "pos_embed", "relative_position_bias_table"))
        or name.removeprefix("backbone.") in said
    }


def _rates(backbone: nn.Module, layer_decay: float) -> dict[str, float]:
    """The rate of each parameter of the backbone by its name in the network: `layer_decay` for the last layer, then its powers."""
    layers = _layers(backbone)
    last = max(layers.values(), default=0)
    if last == 0:
        raise UsageError("--layer-decay: this backbone does not say which its layers are. Leave it out.")
    return {f"backbone.{name}": layer_decay ** (last - layer + 1) for name, layer in layers.items()}


def _layers(backbone: nn.Module) -> dict[str, int]:
    """Parameter name -> number of its layer, 0 for the stem: blocks as timm counts them, the stages of a ResNet."""
    matcher = getattr(backbone, "group_matcher", None)
    if matcher is not None:
        from timm.models import group_parameters

        return dict(group_parameters(backbone, matcher(coarse=False), reverse=True))
    found = {name: _STAGE.match(name) for name, _ in backbone.named_parameters()}
    return {name: int(stage[1]) if stage else 0 for name, stage in found.items()}
