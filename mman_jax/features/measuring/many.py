"""Measuring every utterance of a manifest: what the cache lacks, by a pool or whoever else runs."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring.measuring import Measuring
from mman_jax.files import pool

Outcomes = Iterable[tuple[Utterance, str | None]]
Runner = Callable[[Measuring, Sequence[Utterance]], Outcomes]

_TOGETHER = 32


def locally(processes: int) -> Runner:
    """A runner that measures in so many processes of this machine."""

    def run(work: Measuring, utterances: Sequence[Utterance]) -> Outcomes:
        left = list(utterances)
        if work.batched:
            left = []
            parts = groups(utterances, processes)
            # A group that kills its process is measured again below, one by one.
            for part, _ in pool.run(work.together, parts, min(processes, len(parts))):
                for utterance in part:
                    if work.done(utterance):
                        yield utterance, None
                    else:
                        left.append(utterance)
        yield from pool.run(work, left, min(processes, len(left)))

    return run


def groups(utterances: Sequence[Utterance], processes: int = 1) -> list[list[Utterance]]:
    """Utterances to be measured together, as they follow each other: enough for all processes."""
    size = max(1, min(_TOGETHER, -(-len(utterances) // processes)))
    return [list(utterances[i : i + size]) for i in range(0, len(utterances), size)]


def measure(
    work: Measuring,
    utterances: Sequence[Utterance],
    runner: Runner,
    ended: Callable[[Utterance, str | None], None] = lambda utterance, failure: None,
    text_may_lack: bool = False,
) -> list[Utterance]:
    """Fills the cache; returns the utterances that could be measured, in their order.

    Args:
        work: how, and into which cache; what that has is not measured again.
        utterances: all of them.
        runner: who measures those that the cache lacks, such as `locally(2)`.
        ended: told of every utterance as it ends, with its failure or None. It may raise an
            error to stop the others.
        text_may_lack: whether an utterance without a transcript is no failure.

    Raises:
        InputError: none could be measured.
    """
    failed = set()
    for utterance, failure in _outcomes(work, utterances, runner, text_may_lack):
        if failure is not None:
            failed.add(utterance)
        ended(utterance, failure)
    kept = [utterance for utterance in utterances if utterance not in failed]
    if not kept:
        raise InputError("clips", f"none of {len(utterances)} can be used", "at least one")
    return kept


def results(work: Measuring, utterances: Sequence[Utterance]) -> dict[str, list[np.ndarray | None]]:
    """By modality what `measure` left in the cache, None for text without a transcript.

    Raises:
        InputError: an utterance that was not measured, or whose file is gone.
    """
    return {
        modality: [
            None if modality == "text" and not u.transcript else work.result(u, modality)
            for u in utterances
        ]
        for modality in work.settings.modalities
    }


def cells(work: Measuring, utterances: Sequence[Utterance]) -> dict[str, list[np.ndarray]]:
    """By modality, but for text, what `measure` left in the cache of the cells of utterances.

    Raises:
        InputError: an utterance that was not measured, or whose file is gone.
    """
    wanted = [modality for modality in work.sequences if modality != "text"]
    return {modality: [work.cells(u, modality) for u in utterances] for modality in wanted}


def _outcomes(
    work: Measuring, utterances: Sequence[Utterance], runner: Runner, text_may_lack: bool
) -> Outcomes:
    missing = []
    text = "text" in work.settings.modalities and not text_may_lack
    for utterance in utterances:
        if text and not utterance.transcript:
            yield utterance, "no transcript"
        elif work.done(utterance):
            yield utterance, None
        else:
            missing.append(utterance)
    yield from runner(work, missing)
