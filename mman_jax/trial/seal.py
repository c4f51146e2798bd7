"""The seal of a trial: digests of everything that its results depend on.

It reveals changes, but is not a signature: whoever can write the folder can also write a seal.
Checks that recompute the results from the corpus and the model do not depend on it.
"""

import functools
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.data import batching
from mman_jax.data.parts import Parts
from mman_jax.tasks.task import any_scored, to_json
from mman_jax.version import __version__

PACKAGE = pathlib.Path(__file__).parents[1]


def make(
    config: Mapping[str, Any],
    parts: Parts,
    labels: Mapping[str, Mapping[str, np.ndarray]],
    corpora: Mapping[str, Any],
    analyses: Mapping[str, Any],
    seeds: list[int],
) -> dict[str, Any]:
    """Returns the seal of a finished trial.

    Args:
        config: the config as it is stored.
        labels: labels of each part, by task.
        corpora: the content of `corpus.json`.
        analyses: the content of `analysis.json`, by task.
        seeds: the seeds that were trained.
    """
    sealed = {
        "version": __version__,
        "package": package(),
        "corpus": facts(corpora),
        "labels": {task: of_labels(parts, of_task) for task, of_task in labels.items()},
        "split": of_split(parts),
        "config": of_config(config),
        "selection": rule(config),
        "seeds": seeds,
        "answers": {task: of_answers(analysis) for task, analysis in analyses.items()},
    }
    return sealed | {"digest": digest(sealed)}


def rule(config: Mapping[str, Any]) -> str:
    """Describes the rule that selected the epochs of a trial; empty if its config states none.

    Examples:
        >>> rule({"train": {"select": "loss", "smoothing": 0.5, "refit": True}})
        'loss, smoothed by 0.5, then trained on validation as well'
    """
    train = config.get("train")
    if not isinstance(train, Mapping) or not train.get("select"):
        return ""
    smoothing = f", smoothed by {train['smoothing']:g}" if train.get("smoothing") else ""
    refit = ", then trained on validation as well" if train.get("refit") else ""
    return f"{train['select']}{smoothing}{refit}"


def digest(content: Any) -> str:
    """Returns the SHA-256 of JSON, in hex, whatever the order of its fields.

    Examples:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def of_config(config: Mapping[str, Any]) -> str:
    """Returns the digest of a config, without paths and settings that do not affect results."""
    data = {name: x for name, x in config["data"].items() if name not in ("path", "test")}
    kept = {name: x for name, x in config.items() if name != "checkpoint_seconds"}
    return digest(kept | {"data": data})


@functools.cache
def package() -> str:
    """Returns the digest of the Python files of the installed package, without `configs`."""
    files = sorted(
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] != "configs"  # a link to it in a checkout
    )
    whole = hashlib.sha256()
    for file in files:
        content = (PACKAGE / file).read_bytes()
        whole.update(f"{file.as_posix()} {len(content)}\n".encode() + content)
    return whole.hexdigest()


def facts(corpora: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the digests in `corpus.json`: of utterances, and of the features by modality."""
    digests = {name: corpora.get(name) for name in ("utterances", "modalities")}
    other = corpora.get("test")
    return digests | ({"test": facts(other)} if isinstance(other, Mapping) else {})


def of_split(parts: Parts) -> dict[str, str]:
    """Returns the digest of the ids of the conversations of each part."""
    names = np.array(parts.corpus.conversation_ids)
    return {
        part: digest(sorted(names[getattr(parts.split, part)].tolist())) for part in parts.layouts
    }


def of_labels(parts: Parts, labels: Mapping[str, np.ndarray]) -> str:
    """Returns the digest of the labels of one task, by part."""
    gathered = {
        part: to_json(batching.gather(layout, labels[part]))
        for part, layout in parts.layouts.items()
    }
    return digest(gathered)


def of_answers(analysis: Mapping[str, Any]) -> str:
    """Returns the digest of the stored answers to the test utterances, with their labels."""
    return digest([analysis["answers"], analysis["utterances"]])


def scored_utterances(parts: Parts, labels: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """Returns the conversation, the position and the label of each scored test utterance."""
    values = batching.gather(parts.layouts["test"], labels["test"])
    scored, (which, position) = any_scored(values), parts.whose("test")
    return {
        "conversation": [parts.corpus.conversation_ids[c] for c in which[scored]],
        "position": position[scored].tolist(),
        "label": to_json(values[scored]),
    }
