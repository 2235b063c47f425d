"""What `repose evaluate` runs, an evaluator a kind of thing that is judged."""
