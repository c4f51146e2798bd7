"""Export a run for use without this package: `mman export --checkpoint=DIR --output=FOLDER`.

DIR is the folder of a finished run. FOLDER, which must be new or empty, gets
- `conversation.jax`, a function that needs only JAX (`jax.export`); and, if the system predicts
  turn by turn, `step.jax` with `state.npy`;
- `weights.safetensors`, the parameters of all seeds;
- `torch/`: each seed's parameters as a PyTorch state dict, and `network.py`, the network (unless
  the run learnt targets);
- `card.json`: classes, sizes, scores, limits, licences, and how to call the functions.

`--format=onnx`, for MMAN and its cLSTMs, writes `conversation.onnx` and `step.onnx` instead, after
comparing them with the models in ONNX Runtime. Needs the extra `onnx`.

`--weights=FILE` exports the parameters of an edited `weights.safetensors` instead of the run's;
`mman predict` has the same flag. Needs the extra `export`.
"""

import datetime
import io
import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.errors import InputError, require
from mman_jax.features.extraction import Extraction
from mman_jax.files.lock import alone
from mman_jax.files.whole import check_new
from mman_jax.inference import exported, onnx_functions, weights
from mman_jax.inference.model import Model
from mman_jax.systems.estimator import check_network
from mman_jax.trial import clips
from mman_jax.trial.stored import load_models, read_results

_CHECKPOINT = command.checkpoint_flag()
_OUTPUT = command.path_flag("output", "Folder to write; new or empty.")
_FORMAT = flags.DEFINE_enum("format", "jax", ["jax", "onnx"], "Format of the functions.")
_CONTEXT = command.context_flag()
_WEIGHTS = command.path_flag("weights", "Edited weights.safetensors to export.", False)


def contents(models: Sequence[Model], card: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns all files except the card (see `describe`), by their path in the folder."""
    weights.safetensors_numpy()
    require("flatbuffers", "export", "exporting")  # jax.export needs it
    files = {
        "conversation.jax": bytes(exported.conversations(models).serialize()),
        "weights.safetensors": weights.pack(models),
    }
    system = models[0].build()
    if system.causal and system.streams:
        state = io.BytesIO()
        np.save(state, exported.initial_state(models))
        files["step.jax"] = bytes(exported.step(models).serialize())
        files["state.npy"] = state.getvalue()
    return files if card["architecture"] is None else files | _torch(models)


def describe(models: Sequence[Model], workdir: pathlib.Path, replaced: bool) -> dict[str, Any]:
    """Returns the card of a run's models.

    `replaced` says whether other weights replaced those of the run.
    """
    results, path = read_results(workdir / "results.json"), clips.place(workdir)
    extraction = Extraction.load(path) if path.is_file() else None
    return exported.card(models, results, extraction, replaced, datetime.date.today())


def write(folder: pathlib.Path, files: Mapping[str, bytes]) -> None:
    """Writes a folder of files, all or nothing."""
    check_new(folder)
    try:
        part = folder.absolute().with_name(f".{folder.absolute().name}.part")
        shutil.rmtree(part, ignore_errors=True)
        for name, content in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(content)
        part.replace(folder)
    except OSError as error:
        found = f"cannot be written ({error.strerror})"
        raise InputError(folder, found, "a writable path") from error


def main() -> None:
    """Exports a run."""
    workdir, output = pathlib.Path(_CHECKPOINT.value), pathlib.Path(_OUTPUT.value)
    with alone(output, inside=False):
        check_new(output)  # fail before the work
        models = load_models(workdir, _WEIGHTS.value, _CONTEXT.value)
        for model in models:
            check_network("an export", model.build())
        about = describe(models, workdir, _WEIGHTS.value is not None)
        if _FORMAT.value == "onnx":
            files = onnx_functions.functions(models, about)
            about["calls"] = onnx_functions.CALLS
            del about["exported"]  # describes the functions of jax.export
        else:
            files = contents(models, about)
        about["files"] = {name: len(content) for name, content in files.items()}
        files["card.json"] = (json.dumps(about, indent=1, allow_nan=False) + "\n").encode()
        write(output, files)
    print(f"{output}: {len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB")


def _torch(models: Sequence[Model]) -> dict[str, bytes]:
    # The source is read, not imported: this command does not need torch.
    module = check_network("an export", models[0].build()).torch_module
    package, _, name = module.rpartition(".")
    files = {"torch/network.py": (resources.files(package) / f"{name}.py").read_bytes()}
    for model in models:
        folder = "torch" if len(models) == 1 else f"torch/{model.card['task']}"
        for seed in range(model.seeds):
            state = weights.to_torch(model.seed_params(seed), model.scaling)
            content = weights.safetensors_numpy().save(state)
            files[f"{folder}/weights_{seed}.safetensors"] = content
    return files
