"""`card.json` of an export: what the model is, what it was measured to do, and how to call it."""

import copy
import datetime
import pathlib
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np

from mman_jax.data.scaling import LIMIT
from mman_jax.evaluation import ratings
from mman_jax.evaluation.metrics import METRICS
from mman_jax.features.extraction import Extraction
from mman_jax.inference.model import Model

FORMAT = 1
_PACKAGES = ("jax", "flax", "numpy")

_OF_NUMBERS = {
    "conversation.jax": "(features, present) -> values [B, U, C] float32, C as targets names them",
    "step.jax": "(state, features, present) -> state [B, N], values [B, C]",
}

_CALLS = {
    "conversation.jax": "(features, present) -> probabilities [B, U, C] float32",
    "step.jax": "(state, features, present) -> state [B, N], probabilities [B, C]",
    "state.npy": "[N] float32, the state before the first utterance",
    "features": "float32 a modality, [B, U, D] of conversations, [B, D] of a step, not scaled",
    "present": "bool a modality, [B, U] or [B]; False: missing, its features count for nothing",
    "rows": "a row is a conversation from its beginning; whatever follows its end is ignored",
}

_TURN_BY_TURN = ("step.jax", "state.npy")


def write(
    models: Sequence[Model],
    results: Mapping[str, Any],
    extraction: Extraction | None,
    replaced: bool,
    made: datetime.date,
) -> dict[str, Any]:
    """The card.

    Args:
        models: of the run.
        results: its `results.json`.
        extraction: of its corpus, where it is known.
        replaced: whether the weights are others than those that the run trained.
        made: date of the export.
    """
    model = models[0]
    system = model.build()
    several = len(models) > 1
    tasks = results.get("tasks", {results["protocol"]: results})
    told = results.get("corpus")
    corpus = copy.deepcopy(dict(told)) if isinstance(told, dict) else {}
    for one in (corpus, corpus.get("test")):  # no folder of its owner's
        if isinstance(one, dict):
            one["path"] = pathlib.PurePath(str(one.get("path"))).name
    rule = "every class above 0.5, else none" if several else "the most probable class"
    names = [m.classes[-1] for m in models] if several else list(model.classes)
    calls = {k: v for k, v in _CALLS.items() if system.streams or k not in _TURN_BY_TURN}
    answers = {"classes": names, "label": rule}
    if model.units is not None:
        answers = {"targets": names}
        calls |= {k: v for k, v in _OF_NUMBERS.items() if k in calls}
    return {
        "format": FORMAT,
        "system": results["system"],
        "protocol": results["protocol"],
        **answers,
        "modalities": dict(model.dims),
        "scaling": {
            "rule": "clip((features - mean) * scale, -limit, limit), done inside",
            "limit": LIMIT,
            "mean": {m: _numbers(model.scaling.mean[m]) for m in model.dims},
            "scale": {m: _numbers(model.scaling.scale[m]) for m in model.dims},
        },
        "calibration": {
            "rule": "the seeds' mean probabilities ** (1 / temperature), divided by their sum, "
            "done inside",
            "temperature": {name: m.temperature for name, m in zip(tasks, models, strict=True)},
        }
        if model.units is None
        else None,
        "calls": calls,
        "architecture": system.architecture() if model.units is None else None,
        "networks": dict(zip(tasks, map(_networks, models), strict=True)),
        "seeds": None if replaced else {n: t.get("seeds") for n, t in tasks.items()},
        "parameters": results.get("parameters"),
        "corpus": corpus,
        "scores": None if replaced else {name: _scores(task) for name, task in tasks.items()},
        "limits": _limits(results.get("corpus", {}) or {}, replaced, system.causal),
        "exported": {
            "jax": metadata.version("jax"),
            "made": made.isoformat(),
            # JAX promises to read files of jax.export for six months.
            "guaranteed_until": (made + datetime.timedelta(days=180)).isoformat(),
        },
        "licences": _licences(extraction, model.dims),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in (*_PACKAGES, "mman_jax")},
    }


def _networks(model: Model) -> int:
    return len(jax.tree.leaves(model.params)[0])


def _numbers(array: np.ndarray) -> list[float]:
    # The shortest digits that are this float32 again.
    return [float(str(value)) for value in array.astype(np.float32)]


def _scores(task: Mapping[str, Any]) -> dict[str, Any]:
    names = (*(name for name in METRICS if name in task["test"]), "majority_accuracy")
    if "targets" in task:
        names = (*ratings.names(task["test"]), "mean_answer_mae")
    return {part: {name: task[part][name] for name in names} for part in ("validation", "test")}


def _limits(corpus: Mapping[str, Any], replaced: bool, causal: bool) -> list[str]:
    found = [
        "Features of these sizes, made as those of the training corpus were; no raw clips.",
        "An answer depends on its conversation up to its utterance, and on nothing later."
        if causal
        else "An answer depends on all of its conversation: a row is one, and nothing follows it.",
        "Scores are of single seeds; the functions answer with the mean over all of them.",
        "Lowered for CPUs, CUDA and TPUs; run and tested on CPUs.",
        "JAX reads files of jax.export for six months (see exported); .safetensors do not age.",
    ]
    if replaced:
        found.append("The weights are not those that the run trained: no score is known.")
    if isinstance(corpus.get("test"), Mapping):
        by = corpus["test"].get("scaled")
        found.append(f"Test scores are of another corpus (see corpus.test), scaled by {by}.")
    if corpus.get("path") == "synthetic":  # a path of a file otherwise
        found.append("The training corpus is synthetic: this says nothing about people.")
    return found


def _licences(extraction: Extraction | None, used: Mapping[str, int]) -> list[str]:
    found = [
        "The code that wrote this is Apache-2.0. What the weights may be used for is for the "
        "licence of the training corpus to say."
    ]
    if extraction is None:
        return [*found, "How the features were made is not known here; mind those licences, too."]
    settings = extraction.settings.without_encoders
    for modality, encoder in extraction.settings.encoders.items():
        if modality in used:
            name = encoder.name.rpartition("/")[2]
            said = f"{modality.capitalize()} features are of the pretrained encoder {name}"
            found.append(f"{said}, which has its own licence.")
    if "speech" in used and settings.speech is not None:
        found.append(
            "Speech features are openSMILE's: free for private use, research and teaching; a "
            "commercial product that computes them needs a licence from audEERING."
        )
    if "visual" in used and settings.visual is not None and extraction.pretrained is not None:
        found.append("Visual features come from pre-trained weights, which have their own licence.")
    if "text" in used and settings.text is not None and settings.text.kind == "cnn":
        found.append("Text features come from word vectors, which have their own licence.")
    return found
