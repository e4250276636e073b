"""Augmentation of what the discriminator sees, within the graph of the training step."""
