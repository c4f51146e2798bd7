"""Feature extraction from clips by settings and fitted arrays."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mman_jax.data import splits
from mman_jax.data.sequences import Sequence as Cells
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError
from mman_jax.features import manifest
from mman_jax.features.extractor import Arrays, TrainingData
from mman_jax.features.manifest import Utterance
from mman_jax.features.settings import Settings
from mman_jax.features.text.readers import TimedWords
from mman_jax.features.visual import resnet3d, windows
from mman_jax.files import arrays
from mman_jax.files.whole import check_regular

_WEIGHTS = ("params/", "batch_stats/")
_EXTRACTED, _CONVERTED = "what mman extract wrote", "what mman convert wrote"
_CARD = "settings"
_STEM = "params/stem_conv/kernel"

_UNTRAINED = (
    "visual: no pre-trained weights: the network is trained here, on the labels of the training "
    "conversations; expect worse features than from one that is pre-trained on human actions"
)

Progress = Callable[[str, int, float], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Extraction:
    """Settings and fitted arrays, from which new clips get comparable features."""

    settings: Settings
    fitted: Mapping[str, Arrays]  # by modality: a vocabulary, a network's variables

    @property
    def pretrained(self) -> Arrays | None:
        """Returns the pre-trained weights of the network for pictures; None without them."""
        weights = self.fitted.get("visual", {})
        return weights if windows.is_pretrained(weights) else None

    @property
    def fitted_modalities(self) -> list[str]:
        """Returns the modalities whose features were fitted to training conversations."""
        pretrained = self.pretrained
        return [m for m, x in self.fitted.items() if x and x is not pretrained]

    @property
    def licences(self) -> dict[str, str]:
        """Returns notices on licences that apply to the features, by modality."""
        of_all = {m: e.licence(self.fitted[m]) for m, e in self.settings.extractors.items()}
        return {modality: licence for modality, licence in of_all.items() if licence}

    def features(self, utterance: Utterance) -> dict[str, np.ndarray]:
        """Computes features [D] float32 of one utterance, by modality."""
        measured = {m: self.measure(m, utterance) for m in self.settings.modalities}
        return {m: self.apply(m, [value])[0] for m, value in measured.items()}

    def measure(self, modality: str, utterance: Utterance) -> np.ndarray:
        """Measures one utterance; see `Extractor.measure`."""
        return self.settings.extractors[modality].measure(utterance, self.pretrained)

    def apply(self, modality: str, measured: Sequence[np.ndarray]) -> np.ndarray:
        """Computes features [N, D] float32 of N measurements, each independent of the others."""
        return self.settings.extractors[modality].apply(self.fitted[modality], measured)

    def sequences(
        self,
        utterances: Sequence[Utterance],
        measured: Mapping[str, Sequence[np.ndarray]],
        cells: Mapping[str, Sequence[np.ndarray]],
        words: Mapping[Utterance, TimedWords],
    ) -> dict[str, Cells]:
        """Returns the cells of N utterances by modality.

        Args:
            utterances: the N utterances.
            measured: N results of `Extractor.measure` by modality.
            cells: N results of `Extractor.measure_cells` by requested modality, except text.
            words: words by utterance; if empty, text is left out.
        """
        sequences = {}
        for name, extractor in self.settings.extractors.items():
            if name in cells:
                of_one = functools.partial(extractor.cells, self.fitted[name])
                sequences[name] = _sequence(list(map(of_one, measured[name], cells[name])))
        if words and self.settings.text:
            spoken = [words.get(utterance, TimedWords()) for utterance in utterances]
            texts = [one.words for one in spoken]
            vectors = self.settings.text.word_vectors(self.fitted["text"], texts)
            times = (one.intervals for one in spoken)
            names = tuple(word for text in texts for word in text)
            sequences["text"] = _sequence(list(zip(vectors, times, strict=True)), names)
        return sequences

    def save(self, path: Path) -> None:
        """Writes one .npz file atomically."""
        flat = {
            f"{modality}/{name}": array
            for modality, fitted in self.fitted.items()
            for name, array in fitted.items()
        }
        arrays.write_carded(path, flat, self.settings.to_json(), _CARD, make_folder=False)

    @classmethod
    def load(cls, path: str | Path) -> "Extraction":
        """Reads a file that `save` wrote."""
        flat, card = arrays.read_carded(path, _EXTRACTED, _CARD)
        try:
            settings = Settings.from_json(card)
        except (LookupError, RecursionError, TypeError, ValueError) as error:
            raise InputError(path, f"no settings ({error!r:.200})", _EXTRACTED) from error
        fitted: dict[str, dict[str, np.ndarray]] = {name: {} for name in settings.modalities}
        for key, array in flat.items():
            modality, _, name = key.partition("/")
            fitted.setdefault(modality, {})[name] = array
        return cls(settings, fitted)


def fit_corpus(
    settings: Settings,
    utterances: Sequence[Utterance],
    measured: Mapping[str, Sequence[np.ndarray]],
    source: str,
    weights: Arrays | None = None,
    vectors: Path | None = None,
    progress: Progress = lambda modality, epoch, loss: None,
    notice: Callable[[str], None] = lambda message: None,
) -> tuple[Extraction, list[str] | None]:
    """Fits an extraction to the training conversations of a manifest.

    Args:
        settings: the extractor of each modality.
        utterances: the N utterances, in conversation order.
        measured: N results of `Extractor.measure` by modality.
        source: origin of the utterances, for messages.
        weights: see `TrainingData`.
        vectors: see `TrainingData`.
        progress: called with the modality, the epoch's number and its mean loss.
        notice: called with each notice to the user, such as a description of the split.

    Returns:
        The extraction; and the part of each conversation (`train`, `valid` or `test`) in the split
        whose training part was used, or None if nothing was fitted.
    """
    nothing = np.zeros((len(utterances), 1), np.float32)
    corpus = manifest.to_corpus(utterances, {"none": nothing}, source)
    rows: list[int] = []
    parts: list[str] | None = None
    if settings.needs_fitting(weights is not None):
        split = splits.split(corpus)
        everything = np.arange(len(utterances))
        rows = np.concatenate([everything[corpus.utterances(i)] for i in split.train]).tolist()
        part = {c: name for name in SPLIT_NAMES for c in getattr(split, name)}
        parts = [part.get(c, "") for c in range(len(corpus.lengths))]
        notice(f"{split.how}; fitted to {len(rows)} training utterances")
    if settings.visual and settings.visual.needs_fitting(weights is not None):
        notice(_UNTRAINED)
    training = {name: [values[i] for i in rows] for name, values in measured.items()}
    return fit(settings, training, corpus.labels[rows], weights, vectors, progress), parts


def fit(
    settings: Settings,
    measured: Mapping[str, Sequence[np.ndarray]],
    labels: np.ndarray,
    weights: Arrays | None = None,
    vectors: Path | None = None,
    progress: Progress = lambda modality, epoch, loss: None,
) -> Extraction:
    """Fits the extractors to N training utterances with `labels` [N]; see `fit_corpus`."""
    fitted = {}
    for modality, extractor in settings.extractors.items():
        tell = functools.partial(progress, modality)
        data = TrainingData(labels, settings.seed, weights, vectors, tell)
        fitted[modality] = extractor.fit(measured[modality], data)
    return Extraction(settings, fitted)


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Reads weights that `mman convert` or `Extraction.save` wrote, by `ResNet3D`'s paths."""
    check_regular(path, _CONVERTED)
    content = {k.removeprefix("visual/"): x for k, x in arrays.read(path, _CONVERTED).items()}
    weights = {name: array for name, array in content.items() if name.startswith(_WEIGHTS)}
    if _STEM not in weights:
        found = f"no weights of a 3D ResNet among {', '.join(list(content)[:5])}"
        raise InputError(path, found, _CONVERTED)
    resnet3d.check(weights, path)
    return weights


def _sequence(
    cells: Sequence[tuple[np.ndarray, np.ndarray]], names: tuple[str, ...] | None = None
) -> Cells:
    """Joins values and times of the cells of several utterances."""
    values, times = zip(*cells, strict=True)
    lengths = np.array([len(x) for x in values], np.int32)
    joined = np.concatenate(values).astype(np.float32, copy=False)
    return Cells(joined, lengths, np.concatenate(times).astype(np.float64), names)
