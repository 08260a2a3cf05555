"""Statistics of learning curves: means, tests, intervals, comparisons."""
