import jax
import numpy as np

from mman_jax.evaluation.missing import logits_without
from mman_jax.types import Inputs
from tests import tiny


def test_logits_are_those_of_the_network_with_the_modality_masked():
    trainer, _ = tiny.trainer(seeds=2)
    rows = trainer._host_rows["test"]
    params = tiny.params(trainer.system, {m: x.shape[-1] for m, x in rows.features.items()}, 2)
    found = logits_without(trainer.system, params, rows.inputs)
    assert set(found) == set(tiny.MODALITIES)
    features = {m: np.asarray(x) for m, x in rows.features.items()}
    changed = features | {"text": features["text"] + 5}
    masked = {"text": np.zeros(rows.mask.shape, bool)}
    for seed in range(2):
        one = jax.tree.map(lambda x, s=seed: x[s], params)
        logits, _ = trainer.system.apply(
            {"params": one}, Inputs.unpadded(changed, rows.reset, masked)
        )
        expected = np.asarray(logits["fusion"])[rows.mask]
        np.testing.assert_allclose(found["text"][seed][rows.mask], expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(found["text"], found["speech"])
