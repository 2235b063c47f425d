"""Rendered people: a dataset that needs no download."""

from repose_jax.data.people.renderer import (
    Identity, Render, View, render, render_person, sample_identity, sample_view)

__all__ = ["Identity", "Render", "View", "render", "render_person", "sample_identity",
           "sample_view"]
