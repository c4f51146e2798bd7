"""What a config's numbers must keep to, said before anything else is done."""

import copy
import math
import os
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections

from mman_jax.data.cells.utterances import Cells
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest
from mman_jax.training.programs import ANSWERS
from mman_jax.training.state import SELECT
from mman_jax.training.trainer import Trainer
from mman_jax.trial.config import network as network_of
from mman_jax.types import CELLS, Batch

_MOST = 2**20
"""Of seeds, conversations of a batch, epochs and sizes of layers: more is a slip of the hand."""

_FLOPS = 6
"""Floating-point operations of a parameter and cell, or frame: two forwards, four backwards."""

_SMALL = 1e11
"""Operations that take a core some seconds."""

_COPIES = 5
"""Of the parameters, while a run trains: themselves, Adam's two, their gradients and the best."""


def check_numbers(config: ml_collections.ConfigDict) -> None:
    """Refuses numbers that no run can use.

    Raises:
        InputError: naming the field.
    """
    train = config.train
    _check_sizes(config.network, "network")
    whole = {
        "seeds": config.seeds,
        "train.batch": train.batch,
        "train.max_epochs": train.max_epochs,
    }
    positive, others = {}, {"first_seed": config.first_seed}
    others["checkpoint_seconds"] = config.checkpoint_seconds
    stages = [name for name, value in train.items() if isinstance(value, ml_collections.ConfigDict)]
    for stage in stages:
        settings = {f"train.{stage}.{field}": value for field, value in train[stage].items()}
        whole |= {k: v for k, v in settings.items() if k.endswith((".epochs", ".patience"))}
        positive[f"train.{stage}.clip"] = train[stage].clip
        positive |= {k: v for k, v in settings.items() if k.endswith(".eps")}
        if not 0 < train[stage].get("b2", 0.5) < 1:
            found = str(train[stage].b2)
            raise InputError(f"config.train.{stage}.b2", found, "a number between 0 and 1")
        for name, rate in train[stage].learning_rate.items():
            positive[f"train.{stage}.learning_rate.{name}"] = rate
        others |= {k: v for k, v in settings.items() if k.endswith(".weight_decay")}
        falls = train[stage].get("plateau", {})
        whole |= {f"train.{stage}.plateau.{k}": v for k, v in falls.items() if k == "patience"}
        if not 0 < falls.get("factor", 0.1) < 1:
            place = f"config.train.{stage}.plateau.factor"
            raise InputError(place, str(falls.factor), "a number between 0 and 1")
        answers = train[stage].get("answers", ANSWERS[0])
        if answers not in ANSWERS:
            place = f"config.train.{stage}.answers"
            raise InputError(place, repr(answers), nearest(answers, ANSWERS))
    for field, value in (whole | positive | others).items():
        least, bound = (1, "at least 1") if field in whole else (0, "a finite number of at least 0")
        if field in positive:
            bound = "a finite number above 0"
        most = _MOST if field in whole else math.inf
        if value > most:
            raise InputError(f"config.{field}", str(value), f"at most {most}")
        if not math.isfinite(value) or value < least or (field in positive and value == 0):
            raise InputError(f"config.{field}", str(value), bound)
    if config.first_seed + config.seeds > 2**32:
        raise InputError("config.first_seed", str(config.first_seed), "seeds below 2**32")
    _check_cells(config.data)
    if train.select not in SELECT:
        raise InputError("config.train.select", repr(train.select), nearest(train.select, SELECT))
    for name in ("smoothing", "label_smoothing", "average"):
        if not 0 <= train[name] < 1:
            raise InputError(f"config.train.{name}", str(train[name]), "from 0 to below 1")


def _check_cells(data: ml_collections.ConfigDict) -> None:
    if data.cells not in CELLS:
        raise InputError("config.data.cells", repr(data.cells), nearest(data.cells, CELLS))
    if not 1 <= data.words <= _MOST:
        raise InputError("config.data.words", str(data.words), f"from 1 to {_MOST}")
    if data.pivot and data.cells != "words":
        found = f"{data.pivot!r}, and cells are {data.cells}"
        raise InputError("config.data.pivot", found, "config.data.cells=words, too")


def network(config: ml_collections.ConfigDict, laid: Cells) -> dict[str, Any]:
    """The system's settings, those that say what a cell is as the corpus has it.

    Raises:
        InputError: another pivot than the one whose cells are the words.
    """
    made = network_of(config)
    if "cells" in made:
        made["cells"] = config.data.cells
    return laid.network(made)


def training(
    config: ml_collections.ConfigDict, corpus: Corpus, laid: Cells
) -> ml_collections.ConfigDict:
    """The settings of training. Over words and frames a batch has the utterances of so many
    conversations."""
    made = copy.deepcopy(config.train)
    made.batch = laid.batch(made.batch, corpus)
    return made


def check_memory(
    config: ml_collections.ConfigDict, trainer: Trainer, rows: Mapping[str, Batch]
) -> None:
    """Refuses a run that needs more memory than there is.

    Args:
        config: of the run.
        trainer: of the run.
        rows: of each part.

    Raises:
        InputError: naming what is needed and what is there.
    """
    parameters = trainer.parameters
    features = sum(x.nbytes for part in rows.values() for x in part.features.values())
    # Where they would not fit beside the rest they are streamed, unless the config says otherwise.
    read = features if config.data.stream is False else 0
    averaged = config.train.average > 0
    needed, there = estimate(config.seeds, parameters, read, averaged), memory()
    if needed > there:
        which = "config.seeds" if config.seeds > 1 else "config.network"
        found = f"{config.seeds} of {parameters} parameters each"
        found += f", and {read / 1e9:.3g} GB of features" if read else ""
        raise InputError(
            which,
            f"{found}: training takes about {needed / 1e9:.3g} GB",
            f"no more than the {there / 1e9:.3g} GB of memory that are here",
        )


def estimate(seeds: int, parameters: int, rows: int, averaged: bool = False) -> int:
    """Bytes that a run needs, at least: what it trains and what it trains on, not activations.

    Args:
        seeds: S.
        parameters: of each.
        rows: bytes of what it trains on.
        averaged: whether an average of the parameters is kept, too. What is validated is made of
            it when there are no gradients.
    """
    return seeds * parameters * 4 * (_COPIES + averaged) + rows


def is_small(trainer: Trainer, rows: Mapping[str, Batch], runs: int) -> bool:
    """Whether a run computes less than compiling its programs well takes.

    Args:
        trainer: of the run.
        rows: of each part.
        runs: how often it is trained by the same programs: its seeds, on each of its folds.
    """
    epochs = max(trainer.epochs(stage) for stage in trainer.stages)
    cells = sum(part.mask.size * _frames(part) for part in rows.values())
    work = _FLOPS * trainer.parameters * cells * epochs * runs
    return work < _SMALL


def _frames(rows: Batch) -> int:
    """The most frames that a cell has; 1 where it has one vector a modality."""
    return max(x.shape[2] if len(x.shape) == 4 else 1 for x in rows.features.values())


def memory() -> int:
    """Bytes of memory of the devices that train, or of the machines where these do not tell."""
    told = [device.memory_stats() or {} for device in jax.local_devices()]
    if jax.default_backend() != "cpu" and all("bytes_limit" in one for one in told):
        here = sum(one["bytes_limit"] for one in told)
    else:
        here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return here * jax.process_count()


def _check_sizes(settings: Mapping[str, Any], place: str) -> None:
    for name, value in settings.items():
        if isinstance(value, ml_collections.ConfigDict):
            _check_sizes(value, f"{place}.{name}")
            continue
        for size in value if isinstance(value, tuple | list) else (value,):
            if isinstance(size, int) and size > _MOST:
                raise InputError(f"config.{place}.{name}", str(size), f"at most {_MOST}")
