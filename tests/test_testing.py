"""`check_system` accepts a sound system and names the property that a broken one violates."""

import flax.linen as nn
import jax.numpy as jnp
import pytest

from mman_jax import testing
from mman_jax.layers.recurrent import LSTM
from mman_jax.systems.base import System
from mman_jax.systems.settings import SPEAKERS

DIMS = {"face": 3, "voice": 2}


class Sound(System):
    """Concatenated features under an LSTM."""

    dropout: float = 0.5

    @nn.compact
    def __call__(self, inputs, state=None, train=False):
        features, reset, present = inputs.features, inputs.reset, inputs.present
        x = jnp.concatenate([self.read(m, features[m], present) for m in self.modalities], axis=-1)
        hidden, last = self.remember(self.look(x, reset), reset, state)
        hidden = self.hear(hidden, inputs)
        hidden = nn.Dropout(self.dropout, deterministic=not self.drops(train))(hidden)
        return {"answer": nn.Dense(self.outputs, name="answer")(hidden)}, last

    def read(self, modality, x, present):
        there = present.get(modality)
        return x if there is None else jnp.where(there[..., None], x, 0)

    def look(self, x, reset):
        return x

    def hear(self, hidden, inputs):
        return hidden

    def remember(self, x, reset, state):
        return LSTM(4, name="lstm")(x, reset, None, state)

    def drops(self, train):
        return train


class LooksAhead(Sound):
    def look(self, x, reset):
        ends = jnp.roll(reset, -1, axis=1).at[:, -1].set(True)
        return x + jnp.where(ends[..., None], 0, jnp.roll(x, -1, axis=1))


class LeaksInRows(Sound):
    def remember(self, x, reset, state):
        return super().remember(x, reset.at[:, 1:].set(False), state)


class ReadsPadding(Sound):
    def look(self, x, reset):
        return x / reset.shape[1]


class DropsState(Sound):
    def remember(self, x, reset, state):
        return super().remember(x, reset, None)


class UsesMissing(Sound):
    def read(self, modality, x, present):
        return x


class HasUnused(Sound):
    def look(self, x, reset):
        return x + 0 * nn.Dense(1, name="unused")(x)


class AlwaysDrops(Sound):
    def drops(self, train):
        return True


class NeverDrops(Sound):
    def drops(self, train):
        return False


class KnowsNothing(Sound):
    def look(self, x, reset):
        return jnp.zeros_like(x)


class IgnoresSpeakers(Sound):
    reads = frozenset({SPEAKERS})
    parties: int = 2

    def who(self, inputs):
        return jnp.zeros_like(inputs.speakers)

    def hear(self, hidden, inputs):
        voices = self.param("voices", nn.initializers.ones, (self.parties, 4))
        return hidden + voices[0 if inputs.speakers is None else self.who(inputs)]


class HearsSpeakersAhead(IgnoresSpeakers):
    def who(self, inputs):
        return jnp.roll(inputs.speakers, -1, axis=1)


class CountsSpeakersInRows(IgnoresSpeakers):
    def who(self, inputs):
        return jnp.cumsum(inputs.new_speaker, axis=1) % 2


class HasAnotherHead(Sound):
    def __call__(self, inputs, state=None, train=False):
        logits, last = super().__call__(inputs, state, train)
        return logits | {"another": logits["answer"]}, last


BROKEN = {
    LooksAhead: (testing.check_causality, "causality: 'answer' depends on later utterances"),
    LeaksInRows: (testing.check_packing, "packing"),
    ReadsPadding: (testing.check_padding, "padding"),
    DropsState: (testing.check_streaming, "streaming"),
    UsesMissing: (testing.check_missing_modalities, "missing modalities"),
    HasUnused: (testing.check_gradients, "gradients: none reaches unused/bias"),
    AlwaysDrops: (testing.check_dropout, "dropout: logits outside training"),
    NeverDrops: (testing.check_dropout, "dropout: logits in training"),
    KnowsNothing: (testing.check_causality, "causality: 'answer' depends on no feature"),
    IgnoresSpeakers: (testing.check_speakers, "speakers: logits do not depend on them"),
    HearsSpeakersAhead: (testing.check_speakers, "speakers: logits depend on who speaks later"),
    CountsSpeakersInRows: (testing.check_packing, "packing"),
}


def test_a_sound_system_is_accepted():
    testing.check_system(Sound, DIMS, outputs=2)


@pytest.mark.parametrize("system", BROKEN)
def test_the_violated_property_is_named(system):
    check, problem = BROKEN[system]
    assert check in testing.CHECKS
    with pytest.raises(AssertionError, match=f"^{system.__name__}: {problem}"):
        check(testing.Case(system, DIMS, outputs=2))


def test_check_system_runs_all_checks():
    with pytest.raises(AssertionError, match=r"^HasAnotherHead: shapes"):
        testing.check_system(HasAnotherHead, DIMS, outputs=2)
