"""Everything that is run rather than imported: presets, ablations, benchmarks."""
