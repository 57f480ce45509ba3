"""Features of images: computed, kept, read from files and written to them."""
