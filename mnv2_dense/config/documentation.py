"""The strings under the keys of a config, which are their documentation."""

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import Any

from mnv2_dense.config.fields import sections
from mnv2_dense.config.sections import Section


@cache
def key_texts(section: type[Section]) -> dict[str, str]:
    """The documentation of every key of a section, inherited ones included.

    Differs from pydantic's `use_attribute_docstrings`, which reads all of it whenever configs are
    imported: it is wanted where a config or its schema is shown.
    """
    texts: dict[str, str] = {}
    for model in reversed(section.__mro__):
        if issubclass(model, Section) and model is not Section:
            texts |= _texts_of(model.__module__)[model.__name__]
    return texts


@cache
def _texts_of(module: str) -> dict[str, dict[str, str]]:
    """The documentation of the keys of every class of a module."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {each.name: _own_texts(each) for each in tree.body if isinstance(each, ast.ClassDef)}


def _own_texts(definition: ast.ClassDef) -> dict[str, str]:
    return {
        key.target.id: inspect.cleandoc(text.value.value)
        for key, text in pairwise(definition.body)
        if isinstance(key, ast.AnnAssign)
        and isinstance(key.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def describe(schema: dict[str, Any], models: list[type[Section]]) -> None:
    """Writes the documentation of every key into a JSON Schema of some configs."""
    for model in models:
        definition = schema["$defs"].get(model.__name__)
        for name, text in key_texts(model).items():
            if definition is not None and name in definition["properties"]:
                definition["properties"][name]["description"] = text
        describe(schema, [*sections(model).values()])
