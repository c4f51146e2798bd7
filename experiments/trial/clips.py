"""Raw clips for a trained model: the extraction that travels with it, and features by it."""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np

from experiments.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError
from mman_jax.features import manifest
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import many
from mman_jax.features.measuring.measuring import Measuring, digest


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
        expected = "a run on a corpus that experiments.extract wrote"
        raise InputError(workdir, "no extraction with the model", expected)
    made = Extraction.load(path)
    unused = dict.fromkeys(set(made.settings.modalities) - set(modalities))
    return dataclasses.replace(made, settings=dataclasses.replace(made.settings, **unused))


def read_corpus(path: str, workdir: pathlib.Path, modalities: Sequence[str]) -> Corpus:
    """The utterances of a manifest, as the model's own corpus was made.

    Where a transcript is empty text is missing; every clip must be of use.

    Args:
        path: the manifest.
        workdir: of the run.
        modalities: of the model.

    Raises:
        InputError: the manifest, a clip, or an extraction without one of the modalities.
    """
    utterances = manifest.read(path)
    made = load(workdir, modalities)
    for modality in modalities:
        if modality not in made.settings.modalities:
            expected = ", ".join(made.settings.modalities) or "those of experiments.extract"
            raise InputError(f"{place(workdir)}: modality {modality}", "not extracted", expected)
    made.settings.check_libraries()
    features, present = {}, {}
    for modality, found in _measure(made, utterances, place(workdir)).items():
        there = [value for value in found if value is not None]
        if not there:
            found = "no transcript in any row"
            raise InputError(f"{path}: modality {modality}", found, "some, or another model")
        values = made.apply(modality, there)
        features[modality] = np.zeros((len(found), values.shape[1]), np.float32)
        known = np.array([value is not None for value in found])
        features[modality][known] = values
        if not known.all():
            present[modality] = known
    corpus = manifest.to_corpus(utterances, features, path)
    return dataclasses.replace(corpus, present=present)


def _measure(
    made: Extraction, utterances: Sequence[Utterance], fitted: pathlib.Path
) -> dict[str, list[np.ndarray | None]]:
    weights = str(fitted) if made.pretrained is not None else ""
    with tempfile.TemporaryDirectory() as folder, Screen() as screen:
        screen.items(len(utterances), "utterances")

        def ended(utterance: Utterance, failure: str | None) -> None:
            if failure is not None:
                raise InputError(utterance.name, failure, "a clip that can be read")
            screen.advance()

        work = Measuring(made.settings, folder, weights, digest(fitted) if weights else "")
        runner = many.locally(os.cpu_count() or 1)
        many.measure(work, utterances, runner, ended, text_may_lack=True)
        return many.results(work, utterances)
