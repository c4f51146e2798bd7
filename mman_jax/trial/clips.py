"""Features of raw clips for a trained model, by the extraction that is stored with it."""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.readers.clip_names import SUFFIXES
from mman_jax.errors import InputError
from mman_jax.features import manifest, measuring
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import Measuring, digest
from mman_jax.features.speakers.speakers import UNKNOWN
from mman_jax.features.speech.pauses import Spoken
from mman_jax.trial.progress import Progress


def place(workdir: pathlib.Path) -> pathlib.Path:
    """Returns the path of a run's extraction."""
    return workdir / "model" / "extraction.npz"


def beside(corpus: str | None) -> pathlib.Path | None:
    """Returns the path of a corpus's companion extraction file; None if there is none."""
    if not corpus or not corpus.endswith(".npz"):
        return None
    path = pathlib.Path(corpus).with_suffix(".extraction.npz")
    return path if path.is_file() else None


def fitted_notice(path: str | None, corpus: Corpus) -> list[str]:
    """Returns a notice for a run on folds if the extraction may have been fitted to test parts.

    Args:
        corpus: the corpus; `mman extract` stored its split if anything was fitted.
    """
    companion = beside(path)
    fitted = Extraction.load(companion).fitted_modalities if companion else ()
    names = [m for m in fitted if m in corpus.features]
    if not names:
        return []
    seen = f"{corpus.split.count('train')} of " if corpus.split else ""
    return [
        f"{' and '.join(names)} features were fitted to {seen}the {len(corpus.lengths)} "
        "conversations when they were extracted; where folds test on these, scores may be too high"
    ]


def load(workdir: pathlib.Path, modalities: Sequence[str]) -> Extraction:
    """Loads the extraction of a run, restricted to some modalities."""
    path = place(workdir)
    if not path.is_file():
        expected = "a run on a corpus that mman extract wrote"
        raise InputError(workdir, "no extraction with the model", expected)
    extraction = Extraction.load(path)
    unused: dict[str, Any] = dict.fromkeys(set(extraction.settings.modalities) - set(modalities))
    settings = dataclasses.replace(extraction.settings, **unused)
    return dataclasses.replace(extraction, settings=settings)


def is_media(path: pathlib.Path) -> bool:
    """Returns whether a path is a file with a suffix of audio or video files."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def of_turns(
    path: pathlib.Path, turns: Sequence[Spoken], track: int | None = None
) -> list[Utterance]:
    """Returns the turns of a recording as utterances of one conversation.

    Args:
        turns: see `listening.turns`; if any has a speaker, the others' is `UNKNOWN`.
        track: number of the audio track, from 1.
    """
    unknown = UNKNOWN if any(turn.speaker for turn in turns) else None
    return [
        Utterance(
            path.stem, str(number), str(path), turn.start, turn.end, turn.words,
            speaker=turn.speaker or unknown, channel=turn.channel, track=track,
        )
        for number, turn in enumerate(turns, 1)
    ]  # fmt: skip


def read_corpus(
    path: str,
    utterances: Sequence[Utterance],
    workdir: pathlib.Path,
    dims: Mapping[str, int],
    progress: Progress | None = None,
) -> Corpus:
    """Extracts the features of clips in the same way as those of the model's corpus.

    If a transcript is empty, text is missing; every clip must be readable.

    Args:
        path: path of the manifest or the recording, for messages.
        dims: number of features D of each modality of the model.
        progress: counts the measured utterances; None if they are not counted.

    Raises:
        InputError: a clip cannot be used, or the extraction lacks one of the modalities.
    """
    extraction = load(workdir, list(dims))
    for modality in dims:
        if modality not in extraction.settings.modalities:
            expected = ", ".join(extraction.settings.modalities) or "those of mman extract"
            raise InputError(f"{place(workdir)}: modality {modality}", "not extracted", expected)
    extraction.settings.check()
    features, present = {}, {}
    measured = _measure(extraction, utterances, place(workdir), progress or Progress())
    for modality, vectors in measured.items():
        available = [value for value in vectors if value is not None]
        if not available and len(dims) == 1:
            expected = "transcripts, or another model"
            raise InputError(f"{path}: modality {modality}", "no transcript in any row", expected)
        features[modality] = np.zeros((len(vectors), dims[modality]), np.float32)
        known = np.array([value is not None for value in vectors])
        if available:
            features[modality][known] = extraction.apply(modality, available)
        if not known.all():
            present[modality] = known
    corpus = manifest.to_corpus(utterances, features, path)
    return dataclasses.replace(corpus, present=present)


def _measure(
    extraction: Extraction, utterances: Sequence[Utterance], path: pathlib.Path, progress: Progress
) -> dict[str, list[np.ndarray | None]]:
    weights = str(path) if extraction.pretrained is not None else ""
    with tempfile.TemporaryDirectory() as folder:
        progress.items(len(utterances), "utterances")

        def ended(utterance: Utterance, failure: str | None) -> None:
            if failure is not None:
                raise InputError(utterance.name, failure, "a clip that can be read")
            progress.advance()

        work = Measuring(extraction.settings, folder, weights, digest(path) if weights else "")
        runner = measuring.locally(os.cpu_count() or 1)
        measuring.measure(work, utterances, runner, ended, text_may_lack=True)
        return measuring.results(work, utterances)
