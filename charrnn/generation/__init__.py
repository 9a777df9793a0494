"""From probabilities to text: filters, draws, ends, patterns and mixtures."""
