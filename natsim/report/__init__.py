"""`natsim report` and `natsim merge`: what becomes of the results of many trials."""
