"""The leak audit: what a run's files, checkpoints and recordings say about test rows that helped."""
