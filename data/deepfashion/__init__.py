"""DeepFashion In-shop as the programs of pose-guided synthesis have it on disk."""
