"""What every exchange needs: settings, the feed's common half, the three hooks. Authors get all of it from `k2core.plugin`."""
