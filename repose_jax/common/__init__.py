"""What every room may use: errors, files, versions, configurations as JSON."""
