"""The field's protocols, as data."""
