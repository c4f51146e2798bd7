"""API reference: a page for every public module of the package."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "mman_jax"


def modules() -> list[str]:
    """Returns the names of all public modules and packages, each package before its modules."""
    paths = sorted((ROOT / PACKAGE).rglob("*.py"))
    names = [path.relative_to(ROOT).with_suffix("").parts for path in paths]
    names = [name[:-1] if name[-1] == "__init__" else name for name in names]
    public = [".".join(name) for name in sorted(names) if not any(p.startswith("_") for p in name)]
    # A command is described by its help; it defines flags of the process that imports it.
    return [name for name in public if not name.startswith(f"{PACKAGE}.cli.")]


def page(module: str) -> str:
    """Returns the path of a module's page in the sources of the site."""
    return f"reference/{module}.md"


def content(module: str) -> str:
    """Returns the page of a module: its docstrings, and for a package also its modules."""
    if not _is_package(module):
        return f"::: {module}\n"
    defined = ", ".join(_defined(module))
    options = f"    options:\n      members: {f'[{defined}]' if defined else 'false'}\n"
    inner = [name for name in modules() if name.rpartition(".")[0] == module]
    lines = [f"::: {module}", options]
    if module == PACKAGE:
        lines += ["## The public API", *_exported(), ""]
    lines += ["## Modules", *(f"- [`{name}`]({name}.md): {_summary(name)}" for name in inner)]
    return "\n".join(lines) + "\n"


def navigation() -> dict[str, list]:
    """Returns the reference's part of the navigation, with a section for each package."""
    return {"API reference": [{PACKAGE: page(PACKAGE)}, *_sections(PACKAGE)]}


def _sections(parent: str) -> list[dict]:
    """Returns the modules and packages in a package, with a section for each package."""
    sections = []
    for name in modules():
        above, _, last = name.rpartition(".")
        if above == parent:
            inner = _sections(name)
            sections.append({last: [{"overview": page(name)}, *inner] if inner else page(name)})
    return sections


def _exported() -> list[str]:
    """Returns a line for each name of `mman_jax`, linked to its definition."""
    lines = []
    for node in _tree(PACKAGE).body:
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if not alias.name.startswith("_")]
            lines += [f"- [`{PACKAGE}.{name}`][{node.module}.{name}]" for name in names]
    return sorted(lines, key=str.lower)


def _defined(module: str) -> list[str]:
    """Returns the public names that are defined in the file of a package."""
    kinds = ast.FunctionDef | ast.ClassDef | ast.AnnAssign
    nodes = [node for node in _tree(module).body if isinstance(node, kinds)]
    names = [node.target.id if isinstance(node, ast.AnnAssign) else node.name for node in nodes]
    return [name for name in names if not name.startswith("_")]


def _summary(module: str) -> str:
    """Returns the first paragraph of a module's docstring."""
    return " ".join((ast.get_docstring(_tree(module)) or "").partition("\n\n")[0].split())


def _is_package(module: str) -> bool:
    return (ROOT / module.replace(".", "/")).is_dir()


def _tree(module: str) -> ast.Module:
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))
