"""What lies inside utterances of clips, at rates of its own: the sequences of their corpus.

Of text the words, of speech openSMILE's low-level descriptors, of pictures the network's windows;
of what a pretrained encoder describes, its states.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data.sequences import Sequence as Cells
from mman_jax.features import media
from mman_jax.features.encoders import pictures, states
from mman_jax.features.encoders.settings import EncoderSettings
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.settings import Settings
from mman_jax.features.speech import descriptors
from mman_jax.features.text import cnn
from mman_jax.features.timed_words import NONE, TimedWords
from mman_jax.features.visual import windows

_NO_SETTINGS: dict[str, Any] = {}  # of descriptors: there is one kind


def measured_by(modality: str, settings: Settings) -> dict[str, Any]:
    """What the measurement of the cells of one utterance depends on."""
    if modality in settings.encoders:
        return settings.encoders[modality].measured_by
    return settings.visual.measured_by if modality == "visual" else _NO_SETTINGS


def measure(modality: str, utterance: Utterance, settings: Settings) -> np.ndarray:
    """What of an utterance's cells `extraction.measure` does not give.

    Args:
        modality: `speech` or `visual`.
        utterance: where its clip is.
        settings: how.

    Returns:
        speech: descriptors [T, 25] float32. visual: start and end of each window [W, 2] float64. By
        an encoder: its states [T, D], and before them start and end of each, [T, 2 + D] float64.

    Raises:
        InputError: a clip that cannot be used.
    """
    part = utterance.path, utterance.start, utterance.end
    if modality in settings.encoders:
        return _encoded(modality, settings.encoders[modality], part)
    if modality == "speech":
        return descriptors.descriptors(media.read_audio(*part))
    return windows.window_times(utterance.path, settings.visual, *part[1:])


def of_sound(states: np.ndarray, samples: int) -> np.ndarray:
    """As `measure`, of an encoder's states [T, D] of so many samples."""
    edges = np.linspace(0, samples / media.SAMPLE_RATE, len(states) + 1)
    return np.concatenate([np.stack([edges[:-1], edges[1:]], axis=1), states], axis=1)


def sequences(
    made: Extraction,
    utterances: Sequence[Utterance],
    measured: Mapping[str, Sequence[np.ndarray]],
    cells: Mapping[str, Sequence[np.ndarray]],
    words: Mapping[Utterance, TimedWords],
) -> dict[str, Cells]:
    """The sequences of N utterances.

    Args:
        made: what was fitted.
        utterances: N.
        measured: by modality, N of what `extraction.measure` gave.
        cells: by the modality of each wanted sequence but text, N of what `measure` gave.
        words: those of each utterance that has some; where it is empty there is no text.
    """
    found = {}
    for modality in cells.keys() & made.settings.encoders.keys():
        both = cells[modality]
        found[modality] = _joined([x[:, 2:] for x in both], [x[:, :2] for x in both])
    if "speech" in cells.keys() - found.keys():
        times = [descriptors.times(len(x)) for x in cells["speech"]]
        found["speech"] = _joined(cells["speech"], times)
    if "visual" in cells.keys() - found.keys():
        found["visual"] = _joined(made.windows(measured["visual"]), cells["visual"])
    if words:
        several = [words.get(utterance, NONE) for utterance in utterances]
        said = [word for one in several for word in one.words]
        ends = np.cumsum([len(one.words) for one in several])
        text = made.settings.encoders.get("text")
        if text:
            vectors = states.of_words(text, [one.words for one in several])
        else:
            vectors = np.split(word_vectors(made, said), ends[:-1])
        found["text"] = _joined(vectors, [one.intervals for one in several], tuple(said))
    return found


def word_vectors(made: Extraction, words: Sequence[str]) -> np.ndarray:
    """A vector [n, D] float32 for each word; zeros where it has none.

    Of word2vec or GloVe, where text is of the kind `cnn`; else the features of a transcript that is
    this word alone, which is where TF-IDF places it.
    """
    if made.settings.text.kind == "tfidf":
        return made.apply("text", words)
    vocabulary, vectors = (made.fitted["text"][name] for name in ("vocabulary", "vectors"))
    return cnn.Embedding(vocabulary, vectors, 1).apply(words)[0][:, 0]


def _encoded(
    modality: str, encoder: EncoderSettings, part: tuple[str, float | None, float | None]
) -> np.ndarray:
    if modality == "speech":
        samples = media.read_audio(*part)
        return of_sound(states.of_speech(encoder, [samples])[0], len(samples))
    seen, times = pictures.read(part[0], encoder, *part[1:])
    return np.concatenate([times, states.of_pictures(encoder, seen)], axis=1)


def _joined(
    values: Sequence[np.ndarray], times: Sequence[np.ndarray], names: tuple[str, ...] | None = None
) -> Cells:
    lengths = np.array([len(x) for x in values], np.int32)
    whole = np.concatenate(values).astype(np.float32, copy=False)
    return Cells(whole, lengths, np.concatenate(times).astype(np.float64), names)
