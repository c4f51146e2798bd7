"""Use of the synthetic corpus's kinds of evidence by the systems."""

import pytest

from configs import clstm_lf, clstm_mma
from mman_jax.cli.terminal.screen import Screen
from mman_jax.trial import runner

pytestmark = pytest.mark.slow

# Standard error of an accuracy on the 1586 test utterances, at its largest.
ERROR = 0.5 / 1586**0.5


def train(system, workdir):
    config = system.get_config()
    blocks = [*config.network.get("unimodal", {}).values()]
    blocks += [config.network[name] for name in ("early", "fusion") if name in config.network]
    for block in blocks:
        if "hidden" in block:
            block.update(hidden=(32,), dense=32)
    config.data.modalities = "speech,text"  # the two that have the codes
    config.train.towers.update(epochs=15, patience=5)
    config.train.towers.learning_rate.default = 5e-3
    config.mesh.update(seeds=1, rows=1)
    with Screen() as screen:
        return runner.run(config, workdir, screen)


def accuracy(scores):
    return scores["test"]["accuracy"]["mean"]


def test_attention_uses_joint_evidence_and_late_fusion_cannot(tmp_path):
    attention = train(clstm_mma, tmp_path / "mma")  # MMAN's tower of attention
    late_fusion = train(clstm_lf, tmp_path / "lf")
    assert accuracy(attention) > attention["ceiling"] - 0.03
    assert accuracy(attention) > late_fusion["ceiling_late_fusion"] + 5 * ERROR
    assert accuracy(late_fusion) < late_fusion["ceiling_late_fusion"] + 2 * ERROR
    # Late fusion is trained well: it is better than each of its towers.
    best_tower = max(accuracy(tower) for tower in late_fusion["towers"].values())
    assert accuracy(late_fusion) > best_tower + 2 * ERROR
