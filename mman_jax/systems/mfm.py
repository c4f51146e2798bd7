"""MFM, the multimodal factorization model (Tsai, Liang et al. 2019), the paper's [29].

A shared factor of all modalities predicts the labels; together with a private factor of each
modality it reconstructs that modality. If cells are utterances, an utterance is predicted from the
conversation so far and reconstructed independently, by a single step of the decoder, whose
recurrent kernel then has no effect. If cells are words, an utterance is reconstructed word by word
from the factors at its last word. Sizes, rates and loss weights are those of the only configuration
written out in the authors' code. Two things differ from that code: the losses exclude padding, and
dropout acts only in training.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import freeze

from mman_jax.errors import InputError
from mman_jax.layers.dense import Perceptron
from mman_jax.layers.recurrent import LSTM, FramesLSTM
from mman_jax.systems.base import Losses, Outputs, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import (
    Ranges,
    Rate,
    Size,
    Sizes,
    around,
    of_modality,
    one_of,
    one_stage,
)
from mman_jax.types import Array, Inputs


def _check_four(place: str, sizes: tuple[int, ...]) -> None:
    if len(sizes) != 4:
        raise InputError(place, f"{len(sizes)} sizes", "four")


class MFM(System):
    """A shared code from a memory fusion network, and a private code per modality from an LSTM.

    Mappings have a value for each modality's name, or for `default`.

    Attributes:
        private: z_m, units of a modality's encoder and code.
        shared: z_y, units of the shared code.
        private_factor: f_m, units of a modality's factor.
        shared_factor: f_y, units of the shared factor.
        hidden: H of each LSTM of the memory fusion network.
        memory: units of its memory.
        inner: units inside its networks: attention, candidate, retain gate and update gate.
        inner_dropout: rate inside these networks.
        private_dropout: rate inside the network of a modality's factor.
        shared_dropout: rate inside the network of the shared factor.
        dropout: rate inside the network that predicts the labels.
        rebuilding: weight of a modality's squared reconstruction error in the loss.
        discrepancy: weight of each code's distance from a normal distribution in the loss.
        cells: kind of cells, `utterances` or `words`.
    """

    paper = Citation(
        "MFM",
        "shared and modality-specific factors",
        "Tsai, Liang et al. 2019",
        {"binary4": ("90.2", "88.4", "72.1", "87.5")},
        selection="best of a random search on the test part",
    )

    private: Mapping[str, Size] = freeze({"default": 32, "text": 32, "speech": 8, "visual": 80})
    shared: Size = 32
    private_factor: Mapping[str, Size] = freeze(
        {"default": 8, "text": 88, "speech": 8, "visual": 8}
    )
    shared_factor: Size = 16
    hidden: Mapping[str, Size] = freeze({"default": 64, "text": 88, "speech": 64, "visual": 48})
    memory: Size = 64
    inner: Annotated[Sizes, _check_four] = (128, 128, 128, 128)
    inner_dropout: Rate = 0.5
    private_dropout: Mapping[str, Rate] = freeze(
        {"default": 0.2, "text": 0.2, "speech": 0.2, "visual": 0.7}
    )
    shared_dropout: Rate = 0.0
    dropout: Rate = 0.0
    rebuilding: Mapping[str, float] = freeze(
        {"default": 0.5, "text": 1.0, "speech": 0.01, "visual": 0.5}
    )
    discrepancy: float = 1.0
    cells: Annotated[str, one_of("utterances", "words")] = "utterances"

    ranges: ClassVar[Ranges] = {
        "network.shared": around(32, 0.5, 4),
        "network.memory": around(64, 0.5, 4),
        "network.discrepancy": {"low": 0.01, "high": 10.0, "log": True},
    }

    training: ClassVar[dict[str, Any]] = one_stage(batch=2, falls_after=10, epochs=30, patience=30)

    @nn.compact
    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes logits [B, U, C] of `answer`; see `System.__call__`.

        In training the outputs also contain, for `losses`: `codes`, the codes z [B, U, ...] of each
        modality and `shared`; `normal`, samples of a normal distribution with the same shapes; and
        `rebuilt`, the reconstructed features of each modality.
        """
        features, reset, present = inputs.features, inputs.reset, inputs.present
        masks = {m: p for m, p in present.items() if m in self.modalities}
        x = {
            m: jnp.where(masks[m][..., None], features[m], 0) if m in masks else features[m]
            for m in self.modalities
        }
        before, encoders, codes = (state or {}).get("encoders", {}), {}, {}
        for m in self.modalities:
            size = self._setting("private", m)
            encoder = LSTM(size, name=f"encoder_{m}")
            code, encoders[m] = encoder(x[m], reset, masks.get(m), before.get(m))
            codes[m] = nn.Dense(size, name=f"code_{m}")(code)
        hidden = {m: self._setting("hidden", m) for m in self.modalities}
        mfn = MFN(self.modalities, hidden, self.memory, self.inner, self.inner_dropout, name="mfn")
        fused, fusion = mfn(x, reset, (state or {}).get("mfn"), train, masks)
        code = nn.Dense(self.shared, name="code")(fused)
        size = self.shared_factor
        factor = Perceptron(size, size, self.shared_dropout, name="factor")(code, train)
        factor = nn.relu(factor)
        answer = Perceptron(size, self.outputs, self.dropout, name="answer")(factor, train)
        outputs = {"answer": answer}
        if train or self.is_initializing():
            outputs["rebuilt"] = self._rebuild(factor, codes, x, reset, train)
        if train:
            outputs["codes"] = {"shared": code} | codes
            outputs["normal"] = {
                name: jax.random.normal(self.make_rng("dropout"), z.shape)
                for name, z in outputs["codes"].items()
            }
        return outputs, {"encoders": encoders, "mfn": fusion}

    def losses(self, outputs: Mapping[str, Array], inputs: Inputs, labels: Array) -> Losses:
        """See `System.losses`.

        They are `rebuilding_<modality>`, over the cells where the modality is present, and
        `discrepancy` and `discrepancy_<modality>`, computed by each device over its rows.
        """
        real = counted = inputs.mask
        if self.cells == "words":  # an utterance's code is that of its last word
            last = _last_cells(inputs.reset)
            counted = real & (last == jnp.arange(last.shape[1]))
        losses = {"discrepancy": self._discrepancy(outputs, "shared", counted)}
        for m in self.modalities:
            x, present = inputs.features[m], inputs.present.get(m, real)
            x = jnp.where(present[..., None], x, 0) if m in inputs.present else x
            errors = jnp.mean((outputs["rebuilt"][m] - x) ** 2, axis=-1)
            loss = self._setting("rebuilding", m) * jnp.sum(jnp.where(real & present, errors, 0))
            cells = jnp.sum(real & present, dtype=jnp.float32)
            losses[f"rebuilding_{m}"] = loss, cells
            losses[f"discrepancy_{m}"] = self._discrepancy(outputs, m, counted & present)
        return losses

    def _rebuild(self, factor, codes, x, reset, train) -> dict[str, Array]:
        rebuilt = {}
        for m in self.modalities:
            size = self._setting("private_factor", m)
            net = Perceptron(size, size, self._setting("private_dropout", m), name=f"factor_{m}")
            both = jnp.concatenate([factor, nn.relu(net(codes[m], train))], axis=-1)
            size, name = both.shape[-1], f"decoder_{m}"
            if self.cells == "words":
                last = _last_cells(reset)
                both = jnp.take_along_axis(both, last[..., None], axis=1)
                hidden, _ = LSTM(size, feeds_back=True, name=name)(both, reset)
            else:
                decoder = FramesLSTM(size, feeds_back=True, name=name)
                steps = decoder(both[:, :, None], jnp.ones((*reset.shape, 1), bool))
                hidden = steps[0][:, :, 0]
            rebuilt[m] = nn.Dense(x[m].shape[-1], name=f"rebuild_{m}")(hidden)
        return rebuilt

    def _discrepancy(self, outputs, name, counted) -> tuple[Array, Array]:
        weights = counted.reshape(-1).astype(jnp.float32)
        flat, sample = (
            z.reshape(-1, z.shape[-1]) for z in (outputs["codes"][name], outputs["normal"][name])
        )
        cells = jnp.sum(weights)
        return self.discrepancy * cells * discrepancy(flat, sample, weights, weights), cells

    def _setting(self, name: str, modality: str) -> Any:
        return of_modality(f"network.{name}", getattr(self, name), modality)


class MFN(nn.Module):
    """An LSTM for each modality, attention over the changes of their cell states, a gated memory.

    This is the memory fusion network (Zadeh et al. 2018). Parameters are under `lstm_<modality>`,
    `attention`, `candidate` and `memory`; the attributes are as in `MFM`.
    """

    modalities: Sequence[str]
    hidden: Mapping[str, int]
    memory: int
    inner: Sequence[int]
    dropout: float

    @nn.compact
    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Any,
        train: bool,
        present: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Any]]:
        """Runs over the cells of each row, with features [B, U, D] of each modality.

        Where a modality is missing, its LSTM keeps its state; if all modalities are missing, so
        does the memory.

        Returns:
            The hidden states of all modalities and the memory, [B, U, sum of H + memory] float32;
            and the state after the last cell.
        """
        if state is None:
            rows = reset.shape[0]
            sizes = {m: jnp.zeros((rows, self.hidden[m])) for m in self.modalities}
            state = {"lstm": {m: (x, x) for m, x in sizes.items()}}
            state["memory"] = jnp.zeros((rows, self.memory))
        keep = 1.0 - reset[..., None].astype(jnp.float32)
        outputs, before, after, last = [], [], [], {}
        for m in self.modalities:
            start = state["lstm"][m]
            (hidden, cell), last[m] = LSTM(self.hidden[m], name=f"lstm_{m}")(
                features[m], reset, present.get(m), start, cells=True
            )
            outputs.append(hidden)
            before.append(jnp.concatenate([start[1][:, None], cell[:, :-1]], axis=1) * keep)
            after.append(cell)
        cells = jnp.concatenate(before + after, axis=-1)
        attention, candidate, retain, update = self.inner
        size = cells.shape[-1]
        scores = Perceptron(attention, size, self.dropout, name="attention")(cells, train)
        seen = jax.nn.softmax(scores) * cells
        new = Perceptron(candidate, self.memory, self.dropout, name="candidate")(seen, train)
        mask = None
        if all(m in present for m in self.modalities):
            mask = functools.reduce(jnp.logical_or, present.values())[..., None]
        scan = nn.scan(
            _Memory,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            in_axes=1,
            out_axes=1,
        )
        remember = scan(self.memory, retain, update, self.dropout, train, name="memory")
        memory, memories = remember(state["memory"], (seen, jnp.tanh(new), keep, mask))
        return jnp.concatenate([*outputs, memories], axis=-1), {"lstm": last, "memory": memory}


class _Memory(nn.Module):
    """One step of the gated memory."""

    size: int
    retain: int
    update: int
    dropout: float
    train: bool

    @nn.compact
    def __call__(self, memory, step):
        seen, candidate, keep, mask = step
        memory = memory * keep
        both = jnp.concatenate([seen, memory], axis=-1)

        def gate(name, units):
            net = Perceptron(units, self.size, self.dropout, name=name)
            return jax.nn.sigmoid(net(both, self.train))

        new = gate("retain", self.retain) * memory + gate("update", self.update) * candidate
        if mask is not None:
            new = jnp.where(mask, new, memory)
        return new, new


def discrepancy(one: Array, other: Array, one_weights: Array, other_weights: Array) -> Array:
    """Computes the squared maximum mean discrepancy of two weighted samples [N, D] and [K, D].

    The kernel is `exp(-|x - y|**2 / D**2)`, averaged over all pairs, including those of a point
    with itself.

    Examples:
        >>> one, other = jnp.array([[0, 1], [2, 0.]]), jnp.array([[1, 1], [0, 3], [1, 0.]])
        >>> round(float(discrepancy(one, other, jnp.ones(2), jnp.ones(3))), 6)
        0.172456
    """
    p, q = (w / jnp.maximum(jnp.sum(w), 1e-9) for w in (one_weights, other_weights))

    def mean(x, y, x_weights, y_weights):
        squares = jnp.sum(x * x, axis=-1)[:, None] + jnp.sum(y * y, axis=-1) - 2 * x @ y.T
        kernel = jnp.exp(-jnp.maximum(squares, 0) / x.shape[-1] ** 2)
        return x_weights @ kernel @ y_weights

    return mean(one, one, p, p) + mean(other, other, q, q) - 2 * mean(one, other, p, q)


def _last_cells(reset: Array) -> Array:
    """Returns the index [B, U] of the last cell of each cell's utterance."""
    length = reset.shape[1]
    starts = jnp.where(reset, jnp.arange(length), length)[:, 1:]
    starts = jnp.concatenate([starts, jnp.full_like(reset[:, :1], length, starts.dtype)], axis=1)
    return jax.lax.cummin(starts, axis=1, reverse=True) - 1
