"""Speakers of the turns of a recording, by its channels or by their voices."""

import abc
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.cluster import hierarchy, vq

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.media import SAMPLE_RATE
from mman_jax.features.speakers import embedding

KINDS = "channels, voices, or voices:N for N speakers"
UNKNOWN = "unknown"
"""Name of unknown speakers in tables."""

_COPY = 0.01  # largest relative difference of channels that are copies of each other
_SHORTEST = round(0.5 * SAMPLE_RATE)  # samples of a turn whose voice can be compared


class Speakers(abc.ABC):
    """A method of finding the speakers of turns.

    Attributes:
        notice: a sentence about its limits, or an empty text.
    """

    notice: str = ""

    @abc.abstractmethod
    def sounds(self, path: str | Path, track: int = 1) -> dict[str, np.ndarray]:
        """Reads the signals of a recording, [samples] float32 by the name of their speaker.

        The name is empty if a signal may have several speakers.

        Raises:
            InputError: the recording cannot be read, or its channels do not distinguish speakers.
        """

    @abc.abstractmethod
    def names(
        self, sounds: Mapping[str, np.ndarray], times: Sequence[tuple[float, float]]
    ) -> list[str]:
        """Returns the speaker of each turn, from the result of `sounds`; empty if unknown."""


class Channels(Speakers):
    """One speaker in each channel, as in calls."""

    def sounds(self, path: str | Path, track: int = 1) -> dict[str, np.ndarray]:
        """Reads the channels of a recording."""
        channels = media.read_channels(path, track=track)
        if len(channels) < 2:
            expected = "a channel for each speaker, or speakers found by their voices"
            raise InputError(path, "one channel", expected)
        for first, second in itertools.combinations(range(len(channels)), 2):
            difference = np.abs(channels[first] - channels[second]).mean()
            if difference <= _COPY * np.abs(channels[first]).mean():
                found = f"channels {first + 1} and {second + 1} are copies of each other"
                expected = "a channel for each speaker, or speakers found by their voices"
                raise InputError(path, found, expected)
        return {f"channel {n}": channel for n, channel in enumerate(channels, 1)}

    def names(
        self, sounds: Mapping[str, np.ndarray], times: Sequence[tuple[float, float]]
    ) -> list[str]:
        """Returns the louder channel of each turn."""
        return [
            max(sounds, key=lambda name: float(np.square(_cut(sounds[name], time)).sum()))
            for time in times
        ]


class Voices(Speakers):
    """Clusters of similar voices, whose speakers are numbered in order of their first turn."""

    def __init__(self, count: int | None = None, encoder: str = ""):
        """Finds the encoder.

        Args:
            count: number of speakers; None: it is estimated, which needs a speaker encoder.
            encoder: see `embedding.find`.

        Raises:
            InputError: the encoder is missing, or cannot estimate the number of speakers.
        """
        self._count, self._embedding = count, embedding.find(encoder)
        if count is None and self._embedding.apart is None:
            found = f"no number of speakers, and voices are compared by {self._embedding.name}"
            raise InputError("speakers=voices", found, "voices:N, or another encoder")
        self.notice = f"speakers are found by their voices ({self._embedding.name}); a turn has one"

    def sounds(self, path: str | Path, track: int = 1) -> dict[str, np.ndarray]:
        """Reads the mean of all channels."""
        return {"": media.read_audio(path, track=track)}

    def names(
        self, sounds: Mapping[str, np.ndarray], times: Sequence[tuple[float, float]]
    ) -> list[str]:
        """Returns the cluster of each turn; empty if the turn is too short."""
        (samples,) = sounds.values()
        turns = [_cut(samples, time) for time in times]
        long = [index for index, turn in enumerate(turns) if len(turn) >= _SHORTEST]
        names = [""] * len(turns)
        if long:
            vectors = self._embedding.of_turns([turns[index] for index in long])
            clusters = cluster(vectors, self._count, self._embedding.apart)
            order = list(dict.fromkeys(clusters.tolist()))
            for index, number in zip(long, clusters.tolist(), strict=True):
                names[index] = f"speaker {order.index(number) + 1}"
        return names


def find(name: str, encoder: str = "") -> Speakers:
    """Finds the method that a flag names; see `KINDS` and `embedding.find`.

    Raises:
        InputError: the name is unknown, or an encoder is missing.
    """
    kind, _, number = name.partition(":")
    if name == "channels":
        if encoder:
            found = "given with channels, which compares no voices"
            raise InputError("speaker_encoder", found, "one of the two")
        return Channels()
    if kind != "voices" or (":" in name and not (number.isdecimal() and int(number) > 0)):
        raise InputError("speakers", repr(name), KINDS)
    return Voices(int(number) if number else None, encoder)


def cluster(vectors: np.ndarray, count: int | None, apart: float | None) -> np.ndarray:
    """Clusters N vectors [N, D], and returns the cluster number of each, [N] int.

    Args:
        count: number of clusters, at most N; None: it follows from `apart`.
        apart: mean cosine distance from which two clusters are different speakers.
    """
    if len(vectors) == 1:
        return np.zeros(1, int)
    if count is None:
        tree = hierarchy.linkage(vectors, "average", metric="cosine")
        return hierarchy.fcluster(tree, apart, "distance")
    joined = hierarchy.fcluster(hierarchy.linkage(vectors, "ward"), count, "maxclust")
    # A turn that was joined too early moves to the cluster that is now nearest.
    centres = np.stack([vectors[joined == number].mean(0) for number in np.unique(joined)])
    try:
        return vq.kmeans2(vectors, centres, minit="matrix", missing="raise")[1]
    except vq.ClusterError:  # a cluster lost all of its turns
        return joined


def _cut(samples: np.ndarray, time: tuple[float, float]) -> np.ndarray:
    return samples[round(time[0] * SAMPLE_RATE) : round(time[1] * SAMPLE_RATE)]
