"""Everything is in pyproject.toml; this file is for tools that install from a setup.py, such as Beam's `--setup_file`."""

from setuptools import setup

setup()
