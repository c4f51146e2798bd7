"""Examples of programs that use mman_jax."""
