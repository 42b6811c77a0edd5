"""Feed to log: frames, normalizers, the producer, and exact accounting."""
