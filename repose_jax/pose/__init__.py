"""What a pose is: skeletons, files, maps, bones. No network."""
