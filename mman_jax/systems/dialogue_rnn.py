"""DialogueRNN (Majumder et al. 2019): recurrent states of a conversation and of its speakers.

A global state follows the conversation, one state per speaker follows that speaker's turns, and an
emotion state predicts the labels. Before a speaker's state is updated, attention selects from the
earlier global states. `DialogueRNN` reads the conversation forwards and answers turn by turn;
`DialogueRNNBi` is the published form, which also reads it backwards and attends over all emotion
states. Sizes and rates are those of the authors' public code for IEMOCAP.

Two things differ from that code. A conversation has a bounded number of slots for speakers, so that
the size of a stream's state is constant; and the attention sees a bounded number of earlier
utterances, which exceeds the length of any conversation of IEMOCAP or MELD.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.attention import after, band, keep, weigh
from mman_jax.layers.dense import Linear, uniform
from mman_jax.layers.recurrent import GRUCell, backwards, gru_step
from mman_jax.systems.base import Outputs, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import SPEAKERS, Ranges, Rate, Size, around, one_of, one_stage
from mman_jax.types import Array, Inputs

States = dict[str, Array]
"""`history` [B, G], `parties` [B, P + 1, Q] and `emotion` [B, E] float32.

The last party is the initial state of a new speaker.
"""


class Turns(NamedTuple):
    """The speakers of turns; all arrays are [B, U].

    Attributes:
        mask: False where the states pass unchanged.
        reset: True where a conversation or padding starts.
        slot: int32, the speaker's slot.
        new: True where the slot passes to this speaker.
    """

    mask: Array
    reset: Array
    slot: Array
    new: Array


class DialogueRNN(System):
    """The causal form: it reads the conversation forwards and predicts from the emotion state.

    Attributes:
        history: G, units of the global state.
        party: Q, units of the state of a speaker.
        emotion: E, units of the emotion state.
        dense: units of the dense layer before the classes.
        attention: `general`, where scores are products with a projection of the utterance, or
            `simple`, where they depend on the earlier global state alone.
        listener: whether a turn also updates the states of the other speakers.
        window: number of earlier utterances that the attention sees.
        parties: P, number of slots for speakers; if there are more, the one who has not spoken for
            the longest time loses the slot.
        state_dropout: rate on every new state.
        emotion_dropout: rate on the emotion states before they are read.
        dropout: rate after the dense layer.
    """

    paper = Citation(
        "DialogueRNN (causal)",
        "states of the conversation and of each speaker",
        "Majumder et al. 2019",
        by_name=True,
    )

    history: Size = 500
    party: Size = 500
    emotion: Size = 300
    dense: Size = 300
    attention: Annotated[str, one_of("general", "simple")] = "general"
    listener: bool = False
    window: Size = 128
    parties: Size = 9
    state_dropout: Rate = 0.1
    emotion_dropout: Rate = 0.25
    dropout: Rate = 0.1

    reads: ClassVar[frozenset[str]] = frozenset({SPEAKERS})
    directions: ClassVar[tuple[str, ...]] = ("forward",)

    ranges: ClassVar[Ranges] = {
        "network.history|party": around(500, 0.2, 1),
        "network.emotion|dense": around(300, 0.2, 1),
        "network.listener": {"choices": (False, True)},
    }

    training: ClassVar[dict[str, Any]] = one_stage(
        batch=30, epochs=60, patience=10,
        optimizer="adam_l2", weight_decay=1e-5, learning_rate={"default": 1e-4},
    ) | {"class_weights": True}  # fmt: skip

    def setup(self) -> None:
        """Creates the layers."""
        self.dialogue = {name: self._recurrence() for name in self.directions}
        self.drop_emotion, self.drop = nn.Dropout(self.emotion_dropout), nn.Dropout(self.dropout)
        self.hidden = Linear(len(self.directions) * self.dense)
        self.answer = Linear(self.outputs)

    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """See `System.__call__`."""
        x, talk = self._joined(inputs)
        emotions, state = self.dialogue["forward"](x, talk, state, train)
        return {"answer": self._read(self.drop_emotion(emotions, not train), train)}, state

    def _recurrence(self) -> "Dialogue":
        return Dialogue(
            history=self.history,
            party=self.party,
            emotion=self.emotion,
            attention=self.attention,
            listener=self.listener,
            window=self.window,
            parties=self.parties,
            state_dropout=self.state_dropout,
        )

    def _read(self, emotions: Array, train: bool) -> Array:
        return self.answer(self.drop(nn.relu(self.hidden(emotions)), not train))

    def _joined(self, inputs: Inputs) -> tuple[Array, Turns]:
        """Returns the features [B, U, D] of all modalities, and the turns.

        Cells without any modality are masked. Without speakers, all turns have the same speaker.
        """
        parts, anywhere = [], jnp.zeros_like(inputs.mask)
        for name in self.modalities:
            x, present = inputs.features[name], inputs.present.get(name)
            parts.append(x if present is None else jnp.where(present[..., None], x, 0))
            anywhere |= True if present is None else present
        slot, new = inputs.speakers, inputs.new_speaker
        if slot is None or new is None:
            slot, new = jnp.zeros(inputs.mask.shape, jnp.int32), jnp.zeros_like(inputs.mask)
        turns = Turns(inputs.mask & anywhere, inputs.reset, slot, new)
        return jnp.concatenate(parts, axis=-1), turns


class DialogueRNNBi(DialogueRNN):
    """The published form: two directions, and attention over all emotion states.

    Attributes:
        emotion_attention: whether each emotion state is replaced by a mean over the conversation,
            weighted by attention.
    """

    paper = Citation(
        "DialogueRNN",
        "states of the conversation and of each speaker; sees later utterances",
        "Majumder et al. 2019",
        {"iemocap6": ("62.75",), "meld7": ("57.03",)},
        by_name=True,
        selection="best on the test part",
    )

    emotion_attention: bool = True

    causal: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    directions: ClassVar[tuple[str, ...]] = ("forward", "backward")

    def setup(self) -> None:
        """Creates the layers."""
        super().setup()
        self.match = Linear(2 * self.emotion)

    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """See `System.__call__`; `state` is not used, since later utterances are read."""
        x, talk = self._joined(inputs)
        back = in_reverse(talk, self.parties)
        forward, _ = self.dialogue["forward"](x, talk, None, train)
        backward, _ = self.dialogue["backward"](x[:, ::-1], back, None, train)
        emotions = jnp.concatenate([forward, backward[:, ::-1]], axis=-1)
        emotions = self.drop_emotion(emotions, not train)
        if self.emotion_attention:
            segment = jnp.cumsum(talk.reset, axis=1)
            seen = (segment[:, :, None] == segment[:, None]) & talk.mask[:, None]
            scores = jnp.einsum("bue,bke->buk", self.match(emotions), emotions)
            emotions = jnp.einsum("buk,bke->bue", weigh(scores, seen), emotions)
        return {"answer": self._read(emotions, train)}, None


class Dialogue(nn.Module):
    """The recurrence in one direction; attributes as in `DialogueRNN`."""

    history: int
    party: int
    emotion: int
    attention: str
    listener: bool
    window: int
    parties: int
    state_dropout: float

    @nn.compact
    def __call__(
        self, x: Array, talk: Turns, state: dict[str, Any] | None, train: bool
    ) -> tuple[Array, dict[str, Any]]:
        """Returns emotion states [B, U, E] for features [B, U, D], and the state after the row."""
        rows, cells, _ = x.shape
        weights, turns = self._project(x)
        slot = jax.nn.one_hot(talk.slot, self.parties + 1)
        turns |= {
            "slot": slot,
            "taken": slot * talk.new[..., None],
            "keep": 1.0 - talk.reset[..., None],
            "real": talk.mask[..., None].astype(jnp.float32),
        }
        if train and self.state_dropout:
            turns |= self._masks(rows, cells)
        cached = state or {}
        visible = band(talk.reset, self.window + 1, cached.get("count"))
        real = after(cached.get("real"), turns["real"][..., 0])
        before = real.shape[1] - cells  # number of cached cells
        itself = jnp.arange(real.shape[1]) == jnp.arange(before, real.shape[1])[:, None]
        seen = visible.seen & ~itself & (real[:, None] > 0)
        states = cached.get("states") or {
            "history": jnp.zeros((rows, self.history)),
            "parties": jnp.zeros((rows, self.parties + 1, self.party)),
            "emotion": jnp.zeros((rows, self.emotion)),
        }
        memory = cached.get("memory", jnp.zeros((rows, 0, self.history)))
        by_turn = {name: jnp.swapaxes(values, 0, 1) for name, values in turns.items()}
        emotions, memory, states = recur(weights, memory, jnp.swapaxes(seen, 0, 1), states, by_turn)
        last = {
            "memory": keep(None, memory, self.window + 1),
            "real": keep(None, real, self.window + 1),
            "count": visible.count,
            "states": states,
        }
        return jnp.swapaxes(emotions, 0, 1), last

    def _project(self, x: Array) -> tuple[dict[str, Any], dict[str, Array]]:
        """Returns the weights of the recurrence, and the contributions of single utterances.

        Kernels are split: the rows for the utterance's features are applied here to all utterances
        at once, and the recurrence uses the rest, `kernel_state`.
        """
        features = x.shape[-1]
        sizes = {"history": (self.history, features + self.party)}
        sizes["speaker"] = (self.party, features + self.history)
        if self.listener:
            sizes["listeners"] = (self.party, features + self.party)
        weights: dict[str, Any] = {}
        turns = {}
        for name, (hidden, inputs) in sizes.items():
            cell = GRUCell(hidden, name=name).parameters(inputs)
            kernel = cell.pop("kernel_input")
            turns[name] = x @ kernel[:features]
            weights[name] = cell | {"kernel_state": kernel[features:]}
        cell = GRUCell(self.emotion, name="emotion").parameters(self.party)
        weights["emotion"] = cell | {"kernel_state": cell.pop("kernel_input")}
        if self.attention == "general":
            turns["query"] = Linear(self.history, use_bias=False, name="attention")(x)
        else:
            shape = (self.history, 1)
            weights["query"] = self.param("attention", uniform(self.history), shape)[:, 0]
        return weights, turns

    def _masks(self, rows: int, cells: int) -> dict[str, Array]:
        sizes: dict[str, tuple[int, ...]] = {"history": (self.history,)}
        sizes |= {"speaker": (self.party,), "emotion": (self.emotion,)}
        if self.listener:
            sizes["listeners"] = (self.parties + 1, self.party)
        ones = {name: jnp.ones((rows, cells, *size)) for name, size in sizes.items()}
        rate = self.state_dropout
        return {f"{n}_dropout": nn.Dropout(rate, deterministic=False)(x) for n, x in ones.items()}


def turn(
    weights: Mapping[str, Any], memory: Array, seen: Array, states: States, x: Mapping[str, Array]
) -> States:
    """Computes the states after one turn, whose attention sees global states `seen` [B, K].

    `x` has arrays [B, ...] of the turn: the projected utterance, the `slot` of the speaker and
    whether it was `taken` over [B, P + 1], and `keep` and `real` [B, 1], 0 where a conversation
    starts and where the states pass unchanged.
    """

    def update(name, of_state, hidden, new_axis=False):
        cell = weights[name]
        projected = of_state @ cell["kernel_state"]
        projected = projected + x[name] if name in x else projected
        after = gru_step(cell, projected[:, None] if new_axis else projected, hidden)
        return after * x.get(f"{name}_dropout", 1.0)

    history, emotion = (states[name] * x["keep"] for name in ("history", "emotion"))
    parties = states["parties"] * x["keep"][..., None]
    parties = parties + x["taken"][..., None] * (parties[:, -1:] - parties)
    slot = x["slot"][..., None]
    speaker = jnp.sum(slot * parties, axis=1)
    new_history = update("history", speaker, history)
    query = x.get("query", weights.get("query"))
    scores = jnp.sum(memory * (query if query.ndim == 1 else query[:, None]), axis=-1)
    context = jnp.einsum("bk,bkg->bg", weigh(scores, seen), memory)
    spoken = update("speaker", context, speaker)
    others = update("listeners", spoken, parties, True) if "listeners" in x else parties
    new = {
        "history": new_history,
        "parties": slot * spoken[:, None] + (1 - slot) * others,
        "emotion": update("emotion", spoken, emotion),
    }
    old = {"history": history, "parties": parties, "emotion": emotion}

    def where_real(after, before):
        real = x["real"].reshape(len(after), *[1] * (after.ndim - 1))
        return real * after + (1 - real) * before

    return jax.tree.map(where_real, new, old)


@jax.custom_vjp
def recur(
    weights: Mapping[str, Any],
    memory: Array,
    seen: Array,
    states: States,
    turns: Mapping[str, Array],
) -> tuple[Array, Array, States]:
    """Runs `turn` over U turns, each of which sees the global states of earlier ones.

    The backward pass recomputes each turn from the states before it. Differentiating the scan would
    store the whole memory once for each turn.

    The memory [B, K, G] has global states before the first turn, `seen` [U, B, K + U] those that
    each turn sees, and `turns` arrays [U, B, ...] float32.

    Returns:
        Emotion states [U, B, E], the memory with those of the turns [B, K + U, G], and the states
        after the last turn.
    """
    return _forward(weights, memory, seen, states, turns)[0]


def _forward(weights, memory, seen, states, turns):
    count, first = seen.shape[0], memory.shape[1]
    memory = jnp.pad(memory, ((0, 0), (0, count), (0, 0)))

    def step(carry, x):
        memory, states = carry
        index, seen, turn_inputs = x
        after = turn(weights, memory, seen, states, turn_inputs)
        memory = memory.at[:, first + index].set(after["history"])
        return (memory, after), (states, after["emotion"])

    xs = (jnp.arange(count), seen, turns)
    (memory, last), (before, emotions) = jax.lax.scan(step, (memory, states), xs)
    return (emotions, memory, last), (weights, memory, first, seen, before, turns)


def _backward(saved, cotangents):
    weights, memory, first, seen, before, turns = saved
    d_emotions, d_memory, d_last = cotangents

    def step(carry, x):
        d_weights, d_memory, d_states = carry
        index, seen, states, turn_inputs, d_emotion = x
        d_states = d_states | {
            "history": d_states["history"] + d_memory[:, first + index],
            "emotion": d_states["emotion"] + d_emotion,
        }
        # `seen` hides the memory of this turn and of later ones.

        def of_turn(weights, memory, states, x):
            return turn(weights, memory, seen, states, x)

        _, pull = jax.vjp(of_turn, weights, memory, states, turn_inputs)
        of_weights, of_memory, of_states, of_inputs = pull(d_states)
        d_weights = jax.tree.map(jnp.add, d_weights, of_weights)
        return (d_weights, d_memory + of_memory, of_states), of_inputs

    start = (jax.tree.map(jnp.zeros_like, weights), d_memory, d_last)
    xs = (jnp.arange(len(seen)), seen, before, turns, d_emotions)
    (d_weights, d_memory, d_states), d_turns = jax.lax.scan(step, start, xs, reverse=True)
    return d_weights, d_memory[:, :first], None, d_states, d_turns


recur.defvjp(_forward, _backward)


def in_reverse(talk: Turns, parties: int) -> Turns:
    """Returns rows in the reverse order, in which a conversation starts at its last cell.

    In reverse, a slot is new at a cell if its next use in the original order is new.
    """
    mask, _, slot, new = (x[:, ::-1] for x in talk)
    reset = backwards(talk.reset)

    def step(taken, x):
        reset, held, new = x
        taken = taken & ~reset[:, None]
        return jnp.where(held, new[:, None], taken), (taken & held).any(-1)

    held = jax.nn.one_hot(slot, parties, dtype=bool)
    by_turn = tuple(jnp.swapaxes(x, 0, 1) for x in (reset, held, new))
    _, taken = jax.lax.scan(step, jnp.zeros((len(reset), parties), bool), by_turn)
    return Turns(mask, reset, slot, jnp.swapaxes(taken, 0, 1))
