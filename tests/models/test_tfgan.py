"""TF-GAN is imported in one place, and imports at all."""

import ast
from pathlib import Path

import models
from models import tfgan


def test_losses_are_there():
    assert callable(tfgan.losses.wasserstein_hinge_discriminator_loss)


def test_only_one_module_imports_tf_gan():
    home = Path(models.__path__[0])
    importers = set()
    for path in home.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            importers |= {path.name for name in names if name.partition(".")[0] == "tensorflow_gan"}
    assert importers == {"tfgan.py"}
