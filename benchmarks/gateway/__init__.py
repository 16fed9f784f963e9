"""What a request costs in the gateway, against nginx as a plain proxy and others that stand in front of models."""
