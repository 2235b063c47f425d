"""Models: networks and diffusion put together, as pure functions and as files."""
