"""Writes docs/configuration.md from the configuration's own models.

Run as `python -m pipeline.config_docs > docs/configuration.md`.
"""

import json
from collections.abc import Iterator
from typing import Any

from pipeline.config import Config

_HEAD = """\
# Configuration

One YAML file is one experiment. `tailgan config FILE` prints it with every default filled in; `--set section.key=value`
overrides a key. An unknown key or a value out of range is an error that names file, line and key.

This page is generated: `python -m pipeline.config_docs > docs/configuration.md`.
"""
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON schema's type and bounds, in words."""
    if "$ref" in schema:
        return "section"
    if "anyOf" in schema:
        return " or ".join(_type(option, definitions) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        items = schema.get("prefixItems") or [schema["items"]]
        inner = _type(items[0], definitions)
        return f"{len(items)} × {inner}" if "prefixItems" in schema else f"list of {inner}"
    if kind == "object":
        return f"mapping to {_type(schema.get('additionalProperties', {}), definitions)}"
    bounds = " and ".join(f"{sign} {schema[key]}" for key, sign in _BOUNDS.items() if key in schema)
    return f"{kind} {bounds}".strip()


def _rows(schema: dict[str, Any], definitions: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and meaning of every key below a model; sections are opened."""
    for name, field in schema["properties"].items():
        key = prefix + name
        default = json.dumps(field["default"]) if "default" in field else "required"
        nested = [option for option in (field, *field.get("anyOf", ()), *field.get("allOf", ())) if "$ref" in option]
        if nested:
            section = definitions[nested[0]["$ref"].rpartition("/")[2]]
            # A description that is the section's own stands there alone.
            meaning = field.get("description", section.get("description", ""))
            yield key, "section", default if default == "null" else "", meaning
            yield from _rows(section, definitions, f"{key}.")
        else:
            yield key, _type(field, definitions), default, field.get("description", "")


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, kind, default, meaning in rows:
        cells = (f"`{key}`", kind, f"`{default}`" if default else "", meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def markdown() -> str:
    """The whole page."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    parts = [_HEAD]
    top = []
    for name, field in schema["properties"].items():
        if "$ref" not in field:
            top.append((name, _type(field, definitions), json.dumps(field["default"]), field["description"]))
            continue
        meaning = Config.model_fields[name].description
        rows = list(_rows(definitions[field["$ref"].rpartition("/")[2]], definitions))
        parts.append(f"## `{name}`\n\n{meaning}\n\n{_table(rows)}\n")
    parts.insert(1, f"## Top level\n\n{_table(top)}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(markdown(), end="")
