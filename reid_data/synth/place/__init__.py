"""Where a synthetic person stands: scenes and what they are made of, and the camera that looks at them."""
