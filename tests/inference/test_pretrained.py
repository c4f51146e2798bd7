"""Models in folders as the hub has them: equal answers, and folders that are refused."""

import json

import jax
import numpy as np
import pytest

from mman_jax.inference.model import Model
from tests.data.small import refuses
from tests.inference import trained

pytest.importorskip("safetensors", reason="needs safetensors: pip install 'mman_jax[hub]'")


@pytest.mark.parametrize(
    "model", [trained.model, trained.by_speaker], ids=["plain", "reduced and by speaker"]
)
def test_a_model_comes_back_as_it_was(tmp_path, model):
    before = model()
    before.save_pretrained(tmp_path)
    before.save(tmp_path)
    for other in (Model.from_pretrained(tmp_path), Model.load(tmp_path)):
        jax.tree.map(np.testing.assert_array_equal, before.params, other.params)
        for name, arrays in before.scaling.arrays().items():
            jax.tree.map(np.testing.assert_array_equal, arrays, other.scaling.arrays()[name])
        assert other.dims == before.dims
        assert other.scaling.turns == before.scaling.turns


def test_other_folders_are_refused(tmp_path):
    trained.model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for changed, word in (
        ({"model_type": "bert", "architectures": ["BertModel"]}, "bert"),
        (config | {"format": 2}, "format"),
        (config | {"network": {"system": "another"}}, "another"),
        ({k: v for k, v in config.items() if k != "network"}, "network"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(changed))
        refuses(lambda: Model.from_pretrained(tmp_path), str(tmp_path), word)
    (tmp_path / "config.json").write_text(json.dumps(config))
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    refuses(lambda: Model.from_pretrained(tmp_path), "model.safetensors")
    path.write_bytes(whole)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    refuses(lambda: Model.from_pretrained(tmp_path), "pytorch_model.bin", "pickle")
    refuses(lambda: Model.from_pretrained("no name"), "no name")
