"""MMAN: towers that predict independently, and a late fusion of their predictions.

With IEMOCAP's features, its sizes give the number of parameters in the paper's Table 2 (4 392 184).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import jax.numpy as jnp
import numpy as np

from mman_jax.errors import InputError, nearest
from mman_jax.layers.attention import MultiModalAttention
from mman_jax.layers.tower import LateFusion, Tower, drop_modalities
from mman_jax.systems.base import Outputs, Stage, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import (
    SHARED,
    TRAINING,
    Ranges,
    check_rate,
    check_size,
    check_sizes,
    one_of,
)
from mman_jax.types import Inputs

FUSION = "fusion"
NAME, CLSTM_EF, CLSTM_LF, CLSTM_MMA, _CLSTM = "mman", "clstm_ef", "clstm_lf", "clstm_mma", "clstm_"
"""Names of recipes; the cLSTM of a single modality is named `clstm_<modality>`."""

# Tables 2 and 3: accuracies in per cent, and parameters in millions.
_SPEECH = {"iemocap": ("57.12",), "parameters": ("1.27",)}
_EF = {"iemocap": ("69.75",), "parameters": ("2.00",)}
_LF = {"iemocap": ("71.78",), "parameters": ("4.73",)}
_MMA: dict[str, tuple[str, ...]] = {"iemocap": ("71.66",), "parameters": ("1.27",)}
_MMA |= {"binary4": ("92.15", "82.93", "76.99", "93.32")}
_MMAN: dict[str, tuple[str, ...]] = {"iemocap": ("73.94",), "parameters": ("4.39",)}
_MMAN |= {"binary4": ("92.68", "83.14", "75.61", "92.90")}
_SOURCE = "Pan et al. 2020"
_PAPERS = {
    CLSTM_EF: Citation("cLSTM-EF", "modalities concatenated", _SOURCE, _EF),
    CLSTM_LF: Citation("cLSTM-LF", "a tower per modality, fused by a cLSTM", _SOURCE, _LF),
    CLSTM_MMA: Citation("cLSTM-MMA", "the attention tower alone", _SOURCE, _MMA),
    NAME: Citation("MMAN", "all towers, frozen, and a dense fusion", _SOURCE, _MMAN),
}

CLAIMS = (
    ("attention beats concatenation", CLSTM_MMA, CLSTM_EF, "more"),
    ("cLSTM-MMA is level with cLSTM-LF", CLSTM_MMA, CLSTM_LF, "level"),
    ("MMAN beats cLSTM-MMA", NAME, CLSTM_MMA, "more"),
    ("MMAN beats cLSTM-LF", NAME, CLSTM_LF, "more"),
    ("cLSTM-MMA beats the pairwise network MulT", CLSTM_MMA, "mult", "more"),
)
"""The paper's claims: two systems, and whether the first is more accurate or equally accurate."""

EARLY = {"attention": "mma", "concatenation": "ef"}
"""Names of the tower of all modalities, by the kind of its early fusion."""

_LATE = ("dense", "clstm", "mean", "best")
_FUSED = ("probabilities", "log_probabilities")


class MMAN(System):
    """Towers and, if there are several, the late fusion of their predictions.

    Parameters are under `towers_<name>` and `fusion`.

    Attributes:
        towers: the sub-networks by name.
        inputs: the modalities that each tower reads.
        fusion: the late fusion; None if the system is a single tower.
        context: whether a prediction depends on the earlier utterances of the conversation.
        modality_dropout: rate at which a modality of an utterance is dropped in training.
    """

    towers: Mapping[str, Tower]
    inputs: Mapping[str, Sequence[str]]
    fusion: LateFusion | None = None
    context: bool = True
    modality_dropout: float = 0.0

    torch_module = "mman_jax.systems.mman_pytorch_network"

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
        """See `System.search_space`; each tower and the fusion have separate settings."""
        share: dict[str, Any] = {"low": 0.0, "high": 0.7}
        units: dict[str, Any] = {"low": 32, "high": 300, "log": True}
        if not head:
            return {
                "train.batch": {"low": 5, "high": 40, "log": True},
                "train.towers.weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
                "network.modality_dropout": {"low": 0.0, "high": 0.3},
                **TRAINING,
            }
        if head == FUSION:
            return {
                "network.fusion.kind": {"choices": _LATE},
                "network.fusion.inputs": {"choices": _FUSED},
                "train.fusion.from_start": {"choices": (False, True)},
                "train.fusion.pull": {"choices": (0.0, 0.01, 0.1, 1.0)},
                "train.fusion.learning_rate.default": {"low": 1e-4, "high": 3e-2, "log": True},
                "train.fusion.answers": {"choices": ("training", "out_of_fold")},
            }
        block = "network.early" if head in EARLY.values() else f"network.unimodal.{head}"
        ranges: Ranges = {
            f"train.towers.learning_rate.{head}": {"low": 1e-4, "high": 5e-3, "log": True},
            f"{block}.dropout": share,
            f"{block}.input_dropout": share,
            f"{block}.hidden": units,
            f"{block}.dense": units,
        }
        if head == EARLY["attention"]:
            ranges["network.early.attention.model|key|value"] = units | {"high": 200}
        return ranges

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], modalities: Sequence[str], outputs: int
    ) -> Self:
        """Builds the system from settings such as `network()`.

        Args:
            settings: optional entries: `unimodal`, sizes of the uni-modal towers by modality or
                `default`; `early`, the tower of all modalities, whose `kind` is `attention` or
                `concatenation`; `fusion`, the late fusion, whose `kind` is `dense`, `clstm`, `mean`
                or `best`, required unless there is one tower; `context`; `modality_dropout`.
            modalities: names, in order.
            outputs: C.

        Raises:
            InputError: a setting is invalid, or the towers and the fusion do not fit together.
        """
        known = ("unimodal", "early", "fusion", "context", "modality_dropout")
        for name in settings:
            if name not in known:
                raise InputError(f"network.{name}", "unknown", nearest(name, known))
        rate = settings.get("modality_dropout", 0.0)
        check_rate("network.modality_dropout", rate, below_one=True)
        reserved = {*EARLY.values(), FUSION} & set(modalities)
        if reserved:
            expected = "names other than those of the early towers and the fusion"
            raise InputError("modalities", f"one is named {reserved.pop()!r}", expected)
        towers, inputs = _towers(settings, modalities, outputs)
        fusion = _fusion(settings["fusion"], outputs) if "fusion" in settings else None
        if not towers or (fusion is None and len(towers) > 1):
            found = f"towers: {', '.join(towers) or 'none'}; fusion: {fusion and fusion.kind}"
            raise InputError("network", found, "one tower, or towers and a fusion")
        return cls(
            modalities=tuple(modalities),
            outputs=outputs,
            towers=towers,
            inputs=inputs,
            fusion=fusion,
            context=settings.get("context", True),
            modality_dropout=rate,
        )

    @classmethod
    def for_numbers(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """See `System.for_numbers`; the fusion then reads the towers' numbers directly."""
        if FUSION not in settings:
            return dict(settings)
        return dict(settings) | {FUSION: dict(settings[FUSION]) | {"numbers": True}}

    def stages(self) -> tuple[Stage, ...]:
        """Returns the towers' stage, a head per tower, then the fusion of the frozen towers."""
        towers = Stage("towers", "predict", tuple(self.towers))
        late = () if self.fusion is None else (Stage(FUSION, "fuse", (FUSION,), reads="predict"),)
        return towers, *late

    def chosen_params(self, stage: str, losses: np.ndarray) -> dict[str, Any]:
        """See `System.chosen_params`; the fusion `best` uses the tower with the lowest loss."""
        if self.fusion is None or stage != FUSION or self.fusion.kind != "best":
            return {}
        return {FUSION: {"choice": np.eye(len(self.towers), dtype=np.float32)[losses.argmin(1)]}}

    def architecture(self) -> dict[str, Any]:
        """See `System.architecture`."""
        towers = []
        for name, tower in self.towers.items():
            attention = None
            if tower.attention is not None:
                module = MultiModalAttention(**tower.attention, parent=None)
                sizes = ("model", "key", "value", "shared", "skip")
                attention = {size: getattr(module, size) for size in sizes}
            entry = {"name": name, "modalities": list(self.inputs[name]), "attention": attention}
            towers.append(entry | {"skip": tower.skip} | _sizes(tower.block))
        fusion, late = None, self.fusion
        if late is not None:
            block = None if late.block is None else _sizes(late.block)
            fusion = {"kind": late.kind, "inputs": late.inputs, "clstm": block}
        described = {"classes": self.outputs, "context": self.context}
        return described | {"towers": towers, "fusion": fusion}

    @property
    def in_context(self) -> bool:
        """See `System.in_context`."""
        return self.context

    @property
    def attends(self) -> tuple[str, ...]:
        """See `System.attends`; the attention tower's modalities."""
        return tuple(self.inputs.get(EARLY["attention"], ()))

    def predict(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes the logits [B, U, C] float32 and the state of every tower, by name.

        With `train`, modalities are also dropped at `modality_dropout`.
        """
        features, reset, present = inputs.features, inputs.reset, inputs.present
        logits, last = {}, {}
        reset = reset if self.context else jnp.ones_like(reset)
        if train and self.modality_dropout:
            present = drop_modalities(features, present, self.modality_dropout, self.make_rng)
        for name, tower in self.towers.items():
            subset = {m: features[m] for m in self.inputs[name]}
            before = (state or {}).get(name)
            logits[name], last[name] = tower(subset, reset, before, train, present)
        return logits, last

    def fuse(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes the logits [B, U, C] float32 and the state of the fusion, both under `fusion`.

        The features of `inputs` are the towers' logits [B, U, C] float32.
        """
        # Restores the towers' order, since jit and scan sort the keys of a mapping.
        predictions = {name: inputs.features[name] for name in self.towers}
        assert self.fusion is not None, "a stage of a system without fusion"
        reset = inputs.reset if self.context else jnp.ones_like(inputs.reset)
        fused, last = self.fusion(predictions, reset, (state or {}).get(FUSION), train)
        return {FUSION: fused}, {FUSION: last}

    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes the logits [B, U, C] and the states of the towers and the fusion."""
        logits, last = self.predict(inputs, state, train)
        if self.fusion is not None:
            fused, fused_last = self.fuse(inputs._replace(features=logits), state, train)
            logits, last = logits | fused, last | fused_last
        return logits, last


def _towers(
    settings: Mapping[str, Any], modalities: Sequence[str], classes: int
) -> tuple[dict[str, Tower], dict[str, tuple[str, ...]]]:
    """Returns the towers by name, and the modalities that each reads."""
    towers: dict[str, Tower] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    for modality in modalities if "unimodal" in settings else ():
        entry = modality if modality in settings["unimodal"] else "default"
        sizes = settings["unimodal"][entry]
        towers[modality] = _tower(f"network.unimodal.{entry}", sizes, classes)
        inputs[modality] = (modality,)
    if "early" in settings:
        early = settings["early"]
        one_of(*EARLY)("network.early.kind", early["kind"])
        name, attention = EARLY[early["kind"]], None
        if early["kind"] == "attention":
            attention = _attention("network.early.attention", early["attention"])
        towers[name] = _tower("network.early", early, classes, attention)
        inputs[name] = tuple(modalities)
    return towers, inputs


def papers(modalities: Sequence[str]) -> dict[str, Citation]:
    """Returns the paper's systems, MMAN and its cLSTMs, by the names of their recipes."""
    unimodal = {}
    for m in modalities:
        published = _SPEECH if m == "speech" else {}
        unimodal[f"{_CLSTM}{m}"] = Citation(
            f"cLSTM-{m.capitalize()}", f"{m} alone", _SOURCE, published
        )
    return unimodal | _PAPERS


def modality_of(name: str) -> str:
    """Returns the modality that a uni-modal recipe reads; empty if the recipe reads all.

    Raises:
        InputError: the recipe is unknown.
    """
    if name not in _PAPERS and not name.startswith(_CLSTM):
        raise InputError("recipe", repr(name), nearest(name, (*_PAPERS, f"{_CLSTM}speech")))
    return "" if name in _PAPERS else name.removeprefix(_CLSTM)


def single_towers(
    settings: Mapping[str, Any], modalities: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Returns the settings of the network of each tower alone, by the tower's name."""
    shared = {name: settings[name] for name in ("context", "modality_dropout")}
    towers = {}
    for name in modalities if "unimodal" in settings else ():
        block = settings["unimodal"].get(name, settings["unimodal"]["default"])
        towers[name] = shared | {"unimodal": {"default": block}}
    if "early" in settings:
        towers[EARLY[settings["early"]["kind"]]] = shared | {"early": settings["early"]}
    return towers


def network(name: str = NAME) -> dict[str, Any]:
    """Returns the settings of a recipe's network (see `papers`), as a new dict."""
    attention = {"model": 150, "key": 150, "value": 150, "shared": True, "skip": "add"}
    unimodal = {"default": tower((300, 300), 200)}
    early = tower((300,), 200) | {"kind": "attention", "attention": attention}
    inputs = {"inputs": _FUSED[0]}
    parts = {
        NAME: {
            "unimodal": unimodal | {"visual": tower((150, 150), 50)},
            "early": early,
            "fusion": {"kind": "dense"} | inputs,
        },
        CLSTM_EF: {"early": tower((300, 300), 200) | {"kind": "concatenation"}},
        CLSTM_LF: {"unimodal": unimodal, "fusion": clstm((300,), 200) | {"kind": "clstm"} | inputs},
        CLSTM_MMA: {"early": early},
    }
    return parts.get(name, {"unimodal": unimodal}) | {
        "context": True,  # False: each utterance is predicted by itself
        "modality_dropout": 0.0,  # rate at which a modality is dropped in training
    }


def tower(hidden: Sequence[int], dense: int, dropout: float = 0.3) -> dict[str, Any]:
    """Returns sizes of a cLSTM block that reads features, with dropout on them."""
    return clstm(hidden, dense, dropout) | {"input_dropout": 0.3, "skip": False}


def clstm(hidden: Sequence[int], dense: int, dropout: float = 0.3) -> dict[str, Any]:
    """Returns sizes of a cLSTM block: units of its LSTM layers and dense layer; dropout rate."""
    return {"hidden": tuple(hidden), "dense": dense, "dropout": dropout}


def training(name: str = NAME) -> dict[str, Any]:
    """Returns the training settings of a recipe (see `papers`), as a new dict."""
    shared = {"optimizer": "adamw", "weight_decay": 1e-5, "clip": 1.0}
    return {
        **SHARED,
        "towers": {
            "rules": (("fusion/.*", False), ("towers_.*", True)),
            "learning_rate": {"default": 1e-3},  # and rates of single towers, by name
            "epochs": 80,
            "patience": 10,
        }
        | shared,
        "fusion": {
            "rules": (("fusion/.*", True), ("towers_.*", False)),
            "learning_rate": {"default": 1e-3 if name == CLSTM_LF else 1e-2},
            "epochs": 200,
            "patience": 20,
            "answers": "training",  # the towers' predictions; or out_of_fold
            "from_start": False,  # whether the parameters before the first step may be selected
            "pull": 0.0,  # penalty on the squared distance from these parameters
        }
        | shared,
    }


def _sizes(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"hidden": list(block["hidden"]), "dense": block["dense"]}


def _attention(place: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    skip = settings.get("skip", "add")
    one_of("add", "concatenate")(f"{place}.skip", skip)
    for name in ("model", "key", "value"):
        check_size(f"{place}.{name}", settings[name])
    if skip == "add" and settings["value"] != settings["model"]:
        found = f"{settings['value']}, with model {settings['model']}"
        raise InputError(f"{place}.value", found, "equal sizes, or skip=concatenate")
    return dict(settings)


def _tower(place: str, settings: Mapping[str, Any], classes: int, attention: Any = None) -> Tower:
    block, skip = _block(place, settings), bool(settings.get("skip", False))
    return Tower(block, classes, attention, settings["input_dropout"], skip)


def _block(place: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    check_sizes(f"{place}.hidden", settings["hidden"])
    check_size(f"{place}.dense", settings["dense"])
    for name in ("dropout", "input_dropout"):
        check_rate(f"{place}.{name}", settings.get(name, 0.0))
    return clstm(settings["hidden"], settings["dense"], settings["dropout"])


def _fusion(settings: Mapping[str, Any], classes: int) -> LateFusion:
    kind, inputs = settings["kind"], settings.get("inputs", _FUSED[0])
    one_of(*_LATE)("network.fusion.kind", kind)
    one_of(*_FUSED)("network.fusion.inputs", inputs)
    sizes = clstm((300,), 200) | dict(settings)
    block = _block("network.fusion", sizes) if kind == "clstm" else None
    numbers = bool(settings.get("numbers", False))
    return LateFusion(classes, kind, block, numbers, inputs)
