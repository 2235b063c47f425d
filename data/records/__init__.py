"""Built datasets: array_record files, how they are written, read and checked."""
