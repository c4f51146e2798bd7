"""The first epoch's program is compiled while parameters are drawn: once, and in another thread."""

import threading

import jax
from jax import monitoring

from tests import tiny


def test_the_first_epoch_runs_what_was_compiled_ahead():
    # A learning rate that no other test has: nothing of this is compiled yet.
    config = tiny.recipe()
    config.train.towers.learning_rate.default = 0.001953125
    trainer, labels = tiny.trainer(config)
    compiled = []

    def listen(event, seconds, **about):
        if event.endswith("backend_compile_duration") and about["fun_name"] == "jit(epochs)":
            compiled.append(threading.current_thread() is threading.main_thread())

    monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.block_until_ready(next(iter(trainer.run(labels, [3]))).state.params)
    finally:
        monitoring.unregister_event_duration_listener(listen)
    assert compiled == [False]
