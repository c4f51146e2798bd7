"""A user's system in a file, trained and used by the commands."""

import json

import pytest

from mman_jax import systems
from mman_jax.data.readers import npz
from mman_jax.data.synthetic import process
from mman_jax.errors import InputError
from tests.children import mman, refused

pytestmark = pytest.mark.e2e

MODULE = """
import flax.linen as nn
import jax.numpy as jnp
from mman_jax.systems.base import System

class Mine(System):
    \"\"\"A dense layer over all modalities.\"\"\"

    units: int = 7

    @nn.compact
    def __call__(self, inputs, state=None, train=False):
        features, mask, present = inputs.features, inputs.mask, inputs.present
        known = dict.fromkeys(features, mask) | present
        x = [jnp.where(known[m][..., None], features[m], 0) for m in self.modalities]
        x = nn.relu(nn.Dense(self.units, name="dense")(jnp.concatenate(x, axis=-1)))
        return {"answer": nn.Dense(self.outputs, name="answer")(x)}, {}

class Broken(Mine):
    def __call__(self, inputs, state=None, train=False):
        return {"other": jnp.zeros((*inputs.reset.shape, self.outputs))}, {}
"""
CONFIG = """
from mman_jax.trial import config

def get_config():
    return config.of("mine:Mine")
"""


def test_a_user_s_system(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "config.py").write_text(CONFIG)
    short = ("--config.train.max_epochs=2", "--config.network.units=5", "--workdir=run")
    ended = mman("run", "--config=config.py", *short, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["system"] == "mine:Mine"
    assert results["parameters"]["total"] == 60 * 5 + 5 + 5 * 4 + 4
    # Its models are only used if its class is named again.
    npz.write(process.generate(process.process(), (1, 1, 1), 0), tmp_path / "c.npz")
    flags = ("predict", "--checkpoint=run", "--input=c.npz", "--output=answers.csv")
    assert "mine:Mine" in refused(*flags, cwd=tmp_path)
    ended = mman(*flags, "--system=mine:Mine", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert len((tmp_path / "answers.csv").read_text().splitlines()) > 3


def test_systems_that_break_the_contract_are_refused(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text(CONFIG.replace("mine:Mine", "mine:Broken"))
    assert "'answer'" in refused("run", "--config=broken.py", "--workdir=broken", cwd=tmp_path)
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize("name", ["nowhere:Mine", "json:Mine", "json:JSONDecoder", "mmam"])
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match=name.partition(":")[0]):
        systems.use(name)
