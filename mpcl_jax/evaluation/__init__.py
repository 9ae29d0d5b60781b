"""Baselines and the table they share with MPCL."""
