"""The declarations of every metric, by the part of k2 that they tell of."""
