"""Use of the evidence in the synthetic corpus of words by small systems."""

import pytest

from configs import mfm, mult, raven, tripathi
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.data.synthetic.words import WordProcess, generate
from mman_jax.trial import runner

pytestmark = pytest.mark.slow

# Sampling error of the test part is 0.02.
NOTHING = {"order": 0.5, "alignment": 0.5, "shift": 0.5, "plain": 0.5}
SHORT = {"shortest": 6, "longest": 7, "briefest": 4, "slowest": 5}


@pytest.fixture
def accuracy(tmp_path):
    """Trains on a corpus in which one kind of evidence determines the answer."""

    def train(system, kind, modality, cells="words", **network):
        path = tmp_path / f"{kind}.npz"
        if not path.exists():
            process = WordProcess(**NOTHING | {kind: 0.97}, **SHORT)
            npz.write(generate(process, (60, 10, 30)), path)
        config = system.get_config()
        config.data.update(path=str(path), cells=cells, modalities=f"text,{modality}")
        config.network.update(network)
        config.train.max_epochs = 7
        config.train.all.learning_rate.default = 5e-3
        config.mesh.update(seeds=1, rows=1)
        with Screen() as screen:
            found = runner.run(config, tmp_path / f"{config.system}_{kind}", screen)
        return found["test"]["accuracy"]["mean"]

    return train


def test_frames_inside_words_find_a_shift_that_means_do_not_hold(accuracy):
    small = {"projection": 8, "frames": 8, "hidden": 16, "dropout": 0.0, "beta": 1.0}
    assert accuracy(raven, "shift", "visual", **small) > 0.8
    means = accuracy(tripathi, "shift", "visual", "utterances", units=16)
    assert means == pytest.approx(0.5, abs=0.08)


def test_means_of_words_find_the_alignment(accuracy):
    sizes = {"private": 4, "hidden": 8, "private_factor": 4}
    small = {name: {"default": size} for name, size in sizes.items()}
    small |= {"shared": 8, "shared_factor": 8, "memory": 8, "inner": (16, 16, 16, 16)}
    small |= {"inner_dropout": 0.0, "discrepancy": 0.01, "rebuilding": {"default": 0.01}}
    small |= {"private_dropout": {"default": 0.0}}
    assert accuracy(mfm, "alignment", "speech", **small) > 0.8


def test_frames_that_nothing_aligns_find_the_order_of_words(accuracy):
    small = {"units": 8, "heads": 2, "layers": 1, "frames": {"default": 10}}
    small |= {f"{name}_dropout": 0.0 for name in ("attention", "embed", "relu", "residual")}
    assert accuracy(mult, "order", "visual", "frames", **small) > 0.8
