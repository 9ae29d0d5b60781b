"""Features of raw physiological signals."""
