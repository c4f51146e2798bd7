"""Measurement of all uncached utterances, by a pool of processes or by Apache Beam."""

import json
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from mman_jax.errors import InputError, require
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring.measuring import Measuring
from mman_jax.files import pool

Outcomes = Iterable[tuple[Utterance, str | None]]
"""Utterances, each with an error message or None."""

Runner = Callable[[Measuring, Sequence[Utterance]], Outcomes]
"""Measures utterances, and yields each one when it is done."""

_TOGETHER = 32


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

    All workers must have access to the cache by the same path.

    Args:
        options: command-line options of Beam; if empty, its direct runner.
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
                    | beam.FlatMap(_Failures(work))
                    | beam.Map(json.dumps)
                    | beam.io.WriteToText(f"{scratch}/part")
                )
            files = [path for path in pathlib.Path(scratch).iterdir() if path.is_file()]
            lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
        failures = {(conversation, name): failure for conversation, name, failure in lines}
        for utterance in utterances:
            yield utterance, failures.get((utterance.conversation_id, utterance.utterance_id))

    return run


class _Failures:
    """Measures the utterances of a group, and yields the ids and error messages of failed ones."""

    def __init__(self, work: Measuring):
        self.work = work

    def __call__(self, group: Sequence[Utterance]) -> Iterator[tuple[str, str, str]]:
        self.work.together(group)
        for utterance in group:
            failure = self.work(utterance)
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

    Raises:
        InputError: no utterance could be measured.
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


def results(work: Measuring, utterances: Sequence[Utterance]) -> dict[str, list[np.ndarray | None]]:
    """Returns the cached measurements by modality; None for text without a transcript.

    Raises:
        InputError: an utterance was not measured, or its file is missing.
    """
    return {
        modality: [
            None if modality == "text" and not u.transcript else work.result(u, modality)
            for u in utterances
        ]
        for modality in work.settings.modalities
    }


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
