"""Reading the source: modules, what they import, and trees planted to test the checkers themselves.

A checker takes the root of a tree and returns its findings, one line each, `file:line: words`. So each is tested twice: on
the real tree, where it must find nothing, and for ever on small planted ones.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PLUMBING = ("models", "forms", "views", "tasks", "cli", "loops", "privacy")

Checker = Callable[[Path], list[str]]


@dataclass(frozen=True)
class Module:
    """One source file. `room` is "" outside rooms; `part` is the file's name without `.py`."""

    root: Path
    path: Path

    @property
    def name(self) -> str:
        """Its path from the root, for findings."""
        return str(self.path.relative_to(self.root))

    @property
    def room(self) -> str:
        """The room it stands in."""
        parts = self.path.relative_to(self.root / "courseapp").parts if self.path.is_relative_to(self.root / "courseapp") else ()
        return parts[0] if len(parts) > 1 else ""

    @property
    def part(self) -> str:
        """Its file name without the ending."""
        return self.path.stem

    @cached_property
    def text(self) -> str:
        """What it says."""
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, str(self.path))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree."""
        return list(ast.walk(self.tree))

    def at(self, node: ast.AST | int, words: str) -> str:
        """A finding in this module."""
        return f"{self.name}:{node if isinstance(node, int) else getattr(node, 'lineno', 1)}: {words}"

    @cached_property
    def imports(self) -> list[tuple[ast.AST, str]]:
        """Every module it imports, wherever the import stands: in functions and under TYPE_CHECKING too."""
        return list(self._imports())

    def _imports(self) -> Iterator[tuple[ast.AST, str]]:
        package = [*self.path.relative_to(self.root).parts[:-1]]
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *((node.module or "").split(".") if node.module else [])])
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    yield node, inner if is_module(self.root, inner) else base


@cache
def is_module(root: Path, dotted: str) -> bool:
    """Whether a dotted name is a file or package of this tree."""
    path = root.joinpath(*dotted.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def modules(root: Path, *folders: str) -> list[Module]:
    """The source files below `folders` (default: the application's), in order."""
    return [
        _read(root, path, path.stat().st_mtime_ns) for folder in folders or ("courseapp",) for path in sorted((root / folder).rglob("*.py"))
    ]


@cache
def _read(root: Path, path: Path, _changed: int) -> Module:
    return Module(root, path)


def doors(root: Path) -> list[Module]:
    """The two files that know every room."""
    return [Module(root, path) for path in (root / "courseapp" / "__init__.py", root / "worker.py") if path.is_file()]


@cache
def rooms(root: Path) -> tuple[str, ...]:
    """The staircase, top first, as `courseapp/__init__.py` says it."""
    for node in Module(root, root / "courseapp" / "__init__.py").tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "ROOMS" for target in node.targets):
            return tuple(ast.literal_eval(node.value))
    raise AssertionError("courseapp/__init__.py has no ROOMS")


def calls(module: Module) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the last part of the name it calls: `db.session.commit()` gives `commit`."""
    for node in module.nodes:
        if isinstance(node, ast.Call):
            called = node.func
            yield node, called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def plant(root: Path, files: dict[str, str]) -> Path:
    """A small tree of an application with three rooms, and `files` in it."""
    usual = {"courseapp/__init__.py": 'ROOMS = ("operations", "learning", "journal")\n'}
    for room in ("operations", "learning", "journal"):
        usual[f"courseapp/{room}/__init__.py"] = '"""It: owns one thing. May ask nobody. Never another."""\n'
    for name, text in {**usual, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def assert_clean(checker: Checker, root: Path = ROOT) -> None:
    """That a checker finds nothing; else fail with its findings and no more."""
    if found := checker(root):
        pytest.fail(f"{checker.__doc__ or checker.__name__}\n" + "\n".join(sorted(set(found))), pytrace=False)


def expect(found: list[str], words: str | None) -> None:
    """That a planted tree is reported with `words`, or (None) not at all."""
    if words is None:
        assert found == []
    else:
        assert any(words in finding for finding in found), f"not reported: {words!r}; found: {found}"
