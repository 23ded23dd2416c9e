"""What was said of hours of sound comes in; subtitles, labels and tables go out as whole files."""
