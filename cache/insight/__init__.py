"""What the cache says about itself: pure accounts of what happened, and of what would have."""
