"""The WebSocket driver that runs a feed, and its REST client.

`driver` is what others use; below it `shard` keeps one connection alive for ever, `connection` is one WebSocket
connection, `subscribing` asks and checks the answers, `wire` is the protocol without I/O, `dialer` the socket, `queue`
what holds frames and pushes back, `pacing` the limits of the exchange, `rest` the REST client.
"""
