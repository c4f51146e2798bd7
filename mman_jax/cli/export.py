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

`--format=hub` writes a folder for the Hugging Face hub, which `mman share` uploads and which every
command takes as `--checkpoint`: `model.safetensors` and `config.json`, the scores, the extraction's
settings, and README.md, a model card. State the licences with `--license`, `--corpus_license` and,
unless `mman extract` made the features, `--features_license`. Needs the extra `hub`.

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
from mman_jax.files import tensors
from mman_jax.files.lock import alone
from mman_jax.files.whole import check_new
from mman_jax.inference import exported, onnx_functions, weights
from mman_jax.inference.model import Model
from mman_jax.systems.estimator import check_network
from mman_jax.trial import card, clips
from mman_jax.trial.stored import load_models, read_results

_CHECKPOINT = command.checkpoint_flag()
_OUTPUT = command.path_flag("output", "Folder to write; new or empty.")
_FORMAT = flags.DEFINE_enum("format", "jax", ["jax", "onnx", "hub"], "Format of the folder.")
_CONTEXT = command.context_flag()
_WEIGHTS = command.path_flag("weights", "Edited weights.safetensors to export.", False)


_LICENSE = flags.DEFINE_string(
    "license", "", "Licence of the model, for its card: cc-by-nc-4.0, other, ..."
)
_CORPUS_LICENSE = flags.DEFINE_string(
    "corpus_license", "", "Licence or terms of the training corpus, for the card."
)
_FEATURES_LICENSE = flags.DEFINE_string(
    "features_license", "", "Licence of the features, for the card."
)
_LANGUAGES = flags.DEFINE_list("languages", [], "Languages of the corpus, for the card: en,de.")


def contents(models: Sequence[Model], about: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns all files except the card (see `describe`), by their path in the folder."""
    tensors.safetensors_numpy()
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
    return files if about["architecture"] is None else files | _torch(models)


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
        write(output, files := _files(models, workdir))
    print(f"{output}: {len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB")


def _files(models: Sequence[Model], workdir: pathlib.Path) -> dict[str, bytes]:
    """Returns the files of the chosen format."""
    stated = (_LICENSE, _CORPUS_LICENSE, _FEATURES_LICENSE)
    if _FORMAT.value == "hub":
        if _WEIGHTS.value is not None:
            raise InputError("--weights", "given with --format=hub", "the weights of the run")
        with command.named_flags("license", "corpus_license", "features_license"):
            licences = card.Licences(
                model=str(_LICENSE.value),
                corpus=str(_CORPUS_LICENSE.value),
                features=str(_FEATURES_LICENSE.value),
                languages=tuple(_LANGUAGES.value),
            )
            return card.hub_files(models, workdir, licences)
    for flag in (*stated, _LANGUAGES):
        command.refuse(flag, f"given with --format={_FORMAT.value}", "--format=hub")
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
    return files | {"card.json": (json.dumps(about, indent=1, allow_nan=False) + "\n").encode()}


def _torch(models: Sequence[Model]) -> dict[str, bytes]:
    # The source is read, not imported: this command does not need torch.
    module = check_network("an export", models[0].build()).torch_module
    package, _, name = module.rpartition(".")
    files = {"torch/network.py": (resources.files(package) / f"{name}.py").read_bytes()}
    for model in models:
        folder = "torch" if len(models) == 1 else f"torch/{model.card['task']}"
        for seed in range(model.seeds):
            state = weights.to_torch(model.seed_params(seed), model.scaling)
            content = tensors.to_bytes(state)
            files[f"{folder}/weights_{seed}.safetensors"] = content
    return files
