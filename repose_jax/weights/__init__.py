"""The models that ship with the package and their cards."""
