"""The local page: a photo, a pose drawn by hand, the picture; see docs/app.md."""
