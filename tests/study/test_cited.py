import importlib.util
import json

import pytest

from configs import mman
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.study import paper, plan
from tests import tiny

pytestmark = pytest.mark.usefixtures("blank_pictures")

ALL = {"fmt", "mult", "bc_lstm", "mfm", "raven", "tripathi", "rozgic", "lmf"}


def test_every_system_is_planned_that_can_be_trained(monkeypatch):
    recipe = mman.get_config()
    before = recipe.to_json()
    found, others = plan.cited_systems(recipe, ("text", "visual"), 2)
    names = [system.name for system in found]
    assert set(names) == ALL
    assert (names[0], names[-1]) == ("fmt", "rozgic")  # the largest first
    assert not others
    assert recipe.to_json() == before
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found, others = plan.cited_systems(recipe, ("speech",), 2)
    assert {system.name for system in found} == {"fmt", "bc_lstm", "mfm", "tripathi"}
    assert others == {
        "mult": "modalities: speech alone; expected two or more for MulT",
        "raven": "modalities: speech alone; expected two or more for RAVEN",
        "lmf": "modalities: speech alone; expected two or more for LMF",
        "rozgic": "sklearn: not installed; expected pip install 'mman_jax[svm]'",
    }
    recipe.data.target = "sentiment"
    _, others = plan.cited_systems(recipe, ("text", "visual"), 2)
    assert others["rozgic"].startswith("network.system: Rozgic, which learns classes")


def test_cited_systems_are_trained_and_reported_beside_the_paper_s(tmp_path):
    pytest.importorskip("sklearn", reason="the trees need it: pip install 'mman_jax[svm]'")
    npz.write(tiny.corpus(), tmp_path / "corpus.npz")
    config = tiny.recipe(epochs=1)
    config.data.path, config.seeds = str(tmp_path / "corpus.npz"), 3
    names, screen = ["clstm_text", "tripathi", "rozgic"], Screen(quiet=True)
    paper.run(config, tmp_path / "run", screen, names=names, seeds={"tripathi": 2})
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    systems = results["systems"]
    assert {name: s["seeds"] for name, s in systems.items()} == {
        "clstm_text": [0, 1, 2], "tripathi": [0, 1], "rozgic": [0],
    }  # fmt: skip
    assert {name: s["sees"]["context"] for name, s in systems.items()} == {
        "clstm_text": True, "tripathi": False, "rozgic": False,
    }  # fmt: skip
    assert all(s["answering"] > 0 and s["group"] in ("paper", "cited") for s in systems.values())
    assert not (tmp_path / "run" / "towers").exists()
    assert "Rozgic" in (tmp_path / "run" / "report.md").read_text()


def test_what_cannot_be_is_refused(tmp_path):
    npz.write(tiny.corpus().select_modalities(["text"]), tmp_path / "corpus.npz")
    config = tiny.recipe()
    config.data.path = str(tmp_path / "corpus.npz")

    def run(**given):
        paper.run(config, tmp_path / "run", Screen(quiet=True), **given)

    with pytest.raises(InputError, match="systems=mult: modalities: text alone"):
        run(names=["mult"])
    for wrong, said in (({"mman": 1}, "not of a cited system"), ({"fmt": 2}, "1 to 1, of all")):
        with pytest.raises(InputError, match=said):
            run(names=["mman", "fmt"], seeds=wrong)
    assert not (tmp_path / "run").exists()
