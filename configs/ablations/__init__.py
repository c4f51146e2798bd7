"""Ablations of MMAN and cLSTM-MMA."""
