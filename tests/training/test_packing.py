import pytest

from mman_jax.errors import InputError
from mman_jax.training import packing
from tests import tiny


def test_a_checkpoint_of_another_network_or_version_is_refused():
    trainer, labels = tiny.trainer(tiny.recipe(epochs=1))
    arrays, card = packing.pack(tiny.kept(trainer.run(labels, [0]))[0])
    config = tiny.recipe(epochs=1)
    config.network.early.hidden = (9,)
    wider, _ = tiny.trainer(config)
    with pytest.raises(InputError, match=r"run: .*kernel.*of another network; expected float32"):
        packing.unpack(arrays, card, wider, "run")
    fewer = {**arrays, "state": dict(list(arrays["state"].items())[:-1])}
    with pytest.raises(InputError, match="arrays, of another network; expected"):
        packing.unpack(fewer, card, trainer, "run")
    for other in (0, None, "x"):
        with pytest.raises(InputError, match=r"run: format .* another version of mman_jax"):
            packing.unpack(arrays, {**card, "format": other}, trainer, "run")
    with pytest.raises(InputError, match="run: stage 'later'; expected one of towers, fusion"):
        packing.unpack(arrays, {**card, "stage": "later"}, trainer, "run")
