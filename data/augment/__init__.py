"""Random changes to training pairs, so that a model also stands photos unlike its data."""
