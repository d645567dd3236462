"""Builders of architectures, read from the source of `models/*.py` without importing it.

A builder is a public function that takes `num_classes`, and an architecture by its name. A function under
`layers.named` stands for the names of its template instead:
`@named("wrn_{depth}_{widening}_cifar", depth=range(10, 5000, 6), widening=range(1, 100))`.
"""

import ast
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Builder:
    """A function of `models/*.py`, the values of its name's fields, and its defaults."""

    file: str
    function: str
    fields: tuple[tuple[str, Any], ...]
    defaults: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Family:
    """A function of `models/*.py` and the names that it builds."""

    file: str
    function: str
    template: str
    choices: tuple[tuple[str, Sequence[Any]], ...]
    listed: tuple[str, ...]
    defaults: tuple[tuple[str, Any], ...]

    def names(self) -> Iterable[str]:
        """The names to list: all, or those that the family lists of a great many."""
        if self.listed:
            return self.listed
        keys = [key for key, _ in self.choices]
        points = itertools.product(*(values for _, values in self.choices))
        return [self.template.format(**dict(zip(keys, point, strict=True))) for point in points]

    def match(self, name: str) -> Builder | None:
        """The builder of `name`, or None where it is not of this family."""
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\w+?)", re.escape(self.template))
        found = re.fullmatch(pattern, name)
        if found is None:
            return None
        fields = []
        for key, values in self.choices:
            value = next((v for v in values if str(v) == found[key]), None)
            if value is None:
                return None
            fields.append((key, value))
        return Builder(self.file, self.function, tuple(fields), self.defaults)


def read_families(folder: Path) -> Iterator[Family]:
    """Builders in the modules of `folder`, by file."""
    for path in sorted(folder.glob("[!_]*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and _is_builder(node):
                yield _family(path.stem, node)


def _is_builder(node: ast.FunctionDef) -> bool:
    arguments = node.args.args + node.args.kwonlyargs
    return not node.name.startswith("_") and any(argument.arg == "num_classes" for argument in arguments)


def _family(file: str, node: ast.FunctionDef) -> Family:
    template, choices, listed = node.name, {}, ()
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "named":
            template = ast.literal_eval(decorator.args[0])
            choices = {str(k.arg): _values(k.value) for k in decorator.keywords}
            listed = tuple(choices.pop("listed", ()))
    return Family(file, node.name, template, tuple(choices.items()), listed, tuple(_defaults(node.args)))


def _values(node: ast.expr) -> Sequence[Any]:
    """A tuple's literals, or a range."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return range(*map(ast.literal_eval, node.args))
    values: Sequence[Any] = ast.literal_eval(node)
    return values


def _defaults(arguments: ast.arguments) -> Iterable[tuple[str, Any]]:
    """Arguments whose default is a literal."""
    named = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    for argument, default in [
        *zip(named, arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]:
        if isinstance(default, ast.Constant):
            yield argument.arg, default.value
