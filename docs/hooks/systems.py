"""Table of systems on the pages, made from their classes.

python -m docs.hooks.systems  # writes it into docs/systems.md
"""

import pathlib
import re
from collections.abc import Iterator

import jax

from mman_jax.configs import mman as recipes
from mman_jax.systems import SYSTEMS, build, mman
from mman_jax.systems.base import BaseSystem
from mman_jax.trial import config

PAGE = pathlib.Path(__file__).parents[1] / "systems.md"
DIMS = {"speech": 100, "visual": 512, "text": 100}
"""Features of IEMOCAP as the paper has them."""

_BLOCK = re.compile(r"(<!-- systems -->\n).*?(<!-- end of systems -->)", re.DOTALL)


def written(page: str) -> str:
    """Returns a page with the table between its two marks."""
    return _BLOCK.sub(lambda found: found[1] + table() + found[2], page)


def table() -> str:
    """Returns the table in Markdown."""
    head = (
        "config",
        "system",
        "source",
        "about",
        "context",
        "parameters",
        "published on IEMOCAP, %",
    )
    lines = [head, ("---",) * 5 + ("---:",) * 2, *_rows()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rows() -> Iterator[tuple[str, ...]]:
    papers = mman.papers(tuple(DIMS))
    order = [mman.NAME, *(name for name in papers if name != mman.NAME)]
    every = [(name, recipes.get_config(name), papers[name]) for name in order]
    cited = {name: kind.paper for name, kind in SYSTEMS.items() if kind.paper}
    every += [(name, config.of(name), paper) for name, paper in cited.items()]
    for name, of, paper in every:
        wanted = [m for m in of.data.modalities.split(",") if m] or list(DIMS)
        system = build(config.network(of), wanted, 4)
        source = paper.reference or "Pan et al. 2020"
        published = paper.published.get("iemocap", ("",))[0]
        parameters = _parameters(system, {m: DIMS[m] for m in wanted})
        yield (
            f"`{name}`",
            paper.title,
            source,
            paper.about,
            _context(system),
            parameters,
            published,
        )


def _context(system: BaseSystem) -> str:
    if not system.in_context:
        return "none"
    return "utterances before it" if system.causal else "the whole conversation"


def _parameters(system: BaseSystem, dims: dict[str, int]) -> str:
    sizes = [x.size for x in jax.tree.leaves(system.parameter_shapes(dims))]
    return f"{sum(sizes):,}".replace(",", " ") if sizes else "its training utterances"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
