"""WESAD from its official folders."""
