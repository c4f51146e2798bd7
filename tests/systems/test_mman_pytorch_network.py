"""Every system in PyTorch, loaded strictly from what the export writes, answers the same."""

import importlib
import json

import numpy as np
import pytest

from mman_jax.inference import weights
from tests.inference import trained
from tests.inference.test_card import card
from tests.inference.trained import corpus, rows

torch = pytest.importorskip(
    "torch", reason="PyTorch's layout needs torch: pip install 'mman_jax[torch]'"
)


def own_keys_concatenated(config):
    """The ablations of the attention, both at once."""
    config.network.early.attention.update(shared=False, skip="concatenate", value=4)
    return config


def geometric_mean(config):
    """A fusion without parameters, of towers with skips."""
    config.network.fusion.update(kind="mean", inputs="log_probabilities")
    config.network.unimodal.default.skip = config.network.early.skip = True
    return config


def arithmetic_mean(config):
    """A fusion without parameters."""
    config.network.fusion.kind = "mean"
    return config


def best_tower(config):
    """A fusion that passes the predictions of one tower."""
    config.network.fusion.kind = "best"
    return config


CASES = [
    ("mman", None), ("mman", geometric_mean), ("clstm_lf", arithmetic_mean), ("clstm_lf", None),
    ("clstm_lf", best_tower),
    ("clstm_ef", None), ("clstm_speech", None), ("clstm_mma", own_keys_concatenated),
    ("ablations.no_context", None), ("reduced", None),
]  # fmt: skip


def network(model):
    """The torch network that the export's card describes."""
    from mman_jax.systems import mman_pytorch_network as pytorch

    return pytorch.Network(json.loads(json.dumps(card(model))))


def tensors(model, seed):
    named = weights.to_torch(model.seed_params(seed), model.scaling)
    return {name: torch.from_numpy(array.copy()) for name, array in named.items()}


@pytest.mark.parametrize(("system", "change"), CASES)
def test_answers_are_the_same(system, change):
    dims = {"speech": 5} if system == "clstm_speech" else trained.DIMS
    model = (
        trained.by_speaker(None)
        if system == "reduced"
        else trained.model(importlib.import_module(f"configs.{system}"), dims=dims, change=change)
    )
    given, net = corpus(dims=dims), network(model)
    features, present, cells = rows(given)
    features, present = (
        {m: torch.from_numpy(x) for m, x in both.items()} for both in (features, present)
    )
    for masks in (present, None) if system == "mman" else (present,):
        found = []
        for seed in range(2):
            net.load_state_dict(tensors(model, seed), strict=True)
            with torch.no_grad():
                found.append(net(features, masks).numpy())
        corpus_of = given if masks else given.__class__(**{**vars(given), "present": {}})
        expected = model.probabilities(corpus_of)
        np.testing.assert_allclose(np.mean(found, axis=0)[cells], expected, atol=1e-5)
        assert not np.allclose(found[0], found[1], atol=1e-3)


def test_the_layout_is_torch_s_own():
    model = trained.model()
    named, lstm = tensors(model, 1), torch.nn.LSTM(5, 8)
    prefix = "towers_speech.clstm.lstm_0."
    own = {name.removeprefix(prefix): t for name, t in named.items() if name.startswith(prefix)}
    lstm.load_state_dict(own, strict=True)
    kernel = model.params["towers_speech"]["clstm"]["lstm_0"]["kernel_input"][1]
    np.testing.assert_array_equal(lstm.weight_ih_l0.detach(), kernel.T)
