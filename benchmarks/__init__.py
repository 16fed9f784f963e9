"""Measurements, never tests: figures are medians over rounds, compared within one run."""
