"""What networks are made of: recurrences, attention, transformers, towers, fusion. Pure Linen."""
