"""Photographs in, composites out: records, masks, plates, composites, and the sets that they become."""
