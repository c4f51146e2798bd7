"""What training carries from epoch to epoch, and what an epoch showed."""

from typing import Any, NamedTuple

from mman_jax.types import Array


class State(NamedTuple):
    """One seed's training; with a leading axis S, a run's. T counts the heads of the stage.

    Attributes:
        seed: uint32, what all of this seed's randomness comes from.
        pace: float32, what this seed's learning rates are multiplied by; it may fall (`plateau`).
        epoch: int32, epochs done.
        params: the network's parameters as trained so far.
        opt_state: the optimizer's.
        average: an exponential average of the parameters over the steps (`averaging`); `()` where
            none is kept.
        target: [T] int32, the epoch to keep, where it is known before; 0: the best on validation.
        best: parameters at the best validation epoch, each head's at its own.
        best_epoch: [T] int32, counted from 1; 0 before the first.
        best_score: [T] float32, what is maximised (see `selection`).
        smoothed: [T] float32, the score of the last epoch, smoothed over the epochs.
        stopped: [T] bool, True once patience ran out or it failed: the best no longer changes.
        failed: [T, 2] int32, epoch and step, counted from 1, of the first loss or gradient that was
            not finite; zeros where all were.
        failed_norm: [T] float32, the gradient's norm there.
        valid: [T, C, C] int32, validation counts at the best epoch; of numbers, for each of C
            targets the sums [T, C, K] float32 (`evaluation.ratings`).
        test: the same of test.
        oracle: [T] float32, highest test accuracy (of numbers: CCC) of any epoch until stopped:
            what selection on the test set would have given. It decides nothing.
        lowest: the lowest validation loss of each head, and when it was (`plateau.Lowest`); `()`
            where nothing depends on it.
        falls: [E] int32, how often the learning rates fall after each epoch, where that is known
            before; -1: by the loss. `()` where they never do.
    """

    seed: Array
    pace: Array
    epoch: Array
    params: Any
    opt_state: Any
    average: Any
    target: Array
    best: Any
    best_epoch: Array
    best_score: Array
    smoothed: Array
    stopped: Array
    failed: Array
    failed_norm: Array
    valid: Array
    test: Array
    oracle: Array
    lowest: Any = ()
    falls: Any = ()


class Record(NamedTuple):
    """What an epoch showed, each [T]: training and validation loss, their accuracies on valid and
    test (of numbers their CCC in its place), and who is still training."""

    train_loss: Array
    valid_loss: Array
    valid_accuracy: Array
    test_accuracy: Array
    training: Array
