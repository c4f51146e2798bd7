"""bc-LSTM: two levels of bi-directional LSTMs; the second reads frozen activations of the first.

Poria et al. 2017; 5 812 016 parameters on IEMOCAP's features with four classes. Training follows
the authors' code, except that the best epoch is selected on validation data;
`--config.train.select=last` uses the last epoch, as in their code. It sees later utterances.

    mman run --config=configs/bc_lstm.py --workdir=runs/bc_lstm
"""

from mman_jax.configs import mman

get_config = mman.derived("bc_lstm")
