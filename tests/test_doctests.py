"""Examples in docstrings, on pages of the documentation and in the README are run."""

import doctest
import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest

import mman_jax

ROOT = Path(__file__).parents[1]
MODULES = ["mman_jax"] + [
    found.name
    for found in pkgutil.walk_packages(mman_jax.__path__, "mman_jax.")
    # The network that exports contain for PyTorch needs torch.
    if importlib.util.find_spec("torch") or not found.name.endswith("pytorch_network")
    if not found.name.startswith(("mman_jax.configs", "mman_jax.cli."))
]
TRAINING = ("system.md",)  # pages that train
PAGES = [
    pytest.param(path, marks=pytest.mark.e2e if path.name in TRAINING else (), id=path.name)
    for path in sorted((ROOT / "docs").rglob("*.md"))
]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def blocks(text, language):
    """The text with empty lines outside fences of a language, so that line numbers stay."""
    kept, inside = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = line == f"```{language}"
            kept.append("")
        else:
            kept.append(line if inside else "")
    return "\n".join(kept)


def run(examples):
    output = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(examples, out=output.append, clear_globs=False)
    assert not output, "".join(output)


@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module):
    for examples in doctest.DocTestFinder().find(importlib.import_module(module)):
        run(examples)


@pytest.mark.parametrize("page", PAGES)
def test_pages(page, tmp_path, monkeypatch):
    text = page.read_text(encoding="utf-8")
    # tests/cli/test_export.py and tests/test_packaging.py run these blocks.
    rest = re.sub("<!-- (reader|library) -->\n```python", "```", text)
    assert "```python" not in rest, "a block that no test runs: write it as pycon"
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(
        blocks(text, "pycon"), {}, page.name, str(page), 0
    )
    assert bool(examples.examples) == ("```pycon" in text)
    run(examples)


def test_the_table_of_shapes_equals_the_page_s_output():
    text = (ROOT / "docs/shapes.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(.+?)` \| (\[.+?\]) \| (\w+) \|", text, re.MULTILINE)
    printed = re.findall(r"^(\S+) (\[.+\]) (\w+)$", blocks(text, "pycon"), re.MULTILINE)
    assert len(table) > 10
    assert table == printed


def test_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    source = blocks(text, "python")
    assert "Corpus(" not in source
    assert source.strip()
    exec(compile(source, "README.md", "exec"), {})


def test_the_main_functions_have_examples():
    found = {
        examples.name
        for module in MODULES
        for examples in doctest.DocTestFinder().find(importlib.import_module(module))
        if examples.examples
    }
    assert len(found) >= 15
