"""Stage two: fine-tune BART on cached features."""
