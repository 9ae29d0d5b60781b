"""Tables in memory and in files of other programs, as recordings."""
