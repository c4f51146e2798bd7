"""Hooks of MkDocs, which add the generated parts of the site."""

import sys
from pathlib import Path

from mkdocs.structure.files import File

# MkDocs loads this file outside its package; the checkout must precede an installed version.
sys.path.insert(0, str(Path(__file__).parents[2]))

from docs.hooks import architecture, reference, tables
from mman_jax.files.whole import read_json
from mman_jax.report import contents, html

RESULTS = Path(__file__).parents[2] / "experiments/results"


def on_config(config):
    """Adds the API reference to the navigation."""
    config.nav.append(reference.navigation())
    return config


def on_files(files, config):
    """Adds the pictures, a report, and a page for every module."""
    files.append(File.generated(config, "architecture.svg", content=architecture.svg()))
    page = html.render(contents.document(read_json(RESULTS / "mosi/results.json")))
    files.append(File.generated(config, "mosi/report.html", content=page))
    for path in sorted((RESULTS / "mosi/figures").glob("*.png")):
        place = f"mosi/figures/{path.name}"
        files.append(File.generated(config, place, abs_src_path=str(path)))
    picture = str(RESULTS / "look/page.png")
    files.append(File.generated(config, "look.png", abs_src_path=picture))
    for module in reference.modules():
        page = File.generated(config, reference.page(module), content=reference.content(module))
        files.append(page)
    return files


def on_page_markdown(markdown, page, **_):
    """Writes the tables of settings into their page."""
    return tables.with_settings(markdown) if page.file.src_path == "settings.md" else markdown
