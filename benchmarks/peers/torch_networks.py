"""tailgan's networks in PyTorch: the same layers, widths and kernels, so that both have as many parameters.

Images are [n, C, H, W]. Conditional batch normalization in the generator; projection and spectral normalization in the
discriminator.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

LEAK = 0.2
FEATURES = 64
INNERMOST = 7


def halvings(side: int) -> int:
    """How often a side of 28 or 32 is halved until it has at most 7 pixels."""
    times = 0
    while side > INNERMOST:
        side, times = -(-side // 2), times + 1
    return times


class ConditionalBatchNorm(nn.Module):
    """Batch normalization whose gain and bias belong to the class."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False, momentum=0.1, eps=1e-3)
        self.gain = nn.Embedding(classes, channels)
        self.bias = nn.Embedding(classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        gain, bias = (table(label)[:, :, None, None] for table in (self.gain, self.bias))
        return gain * self.norm(x) + bias


class DCGANGenerator(nn.Module):
    """`models.networks.dcgan.generator`."""

    def __init__(self, side: int, image_channels: int, width: int, latent: int, classes: int):
        super().__init__()
        times = halvings(side)
        self.base = (width << times, side >> times, side >> times)
        self.dense = nn.Linear(latent, self.base[0] * self.base[1] * self.base[2], bias=False)
        self.first = ConditionalBatchNorm(self.base[0], classes)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(width << halved + 1, width << halved, 4, 2, 1, bias=False)
            for halved in reversed(range(times))
        )
        self.norms = nn.ModuleList(ConditionalBatchNorm(width << halved, classes) for halved in reversed(range(times)))
        self.last = nn.Conv2d(width, image_channels, 3, padding=1)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        x = torch.relu(self.first(self.dense(z).view(-1, *self.base), label))
        for up, norm in zip(self.ups, self.norms, strict=True):
            x = torch.relu(norm(up(x), label))
        return torch.tanh(self.last(x))


class _Discriminator(nn.Module):
    """The heads: an unconditional logit and the projection of the class."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.logit = spectral_norm(nn.Linear(features, 1))
        self.embedding = nn.Embedding(classes, features)

    def features(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        h = self.features(x)
        return self.logit(h)[:, 0] + (h * self.embedding(label)).sum(1)


class DCGANDiscriminator(_Discriminator):
    """`models.networks.dcgan.discriminator`."""

    def __init__(self, side: int, image_channels: int, width: int, classes: int):
        super().__init__(FEATURES, classes)
        times = halvings(side)
        self.convs = nn.ModuleList([spectral_norm(nn.Conv2d(image_channels, width, 3, padding=1))])
        for halved in range(times):
            self.convs.append(spectral_norm(nn.Conv2d(width << halved, width << halved + 1, 4, 2, 1)))
        self.dense = spectral_norm(nn.Linear((width << times) * (side >> times) ** 2, FEATURES))

    def features(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), LEAK)
        return functional.leaky_relu(self.dense(x.flatten(1)), LEAK)


class _UpBlock(nn.Module):
    def __init__(self, before: int, after: int, classes: int):
        super().__init__()
        self.norms = nn.ModuleList([ConditionalBatchNorm(before, classes), ConditionalBatchNorm(after, classes)])
        self.convs = nn.ModuleList(
            [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.Conv2d(after, after, 3, padding=1, bias=False)]
        )
        self.shortcut = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        h = functional.interpolate(torch.relu(self.norms[0](x, label)), scale_factor=2.0)
        h = self.convs[1](torch.relu(self.norms[1](self.convs[0](h), label)))
        return h + self.shortcut(functional.interpolate(x, scale_factor=2.0))


class ResNetGenerator(nn.Module):
    """`models.networks.resnet.generator`."""

    def __init__(self, side: int, image_channels: int, width: int, latent: int, classes: int):
        super().__init__()
        times = halvings(side)
        self.base = (width << times, side >> times, side >> times)
        self.dense = nn.Linear(latent, self.base[0] * self.base[1] * self.base[2], bias=False)
        self.blocks = nn.ModuleList(
            _UpBlock(width << halved + 1, width << halved, classes) for halved in reversed(range(times))
        )
        self.norm = ConditionalBatchNorm(width, classes)
        self.last = nn.Conv2d(width, image_channels, 3, padding=1)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        x = self.dense(z).view(-1, *self.base)
        for block in self.blocks:
            x = block(x, label)
        return torch.tanh(self.last(torch.relu(self.norm(x, label))))


class _DownBlock(nn.Module):
    def __init__(self, before: int, after: int, down: bool, first: bool):
        super().__init__()
        self.down, self.first = down, first
        self.convs = nn.ModuleList(
            spectral_norm(nn.Conv2d(channels, after, 3, padding=1)) for channels in (before, after)
        )
        resized = down or before != after
        self.shortcut = spectral_norm(nn.Conv2d(before, after, 1)) if resized else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.convs[0](x if self.first else functional.leaky_relu(x, LEAK))
        h = self.convs[1](functional.leaky_relu(h, LEAK))
        if self.down:
            h, x = functional.avg_pool2d(h, 2), functional.avg_pool2d(x, 2)
        return h + self.shortcut(x)


class ResNetDiscriminator(_Discriminator):
    """`models.networks.resnet.discriminator`."""

    def __init__(self, side: int, image_channels: int, width: int, classes: int):
        times = halvings(side)
        super().__init__(width << times, classes)
        sizes = [image_channels, *(width << halved for halved in range(1, times + 1)), width << times]
        self.blocks = nn.ModuleList(
            _DownBlock(before, after, down=stage < times, first=stage == 0)
            for stage, (before, after) in enumerate(pairwise(sizes))
        )

    def features(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return functional.leaky_relu(x, LEAK).sum((2, 3))


FAMILIES = {"dcgan": (DCGANGenerator, DCGANDiscriminator), "resnet": (ResNetGenerator, ResNetDiscriminator)}
