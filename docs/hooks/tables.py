"""Tables of systems and of settings on the pages, generated from the code.

python -m docs.hooks.tables  # writes the table of systems into docs/systems.md
"""

import pathlib
import re
from collections.abc import Iterable, Iterator

import jax

from mman_jax.configs import mman as recipes
from mman_jax.files.whole import read_json
from mman_jax.report import published
from mman_jax.systems import SYSTEMS, build, mman
from mman_jax.systems.base import BaseSystem
from mman_jax.systems.settings import PAIR
from mman_jax.tasks.score import spread
from mman_jax.trial import config, results

PAGE = pathlib.Path(__file__).parents[1] / "systems.md"
MEASURED = PAGE.parents[1] / "experiments/results/mosi_text"
SETTINGS = "<!-- settings -->"
DIMS = {"speech": 100, "visual": 512, "text": 100}
"""Features of each modality of IEMOCAP, in the paper."""

_BLOCK = re.compile(r"(<!-- systems -->\n).*?(<!-- end of systems -->)", re.DOTALL)


def with_systems(page: str) -> str:
    """Returns a page with the table of systems between its two marks."""
    return _BLOCK.sub(lambda match: match[1] + systems() + match[2], page)


def with_settings(page: str) -> str:
    """Returns a page with the tables of settings in place of their mark."""
    return page.replace(SETTINGS, settings())


def systems() -> str:
    """Returns the table of systems in Markdown."""
    head = (
        "config",
        "system",
        "source",
        "about",
        "reads",
        "parameters",
        "published, %",
        "their epoch",
        "measured here, %",
    )
    lines = ("---",) * 5 + ("---:",) + ("---",) * 2 + ("---:",)
    return _table(head, lines, _system_rows())


def settings() -> str:
    """Returns a table of the fields that all configs have, and one of the fields of each system."""
    shared = dict(config.leaves(config.base()))
    head, lines = ("field", "default", "description"), ("---",) * 3
    tables = ["### Fields of every config\n", _table(head, lines, _field_rows(shared, mman.NAME))]
    for name in SYSTEMS:
        every = dict(config.leaves(config.of(name)))
        own = {
            field: value
            for field, value in every.items()
            if field not in ("system", "name") and (field not in shared or shared[field] != value)
        }
        tables += [f"### Fields of `{name}`\n", _table(head, lines, _field_rows(own, name))]
    return "\n".join(tables)


def _field_rows(values: dict[str, object], system: str) -> Iterator[tuple[str, ...]]:
    for field, value in values.items():
        default = "" if value in (None, "") else f"`{value}`".replace("|", r"\|")
        yield f"`{field}`", default, config.describe_field(field, system)


def _table(head: tuple[str, ...], lines: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, lines, *rows))


def _system_rows() -> Iterator[tuple[str, ...]]:
    papers = mman.papers(tuple(DIMS))
    order = [mman.NAME, *(name for name in papers if name != mman.NAME)]
    every = [(name, recipes.get_config(name), papers[name]) for name in order]
    cited = {name: system.paper for name, system in SYSTEMS.items() if system.paper}
    every += [(name, config.of(name), paper) for name, paper in cited.items()]
    measured = {
        name: system["test"]["accuracy"]
        for name, system in read_json(MEASURED / "results.json")["systems"].items()
    }
    for run in read_json(MEASURED / "later.json")["runs"]:
        measured.setdefault(run["system"], run["test"]["auto"]["accuracy"])
    for name, settings_, paper in every:
        modalities = [m for m in settings_.data.modalities.split(",") if m] or list(DIMS)
        if PAIR in SYSTEMS[settings_.system].reads:
            modalities = ["speech", "text"]
        system = build(config.network(settings_), modalities, 4)
        yield (
            f"`{name}`",
            paper.title,
            paper.reference,
            paper.about,
            published.reads(results.sees(system, "utterances")),
            _parameters(system, {m: DIMS[m] for m in modalities}),
            paper.scores,
            paper.selection if paper.scores else "",
            spread(measured[name]) if name in measured else "",
        )


def _parameters(system: BaseSystem, dims: dict[str, int]) -> str:
    sizes = [x.size for x in jax.tree.leaves(system.parameter_shapes(dims))]
    return f"{sum(sizes):,}".replace(",", " ") if sizes else "its training utterances"


if __name__ == "__main__":
    PAGE.write_text(with_systems(PAGE.read_text()))
