"""What `run` and `serve` are made of: the sites, the server, the clients, the measurement and the tables."""
