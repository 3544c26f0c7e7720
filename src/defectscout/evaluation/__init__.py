"""What a search cost and how far its answer can be trusted."""
