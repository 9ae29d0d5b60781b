"""Foreign files, read in a guarded child process."""
