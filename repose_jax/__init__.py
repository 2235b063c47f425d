"""RePoseDM in JAX/Flax."""
