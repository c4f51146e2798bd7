"""What an utterance's answer is made of, where that is not the utterance as a whole."""

import ml_collections

from mman_jax.data.cells.unaligned import Unaligned, unaligned
from mman_jax.data.cells.utterances import Cells, Utterances
from mman_jax.data.cells.words import words
from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import check_named
from mman_jax.errors import InputError, within
from mman_jax.systems import SYSTEMS, build
from mman_jax.systems.settings import FRAMES, SUBWORD
from mman_jax.trial.config import network, title
from mman_jax.trial.tested import modalities


def load(config: ml_collections.ConfigDict, corpus: Corpus) -> Cells:
    """Makes a config's cells of a corpus; of words also what is in them, if its system reads that.

    Raises:
        InputError: a corpus without any, or of which they cannot be told; or a system that does not
            read frames.
    """
    data = config.data
    if data.cells == "frames":
        return _frames(config, corpus)
    if data.cells != "words":
        return Utterances(corpus)
    system = SYSTEMS.get(config.system)
    frames = SUBWORD in getattr(system, "reads", ())  # an unknown system is refused when built
    return words(corpus, data.pivot, data.words, frames, modalities(data))


def _frames(config: ml_collections.ConfigDict, corpus: Corpus) -> Unaligned:
    names = modalities(config.data) or list(corpus.sequences)
    check_named(corpus, "frames", names)
    with within("config"):
        system = build(network(config), names, 2)  # of any number of classes
        if FRAMES not in system.reads:
            expected = "a system that reads them, mult or tripathi; or utterances"
            raise InputError("data.cells", f"'frames' for {title(config)}", expected)
        return unaligned(corpus, {m: system.frame_view(m) for m in names})
