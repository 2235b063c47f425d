"""From a user's photos and poses to pictures."""
