"""The same measuring as an Apache Beam pipeline, for corpora beyond one machine."""

import json
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

from mman_jax.errors import InputError
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import many
from mman_jax.features.measuring.measuring import Measuring


def run(
    work: Measuring,
    utterances: Sequence[Utterance],
    options: Sequence[str],
    folder: pathlib.Path,
) -> list[tuple[Utterance, str | None]]:
    """Does the work on every utterance; returns each with its failure or None.

    Args:
        work: how; all workers reach its cache by the same path.
        utterances: what to do it on.
        options: of Beam, as its command line takes them; none: its direct runner.
        folder: the cache; failures pass through it.

    Raises:
        InputError: Beam is missing, or knows no such option.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        expected = "pip install 'mman_jax[beam]'"
        raise InputError("beam", "apache_beam is missing", expected) from error
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="failures_", dir=folder) as scratch:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            _ = (
                pipeline
                | beam.Create(_numbered(work, utterances))
                | beam.Reshuffle()  # else one worker would get all that was created together
                | beam.FlatMap(_Working(work))
                | beam.Filter(_failed)
                | beam.Map(json.dumps)
                | beam.io.WriteToText(f"{scratch}/part")
            )
        lines = [line for part in pathlib.Path(scratch).iterdir() for line in _lines(part)]
    failures = dict(json.loads(line) for line in lines)
    return [(utterance, failures.get(i)) for i, utterance in enumerate(utterances)]


class _Working:
    def __init__(self, work: Measuring):
        self.work = work

    def __call__(self, group: list[tuple[int, Utterance]]) -> Iterator[tuple[int, str | None]]:
        self.work.together([utterance for _, utterance in group])
        for number, utterance in group:
            yield number, self.work(utterance)


def _numbered(
    work: Measuring, utterances: Sequence[Utterance]
) -> list[list[tuple[int, Utterance]]]:
    """Numbered utterances in groups: those that encoders measure together, else one by one."""
    numbered = list(enumerate(utterances))
    return many.groups(numbered) if work.batched else [[one] for one in numbered]


def _failed(outcome: tuple[int, str | None]) -> bool:
    return outcome[1] is not None


def _lines(part: pathlib.Path) -> list[str]:
    return part.read_text().splitlines() if part.is_file() else []
