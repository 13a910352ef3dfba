"""Tests of the engine ``wav2lip``."""
