"""Configs for runs in several processes: `:fusion` of two stages, and `:tower`, one, streamed."""

from tests import tiny


def get_config(system):
    config = tiny.dense(epochs=20) if system == "fusion" else tiny.recipe(epochs=2)
    config.train.towers.epochs = 2
    config.seeds = 2
    config.checkpoint_seconds = 0.0
    config.data.modalities = "speech"
    if system == "tower":
        config.network = tiny.without(config.network, "fusion")
        config.data.stream = True  # each process reads only its own rows
    return config
