"""Files from servers: resumed, verified, and only then given their names."""
