"""One picture: its file, its size, its name."""
