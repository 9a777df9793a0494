"""Pictures and progress: curves, coloured texts, the card, the page, the live display."""
