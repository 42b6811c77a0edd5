"""The WebSocket driver that runs a feed, and its REST client."""
