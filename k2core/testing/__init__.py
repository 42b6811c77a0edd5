"""What plugin authors test with: a scripted local exchange, an oracle."""
