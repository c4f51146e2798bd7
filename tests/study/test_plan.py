import importlib.util
import json

import jax
import pytest

from configs import mman
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.study import paper, plan
from mman_jax.systems import build
from mman_jax.tasks import Classes, Numbers
from tests import gallery, tiny

pytestmark = pytest.mark.usefixtures("blank_pictures")
MODALITIES = ("speech", "visual", "text")
DIMS = {"speech": 100, "visual": 512, "text": 100}


@pytest.fixture(scope="module")
def recipe():
    def get_config(name):
        config = mman.get_config(name)
        config.train.towers.learning_rate.mma = 1e-4
        return config

    return get_config


@pytest.fixture(scope="module")
def planned(recipe):
    return {system.name: system for system in plan.systems(recipe, MODALITIES)}


def names(system):
    found = plan.towers(system.config, MODALITIES)
    return {name: plan.key(name, config) for name, config in found.items()}


def count(config, dims):
    shapes = build(config.network, list(dims), 4).parameter_shapes(dims)
    return sum(x.size for x in jax.tree.leaves(shapes))


def test_the_paper_s_systems_come_first_with_the_paper_s_sizes(planned):
    paper = [s for s in planned.values() if s.group == "paper"]
    assert [s.name for s in paper] == [
        "clstm_speech", "clstm_visual", "clstm_text", "clstm_ef", "clstm_lf", "clstm_mma", "mman",
    ]  # fmt: skip
    sizes = {s.name: count(s.config, DIMS) for s in paper if s.name[6:] not in MODALITIES}
    assert sizes == {
        "clstm_ef": 2_000_204, "clstm_lf": 4_729_616, "clstm_mma": 1_273_154, "mman": 4_392_184,
    }  # fmt: skip
    assert count(planned["clstm_speech"].config, {"speech": 100}) == 1_265_804


def test_systems_share_their_towers(planned):
    whole, late = names(planned["mman"]), names(planned["clstm_lf"])
    assert list(whole) == [*MODALITIES, "mma"]
    assert whole["speech"] == late["speech"] == names(planned["clstm_speech"])["speech"]
    assert whole["text"] == late["text"]
    assert whole["visual"] != late["visual"]  # MMAN's is smaller
    assert late["visual"] == names(planned["clstm_visual"])["visual"]
    assert whole["mma"] == names(planned["clstm_mma"])["mma"]
    assert whole == names(planned["joint"])
    assert names(planned["no_attention"])["ef"] == names(planned["clstm_ef"])["ef"]


@pytest.mark.parametrize("name", ["own_keys", "skip_concatenated", "without_speech", "no_context"])
def test_an_ablation_trains_only_what_it_changes(planned, name):
    ablated, whole = names(planned[name]), names(planned["mman"])
    assert [tower for tower in ablated if ablated[tower] != whole[tower]] == ["mma"]


def test_a_tower_has_its_own_rate_and_nothing_to_fuse(planned):
    towers = plan.towers(planned["mman"].config, MODALITIES)
    assert towers["mma"].train.towers.learning_rate.to_dict() == {"default": 1e-4}
    assert towers["text"].train.towers.learning_rate.to_dict() == {"default": 1e-3}
    for name, config in towers.items():
        assert "fusion" not in config.network
        read = config.data.modalities.split(",") if config.data.modalities else MODALITIES
        assert list(build(config.network, read, 4).towers) == [name]


def test_two_modalities_are_not_reduced_to_one(recipe):
    found = {s.name for s in plan.systems(recipe, ("speech", "text"))}
    assert not {name for name in found if name.startswith("without")}


def test_what_mman_s_config_changes_is_changed_in_every_system_that_has_it():
    config = mman.get_config()
    config.train.batch, config.seeds, config.data.target = 5, 3, "joy"
    config.network.early.attention.key = 7
    config.network.unimodal.default.dense = 9
    before = config.to_json()
    made = {
        n: plan.recipe_of(n, config, mman.get_config) for n in ("clstm_text", "clstm_ef", "mman")
    }
    assert config.to_json() == before
    for recipe in made.values():
        assert (recipe.train.batch, recipe.seeds, recipe.data.target) == (5, 3, "joy")
    assert made["mman"].network == config.network
    assert made["clstm_ef"].network == mman.get_config("clstm_ef").network
    assert made["clstm_text"].network.unimodal.default.dense == 9
    assert made["clstm_text"].data.modalities == "text"


TWO = Classes("auto", ("no", "yes"))


def test_every_system_is_planned_that_can_be_trained(monkeypatch):
    recipe = mman.get_config()
    before = recipe.to_json()
    found, others = plan.cited_systems(recipe, ("text", "visual"), TWO)
    names = [system.name for system in found]
    cited = {"fmt", "mult", "bc_lstm", "mfm", "raven", "tripathi", "rozgic", "lmf"}
    assert {system.name for system in found if not system.by_name} == cited
    assert (names[0], names[-1]) == ("mister_e_causal", "rozgic")  # the largest first
    assert not others
    assert recipe.to_json() == before
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found, others = plan.cited_systems(recipe, ("speech",), TWO)
    always = {system.name for system in found if not system.by_name}
    assert always == {"fmt", "bc_lstm", "mfm", "tripathi"}
    assert {name: others[name] for name in ("mult", "raven", "lmf", "rozgic")} == {
        "mult": "modalities: speech alone; expected two or more for MulT",
        "raven": "modalities: speech alone; expected two or more for RAVEN",
        "lmf": "modalities: speech alone; expected two or more for LMF",
        "rozgic": "sklearn: not installed; expected pip install 'mman_jax[svm]'",
    }
    _, others = plan.cited_systems(recipe, ("text", "visual"), Numbers("auto", ("sentiment",)))
    assert others["rozgic"].startswith("network.system: Rozgic, which learns classes")


@pytest.mark.e2e
def test_cited_systems_are_trained_and_reported_with_those_of_the_paper(corpus_file, tmp_path):
    pytest.importorskip("sklearn", reason="the trees need it: pip install 'mman_jax[svm]'")
    config = gallery.on(corpus_file, tiny.recipe(epochs=1))
    config.seeds = 3
    names, screen = ["clstm_text", "tripathi", "rozgic"], Screen(quiet=True)
    paper.run(config, tmp_path / "run", screen, names=names, seeds={"tripathi": 2})
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    systems = results["systems"]
    assert {name: s["seeds"] for name, s in systems.items()} == {
        "clstm_text": [0, 1, 2], "tripathi": [0, 1], "rozgic": [0], "linear": [0],
    }  # fmt: skip
    assert {name: s["sees"]["context"] for name, s in systems.items()} == {
        "clstm_text": True, "tripathi": False, "rozgic": False, "linear": False,
    }  # fmt: skip
    assert all(s["answering"] > 0 for s in systems.values())
    assert {s["group"] for s in systems.values()} == {"paper", "cited", "baseline"}
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
