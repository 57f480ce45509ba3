"""TinyViT (Wu et al., ECCV 2022, arXiv:2207.10666) as the image encoder of MobileSAM (arXiv:2306.14289), under the names of its file.

Four stages at strides 4, 8, 16 and 16: inverted bottlenecks, then attention inside windows with a depthwise convolution between
attention and MLP, and the neck of Segment Anything. It has no position embedding of the whole picture, so any size will do.
"""

from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS, DEPTHS, HEADS, WINDOWS = (64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7)
STRIDES = (2, 2, 1)
"""Of the steps between the stages."""
OUT_WIDTH, CLASSES = 256, 1000
EXPAND = 4


class TinyViT(nn.Module):
    """(N, 3, H, W) normalised colours to (N, 256, H / 16, W / 16); `img_size` is what Segment Anything enlarges to."""

    img_size = 1024

    def __init__(self) -> None:
        super().__init__()
        width = WIDTHS[0]
        self.patch_embed = _Stem(width)
        self.layers = nn.ModuleList(_Stage(number) for number in range(len(WIDTHS)))
        self.norm_head = nn.LayerNorm(WIDTHS[-1])  # of its training as a classifier; in the file, not used
        self.head = nn.Linear(WIDTHS[-1], CLASSES)
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], OUT_WIDTH, 1, bias=False),
            _ChannelNorm(OUT_WIDTH),
            nn.Conv2d(OUT_WIDTH, OUT_WIDTH, 3, padding=1, bias=False),
            _ChannelNorm(OUT_WIDTH),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        found: Tensor = self.neck(x)
        return found


class _Convolution(nn.Module):
    """A convolution without bias and its batch normalisation."""

    def __init__(self, before: int, after: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.bn(self.c(x))
        return found


class _Stem(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(_Convolution(3, width // 2, 3, 2), nn.GELU(), _Convolution(width // 2, width, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.seq(x)
        return found


class _Stage(nn.Module):
    def __init__(self, number: int) -> None:
        super().__init__()
        width = WIDTHS[number]
        blocks = [
            _Bottleneck(width) if number == 0 else _Block(width, HEADS[number], WINDOWS[number])
            for _ in range(DEPTHS[number])
        ]
        self.blocks = nn.Sequential(*blocks)
        last = number == len(WIDTHS) - 1
        self.downsample = None if last else _Merge(width, WIDTHS[number + 1], STRIDES[number])

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(x)
        return x if self.downsample is None else self.downsample(x)


class _Bottleneck(nn.Module):
    """1x1 up, 3x3 by channel, 1x1 down, and the input added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _Convolution(width, EXPAND * width, 1)
        self.conv2 = _Convolution(EXPAND * width, EXPAND * width, 3, groups=EXPAND * width)
        self.conv3 = _Convolution(EXPAND * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.gelu(self.conv1(x))
        y = functional.gelu(self.conv2(y))
        return functional.gelu(x + self.conv3(y))


class _Merge(nn.Module):
    """The step to the next stage."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _Convolution(before, after, 1)
        self.conv2 = _Convolution(after, after, 3, stride, groups=after)
        self.conv3 = _Convolution(after, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.conv1(x))
        x = functional.gelu(self.conv2(x))
        found: Tensor = self.conv3(x)
        return found


class _Block(nn.Module):
    """Attention inside windows of `window` x `window`, a convolution by channel, an MLP."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = _Attention(width, heads, window)
        self.local_conv = _Convolution(width, width, 3, groups=width)
        self.mlp = _Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        count, width, rows, columns = x.shape
        size = self.window
        down, right = -rows % size, -columns % size
        grid = functional.pad(x, (0, right, 0, down)).permute(0, 2, 3, 1)
        across = (columns + right) // size
        windows = grid.reshape(count, -1, size, across, size, width).transpose(2, 3).reshape(-1, size * size, width)
        answer = self.attn(windows).reshape(count, -1, across, size, size, width).transpose(2, 3)
        answer = answer.reshape(count, rows + down, columns + right, width)[:, :rows, :columns]
        x = self.local_conv(x + answer.permute(0, 3, 1, 2))
        tokens = x.permute(0, 2, 3, 1)
        return (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)


class _Attention(nn.Module):
    """Attention with a learnt bias for every distance (rows, columns) inside a window."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        place = torch.tensor(list(product(range(window), range(window))))
        distance = (place[:, None] - place[None]).abs()
        self.distance: Tensor
        self.register_buffer("distance", distance[..., 0] * window + distance[..., 1], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, width = x.shape
        parts = self.qkv(self.norm(x)).reshape(count, tokens, self.heads, -1).transpose(1, 2)
        query, key, value = parts.chunk(3, dim=-1)
        bias = self.attention_biases[:, self.distance]
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias[None])
        answer: Tensor = self.proj(found.transpose(1, 2).reshape(count, tokens, width))
        return answer


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, EXPAND * width)
        self.fc2 = nn.Linear(EXPAND * width, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc2(functional.gelu(self.fc1(self.norm(x))))
        return found


class _ChannelNorm(nn.Module):
    """Layer normalisation over the channels of a map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        moved = x.permute(0, 2, 3, 1)
        return functional.layer_norm(moved, self.weight.shape, self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)
