"""The composition root: the only place that constructs things and knows which cluster it stands on."""
