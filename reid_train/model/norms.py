"""Batch normalisation by domain and by groups of images: whose statistics normalise whom is a setting, not an accident.

A network that learns from two sites at once may keep statistics and affine weights for each (Chang et al., DSBN,
arXiv:1906.03950); how many images share their statistics decides the result as much as any loss does, and follows elsewhere
from the number of GPUs. `split_norms` turns a plain network into one with `DomainNorm`s, `plain_state` turns its tensors back.
"""

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_BANK = re.compile(r"\.banks\.(\d+)(?=\.)")


@dataclass
class Shares:
    """How the rows of the next forward are made up: so many of the first domain, then so many of the second, and so on."""

    sizes: tuple[int, ...] = ()


class DomainNorm(nn.Module):
    """Batch normalisation with a bank (affine weights and running statistics) for each domain, or one for all.

    In training, each `group` images of a domain share their statistics (0: all of it; with one bank, a group has its share of
    every domain), and the running statistics take in the mean over the groups at the layer's momentum, whatever their
    number. In evaluation the last bank normalises everything. Input (N, C, ...), rows in the order that `shares` says.
    """

    def __init__(self, plain: _BatchNorm, num_banks: int, group: int, shares: Shares) -> None:
        super().__init__()
        self.banks = nn.ModuleList([plain, *(copy.deepcopy(plain) for _ in range(num_banks - 1))])
        self.group, self.shares = group, shares

    def forward(self, rows: Tensor) -> Tensor:
        """The rows, normalised."""
        if not self.training:
            normalised: Tensor = self.banks[-1](rows)
            return normalised
        sizes = self.shares.sizes
        assert sum(sizes) == len(rows), f"{len(rows)} rows in a forward that was announced as {sizes}"
        if len(self.banks) > 1:
            parts = rows.split(sizes)
            return torch.cat([self._normalise(bank, [part]) for bank, part in zip(self.banks, parts, strict=True)])
        return self._normalise(self.banks[0], list(rows.split([size for size in sizes if size])))

    def _normalise(self, bank: nn.Module, parts: list[Tensor]) -> Tensor:
        """The parts of one bank one after another, in groups that each take their share of every part."""
        count = num_groups([len(part) for part in parts], self.group)
        if count == 1:
            normalised: Tensor = bank(torch.cat(parts) if len(parts) > 1 else parts[0])
            return normalised
        pieces = [part.chunk(count) for part in parts]
        groups = _over_groups(bank, [torch.cat(group) for group in zip(*pieces)])
        cuts = [len(piece[0]) for piece in pieces]
        shares = zip(*(group.split(cuts) for group in groups))
        return torch.cat([torch.cat(share) for share in shares])


def _over_groups(bank: nn.Module, groups: list[Tensor]) -> list[Tensor]:
    """Every group by its own statistics; the running ones take in the groups' mean, as if it were one batch's."""
    assert isinstance(bank, _BatchNorm)
    mean, variance, momentum = bank.running_mean, bank.running_var, bank.momentum
    assert mean is not None
    assert variance is not None
    assert momentum is not None
    bank.running_mean, bank.running_var = (
        mean.clone(),
        variance.clone(),
    )  # the backward of a group knows its buffers again
    found = []
    for number, group in enumerate(groups, 1):
        bank.momentum = 1 / number  # the buffers hold the mean over the groups so far
        found.append(bank(group))
    with torch.no_grad():
        mean.lerp_(bank.running_mean, momentum)
        variance.lerp_(bank.running_var, momentum)
        bank.num_batches_tracked.sub_(len(groups) - 1)  # type: ignore[union-attr]
    bank.momentum, bank.running_mean, bank.running_var = momentum, mean, variance
    return found


def num_groups(sizes: list[int], group: int) -> int:
    """Into how many groups of `group` images the parts of a batch are cut; 1 for `group` 0.

    Every group takes the same share of each part. ValueError, which says what does not go, if that cannot be.
    """
    total = sum(sizes)
    if group == 0 or group >= total:
        return 1
    count = total // group
    if total % group or any(size % count for size in sizes):
        raise ValueError(f"{' + '.join(map(str, sizes))} images cannot be cut into groups of {group} with equal shares")
    return count


def split_norms(net: nn.Module, num_banks: int, group: int) -> Shares:
    """Put a `DomainNorm` in the place of every batch normalisation of `net`; what tells them how a batch is made up.

    Each bank starts as a copy of the layer.
    """
    shares = Shares()
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm) and not isinstance(module, nn.ModuleList):
                setattr(module, name, DomainNorm(child, num_banks, group, shares))
    return shares


def plain_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a network with `DomainNorm`s by the names of the plain network, which gets the last bank."""
    last = max((int(found[1]) for name in state if (found := _BANK.search(name))), default=0)
    kept = {
        name: tensor for name, tensor in state.items() if (found := _BANK.search(name)) is None or int(found[1]) == last
    }
    return {_BANK.sub("", name): tensor for name, tensor in kept.items()}


def running_statistics(net: nn.Module) -> list[Tensor]:
    """The running means and variances of every batch normalisation, as they lie in the network."""
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    return [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None]


@torch.no_grad()
def measure_statistics(net: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Set the running statistics that tests use to their means over `inputs`, batches (N, 3, H, W).

    AdaBN (Li et al., arXiv:1603.04779); all layers in one pass, with everything else as in evaluation.
    """
    norms = _tested(net)
    momenta = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the running statistics are plain means
        norm.train()
    for batch in inputs:
        net(batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    net.eval()


def _tested(net: nn.Module) -> list[_BatchNorm]:
    """The batch normalisations that an evaluation goes through: of a `DomainNorm` the last bank."""
    others = {
        id(bank) for module in net.modules() if isinstance(module, DomainNorm) for bank in list(module.banks)[:-1]
    }
    return [module for module in net.modules() if isinstance(module, _BatchNorm) and id(module) not in others]
