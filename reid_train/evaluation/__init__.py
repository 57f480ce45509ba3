"""From features to scores: distances, ranking, protocols, re-ranking, metrics, error bars, comparisons."""
