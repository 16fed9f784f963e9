"""The built-in kinds, as schemas: for `kubectl explain`, for finding typing errors, and for merging lists by key."""
