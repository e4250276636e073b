"""The same training step in PyTorch 2: `python torch_step.py SETTING`, see tailgan_step.py.

Hinge loss, one Adam a network, real and generated images in one pass of the discriminator, a moving average of the
generator with its statistics. PyTorch gets its fastest form: the fused Adam, updates of many tensors in one call, the
memory format that the setting asks for, and with `compile` both losses compiled whole, forward and backward.
"""

import copy
import json
import sys

import torch
from serve import serve
from torch import Tensor
from torch_networks import FAMILIES

LATENT = 64
CLASSES = 10
DECAY = 0.999


class Step:
    """Both networks, their optimizers and the data."""

    def __init__(self, setting: dict):
        gan, (side, _, channels) = setting["gan"], setting["image_shape"]
        self.batch_size = gan["batch_size"]
        layout = torch.channels_last if setting["channels_last"] else torch.contiguous_format
        self.layout = layout
        generator, discriminator = FAMILIES[gan["network"]]
        self.generator = generator(side, channels, gan["width"], LATENT, CLASSES).to(memory_format=layout)
        self.discriminator = discriminator(side, channels, gan["width"], CLASSES).to(memory_format=layout)
        self.average = copy.deepcopy(self.generator)
        rate = {"lr": 4e-4, "betas": (0.5, 0.999), "fused": True}
        self.of_generator = torch.optim.Adam(self.generator.parameters(), **rate)
        self.of_discriminator = torch.optim.Adam(self.discriminator.parameters(), **rate)
        self.images = torch.randint(0, 256, (4096, channels, side, side), dtype=torch.uint8)
        self.labels = torch.arange(4096) % CLASSES
        self.generate = self.generator
        self.discriminator_loss, self.generator_loss = self._discriminator_loss, self._generator_loss
        if setting["compile"]:
            self.generate = torch.compile(self.generator)
            self.discriminator_loss = torch.compile(self._discriminator_loss)
            self.generator_loss = torch.compile(self._generator_loss)
        self.order = torch.randperm(4096)
        self.at = 0

    def _discriminator_loss(self, real: Tensor, real_label: Tensor, fake: Tensor, fake_label: Tensor) -> Tensor:
        logits = self.discriminator(torch.cat((real, fake)), torch.cat((real_label, fake_label)))
        of_real, of_fake = logits.chunk(2)
        return torch.relu(1 - of_real).mean() + torch.relu(1 + of_fake).mean()

    def _generator_loss(self, fake: Tensor, label: Tensor) -> Tensor:
        return -self.discriminator(fake, label).mean()

    def _batch(self) -> tuple[Tensor, Tensor]:
        if self.at + self.batch_size > len(self.order):
            self.order, self.at = torch.randperm(len(self.order)), 0
        rows = self.order[self.at : self.at + self.batch_size]
        self.at += self.batch_size
        images = self.images[rows].float() / 127.5 - 1
        return images.contiguous(memory_format=self.layout), self.labels[rows]

    def step(self) -> None:
        """One step of the discriminator, then one of the generator on the same generated images."""
        real, real_label = self._batch()
        z, label = torch.randn(self.batch_size, LATENT), torch.randint(0, CLASSES, (self.batch_size,))
        fake = self.generate(z, label)
        self.discriminator.train().requires_grad_(True)
        self.of_discriminator.zero_grad(set_to_none=True)
        self.discriminator_loss(real, real_label, fake.detach(), label).backward()
        self.of_discriminator.step()
        # No step of power iteration, and no gradients that nobody takes.
        self.discriminator.eval().requires_grad_(False)
        self.of_generator.zero_grad(set_to_none=True)
        self.generator_loss(fake, label).backward()
        self.of_generator.step()
        with torch.no_grad():
            for average, now in (
                (self.average.parameters(), self.generator.parameters()),
                (_statistics(self.average), _statistics(self.generator)),
            ):
                torch._foreach_lerp_(list(average), list(now), 1 - DECAY)

    def run(self, steps: int) -> None:
        """So many steps."""
        for _ in range(steps):
            self.step()


def _statistics(network: torch.nn.Module) -> list[Tensor]:
    return [buffer for buffer in network.buffers() if buffer.is_floating_point()]


def main() -> None:
    """Measures."""
    setting = json.loads(sys.argv[1])
    torch.set_num_threads(setting["threads"])
    torch.manual_seed(0)
    step = Step(setting)
    parameters = [
        sum(weight.numel() for weight in network.parameters()) for network in (step.generator, step.discriminator)
    ]
    serve(step.run, {"parameters": parameters})


if __name__ == "__main__":
    main()
