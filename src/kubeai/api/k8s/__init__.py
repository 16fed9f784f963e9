"""The Kubernetes vocabulary: resources, objects as we read them, selectors, quantities, names."""
