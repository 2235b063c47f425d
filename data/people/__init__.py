"""Rendered people: a dataset that needs no download."""
