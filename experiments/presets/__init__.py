"""Training presets, one a file."""
