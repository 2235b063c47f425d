"""Linen modules. No diffusion, no training."""
