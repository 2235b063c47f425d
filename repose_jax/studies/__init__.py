"""Experiments on finished models: ablation, acceptance, augmentation, the human study."""
