"""What MMAN and cLSTM-MMA lose without a part of them."""
