"""KubeAI: serve machine-learning models from one laptop to a large Kubernetes cluster."""

__version__ = "0.1.0"
