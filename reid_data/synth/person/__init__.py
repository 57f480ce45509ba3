"""Who a synthetic person is, how they stand, what they wear and carry, and how they are drawn."""
