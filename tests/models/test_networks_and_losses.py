"""Every family of networks with every loss: a few steps that move all weights of both networks and stay finite."""

import numpy as np
import pytest

from models.build import build_gan
from models.networks.options import FAMILIES
from models.options import GANOptions

LOSSES = GANOptions.model_fields["loss"].annotation.__args__


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("network", FAMILIES)
def test_it_trains(digits, network, loss):
    options = GANOptions.model_validate({
        "network": network, "loss": loss, "width": 4, "depth": 1, "latent": {"dim": 4}, "batch_size": 8, "steps": 2,
        "discriminator": {"conditioning": "acgan" if loss == "acgan" else "projection"},
    })  # fmt: skip
    gan = build_gan(options, digits.train, "0123456789", {}, seed=0)
    gan.run_eagerly = True
    networks = gan.generator, gan.discriminator
    before = [[w.numpy() for w in network.trainable_variables] for network in networks]
    history = gan.fit(digits.train.batches(8, 0), steps_per_epoch=2, shuffle=False, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    for network, old in zip(networks, before, strict=True):
        for weight, value in zip(network.trainable_variables, old, strict=True):
            assert np.isfinite(weight.numpy()).all()
            # What the last bias adds to real and to generated logits cancels out in some losses.
            assert value.shape == (1,) or np.any(weight.numpy() != value), weight.path
    assert gan.ema([np.zeros((3, 4), np.float32), np.array([0, 4, 9])]).shape == (3, 8, 8, 1)
