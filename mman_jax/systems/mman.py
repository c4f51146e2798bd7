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
from mman_jax.layers.tower import LateFusion, Tower
from mman_jax.systems.base import Citation, Stage, System
from mman_jax.systems.settings import TRAINING, Ranges, check_rate, check_size, check_sizes
from mman_jax.types import Array, Inputs

FUSION = "fusion"
NAME, CLSTM_EF, CLSTM_LF, CLSTM_MMA, _CLSTM = "mman", "clstm_ef", "clstm_lf", "clstm_mma", "clstm_"
"""Names of recipes; that of a modality's own cLSTM is `clstm_` and the modality."""

# Tables 2 and 3: accuracies in per cent, and parameters in millions.
_PUBLISHED = {
    "clstm_speech": {"iemocap": ("57.12",), "parameters": ("1.27",)},
    CLSTM_EF: {"iemocap": ("69.75",), "parameters": ("2.00",)},
    CLSTM_LF: {"iemocap": ("71.78",), "parameters": ("4.73",)},
    CLSTM_MMA: {
        "iemocap": ("71.66",),
        "parameters": ("1.27",),
        "binary4": ("92.15", "82.93", "76.99", "93.32"),
    },
    NAME: {
        "iemocap": ("73.94",),
        "parameters": ("4.39",),
        "binary4": ("92.68", "83.14", "75.61", "92.90"),
    },
}

CLAIMS = (
    ("attention beats concatenation", CLSTM_MMA, CLSTM_EF, "more"),
    ("cLSTM-MMA is level with cLSTM-LF", CLSTM_MMA, CLSTM_LF, "level"),
    ("MMAN beats cLSTM-MMA", NAME, CLSTM_MMA, "more"),
    ("MMAN beats cLSTM-LF", NAME, CLSTM_LF, "more"),
    ("cLSTM-MMA beats the pairwise network MulT", CLSTM_MMA, "mult", "more"),
)
"""The paper's claims: two systems, and whether the first is to be right more often, or as often."""

EARLY = {"attention": "mma", "concatenation": "ef"}
"""The tower of all modalities, by how it joins them."""

_LATE = ("dense", "clstm")
_SKIPS = ("add", "concatenate")


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
    def defaults(cls, recipe: str = NAME) -> dict[str, Any]:
        """See `System.defaults`."""
        return network(recipe)

    @classmethod
    def recipe(cls, recipe: str = NAME) -> dict[str, Any]:
        """See `System.recipe`."""
        stages = ("towers", FUSION) if FUSION in network(recipe) else ("towers",)
        return {name: training(recipe)[name] for name in ("batch", *stages)}

    @classmethod
    def search_space(cls, head: str = "") -> Ranges:
        """See `System.search_space`; each tower and the fusion have settings of their own."""
        share, units = {"low": 0.0, "high": 0.7}, {"low": 32, "high": 300, "log": True}
        if not head:
            return {
                "train.batch": {"low": 5, "high": 40, "log": True},
                "train.towers.weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
                "network.modality_dropout": {"low": 0.0, "high": 0.3},
            } | TRAINING
        if head == FUSION:
            return {
                "network.fusion.kind": {"choices": _LATE},
                "train.fusion.learning_rate.default": {"low": 1e-4, "high": 3e-2, "log": True},
                "train.fusion.answers": {"choices": ("training", "out_of_fold")},
            }
        block = "network.early" if head in EARLY.values() else f"network.unimodal.{head}"
        attention = {} if head != EARLY["attention"] else {
            "network.early.attention.model|key|value": {"low": 32, "high": 200, "log": True}
        }  # fmt: skip
        return {
            f"train.towers.learning_rate.{head}": {"low": 1e-4, "high": 5e-3, "log": True},
            f"{block}.dropout": share,
            f"{block}.input_dropout": share,
            f"{block}.hidden": units,
            f"{block}.dense": units,
        } | attention

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], modalities: Sequence[str], outputs: int
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
            outputs: C.

        Raises:
            InputError: a setting that cannot be, or towers and a fusion that are not one system.
        """
        known = ("unimodal", "early", "fusion", "context", "modality_dropout")
        for name in settings:
            if name not in known:
                raise InputError(f"network.{name}", "unknown", nearest(name, known))
        rate = settings.get("modality_dropout", 0.0)
        check_rate("network.modality_dropout", rate, below_one=True)
        towers, inputs, fusion = towers_and_fusion(settings, modalities, outputs)
        context = settings.get("context", True)
        return cls(tuple(modalities), outputs, towers, inputs, fusion, context, rate)

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
        """What `mman_jax.inference.pytorch_network.Network` is made of."""
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
            "classes": self.outputs,
            "context": self.context,
            "towers": towers,
            "fusion": fusion,
        }

    @property
    def in_context(self) -> bool:
        """See `System.in_context`."""
        return self.context

    @property
    def attends(self) -> tuple[str, ...]:
        """The attention tower's modalities."""
        return tuple(self.inputs.get(EARLY["attention"], ()))

    def predict(
        self, inputs: Inputs, state: Any = None, train: bool = False
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Computes every tower's predictions.

        Args:
            inputs: a batch.
            state: by tower, before the first utterance; None: zeros.
            train: whether dropout acts, and modalities go missing at `modality_dropout`; it then
                needs the `dropout` key.

        Returns:
            Logits [B, U, C] float32 and the state after the last utterance, each by tower.
        """
        features, _, reset, present = inputs
        logits, last = {}, {}
        reset = self._starts(reset)
        if train and self.modality_dropout:
            present = self._drop_modalities(features, present)
        for name, tower in self.towers.items():
            own = {m: features[m] for m in self.inputs[name]}
            before = (state or {}).get(name)
            logits[name], last[name] = tower(own, reset, before, train, present)
        return logits, last

    def fuse(
        self, inputs: Inputs, state: Any = None, train: bool = False
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Fuses the towers' predictions.

        Args:
            inputs: a batch whose features are the towers' logits [B, U, C] float32.
            state: the fusion's, before the first utterance; None: zeros.
            train: whether dropout acts.

        Returns:
            Logits [B, U, C] float32 and the state of `fusion`, each under that name.
        """
        # In the towers' order: a jit or scan that the mapping came through sorts its keys.
        predictions = {name: inputs.features[name] for name in self.towers}
        reset = self._starts(inputs.reset)
        fused, last = self.fusion(predictions, reset, (state or {}).get(FUSION), train)
        return {FUSION: fused}, {FUSION: last}

    def __call__(
        self, inputs: Inputs, state: Any = None, train: bool = False
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Computes the logits [B, U, C] and the states of the towers and the fusion."""
        logits, last = self.predict(inputs, state, train)
        if self.fusion is not None:
            fused, fused_last = self.fuse(inputs._replace(features=logits), state, train)
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


def towers_and_fusion(
    settings: Mapping[str, Any], modalities: Sequence[str], classes: int
) -> tuple[dict[str, Tower], dict[str, tuple[str, ...]], LateFusion | None]:
    """The towers by name, the modalities that each reads, and the fusion, if there is one.

    Args:
        settings: see `MMAN.from_settings`.
        modalities: names, in order.
        classes: C.

    Raises:
        InputError: a setting that cannot be, or towers and a fusion that are not one system.
    """
    taken = {*EARLY.values(), FUSION} & set(modalities)
    if taken:
        expected = "names that no tower or fusion bears"
        raise InputError("modalities", f"one is named {taken.pop()!r}", expected)
    towers, inputs = {}, {}
    for modality in modalities if "unimodal" in settings else ():
        entry = modality if modality in settings["unimodal"] else "default"
        own = settings["unimodal"][entry]
        block = _block(f"network.unimodal.{entry}", own)
        towers[modality] = Tower(block, classes, input_dropout=own["input_dropout"])
        inputs[modality] = (modality,)
    if "early" in settings:
        early = settings["early"]
        if early["kind"] not in EARLY:
            found = repr(early["kind"])
            raise InputError("network.early.kind", found, nearest(early["kind"], EARLY))
        name, attention = EARLY[early["kind"]], None
        if early["kind"] == "attention":
            attention = _attention("network.early.attention", early["attention"])
        block = _block("network.early", early)
        towers[name] = Tower(block, classes, attention, early["input_dropout"])
        inputs[name] = tuple(modalities)
    fusion = _fusion(settings["fusion"], classes) if "fusion" in settings else None
    if fusion is None and len(towers) != 1:
        found = f"{len(towers)} towers ({', '.join(towers)}) and no fusion"
        raise InputError("network", found, "one tower, or a fusion")
    if fusion is not None and not towers:
        raise InputError("network", "a fusion and no tower", "towers to fuse")
    return towers, inputs, fusion


def papers(modalities: Sequence[str]) -> dict[str, Citation]:
    """Returns the systems of the paper by the names of their recipes: MMAN and its cLSTMs.

    Args:
        modalities: of the corpus, in order.
    """
    alone = {f"{_CLSTM}{m}": (f"cLSTM-{m.capitalize()}", f"{m} alone") for m in modalities}
    others = {
        CLSTM_EF: ("cLSTM-EF", "modalities concatenated"),
        CLSTM_LF: ("cLSTM-LF", "a tower a modality, fused by a cLSTM"),
        CLSTM_MMA: ("cLSTM-MMA", "the attention tower alone"),
        NAME: ("MMAN", "all towers, frozen under a dense fusion"),
    }
    named = (alone | others).items()
    return {n: Citation(*of, published=_PUBLISHED.get(n, {})) for n, of in named}


def modality_of(name: str) -> str:
    """Returns the one modality that a recipe reads; empty if it reads all.

    Raises:
        InputError: there is no such recipe.
    """
    every = (NAME, CLSTM_EF, CLSTM_LF, CLSTM_MMA)
    if name not in every and not name.startswith(_CLSTM):
        raise InputError("recipe", repr(name), nearest(name, (*every, f"{_CLSTM}speech")))
    return "" if name in every else name.removeprefix(_CLSTM)


def network(name: str = NAME) -> dict[str, Any]:
    """Returns the settings of a recipe's network; a new dict.

    Args:
        name: of the recipe, see `papers`.
    """
    attention = {"model": 150, "key": 150, "value": 150, "shared": True, "skip": "add"}
    unimodal = {"default": tower((300, 300), 200)}
    early = tower((300,), 200) | {"kind": "attention", "attention": attention}
    parts = {
        NAME: {
            "unimodal": unimodal | {"visual": tower((150, 150), 50)},
            "early": early,
            "fusion": {"kind": "dense"},
        },
        CLSTM_EF: {"early": tower((300, 300), 200) | {"kind": "concatenation"}},
        CLSTM_LF: {"unimodal": unimodal, "fusion": clstm((300,), 200) | {"kind": "clstm"}},
        CLSTM_MMA: {"early": early},
    }
    return parts.get(name, {"unimodal": unimodal}) | {
        "context": True,  # False: each utterance is predicted by itself
        "modality_dropout": 0.0,  # rate at which a modality goes missing in training
    }


def tower(hidden: Sequence[int], dense: int, dropout: float = 0.3) -> dict[str, Any]:
    """A cLSTM block that reads features, a share of which it may drop while training."""
    return clstm(hidden, dense, dropout) | {"input_dropout": 0.3}


def clstm(hidden: Sequence[int], dense: int, dropout: float = 0.3) -> dict[str, Any]:
    """Sizes of a cLSTM block: units of its LSTM layers and of its dense layer; dropout rate."""
    return {"hidden": tuple(hidden), "dense": dense, "dropout": dropout}


def training(name: str = NAME) -> dict[str, Any]:
    """Returns all settings of training: the towers, then the fusion on frozen towers; a new dict.

    Args:
        name: of the recipe, see `papers`.
    """
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
            "learning_rate": {"default": 1e-3 if name == CLSTM_LF else 1e-2},
            "epochs": 200,
            "patience": 20,
            "answers": "training",  # of the towers; or out_of_fold: of others that did not see them
        }
        | shared,
    }


def _sizes(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"hidden": list(block["hidden"]), "dense": block["dense"]}


def _attention(place: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    skip = settings.get("skip", "add")
    if skip not in _SKIPS:
        raise InputError(f"{place}.skip", repr(skip), nearest(str(skip), _SKIPS))
    for name in ("model", "key", "value"):
        check_size(f"{place}.{name}", settings[name])
    if skip == "add" and settings["value"] != settings["model"]:
        found = f"{settings['value']}, with model {settings['model']}"
        raise InputError(f"{place}.value", found, "equal sizes, or skip=concatenate")
    return dict(settings)


def _block(place: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    check_sizes(f"{place}.hidden", settings["hidden"])
    check_size(f"{place}.dense", settings["dense"])
    for name in ("dropout", "input_dropout"):
        check_rate(f"{place}.{name}", settings.get(name, 0.0))
    return clstm(settings["hidden"], settings["dense"], settings["dropout"])


def _fusion(settings: Mapping[str, Any], classes: int) -> LateFusion:
    kind = settings["kind"]
    if kind not in _LATE:
        raise InputError("network.fusion.kind", repr(kind), nearest(str(kind), _LATE))
    sizes = clstm((300,), 200) | dict(settings)
    block = _block("network.fusion", sizes) if kind == "clstm" else None
    return LateFusion(classes, block, bool(settings.get("numbers", False)))
