"""MMAN and its parts: towers that predict alone, and a late fusion of their predictions.

The sizes are those that give the parameter counts of the paper's Table 2 on IEMOCAP's features
(4 392 184). The paper leaves the training settings open: docs/results.md says how these were
chosen.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mman_jax.errors import InputError, nearest
from mman_jax.layers.attention import MultiModalAttention
from mman_jax.layers.fusion import LateFusion
from mman_jax.layers.tower import Tower
from mman_jax.systems import mman_parts
from mman_jax.systems.base import Stage, System, check_rate
from mman_jax.systems.mman_parts import EARLY, FUSION, clstm
from mman_jax.types import Array


class MMAN(System):
    """Towers side by side and, where there are several, the late fusion of what they predict.

    Parameters lie under `towers_<name>` and `fusion`.

    Attributes:
        towers: the sub-networks by name.
        inputs: the modalities that each tower reads.
        fusion: the late fusion; None where one tower is the whole system.
        context: whether an utterance's answer depends on those before it in its conversation.
        modality_dropout: rate at which a modality of an utterance goes missing while training.
    """

    towers: Mapping[str, Tower]
    inputs: Mapping[str, Sequence[str]]
    fusion: LateFusion | None = None
    context: bool = True
    modality_dropout: float = 0.0

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """See `Described.defaults`."""
        return network()

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """See `System.recipe`."""
        return {name: training()[name] for name in ("batch", "towers", "fusion")}

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], modalities: Sequence[str], classes: int
    ) -> "MMAN":
        """The system that settings such as `network()` describe.

        Args:
            settings: up to five entries, each optional. `unimodal`: sizes of the uni-modal towers,
                `default` and any modality's own by its name. `early`: the tower of all modalities;
                its `kind` is `attention` or `concatenation`. `fusion`: the late fusion; its `kind`
                is `dense` or `clstm`. Without `fusion` there is one tower, and it is the system.
                `context`, by default True: False answers each utterance by itself. And
                `modality_dropout`, by default 0, a rate.
            modalities: names, in order.
            classes: C.

        Raises:
            InputError: a setting that cannot be, or towers and a fusion that are not one system.
        """
        known = ("unimodal", "early", "fusion", "context", "modality_dropout")
        for name in settings:
            if name not in known:
                raise InputError(f"network.{name}", "unknown", nearest(name, known))
        rate = settings.get("modality_dropout", 0.0)
        check_rate("network.modality_dropout", rate, below_one=True)
        towers, inputs, fusion = mman_parts.towers_and_fusion(settings, modalities, classes)
        context = settings.get("context", True)
        return cls(tuple(modalities), classes, towers, inputs, fusion, context, rate)

    @classmethod
    def for_numbers(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """See `System.for_numbers`: the fusion takes the towers' answers as they are."""
        if "fusion" not in settings:
            return dict(settings)
        return dict(settings) | {"fusion": dict(settings["fusion"]) | {"numbers": True}}

    def stages(self) -> tuple[Stage, ...]:
        """The towers, each by itself, then the fusion on frozen towers (section 2)."""
        towers = Stage("towers", "predict", tuple(self.towers))
        if self.fusion is None:
            return (towers,)
        return towers, Stage(FUSION, "fuse", (FUSION,), reads="predict")

    def architecture(self) -> dict[str, Any]:
        """What `mman_pytorch.Network` is made of."""
        towers = []
        for name, one in self.towers.items():
            attention = None
            if one.attention is not None:
                made = MultiModalAttention(**one.attention, parent=None)
                sizes = ("model", "key", "value", "shared", "skip")
                attention = {size: getattr(made, size) for size in sizes}
            own = {"name": name, "modalities": list(self.inputs[name]), "attention": attention}
            towers.append(own | _sizes(one.block))
        late, block = self.fusion, None
        if late is not None and late.block is not None:
            block = _sizes(late.block)
        fusion = None if late is None else {"kind": late.kind, "clstm": block}
        return {
            "classes": self.classes,
            "context": self.context,
            "towers": towers,
            "fusion": fusion,
        }

    @property
    def attends(self) -> tuple[str, ...]:
        """The attention tower's modalities."""
        return tuple(self.inputs.get(EARLY["attention"], ()))

    def predict(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Mapping[str, Any] | None = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Every tower's answers.

        Args:
            features: [B, U, D] float32 a modality.
            reset: [B, U] bool, True on the first utterance of each conversation.
            state: by tower, before the first utterance; zeros by default.
            train: whether dropout acts, and modalities go missing at `modality_dropout`; it then
                needs the `dropout` key.
            present: [B, U] bool of modalities that may be missing, False where one is.

        Returns:
            Logits [B, U, C] float32 and the state after the last utterance, each by tower.
        """
        logits, last = {}, {}
        reset = self._starts(reset)
        if train and self.modality_dropout:
            present = self._drop_modalities(features, present or {})
        for name, tower in self.towers.items():
            own = {m: features[m] for m in self.inputs[name]}
            before = (state or {}).get(name)
            logits[name], last[name] = tower(own, reset, before, train, present)
        return logits, last

    def fuse(
        self,
        predictions: Mapping[str, Array],
        reset: Array,
        state: Mapping[str, Any] | None = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """The fusion's answers alone, from those of the towers.

        Args:
            predictions: logits [B, U, C] float32 by tower.
            reset: [B, U] bool, True on the first utterance of each conversation.
            state: `fusion`'s, before the first utterance; zeros by default.
            train: whether dropout acts.
            present: of no use here: the towers, not the fusion, saw what was missing.

        Returns:
            `fusion`'s logits [B, U, C] float32, and its state, each under that name.
        """
        # In the towers' order: a jit or scan that the mapping came through sorts its keys.
        predictions = {name: predictions[name] for name in self.towers}
        reset = self._starts(reset)
        fused, last = self.fusion(predictions, reset, (state or {}).get(FUSION), train)
        return {FUSION: fused}, {FUSION: last}

    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Mapping[str, Any] | None = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """All logits [B, U, C], each tower's and `fusion`'s, and all states; else as `predict`."""
        logits, last = self.predict(features, reset, state, train, present)
        if self.fusion is not None:
            fused, fused_last = self.fuse(logits, reset, state, train)
            logits, last = logits | fused, last | fused_last
        return logits, last

    def _drop_modalities(self, features, present):
        kept = {}
        for name, x in features.items():
            drawn = jax.random.bernoulli(
                self.make_rng("dropout"), 1 - self.modality_dropout, x.shape[:2]
            )
            kept[name] = drawn & present[name] if name in present else drawn
        return kept

    def _starts(self, reset: Array) -> Array:
        return reset if self.context else jnp.ones_like(reset)


def network() -> dict[str, Any]:
    """What MMAN is made of: a tower a modality and an attention tower, fused late; a new dict."""
    early = {"model": 150, "key": 150, "value": 150, "shared": True, "skip": "add"}
    return {
        "unimodal": {"default": tower((300, 300), 200), "visual": tower((150, 150), 50)},
        "early": tower((300,), 200) | {"kind": "attention", "attention": early},
        "fusion": {"kind": "dense"},
        "context": True,  # False: each utterance is answered by itself
        "modality_dropout": 0.0,  # rate at which a modality goes missing in training
    }


def tower(hidden: Sequence[int], dense: int, dropout: float = 0.3) -> dict[str, Any]:
    """A cLSTM block that reads features, a share of which it may drop while training."""
    return clstm(hidden, dense, dropout) | {"input_dropout": 0.3}


def training() -> dict[str, Any]:
    """How it is trained: the towers first, then the fusion on frozen towers; a new dict."""
    shared = {"optimizer": "adamw", "weight_decay": 1e-5, "clip": 1.0}
    return {
        "batch": 30,  # conversations
        "max_epochs": 1000,  # caps every stage
        "select": "calibrated",  # what picks the epoch: loss, calibrated, accuracy or recall
        "smoothing": 0.0,  # of that over the epochs: how much the past weighs
        "labels": "label",  # or votes: what classes are learnt from
        "loss": "",  # of a target: l1, mse or ccc; none: l1
        "class_weights": False,
        "label_smoothing": 0.0,
        "average": 0.0,  # decay of the average of the weights that is kept; 0: the last ones are
        "refit": False,  # whether it trains again, on training and validation together
        "towers": {
            "rules": (("fusion/.*", False), ("towers_.*", True)),
            "learning_rate": {"default": 1e-3},  # and any tower's own, by its name
            "epochs": 80,
            "patience": 10,
        }
        | shared,
        "fusion": {
            "rules": (("fusion/.*", True), ("towers_.*", False)),
            "learning_rate": {"default": 1e-2},  # of a dense layer; a cLSTM block wants less
            "epochs": 200,
            "patience": 20,
            "answers": "training",  # of the towers; or out_of_fold: of others that did not see them
        }
        | shared,
    }


def _sizes(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"hidden": list(block["hidden"]), "dense": block["dense"]}
