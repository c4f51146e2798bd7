"""The documentation agrees with the code, is complete, and loads nothing from the network."""

import html.parser
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mman_jax
from docs.hooks import architecture, reference, tables
from mman_jax.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
APART = ("mman_jax.configs", "mman_jax.cli.")
MODULES = ["mman_jax"] + [
    info.name
    for info in pkgutil.walk_packages(mman_jax.__path__, "mman_jax.")
    if "._" not in info.name and not info.name.startswith(APART)
]
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}


def pages(navigation):
    for entry in navigation:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else pages(value)


def test_the_reference_has_every_module_once():
    assert sorted(reference.modules()) == sorted(MODULES)
    listed = sorted(pages([reference.navigation()]))
    assert listed == sorted(reference.page(module) for module in MODULES)


def test_the_architecture_figure_is_generated_from_the_code(monkeypatch):
    def texts():
        return [text.get_text() for text in architecture.draw().axes[0].texts]

    before = texts()
    assert "MMAN: 4 392 184 parameters" in before  # the paper's Table 2: 4.39 million
    assert 'Tower "mma"' in before
    assert "LateFusion" in before
    monkeypatch.setattr(architecture.splits.split, "__qualname__", "renamed")
    assert "renamed: train, valid, test" in texts()
    monkeypatch.delattr(architecture.optimizer, "labels")
    with pytest.raises(AttributeError, match="labels"):
        architecture.draw()


def test_the_guide_to_reports_names_every_section():
    guide = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    for corpus in ("mosi", "synthetic"):
        report = (ROOT / f"experiments/results/{corpus}/report.md").read_text(encoding="utf-8")
        sections = re.findall(r"^## (.+)$", report, re.MULTILINE)
        assert sections
        assert [title for title in sections if f"| {title} |" not in guide] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_files_on_pages_exist(page):
    text = page.read_text(encoding="utf-8")
    for command in re.findall(r"\b((?:experiments|mman_jax)(?:\.[a-z_]+)+)\b", text):
        module = ROOT / command.replace(".", "/")
        known = module, module.with_suffix(".py"), module.parent, module.parent.with_suffix(".py")
        assert any(path.exists() for path in known), command
    for command in re.findall(r"`mman ([a-z]+)", text):
        assert command in COMMANDS, command
    for path in re.findall(r"\b((?:configs|docs|experiments|mman_jax|tests)/[\w/.]*\w)", text):
        assert (ROOT / path).exists(), path


def test_the_page_of_commands_names_every_command_and_flag():
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    sources = {f"mman {name}": ROOT / f"mman_jax/cli/{name}.py" for name in COMMANDS}
    sources["python -m experiments.bench"] = ROOT / "experiments/bench.py"
    for command, source in sources.items():
        assert f"`{command}`" in page
        text = source.read_text(encoding="utf-8")
        for flag in re.findall(r"(?:path_flag|DEFINE_[a-z_]+)\(\s*\"([a-z_]+)\"", text):
            assert f"--{flag}" in page, (source.name, flag)


def test_the_citation_is_complete_and_of_this_version():
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra [docs]")
    card = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert card["cff-version"] == "1.2.0"
    assert card["version"] == mman_jax.__version__
    assert {"message", "title", "authors", "license"} <= card.keys()
    (paper,) = card["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Pan", "Luo", "Yang", "Li"]


def test_the_table_of_systems_is_up_to_date():
    page = tables.PAGE.read_text(encoding="utf-8")
    assert tables.with_systems(page) == page, "run python -m docs.hooks.tables"


def test_settings_are_described():
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| .* \| (.*) \|$", tables.with_settings(page), re.MULTILINE)
    assert {"data.path", "network.early.dense", "train.towers.patience"} <= dict(rows).keys()
    assert [field for field, description in rows if not description] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for needed in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(needed, reason="pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.e2e
def test_every_public_name_has_an_entry(site):
    for name in MODULES:
        if name.endswith("pytorch_network") and not importlib.util.find_spec("torch"):
            continue
        module = importlib.import_module(name)
        page = (site / reference.page(name)).with_suffix(".html").read_text(encoding="utf-8")
        local = [
            member
            for member, value in vars(module).items()
            if (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == name
            and not member.startswith("_")
        ]
        missing = [member for member in local if f'id="{name}.{member}"' not in page]
        assert missing == [], name


class Loaded(html.parser.HTMLParser):
    """Collects the addresses that a browser loads by itself, without links."""

    def __init__(self):
        super().__init__()
        self.urls = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.urls.append(values.get("href") or "")
        elif tag in LOADING:
            self.urls.append(values.get(LOADING[tag]) or "")


@pytest.mark.e2e
def test_pages_load_nothing_from_the_network(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(MODULES)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        parser = Loaded()
        parser.feed(text)
        outside = [url for url in parser.urls if re.match(r"(https?:)?//", url)]
        assert outside == [], page
        assert 'class="mermaid"' not in text  # the theme would fetch the renderer
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", text), sheet
