"""SDT (Ma et al. 2024): attention between all pairs of modalities, with self-distillation.

An encoder for each ordered pair of modalities lets the first one's utterances attend to those of
the second; gates select features of the results and weigh the modalities, and each modality also
learns the predictions of all together. `SDT` is the published form, which attends to the whole
conversation; in `SDTCausal` an utterance attends only to itself and earlier ones, for predictions
turn by turn.

Sizes and rates are those of the authors' public code for IEMOCAP. Three things differ from it:
slots of speakers are assigned in the order in which they first speak, not by gender; a modality
that is missing is neither attended to nor weighed; and the layers of that code that have no effect
are left out.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.attention import after, band, keep, multihead, weigh
from mman_jax.layers.dense import Linear
from mman_jax.systems.base import Losses, Outputs, Stage, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import SPEAKERS, Ranges, Rate, Size, around, one_of, one_stage
from mman_jax.systems.step import Scope
from mman_jax.types import Array, Inputs

ANSWER = "answer"


class SDT(System):
    """The published form, which attends to the whole conversation. Parameters are under `answer`.

    Attributes:
        size: D, units of every layer; a multiple of `heads`.
        heads: heads of the attention.
        gate: `learned`, or `fixed` (no parameters), as in the authors' settings for MELD.
        window: number of utterances that the causal form attends to, the current one included.
        parties: number of slots for speakers.
        dropout: rate of all dropout layers.
        temperature: divisor of the logits in the distillation.
    """

    paper = Citation(
        "SDT",
        "attention between all modalities, distilled into each; sees later utterances",
        "Ma et al. 2024",
        {"iemocap6": ("74.08",), "meld7": ("66.60",)},
        by_name=True,
        selection="best on the test part",
    )

    size: Size = 1024
    heads: Size = 8
    gate: Annotated[str, one_of("learned", "fixed")] = "learned"
    window: Size = 64
    parties: Size = 9
    dropout: Rate = 0.5
    temperature: float = 1.0

    causal: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    reads: ClassVar[frozenset[str]] = frozenset({SPEAKERS})
    label_kinds: ClassVar[frozenset[str]] = frozenset({"classes", "votes"})
    cell_kinds: ClassVar[frozenset[str]] = frozenset({"utterances"})

    ranges: ClassVar[Ranges] = {
        "network.size": {"choices": (1024, 512, 256, 128)},
        "network.temperature": around(1.0, 1, 8),
    }

    training: ClassVar[dict[str, Any]] = one_stage(
        batch=16, epochs=150, patience=10,
        optimizer="adam_l2", weight_decay=1e-5, learning_rate={"default": 1e-4},
    ) | {"class_weights": True}  # fmt: skip

    def stages(self) -> tuple[Stage, ...]:
        """Returns one stage; the predictions of the modalities share the layers of `answer`."""
        return (Stage("all", "__call__", (*self.modalities, ANSWER)),)

    def losses(self, outputs: Mapping[str, Array], inputs: Inputs, labels: Array) -> Losses:
        """Returns the divergence of each modality's predictions from those of all, in nats.

        As in the authors' code, all cells count, scored or not, and all modalities learn from
        `answer` while it also learns from them.
        """
        teacher = jax.nn.log_softmax(outputs[ANSWER] / self.temperature)
        losses = {}
        for name in self.modalities:
            student = jax.nn.log_softmax(outputs[name] / self.temperature)
            divergence = jnp.sum(jnp.exp(teacher) * (teacher - student), axis=-1)
            counted = inputs.mask & inputs.present.get(name, True)
            losses[f"distilled_{name}"] = (
                jnp.sum(jnp.where(counted, divergence, 0)),
                jnp.sum(counted, dtype=jnp.float32),
            )
        return losses

    @nn.compact
    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes logits [B, U, C] of every modality and of `answer`; see `System.__call__`.

        The state, float32, has the number of utterances of the conversation so far [B], and for its
        last W utterances the placed modalities [B, W, M, D] and which were present [B, W, M].
        """
        logits, after_row = Scope(name=ANSWER)(self._network, inputs, state or {}, train)
        return logits, after_row if self.causal else None

    @nn.nowrap
    def _network(self, inputs, state, train) -> tuple[dict[str, Array], dict[str, Array]]:
        cells = inputs.reset.shape[1]
        window = self.window if self.causal else cells
        visible = band(inputs.reset, window, state.get("count"), ahead=not self.causal)
        there = jnp.stack(
            [inputs.present.get(m, inputs.mask) & inputs.mask for m in self.modalities], axis=-1
        )
        speakers = inputs.speakers
        if speakers is None:
            speakers = jnp.zeros_like(inputs.reset, jnp.int32)
        embed = nn.Embed(
            self.parties, self.size, embedding_init=nn.initializers.normal(1.0), name="speaker"
        )
        place = interleaved(visible.position, self.size) + embed(speakers)
        projected = []
        for i, m in enumerate(self.modalities):
            x = jnp.where(there[..., i, None], inputs.features[m], 0)
            projected.append(Linear(self.size, use_bias=False, name=f"project_{m}")(x) + place)
        placed = jnp.stack(projected, axis=2)
        sources = after(state.get("placed"), placed)
        known = after(state.get("there"), there.astype(jnp.float32)) > 0
        reduced = []
        for i, target in enumerate(self.modalities):
            others = [j for j in range(len(self.modalities)) if j != i]
            parts = []
            for j in (i, *others):
                name = f"{target}_{self.modalities[j]}"
                seen = visible.seen & known[:, None, :, j]
                encoder = Encoder(self.heads, self.dropout, name=f"encoder_{name}")
                x = encoder(placed[:, :, i], sources[:, :, j], seen, train)
                learned = self.gate == "learned"
                gate = Linear(self.size, use_bias=False, name=f"gate_{name}")(x) if learned else x
                parts.append(x * nn.sigmoid(gate))
            joined = jnp.concatenate(parts, axis=-1)
            reduced.append(Linear(self.size, name=f"reduce_{target}")(joined))
        stacked = jnp.stack(reduced, axis=-1)  # [B, U, D, M]
        shared = Linear(self.size, use_bias=False, name="weigh")
        scores = jnp.stack([shared(x) for x in reduced], axis=-1)
        fused = jnp.sum(weigh(scores, there[:, :, None]) * stacked, axis=-1)
        logits = {ANSWER: Linear(self.outputs, name="output")(fused)}
        for m, x in zip(self.modalities, reduced, strict=True):
            hidden = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(x))
            logits[m] = Linear(self.outputs, name=f"output_{m}")(hidden)
        last = {
            "count": visible.count,
            "placed": keep(state.get("placed"), placed, self.window),
            "there": keep(state.get("there"), there.astype(jnp.float32), self.window),
        }
        return logits, last


class SDTCausal(SDT):
    """The causal form: an utterance attends to itself and earlier ones."""

    paper = Citation(
        "SDT (causal)",
        "attention between all modalities, distilled into each",
        "Ma et al. 2024",
        by_name=True,
    )

    causal: ClassVar[bool] = True
    streams: ClassVar[bool] = True


class Encoder(nn.Module):
    """A layer in which the utterances of one modality attend to those of another or the same one.

    Dropout acts on the inputs, the weights and all outputs.
    """

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, target: Array, source: Array, seen: Array, train: bool) -> Array:
        """Returns [B, U, D] float32, given [B, U, D] and [B, K, D]; `seen` is [B, U, K] bool."""

        def drop(x):
            return nn.Dropout(self.dropout, deterministic=not train)(x)

        size = target.shape[-1]
        target, source = drop(target), drop(source)
        queries, keys, values = (
            Linear(size, name=name)(x)
            for name, x in (("query", target), ("key", source), ("value", source))
        )
        attended = multihead(queries, keys, values, self.heads, seen, drop)
        x = target + drop(Linear(size, name="output")(attended))
        hidden = nn.gelu(Linear(size, name="dense_0")(nn.LayerNorm(1e-6, name="norm")(x)))
        return x + drop(Linear(size, name="dense_1")(drop(hidden)))


def interleaved(position: Array, size: int) -> Array:
    """Returns positional encodings [..., size]: alternating sines and cosines."""
    angles = position[..., None] * 1e4 ** (-jnp.arange(0, size, 2) / size)
    waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return waves.reshape(*position.shape, -1)[..., :size]
