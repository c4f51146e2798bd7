"""ONNX functions of a run's models, for full conversations and single steps, exported by PyTorch.

They return the mean over all seeds, like the functions of `exported`. Needs the extra `onnx`.
"""

import importlib
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError, require
from mman_jax.inference import exported, weights
from mman_jax.inference.answerer import check_vectors
from mman_jax.inference.model import Model
from mman_jax.systems.estimator import check_network

CALLS = {
    "conversation.onnx": "features_<modality>, present_<modality> -> probabilities [B, U, C]",
    "step.onnx": "state [B, N], features_... and present_... -> state_after, probabilities",
    "state": "float32, zeros before the first utterance of a conversation",
    "features_<modality>": "float32, [B, U, D] of conversations, [B, D] of a step; see scaling",
    "present_<modality>": "bool, [B, U] or [B]; False: missing, its features are ignored",
    "rows": "a row is a conversation from its beginning; padding after its end is ignored",
}
"""Arguments and results of the functions, for the card of an export."""


def functions(models: Sequence[Model], card: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns `conversation.onnx` and `step.onnx`, for any B and U.

    Args:
        models: a single model or, for a one-vs-rest protocol, one model per class. The C classes
            are then the last classes of these models.
        card: card of the run, as returned by `exported.card`.

    Raises:
        InputError: the system has no PyTorch counterpart, the models read words or frames, or a
            package of the extra is missing.
    """
    check_vectors(models)
    if card["architecture"] is None:
        expected = "MMAN or one of its cLSTMs, on classes; or JAX's own format"
        raise InputError(card["system"], "has no network in PyTorch", expected)
    torch = _torch()
    pytorch = importlib.import_module(check_network("ONNX", models[0].build()).torch_module)
    modalities = list(models[0].dims)
    module: Any = torch.nn.Module

    class Seeds(module):
        """The mean over seeds; for several models, of the last class of each."""

        def __init__(self):
            super().__init__()
            self.networks = torch.nn.ModuleList()
            for model in models:
                for seed in range(model.seeds):
                    named = weights.to_torch(model.seed_params(seed), model.scaling)
                    network = pytorch.Network(card)
                    network.load_state_dict(
                        {name: torch.from_numpy(array.copy()) for name, array in named.items()}
                    )
                    self.networks.append(network)

        def joined(self, probabilities):
            means = []
            of_models = torch.split(torch.stack(probabilities), [m.seeds for m in models])
            for of_seeds, model in zip(of_models, models, strict=True):
                powers = of_seeds.mean(0) ** (1 / model.temperature)
                means.append(powers / powers.sum(-1, keepdim=True))
            return means[0] if len(means) == 1 else torch.stack([p[..., -1] for p in means], -1)

    def split(arguments):
        halves = arguments[: len(modalities)], arguments[len(modalities) :]
        return [dict(zip(modalities, half, strict=True)) for half in halves]

    class Conversation(Seeds):
        def forward(self, *arguments):
            features, present = split(arguments)
            return self.joined([network(features, present) for network in self.networks])

    class Step(Seeds):
        def forward(self, state, *arguments):
            features, present = split(arguments)
            sizes = [network.state_size for network in self.networks]
            parts = torch.split(state, sizes, 1)
            steps = [
                n.step(s, features, present) for n, s in zip(self.networks, parts, strict=True)
            ]
            return torch.cat([after for after, _ in steps], 1), self.joined([p for _, p in steps])

    names = [f"features_{m}" for m in modalities] + [f"present_{m}" for m in modalities]

    def example(*axes):
        features = [torch.zeros(*axes, d) for d in models[0].dims.values()]
        return [*features, *[torch.ones(*axes, dtype=torch.bool) for _ in modalities]]

    conversation, step = Conversation().eval(), Step().eval()
    batch, utterance = {0: "batch"}, {1: "utterance"}
    state = torch.zeros(2, sum(network.state_size for network in step.networks))
    # If a module takes *arguments, PyTorch expects their shapes in a tuple.
    rows = (batch | utterance,) * len(names)
    outputs, shapes = ["probabilities"], (batch, (batch,) * len(names))
    full = _export(conversation, example(2, 3), names, outputs, (rows,))
    inputs, outputs = ["state", *names], ["state_after", *outputs]
    single = _export(step, [state, *example(2)], inputs, outputs, shapes)
    files = {"conversation.onnx": full, "step.onnx": single}
    _check(models, files, state.shape[1])
    return files


def call(function: bytes, arguments: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Calls a function in ONNX Runtime, and returns its results."""
    onnxruntime = require("onnxruntime", "onnx", "exporting to ONNX")
    session = onnxruntime.InferenceSession(function, providers=["CPUExecutionProvider"])
    return session.run(None, dict(arguments))


def _check(models: Sequence[Model], files: Mapping[str, bytes], state: int) -> None:
    """Checks the files against the functions of `exported`, on random conversations with gaps."""
    random, shape = np.random.default_rng(0), (3, 5)
    dims = models[0].dims
    features = {m: random.normal(size=(*shape, d)).astype(np.float32) for m, d in dims.items()}
    present = {m: random.random(shape) < 0.8 for m in features}
    expected = np.asarray(exported.conversations(models).call(features, present))
    arguments: dict[str, np.ndarray] = {f"features_{m}": x for m, x in features.items()}
    arguments |= {f"present_{m}": x for m, x in present.items()}
    (full,) = call(files["conversation.onnx"], arguments)
    np.testing.assert_allclose(full, expected, atol=1e-5)
    before = {"state": np.zeros((len(full), state), np.float32)} if state else {}
    for turn in range(shape[1]):
        now = {name: x[:, turn] for name, x in arguments.items()}
        after, probabilities = call(files["step.onnx"], before | now)
        np.testing.assert_allclose(probabilities, expected[:, turn], atol=1e-5)
        before = {"state": after} if state else {}


def _export(module, arguments, inputs, outputs, shapes) -> bytes:
    torch = _torch()
    names = {"input_names": inputs, "output_names": outputs, "dynamic_shapes": shapes}
    options = {"dynamo": True, "verbose": False, "optimize": False}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's warnings about its own code
        program = torch.onnx.export(module, tuple(arguments), **options, **names)
    content = io.BytesIO()
    program.save(content)
    return content.getvalue()


def _torch():
    # PyTorch needs the other two for the conversion.
    *_, torch = (require(x, "onnx", "exporting to ONNX") for x in ("onnx", "onnxscript", "torch"))
    return torch
