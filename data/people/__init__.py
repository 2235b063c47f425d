"""Rendered people: a dataset that needs no download."""

from repose_jax.data.people.renderer import Render, render, render_person
from repose_jax.data.people.view import Identity, View, sample_identity, sample_view

__all__ = ["Identity", "Render", "View", "render", "render_person", "sample_identity",
           "sample_view"]
