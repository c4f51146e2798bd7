"""A run's models as ONNX functions: whole conversations, and one step, by way of PyTorch.

All seeds answer, and their mean is given, as by `exported`. Needs the extra `onnx`.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mman_jax.errors import InputError
from mman_jax.inference import exported, stream, weights
from mman_jax.inference.model import Model

CALLS = {
    "conversation.onnx": "features_<modality>, present_<modality> -> probabilities [B, U, C]",
    "step.onnx": "state [B, N], features_... and present_... -> state_after, probabilities",
    "state": "float32, zeros before the first utterance of a conversation",
    "features_<modality>": "float32, [B, U, D] of conversations, [B, D] of a step, not scaled",
    "present_<modality>": "bool, [B, U] or [B]; False: missing, its features count for nothing",
    "rows": "a row is a conversation from its beginning; whatever follows its end is ignored",
}
"""For the card of an export: what each function takes and gives."""

_INSTALL = "pip install 'mman_jax[onnx]'"


def functions(models: Sequence[Model], card: Mapping[str, Any]) -> dict[str, bytes]:
    """`conversation.onnx` and `step.onnx`, for any B and U.

    Args:
        models: one, or one a class after a one-vs-rest protocol: C are then their last classes.
        card: of the run, as `card.write` gives it.

    Raises:
        InputError: a system without a PyTorch twin, or models over words; or a package of the
            extra is missing.
    """
    stream.check_whole(models)
    if models[0].units is not None:
        raise InputError("ONNX", "a run that learnt targets", "JAX's own format")
    if card["architecture"] is None:
        raise InputError(card["system"], "has no network in PyTorch", "MMAN or one of its cLSTMs")
    torch = _torch()
    from mman_jax.inference import pytorch_network

    modalities = list(models[0].dims)

    class Seeds(torch.nn.Module):
        """The mean over seeds; of several models, each one's last class."""

        def __init__(self):
            super().__init__()
            self.sizes = []
            self.networks = torch.nn.ModuleList()
            for model in models:
                self.sizes.append(len(jax.tree.leaves(model.params)[0]))
                for seed in range(self.sizes[-1]):
                    one = jax.tree.map(lambda x, seed=seed: x[seed], model.params)
                    named = weights.to_torch(one, model.scaling)
                    network = pytorch_network.Network(card)
                    network.load_state_dict(
                        {name: torch.from_numpy(array.copy()) for name, array in named.items()}
                    )
                    self.networks.append(network)

        def joined(self, found):
            means, at = [], 0
            for size, model in zip(self.sizes, models, strict=True):
                powered = torch.stack(found[at : at + size]).mean(0) ** (1 / model.temperature)
                means.append(powered / powered.sum(-1, keepdim=True))
                at += size
            return means[0] if len(means) == 1 else torch.stack([p[..., -1] for p in means], -1)

    class Conversation(Seeds):
        def forward(self, *given):
            features, present = _split(modalities, given)
            return self.joined([network(features, present) for network in self.networks])

    class Step(Seeds):
        def forward(self, state, *given):
            features, present = _split(modalities, given)
            sizes = [network.state_size for network in self.networks]
            parts = torch.split(state, sizes, 1)
            both = [n.step(s, features, present) for n, s in zip(self.networks, parts, strict=True)]
            return torch.cat([after for after, _ in both], 1), self.joined([p for _, p in both])

    names = [f"features_{m}" for m in modalities] + [f"present_{m}" for m in modalities]

    def given(*axes):
        shown = [torch.zeros(*axes, d) for d in models[0].dims.values()]
        return [*shown, *[torch.ones(*axes, dtype=torch.bool) for _ in modalities]]

    conversation, step = Conversation().eval(), Step().eval()
    state = torch.zeros(2, sum(network.state_size for network in step.networks))
    files = {
        "conversation.onnx": _export(conversation, given(2, 3), names, ["probabilities"], 2),
        "step.onnx": _export(
            step, [state, *given(2)], ["state", *names], ["state_after", "probabilities"], 1
        ),
    }
    _check(models, files, state.shape[1])
    return files


def call(function: bytes, given: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """What a function answers in ONNX Runtime.

    Raises:
        InputError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("onnxruntime", "not installed", _INSTALL) from error
    session = onnxruntime.InferenceSession(function, providers=["CPUExecutionProvider"])
    return session.run(None, dict(given))


def _check(models: Sequence[Model], files: Mapping[str, bytes], state: int) -> None:
    """Answers to random conversations with gaps: a difference would be a mistake of ours."""
    random, shape = np.random.default_rng(0), (3, 5)
    features = {m: random.normal(size=(*shape, d)) for m, d in models[0].dims.items()}
    features = {m: x.astype(np.float32) for m, x in features.items()}
    present = {m: random.random(shape) < 0.8 for m in features}
    expected = np.asarray(exported.conversations(models).call(features, present))
    given = {f"features_{m}": x for m, x in features.items()}
    given |= {f"present_{m}": x for m, x in present.items()}
    (found,) = call(files["conversation.onnx"], given)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    before = {"state": np.zeros((len(found), state), np.float32)} if state else {}
    for turn in range(shape[1]):
        now = {name: x[:, turn] for name, x in given.items()}
        after, found = call(files["step.onnx"], before | now)
        np.testing.assert_allclose(found, expected[:, turn], atol=1e-5)
        before = {"state": after} if state else {}


def _split(modalities, given):
    return (
        dict(zip(modalities, given[: len(modalities)], strict=True)),
        dict(zip(modalities, given[len(modalities) :], strict=True)),
    )


def _export(module, given, inputs, outputs, axes) -> bytes:
    torch = _torch()
    free = {axis: torch.export.Dim.DYNAMIC for axis in range(axes)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's of itself
        program = torch.onnx.export(
            module,
            tuple(given),
            dynamo=True,
            verbose=False,
            optimize=False,
            input_names=inputs,
            output_names=outputs,
            # Where a module takes *given, PyTorch wants the shapes of the rest in a tuple.
            dynamic_shapes=_shapes(module, free, len(given)),
        )
    content = io.BytesIO()
    program.save(content)
    return content.getvalue()


def _shapes(module, free, count):
    if type(module).__name__ == "Step":
        batch = {0: free[0]}
        return (batch, tuple(batch for _ in range(count - 1)))
    return (tuple(free for _ in range(count)),)


def _torch():
    try:
        import onnx  # noqa: F401  (torch.onnx needs both)
        import onnxscript  # noqa: F401
        import torch
    except ImportError as error:
        raise InputError(f"{error.name}", "not installed", _INSTALL) from error
    return torch
