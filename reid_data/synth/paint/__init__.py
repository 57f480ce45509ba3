"""What people and places are drawn with: brushes, surfaces, materials, and the way from them to pixels."""
