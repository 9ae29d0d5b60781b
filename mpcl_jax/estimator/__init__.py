"""The public Python interface: `MPCLRegressor`, `evaluate` and what they need."""
