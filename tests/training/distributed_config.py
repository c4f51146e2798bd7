"""Configs for runs in several processes: `:fusion` on a tower, and `:tower`, that alone."""

from tests import tiny


def get_config(system):
    config = tiny.recipe(epochs=20)
    config.train.towers.epochs = 2
    config.seeds = 2
    config.checkpoint_seconds = 0.0
    config.data.modalities = "speech"
    if system == "tower":
        del config.network.fusion
        config.data.stream = True  # each process reads its own rows alone
    return config
