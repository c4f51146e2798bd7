"""DialogueRNN (Majumder et al. 2019): recurrent states of a conversation and of its speakers.

A global state follows the conversation, a state per speaker what each of them says, and an emotion
state predicts the labels. Before a speaker's state is updated, attention selects from the earlier
global states. `DialogueRNN` reads the conversation forwards and answers turn by turn;
`DialogueRNNBi` is the published form, which also reads it backwards and attends over all emotion
states. Sizes and rates are those of the authors' public code for IEMOCAP.

Two things differ from that code. A conversation has a bounded number of slots for speakers, so that
a stream's state has one size; and the attention sees a bounded number of earlier utterances, more
than any conversation of IEMOCAP or MELD has.
"""

from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from mman_jax.layers.attention import weigh
from mman_jax.layers.dense import Linear
from mman_jax.layers.dialogue import Dialogue, Turns, in_reverse
from mman_jax.systems.base import Citation, System
from mman_jax.systems.settings import SPEAKERS, Ranges, Rate, Size, around, one_of, one_stage
from mman_jax.types import Array, Inputs


class DialogueRNN(System):
    """The causal form: it reads the conversation forwards and predicts from the emotion state.

    Attributes:
        history: G, units of the global state.
        party: Q, units of the state of a speaker.
        emotion: E, units of the emotion state.
        dense: units of the dense layer before the classes.
        attention: `general` or `simple`, see `Dialogue`.
        listener: whether a turn also updates the states of those who listen.
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

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """See `System.recipe`; the authors' settings for IEMOCAP."""
        rate, decay = {"default": 1e-4}, 1e-5
        settings: dict[str, Any] = {
            "optimizer": "adam_l2",
            "learning_rate": rate,
            "weight_decay": decay,
        }
        return one_stage(batch=30, epochs=60, patience=10, **settings) | {"class_weights": True}

    def setup(self) -> None:
        """Creates the layers."""
        self.dialogue = {
            name: Dialogue(
                self.history, self.party, self.emotion, self.attention, self.listener,
                self.window, self.parties, self.state_dropout,
            )
            for name in self.directions
        }  # fmt: skip
        self.drop_emotion, self.drop = nn.Dropout(self.emotion_dropout), nn.Dropout(self.dropout)
        self.hidden = Linear(len(self.directions) * self.dense)
        self.answer = Linear(self.outputs)

    def __call__(
        self, inputs: Inputs, state: Any = None, train: bool = False
    ) -> tuple[dict[str, Array], Any]:
        """See `System.__call__`."""
        x, talk = self._joined(inputs)
        emotions, state = self.dialogue["forward"](x, talk, state, train)
        return {"answer": self._read(self.drop_emotion(emotions, not train), train)}, state

    def _read(self, emotions: Array, train: bool) -> Array:
        return self.answer(self.drop(nn.relu(self.hidden(emotions)), not train))

    def _joined(self, inputs: Inputs) -> tuple[Array, Turns]:
        """Returns the features [B, U, D] of all modalities, and the turns.

        Cells without any modality are left out. Without speakers, everything is one speaker's.
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
        {"iemocap6": ("62.75 (weighted F1, six classes, epoch selected on test)",)},
        by_name=True,
    )

    emotion_attention: bool = True

    causal: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    directions: ClassVar[tuple[str, ...]] = ("forward", "backward")

    def setup(self) -> None:
        """Creates the layers."""
        super().setup()
        self.match = Linear(2 * self.emotion)

    def __call__(
        self, inputs: Inputs, state: Any = None, train: bool = False
    ) -> tuple[dict[str, Array], None]:
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
