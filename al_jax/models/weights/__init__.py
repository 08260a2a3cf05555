"""Published weights: found, read, and fitted to the networks here."""
