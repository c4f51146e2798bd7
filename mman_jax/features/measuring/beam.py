"""The same measuring as an Apache Beam pipeline, for corpora beyond one machine."""

import json
import pathlib
import tempfile
from collections.abc import Callable, Sequence

from mman_jax.errors import InputError
from mman_jax.features.manifest import Utterance


def run(
    work: Callable[[Utterance], str | None],
    utterances: Sequence[Utterance],
    options: Sequence[str],
    folder: pathlib.Path,
) -> list[tuple[Utterance, str | None]]:
    """Does the work on every utterance; returns each with its failure or None.

    Args:
        work: picklable; writes into the cache, which all workers reach by the same path, and
            returns what went wrong, or None.
        utterances: what to do it on.
        options: of Beam, such as `--runner=FlinkRunner`; none: its direct runner.
        folder: the cache; failures pass through it.

    Raises:
        InputError: Beam is missing, or knows no such option.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        expected = "pip install -e '.[beam]'"
        raise InputError("--runner=beam", "apache_beam is missing", expected) from error
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="failures_", dir=folder) as scratch:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            _ = (
                pipeline
                | beam.Create(list(enumerate(utterances)))
                | beam.Reshuffle()  # else one worker would get all that was created together
                | beam.MapTuple(_Numbered(work))
                | beam.Filter(_failed)
                | beam.Map(json.dumps)
                | beam.io.WriteToText(f"{scratch}/part")
            )
        lines = [line for part in pathlib.Path(scratch).iterdir() for line in _lines(part)]
    failures = dict(json.loads(line) for line in lines)
    return [(utterance, failures.get(i)) for i, utterance in enumerate(utterances)]


class _Numbered:
    def __init__(self, work: Callable[[Utterance], str | None]):
        self.work = work

    def __call__(self, number: int, utterance: Utterance) -> tuple[int, str | None]:
        return number, self.work(utterance)


def _failed(outcome: tuple[int, str | None]) -> bool:
    return outcome[1] is not None


def _lines(part: pathlib.Path) -> list[str]:
    return part.read_text().splitlines() if part.is_file() else []
