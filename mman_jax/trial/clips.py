"""Raw clips for a trained model: the extraction that travels with it, and features by it."""

import dataclasses
import mimetypes
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError
from mman_jax.features import manifest
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import many
from mman_jax.features.measuring.measuring import Measuring, digest
from mman_jax.features.text.readers import Words
from mman_jax.inference import listening
from mman_jax.trial.progress import Progress

_MEDIA = (
    *(".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".ts", ".mts", ".wmv", ".flv"),
    *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aiff"),
)
_PLAYLISTS = (".m3u", ".m3u8", ".pls")


def place(workdir: pathlib.Path) -> pathlib.Path:
    """Where a run keeps the extraction of its corpus."""
    return workdir / "model" / "extraction.npz"


def beside(corpus: str | None) -> bytes | None:
    """The extraction file that lies beside a corpus, if one does.

    Raises:
        InputError: it cannot be used.
    """
    if not corpus or not corpus.endswith(".npz"):
        return None
    path = pathlib.Path(corpus).with_suffix(".extraction.npz")
    if not path.is_file():
        return None
    Extraction.load(path)  # a damaged one is said now, not when somebody needs it
    return path.read_bytes()


def load(workdir: pathlib.Path, modalities: Sequence[str]) -> Extraction:
    """The extraction of a run, of these modalities alone as far as it has them.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = place(workdir)
    if not path.is_file():
        expected = "a run on a corpus that mman extract wrote"
        raise InputError(workdir, "no extraction with the model", expected)
    made = Extraction.load(path)
    unused: dict[str, Any] = dict.fromkeys(set(made.settings.modalities) - set(modalities))
    return dataclasses.replace(made, settings=dataclasses.replace(made.settings, **unused))


def is_media(path: pathlib.Path) -> bool:
    """Whether it is a file whose name is that of sound or video."""
    # Not by `mimetypes` alone, whose tables differ among machines.
    kind = mimetypes.guess_type(path.name)[0] or ""
    known = kind.startswith(("audio/", "video/")) and path.suffix.lower() not in _PLAYLISTS
    return path.is_file() and (known or path.suffix.lower() in _MEDIA)


def of_recording(path: pathlib.Path, words: Sequence[Words]) -> list[Utterance]:
    """The turns of a recording, as one conversation.

    Args:
        path: the recording.
        words: that are spoken in it, as far as they are known.

    Raises:
        InputError: no recording, no speech in it, or a library is missing.
    """
    turns = listening.turns(path, words)
    return [
        Utterance(path.stem, str(number), str(path), turn.start, turn.end, said)
        for number, (turn, said) in enumerate(turns, 1)
    ]


def read_corpus(
    path: str,
    utterances: Sequence[Utterance],
    workdir: pathlib.Path,
    dims: Mapping[str, int],
    progress: Progress | None = None,
) -> Corpus:
    """Utterances of clips, as the model's own corpus was made.

    Where a transcript is empty text is missing; every clip must be of use.

    Args:
        path: of the manifest or the recording, for messages.
        utterances: in conversation order.
        workdir: of the run.
        dims: of the model: D of each modality.
        progress: counts the utterances that are measured; None: nobody does.

    Raises:
        InputError: a clip, or an extraction without one of the modalities.
    """
    made = load(workdir, list(dims))
    for modality in dims:
        if modality not in made.settings.modalities:
            expected = ", ".join(made.settings.modalities) or "those of mman extract"
            raise InputError(f"{place(workdir)}: modality {modality}", "not extracted", expected)
    made.settings.check()
    features, present = {}, {}
    measured = _measure(made, utterances, place(workdir), progress or Progress())
    for modality, found in measured.items():
        there = [value for value in found if value is not None]
        if not there and len(dims) == 1:
            expected = "some, or another model"
            raise InputError(f"{path}: modality {modality}", "no transcript in any row", expected)
        features[modality] = np.zeros((len(found), dims[modality]), np.float32)
        known = np.array([value is not None for value in found])
        if there:
            features[modality][known] = made.apply(modality, there)
        if not known.all():
            present[modality] = known
    corpus = manifest.to_corpus(utterances, features, path)
    return dataclasses.replace(corpus, present=present)


def _measure(
    made: Extraction, utterances: Sequence[Utterance], fitted: pathlib.Path, progress: Progress
) -> dict[str, list[np.ndarray | None]]:
    weights = str(fitted) if made.pretrained is not None else ""
    with tempfile.TemporaryDirectory() as folder:
        progress.items(len(utterances), "utterances")

        def ended(utterance: Utterance, failure: str | None) -> None:
            if failure is not None:
                raise InputError(utterance.name, failure, "a clip that can be read")
            progress.advance()

        work = Measuring(made.settings, folder, weights, digest(fitted) if weights else "")
        runner = many.locally(os.cpu_count() or 1)
        many.measure(work, utterances, runner, ended, text_may_lack=True)
        return many.results(work, utterances)
