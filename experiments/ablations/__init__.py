"""Ablations: each file holds one question as the value ABLATION, run by `repose ablate NAME`."""
