"""Where images come from: one module a source, one interface (base.py)."""

from components.example_gen.options import DataOptions
from components.example_gen.sources.base import Chunk, RawImage, Source, Split
from models.errors import UserError

__all__ = ["Chunk", "RawImage", "Source", "Split", "open_source"]


def open_source(options: DataOptions, last_span: int | None = None) -> Source:
    """The source that the configuration names.

    Args:
      options: the configuration.
      last_span: the newest span to read, so that one that comes in the meantime is not; all that are there if None.

    Raises:
      UserError: if it is not there, or not laid out as it should be.
    """
    if options.group_by is not None and options.source != "image_folder":
        raise UserError(f"source `{options.source}` has no file names to search in", key="data.group_by")
    if options.unlabelled is not None and options.source != "image_folder":
        raise UserError(f"source `{options.source}` has no folders", key="data.unlabelled")
    source = _SOURCES[options.source](options, last_span)
    if len(source.classes) < 2:
        raise UserError(f"there is one class only, `{source.classes[0]}`; two or more are needed")
    return source


def _digits(options: DataOptions, last_span: int | None) -> Source:
    from components.example_gen.sources.digits import Digits

    return Digits()


def _tfds(options: DataOptions, last_span: int | None) -> Source:
    from components.example_gen.sources.tfds import Tfds

    assert options.dataset is not None
    return Tfds(options.dataset, options.data_dir)


def _image_folder(options: DataOptions, last_span: int | None) -> Source:
    from components.example_gen.sources.image_folder import ImageFolder
    from components.example_gen.sources.spans import find

    assert options.root is not None
    spans = find(options.root, options.spans, last_span)
    root = spans.base if spans else options.root
    return ImageFolder(root, options.group_by, options.max_pixels, options.unlabelled, spans)


# Imported when asked for: TensorFlow Datasets takes seconds.
_SOURCES = {"digits": _digits, "tfds": _tfds, "image_folder": _image_folder}
