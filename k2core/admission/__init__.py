"""From log blocks to rows that count: decoding, checks, identities, holes. Pure; writer and tail share it."""
