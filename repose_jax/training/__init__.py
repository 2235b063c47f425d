"""Training: the state, the step, the devices, the checkpoints, the loop."""
