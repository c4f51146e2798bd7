"""What the synthetic corpus is for: who can use which evidence (all of it made small)."""

import pytest

from configs import clstm_lf, clstm_mma
from mman_jax.cli.terminal.screen import Screen
from mman_jax.trial import runner

pytestmark = pytest.mark.slow

# Standard error of an accuracy on the 1586 test utterances, at its largest.
ERROR = 0.5 / 1586**0.5


def trained(system, workdir):
    config = system.get_config()
    blocks = [*config.network.get("unimodal", {}).values()]
    blocks += [config.network[name] for name in ("early", "fusion") if name in config.network]
    for block in blocks:
        if "hidden" in block:
            block.update(hidden=(32,), dense=32)
    config.data.modalities = "speech,text"  # the two that hold the codes
    config.train.towers.update(epochs=15, patience=5)
    config.train.towers.learning_rate.default = 5e-3
    config.mesh.update(seeds=1, rows=1)
    with Screen() as screen:
        return runner.run(config, workdir, screen)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    # The tower of attention of MMAN, which is a system by itself: see `test_paper`.
    systems = {"clstm_mma": clstm_mma, "clstm_lf": clstm_lf}
    return {name: trained(system, folder / name) for name, system in systems.items()}


def accuracy(scores):
    return scores["test"]["accuracy"]["mean"]


def test_attention_comes_within_three_points_of_the_best_possible(results):
    assert accuracy(results["clstm_mma"]) > results["clstm_mma"]["ceiling"] - 0.03


def test_attention_uses_the_evidence_that_only_two_modalities_hold(results):
    # More than late fusion can know at best, by far more than chance.
    late = results["clstm_lf"]["ceiling_late_fusion"]
    assert accuracy(results["clstm_mma"]) > late + 5 * ERROR


def test_late_fusion_cannot_use_it(results):
    late_fusion = results["clstm_lf"]
    assert accuracy(late_fusion) < late_fusion["ceiling_late_fusion"] + 2 * ERROR
    # ... and it is not for want of training: it beats every tower of its own.
    best_tower = max(accuracy(tower) for tower in late_fusion["towers"].values())
    assert accuracy(late_fusion) > best_tower + 2 * ERROR
