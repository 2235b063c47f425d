"""Pure mathematics of diffusion on functions. No network, no configuration."""
