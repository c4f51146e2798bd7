"""A system of somebody else, in a file of their own, trained and used by the commands."""

import json

import pytest

from mman_jax import systems
from mman_jax.data.readers import npz
from mman_jax.data.synthetic import process
from mman_jax.errors import InputError
from tests.children import mman, refused

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


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MODULE)
    (folder / "config.py").write_text(CONFIG)
    short = ("--config.train.max_epochs=2", "--config.network.units=5", "--workdir=run")
    ended = mman("run", "--config=config.py", *short, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return folder


def test_it_is_trained(place):
    results = json.loads((place / "run/results.json").read_text())
    assert results["system"] == "mine:Mine"
    assert results["parameters"]["total"] == 60 * 5 + 5 + 5 * 4 + 4


def test_models_of_it_are_used_where_its_class_is_named(place):
    npz.write(process.generate(process.process(), (1, 1, 1), 0), place / "c.npz")
    given = ("predict", "--checkpoint=run", "--input=c.npz", "--output=answers.csv")
    assert "mine:Mine" in refused(*given, cwd=place)
    ended = mman(*given, "--system=mine:Mine", cwd=place)
    assert ended.returncode == 0, ended.stderr
    assert len((place / "answers.csv").read_text().splitlines()) > 3


def test_one_that_breaks_its_contract_is_one_line(place):
    (place / "broken.py").write_text(CONFIG.replace("mine:Mine", "mine:Broken"))
    line = refused("run", "--config=broken.py", "--workdir=broken", cwd=place)
    assert "'answer'" in line
    assert not (place / "broken").exists()


@pytest.mark.parametrize("name", ["nowhere:Mine", "json:Mine", "json:JSONDecoder", "mmam"])
def test_what_is_no_system_is_refused(name):
    with pytest.raises(InputError, match=name.partition(":")[0]):
        systems.use(name)
