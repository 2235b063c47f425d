"""Is it good? Metrics, their intervals, reports, the field's protocols, and what runs them."""
