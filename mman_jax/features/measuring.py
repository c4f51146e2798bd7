"""Measurement of utterances into a cache, by a pool of processes or Apache Beam."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError, require
from mman_jax.features import extraction
from mman_jax.features.encoders.folders import file_digest
from mman_jax.features.extractor import Arrays
from mman_jax.features.manifest import Utterance
from mman_jax.features.settings import Settings
from mman_jax.files import pool
from mman_jax.files.whole import check_regular, writing

_VERSION = 3  # version of the measurements; files of other versions are ignored
_TOGETHER = 32  # largest number of utterances that are measured together


@dataclasses.dataclass(frozen=True)
class Measuring:
    """A picklable function that measures an utterance into a cache."""

    settings: Settings
    folder: str  # of the cache, shared by all processes: a file per utterance and modality
    weights: str = ""  # file of the network for pictures; empty: windows are stored for training
    digest: str = ""  # of that file, on which measurements depend
    sequences: tuple[str, ...] = ()  # the modalities whose cells are also measured

    def __call__(self, utterance: Utterance) -> str | None:
        """Measures the uncached modalities; returns an error message, or None."""
        try:
            weights = _read_weights(self.weights) if self.weights else None
            for modality, extractor in self.settings.extractors.items():
                if self._lacks(name := self.key(utterance, modality)):
                    self.store(name, extractor.measure(utterance, weights))
                if self._lacks(name := self._cells_key(utterance, modality)):
                    self.store(name, extractor.measure_cells(utterance))
        except InputError as error:
            return str(error)
        except Exception as error:
            # Errors in one clip, of any kind, must not stop the others.
            return f"{utterance.path}: {type(error).__name__}: {error}"
        return None

    @property
    def batched(self) -> list[str]:
        """Returns the modalities whose extractors measure several utterances at once."""
        return [name for name, extractor in self.settings.extractors.items() if extractor.batched]

    def together(self, utterances: Sequence[Utterance]) -> None:
        """Measures uncached modalities of several utterances at once, as far as possible.

        Calls for single utterances then measure the rest, and report errors.
        """
        for modality in self.batched:
            keys = {u: (self.key(u, modality), self._cells_key(u, modality)) for u in utterances}
            missing = [u for u, names in keys.items() if any(map(self._lacks, names))]
            try:
                extractor = self.settings.extractors[modality]
                for utterance, *measured in extractor.measure_together(missing):
                    for name, array in zip(keys[utterance], measured, strict=True):
                        self.store(name, array)
            except Exception:  # it is raised again when the utterance is measured separately
                continue

    def key(self, utterance: Utterance, modality: str) -> str | None:
        """Returns the name of a measurement in the cache; None if it is in the manifest."""
        depends = self.settings.extractors[modality].cached_by(utterance, self.digest)
        return None if depends is None else _key(utterance, modality, depends)

    def _cells_key(self, utterance: Utterance, modality: str) -> str | None:
        """Returns the name of an utterance's cells in the cache; None if they are not measured."""
        if modality not in self.sequences or modality == "text":
            return None
        depends = self.settings.extractors[modality].cells_measured_by
        return _key(utterance, f"{modality}, cells", depends)

    def done(self, utterance: Utterance) -> bool:
        """Returns whether all measurements of an utterance are cached."""
        keys = (self.key, self._cells_key)
        return not any(
            self._lacks(key(utterance, name)) for name in self.settings.modalities for key in keys
        )

    def result(self, utterance: Utterance, modality: str) -> np.ndarray:
        """Returns a measurement from the cache, or raises an InputError if it is not there."""
        name = self.key(utterance, modality)
        if name is None:
            return self.settings.extractors[modality].measure(utterance)
        return self._stored(utterance, modality, name)

    def cells(self, utterance: Utterance, modality: str) -> np.ndarray:
        """Returns the measurement of an utterance's cells, for one of `sequences`; see `result`."""
        return self._stored(utterance, modality, self._cells_key(utterance, modality))

    def store(self, name: str | None, array: np.ndarray) -> None:
        """Writes an array atomically to the cache, unless its name is None."""
        if name is not None:
            with writing(self._path(name), "a writable folder", self.folder) as file:
                np.save(file, array, allow_pickle=False)

    def _load(self, name: str) -> np.ndarray | None:
        """Reads an array from the cache; returns None if it is missing or damaged."""
        try:
            return np.load(self._path(name), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def _lacks(self, name: str | None) -> bool:
        return name is not None and self._load(name) is None

    def _stored(self, utterance: Utterance, modality: str, name: str | None) -> np.ndarray:
        array = None if name is None else self._load(name)
        if array is None:
            place = f"{self.folder}: {utterance.name}, modality {modality}"
            raise InputError(place, "not in the cache", "unchanged clips and an unchanged cache")
        return array

    def _path(self, name: str) -> pathlib.Path:
        # 256 folders, since some file systems are slow with many files in one folder.
        return pathlib.Path(self.folder) / name[:2] / f"{name}.npy"


Outcomes = Iterable[tuple[Utterance, str | None]]
"""Utterances, each with an error message or None."""

Runner = Callable[[Measuring, Sequence[Utterance]], Outcomes]
"""A function that measures utterances, and yields each one when it is done."""


def locally(processes: int) -> Runner:
    """Returns a runner that measures in several processes of this machine."""

    def run(work: Measuring, utterances: Sequence[Utterance]) -> Outcomes:
        left = list(utterances)
        if work.batched:
            left = []
            parts = groups(utterances, processes)
            # Groups that crash their process are measured again below, one by one.
            for part, _ in pool.run(work.together, parts, min(processes, len(parts))):
                for utterance in part:
                    if work.done(utterance):
                        yield utterance, None
                    else:
                        left.append(utterance)
        yield from pool.run(work, left, min(processes, len(left)))

    return run


def with_beam(options: Sequence[str]) -> Runner:
    """Returns a runner that measures in an Apache Beam pipeline, on several machines.

    All workers must have access to the cache by the same path. `options` are those of Beam's
    command line; if empty, its direct runner is used.
    """

    def run(work: Measuring, utterances: Sequence[Utterance]) -> Outcomes:
        beam = require("apache_beam", "beam", "beam")
        pipelines = require("apache_beam.options.pipeline_options", "beam", "beam")
        folder = pathlib.Path(work.folder)
        folder.mkdir(parents=True, exist_ok=True)
        parts = groups(utterances) if work.batched else [[u] for u in utterances]
        with tempfile.TemporaryDirectory(prefix="failures_", dir=folder) as scratch:
            with beam.Pipeline(options=pipelines.PipelineOptions(list(options))) as pipeline:
                _ = (
                    pipeline
                    | beam.Create(parts)
                    | beam.Reshuffle()  # distributes the groups over the workers
                    | beam.FlatMap(functools.partial(_failures, work))
                    | beam.Map(json.dumps)
                    | beam.io.WriteToText(f"{scratch}/part")
                )
            files = [path for path in pathlib.Path(scratch).iterdir() if path.is_file()]
            lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
        failures = {(conversation, name): failure for conversation, name, failure in lines}
        for utterance in utterances:
            yield utterance, failures.get((utterance.conversation_id, utterance.utterance_id))

    return run


def _failures(work: Measuring, group: Sequence[Utterance]) -> Iterator[tuple[str, str, str]]:
    """Measures the utterances of a group, and yields the ids and error messages of failed ones."""
    work.together(group)
    for utterance in group:
        failure = work(utterance)
        if failure is not None:
            yield utterance.conversation_id, utterance.utterance_id, failure


def groups(utterances: Sequence[Utterance], processes: int = 1) -> list[list[Utterance]]:
    """Splits utterances into groups that are measured together, at least one per process."""
    size = max(1, min(_TOGETHER, -(-len(utterances) // processes)))
    return [list(utterances[i : i + size]) for i in range(0, len(utterances), size)]


def measure(
    work: Measuring,
    utterances: Sequence[Utterance],
    runner: Runner,
    ended: Callable[[Utterance, str | None], None] = lambda utterance, failure: None,
    text_may_lack: bool = False,
) -> list[Utterance]:
    """Fills the cache; returns the utterances that could be measured, in order.

    Args:
        work: measures an utterance, unless its cache already has the measurement.
        utterances: all utterances.
        runner: measures the uncached utterances, such as `locally(2)`.
        ended: called with every utterance when it is done, and its error message or None. It may
            raise an error to stop the others.
        text_may_lack: whether utterances may have no transcript.
    """
    failed = set()
    for utterance, failure in _outcomes(work, utterances, runner, text_may_lack):
        if failure is not None:
            failed.add(utterance)
        ended(utterance, failure)
    measured = [utterance for utterance in utterances if utterance not in failed]
    if not measured:
        raise InputError("clips", f"none of {len(utterances)} can be used", "at least one")
    return measured


def _outcomes(
    work: Measuring, utterances: Sequence[Utterance], runner: Runner, text_may_lack: bool
) -> Outcomes:
    missing = []
    text = work.settings.text is not None and not text_may_lack
    for utterance in utterances:
        if text and not utterance.transcript:
            yield utterance, "no transcript"
        elif work.done(utterance):
            yield utterance, None
        else:
            missing.append(utterance)
    yield from runner(work, missing)


def results(work: Measuring, utterances: Sequence[Utterance]) -> dict[str, list[np.ndarray | None]]:
    """Returns the cached measurements by modality; None for text without a transcript."""
    return {
        modality: [
            None if modality == "text" and not u.transcript else work.result(u, modality)
            for u in utterances
        ]
        for modality in work.settings.modalities
    }


def _key(utterance: Utterance, modality: str, depends: dict[str, Any]) -> str:
    """Returns a name that depends on the clip, its part and the settings."""
    try:
        stat = os.stat(utterance.path)
        file = [os.path.realpath(utterance.path), stat.st_size, stat.st_mtime_ns]
    except OSError:
        file = [utterance.path]
    parts = [_VERSION, modality, depends, file, utterance.start, utterance.end]
    parts += [] if utterance.channel is None else [utterance.channel]
    parts += [] if utterance.track is None else ["track", utterance.track]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digest(path: pathlib.Path) -> str:
    """Computes the SHA-256 digest of a file of weights."""
    check_regular(path, "a file of weights")
    return file_digest(path, "a file of weights").hex()


@functools.lru_cache(maxsize=1)
def _read_weights(path: str) -> Arrays:
    return extraction.read_weights(path)
