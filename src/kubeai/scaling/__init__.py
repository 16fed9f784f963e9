"""How many replicas each Model should have: observe the load, average it, decide, write it down."""
