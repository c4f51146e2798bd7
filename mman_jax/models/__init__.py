"""Pure Linen modules: the attention, the LSTM scan, and the systems built on them."""
