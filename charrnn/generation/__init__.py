"""From probabilities to text: filters, draws, stops, patterns and mixtures."""
