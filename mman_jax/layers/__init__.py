"""What networks are made of: the LSTM scan, the attention, towers and fusion. Pure Linen."""
