"""What can be trained, a task a file."""
