"""An audio file comes in; waveforms at the rates that the networks hear go out."""
