"""Everything is in pyproject.toml; tools that want a setup.py, such as Beam's `--setup_file`, find one here."""

from setuptools import setup

setup()
