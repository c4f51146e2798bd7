"""The text model that comes with the package, for users without a model."""

import functools
import importlib.util
import pathlib

from mman_jax.features.encoders.folders import PACKAGE
from mman_jax.features.extraction import Extraction
from mman_jax.features.settings import Settings
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.model import Model

FOLDER = pathlib.Path(__file__).with_name("text_model")
"""The model's files, and its card: data, attribution, scores and limits."""

NOTE = (
    "The predictions are those of the small text model that comes with mman_jax. It reads the "
    "English words of each turn alone, and is trained on written comments and the script of a "
    "television series, so that its predictions for speech are rough guesses. Turns without words "
    "have no prediction."
)


@functools.cache
def load() -> tuple[Answerer, Extraction] | None:
    """Loads the model and its feature extraction; None if its encoder is not installed."""
    if not all(map(importlib.util.find_spec, (PACKAGE, "torch", "transformers"))):
        return None
    model = Model.from_pretrained(FOLDER)
    settings = Settings.from_json(model.card["extraction"])
    settings.check()
    return Answerer([model]), Extraction(settings, {"text": {}})
